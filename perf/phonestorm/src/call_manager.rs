//! The call manager: grants every registration and answers every keep-alive, of thousands of connections on one thread.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener as StdListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::StormError;
use crate::speech::{Speech, sccp_answer, sip_answer};

/// How soon the end is noticed.
const PATIENCE: Duration = Duration::from_millis(50);
/// Connections that the kernel keeps until they are accepted: a call manager is not what is measured.
const BACKLOG: i32 = 4096;
const LISTENER: Token = Token(0);

/// A running call manager. It ends when dropped.
pub struct CallManager {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl CallManager {
    /// Starts one at an address: over TCP for SCCP, over UDP for SIP.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn start(address: SocketAddr, speech: Speech) -> Result<Self, StormError> {
        let refused = |source| StormError::Listen { address, source };
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = match speech {
            Speech::Sccp => {
                let mut connections = Connections::listen(address).map_err(refused)?;
                std::thread::spawn(
                    move || {
                        while !until.load(Ordering::Relaxed) && connections.turn().is_ok() {}
                    },
                )
            }
            Speech::Sip => {
                let socket = UdpSocket::bind(address).map_err(refused)?;
                socket.set_read_timeout(Some(PATIENCE)).map_err(refused)?;
                std::thread::spawn(move || {
                    let mut datagram = [0; 65_536];
                    while !until.load(Ordering::Relaxed) {
                        let Ok((length, from)) = socket.recv_from(&mut datagram) else { continue };
                        if let Some(answer) = datagram.get(..length).and_then(sip_answer) {
                            let _ = socket.send_to(&answer, from);
                        }
                    }
                })
            }
        };
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for CallManager {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The connections of SCCP phones.
struct Connections {
    poll: Poll,
    events: Events,
    listener: TcpListener,
    open: HashMap<Token, (TcpStream, Vec<u8>)>,
    last: usize,
}

impl Connections {
    fn listen(address: SocketAddr) -> io::Result<Self> {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let mut listener = TcpListener::from_std(StdListener::from(socket));
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self { poll, events: Events::with_capacity(1024), listener, open: HashMap::new(), last: 0 })
    }

    fn turn(&mut self) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(PATIENCE)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = self.listener.accept() {
                    self.last += 1;
                    let token = Token(self.last);
                    self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
                    self.open.insert(token, (stream, Vec::new()));
                }
            } else if let Some((stream, came)) = self.open.get_mut(&event.token())
                && serve(stream, came).is_err()
            {
                self.open.remove(&event.token());
            }
        }
        Ok(())
    }
}

/// Answers what has come until the socket would block.
fn serve(stream: &mut TcpStream, came: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => came.extend(chunk.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        while let Some(answer) = sccp_answer(came) {
            // Answers are far smaller than a socket's buffer; one that does not fit ends the connection.
            stream.write_all(&answer)?;
        }
    }
}
