//! The program against the real pinhole-dataplane, between two vhost ports: what it counts must be what
//! happened. No rates are tested here. Needs root (a network namespace for the kernel twins) and two cores;
//! without root it says so and does nothing.

// Clippy knows test functions as tests, but not their helpers.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A namespace and a running data plane; both go when this is dropped.
struct Bench {
    ns: String,
    directory: tempfile::TempDir,
    process: Option<Child>,
}

fn sh(line: &str) {
    let output = Command::new("sh").args(["-ec", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The data plane that was built beside the farm.
fn data_plane() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_phonefarm")).with_file_name("pinhole-dataplane");
    assert!(path.exists(), "{} is missing: cargo build -p pinhole-dataplane", path.display());
    path
}

impl Bench {
    fn new(test: &str) -> Self {
        let ns = format!("pft-{test}-{}", std::process::id());
        sh(&format!("ip netns add {ns}"));
        Self { ns, directory: tempfile::tempdir().unwrap(), process: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> PathBuf {
        let port = |number: u8, name: &str, address: &str| {
            format!(
                "[[dataplane.port]]\nname = \"{name}\"\ndevice = \"vhost:{}\"\ntap = \"{name}\"\n\
                 mac = \"02:00:5e:00:01:0{number}\"\nmedia_address = \"{address}\"\nmedia_ports = \"16384-17383\"\n",
                self.path(&format!("{name}.sock")).display()
            )
        };
        let text = format!(
            "[dataplane]\nsocket = {:?}\nworker_cores = [1]\nmain_core = 0\nidle = \"sleep\"\nmax_sessions = 200\n\
             huge_pages = \"off\"\nfile_prefix = \"{}\"\n{}{}",
            self.path("dataplane.sock"),
            self.ns,
            port(1, "outside", "203.0.113.5"),
            port(2, "inside", "10.20.0.5"),
        );
        let config = self.path("pinhole.toml");
        std::fs::write(&config, text).unwrap();
        config
    }

    fn start(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.ns]).arg(data_plane()).arg("--config").arg(self.config());
        self.process = Some(command.stderr(Stdio::from(log)).spawn().unwrap());
        let start = Instant::now();
        while !self.log().contains("ready:") {
            assert!(start.elapsed() < Duration::from_secs(20), "does not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn farm(&self, words: &str) -> Output {
        let mut words = words.split_whitespace();
        let mut command = Command::new(env!("CARGO_BIN_EXE_phonefarm"));
        command.args(words.next()).arg("--config").arg(self.config()).args(words).output().unwrap()
    }

    /// What the farm finds.
    fn found(&self, words: &str) -> Value {
        let output = self.farm(words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}: {errors}\n{}", self.log());
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    /// What it says when it fails.
    fn refusal(&self, words: &str) -> String {
        let output = self.farm(words);
        assert!(!output.status.success(), "{words}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.ns]).output();
    }
}

/// Every packet of the calls arrived once, and whole.
fn assert_clean(found: &Value) {
    assert!(found["clean"].as_bool().unwrap() && found["sent"] == found["received"], "{found:#}");
}

#[test]
fn every_packet_of_a_hundred_calls_is_accounted_for_also_under_attack() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root for a network namespace");
        return;
    }
    let mut bench = Bench::new("calls");
    assert!(bench.refusal("run --sessions 1 --seconds 1").contains("is a data plane running"));
    bench.start();

    let run = bench.found("run --sessions 100 --seconds 2");
    assert_clean(&run);
    assert_eq!(run["sent"], 2 * 100 * 100, "{run:#}");
    assert_eq!(run["by_port"][0], run["by_port"][1]);
    assert_eq!(run["data_plane"]["drops"], serde_json::json!({}));
    assert_eq!(run["data_plane"]["sessions_open"], 100);
    assert_eq!(run["delay_us"]["max"].as_f64().map(|max| max > 0.0), Some(true));

    let forged = bench.found("run --sessions 20 --seconds 1 --forged-share 0.5 --suite AEAD_AES_256_GCM");
    assert_clean(&forged);
    assert_eq!(forged["forged"], 500);
    assert_eq!(forged["data_plane"]["drops"]["auth_failed"], 500, "{forged:#}");

    let attack = bench.found("attack malformed --sessions 10 --packets 2000 --rate 2000");
    assert_clean(&attack["legit"]);
    assert_clean(&attack["later"]);
    assert_eq!((&attack["forged"], &attack["attacker_received"]), (&2_000.into(), &0.into()));
    let drops = attack["legit"]["data_plane"]["drops"].as_object().unwrap();
    assert_eq!(drops.values().filter_map(Value::as_u64).sum::<u64>(), 2_000, "{attack:#}");

    let spray = bench.found("attack spray --sessions 10 --packets 4000 --rate 2000");
    assert_clean(&spray["legit"]);
    assert_eq!((&spray["forged"], &spray["attacker_received"]), (&4_000.into(), &0.into()));

    let churn = bench.found("churn --cycles 1000");
    assert_eq!(
        (&churn["cycles"], &churn["slots_open"], &churn["sessions_open"]),
        (&1_000.into(), &0.into(), &0.into())
    );

    assert!(bench.refusal("run --sessions 201 --seconds 1").contains("max_sessions = 200"));
    assert!(bench.refusal("run --outside eth0").contains("virtio:/PATH.sock"));

    assert_ends_without_data_plane(&mut bench);
}

/// The data plane is killed in the middle of a run: the rings fill up, and the farm ends and says why.
fn assert_ends_without_data_plane(bench: &mut Bench) {
    let mut farm = Command::new(env!("CARGO_BIN_EXE_phonefarm"))
        .args(["run", "--seconds", "3600", "--sessions", "10", "--interval-us", "1000", "--config"])
        .arg(bench.config())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(farm.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains(" s: "), "{first}");
    let mut process = bench.process.take().unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    let last = lines.map_while(Result::ok).last().unwrap();
    assert!(last.contains("error: the data plane has ended") && !farm.wait().unwrap().success(), "{last}");
}
