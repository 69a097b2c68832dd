//! Any bytes as a file name: no panic; a known name says exactly what was asked, and none that is fetched as an ordinary
//! file leaves its folder, or could be a configuration or trust list.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole_provisioning::FileName;
use pinhole_provisioning::names::NAME_MAX;

fuzz_target!(|name: &[u8]| {
    let Ok(found) = FileName::parse(name) else { return };
    assert!(name.len() <= NAME_MAX);
    assert_eq!(found.to_string().as_bytes(), name);
    if let FileName::Other(file) = found {
        let upstream = file.upstream().to_ascii_lowercase();
        assert!(!upstream.contains("..") && !upstream.starts_with('/') && !upstream.contains('\\'));
        assert!(!upstream.contains(".cnf") && !upstream.contains(".tlv"));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+/".contains(&byte);
        assert!(upstream.bytes().all(plain) && upstream.matches('/').count() <= 2);
    }
});
