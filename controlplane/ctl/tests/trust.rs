//! `pinholectl trust` against a running control plane, with phones that fetch their trust lists by a packaged client.

#![allow(clippy::panic, reason = "a test may panic")]

mod support;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use pinhole_admin::{Request, Response};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use support::common::eventually;
use support::common::provisioning::{Signed, signed};
use support::{Stage, pinholectl};

const FOLLOWS: &str = "SEP0010DB000001";
const AWAY: &str = "SEP0010DB000002";
const PASSPHRASE: &str = "correct horse battery\n";

/// The line of a table that begins with a word.
fn row<'a>(table: &'a str, first: &str) -> &'a str {
    table
        .lines()
        .find(|line| line.trim_start().starts_with(first))
        .unwrap_or_else(|| panic!("{first} in {table}"))
}

#[test]
fn keys_are_made_escrowed_and_rotated_and_the_dry_run_names_who_would_be_stranded() {
    let stage = Stage::start();
    let says = |text: &str| stage.appliance.events().iter().any(|event| event.text.contains(text));
    assert!(says("pinholectl trust create"));
    assert!(stage.refuses("trust show").contains("make the keys first"));
    let made = stage.does("trust create");
    assert!(made.contains("trust lists are served, generation"), "{made}");
    assert!(row(&made, "sast-a").contains("trust lists") && row(&made, "sast-b").contains("never"), "{made}");
    assert!(stage.refuses("trust create").contains("not to be overwritten"));

    // Nobody but this machine has a key that could sign.
    let unescrowed = || stage.appliance.counter("provisioning", "sast_not_escrowed");
    assert!(unescrowed() >= 1 && says("pinholectl trust export sast-b"));
    assert!(stage.refuses("trust remove sast-b").contains("never exported"));
    assert!(stage.refuses_with("trust export sast-b --out {}/b.p12", "short\n").contains("at least 8"));
    assert!(stage.refuses("trust export sast-b --out {}/b.p12").contains("no passphrase"));
    let before = unescrowed();
    let exported = stage.does_with("trust export sast-b --out {}/b.p12", PASSPHRASE);
    assert!(exported.contains("pinholectl trust remove sast-b"), "{exported}");
    assert_eq!(unescrowed(), before);
    assert_eq!(fs::metadata(stage.file("b.p12")).unwrap().permissions().mode() & 0o777, 0o600);
    let again = stage.refuses_with("trust export sast-b --out {}/b.p12", PASSPHRASE);
    assert!(again.contains("exists"), "{again}");
    // Another program opens it.
    let opened = Command::new("openssl")
        .args(["pkcs12", "-nodes", "-passin", &format!("pass:{}", PASSPHRASE.trim()), "-in"])
        .arg(stage.file("b.p12"))
        .output()
        .unwrap();
    let opened = String::from_utf8(opened.stdout).unwrap();
    assert!(opened.contains("BEGIN PRIVATE KEY") && opened.contains("BEGIN CERTIFICATE"));

    assert!(stage.refuses("trust remove sast-a").contains("it is the one that signs"));
    assert!(stage.refuses("trust remove https").contains("only a SAST's key"));
    stage.does("trust remove sast-b");
    assert!(!stage.keys().join("sast-b.key.pem").exists());
    assert!(row(&stage.does("trust show"), "sast-b").contains("in escrow"));

    // Two phones fetch the first list.
    let mut held = String::new();
    for (device, keep) in [(AWAY, "away.tlv"), (FOLLOWS, "1.tlv")] {
        stage.does(&format!("phone allow {device}"));
        stage.fetch(&format!("CTL{device}.tlv"), keep);
        held = stage.holds_other_than(device, "");
    }
    assert_eq!(fs::read(stage.file("1.tlv")).unwrap(), fs::read(stage.file("away.tlv")).unwrap());
    assert!(stage.refuses("trust rotate sast-a --dry-run").contains("import sast-b from escrow"));

    fs::write(stage.file("wrong"), "another passphrase\n").unwrap();
    let wrong = stage.refuses("trust import sast-b {}/b.p12 --passphrase-file {}/wrong");
    assert!(wrong.contains("wrong passphrase"), "{wrong}");
    fs::write(stage.file("right"), PASSPHRASE).unwrap();
    stage.does("trust import sast-b {}/b.p12 --passphrase-file {}/right");
    let dry = stage.does("trust rotate sast-a --dry-run");
    assert!(dry.contains("2 phone(s) accept the next trust list, 0 would be stranded"), "{dry}");
    assert!(!dry.contains(FOLLOWS), "{dry}");
    let rotated = stage.does("trust rotate sast-a");
    assert!(row(&rotated, "sast-b").contains("trust lists"), "{rotated}");
    assert!(stage.refuses("trust rotate sast-b").contains("no phone knows"));
    stage.fetch(&format!("CTL{FOLLOWS}.tlv"), "2.tlv");
    held = stage.holds_other_than(FOLLOWS, &held);

    // The other phone was away.
    let dry = stage.does("trust rotate sast-b --dry-run");
    assert!(dry.contains("1 phone(s) accept the next trust list, 1 would be stranded"), "{dry}");
    assert!(row(&dry, AWAY).contains("STRANDED") && !dry.contains(FOLLOWS), "{dry}");
    let keys = stage.does("trust show");
    let refused = stage.refuses("trust rotate sast-b");
    assert!(row(&refused, AWAY).contains("STRANDED") && refused.contains("nothing was changed"), "{refused}");
    assert_eq!(stage.does("trust show"), keys);
    stage.does("trust rotate sast-b --force");
    stage.fetch(&format!("CTL{FOLLOWS}.tlv"), "3.tlv");
    stage.holds_other_than(FOLLOWS, &held);
    let dry = stage.does("trust rotate capf --dry-run");
    assert!(row(&dry, AWAY).contains("stranded already"), "{dry}");

    // What the phones make of it.
    for (new, held) in [("2", "1"), ("3", "2")] {
        let verified = stage.does(&format!("trust verify {{}}/{new}.tlv --list {{}}/{held}.tlv"));
        assert!(verified.contains("a security administrator of that list"), "{verified}");
    }
    let refused = stage.refuses("trust verify {}/3.tlv --list {}/away.tlv");
    assert!(refused.contains("Signed by  CN=sast-a-") && refused.contains("does not hold"), "{refused}");

    // Also when the control plane does not run.
    let Stage { appliance, .. } = stage;
    let file = appliance.file.clone();
    let folder = appliance.keep();
    let output = pinholectl(&file, "trust rotate sast-a --dry-run", "");
    let dry = String::from_utf8(output.stdout).unwrap();
    assert!(row(&dry, AWAY).contains("stranded already"), "{dry}{}", String::from_utf8_lossy(&output.stderr));
    let output = pinholectl(&file, "trust rotate tvs", "");
    assert!(String::from_utf8(output.stdout).unwrap().contains("the control plane does not run"));
    drop(folder);
}

