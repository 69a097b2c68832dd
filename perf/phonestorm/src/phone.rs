//! A phone's connection: socket, TLS, and what has come of an unfinished message.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::StormError;
use crate::certificates::SERVER_NAME;
use crate::speech::{Heard, Speech};

/// A phone that is connected or about to be. It asks to be registered as soon as TLS stands.
pub struct Phone {
    stream: TcpStream,
    tls: ClientConnection,
    speech: Speech,
    is_connected: bool,
    came: Vec<u8>,
}

/// The connection is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl Phone {
    /// Begins to connect.
    ///
    /// # Errors
    /// When the system refuses a socket, or rustls the configuration.
    pub fn connect(
        to: SocketAddr,
        device: &str,
        config: &Arc<ClientConfig>,
        speech: Speech,
    ) -> Result<Self, StormError> {
        let refused = StormError::system("a phone's socket");
        let stream = TcpStream::connect(to).map_err(&refused)?;
        let own = stream.local_addr().map_err(&refused)?;
        let name =
            ServerName::try_from(SERVER_NAME).map_err(|error| rustls::Error::General(error.to_string()))?;
        let mut tls = ClientConnection::new(Arc::clone(config), name)?;
        tls.writer()
            .write_all(&speech.register(device, own))
            .map_err(StormError::system("a buffer of TLS"))?;
        Ok(Self { stream, tls, speech, is_connected: false, came: Vec::new() })
    }

    /// The socket, for the poll.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Does what the socket is ready for; what was heard. Edges: reads and writes until the socket would block.
    ///
    /// # Errors
    /// When nothing more will come.
    pub fn ready(&mut self) -> Result<Vec<Heard>, Ended> {
        if !self.is_connected {
            match (self.stream.take_error(), self.stream.peer_addr()) {
                (Ok(None), Ok(_)) => self.is_connected = true,
                (Ok(None), Err(_)) => return Ok(Vec::new()),
                _ => return Err(Ended),
            }
            let _ = self.stream.set_nodelay(true);
        }
        self.flush()?;
        let mut heard = Vec::new();
        loop {
            match self.tls.read_tls(&mut self.stream) {
                Ok(0) => return Err(Ended),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(Ended),
            }
            let state = self.tls.process_new_packets().map_err(|_| Ended)?;
            let before = self.came.len();
            self.came.resize(before + state.plaintext_bytes_to_read(), 0);
            if let Some(room) = self.came.get_mut(before..) {
                self.tls.reader().read_exact(room).map_err(|_| Ended)?;
            }
            while let Some(one) = self.speech.hear(&mut self.came) {
                match one {
                    Heard::Asked(answer) => self.say(&answer)?,
                    other => heard.push(other),
                }
            }
            self.flush()?;
        }
        Ok(heard)
    }

    /// Says something.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn say(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.tls.writer().write_all(bytes).map_err(|_| Ended)?;
        self.flush()
    }

    /// Ends the connection as TLS has it.
    pub fn leave(mut self) {
        self.tls.send_close_notify();
        let _ = self.flush();
    }

    fn flush(&mut self) -> Result<(), Ended> {
        while self.is_connected && self.tls.wants_write() {
            match self.tls.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Ended),
            }
        }
        Ok(())
    }
}
