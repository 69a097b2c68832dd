//! `[legacy_tls]`: what must not be, is refused, and the line says what to do.

use pinhole_legacy_tls::{CipherSuite, Version};

use super::Example;
use crate::config::ConfigError;

const SECTION: &str = "[legacy_tls]\nlisten = \"203.0.113.6:5061\"\ncertificate = \"/etc/pinhole/old.crt\"\nkey = \"/etc/pinhole/old.key\"\n";

/// An example with a listener for each of SIP and SCCP, and an RSA key for them.
fn example() -> Example {
    let mut example = Example::new();
    example.make_rsa("old");
    let directory = example.directory.path();
    let section = SECTION.replace("/etc/pinhole", directory.to_str().unwrap());
    let primary = "call_manager = \"10.20.0.10:2000\"\n";
    let with = format!("{primary}legacy_listen = \"203.0.113.6:2443\"\n");
    let limits = format!("{section}[limits]\n");
    example.text = example.text.replace(primary, &with).replace("[limits]\n", &limits);
    example
}

#[test]
fn old_listeners_are_off_unless_configured_and_modest_if_they_are() {
    let config = Example::new().load().unwrap();
    assert!(config.legacy_tls.is_none() && config.legacy_listeners().is_empty());
    let example = example();
    let config = example.load().unwrap();
    let legacy = config.legacy_tls.as_ref().unwrap();
    assert_eq!((legacy.tls_min, legacy.tls_max), (Version::Tls10, Version::Tls12));
    assert_eq!(legacy.suites(), [CipherSuite::Aes128Sha, CipherSuite::Aes256Sha]);
    let listeners = config.legacy_listeners();
    let seen: Vec<_> = listeners.iter().map(|at| (at.address.to_string(), at.is_sccp)).collect();
    assert_eq!(seen, [("203.0.113.6:5061".into(), false), ("203.0.113.6:2443".into(), true)]);
    let proxy = config.proxy(0).unwrap();
    assert_eq!(proxy.outside.names, ["pinhole.example", "old.example", "203.0.113.6"]);
    assert_eq!(proxy.clusters[0].skinny[0].legacy, Some("203.0.113.6:2443".parse().unwrap()));
    assert_eq!(proxy.clusters[0].skinny[1].legacy, None);
}

#[test]
fn what_would_weaken_others_or_serve_nobody_is_refused() {
    let example = example();
    let key = "key = \"/etc/pinhole/old.key\"\n"
        .replace("/etc/pinhole", example.directory.path().to_str().unwrap());
    let both = format!("certificate = \"{}/old.crt\"\n{key}", example.directory.path().display());
    for (from, to, expected) in [
        (
            "listen = \"203.0.113.6:5061\"",
            "listen = \"203.0.113.5:5061\"",
            "legacy_tls.listen: 203.0.113.5:5061 is outside.listen: old and new TLS never share a listener",
        ),
        (
            "legacy_listen = \"203.0.113.6:2443\"",
            "legacy_listen = \"203.0.113.5:2444\"",
            "cluster[0].sccp[0].legacy_listen: 203.0.113.5:2444 is cluster[0].sccp[1].listen",
        ),
        (
            "legacy_listen = \"203.0.113.6:2443\"",
            "legacy_listen = \"203.0.113.6:5061\"",
            "cluster[0].sccp[0].legacy_listen: 203.0.113.6:5061 is legacy_tls.listen, for SIP",
        ),
        (
            "legacy_listen = \"203.0.113.6:2443\"",
            "legacy_listen = \"203.0.113.5:17000\"",
            "cluster[0].sccp[0].legacy_listen: lies within the media ports",
        ),
        (
            "call_manager = \"10.20.0.11:2000\"",
            "call_manager = \"10.20.0.11:2000\"\nlegacy_listen = \"203.0.113.6:2443\"",
            "cluster[0].sccp[1].legacy_listen: stands for another call manager",
        ),
        ("203.0.113.6:5061", "0.0.0.0:5061", "legacy_tls.listen: needs our address and a port"),
        (key.as_str(), "", "legacy_tls.key: certificate and key go together"),
        (both.as_str(), "", "legacy_tls.certificate: must be one with an RSA key"),
        ("old.key", "server.key", "legacy_tls.key: does not belong to the certificate"),
        ("old.crt", "absent.crt", "legacy_tls.certificate: "),
        (
            "[legacy_tls]\n",
            "[legacy_tls]\nciphers = [\"AES128-SHA\", \"NULL-SHA\"]\n",
            "legacy_tls.ciphers: NULL-SHA hides nothing: leave it out, and set null_cipher = true",
        ),
        ("[legacy_tls]\n", "[legacy_tls]\nciphers = []\n", "legacy_tls.ciphers: names no cipher suite"),
        (
            "[legacy_tls]\n",
            "[legacy_tls]\nnull_cipher = true\n",
            "legacy_tls.null_cipher: needs [provisioning]: only devices whose class is authenticated",
        ),
        (
            "[legacy_tls]\n",
            "[legacy_tls]\ntls_min = \"1.2\"\ntls_max = \"1.0\"\n",
            "legacy_tls.tls_min: is newer than tls_max",
        ),
        ("[legacy_tls]\n", "[legacy_tls]\ndevices = \"(\"\n", "legacy_tls.devices: not a regular expression"),
        (
            "[legacy_tls]\n",
            "[legacy_tls]\nprogram = \"here\"\n",
            "legacy_tls.program: must be an absolute path",
        ),
        ("[legacy_tls]\n", "[legacy_tls]\nconnections = 0\n", "legacy_tls.connections: 0 is out of range"),
    ] {
        let problems = example.with(from, to);
        assert!(problems.len() == 1 && problems[0].starts_with(expected), "{expected}: {problems:?}");
    }
    for (from, to) in [("[legacy_tls]\n", "[legacy_tls]\ntls_max = \"1.3\"\n"), ("AES_256", "RC4")] {
        assert_eq!(example.with(from, to).len(), 1, "{to}");
    }
}

