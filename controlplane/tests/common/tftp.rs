//! A TFTP client (RFC 1350, 2347, 2348) that does one step at a time, so that many transfers can be under way at once.
//! Lost packets are the server's to send again.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Why there is no file: code and text of the server's error.
pub type Refused = (u16, String);

/// A transfer, from its request on.
pub struct Transfer {
    socket: UdpSocket,
    server: SocketAddr,
    /// Where its packets come from, once one has.
    peer: Option<SocketAddr>,
    /// The greatest block that was asked for.
    asked: Option<usize>,
    block_size: usize,
    /// Blocks that came: as many as were acknowledged.
    blocks: u64,
    pub content: Vec<u8>,
    pub is_done: bool,
}

impl Transfer {
    /// Asks for a file from an address, in blocks of a size, or what is usual.
    pub fn ask(server: SocketAddr, from: IpAddr, name: &str, blksize: Option<usize>) -> Self {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        // Long enough for all that a server sends again.
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let option = blksize.map(|size| format!("blksize\0{size}\0")).unwrap_or_default();
        socket.send_to(format!("\0\u{1}{name}\0octet\0{option}").as_bytes(), server).unwrap();
        let (asked, content) = (blksize, Vec::new());
        Self { socket, server, peer: None, asked, block_size: 512, blocks: 0, content, is_done: false }
    }

    /// Waits for the first answer, and acknowledges nothing yet.
    pub fn begin(&mut self) -> Result<(), Refused> {
        let mut packet = [0; 2048];
        let (len, peer) = self.socket.recv_from(&mut packet).unwrap();
        self.peer = Some(peer);
        assert_eq!(peer.ip(), self.server.ip());
        match &packet[..len] {
            [0, 6, options @ ..] => {
                let agreed = String::from_utf8_lossy(options).into_owned();
                let agreed: Vec<_> = agreed.split_terminator('\0').collect();
                let [name, size] = agreed[..] else { panic!("{agreed:?}") };
                assert_eq!(name.to_ascii_lowercase(), "blksize");
                self.block_size = size.parse().unwrap();
                assert!(
                    self.asked.is_some_and(|asked| self.block_size <= asked),
                    "no more than was asked for"
                );
            }
            [0, 3, 0, 1, bytes @ ..] => self.take(bytes),
            [0, 5, high, low, text @ ..] => {
                let text = String::from_utf8_lossy(text).trim_end_matches('\0').to_owned();
                return Err((u16::from_be_bytes([*high, *low]), text));
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    /// Acknowledges what came last; unless that was the end, waits for the next block.
    pub fn step(&mut self) {
        let peer = self.peer.unwrap();
        self.acknowledge(peer);
        let mut packet = vec![0; 4 + self.block_size + 1];
        while !self.is_done {
            let (len, from) = self.socket.recv_from(&mut packet).unwrap();
            assert_eq!(from, peer, "one transfer comes from one port");
            let [high, low] = ((self.blocks + 1) as u16).to_be_bytes();
            match &packet[..len] {
                [0, 3, first, second, bytes @ ..] if [*first, *second] == [high, low] => {
                    self.take(bytes);
                    if self.is_done {
                        self.acknowledge(peer);
                    }
                    return;
                }
                [0, 3 | 6, ..] => {}
                other => panic!("{other:?}"),
            }
            // What was acknowledged came again: the acknowledgement was lost.
            self.acknowledge(peer);
        }
    }

    /// Takes all that is left, and returns the file with the number of blocks that it came in.
    pub fn finish(mut self) -> (Vec<u8>, u64) {
        while !self.is_done {
            self.step();
        }
        (self.content, self.blocks)
    }

    /// What has come and was not read, waiting for nothing.
    pub fn has_nothing(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let found = self.socket.peek_from(&mut [0; 4]);
        self.socket.set_nonblocking(false).unwrap();
        matches!(found, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn acknowledge(&self, peer: SocketAddr) {
        let [high, low] = (self.blocks as u16).to_be_bytes();
        self.socket.send_to(&[0, 4, high, low], peer).unwrap();
    }

    fn take(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.block_size, "a block is no longer than was agreed on");
        self.blocks += 1;
        self.content.extend_from_slice(bytes);
        self.is_done = bytes.len() < self.block_size;
    }
}

/// Fetches a whole file.
pub fn fetch(
    server: SocketAddr,
    from: IpAddr,
    name: &str,
    blksize: Option<usize>,
) -> Result<(Vec<u8>, u64), Refused> {
    let mut transfer = Transfer::ask(server, from, name, blksize);
    transfer.begin()?;
    if transfer.is_done {
        transfer.step();
    }
    Ok(transfer.finish())
}
