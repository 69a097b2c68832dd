//! A phone that reads trust lists by its own code (trust-files 2.1), so that the library is not its own judge.

use openssl::hash::MessageDigest;
use openssl::sign::Verifier;
use openssl::x509::X509;

/// A list as a phone reads it.
pub struct Read {
    /// Serial number of the signer.
    signer: Vec<u8>,
    digest: MessageDigest,
    /// Everything but the signature's TLV.
    signed: Vec<u8>,
    signature: Vec<u8>,
    /// Function, serial number, certificate.
    records: Vec<(u16, Vec<u8>, X509)>,
}

fn len_at(file: &[u8], at: usize) -> usize {
    usize::from(file[at]) << 8 | usize::from(file[at + 1])
}

/// The fields of a run of TLVs; those of containers in their place.
fn fields(bytes: &[u8], containers: &[u8]) -> Vec<(u8, usize, Vec<u8>)> {
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let tag = bytes[at];
        // Padding of a header has no length.
        let len = if tag == 13 && !containers.is_empty() { break } else { len_at(bytes, at + 1) };
        if containers.contains(&tag) {
            at += 3;
            continue;
        }
        found.push((tag, at, bytes[at + 3..at + 3 + len].to_vec()));
        at += 3 + len;
    }
    found
}

pub fn read(file: &[u8]) -> Read {
    let header_len = len_at(file, 8);
    let header = fields(&file[..header_len], &[3, 7, 9]);
    let of = |tag: u8| header.iter().find(|field| field.0 == tag).unwrap();
    let (_, at, signature) = of(12).clone();
    let mut records = Vec::new();
    let mut at_record = header_len;
    while at_record < file.len() {
        let len = len_at(file, at_record + 3);
        let record = fields(&file[at_record..at_record + len], &[]);
        let of = |tag: u8| record.iter().find(|field| field.0 == tag).unwrap().2.clone();
        records.push((of(4)[1].into(), of(6), X509::from_der(&of(9)).unwrap()));
        at_record += len;
    }
    Read {
        signer: of(5).2.clone(),
        digest: match of(8).2[0] {
            1 => MessageDigest::sha1(),
            3 => MessageDigest::sha512(),
            other => panic!("digest {other}"),
        },
        signed: [&file[..at], &file[at + 3 + signature.len()..]].concat(),
        signature,
        records,
    }
}

impl Read {
    /// Whether it is signed by a security administrator of `held`.
    pub fn is_signed_by_one_of(&self, held: &Self) -> bool {
        held.records.iter().filter(|record| record.0 == 0 && record.1 == self.signer).any(|record| {
            let key = record.2.public_key().unwrap();
            let mut verifier = Verifier::new(self.digest, &key).unwrap();
            verifier.update(&self.signed).unwrap();
            verifier.verify(&self.signature).unwrap_or(false)
        })
    }
}

/// A phone: it keeps the last list that it has accepted (trust-files 2.1.6).
#[derive(Default)]
pub struct Phone {
    pub held: Option<Vec<u8>>,
}

impl Phone {
    /// Whether it takes a list.
    pub fn offer(&mut self, file: &[u8]) -> bool {
        let new = read(file);
        // The first one is accepted on faith.
        let accepted = self.held.as_ref().is_none_or(|held| new.is_signed_by_one_of(&read(held)));
        if accepted {
            self.held = Some(file.to_vec());
        }
        accepted
    }
}
