//! Arguments that DPDK does not know are an error with DPDK's own words. One EAL per process.

use dpdk::{Eal, Error};

#[test]
fn unknown_arguments_are_refused_with_a_reason() {
    let error = Eal::init(&["--no-such-option"]).err().unwrap();
    assert!(matches!(error, Error::Init { .. }), "{error}");
    assert!(matches!(Eal::init::<&str>(&[]), Err(Error::AlreadyStarted)));
    assert!(matches!(Eal::init(&["a\0b"]), Err(Error::Nul { .. })));
}
