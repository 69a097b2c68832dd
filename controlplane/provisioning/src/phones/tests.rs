//! What needs to reach into the database.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, UNIX_EPOCH};

use super::*;

const DEVICE: Device = Device::new([0, 1, 2, 3, 4, 5]);
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn provisioned(folder: &tempfile::TempDir, now: SystemTime) -> Phones {
    let path = folder.path().join("phones.db");
    let phones = Phones::open(&path, PhonePolicy::default(), Arc::default()).unwrap();
    phones.allow(DEVICE, SecurityClass::Encrypted, now).unwrap();
    for wants in
        [Wants::TrustList { generation: 1 }, Wants::Configuration { certificate: None, is_bare: false }]
    {
        let Decision::Granted(grant) = phones.ask(DEVICE, SOURCE, "file", wants, now) else {
            panic!("refused")
        };
        assert!(phones.delivered(&grant, Delivery::Acknowledged, now));
    }
    phones
}

#[test]
fn what_cannot_be_written_is_refused_and_changes_nothing() {
    let folder = tempfile::TempDir::new().unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let phones = provisioned(&folder, now);
    phones.store().read_only(true);
    let certificate = CertificateId::new(&[1], "CN=CA", [0; 32]).unwrap();
    assert_eq!(
        phones.authenticated(DEVICE, &certificate, Connections::One, SOURCE, now),
        Err(Failure::StoreFailed)
    );
    assert!(phones.allow(Device::new([9; 6]), SecurityClass::Encrypted, now).is_err());
    assert!(phones.forget(DEVICE).is_err());
    assert!(phones.open_enrolment(now + Duration::from_secs(9), 1, now).is_err());
    assert!(phones.tick(now).is_err());
    let seen = phones.show(DEVICE).unwrap().unwrap();
    assert_eq!((seen.stage, seen.pins.len()), (Stage::ConfigurationDelivered, 0));
    assert_eq!((phones.list().len(), phones.enrolment(now)), (1, None));
    // What waited is written when that is possible again.
    phones.store().read_only(false);
    phones.tick(now).unwrap();
    let path = folder.path().join("phones.db");
    let before = phones.show(DEVICE).unwrap();
    drop(phones);
    let again = Phones::open(&path, PhonePolicy::default(), Arc::default()).unwrap();
    assert_eq!(again.show(DEVICE).unwrap(), before);
}
