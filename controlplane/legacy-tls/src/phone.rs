//! One phone: its TLS, and the end of its clear stream. Nothing is kept but what the other side does not take just now, and
//! while something is kept nothing more is read: so who is slow slows down who sends.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr};

use mio::net::{TcpStream, UnixStream};
use openssl::ssl::{self, ErrorCode, SslStream};
use pinhole_legacy_tls::{CERTIFICATES_MAX, Cause, CipherSuite, Handover, Report, Version};
use zeroize::Zeroizing;

/// Times that something is moved before others have their turn.
const TURNS: usize = 16;

/// A phone's connection.
pub struct Phone {
    /// TLS over its socket.
    pub tls: SslStream<TcpStream>,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Which listening socket it came to.
    pub listener: u8,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a phone has come.
pub enum Stage {
    /// The handshake goes on.
    Handshake,
    /// What it says goes to the control plane, and back.
    Carrying(Carrier),
    /// Nothing is to be said any more; what still comes is thrown away, so that the last words arrive.
    Lingering,
}

/// The clear side of a phone.
pub struct Carrier {
    clear: UnixStream,
    /// From the phone, not yet taken.
    inward: Zeroizing<Vec<u8>>,
    /// To the phone, not yet taken.
    outward: Zeroizing<Vec<u8>>,
    phone_ended: bool,
    clear_ended: bool,
    /// The control plane takes nothing more.
    clear_refuses: bool,
}

/// What came of moving things.
pub enum Moved {
    /// Nothing more until a socket is ready.
    Waits,
    /// There may be more.
    More,
    /// The handshake is finished.
    Shaken,
    /// Last words are out.
    Ended,
    /// It is over.
    Gone,
    /// It failed.
    Failed(Cause, String),
}

impl Phone {
    /// Where it comes from.
    pub fn address(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }

    /// Does what can be done now.
    pub fn go_on(&mut self, scratch: &mut [u8]) -> Moved {
        match &mut self.stage {
            Stage::Handshake => shake(&mut self.tls),
            Stage::Carrying(carrier) => carrier.carry(&mut self.tls, scratch),
            Stage::Lingering => linger(self.tls.get_mut(), scratch),
        }
    }

    /// What the control plane is told after the handshake. `None`: nothing that was asked for was agreed on, or too many
    /// certificates were shown.
    pub fn handover(&self) -> Option<Handover> {
        let ssl = self.tls.ssl();
        let version = match ssl.version2()? {
            ssl::SslVersion::TLS1 => Version::Tls10,
            ssl::SslVersion::TLS1_1 => Version::Tls11,
            ssl::SslVersion::TLS1_2 => Version::Tls12,
            _ => return None,
        };
        let suite = CipherSuite::from_name(ssl.current_cipher()?.name())?;
        let own = ssl.peer_certificate()?.to_der().ok()?;
        // A server's list is without the phone's own.
        let above = ssl.peer_cert_chain().into_iter().flatten();
        let above = above.map(|certificate| certificate.to_der()).collect::<Result<Vec<_>, _>>().ok()?;
        let chain: Vec<_> = [own].into_iter().chain(above).collect();
        // The control plane takes no report of more, and no process that gives one.
        if chain.len() > CERTIFICATES_MAX {
            return None;
        }
        Some(Handover { listener: self.listener, peer: self.peer, version, suite, chain })
    }

    /// Carries from now on.
    pub fn carry(&mut self, clear: UnixStream) {
        self.stage = Stage::Carrying(Carrier {
            clear,
            inward: Zeroizing::default(),
            outward: Zeroizing::default(),
            phone_ended: false,
            clear_ended: false,
            clear_refuses: false,
        });
    }

    /// Says nothing more.
    pub fn linger(&mut self) {
        self.stage = Stage::Lingering;
        let _ = self.tls.get_ref().shutdown(Shutdown::Write);
    }
}

impl Carrier {
    fn carry(&mut self, tls: &mut SslStream<TcpStream>, scratch: &mut [u8]) -> Moved {
        for _ in 0..TURNS {
            let moved = match (self.inwards(tls, scratch), self.outwards(tls, scratch)) {
                (Ok(inwards), Ok(outwards)) => inwards || outwards,
                (Err(end), _) | (_, Err(end)) => return end,
            };
            if self.clear_ended && self.outward.is_empty() {
                return match tls.shutdown() {
                    Err(error) if waits(&error) => Moved::Waits,
                    _ if self.phone_ended => Moved::Gone,
                    _ => Moved::Ended,
                };
            }
            if !moved {
                return Moved::Waits;
            }
        }
        Moved::More
    }