#[test]
fn a_lost_key_is_replaced_by_the_one_in_escrow_and_files_are_signed_meanwhile() {
    let stage = Stage::start();
    stage.does("trust create");
    stage.does_with("trust export sast-b --out {}/b.p12", PASSPHRASE);
    stage.does("trust remove sast-b");
    fs::write(stage.call_manager.folder.path().join("Ringlist.xml"), b"<CiscoIPPhoneRingList/>").unwrap();
    stage.does(&format!("phone allow {FOLLOWS}"));
    let list = format!("CTL{FOLLOWS}.tlv");
    stage.fetch(&list, "1.tlv");

    fs::remove_file(stage.keys().join("sast-a.key.pem")).unwrap();
    let read = stage.appliance.ask(Request::ReadKeys);
    assert!(matches!(&read, Response::Done(text) if text.contains("no trust lists are served")), "{read:?}");
    stage.is_denied(&list);
    assert_eq!(stage.appliance.counter("provisioning", "trust_list_unavailable"), 1);
    stage.fetch("Ringlist.xml.sgn", "rings.sgn");
    stage.does("trust verify {}/rings.sgn --list {}/1.tlv");
    assert!(stage.refuses("trust rotate sast-a").contains("import sast-b from escrow"));

    stage.does_with("trust import sast-b {}/b.p12", PASSPHRASE);
    stage.does("trust rotate sast-a");
    stage.fetch(&list, "2.tlv");
    stage.does("trust verify {}/2.tlv --list {}/1.tlv");
    // As a phone that holds the first list sees it, by code of its own: its other administrator has signed, not the lost one.
    let [held, new] = ["1.tlv", "2.tlv"].map(|name| signed(&fs::read(stage.file(name)).unwrap()));
    let known = held.certificates();
    let signers =
        |list: &Signed| known.iter().map(|(role, of)| *role == 0 && list.is_of(of)).collect::<Vec<_>>();
    let (lost, escrowed) = (signers(&held), signers(&new));
    assert_eq!([&lost, &escrowed].map(|by| by.iter().filter(|signed| **signed).count()), [1, 1]);
    assert_ne!(lost, escrowed);
}

