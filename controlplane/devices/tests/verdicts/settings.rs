//! Mistakes in settings: each is told with its key.

use openssl::hash::MessageDigest;

use crate::chains::{Form, RSA_1024, RSA_2048, Site, authority, extended, phone};

fn told(site: &Site, key: &str, why: &str) {
    let mistakes = site.mistakes();
    assert!(
        mistakes.len() == 1 && mistakes[0].key == key && mistakes[0].message.contains(why),
        "{mistakes:?}"
    );
}

#[test]
fn every_mistake_is_told_with_its_key() {
    let root = authority("Root").self_signed();
    told(&Site::new(&root, "names = [\"SEP.*\"]"), "authority[0].names", "needs a group");
    told(&Site::new(&root, "names = [\"(\"]"), "authority[0].names", "not a regular expression");
    told(&Site::new(&root, "clusters = [\"north\"]"), "authority[0].clusters", "north");
    told(&Site::new(&root, "").and("phones", &root, ""), "authority[1].name", "differ");
    let mut site = Site::new(&root, "");
    site.settings.authorities[0].roots = vec!["/nonexistent/ca.crt".into()];
    told(&site, "authority[0].roots", "/nonexistent/ca.crt: cannot be read");
    site.settings.authorities[0].roots = vec![site.write("empty", b"nothing\n")];
    told(&site, "authority[0].roots", "holds no CERTIFICATE");
    site.settings.authorities[0].roots.clear();
    told(&site, "authority[0].roots", "names no file");
    site.settings.authorities.clear();
    told(&site, "authority", "there is none");
}

#[test]
fn what_cannot_be_a_root_is_told() {
    let weak = Form { key: RSA_1024.clone(), ..authority("Root") }.self_signed();
    told(&Site::new(&weak, ""), "authority[0].roots", "1024 bits");
    assert!(Site::new(&weak, "legacy = true").mistakes().is_empty());
    let usage = Some(extended(|usage| usage.server_auth()));
    let server = Form { extended_key_usage: usage, ..authority("Root") }.self_signed();
    told(&Site::new(&server, ""), "authority[0].roots", "extended key usage");
    told(&Site::new(&phone("leaf").self_signed(), ""), "authority[0].roots", "not an authority's");
    // A root's own signature is of no matter: it is trusted as it is.
    let old = Form { digest: MessageDigest::md5(), key: RSA_2048.clone(), ..authority("Root") }.self_signed();
    assert!(Site::new(&old, "").mistakes().is_empty());
}

#[test]
fn files_are_pem_with_many_or_der_with_one() {
    let (one, other) = (authority("One").self_signed(), authority("Other").self_signed());
    let mut site = Site::new(&one, "");
    let both =
        [one.certificate.to_pem().unwrap(), b"text between\n".to_vec(), other.certificate.to_pem().unwrap()];
    site.settings.authorities[0].roots = vec![site.write("both.pem", &both.concat())];
    for root in [&one, &other] {
        assert!(site.verify(&[&phone(crate::LSC).signed_by(root)]).is_ok());
    }
    site.settings.authorities[0].roots = vec![site.write("one.der", &one.der())];
    assert!(site.verify(&[&phone(crate::LSC).signed_by(&one)]).is_ok());
    let mut cut = one.certificate.to_pem().unwrap();
    cut.truncate(200);
    site.settings.authorities[0].roots = vec![site.write("cut.pem", &cut)];
    assert_eq!(site.mistakes().len(), 1);
}