    /// From the phone to the control plane; whether something was moved.
    fn inwards(&mut self, tls: &mut SslStream<TcpStream>, scratch: &mut [u8]) -> Result<bool, Moved> {
        if !self.inward.is_empty() {
            let taken = self.pass_inwards(None);
            self.inward.drain(..taken);
            return Ok(taken > 0);
        }
        if self.phone_ended || self.clear_ended || self.clear_refuses {
            return Ok(false);
        }
        match tls.ssl_read(scratch) {
            Ok(length) => {
                let said = scratch.get(..length).unwrap_or_default();
                let taken = self.pass_inwards(Some(said));
                self.inward = Zeroizing::new(said.get(taken..).unwrap_or_default().to_vec());
                Ok(true)
            }
            Err(error) if waits(&error) => Ok(false),
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => {
                self.phone_ended = true;
                let _ = self.clear.shutdown(Shutdown::Write);
                Ok(true)
            }
            Err(error) => Err(broken(&error)),
        }
    }

    /// How much the control plane takes.
    fn pass_inwards(&mut self, said: Option<&[u8]>) -> usize {
        match self.clear.write(said.unwrap_or(&self.inward)) {
            Ok(taken) => taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(_) => {
                // It has closed; what it said before is still to be read.
                self.clear_refuses = true;
                said.unwrap_or(&self.inward).len()
            }
        }
    }

    /// From the control plane to the phone; whether something was moved.
    fn outwards(&mut self, tls: &mut SslStream<TcpStream>, scratch: &mut [u8]) -> Result<bool, Moved> {
        if !self.outward.is_empty() {
            let taken = to_phone(tls, &self.outward)?;
            self.outward.drain(..taken);
            return Ok(taken > 0);
        }
        if self.clear_ended {
            return Ok(false);
        }
        match self.clear.read(scratch) {
            Ok(0) => self.clear_ended = true,
            Ok(length) => {
                let said = scratch.get(..length).unwrap_or_default();
                let taken = to_phone(tls, said)?;
                self.outward = Zeroizing::new(said.get(taken..).unwrap_or_default().to_vec());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.clear_ended = true,
        }
        Ok(true)
    }
}

/// How much the phone's socket takes.
fn to_phone(tls: &mut SslStream<TcpStream>, said: &[u8]) -> Result<usize, Moved> {
    match tls.ssl_write(said) {
        Ok(taken) => Ok(taken),
        Err(error) if waits(&error) => Ok(0),
        Err(error) => Err(broken(&error)),
    }
}

fn shake(tls: &mut SslStream<TcpStream>) -> Moved {
    match tls.accept() {
        Ok(()) => Moved::Shaken,
        Err(error) if waits(&error) => Moved::Waits,
        Err(error) if is_end(&error) => Moved::Failed(Cause::Closed, String::new()),
        Err(error) => {
            let text = reason(&error);
            let cause = match text.as_str() {
                "peer did not return a certificate" => Cause::NoCertificate,
                "bad signature"
                | "wrong signature length"
                | "wrong signature size"
                | "no verify certificate" => Cause::NotHolder,
                // What the phone says: that our certificate is unknown, bad, expired, or its authority unknown.
                alert
                    if alert.contains("alert")
                        && (alert.contains("certificate") || alert.contains("unknown ca")) =>
                {
                    Cause::RefusedUs
                }
                _ => Cause::Protocol,
            };
            Moved::Failed(cause, text)
        }
    }
}

fn linger(stream: &mut TcpStream, scratch: &mut [u8]) -> Moved {
    for _ in 0..TURNS {
        match stream.read(scratch) {
            Ok(0) => return Moved::Gone,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Moved::Waits,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Moved::Gone,
        }
    }
    Moved::More
}

fn waits(error: &ssl::Error) -> bool {
    matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE)
}

/// The phone went away without a word.
fn is_end(error: &ssl::Error) -> bool {
    let reset =
        |error: &io::Error| matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
    error.code() == ErrorCode::ZERO_RETURN
        || error.io_error().is_some_and(reset)
        || (error.code() == ErrorCode::SYSCALL && error.io_error().is_none())
        || reason(error) == "unexpected eof while reading"
}

fn broken(error: &ssl::Error) -> Moved {
    match is_end(error) {
        true => Moved::Gone,
        false => Moved::Failed(Cause::Broken, reason(error)),
    }
}

fn reason(error: &ssl::Error) -> String {
    let last = error.ssl_error().and_then(|stack| stack.errors().last());
    let text = last.and_then(|last| last.reason()).map_or_else(|| error.to_string(), str::to_owned);
    Report::text(&text)
}