#[test]
fn phones_of_another_system_accept_the_first_list_when_its_key_is_imported_with_the_list_that_they_hold() {
    let other = Stage::start();
    other.does("trust create");
    other.does(&format!("phone allow {FOLLOWS}"));
    other.fetch(&format!("CTL{FOLLOWS}.tlv"), "theirs.tlv");
    other.does_with("trust export sast-a --out {}/theirs.p12", PASSPHRASE);

    let stage = Stage::start();
    for name in ["theirs.tlv", "theirs.p12"] {
        fs::copy(other.file(name), stage.file(name)).unwrap();
    }
    stage.does("trust create");
    stage.does_with("trust import sast-b {}/theirs.p12 --list {}/theirs.tlv", PASSPHRASE);
    stage.does(&format!("phone allow {FOLLOWS}"));
    stage.fetch(&format!("CTL{FOLLOWS}.tlv"), "ours.tlv");
    stage.does("trust verify {}/ours.tlv --list {}/theirs.tlv");
    stage.does("trust rotate sast-b");
    stage.fetch(&format!("CTL{FOLLOWS}.tlv"), "next.tlv");
    stage.does("trust verify {}/next.tlv --list {}/ours.tlv");
    assert!(stage.refuses("trust verify {}/next.tlv --list {}/theirs.tlv").contains("does not hold"));
}

#[test]
fn verify_tells_who_has_signed_each_kind_of_file_and_fails_for_what_was_changed() {
    let stage = Stage::start();
    stage.does("trust create");
    stage.does(&format!("phone allow {FOLLOWS}"));
    fs::write(stage.call_manager.folder.path().join("Ringlist.xml"), b"<CiscoIPPhoneRingList/>").unwrap();
    let refused = stage.refuses("trust verify {}/absent.tlv");
    assert!(refused.contains("absent.tlv cannot be read"), "{refused}");
    stage.fetch(&format!("CTL{FOLLOWS}.tlv"), "ctl.tlv");
    stage.fetch(&format!("ITL{FOLLOWS}.tlv"), "itl.tlv");
    stage.fetch("Ringlist.xml.sgn", "rings.sgn");
    let verified = stage.does("trust verify {}/ctl.tlv");
    assert!(
        verified.contains("trust list, CTLFile.tlv") && verified.contains("without a list accepts it"),
        "{verified}"
    );
    stage.does("trust verify {}/itl.tlv --list {}/ctl.tlv");
    for held in ["", " --list {}/ctl.tlv"] {
        let verified = stage.does(&format!("trust verify {{}}/rings.sgn{held}"));
        assert!(
            verified.contains("Signed by  CN=ccm-tftp-") && verified.contains("Ringlist.xml.sgn"),
            "{verified}"
        );
    }
    for name in ["ctl.tlv", "rings.sgn"] {
        let mut bytes = fs::read(stage.file(name)).unwrap();
        // The time.
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(stage.file("changed"), bytes).unwrap();
        let refused = stage.refuses("trust verify {}/changed --list {}/ctl.tlv");
        assert!(refused.contains("Signed by") && refused.contains("the signature is wrong"), "{refused}");
    }
    fs::write(stage.file("text"), "no such file").unwrap();
    assert!(stage.refuses("trust verify {}/text").contains("does not hold"));
    assert!(stage.refuses("trust verify {}/ctl.tlv --list {}/rings.sgn").contains("is no trust list"));
    let shown = stage.does("trust show {}/ctl.tlv");
    assert_eq!(shown.lines().filter(|line| line.starts_with(" Sast")).count(), 2, "{shown}");
    assert!(
        shown.contains("Kind       trust list, CTLFile.tlv") && shown.contains("None of this was verified")
    );
    let shown = stage.does("trust show {}/rings.sgn");
    assert!(
        shown.contains("signed file, Ringlist.xml.sgn") && shown.contains("Content    23 bytes"),
        "{shown}"
    );
    assert!(stage.refuses("trust show {}/text").contains("no trust list and no signed file"));
}

