//! The admin socket: one thread that accepts, one per client, few of them.

mod answers;
mod provisioned;
mod trace;

pub use answers::Answers;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pinhole_admin::{REQUEST_MAX, Request, Response};
use thiserror::Error;

/// Clients at one time.
const CLIENTS: usize = 32;
/// How long a client may take to ask, or to read an answer.
const CLIENT_TIME: Duration = Duration::from_secs(10);
/// How often the end of the process, or of a client, is looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Why the admin socket cannot be opened.
#[derive(Debug, Error)]
pub enum AdminError {
    /// Another control plane answers there.
    #[error("controlplane.admin_socket: another control plane answers at {0}; stop it first")]
    Busy(PathBuf),
    /// What is there is no socket, and not ours to remove.
    #[error("controlplane.admin_socket: {0} is no socket; remove it or choose another path")]
    NoSocket(PathBuf),
    /// Anything else, such as a missing directory.
    #[error(
        "controlplane.admin_socket: {path} cannot be opened: {source}; its directory must exist and be writable for this user"
    )]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The admin socket.
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    clients: Arc<AtomicUsize>,
}

impl AdminSocket {
    /// Opens the socket, mode 0660. A socket that a dead process left is replaced.
    ///
    /// # Errors
    /// When another control plane answers there, or the path cannot be used.
    pub fn open(path: &Path) -> Result<Self, AdminError> {
        let failed = |source| AdminError::Io { path: path.into(), source };
        if UnixStream::connect(path).is_ok() {
            return Err(AdminError::Busy(path.into()));
        }
        let found = std::fs::symlink_metadata(path);
        if found.is_ok_and(|found| !found.file_type().is_socket()) {
            return Err(AdminError::NoSocket(path.into()));
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { listener, path: path.into(), clients: Arc::default() })
    }

    /// Serves clients until `stop`.
    pub fn run(self, answers: &Arc<Answers>, stop: &Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            match self.listener.accept() {
                Ok((stream, _)) => self.serve(stream, answers, stop),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        // The next start would replace it anyway.
        let _ = std::fs::remove_file(&self.path);
    }

    fn serve(&self, stream: UnixStream, answers: &Arc<Answers>, stop: &Arc<AtomicBool>) {
        if self.clients.fetch_add(1, Ordering::Relaxed) >= CLIENTS {
            self.clients.fetch_sub(1, Ordering::Relaxed);
            let _ = send(&stream, &Response::Error(format!("{CLIENTS} clients are connected already")));
            return;
        }
        let (answers, stop, clients) = (Arc::clone(answers), Arc::clone(stop), Arc::clone(&self.clients));
        let served = std::thread::Builder::new().name("admin-client".into()).spawn(move || {
            // A client that went away needs no answer.
            let _ = client(&stream, &answers, &stop);
            clients.fetch_sub(1, Ordering::Relaxed);
        });
        if served.is_err() {
            self.clients.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn client(stream: &UnixStream, answers: &Answers, stop: &AtomicBool) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(CLIENT_TIME))?;
    stream.set_write_timeout(Some(CLIENT_TIME))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_MAX as u64)).read_line(&mut line)?;
    match serde_json::from_str(&line) {
        Ok(Request::Events { follow }) => events(stream, answers, stop, follow),
        Ok(Request::Trace { device, seconds, messages, hex }) => {
            trace::serve(stream, answers, stop, &trace::Wish { device, seconds, messages, hex })
        }
        Ok(request) => send(stream, &answers.to(request)),
        Err(error) => send(stream, &Response::Error(format!("the request is not understood ({error})"))),
    }
}

fn events(mut stream: &UnixStream, answers: &Answers, stop: &AtomicBool, follow: bool) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(1)))?;
    let mut next = 0;
    let mut patience = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let (events, after) = answers.events(next, patience);
        next = after;
        for event in events {
            send(stream, &Response::Event(event))?;
        }
        if !follow {
            return send(stream, &Response::End);
        }
        // A client that hung up is noticed even when nothing happens.
        if matches!(stream.read(&mut [0]), Ok(0)) {
            return Ok(());
        }
        patience = LOOK;
    }
    Ok(())
}

fn send(mut stream: &UnixStream, response: &Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    stream.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(AdminSocket::open(&path), Err(AdminError::NoSocket(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
