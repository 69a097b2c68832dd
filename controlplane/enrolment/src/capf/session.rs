//! One enrolment, as the server sees it.

use openssl::pkey::{PKeyRef, Public};

use super::proof::{Fresh, Standing};
use super::{BadKey, Capf, Command, Header, KeyRequest, KeyRules, Message, tag};
use crate::element::Elements;
use crate::{Framer, Malformed};

/// The version that is spoken.
const VERSION: u8 = 3;
/// Certificate type: one of ours.
const LSC: u8 = 1;
/// The most messages of a phone: it may say a few times that it is still at work.
const MESSAGES_MAX: u32 = 64;
/// The longest name of a device, in bytes.
const NAME_MAX: usize = 32;
/// The longest password, in bytes.
const PASSWORD_MAX: usize = 64;

/// Reasons that stand in an answer or at the end of a session.
mod reason {
    pub const NO_ACTION: u8 = 0;
    pub const UPDATED: u8 = 1;
    pub const INVALID: u8 = 7;
    pub const UNKNOWN_DEVICE: u8 = 9;
}

/// What a session asks of the appliance around it. Everything that trust depends on is decided there.
pub trait Office {
    /// Whether this is the device's one-time password. It is used up by being right.
    ///
    /// # Errors
    /// When it is not.
    fn password(&mut self, device: &str, password: &[u8]) -> Result<(), Denied>;

    /// Whether a certificate, whose key the phone is about to prove, is the one that this device is known by.
    ///
    /// # Errors
    /// When it is not.
    fn certificate(&mut self, device: &str, der: &[u8]) -> Result<Kind, Denied>;

    /// Whether a certificate that makes a proof fresh names this device, and is trusted. The device need not be known by it.
    ///
    /// # Errors
    /// When it is not.
    fn names(&mut self, device: &str, der: &[u8]) -> Result<(), Denied>;

    /// What is to be done with a device that has proved who it is.
    ///
    /// # Errors
    /// When nothing may be done with it.
    fn task(&mut self, device: &str, proof: &Proof) -> Result<Task, Denied>;

    /// A certificate for a device's new key. The device must be known by it before this returns: the phone may hold it from
    /// then on, whatever becomes of the connection.
    ///
    /// # Errors
    /// When none can be made.
    fn issue(&mut self, device: &str, key: &PKeyRef<Public>) -> Result<Vec<u8>, Denied>;

    /// The device has deleted the certificate that we had issued.
    ///
    /// # Errors
    /// When that cannot be noted.
    fn deleted(&mut self, device: &str) -> Result<(), Denied>;
}

/// Why the appliance says no; it has counted it itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There is no such device.
    Unknown,
    /// Not now: the phone is to come again.
    Later,
    /// For any other reason.
    Refused,
}

/// What a device's certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// We have issued it (LSC).
    Issued,
    /// It was made with the phone (MIC).
    Manufacturer,
}

/// How a device has proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By its one-time password.
    Password,
    /// By the key of a certificate.
    Certificate {
        /// What it is.
        kind: Kind,
        /// Its DER.
        der: Vec<u8>,
    },
}

/// What is to be done with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// It makes a key pair, and gets a certificate for it.
    Install(KeyRequest),
    /// It deletes the certificate that we had issued.
    Delete,
    /// Nothing: what it has is good.
    Nothing,
}

/// What holds for every session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Which keys get a certificate.
    pub keys: KeyRules,
    /// A certificate counts only with a proof that was made in this session. Off: that part is not looked at, and who has
    /// heard a proof in another session can say it again.
    pub fresh_proof: bool,
}

/// Why a session ended without success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What came is no CAPF.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// An answer to something that was not asked.
    #[error("command {} was not expected", .0.0)]
    Unexpected(Command),
    /// An answer of another session.
    #[error("it answers for another session")]
    OtherSession,
    /// Too many messages.
    #[error("more than {MESSAGES_MAX} messages came")]
    TooMany,
    /// Another version of the protocol.
    #[error("it speaks version {0:?}, {VERSION} is known")]
    Version(Option<u8>),
    /// Neither password nor signature.
    #[error("it proves nothing: neither password nor signed certificate")]
    NoProof,
    /// A signature that is not of the certificate's key, or of another text.
    #[error("a signature of its proof is wrong, or made in another session")]
    Signature,
    /// No proof that was made in this session.
    #[error("its proof could be a repetition: the part that is made for this session (SUDI) is missing")]
    NotFresh,
    /// The new key is not good enough.
    #[error("its new key gets no certificate: {0}")]
    Key(#[from] BadKey),
    /// The phone could not do what it was asked; its reason, if it gave one.
    #[error("it could not do what it was asked (reason {0:?})")]
    Phone(Option<u8>),
    /// The appliance has said no, and has said why.
    #[error("refused")]
    Denied(Denied),
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It has stored a new certificate.
    Installed,
    /// It has deleted the one it had.
    Deleted,
    /// There was nothing to do.
    Nothing,
    /// The phone has ended it.
    Aborted,
    /// It was refused.
    Refused(Refusal),
}

