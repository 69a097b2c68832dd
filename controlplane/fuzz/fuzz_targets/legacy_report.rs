//! Any bytes as what `pinhole-legacy-tls` reports, and as what it is told: no panic, nothing beyond its bounds, nothing that a
//! log must not show.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole_legacy_tls::{Report, Settings, TEXT_MAX};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(report) = Report::decode(bytes) {
        let again = report.encode().ok().map(|bytes| Report::decode(&bytes));
        assert_eq!(again, Some(Ok(report.clone())));
        match report {
            Report::Ready(text) => assert!(is_plain(&text)),
            Report::Refused(refusals) => assert!(refusals.count > 0 && is_plain(&refusals.text)),
            Report::Phone(phone) => {
                assert!(
                    phone.chain.len() <= 32 && phone.chain.iter().map(Vec::len).sum::<usize>() <= bytes.len()
                );
            }
            Report::Accepted(_) => {}
        }
    }
    if let Ok(settings) = Settings::decode(bytes) {
        let again = settings.encode().ok().map(|bytes| Settings::decode(&bytes));
        assert_eq!(again, Some(Ok(settings)));
    }
});

fn is_plain(text: &str) -> bool {
    text.len() <= TEXT_MAX && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
