//! The documentation names every key that there is, and no other. What keys there are, serde says when it refuses one.

use std::collections::BTreeSet;

use super::*;

const CONFIGURATION: &str = include_str!("../../../../docs/configuration.md");
const PROVISIONING: &str = include_str!("../../../../docs/provisioning.md");

/// A section of the documentation.
struct Section {
    document: &'static str,
    /// How it begins.
    begins: &'static str,
    /// The tables of the file whose keys it has, each with what stands before the keys there.
    tables: &'static [(&'static str, &'static str)],
}

const fn of(
    document: &'static str,
    begins: &'static str,
    tables: &'static [(&'static str, &'static str)],
) -> Section {
    Section { document, begins, tables }
}

const SECTIONS: [Section; 21] = [
    of(CONFIGURATION, "## `[dataplane]`", &[("", "[dataplane]")]),
    of(CONFIGURATION, "### `[[dataplane.port]]`", &[("", "[[dataplane.port]]")]),
    of(CONFIGURATION, "## `[controlplane]`", &[("", "[controlplane]"), ("log.", "[controlplane.log]")]),
    of(CONFIGURATION, "## `[outside]`", &[("", "[outside]")]),
    of(CONFIGURATION, "## `[identity]`", &[("", "[identity]")]),
    of(CONFIGURATION, "### `[[identity.authority]]`", &[("", "[[identity.authority]]")]),
    of(CONFIGURATION, "## `[limits]`", &[("", "[limits]")]),
    of(CONFIGURATION, "## `[timers]`", &[("", "[timers]")]),
    of(CONFIGURATION, "## `[[cluster]]`", &[("", "[[cluster]]")]),
    of(CONFIGURATION, "### `[[cluster.sccp]]`", &[("", "[[cluster]]\n[[cluster.sccp]]")]),
    of(CONFIGURATION, "## `[legacy_tls]`", &[("", "[legacy_tls]")]),
    of(CONFIGURATION, "## `[provisioning]`", &[("", "[provisioning]")]),
    of(CONFIGURATION, "### `[provisioning.tftp]`", &[("", "[provisioning.tftp]")]),
    of(
        CONFIGURATION,
        "### `[provisioning.http]`",
        &[("", "[provisioning.http]"), ("", "[provisioning.https]")],
    ),
    of(
        CONFIGURATION,
        "### `[provisioning.capf]`",
        &[("", "[provisioning.capf]"), ("limits.", "[provisioning.capf.limits]")],
    ),
    of(
        CONFIGURATION,
        "### `[provisioning.tvs]`",
        &[("", "[provisioning.tvs]"), ("limits.", "[provisioning.tvs.limits]")],
    ),
    of(PROVISIONING, "### `[provisioning.phones]`", &[("", "[provisioning.phones]")]),
    of(PROVISIONING, "### `[provisioning.files]`", &[("", "[provisioning.files]")]),
    of(PROVISIONING, "`[cluster.rewrite]`", &[("", "[[cluster]]\n[cluster.rewrite]")]),
    of(PROVISIONING, "`[cluster.rewrite.elements]`", &[("", "[[cluster]]\n[cluster.rewrite.elements]")]),
    of(PROVISIONING, "`[cluster.rewrite.urls]`", &[("", "[[cluster]]\n[cluster.rewrite.urls]")]),
];

/// Tables that stand in examples, key by key.
const EXAMPLES: [(&str, &str); 4] = [
    (CONFIGURATION, "[[cluster]]\n[cluster.phone_authority]"),
    (PROVISIONING, "[[cluster]]\n[[cluster.rewrite.call_manager]]"),
    (PROVISIONING, "[[cluster]]\n[cluster.rewrite.capf.at]"),
    (PROVISIONING, "[[cluster]]\n[[cluster.rewrite.srst.at]]"),
];

/// The keys that a table may have.
fn keys(table: &str) -> BTreeSet<String> {
    let error = Config::parse(&format!("{table}\nno_such_key = 1")).unwrap_err();
    let (_, expected) = error.message().split_once("unknown field `no_such_key`, expected").unwrap();
    quoted(expected).collect()
}

fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The keys that a section describes: what the first cells of its rows quote.
fn described(document: &str, begins: &str) -> BTreeSet<String> {
    let mut lines = document.lines().skip_while(|line| !line.starts_with(begins));
    assert!(lines.next().is_some(), "there is no section {begins}");
    lines
        .take_while(|line| !line.starts_with('#') && !line.starts_with("`["))
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(quoted)
        .collect()
}

/// Whether a table has a section of its own, or an example.
fn has_section(table: &str) -> bool {
    [format!("[{table}]"), format!("[[{table}]]")]
        .iter()
        .any(|name| CONFIGURATION.contains(name) || PROVISIONING.contains(name))
}

#[test]
fn every_key_is_described_and_every_described_key_exists() {
    for key in keys("") {
        assert!(has_section(&key), "[{key}] has no section");
    }
    for Section { document, begins, tables } in SECTIONS {
        let described = described(document, begins);
        let mut known = BTreeSet::new();
        for (before, table) in tables {
            let name = table.lines().last().unwrap().trim_matches(['[', ']']);
            for key in keys(table) {
                let own = has_section(&format!("{name}.{key}"));
                let spread = tables.iter().any(|(prefix, _)| *prefix == format!("{key}."));
                let key = format!("{before}{key}");
                assert!(own || spread || described.contains(&key), "{name}: {key} is not described");
                known.insert(key);
            }
        }
        let unknown: Vec<_> = described.difference(&known).collect();
        assert!(unknown.is_empty(), "{begins} describes what does not exist: {unknown:?}");
    }
    for (document, table) in EXAMPLES {
        for key in keys(table) {
            assert!(document.contains(&format!("{key} = ")), "{table}: {key} stands in no example");
        }
    }
}

/// What is commented out, taken in.
fn whole(example: &str) -> String {
    let is_setting = |text: &str| {
        let name = text.split_once(" = ").map_or("", |(name, _)| name);
        text.starts_with('[')
            || !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || "_.".contains(c))
    };
    let lines =
        example.lines().map(|line| line.strip_prefix("# ").filter(|text| is_setting(text)).unwrap_or(line));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn examples_for_operators_are_valid_with_and_without_what_is_commented_out() {
    let readme = include_str!("../../../../README.md");
    let (_, readme) = readme.split_once("```toml\n").unwrap();
    let (readme, _) = readme.split_once("```").unwrap();
    let deployed = include_str!("../../../../scripts/deploy/pinhole.toml");
    let mut example = Example::new();
    example.make_rsa("server");
    let directory = example.directory.path().to_owned();
    for name in ["phones-ca.crt", "manufacturer-roots.pem", "manufacturer-cas.pem"] {
        std::fs::copy(directory.join("ca.crt"), directory.join(name)).unwrap();
    }
    let whole = whole(deployed);
    assert!(whole.contains("\n[legacy_tls]") && whole.contains("\nmemory_mb = "), "{whole}");
    for text in [readme, deployed, &whole] {
        example.text = text.replace("/etc/pinhole", directory.to_str().unwrap());
        let loaded = example.load();
        assert!(loaded.is_ok(), "{}\n{text}", loaded.unwrap_err());
    }
}
