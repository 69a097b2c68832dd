use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

use super::*;
use crate::layout::MAGIC;
use crate::slot::state;
use crate::{Command, Contract, DataplaneSettings, Region};

fn settings() -> DataplaneSettings {
    toml::from_str(
        "max_sessions = 64\n[[port]]\nname = \"a\"\ndevice = \"af_packet:a0\"\ntap = \"a\"\n\
         media_address = \"192.0.2.1\"\nmedia_ports = \"16384-32767\"",
    )
    .unwrap()
}

/// A data plane's main thread and worker, in a thread.
struct Plane {
    stop: Arc<AtomicBool>,
    events: Arc<Mutex<Vec<AttachEvent>>>,
    thread: Option<JoinHandle<()>>,
}

impl Plane {
    fn start(path: &Path) -> Self {
        let mut region = Region::create(&settings(), "portable").unwrap();
        let mut worker = region.worker().unwrap();
        let mut server = AttachServer::bind(path, None).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let events = Arc::new(Mutex::new(Vec::new()));
        let (stopped, told) = (Arc::clone(&stop), Arc::clone(&events));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                server.wait(Duration::from_millis(2));
                while let Some(event) = server.poll(&region) {
                    told.lock().unwrap().push(event);
                }
                for shard in 0..worker.shards() {
                    while let Some(command) = worker.commands[shard].pop() {
                        let slot = &mut worker.slots[command.slot as usize];
                        slot.change(|slot| {
                            slot.state = state::OPEN;
                            slot.generation = command.generation;
                            slot.session = command.session;
                        });
                        worker.events[shard].push(command.answer(Ok(()))).unwrap();
                    }
                }
            }
        });
        Self { stop, events, thread: Some(thread) }
    }

    /// Waits for an event that fits.
    fn saw(&self, fits: impl Fn(&AttachEvent) -> bool) -> bool {
        eventually(|| self.events.lock().unwrap().iter().any(&fits))
    }

    fn refused(&self, because: &str) -> bool {
        self.saw(|event| matches!(event, AttachEvent::Refused { reason, .. } if reason.contains(because)))
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn eventually(mut truth: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if truth() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dataplane.sock");
    (dir, path)
}

fn open_one(contract: &mut Contract, slot: u32, sequence: u32) {
    let mut shard = contract.shard(0).unwrap();
    shard.command(Command::open(slot, 1, sequence, zerocopy::FromZeros::new_zeroed())).unwrap();
    let mut event = None;
    assert!(eventually(|| {
        event = shard.event();
        event.is_some()
    }));
    assert_eq!(event.unwrap().sequence, sequence);
    shard.write_note(slot, 1, b"a call").unwrap();
}

#[test]
fn control_plane_attaches_orders_and_is_told_of_the_data_planes_end() {
    let (_dir, path) = place();
    let plane = Plane::start(&path);
    let mut contract = Contract::attach(&path, 2).unwrap();
    let me = std::process::id();
    assert!(plane.saw(|event| matches!(event, AttachEvent::Attached { peer, shards: 2 } if peer.pid == me)));
    open_one(&mut contract, 3, 77);
    assert!(contract.is_alive());
    drop(plane);
    assert!(eventually(|| !contract.is_alive()));
    assert!(!path.exists(), "a data plane that ends takes its socket along");
}

#[test]
fn second_control_plane_is_refused_until_the_first_has_gone() {
    let (_dir, path) = place();
    let plane = Plane::start(&path);
    let first = Contract::attach(&path, 1).unwrap();
    let error = Contract::attach(&path, 1).err().unwrap();
    assert!(matches!(error, AttachError::Busy { pid } if pid == std::process::id()), "{error}");
    assert!(plane.refused("another control plane"));
    assert!(first.is_alive());
    drop(first);
    Contract::attach(&path, 1).unwrap();
    assert!(plane.saw(|event| matches!(event, AttachEvent::Detached { .. })));
}

#[test]
fn absent_data_plane_is_reported_as_such() {
    let (_dir, path) = place();
    let error = Contract::attach(&path, 1).err().unwrap();
    assert!(matches!(error, AttachError::Absent { .. }), "{error}");
    assert!(error.to_string().contains("start pinhole-dataplane"));
    // A socket file that nobody listens at any more.
    drop(seqpacket(&path));
    assert!(path.exists());
    assert!(matches!(Contract::attach(&path, 1), Err(AttachError::Absent { .. })));
}

#[test]
fn stale_socket_file_is_replaced_and_a_living_one_is_not() {
    let (dir, path) = place();
    drop(seqpacket(&path));
    let server = AttachServer::bind(&path, None).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = AttachServer::bind(&path, None).err().unwrap();
    assert!(matches!(error, BindError::Running { .. }), "{error}");
    drop(server);
    fs::write(&path, "precious").unwrap();
    assert!(matches!(AttachServer::bind(&path, None), Err(BindError::NotASocket { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let nowhere = dir.path().join("missing/dataplane.sock");
    assert!(matches!(AttachServer::bind(&nowhere, None), Err(BindError::NoDirectory { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no drafts are left behind");
}

#[test]
fn socket_group_is_given_by_name_or_number_and_opens_the_socket_to_it() {
    let (_dir, path) = place();
    let error = AttachServer::bind(&path, Some("no-such-group-here")).err().unwrap();
    assert!(error.to_string().contains("there is no such group"), "{error}");
    let own = fs::metadata(path.parent().unwrap()).unwrap().gid();
    let _server = AttachServer::bind(&path, Some(&own.to_string())).unwrap();
    let made = fs::metadata(&path).unwrap();
    assert_eq!((made.gid(), made.permissions().mode() & 0o777), (own, 0o660));
    assert_eq!(server::group_id("root").unwrap(), 0);
}

#[test]
fn requests_from_another_build_are_refused_with_the_reason() {
    let (_dir, path) = place();
    let plane = Plane::start(&path);
    let good = Request { magic: MAGIC, layout_hash: LAYOUT_HASH, abi_version: ABI_VERSION, shards: 1 };
    let ask = |request: Request| client::ask(&path, &request).err().unwrap();

    let error = ask(Request { magic: 1, ..good });
    assert!(matches!(error, AttachError::Magic), "{error}");
    let error = ask(Request { abi_version: ABI_VERSION + 1, ..good });
    assert!(matches!(error, AttachError::Abi { theirs } if theirs == ABI_VERSION), "{error}");
    let error = ask(Request { layout_hash: 5, ..good });
    assert!(matches!(error, AttachError::Layout { theirs } if theirs == LAYOUT_HASH), "{error}");
    for shards in [0, MAX_SHARDS as u32 + 1] {
        assert!(matches!(ask(Request { shards, ..good }), AttachError::Shards { .. }));
    }
    for because in ["not a control plane", "another version", "another layout", "number of shards"] {
        assert!(plane.refused(because), "{because}");
    }
    client::ask(&path, &good).unwrap();
}

#[test]
fn clients_that_say_nothing_or_nonsense_do_not_keep_others_out() {
    let (_dir, path) = place();
    let plane = Plane::start(&path);
    let silent: Vec<_> = (0..12).map(|_| dial(&path)).collect();
    let talker = dial(&path);
    rustix::net::send(&talker, b"GET / HTTP/1.1", rustix::net::SendFlags::NOSIGNAL).unwrap();
    drop(dial(&path));
    let contract = Contract::attach(&path, 1).unwrap();
    assert!(contract.is_alive());
    assert!(plane.refused("no request in time"));
    assert!(plane.refused("too short"));
    assert!(plane.refused("hung up"));
    drop(silent);
}

#[test]
fn something_else_at_the_socket_is_not_taken_for_a_data_plane() {
    let (_dir, path) = place();
    let stream = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert!(matches!(Contract::attach(&path, 1), Err(AttachError::Magic)));
    assert!(matches!(AttachServer::bind(&path, None), Err(BindError::Running { .. })));
    drop(stream);
    fs::remove_file(&path).unwrap();

    let listener = seqpacket(&path);
    let other = std::thread::spawn(move || {
        let client = rustix::net::accept(&listener).unwrap();
        rustix::net::send(&client, b"220 welcome to another service", rustix::net::SendFlags::NOSIGNAL)
            .unwrap();
        client
    });
    assert!(matches!(Contract::attach(&path, 1), Err(AttachError::Magic)));
    other.join().unwrap();
}

#[test]
fn data_plane_that_does_not_answer_is_reported_as_silent() {
    let (_dir, path) = place();
    let _listener = seqpacket(&path);
    let error = Contract::attach(&path, 1).err().unwrap();
    assert!(matches!(error, AttachError::Silent { .. }), "{error}");
}

/// Not a test of its own: what the tests below run as another process. It attaches, opens a session,
/// writes its note, leaves a command that nobody may see, says so and waits to be killed.
#[test]
fn child_control_plane() {
    let Some(path) = std::env::var_os("PINHOLE_FLOW_CHILD") else { return };
    match Contract::attach(Path::new(&path), 1) {
        Ok(mut contract) => {
            open_one(&mut contract, 5, 500);
            println!("child ready");
            std::thread::sleep(Duration::from_secs(60));
        }
        Err(error) => println!("child failed: {error}"),
    }
}

fn child(path: &Path) -> Process {
    let mut child = Process::new(std::env::current_exe().unwrap());
    child.args(["--exact", "attach::tests::child_control_plane", "--nocapture", "--test-threads=1"]);
    child.env("PINHOLE_FLOW_CHILD", path).stdout(Stdio::piped());
    child
}

/// The child's first line that is its own.
fn says(child: &mut std::process::Child) -> String {
    use std::io::{BufRead, BufReader};
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).find(|line| line.contains("child "));
    line.map(|line| line.split_at(line.find("child ").unwrap()).1.to_owned()).unwrap_or_default()
}

#[test]
fn control_plane_that_is_killed_is_followed_by_one_that_finds_its_sessions() {
    let (_dir, path) = place();
    let plane = Plane::start(&path);
    let mut process = child(&path).spawn().unwrap();
    assert_eq!(says(&mut process), "child ready");
    let error = Contract::attach(&path, 1).err().unwrap();
    assert!(matches!(error, AttachError::Busy { pid } if pid == process.id()), "{error}");
    process.kill().unwrap();
    process.wait().unwrap();

    let mut contract = Contract::attach(&path, 1).unwrap();
    let pid = |peer: &Peer| peer.pid;
    assert!(
        plane.saw(|event| matches!(event, AttachEvent::Detached { peer } if pid(peer) != std::process::id()))
    );
    let shard = contract.shard(0).unwrap();
    let open: Vec<u32> = shard.all_slots().filter(|slot| shard.activity(*slot).unwrap().open).collect();
    assert_eq!(open, [5]);
    assert!(shard.read_slot(5).unwrap().is_open(1));
    assert_eq!(shard.read_note(5, 1).unwrap(), b"a call");
    drop(shard);
    drop(contract);
    let mut contract = Contract::attach(&path, 1).unwrap();
    open_one(&mut contract, 6, 600);
}

#[test]
fn user_without_permission_is_told_what_to_set() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can play another user.
    }
    use std::os::unix::process::CommandExt;
    let (dir, path) = place();
    let _plane = Plane::start(&path);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The test's own file may lie where other users cannot pass.
    let copy = dir.path().join("child");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let args = ["--exact", "attach::tests::child_control_plane", "--nocapture", "--test-threads=1"];
    let mut stranger = Process::new(&copy);
    stranger.args(args).env("PINHOLE_FLOW_CHILD", &path).current_dir("/");
    let said = stranger.uid(65_534).gid(65_534).output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("not permitted") && said.contains("socket_group"), "{said}");
}

fn seqpacket(path: &Path) -> OwnedFd {
    let listener =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
    listen(&listener, 4).unwrap();
    listener
}

#[test]
fn a_control_plane_that_talks_on_does_not_keep_the_data_plane_awake() {
    let (_dir, path) = place();
    let region = Region::create(&settings(), "portable").unwrap();
    let mut server = AttachServer::bind(&path, None).unwrap();
    let connection = dial(&path);
    let request = Request { magic: MAGIC, layout_hash: LAYOUT_HASH, abi_version: ABI_VERSION, shards: 1 };
    let say = |what: &[u8]| rustix::net::send(&connection, what, rustix::net::SendFlags::NOSIGNAL).unwrap();
    say(request.as_bytes());
    assert!(matches!(server.poll(&region), Some(AttachEvent::Attached { .. })));
    say(b"hello?");
    say(b"is anybody there?");
    assert_eq!(server.poll(&region), None, "it is still attached");
    let began = Instant::now();
    server.wait(Duration::from_millis(100));
    assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
    drop(connection);
    assert!(matches!(server.poll(&region), Some(AttachEvent::Detached { .. })));
}

/// Connects without saying anything; waits for a place in the queue.
fn dial(path: &Path) -> OwnedFd {
    let connection =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    rustix::net::connect(connection.as_fd(), &SocketAddrUnix::new(path).unwrap()).unwrap();
    connection
}