/// What is to be done after something has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// What is to be sent, each by one write.
    pub send: Vec<Vec<u8>>,
    /// The session is over; the connection is to be closed once all was sent.
    pub end: Option<End>,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    id: u32,
    rules: Rules,
    framer: Framer<Capf>,
    state: State,
    /// The device's name, once it has given one.
    device: Option<String>,
    messages: u32,
}

#[derive(Debug)]
enum State {
    Authentication,
    Key { device: String },
    Storing,
    Deletion { device: String },
    Over,
}

/// What comes next.
enum Next {
    Send(Message, State),
    Stay(Option<Message>),
    End(u8, End),
}

impl Session {
    /// A new session, and what it sends first. `id` is random, so that no proof of another session fits.
    pub fn begin(id: u32, rules: Rules) -> (Self, Vec<Vec<u8>>) {
        let (framer, state) = (Framer::default(), State::Authentication);
        let session = Self { id, rules, framer, state, device: None, messages: 0 };
        // Phones answer by the means that their configuration names, whatever is asked for here \[V\].
        let elements = Elements::default().with(tag::VERSION, [VERSION]).with(tag::AUTH_TYPE, [0]);
        let first = session.message(Command::AUTH_REQUEST, elements);
        (session, first.to_bytes().into_iter().collect())
    }

    /// The name that the phone says it has, proved or not.
    pub fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// Whether the phone has proved who it is, and is at work on what it was asked.
    pub fn is_proved(&self) -> bool {
        matches!(self.state, State::Key { .. } | State::Storing | State::Deletion { .. })
    }

    /// Bytes that belong to no finished message yet.
    pub fn pending(&self) -> usize {
        self.framer.pending()
    }

    /// Takes what has come.
    pub fn receive(&mut self, bytes: &[u8], office: &mut dyn Office) -> Step {
        let mut step = Step::default();
        self.framer.push(bytes);
        while !matches!(self.state, State::Over) {
            let Some(message) = self.framer.take() else { break };
            let next = message
                .map_err(Refusal::from)
                .and_then(|(header, elements)| self.next(header, elements, office));
            let next = next.unwrap_or_else(|refusal| Next::End(reason_of(&refusal), End::Refused(refusal)));
            let message = match next {
                Next::Send(message, state) => {
                    self.state = state;
                    Some(message)
                }
                Next::Stay(message) => message,
                Next::End(reason, end) => {
                    self.state = State::Over;
                    let elements = Elements::default().with(tag::REASON, [reason]);
                    let last = match end {
                        End::Aborted => self.message(Command::ABORT_RESPONSE, elements),
                        // How long it shall wait could be said as well, but the element's form is not known.
                        End::Refused(Refusal::Denied(Denied::Later)) => {
                            self.message(Command::RETRY_LATER, Elements::default())
                        }
                        _ => self.message(Command::END, elements),
                    };
                    step.end = Some(end);
                    Some(last)
                }
            };
            step.send.extend(message.and_then(|message| message.to_bytes().ok()));
        }
        step
    }

