//! CAPF, by which a phone gets a certificate of ours (tls-capf-tvs 2.9; TCP 3804, inside TLS without a client certificate).
//!
//! The server asks, the phone answers: authentication, generation of a key pair, storing of the certificate, the end.

mod key;
mod message;
mod proof;
mod session;

pub use key::{BadKey, Curve, KeyRequest, KeyRules};
pub use message::{CERTIFICATE_MAX, Capf, Command, Header, Message, tag};
pub use session::{Denied, End, Kind, Office, Proof, Refusal, Rules, Session, Step, Task};
