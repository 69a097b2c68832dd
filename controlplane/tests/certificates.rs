//! What is wrong with a certificate, or with what the database says to it: each has its counter in both groups, one line, and
//! its place in the phone's time line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "only tests use what is here")]

mod common;

use std::collections::BTreeMap;

use common::provisioning::{DEVICE, free_udp};
use common::{Appliance, Authority, Certified, Validity, eventually};
use pinhole_admin::{EventKind, Request, Response};
use rcgen::ExtendedKeyUsagePurpose;

/// Of a cluster that serves no files, so that the database need not know it.
const NEIGHBOUR: &str = "SEP0010DB0000FF";

/// An appliance that trusts these authorities too, the second for another cluster's phones only.
fn start(files: &tempfile::TempDir, authorities: [(&str, &Authority); 3], identity: &str) -> Appliance {
    let path = |name: &str| files.path().join(name).display().to_string();
    let sections = authorities.map(|(name, authority)| {
        std::fs::write(path(name), &authority.pem()[0]).unwrap();
        let clusters = if name == "other" { "clusters = [\"other\"]\n" } else { "" };
        format!("[[identity.authority]]\nname = \"{name}\"\nroots = [\"{}\"]\n{clusters}", path(name))
    });
    let lists = format!(
        "[identity]\ncrls = [\"{}\", \"{}\"]\n{identity}\n[outside]\n",
        path("site.crl"),
        path("late.crl")
    );
    let provisioning = format!(
        "[provisioning]\ndirectory = \"/etc/pinhole/provisioning\"\n[provisioning.phones]\ntrust_list_first = false\n\
         first_use = false\n[provisioning.tftp]\nsingle_port = true\nlisten = \"127.0.0.1:{}\"\n\
         [[cluster]]\nname = \"other\"\ncall_manager = \"127.0.0.4:5060\"\nlocal = \"{}\"\nport = \"inside\"\n\
         domain = \"other.example\"\ndevices = \"^{NEIGHBOUR}$\"\n[[cluster]]\n",
        free_udp(1),
        common::free_address()
    );
    let changes = [
        ("[outside]\n", lists.as_str()),
        ("[identity.devices]\n", &format!("{}[identity.devices]\n", sections.concat())),
        ("[[cluster]]\n", provisioning.as_str()),
        (
            "devices = \"^SEP\"\n",
            "devices = \"^SEP\"\ntftp_server = \"127.0.0.1:9\"\n[[cluster.rewrite.call_manager]]\n\
             inside = \"10.20.0.10\"\noutside = \"203.0.113.5\"\n",
        ),
    ];
    Appliance::start_changed(&changes)
}

/// What has been refused until now, by both names.
fn refusals(appliance: &Appliance) -> BTreeMap<(&'static str, String), u64> {
    let groups = appliance.counters().groups;
    let of = |group: &'static str, prefixes: &[&str]| -> Vec<_> {
        let counters = groups[group]
            .iter()
            .filter(|(name, value)| **value > 0 && prefixes.iter().any(|prefix| name.starts_with(prefix)));
        counters.map(|(name, value)| ((group, name.clone()), *value)).collect()
    };
    let both = [
        of("tls", &["refused_"]),
        of("provisioning", &["certificate_", "first_use_refused", "pin_mismatch", "handshake_failed"]),
    ];
    // What was issued is no refusal.
    both.concat().into_iter().filter(|((_, name), _)| !name.starts_with("certificates_")).collect()
}

