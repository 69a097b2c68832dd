//! Enrolments from the first byte to the last, with a phone of the tests' own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod phone;
mod proofs;
mod steps;

use openssl::pkey::{PKey, PKeyRef, Public};
use pinhole_enrolment::capf::{
    Denied, End, KeyRequest, KeyRules, Kind, Office, Proof, Refusal, Rules, Session, Step, Task,
};

use phone::DEVICE;

const ID: u32 = 0x0102_0304;
const PASSWORD: &str = "40718253";

/// An appliance that knows one device.
struct Bench {
    password: Option<String>,
    /// What is the device's, by DER.
    certificates: Vec<(Vec<u8>, Kind)>,
    /// What names the device, by DER.
    trusted: Vec<Vec<u8>>,
    task: Task,
    proofs: Vec<Proof>,
    keys: Vec<PKey<Public>>,
    deleted: u32,
    has_keys: bool,
    rules: Rules,
    session: Session,
    first: Vec<Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Rules { keys: KeyRules { rsa_bits_min: 2048 }, fresh_proof: true })
    }

    fn with(rules: Rules) -> Self {
        let (session, first) = Session::begin(ID, rules);
        Self {
            password: Some(PASSWORD.into()),
            certificates: Vec::new(),
            trusted: Vec::new(),
            task: Task::Install(KeyRequest::Rsa(2048)),
            proofs: Vec::new(),
            keys: Vec::new(),
            deleted: 0,
            has_keys: true,
            rules,
            session,
            first,
        }
    }

    fn knows(mut self, holder: &phone::Holder, kind: Kind) -> Self {
        self.certificates.push((holder.der.clone(), kind));
        self
    }

    fn trusts(mut self, holder: &phone::Holder) -> Self {
        self.trusted.push(holder.der.clone());
        self
    }

    /// The same appliance in another session.
    fn begin(&mut self, id: u32) {
        (self.session, self.first) = Session::begin(id, self.rules);
    }

    fn send(&mut self, bytes: &[u8]) -> Step {
        let (mut session, _) = Session::begin(0, self.rules);
        std::mem::swap(&mut session, &mut self.session);
        let step = session.receive(bytes, self);
        self.session = session;
        step
    }

    /// Sends what is to be refused; why it was, and the last message.
    fn refused(&mut self, bytes: &[u8]) -> (Refusal, (u8, Option<u8>)) {
        let step = self.send(bytes);
        let (command, _, elements) = phone::read(step.send.last().expect("a last message"));
        let reason = elements.iter().find(|(tag, _)| *tag == 1).map(|(_, value)| value[0]);
        match step.end {
            Some(End::Refused(refusal)) => (refusal, (command, reason)),
            other => panic!("{other:?}"),
        }
    }

    /// Goes on to the end with a key pair; the certificate that the phone has stored.
    fn install(&mut self, step: &Step, key: &[u8]) -> Vec<u8> {
        assert_eq!(phone::read(&step.send[0]).0, 3, "a key is asked for");
        assert_eq!(self.send(&phone::message(17, ID, &[])), Step::default(), "it may take its time");
        let step = self.send(&phone::message(4, ID, &[phone::element(9, key)]));
        let (command, _, elements) = phone::read(&step.send[0]);
        assert_eq!((command, elements[0].clone(), elements[1].0), (9, (3, vec![1]), 4));
        let step = self.send(&phone::message(10, ID, &[phone::element(1, &[1])]));
        assert_eq!(phone::read(&step.send[0]), (15, ID, vec![(1, vec![1])]));
        assert_eq!(step.end, Some(End::Installed));
        elements[1].1[5..].to_vec()
    }
}

impl Office for Bench {
    fn password(&mut self, device: &str, password: &[u8]) -> Result<(), Denied> {
        if device != DEVICE {
            return Err(Denied::Unknown);
        }
        let right = self.password.take_if(|right| right.as_bytes() == password);
        right.map(drop).ok_or(Denied::Refused)
    }

    fn certificate(&mut self, device: &str, der: &[u8]) -> Result<Kind, Denied> {
        let known = self.certificates.iter().find(|(known, _)| device == DEVICE && known == der);
        known.map(|(_, kind)| *kind).ok_or(Denied::Refused)
    }

    fn names(&mut self, device: &str, der: &[u8]) -> Result<(), Denied> {
        let is_known = device == DEVICE && self.trusted.iter().any(|known| known == der);
        if is_known { Ok(()) } else { Err(Denied::Refused) }
    }

    fn task(&mut self, _: &str, proof: &Proof) -> Result<Task, Denied> {
        self.proofs.push(proof.clone());
        Ok(self.task)
    }

    fn issue(&mut self, device: &str, key: &PKeyRef<Public>) -> Result<Vec<u8>, Denied> {
        assert_eq!(device, DEVICE);
        if !self.has_keys {
            return Err(Denied::Later);
        }
        let der = key.public_key_to_der().unwrap();
        self.keys.push(PKey::public_key_from_der(&der).unwrap());
        Ok(b"a certificate".to_vec())
    }

    fn deleted(&mut self, device: &str) -> Result<(), Denied> {
        assert_eq!(device, DEVICE);
        self.deleted += 1;
        Ok(())
    }
}
