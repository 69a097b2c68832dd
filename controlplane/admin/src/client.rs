//! The client side of the admin socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::{Request, Response};

/// How long the control plane may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// A connection to the admin socket. It serves one request.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

/// Why the control plane could not be asked.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The socket does not exist.
    #[error("no control plane at {0}: the socket does not exist. Is pinhole-controlplane running?")]
    Absent(PathBuf),
    /// The socket exists, but nobody listens.
    #[error("no control plane at {0}: nobody listens there. Is pinhole-controlplane running?")]
    Refused(PathBuf),
    /// The caller may not use the socket.
    #[error("no permission for {0}: run as the control plane's user, as a member of its group, or as root")]
    Permission(PathBuf),
    /// Nothing came within the time allowed.
    #[error("the control plane at {0} did not answer within 5 s")]
    Silent(PathBuf),
    /// The connection ended before the answer.
    #[error("the control plane at {0} hung up before it answered")]
    HungUp(PathBuf),
    /// Another error of the socket.
    #[error("the admin socket {path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The answer is not what this version understands.
    #[error(
        "{path} answered something that this version does not understand ({source}): different versions?"
    )]
    Foreign {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The control plane refused the request.
    #[error("the control plane says: {0}")]
    Said(String),
}

impl Client {
    /// Connects to the admin socket.
    ///
    /// # Errors
    /// When the socket is absent, nobody listens, or the caller may not use it.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|source| ClientError::of(path, source))?;
        stream
            .set_read_timeout(Some(ANSWER_TIME))
            .and_then(|()| stream.set_write_timeout(Some(ANSWER_TIME)))
            .map_err(|source| ClientError::of(path, source))?;
        Ok(Self { stream: BufReader::new(stream), path: path.to_owned() })
    }

    /// Asks one thing and returns the answer.
    ///
    /// # Errors
    /// When the connection fails, the answer is not understood, or the request is refused.
    pub fn ask(mut self, request: Request) -> Result<Response, ClientError> {
        self.send(request)?;
        self.next()?.ok_or(ClientError::HungUp(self.path))
    }

    /// Asks for events and hands each to `each` until it returns false, or until the control plane
    /// has no more (when `follow` is not set) or hangs up.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn events(
        mut self,
        follow: bool,
        mut each: impl FnMut(crate::Event) -> bool,
    ) -> Result<(), ClientError> {
        self.send(Request::Events { follow })?;
        if follow {
            // The next event may be hours away.
            self.stream
                .get_ref()
                .set_read_timeout(None)
                .map_err(|source| ClientError::of(&self.path, source))?;
        }
        while let Some(response) = self.next()? {
            match response {
                Response::Event(event) => {
                    if !each(event) {
                        break;
                    }
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// Asks for a trace and hands each of its lines to `each` until it returns false, or until the trace has ended.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn trace(
        mut self,
        request: Request,
        mut each: impl FnMut(crate::Traced) -> bool,
    ) -> Result<(), ClientError> {
        self.send(request)?;
        self.stream.get_ref().set_read_timeout(None).map_err(|source| ClientError::of(&self.path, source))?;
        while let Some(Response::Trace(traced)) = self.next()? {
            let ended = matches!(traced, crate::Traced::Ended { .. });
            if !each(traced) || ended {
                return Ok(());
            }
        }
        Err(ClientError::HungUp(self.path))
    }

    fn send(&mut self, request: Request) -> Result<(), ClientError> {
        let mut line = serde_json::to_string(&request)
            .map_err(|source| ClientError::Foreign { path: self.path.clone(), source })?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).map_err(|source| ClientError::of(&self.path, source))
    }

    fn next(&mut self) -> Result<Option<Response>, ClientError> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(source) => return Err(ClientError::of(&self.path, source)),
        }
        let response = serde_json::from_str(&line)
            .map_err(|source| ClientError::Foreign { path: self.path.clone(), source })?;
        match response {
            Response::Error(text) => Err(ClientError::Said(text)),
            other => Ok(Some(other)),
        }
    }
}

impl ClientError {
    fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Absent(path),
            io::ErrorKind::ConnectionRefused => Self::Refused(path),
            io::ErrorKind::PermissionDenied => Self::Permission(path),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Silent(path),
            _ => Self::Io { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_socket_is_one_clear_line() {
        let error = Client::connect(Path::new("/nonexistent/admin.sock")).unwrap_err();
        assert!(error.to_string().contains("does not exist"), "{error}");
    }
}