#[test]
fn what_a_file_says_of_its_signer_cannot_look_like_a_verdict() {
    let stage = Stage::start();
    let mut file = vec![1, 0, 2, 1, 0, 2, 0, 2, 0, 0, 3, 0, 0];
    for (tag, value) in [(4, &b"CN=a\n\x1b[2Jx.sgn holds: all is well\0"[..]), (6, b"CN=b\0"), (5, &[1])] {
        file.push(tag);
        file.extend((value.len() as u16).to_be_bytes());
        file.extend(value);
    }
    let container = (file.len() as u16 - 13).to_be_bytes();
    file[11..13].copy_from_slice(&container);
    file.extend([7, 0, 15, 8, 0, 1, 1, 9, 0, 8, 10, 0, 1, 0, 11, 0, 1, 0, 12, 0, 64]);
    file.extend([0; 64]);
    file.extend(b"\x0e\x00\x06x.sgn\x00\x0f\x00\x04\0\0\0\0");
    file.resize(file.len().next_multiple_of(4), 13);
    let len = (file.len() as u16).to_be_bytes();
    file[8..10].copy_from_slice(&len);
    fs::write(stage.file("x.sgn"), file).unwrap();
    stage.does("trust create");
    stage.does(&format!("phone allow {FOLLOWS}"));
    stage.fetch(&format!("CTL{FOLLOWS}.tlv"), "ctl.tlv");
    let refused = stage.refuses("trust verify {}/x.sgn --list {}/ctl.tlv");
    assert!(refused.contains("all is well") && refused.contains("does not hold: signed by"), "{refused}");
    assert!(
        !refused.contains('\x1b') && !refused.lines().any(|line| line.starts_with("x.sgn holds")),
        "{refused}"
    );
}

#[test]
fn a_passphrase_is_typed_twice_at_a_terminal_and_not_shown() {
    let stage = Stage::start();
    stage.does("trust create");
    let run = |typed: [&str; 2], name: &str| {
        let mut screen = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let path = ptsname(&screen, Vec::new()).unwrap();
        let terminal = File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap();
        let end = || Stdio::from(terminal.try_clone().unwrap());
        let mut child = Command::new("setsid")
            .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_pinholectl"), "--config"])
            .arg(&stage.appliance.file)
            .args(["trust", "export", "sast-b", "--out"])
            .arg(stage.file(name))
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let mut shown = Vec::new();
        for (prompt, line) in ["Passphrase: ", "The same again: "].into_iter().zip(typed) {
            let mut byte = [0];
            while !shown.ends_with(prompt.as_bytes()) {
                screen.read_exact(&mut byte).unwrap();
                shown.push(byte[0]);
            }
            // What is typed before it is hidden is shown.
            eventually(
                || !tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO),
                "what is typed is hidden",
            );
            screen.write_all(line.as_bytes()).unwrap();
        }
        let done = child.wait().unwrap().success();
        drop(terminal);
        // Without anybody at the other end, the terminal's end is an error.
        let _ = screen.read_to_end(&mut shown);
        (done, String::from_utf8(shown).unwrap())
    };
    let (done, shown) = run(["correct horse\n", "battery staple\n"], "no.p12");
    assert!(
        !done && shown.contains("two different passphrases") && !stage.file("no.p12").exists(),
        "{shown}"
    );
    let (done, shown) = run(["correct horse\n"; 2], "b.p12");
    assert!(done && shown.contains("holds key and certificate") && !shown.contains("correct"), "{shown}");
    stage.does_with("trust import sast-b {}/b.p12", "correct horse\n");
}

#[test]
fn keys_are_not_made_by_a_user_whose_files_the_control_plane_could_not_read() {
    let stage = Stage::start();
    std::os::unix::fs::chown(stage.keys().parent().unwrap(), Some(12_345), None).unwrap();
    let refused = stage.refuses("trust create");
    assert!(refused.contains("belongs to user 12345"), "{refused}");
    assert!(!stage.keys().exists());
}
