//! The byte formats of trust-files, read and written.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::net::Ipv4Addr;

use openssl::hash::{MessageDigest, hash};
use openssl::pkey::PKey;
use openssl::rsa::Padding;
use openssl::sign::Verifier;
use openssl::symm::{Cipher, Crypter, Mode};
use openssl::x509::X509;
use pinhole_trust::encrypted::{Secrets, decrypt, encrypt};
use pinhole_trust::{
    Digest, Draft, Failure, Function, Identity, Malformed, Record, SignerVersion, TrustList, signed,
};
use proptest::prelude::*;
use support::{DEVICE, SAST, SERVER};

const TIME: u32 = 0x6543_2100;

fn records() -> [Record; 2] {
    let sast = Record::of(&SAST.certificate, Function::Sast).unwrap();
    [sast, Record::of(&SERVER.certificate, Function::CcmTftp).unwrap()]
}

fn build(
    signer: &Identity,
    digest: Digest,
    version: SignerVersion,
    records: &[Record],
) -> Result<Vec<u8>, Failure> {
    let (file_name, timestamp) = ("CTLFile.tlv", TIME);
    TrustList::build(signer, &Draft { file_name, signer_version: version, digest, timestamp, records })
}

fn list(digest: Digest, version: SignerVersion) -> Vec<u8> {
    build(&SAST, digest, version, &records()).unwrap()
}

/// What trust-files 2.1.4 says byte by byte, with our signature and certificates in their places.
#[test]
fn a_list_has_the_layout_of_the_fact_sheet() {
    let file = list(Digest::Sha1, SignerVersion::V1_0);
    let mut expected: Vec<u8> = vec![1, 0, 2, 1, 2, 2, 0, 2, 0x01, 0x68, 0x1c, 0, 2, 1, 0, 3, 0, 0x28];
    expected.extend(b"\x04\x00\x0dCN=test-sast\x00\x06\x00\x0dCN=test-sast\x00");
    expected.extend([5, 0, 5, 1, 2, 3, 4, 5]);
    expected.extend([7, 0, 0x0f, 8, 0, 1, 1, 9, 0, 8, 0x0a, 0, 1, 0, 0x0b, 0, 1, 2]);
    assert_eq!(expected.len(), 0x4c);
    expected.extend([0x0c, 1, 0]);
    expected.extend(&file[0x4f..0x14f]);
    expected.extend(b"\x0e\x00\x0cCTLFile.tlv\x00\x0f\x00\x04");
    expected.extend(TIME.to_be_bytes());
    expected.extend([0x0d; 3]);
    assert_eq!(expected.len(), 0x168);
    let of: [(&Identity, &[u8], &[u8], u8); 2] =
        [(&SAST, b"CN=test-sast\0", &[1, 2, 3, 4, 5], 0), (&SERVER, b"CN=test-tftp\0", &[0x9a, 1], 2)];
    for (identity, name, serial, function) in of {
        let der = identity.certificate.to_der().unwrap();
        let key = identity.key.rsa().unwrap().public_key_to_der_pkcs1().unwrap();
        let (signature, function) = (identity.certificate.signature().as_slice(), [0, function]);
        assert_eq!((key.len(), signature.len()), (270, 256));
        let mut fields = Vec::new();
        for (tag, value) in
            [(3, name), (5, name), (6, serial), (4, &function), (7, &key), (8, signature), (9, &der)]
        {
            fields.push(tag);
            fields.extend((value.len() as u16).to_be_bytes());
            fields.extend(value);
        }
        expected.extend([1, 0, 2]);
        expected.extend((fields.len() as u16 + 5).to_be_bytes());
        expected.extend(fields);
    }
    assert_eq!(file, expected);
    // The whole file without the signature's field is signed.
    let public = SAST.certificate.public_key().unwrap();
    let mut verifier = Verifier::new(MessageDigest::sha1(), &public).unwrap();
    verifier.update(&file[..0x4c]).unwrap();
    verifier.update(&file[0x14f..]).unwrap();
    assert!(verifier.verify(&file[0x4f..0x14f]).unwrap());
}

