//! What authorities may do, and how long chains may be.

use pinhole_devices::{DEPTH_MAX, Refusal};

use crate::chains::{Form, Issued, Site, authority, extended, key_usage, phone};
use crate::{LSC, MIC};

fn unfit(result: Result<pinhole_devices::Verified, Refusal>, why: &str) {
    match result {
        Err(Refusal::Constraints { why: said, .. }) if said.contains(why) => {}
        other => panic!("{why}: {other:?}"),
    }
}

#[test]
fn who_is_no_authority_signs_for_nobody() {
    let root = authority("Root").self_signed();
    let site = Site::new(&root, "");
    let below = |form: Form| {
        let middle = form.signed_by(&root);
        let lsc = phone(LSC).signed_by(&middle);
        site.verify(&[&lsc, &middle])
    };
    unfit(below(phone("SEP0010DB000009")), "basic constraints");
    unfit(below(Form { basic_constraints: None, ..authority("Middle") }), "basic constraints");
    unfit(below(Form { version: 0, key_ids: false, ..authority("Old") }), "basic constraints");
    let usage = Some(key_usage(|usage| usage.digital_signature()));
    unfit(below(Form { key_usage: usage, ..authority("Middle") }), "key usage");
    let usage = Some(extended(|usage| usage.server_auth()));
    unfit(below(Form { extended_key_usage: usage, ..authority("Middle") }), "extended key usage");
    assert!(below(Form { key_usage: None, ..authority("Middle") }).is_ok(), "not told is not forbidden");
}

#[test]
fn an_old_root_need_not_say_that_it_is_one() {
    for form in [
        Form { basic_constraints: None, key_usage: None, ..authority("Root") },
        Form { version: 0, ..authority("Root") },
    ] {
        let root = form.self_signed();
        let middle = authority("Middle").signed_by(&root);
        let mic = phone(MIC).signed_by(&middle);
        assert!(Site::new(&root, "").verify(&[&mic, &middle]).is_ok());
    }
}

#[test]
fn a_phone_is_a_tls_client_and_no_authority() {
    let root = authority("Root").self_signed();
    let site = Site::new(&root, "");
    let shown = |form: Form| site.verify(&[&form.signed_by(&root)]);
    unfit(shown(Form { basic_constraints: Some((true, None)), ..phone(LSC) }), "authority");
    let usage = Some(extended(|usage| usage.server_auth()));
    unfit(shown(Form { extended_key_usage: usage, ..phone(LSC) }), "extended key usage");
    let usage = Some(key_usage(|usage| usage.key_encipherment()));
    unfit(shown(Form { key_usage: usage, ..phone(LSC) }), "key usage");
    let bare = Form { key_usage: None, extended_key_usage: None, basic_constraints: None, ..phone(LSC) };
    assert!(shown(bare.clone()).is_ok(), "not told is not forbidden");
    assert!(shown(Form { version: 0, ..bare }).is_ok(), "version 1 cannot tell");
}

#[test]
fn path_lengths_are_kept() {
    let root = Form { basic_constraints: Some((true, Some(1))), ..authority("Root") }.self_signed();
    let site = Site::new(&root, "");
    let first = authority("First").signed_by(&root);
    let second = authority("Second").signed_by(&first);
    assert!(site.verify(&[&phone(LSC).signed_by(&first), &first]).is_ok());
    unfit(site.verify(&[&phone(LSC).signed_by(&second), &first, &second]), "path length");
}

/// Authorities below a root, each signed by the one before.
fn ladder(root: &Issued, steps: usize) -> Vec<Issued> {
    let mut ladder = vec![root.clone()];
    for step in 0..steps {
        let next = authority(&format!("Step {step}")).signed_by(&ladder[step]);
        ladder.push(next);
    }
    ladder.split_off(1)
}

#[test]
fn chains_have_a_greatest_depth() {
    let root = authority("Root").self_signed();
    let site = Site::new(&root, "");
    let ladder = ladder(&root, DEPTH_MAX - 1);
    for (steps, fits) in [(DEPTH_MAX - 2, true), (DEPTH_MAX - 1, false)] {
        let lsc = phone(LSC).signed_by(&ladder[steps - 1]);
        let chain: Vec<_> = [&lsc].into_iter().chain(&ladder[..steps]).collect();
        let verdict = site.verify(&chain);
        match fits {
            true => assert!(verdict.is_ok(), "{verdict:?}"),
            false => assert_eq!(verdict.unwrap_err(), Refusal::ChainTooLong),
        }
    }
}

#[test]
fn more_certificates_than_anybody_needs_are_not_looked_at() {
    let root = authority("Root").self_signed();
    let lsc = phone(LSC).signed_by(&root);
    let mut chain = vec![&lsc];
    chain.extend(std::iter::repeat_n(&root, 9));
    assert!(Site::new(&root, "").verify(&chain).is_ok());
    chain.push(&root);
    assert_eq!(Site::new(&root, "").verify(&chain).unwrap_err(), Refusal::ChainTooLong);
}

#[test]
fn authorities_of_one_name_are_not_put_together_in_every_way() {
    let root = authority("Root").self_signed();
    // Each might have signed each other.
    let many: Vec<_> = (0..9)
        .map(|_| {
            let key = crate::chains::ec();
            Form { key, key_ids: false, ..authority("Root") }.self_signed()
        })
        .collect();
    let lsc = Form { key_ids: false, ..phone(LSC) }.signed_by(&many[0]);
    let chain: Vec<_> = [&lsc].into_iter().chain(&many).collect();
    assert!(Site::new(&root, "").verify(&chain).is_err());
    // It is no trouble to a phone that is in order.
    let lsc = phone(LSC).signed_by(&root);
    let chain: Vec<_> = [&lsc].into_iter().chain(&many).collect();
    assert!(Site::new(&root, "").verify(&chain).is_ok());
}
