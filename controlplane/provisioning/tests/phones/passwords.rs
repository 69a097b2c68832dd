//! One-time passwords.

use pinhole_provisioning::phones::ATTEMPTS_MAX;

use super::*;

fn set(bench: &Bench, password: &str) {
    bench.phones().set_password(device(1), password, [3; 16], at(100), at(0)).unwrap();
}

#[test]
fn password_is_good_once() {
    let bench = Bench::new().allowed(device(1)).allowed(device(2));
    let attempt = |phone, password: &str| {
        bench.phones().consume_password(phone, password.as_bytes(), source(1), at(50))
    };
    assert_eq!(attempt(device(1), "12345678"), Err(Failure::PasswordMissing));
    set(&bench, "12345678");
    assert!(bench.show(device(1)).password_until_ms.is_some());
    assert_eq!(attempt(device(2), "12345678"), Err(Failure::PasswordMissing));
    assert_eq!(attempt(device(1), "12345670"), Err(Failure::PasswordWrong));
    assert_eq!(attempt(device(1), "12345678"), Ok(()));
    assert_eq!(attempt(device(1), "12345678"), Err(Failure::PasswordMissing));
    assert_eq!((bench.failures(Failure::PasswordWrong), bench.count(Counter::PasswordsUsed)), (1, 1));
}

#[test]
fn password_is_void_after_some_wrong_ones_and_after_its_time() {
    let bench = Bench::new().allowed(device(1));
    let attempt = |password: &str, now| {
        bench.phones().consume_password(device(1), password.as_bytes(), source(1), at(now))
    };
    set(&bench, "12345678");
    for _ in 0..ATTEMPTS_MAX {
        assert_eq!(attempt("wrong", 1), Err(Failure::PasswordWrong));
    }
    assert_eq!(attempt("12345678", 1), Err(Failure::PasswordExhausted));
    set(&bench, "12345678");
    assert_eq!(attempt("12345678", 100), Err(Failure::PasswordExpired));
    assert_eq!(attempt("12345678", 99), Ok(()));
}

#[test]
fn password_and_its_attempts_survive_a_restart_but_the_file_does_not_show_it() {
    let mut bench = Bench::new().allowed(device(1));
    set(&bench, "secret-98765");
    for _ in 1..ATTEMPTS_MAX {
        assert_eq!(
            bench.phones().consume_password(device(1), b"wrong", source(1), at(1)),
            Err(Failure::PasswordWrong)
        );
    }
    bench.open();
    assert_eq!(
        bench.phones().consume_password(device(1), b"wrong", source(1), at(1)),
        Err(Failure::PasswordWrong)
    );
    assert_eq!(
        bench.phones().consume_password(device(1), b"wrong", source(1), at(1)),
        Err(Failure::PasswordExhausted)
    );
    for entry in std::fs::read_dir(bench.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(12).any(|part| part == b"secret-98765"));
    }
}

#[test]
fn password_of_a_wrong_length_or_for_nobody_is_not_set() {
    let bench = Bench::new().allowed(device(1));
    let set = |device, password: &str| bench.phones().set_password(device, password, [0; 16], at(9), at(0));
    assert!(set(device(1), "123").is_err());
    assert!(set(device(1), &"1".repeat(65)).is_err());
    assert!(set(device(2), "12345678").is_err());
}
