//! The server with packaged clients (tftp-hpa, atftp, curl), and the client with a packaged server (tftpd-hpa), on the
//! loopback interface.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod common;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::file;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use pinhole_tftp::{
    Denied, End, Fetch, FetchError, FetchSettings, Limits, Output, Rate, Server, Settings, Step,
};

const SIZES: [usize; 7] = [0, 1, 511, 512, 513, 65_535, 40 << 20];

/// A server with sockets of its own, and files named after their sizes.
struct Running {
    port: u16,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(reply_sockets: usize) -> Self {
        let limits = Limits {
            requests_per_source: Rate { per_second: 10_000, burst: 10_000 },
            requests: Rate { per_second: 10_000, burst: 10_000 },
            transfers_per_source: 1000,
            transfers: 1000,
            ..Limits::default()
        };
        let settings = Settings { reply_sockets, block_max: 65_464, limits, ..Settings::default() };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut sockets: Vec<_> = (0..=reply_sockets).map(|_| UdpSocket::bind(any).unwrap()).collect();
        let port = sockets[0].local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let (stopped, counted) = (stop.clone(), acknowledged.clone());
        let thread = std::thread::spawn(move || {
            let mut poll = Poll::new().unwrap();
            for (at, socket) in sockets.iter_mut().enumerate() {
                poll.registry().register(socket, Token(at), Interest::READABLE).unwrap();
            }
            serve(&mut poll, &sockets, Server::new(settings), &stopped, &counted);
        });
        Self { port, stop, acknowledged, thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(
    poll: &mut Poll,
    sockets: &[UdpSocket],
    mut server: Server,
    stop: &AtomicBool,
    acknowledged: &AtomicUsize,
) {
    let mut files: HashMap<Vec<u8>, Arc<[u8]>> = HashMap::new();
    let mut events = Events::with_capacity(64);
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        let wait = server
            .due()
            .map_or(Duration::from_millis(50), |due| due.saturating_duration_since(Instant::now()));
        poll.poll(&mut events, Some(wait.min(Duration::from_millis(50)))).unwrap();
        let mut out = Vec::new();
        for event in &events {
            let at = event.token().0;
            while let Ok((len, from)) = sockets[at].recv_from(&mut buffer) {
                server.datagram(at, from, &buffer[..len], Instant::now(), &mut out);
            }
        }
        server.tick(Instant::now(), &mut out);
        while !out.is_empty() {
            for output in std::mem::take(&mut out) {
                match output {
                    // A full buffer of the socket is a loss like any other.
                    Output::Send { socket, to, datagram } => drop(sockets[socket].send_to(&datagram, to)),
                    Output::Requested { transfer, name, .. } => {
                        let size = std::str::from_utf8(&name).unwrap().parse::<usize>();
                        let answer = size.map_err(|_| Denied::NotFound);
                        let answer =
                            answer.map(|size| files.entry(name).or_insert_with(|| file(size).into()).clone());
                        server.answer(transfer, answer, Instant::now(), &mut out);
                    }
                    Output::Ended { end: End::Acknowledged, .. } => {
                        _ = acknowledged.fetch_add(1, Ordering::Relaxed)
                    }
                    Output::Ended { .. } | Output::Refused { .. } => {}
                }
            }
        }
    }
}

fn run(command: &mut Command) {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("{shown}: {error}; the Debian packages tftp-hpa, atftp and curl are needed (scripts/test installs them)")
    });
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}: {out}{err}");
}

fn curl(port: u16, name: &str, block: usize, to: &Path) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "60", "--tftp-blksize", &block.to_string()]);
    command.args(["-o", to.to_str().unwrap(), &format!("tftp://127.0.0.1:{port}/{name}")]);
    command
}

fn is_file(path: &Path, size: usize) {
    assert!(std::fs::read(path).unwrap_or_default() == file(size), "{} of {size} bytes", path.display());
}

#[test]
fn curl_gets_files_of_all_sizes_in_blocks_of_many_sizes() {
    let folder = tempfile::tempdir().unwrap();
    for reply_sockets in [0, 4] {
        let server = Running::start(reply_sockets);
        for size in SIZES {
            for block in [512, 1428, 65_464] {
                let to = folder.path().join("got");
                // curl makes no file of nothing.
                std::fs::write(&to, b"").unwrap();
                run(&mut curl(server.port, &size.to_string(), block, &to));
                is_file(&to, size);
            }
        }
        assert_eq!(server.acknowledged.load(Ordering::Relaxed), SIZES.len() * 3);
    }
}