/// The same, made by other programs with fixed keys and time: see `golden/README.md`.
#[test]
fn a_list_is_to_the_byte_the_one_that_other_programs_make_with_the_same_keys() {
    let golden = include_bytes!("golden/CTLFile.tlv");
    let identity = |key: &[u8], certificate: &[u8]| Identity {
        certificate: X509::from_pem(certificate).unwrap(),
        key: PKey::private_key_from_pem(key).unwrap(),
    };
    let sast = identity(include_bytes!("golden/sast.key.pem"), include_bytes!("golden/sast.crt.pem"));
    let server = identity(include_bytes!("golden/server.key.pem"), include_bytes!("golden/server.crt.pem"));
    let records = [(&sast, Function::Sast), (&server, Function::CcmTftp)];
    let records = records.map(|(of, function)| Record::of(&of.certificate, function).unwrap());
    let built = build(&sast, Digest::Sha1, SignerVersion::V1_0, &records).unwrap();
    assert!(built == golden, "differs");
    assert_eq!(TrustList::verify(golden).unwrap().records, records);
    let mut changed = golden.to_vec();
    for bit in 0..golden.len() * 8 {
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(TrustList::verify(&changed).is_err(), "bit {bit}");
        changed[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn what_was_built_is_read_back_with_names_addresses_and_both_versions() {
    let [sast, server] = records();
    let address = Ipv4Addr::new(192, 0, 2, 7);
    let records = [sast, server.reached_by(Some("pinhole.example.net"), Some(address))];
    for (digest, version) in [(Digest::Sha1, SignerVersion::V1_0), (Digest::Sha512, SignerVersion::V1_1)] {
        let read = TrustList::verify(&build(&SAST, digest, version, &records).unwrap()).unwrap();
        assert_eq!((read.header.version, read.header.signer_version), ([1, 2], Some(version)));
        assert_eq!((read.header.digest, read.header.timestamp), (digest, TIME));
        assert_eq!((read.records[1].ipv4(), &read.records[..]), (Some(address), &records[..]));
    }
}

#[test]
fn no_bit_of_a_list_can_be_flipped() {
    let mut file = list(Digest::Sha512, SignerVersion::V1_1);
    for bit in 0..file.len() * 8 {
        file[bit / 8] ^= 1 << (bit % 8);
        assert!(TrustList::verify(&file).is_err(), "bit {bit}");
        file[bit / 8] ^= 1 << (bit % 8);
    }
    TrustList::verify(&file).unwrap();
}

#[test]
fn no_bit_of_a_signed_file_can_be_flipped_nor_its_end_cut_off() {
    let mut file =
        signed::sign(&SERVER, "SEP001122334455.cnf.xml.sgn", b"<device/>", Digest::Sha1, TIME).unwrap();
    for bit in 0..file.len() * 8 {
        file[bit / 8] ^= 1 << (bit % 8);
        assert!(signed::verify(&file, &SERVER.certificate).is_err(), "bit {bit}");
        file[bit / 8] ^= 1 << (bit % 8);
    }
    for len in 0..file.len() {
        assert!(signed::verify(&file[..len], &SERVER.certificate).is_err(), "{len} bytes");
    }
}

#[test]
fn a_list_of_a_stranger_or_of_a_server_is_refused_by_who_holds_another() {
    let stranger = support::identity("stranger", &[9]);
    let own = [Record::of(&stranger.certificate, Function::Sast).unwrap()];
    let foreign = build(&stranger, Digest::Sha1, SignerVersion::V1_0, &own).unwrap();
    TrustList::verify(&foreign).unwrap();
    let held = TrustList::verify(&list(Digest::Sha1, SignerVersion::V1_0)).unwrap();
    let by_server = build(&SERVER, Digest::Sha1, SignerVersion::V1_0, &records()).unwrap();
    for file in [foreign, by_server] {
        let refused = TrustList::verify_against(&file, &held).unwrap_err();
        assert!(matches!(refused, Failure::UnknownSigner { .. }), "{refused}");
    }
}

#[test]
fn a_list_has_one_or_two_security_administrators() {
    let [sast, server] = records();
    for (records, sasts) in [(vec![server.clone()], 0), (vec![sast.clone(), sast.clone(), sast, server], 3)] {
        let refused = build(&SAST, Digest::Sha1, SignerVersion::V1_0, &records).unwrap_err();
        assert!(matches!(refused, Failure::Sasts(count) if count == sasts));
    }
}

#[test]
fn a_signed_file_of_any_size_gives_its_content_back() {
    for len in [0, 1, 511, 512, 513, 65_535, 40 << 20] {
        let content: Vec<u8> = (0..len).map(|at: usize| (at * 31) as u8).collect();
        let name = "New_Zealand/g3-tones.xml.sgn";
        let file = signed::sign(&SERVER, name, &content, Digest::Sha512, TIME).unwrap();
        let (header, stripped) = signed::verify(&file, &SERVER.certificate).unwrap();
        assert_eq!((header.version, header.signer_version, &*header.file_name), ([1, 0], None, name));
        assert!(stripped == content && signed::strip(&file).unwrap().1 == content, "{len} bytes");
        assert_eq!((file.len() - len) % 4, 0);
    }
}

#[test]
fn a_signed_file_is_refused_under_another_certificate() {
    let file = signed::sign(&SERVER, "a.sgn", b"content", Digest::Sha1, TIME).unwrap();
    assert!(matches!(signed::verify(&file, &SAST.certificate), Err(Failure::BadSignature)));
}

#[test]
fn an_encrypted_file_of_every_length_is_padded_and_read_by_its_device_alone() {
    for len in 0..=33 {
        let content: Vec<u8> = (0..len).map(|at| b'a' + at as u8 % 26).collect();
        let secrets = Secrets { key: [len as u8; 16], iv: [0x55; 16] };
        let name = "SEP001122334455.cnf.xml.enc.sgn";
        let file =
            encrypt(&SERVER, name, &content, Digest::Sha512, TIME, &DEVICE.certificate, &secrets).unwrap();
        let (header, read) = decrypt(&file, &SERVER.certificate, &DEVICE.key).unwrap();
        assert_eq!((header.version, &read), ([2, 0], &content));
        let encryption = header.encryption.unwrap();
        let padding = 16 - len % 16;
        assert_eq!((usize::from(encryption.padding), encryption.key_bits), (padding, 2048));
        assert_eq!(*encryption.digest, *hash(MessageDigest::sha512(), &content).unwrap());
        // Read once more by the library alone.
        let mut key = [0; 256];
        let rsa = DEVICE.key.rsa().unwrap();
        let key_len = rsa.private_decrypt(&encryption.wrapped_key, &mut key, Padding::PKCS1).unwrap();
        let (cipher, iv) = (Cipher::aes_128_cbc(), Some(&encryption.iv[..]));
        let mut crypter = Crypter::new(cipher, Mode::Decrypt, &key[..key_len], iv).unwrap();
        crypter.pad(false);
        let encrypted = signed::strip(&file).unwrap().1;
        let mut clear = vec![0; encrypted.len() + 16];
        let mut clear_len = crypter.update(encrypted, &mut clear).unwrap();
        clear_len += crypter.finalize(&mut clear[clear_len..]).unwrap();
        assert_eq!(clear[..clear_len], [&content[..], &vec![0x0d; padding]].concat());
        assert!(decrypt(&file, &SERVER.certificate, &SAST.key).is_err());
    }
}

#[test]
fn fields_may_come_in_the_order_of_other_makers() {
    // Serial number before issuer; the signature no longer matches.
    let file = list(Digest::Sha1, SignerVersion::V1_0);
    let mut other = file.clone();
    let turned = [&file[0x32..0x3a], &file[0x22..0x32]].concat();
    other[0x22..0x3a].copy_from_slice(&turned);
    assert_eq!(TrustList::parse(&other).unwrap(), TrustList::parse(&file).unwrap());
    assert!(matches!(TrustList::verify(&other), Err(Failure::BadSignature)));
}

#[test]
fn containers_within_containers_without_end_are_refused() {
    let mut file = vec![1, 0, 2, 1, 2, 2, 0, 2, 0, 0];
    for inner in (0..900u16).rev() {
        file.push(3);
        file.extend((inner * 3).to_be_bytes());
    }
    let len = (file.len() as u16).to_be_bytes();
    file[8..10].copy_from_slice(&len);
    assert!(matches!(TrustList::parse(&file), Err(Malformed::TooLarge("the nesting of fields", _))));
}

#[test]
fn a_header_has_no_bytes_behind_its_padding() {
    let mut file = list(Digest::Sha1, SignerVersion::V1_0);
    file.splice(0x168..0x168, [0x0d; 4]);
    file[8..10].copy_from_slice(&0x16cu16.to_be_bytes());
    assert!(matches!(TrustList::parse(&file), Err(Malformed::Trailing(..))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = TrustList::parse(&bytes);
        let _ = signed::strip(&bytes);
    }

    #[test]
    fn no_changed_bytes_are_accepted(at in 0usize..2900, value in any::<u8>(), cut in 0usize..4) {
        let file = list(Digest::Sha1, SignerVersion::V1_0);
        let mut changed = file.clone();
        changed.truncate(file.len() - cut * 700);
        if let Some(byte) = changed.get_mut(at) {
            *byte = value;
        }
        prop_assert_eq!(TrustList::verify(&changed).is_ok(), changed == file);
    }

    #[test]
    fn signed_content_comes_back(
        content in prop::collection::vec(any::<u8>(), 0..3000),
        name in "[A-Za-z0-9._/-]{1,80}",
    ) {
        let file = signed::sign(&SERVER, &name, &content, Digest::Sha1, TIME).unwrap();
        let (header, stripped) = signed::verify(&file, &SERVER.certificate).unwrap();
        prop_assert_eq!((header.file_name, stripped), (name, &content[..]));
    }
}
