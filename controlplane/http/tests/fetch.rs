//! What the client does: by itself, and with a packaged server.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pinhole_http::{Fetch, FetchError, FetchSettings};
use proptest::prelude::*;

type Fetched = Result<Vec<u8>, FetchError>;

fn server() -> SocketAddr {
    "192.0.2.1:6970".parse().unwrap()
}

fn begin() -> Fetch {
    let settings = FetchSettings { limit: 100, ..FetchSettings::default() };
    Fetch::begin(server(), "SEP0010DB000001.cnf.xml", settings, Instant::now()).unwrap().0
}

/// What comes of a response in pieces of one size; `None`: it is not whole.
fn fetched(response: &[u8], size: usize) -> Option<Fetched> {
    let mut fetch = begin();
    response.chunks(size).find_map(|piece| fetch.received(piece, Instant::now()))
}

#[test]
fn a_file_is_asked_for_in_a_way_that_allows_no_pieces() {
    let (_, request) = Fetch::begin(server(), "a/b.xml", FetchSettings::default(), Instant::now()).unwrap();
    assert_eq!(request, b"GET /a/b.xml HTTP/1.0\r\nHost: 192.0.2.1:6970\r\nConnection: close\r\n\r\n");
    for name in ["", "a b", "a\r\nb", "a?b", "a%2e", "\u{e4}", &"a".repeat(257)] {
        let begun = Fetch::begin(server(), name, FetchSettings::default(), Instant::now());
        assert_eq!(begun.err(), Some(FetchError::Name), "{name:?}");
    }
}

#[test]
fn a_file_comes_whole_or_not_at_all() {
    for size in [1, 7, 1000] {
        let whole = b"HTTP/1.1 200 OK\r\nServer: a\r\ncontent-length: 7\r\n\r\ncontent";
        assert_eq!(fetched(whole, size), Some(Ok(b"content".to_vec())));
        assert_eq!(fetched(&whole[..whole.len() - 1], size), None);
        assert_eq!(fetched(b"HTTP/1.0 200\r\nContent-Length: 0\r\n\r\n", size), Some(Ok(vec![])));
    }
    let mut fetch = begin();
    assert_eq!(fetch.cut(), FetchError::Silent);
    assert_eq!(fetch.received(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nconten", Instant::now()), None);
    assert_eq!(fetch.cut(), FetchError::Cut);
}

#[test]
fn what_is_no_file_is_refused_by_its_reason() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(65));
    let long = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(9000));
    for (response, error) in [
        ("HTTP/1.1 404 Not Found\r\n\r\n", FetchError::NotFound),
        ("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.9/\r\n\r\n", FetchError::Refused(302)),
        ("HTTP/1.1 500 No\r\n\r\n", FetchError::Refused(500)),
        ("HTTP/1.1 200 OK\r\n\r\n", FetchError::Protocol("no length")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", FetchError::TooLong { limit: 100 }),
        ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", FetchError::Protocol("a length that is none")),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            FetchError::Protocol("two lengths"),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            FetchError::Protocol("an encoding that was not asked for"),
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", FetchError::Protocol("more than was announced")),
        ("rubbish\r\n", FetchError::Protocol("no HTTP")),
        (&many, FetchError::Protocol("a head that is too long")),
        (&long, FetchError::Protocol("a head that is too long")),
    ] {
        assert_eq!(fetched(response.as_bytes(), 5000), Some(Err(error)), "{response}");
    }
}

#[test]
fn a_server_that_says_nothing_for_too_long_is_given_up() {
    let (mut fetch, now) = (begin(), Instant::now());
    assert_eq!(fetch.tick(now + Duration::from_secs(6)), None);
    assert_eq!(fetch.tick(now + Duration::from_secs(8)), Some(FetchError::Silent));
    let mut heard = now;
    while heard < now + Duration::from_secs(299) {
        heard += Duration::from_secs(6);
        assert_eq!(fetch.received(b"H", heard).filter(Result::is_ok), None);
    }
    assert_eq!(fetch.tick(now + Duration::from_secs(301)), Some(FetchError::Silent), "however it trickles");
}

proptest! {
    #[test]
    fn any_bytes_are_a_response_or_none_in_whatever_pieces(
        head in "(HTTP/1.1 (200|404) OK\r\n)?(Content-Length: [0-9]{1,2}\r\n)?(\r\n)?",
        rest in proptest::collection::vec(any::<u8>(), 0..40),
        size in 1_usize..20,
    ) {
        let bytes = [head.as_bytes(), &rest].concat();
        let (pieces, whole) = (fetched(&bytes, size), fetched(&bytes, bytes.len().max(1)));
        // What comes after the end may or may not be seen.
        if !matches!((&pieces, &whole), (Some(Ok(_)), Some(Err(FetchError::Protocol("more than was announced"))))) {
            prop_assert_eq!(pieces, whole);
        }
    }
}

/// A packaged server in the foreground; ended when dropped.
struct Packaged(Child, SocketAddr);

impl Packaged {
    fn start(folder: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("/usr/bin/python3")
            .args(["-m", "http.server", "--bind", "127.0.0.1", &free.port().to_string()])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the Debian package python3 is needed (scripts/test installs it)");
        let begun = Instant::now();
        while TcpStream::connect(free).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(child, free)
    }
}

impl Drop for Packaged {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn fetch(server: SocketAddr, name: &str, settings: FetchSettings) -> Fetched {
    let (mut fetch, request) = Fetch::begin(server, name, settings, Instant::now())?;
    let mut stream = TcpStream::connect(server).map_err(|_| fetch.cut())?;
    stream.write_all(&request).unwrap();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return Err(fetch.cut()),
            Ok(len) => {
                if let Some(fetched) = fetch.received(&buffer[..len], Instant::now()) {
                    return fetched;
                }
            }
        }
    }
}

#[test]
fn files_of_all_sizes_come_from_a_packaged_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = |size: usize| (0..size).map(|at| (at % 251) as u8).collect::<Vec<_>>();
    for size in [0, 1, 65_535, 5 << 20] {
        std::fs::write(folder.path().join(size.to_string()), file(size)).unwrap();
    }
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    let server = Packaged::start(folder.path());
    for size in [0, 1, 65_535, 5 << 20] {
        assert!(fetch(server.1, &size.to_string(), FetchSettings::default()) == Ok(file(size)), "{size}");
    }
    assert_eq!(fetch(server.1, "none.xml", FetchSettings::default()), Err(FetchError::NotFound));
    assert_eq!(fetch(server.1, "folder", FetchSettings::default()), Err(FetchError::Refused(301)));
    let settings = FetchSettings { limit: 65_534, ..FetchSettings::default() };
    assert_eq!(fetch(server.1, "65535", settings), Err(FetchError::TooLong { limit: 65_534 }));
}
