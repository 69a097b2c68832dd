//! An enrolment under arbitrary bytes, messages and proofs: no panic, nothing is issued to who has proved nothing or with a
//! key that is not good enough, and after its end a session says nothing.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::{PKeyRef, Public};
use openssl::rsa::Padding;
use pinhole_controlplane_fuzz::SIGNER;
use pinhole_enrolment::Framer;
use pinhole_enrolment::capf::{
    Capf, Command, Denied, End, KeyRequest, KeyRules, Kind, Message, Office, Proof, Rules, Session, Task, tag,
};
use pinhole_enrolment::element::Elements;

const ID: u32 = 0x0a0b_0c0d;
const DEVICE: &str = "SEP0010DB000001";
const PASSWORD: &[u8] = b"40718253";

static DER: LazyLock<Vec<u8>> = LazyLock::new(|| SIGNER.certificate.to_der().unwrap());

#[derive(Arbitrary, Debug)]
enum Act<'a> {
    Bytes(&'a [u8]),
    Message {
        command: u8,
        session: Option<u32>,
        elements: Vec<(u8, &'a [u8])>,
    },
    /// The right password, among other elements.
    Password {
        elements: Vec<(u8, &'a [u8])>,
    },
    /// The right proof, with a bit of one of its signatures changed, or not.
    Proof {
        sudi: bool,
        flip: Option<u16>,
    },
    /// A good key.
    Key,
    Stored {
        reason: u8,
    },
}

#[derive(Default)]
struct Appliance {
    task: u8,
    is_proved: bool,
    issued: u32,
}

impl Office for Appliance {
    fn password(&mut self, device: &str, password: &[u8]) -> Result<(), Denied> {
        if device == DEVICE && password == PASSWORD { Ok(()) } else { Err(Denied::Refused) }
    }

    fn certificate(&mut self, device: &str, der: &[u8]) -> Result<Kind, Denied> {
        if device == DEVICE && der == *DER { Ok(Kind::Issued) } else { Err(Denied::Unknown) }
    }

    fn names(&mut self, device: &str, der: &[u8]) -> Result<(), Denied> {
        self.certificate(device, der).map(drop)
    }

    fn task(&mut self, device: &str, _: &Proof) -> Result<Task, Denied> {
        assert_eq!(device, DEVICE, "nobody else has proved anything");
        self.is_proved = true;
        Ok(match self.task % 4 {
            0 => Task::Nothing,
            1 => Task::Delete,
            _ => Task::Install(KeyRequest::Rsa(2048)),
        })
    }

    fn issue(&mut self, device: &str, key: &PKeyRef<Public>) -> Result<Vec<u8>, Denied> {
        assert!(self.is_proved && device == DEVICE);
        assert!(key.bits() >= 256);
        self.issued += 1;
        Ok(b"a certificate".to_vec())
    }

    fn deleted(&mut self, _: &str) -> Result<(), Denied> {
        assert!(self.is_proved);
        Ok(())
    }
}

fuzz_target!(|input: (u8, bool, Vec<Act<'_>>)| {
    let (task, fresh_proof, acts) = input;
    let mut appliance = Appliance { task, ..Appliance::default() };
    let rules = Rules { keys: KeyRules { rsa_bits_min: 512 }, fresh_proof };
    let (mut session, first) = Session::begin(ID, rules);
    assert_eq!(first.len(), 1);
    let mut end = None;
    for act in acts {
        let is_flipped = matches!(act, Act::Proof { flip: Some(_), .. });
        let was_proved = appliance.is_proved;
        let step = session.receive(&bytes_of(act), &mut appliance);
        assert!(!is_flipped || was_proved == appliance.is_proved, "a bit of a proof can be changed");
        if end.is_some() {
            assert_eq!(step, Default::default(), "it speaks after its end");
        }
        for message in &step.send {
            let mut framer = Framer::<Capf>::default();
            framer.push(message);
            assert_eq!(framer.take().unwrap().unwrap().0.session, ID);
            assert_eq!(framer.pending(), 0, "each message by one write");
        }
        assert!(step.end.is_none() || !step.send.is_empty(), "the end is told");
        end = end.or(step.end);
    }
    assert!(appliance.issued <= 1);
    assert!(end != Some(End::Installed) || appliance.issued == 1);
});

fn bytes_of(act: Act<'_>) -> Vec<u8> {
    let with = |elements: Elements, (tag, value): (u8, &[u8])| elements.with(tag, value);
    let named = || {
        let name = [DEVICE.as_bytes(), &[0]].concat();
        Elements::default().with(tag::VERSION, [3]).with(tag::DEVICE_NAME, name)
    };
    let (command, session, elements) = match act {
        Act::Bytes(bytes) => return bytes.to_vec(),
        Act::Message { command, session, elements } => {
            let elements = elements.into_iter().fold(Elements::default(), with);
            (Command(command), session.unwrap_or(ID), elements)
        }
        Act::Password { elements } => {
            let elements = elements.into_iter().fold(named().with(tag::PASSWORD, PASSWORD), with);
            (Command::AUTH_RESPONSE, ID, elements)
        }
        Act::Proof { sudi, flip } => (Command::AUTH_RESPONSE, ID, proof(named(), sudi, flip)),
        Act::Key => {
            let key = SIGNER.key.public_key_to_der().unwrap();
            (Command::KEY_GENERATE_RESPONSE, ID, Elements::default().with(tag::PUBLIC_KEY, key))
        }
        Act::Stored { reason } => {
            (Command::STORE_RESPONSE, ID, Elements::default().with(tag::REASON, [reason]))
        }
    };
    Message { command, session, elements }.to_bytes().unwrap_or_default()
}

fn proof(elements: Elements, sudi: bool, flip: Option<u16>) -> Elements {
    let flipped = |text: &[u8]| {
        let mut signature = sign(text);
        if let Some(bit) = flip {
            let at = usize::from(bit) / 8 % signature.len();
            signature[at] ^= 1 << (bit % 8);
        }
        signature
    };
    let standing = flipped(&[DEVICE.as_bytes(), &[0], &DER].concat());
    let elements = elements.with_certificate(1, &DER).with(tag::SIGNED_DATA, standing);
    if !sudi {
        return elements;
    }
    let fresh = flipped(&[&ID.to_le_bytes(), DER.as_slice()].concat());
    let parts = Elements::default().with(0, DER.as_slice()).with(1, fresh);
    elements.with(tag::SUDI_DATA, parts.to_bytes())
}

/// The digest alone in PKCS#1 padding.
fn sign(text: &[u8]) -> Vec<u8> {
    let key = SIGNER.key.rsa().unwrap();
    let mut signature = vec![0; key.size() as usize];
    key.private_encrypt(&hash(MessageDigest::sha1(), text).unwrap(), &mut signature, Padding::PKCS1).unwrap();
    signature
}
