//! A control plane with phones and a call manager's file server, and pinholectl beside it: real programs on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "only tests use what is here")]
#![allow(dead_code, reason = "each test file uses its part")]

#[path = "../../../tests/common/mod.rs"]
pub mod common;

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use common::provisioning::{CallManager, free_udp};
use common::{Appliance, Certified, Validity, free_address};

pub struct Stage {
    pub appliance: Appliance,
    pub call_manager: CallManager,
    port: u16,
    files: tempfile::TempDir,
    /// What phones prove themselves with.
    certified: Mutex<HashMap<String, Certified>>,
}

impl Stage {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// With this line in the cluster.
    pub fn start_with(line: &str) -> Self {
        let call_manager = CallManager::without_files();
        let ports = free_udp(17);
        let provisioning = format!(
            "[provisioning]\ndirectory = \"/etc/pinhole/provisioning\"\n[provisioning.phones]\n\
             trust_list_first = false\n[provisioning.tftp]\n\
             listen = \"127.0.0.1:{ports}\"\nreply_port = {}\n[provisioning.capf]\nlisten = \"{}\"\n[[cluster]]\n",
            ports + 1,
            free_address()
        );
        let cluster = format!(
            "devices = \"^SEP\"\ntftp_server = \"127.0.0.1:{}\"\n{line}\n[cluster.rewrite]\n\
             capf = {{ at = {{ address = \"203.0.113.5\", port = 3804 }} }}\n[[cluster.rewrite.call_manager]]\n\
             inside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\nsip_tls_port = 5071\n",
            call_manager.port
        );
        let changes = [("[[cluster]]\n", provisioning.as_str()), ("devices = \"^SEP\"\n", cluster.as_str())];
        let appliance = Appliance::start_changed(&changes);
        let files = tempfile::tempdir().unwrap();
        Self { appliance, call_manager, port: ports, files, certified: Mutex::default() }
    }

    /// Where files of this test are.
    pub fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// The folder of the keys.
    pub fn keys(&self) -> PathBuf {
        self.appliance.file.parent().unwrap().join("provisioning/authority")
    }

    /// Runs pinholectl with arguments between spaces, `{}` in them standing for the folder of [`file`](Self::file), and a line on
    /// its standard input.
    pub fn run(&self, arguments: &str, input: &str) -> Output {
        pinholectl(&self.appliance.file, &arguments.replace("{}", self.files.path().to_str().unwrap()), input)
    }

    /// What pinholectl says when it does what it is told.
    pub fn does(&self, arguments: &str) -> String {
        self.does_with(arguments, "")
    }

    pub fn does_with(&self, arguments: &str, input: &str) -> String {
        let output = self.run(arguments, input);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// What pinholectl says when it refuses.
    pub fn refuses(&self, arguments: &str) -> String {
        self.refuses_with(arguments, "")
    }

    pub fn refuses_with(&self, arguments: &str, input: &str) -> String {
        let output = self.run(arguments, input);
        assert_eq!(output.status.code(), Some(1), "{arguments}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    /// Fetches a file as a phone does, with a packaged client, and keeps it under a name.
    pub fn fetch(&self, name: &str, keep: &str) {
        assert_eq!(self.curl(name, keep), Some(0), "{name}");
    }

    /// Asks for a file that is not found.
    pub fn is_denied(&self, name: &str) {
        assert_eq!(self.curl(name, "denied"), Some(68), "{name}");
    }

    fn curl(&self, name: &str, keep: &str) -> Option<i32> {
        let status = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30", "-o"])
            .arg(self.file(keep))
            .arg(format!("tftp://127.0.0.1:{}/{name}", self.port))
            .status()
            .expect("curl is needed (scripts/test installs it)");
        status.code()
    }

    /// A phone proves itself where it has fetched, and then the control plane knows that it holds a list other than this.
    pub fn holds_other_than(&self, device: &str, before: &str) -> String {
        let sign = || self.appliance.authority.sign(device, Validity::Now);
        let mut certified = self.certified.lock().unwrap();
        let shown = certified.entry(device.to_owned()).or_insert_with(sign);
        let line = || {
            let shown = self.does(&format!("phone show {device}"));
            shown.lines().find(|line| line.starts_with("Trust list")).unwrap().to_owned()
        };
        // The list's last acknowledgement may come after the first proof.
        let holds = || {
            assert!(self.appliance.phone(Some(shown)).is_served());
            !line().ends_with(" -") && line() != before
        };
        common::eventually(holds, "the phone holds its list");
        line()
    }
}

/// Runs the real program.
pub fn pinholectl(config: &Path, arguments: &str, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pinholectl"))
        .arg("--config")
        .arg(config)
        .args(arguments.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who needs no input may be gone.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}
