//! What survives a restart and a crash.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use pinhole_provisioning::phones::PinOrigin;

use super::*;

#[test]
fn phones_pins_stages_time_lines_and_enrolment_survive_a_restart() {
    let mut bench = Bench::new().allowed(device(1)).allowed(device(2));
    bench.provision(device(1), source(1), 1);
    let session = bench.connect(device(1), 1, source(1), 2).unwrap();
    bench.phones().registered(device(1), session, at(3)).unwrap();
    bench.fetch_trust_list(device(2), source(2), 4).unwrap();
    bench.phones().open_enrolment(at(1000), 3, at(5)).unwrap();
    let before = [bench.show(device(1)), bench.show(device(2))];
    bench.open();
    let after = [bench.show(device(1)), bench.show(device(2))];
    assert_eq!(after[1], before[1]);
    // Its connection ended with the process.
    assert_eq!(after[0].stage, Stage::ConfigurationDelivered);
    assert_eq!((&after[0].pins, &after[0].timeline), (&before[0].pins, &before[0].timeline));
    assert_eq!(bench.phones().keepalive(device(1), session, at(6)), Err(Failure::NotAuthenticated));
    assert_eq!(bench.connect(device(1), 2, source(1), 7), Err(Failure::PinMismatch));
    bench.connect(device(1), 1, source(1), 7).unwrap();
    bench.fetch_configuration(device(2), source(2), 8).unwrap();
    assert_eq!(bench.phones().trust_lists()[&device(1)].unwrap().generation, 7);
    bench.fetch_trust_list(device(3), source(3), 9).unwrap();
    assert_eq!(bench.phones().enrolment(at(9)).unwrap().devices_left, 2);
    assert!(bench.phones().forget(device(1)).unwrap());
    bench.open();
    assert!(bench.phones().show(device(1)).unwrap().is_none());
}