    fn next(&mut self, header: Header, elements: Elements, office: &mut dyn Office) -> Result<Next, Refusal> {
        self.messages += 1;
        let Header { command, session } = header;
        match command {
            _ if self.messages > MESSAGES_MAX => return Err(Refusal::TooMany),
            _ if session != self.id => return Err(Refusal::OtherSession),
            // Generating a key takes old phones minutes.
            Command::IN_PROGRESS => return Ok(Next::Stay(None)),
            Command::STATUS_REQUEST => {
                let elements = Elements::default().with(tag::REASON, [reason::NO_ACTION]);
                return Ok(Next::Stay(Some(self.message(Command::STATUS_RESPONSE, elements))));
            }
            Command::ABORT_REQUEST | Command::ABORT_RESPONSE | Command::END | Command::RETRY_LATER => {
                return Ok(Next::End(reason::NO_ACTION, End::Aborted));
            }
            _ => {}
        }
        let message = Message { command, session, elements };
        match (&self.state, command) {
            (State::Authentication, Command::AUTH_RESPONSE) => self.authenticate(&message, office),
            (State::Key { device }, Command::KEY_GENERATE_RESPONSE) => self.issue(device, &message, office),
            (State::Storing, Command::STORE_RESPONSE) => {
                success(&message.elements)?;
                Ok(Next::End(reason::UPDATED, End::Installed))
            }
            (State::Deletion { device }, Command::DELETE_RESPONSE) => {
                success(&message.elements)?;
                office.deleted(device)?;
                Ok(Next::End(reason::UPDATED, End::Deleted))
            }
            _ => Err(Refusal::Unexpected(command)),
        }
    }

    fn authenticate(&mut self, message: &Message, office: &mut dyn Office) -> Result<Next, Refusal> {
        let elements = &message.elements;
        let name = elements.text(tag::DEVICE_NAME, NAME_MAX)?;
        let name = name.ok_or(Malformed::Missing(tag::DEVICE_NAME))?;
        let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        let device = std::str::from_utf8(name).ok().filter(|_| is_name);
        let device = device.ok_or(Malformed::Value(tag::DEVICE_NAME))?.to_owned();
        self.device = Some(device.clone());
        let version = elements.byte(tag::VERSION)?;
        if version != Some(VERSION) {
            return Err(Refusal::Version(version));
        }
        let proof = self.prove(&device, message, office)?;
        let (command, elements, state) = match office.task(&device, &proof)? {
            Task::Install(request) => {
                (Command::KEY_GENERATE_REQUEST, request.elements(), State::Key { device })
            }
            Task::Delete => (Command::DELETE_REQUEST, Elements::default(), State::Deletion { device }),
            Task::Nothing => return Ok(Next::End(reason::NO_ACTION, End::Nothing)),
        };
        Ok(Next::Send(self.message(command, elements), state))
    }

    /// Which proof counts: a password if there is one, else a certificate whose key has signed. Whose the certificate is, is
    /// asked before its key is used.
    fn prove(&self, device: &str, message: &Message, office: &mut dyn Office) -> Result<Proof, Refusal> {
        let elements = &message.elements;
        let password = elements.text(tag::PASSWORD, PASSWORD_MAX)?.filter(|password| !password.is_empty());
        if let Some(password) = password {
            office.password(device, password)?;
            return Ok(Proof::Password);
        }
        let der = message.certificate()?.ok_or(Refusal::NoProof)?;
        let standing = Standing::read(elements, device, der)?;
        let fresh = if self.rules.fresh_proof {
            Some(Fresh::read(elements)?.ok_or(Refusal::NotFresh)?)
        } else {
            None
        };
        let kind = office.certificate(device, der)?;
        standing.check()?;
        if let Some(fresh) = fresh {
            if fresh.certificate != der {
                office.names(device, &fresh.certificate)?;
            }
            fresh.check(self.id)?;
        }
        Ok(Proof::Certificate { kind, der: der.to_vec() })
    }

    fn issue(&self, device: &str, message: &Message, office: &mut dyn Office) -> Result<Next, Refusal> {
        let reason = message.elements.byte(tag::REASON)?;
        let key = message.elements.get(tag::PUBLIC_KEY)?.ok_or(Refusal::Phone(reason))?;
        let certificate = office.issue(device, &*self.rules.keys.read(key)?)?;
        let elements = Elements::default().with(tag::CERTIFICATE_TYPE, [LSC]);
        let elements = elements.with_certificate(LSC, &certificate);
        Ok(Next::Send(self.message(Command::STORE_REQUEST, elements), State::Storing))
    }

    fn message(&self, command: Command, elements: Elements) -> Message {
        Message { command, session: self.id, elements }
    }
}

/// An answer without a reason is none of success: phones give one \[V\].
fn success(elements: &Elements) -> Result<(), Refusal> {
    match elements.byte(tag::REASON)? {
        Some(reason::UPDATED) => Ok(()),
        other => Err(Refusal::Phone(other)),
    }
}

fn reason_of(refusal: &Refusal) -> u8 {
    match refusal {
        Refusal::Denied(Denied::Unknown) => reason::UNKNOWN_DEVICE,
        _ => reason::INVALID,
    }
}