#[test]
fn null_cipher_without_a_cluster_that_allows_devices_to_use_it_is_told() {
    let mut example = example();
    for (from, to) in [
        ("[legacy_tls]\n", "[legacy_tls]\nnull_cipher = true\n"),
        (
            "[[cluster]]",
            "[provisioning]\ndirectory = \"/var/lib/pinhole\"\n[provisioning.tftp]\nlisten = \"203.0.113.5:69\"\n[[cluster]]",
        ),
        ("devices = \"^SEP\"\n", "devices = \"^SEP\"\ntftp_server = \"10.20.0.10:69\"\n"),
    ] {
        assert!(example.text.contains(from), "{from}");
        example.text = example.text.replacen(from, to, 1);
    }
    example
        .text
        .push_str("\n[[cluster.rewrite.call_manager]]\ninside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\n");
    let Err(ConfigError::Invalid { problems, .. }) = example.load() else {
        unreachable!("nobody may use it")
    };
    let expected =
        "legacy_tls.null_cipher: is of no use: no [[cluster]] has authenticated_devices = \"allow\"";
    assert!(problems.len() == 1 && problems[0].to_string().starts_with(expected), "{problems:?}");
    let allowed =
        example.with("devices = \"^SEP\"\n", "devices = \"^SEP\"\nauthenticated_devices = \"allow\"\n");
    assert!(allowed.is_empty(), "{allowed:?}");
}

#[test]
fn old_listeners_without_their_section_or_a_section_without_listeners_are_told() {
    let mut example = example();
    let alone = example.with("legacy_listen = \"203.0.113.6:2443\"\n", "");
    assert!(alone.is_empty(), "SIP alone is enough: {alone:?}");
    let begin = example.text.find("[legacy_tls]").unwrap();
    let end = example.text.find("[limits]").unwrap();
    let without = [&example.text[..begin], &example.text[end..]].concat();
    let nothing = example
        .text
        .replace("listen = \"203.0.113.6:5061\"\n", "")
        .replace("legacy_listen = \"203.0.113.6:2443\"\n", "");
    for (text, expected) in [
        (without, "cluster[0].sccp[0].legacy_listen: is of no use without [legacy_tls]"),
        (nothing, "legacy_tls: needs 1 to 64 addresses"),
    ] {
        example.text = text;
        let Err(ConfigError::Invalid { problems, .. }) = example.load() else { unreachable!("{expected}") };
        assert!(problems.len() == 1 && problems[0].to_string().starts_with(expected), "{problems:?}");
    }
}