#[test]
fn what_trust_depends_on_is_on_disk_before_it_is_answered() {
    let bench = Bench::new().allowed(device(1));
    bench.provision(device(1), source(1), 1);
    bench.phones().open_enrolment(at(1000), 3, at(1)).unwrap();
    bench.fetch_trust_list(device(2), source(1), 2).unwrap();
    bench.connect(device(1), 1, source(1), 2).unwrap();
    bench.phones().set_password(device(1), "12345678", [1; 16], at(100), at(2)).unwrap();
    bench.phones().consume_password(device(1), b"12345678", source(1), at(3)).unwrap();
    // As if the power went now.
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(bench.folder.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let phones = Phones::open(&copy.path().join("phones.db"), bench.policy.clone(), Arc::default()).unwrap();
    let second = phones.authenticated(device(1), &certificate(2), Connections::One, source(1), at(4));
    assert_eq!(second, Err(Failure::PinMismatch));
    assert_eq!(
        phones.consume_password(device(1), b"12345678", source(1), at(4)),
        Err(Failure::PasswordMissing)
    );
    assert!(phones.show(device(2)).unwrap().is_some());
    assert_eq!(phones.enrolment(at(4)).unwrap().devices_left, 2);
}

#[test]
fn database_is_of_one_process_and_of_its_owner_alone() {
    let bench = Bench::new().allowed(device(1));
    let second = Phones::open(&bench.path(), PhonePolicy::default(), Arc::default());
    assert!(second.err().unwrap().to_string().contains("in use by another process"));
    for entry in fs::read_dir(bench.folder.path()).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn file_that_is_no_database_of_ours_is_not_touched() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("phones.db");
    let open =
        || Phones::open(&path, PhonePolicy::default(), Arc::default()).err().map(|error| error.to_string());
    fs::write(&path, "hello, I am a text file and no database at all").unwrap();
    assert!(open().unwrap().contains("not a database of phones"));
    assert_eq!(fs::read(&path).unwrap(), b"hello, I am a text file and no database at all");
    fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE other (x); ").unwrap();
    drop(other);
    assert!(open().unwrap().contains("not a database of phones"));
    fs::remove_file(&path).unwrap();
    assert_eq!(open(), None);
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.execute_batch("PRAGMA user_version = 1000").unwrap();
    drop(newer);
    assert!(open().unwrap().contains("has version 1000"));
    let nowhere = Phones::open(&folder.path().join("none/phones.db"), PhonePolicy::default(), Arc::default());
    assert!(nowhere.err().unwrap().to_string().contains("permissions"));
}

#[test]
fn a_certificate_is_kept_once_it_was_shown_and_pinned() {
    let mut bench = Bench::new().allowed(device(1)).allowed(device(2));
    let kept = |bench: &Bench| -> Vec<Vec<u8>> {
        bench.phones().certificates(device(1)).iter().map(|der| der.to_vec()).collect()
    };
    // At first use, with the pin.
    bench.provision(device(1), source(1), 1);
    let first = certificate(1).with_der(b"first");
    bench.phones().authenticated(device(1), &first, Connections::One, source(1), at(2)).unwrap();
    assert_eq!(kept(&bench), [b"first"]);
    bench.open();
    assert_eq!(kept(&bench), [b"first"]);
    // One that was pinned without having been seen, by whatever connection it is shown.
    bench.phones().pin(device(1), certificate(2).pin(PinOrigin::Listed), at(3)).unwrap();
    let second = certificate(2).with_der(b"second");
    let shown = Wants::Configuration { certificate: Some(&second), is_bare: true };
    bench.ask(device(1), source(9), shown, 4).unwrap();
    // One that is not pinned is refused, and not kept.
    let third = certificate(3).with_der(b"third");
    let refused =
        bench.ask(device(1), source(9), Wants::Configuration { certificate: Some(&third), is_bare: true }, 4);
    assert_eq!(refused.err(), Some(Failure::PinMismatch));
    bench.phones().tick(at(5)).unwrap();
    bench.open();
    assert_eq!(kept(&bench), [b"second".as_slice(), b"first"]);
    assert!(bench.phones().certificates(device(2)).is_empty());
    // The same pin once more is none more.
    bench.phones().pin(device(1), second.pin(PinOrigin::Listed), at(6)).unwrap();
    assert_eq!(bench.show(device(1)).pins.len(), 2);
}

#[test]
fn a_certificate_of_more_than_four_kilobytes_is_pinned_but_not_kept() {
    let bench = Bench::new().allowed(device(1));
    for (serial, len, kept) in [(1, 4096, 1), (2, 4097, 1)] {
        let pin = certificate(serial).with_der(&vec![0; len]).pin(PinOrigin::Listed);
        bench.phones().pin(device(1), pin, at(1)).unwrap();
        assert_eq!(bench.phones().certificates(device(1)).len(), kept);
    }
    assert_eq!(bench.show(device(1)).pins.len(), 2);
}

#[test]
fn a_database_of_the_first_version_goes_on() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("phones.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("version_1.sql")).unwrap();
    drop(old);
    let phones = Phones::open(&path, PhonePolicy::default(), Arc::default()).unwrap();
    let shown = certificate(1).with_der(b"shown");
    phones.authenticated(device(1), &shown, Connections::One, source(1), at(1)).unwrap();
    let other = phones.authenticated(device(1), &certificate(2), Connections::One, source(1), at(1));
    assert_eq!(other, Err(Failure::PinMismatch));
    phones.tick(at(2)).unwrap();
    drop(phones);
    let phones = Phones::open(&path, PhonePolicy::default(), Arc::default()).unwrap();
    assert_eq!(&*phones.certificates(device(1))[0], b"shown");
}

#[test]
fn a_database_of_any_version_comes_to_have_the_tables_of_a_new_one() {
    let tables = |path: &std::path::Path| -> Vec<String> {
        let database = rusqlite::Connection::open(path).unwrap();
        let columns = "SELECT m.name || '.' || c.name || ' ' || c.type FROM sqlite_schema m, pragma_table_info(m.name) c \
                       WHERE m.type = 'table' ORDER BY 1";
        let mut columns = database.prepare(columns).unwrap();
        columns.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let folder = TempDir::new().unwrap();
    let open = |path: &std::path::Path| Phones::open(path, PhonePolicy::default(), Arc::default()).unwrap();
    let new = folder.path().join("new.db");
    drop(open(&new));
    let second = "ALTER TABLE pin ADD COLUMN der BLOB; PRAGMA user_version = 2;";
    let issued = "CREATE TABLE issued (device TEXT PRIMARY KEY, sha256 BLOB NOT NULL, from_ms INTEGER NOT NULL, \
                  until_ms INTEGER NOT NULL, is_withdrawn INTEGER NOT NULL) STRICT, WITHOUT ROWID; \
                  INSERT INTO issued VALUES ('SEP0010DB000001', zeroblob(32), 1000, 2000, 0);";
    for (number, steps) in [String::new(), second.into(), [second, issued].concat()].iter().enumerate() {
        let path = folder.path().join(format!("{number}.db"));
        let old = rusqlite::Connection::open(&path).unwrap();
        old.execute_batch(include_str!("version_1.sql")).unwrap();
        old.execute_batch(steps).unwrap();
        drop(old);
        let phones = open(&path);
        let until = phones.show(device(1)).unwrap().unwrap().issued.map(|issued| issued.until_ms);
        assert_eq!(until, steps.contains("INSERT").then_some(2000));
        drop(phones);
        assert_eq!(tables(&path), tables(&new), "{steps}");
    }
}