fn timeline(appliance: &Appliance) -> String {
    match appliance.ask(Request::Provisioned { device: Some(DEVICE.into()) }) {
        Response::Provisioned(phones) => phones[0]["timeline"].to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_fault_of_a_certificate_is_counted_as_itself_and_as_nothing_else() {
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name);
    let (site, other, late) = (Authority::new("site"), Authority::new("other"), Authority::new("late"));
    let now = |authority: &Authority| authority.sign(DEVICE, Validity::Now);
    let (lost, of_other, of_late) = (now(&site), now(&other), now(&late));
    std::fs::write(path("site.crl"), site.revocation_list(&[&lost])).unwrap();
    std::fs::write(path("late.crl"), late.revocation_list_until(2025, &[])).unwrap();
    let authorities = [("site", &site), ("other", &other), ("late", &late)];
    let appliance = start(&files, authorities, "crl_overdue = \"refuse\"");
    let allowed = appliance.ask(Request::AllowPhone { device: DEVICE.into(), class: None });
    assert!(matches!(allowed, Response::Done(_)), "{allowed:?}");

    let good = now(&site);
    let for_servers = site.sign_changed(DEVICE, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let forged = site.sign_changed(DEVICE, |params| params.use_authority_key_identifier_extension = true);
    let der = |of: &Certified| of.certificate.der().clone();
    let mut broken = der(&forged).to_vec();
    *broken.last_mut().unwrap() ^= 1;
    let many: Vec<_> =
        std::iter::once(der(&good)).chain((0..10).map(|_| site.certificate().clone())).collect();

    let ours = &appliance.authority;
    let one = |of: &'_ Certified| vec![der(of)];
    let cases = [
        (one(&lost), &lost.key, ours, "refused_revoked", "certificate_revoked"),
        (one(&of_late), &of_late.key, ours, "refused_crl_overdue", "certificate_crl_overdue"),
        (one(&for_servers), &for_servers.key, ours, "refused_constraints", "certificate_constraints"),
        (many, &good.key, ours, "refused_chain_too_long", "certificate_chain_too_long"),
        (one(&of_other), &of_other.key, ours, "refused_other_cluster", "certificate_other_cluster"),
        (vec![broken.into()], &forged.key, ours, "refused_bad_certificate", "certificate_invalid"),
        (one(&good), &good.key, ours, "refused_by_database", "first_use_refused"),
        (one(&good), &good.key, &site, "refused_by_phone", "handshake_failed"),
    ];
    let mut expected = refusals(&appliance);
    assert_eq!(expected, BTreeMap::new());
    for (at, (chain, key, trusted, counter, failure)) in cases.into_iter().enumerate() {
        let mut phone = appliance.phone_showing(appliance.listen, trusted, Some((chain, key)));
        assert!(!phone.is_served(), "{counter}");
        expected.insert(("tls", counter.into()), 1);
        expected.insert(("provisioning", failure.into()), 1);
        eventually(|| refusals(&appliance) == expected, counter);
        // One line for each: the event comes behind the counter, and a second one would be there in the next round.
        let refused = |event: &&pinhole_admin::Event| event.kind == EventKind::PhoneRefused;
        eventually(|| appliance.events().iter().filter(refused).count() == at + 1, counter);
        // Who refuses us has not said who it is.
        let is_named = failure != "handshake_failed";
        assert_eq!(timeline(&appliance).contains(failure), is_named, "{failure}");
    }
    eventually(|| appliance.status().connections + appliance.status().handshakes == 0, "none is left");
    assert_eq!(appliance.counter("tls", "handshakes_done"), 0);
}

#[test]
fn where_an_overdue_list_is_only_warned_of_its_phones_are_served_and_counted() {
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name);
    let (site, other, late) = (Authority::new("site"), Authority::new("other"), Authority::new("late"));
    std::fs::write(path("site.crl"), site.revocation_list(&[])).unwrap();
    std::fs::write(path("late.crl"), late.revocation_list_until(2025, &[])).unwrap();
    let authorities = [("site", &site), ("other", &other), ("late", &late)];
    let appliance = start(&files, authorities, "crl_overdue = \"warn\"");
    let served =
        |authority: &Authority| appliance.phone(Some(&authority.sign(NEIGHBOUR, Validity::Now))).is_served();
    assert!(served(&other) && served(&site));
    assert_eq!(appliance.counter("tls", "crl_overdue"), 0);
    assert!(served(&late));
    assert_eq!((appliance.counter("tls", "crl_overdue"), refusals(&appliance).len()), (1, 0));
}