#[test]
fn tftp_hpa_gets_files_of_all_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(4);
    for size in SIZES {
        let to = folder.path().join(size.to_string());
        let port = server.port.to_string();
        run(Command::new("tftp")
            .args(["-m", "binary", "127.0.0.1", &port, "-c", "get", &size.to_string()])
            .arg(&to));
        is_file(&to, size);
    }
}

#[test]
fn atftp_gets_files_of_all_sizes_with_all_options() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(4);
    for size in SIZES {
        for block in ["512", "1428", "65464"] {
            let to = folder.path().join(format!("{size}-{block}"));
            let option = format!("blksize {block}");
            let mut command = Command::new("atftp");
            command.args(["--option", &option, "--option", "tsize 0", "--option", "timeout 2", "--get"]);
            command.args(["--remote-file", &size.to_string(), "--local-file"]).arg(&to);
            run(command.args(["127.0.0.1", &server.port.to_string()]));
            is_file(&to, size);
        }
    }
}

#[test]
fn a_file_that_does_not_exist_is_an_error_to_a_packaged_client() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(4);
    let status =
        curl(server.port, "SEP001122334455.cnf.xml", 512, &folder.path().join("got")).status().unwrap();
    // CURLE_TFTP_NOTFOUND.
    assert_eq!(status.code(), Some(68));
}

#[test]
fn five_hundred_clients_at_once_all_get_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(16);
    // One process of curl carries fifty transfers at a time.
    let mut children: Vec<Child> = Vec::new();
    for process in 0..10 {
        let mut command = Command::new("curl");
        command.args([
            "--no-progress-meter",
            "--show-error",
            "--parallel",
            "--parallel-max",
            "50",
            "--max-time",
            "120",
        ]);
        for transfer in 0..50 {
            let to = folder.path().join(format!("{process}-{transfer}"));
            command.args([
                "-o",
                to.to_str().unwrap(),
                &format!("tftp://127.0.0.1:{}/{}", server.port, 65_535),
            ]);
        }
        children.push(command.stdin(Stdio::null()).spawn().unwrap());
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    for process in 0..10 {
        for transfer in 0..50 {
            is_file(&folder.path().join(format!("{process}-{transfer}")), 65_535);
        }
    }
}

/// A packaged server in the foreground on a port of its own; ended when dropped.
struct Packaged(Child, SocketAddr);

impl Packaged {
    fn start(folder: &Path) -> Self {
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("/usr/sbin/in.tftpd")
            .args(["--foreground", "--user", "root", "--secure", "--address", &free.to_string()])
            .arg(folder)
            .spawn()
            .expect("the Debian package tftpd-hpa is needed, and root (scripts/test installs it)");
        Self(child, free)
    }
}

impl Drop for Packaged {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn fetch(server: SocketAddr, name: &str, settings: FetchSettings) -> Result<Vec<u8>, FetchError> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut fetch, request) = Fetch::begin(server, name, settings, Instant::now())?;
    socket.send_to(&request, server).unwrap();
    let mut buffer = vec![0; 65_536];
    loop {
        let wait = fetch.due().saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(wait)).unwrap();
        let step = match socket.recv_from(&mut buffer) {
            Ok((len, from)) => fetch.datagram(from, &buffer[..len], Instant::now()),
            Err(_) => fetch.tick(Instant::now()),
        };
        match step {
            Step::Wait => {}
            Step::Send { to, datagram } => drop(socket.send_to(&datagram, to)),
            Step::Over { file, last } => {
                if let Some((to, datagram)) = last {
                    drop(socket.send_to(&datagram, to));
                }
                return file;
            }
        }
    }
}

#[test]
fn files_of_all_sizes_come_from_a_packaged_server() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for size in SIZES {
        std::fs::write(folder.path().join(size.to_string()), file(size)).unwrap();
    }
    let server = Packaged::start(folder.path());
    for size in SIZES {
        for block_size in [512, 1428, 16_384] {
            let settings = FetchSettings { block_size, retries: 6, ..FetchSettings::default() };
            let got = fetch(server.1, &size.to_string(), settings);
            assert!(got == Ok(file(size)), "{size} bytes in blocks of {block_size}");
        }
    }
    let missing = fetch(server.1, "SEP001122334455.cnf.xml", FetchSettings::default());
    assert_eq!(missing, Err(FetchError::NotFound));
    let settings = FetchSettings { limit: 65_534, ..FetchSettings::default() };
    assert_eq!(fetch(server.1, "65535", settings), Err(FetchError::TooLong { limit: 65_534 }));
}

#[test]
fn a_server_that_is_not_there_is_silent() {
    let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings =
        FetchSettings { timeout: Duration::from_millis(20), retries: 2, ..FetchSettings::default() };
    assert_eq!(fetch(gone, "a.xml", settings), Err(FetchError::Silent));
}
