//! SCCP (Skinny) frames: cut out of a stream, read by version and length, edited without loss.
//!
//! [`Framer`] cuts a stream into [`Frame`]s. A frame owns its bytes; views of it read and set fields at places that depend
//! on the message, the header version and the frame's own length: [`Channel`] for everything about media, with addresses
//! and keys, [`Registration`], [`Servers`], [`Call`], [`UserData`], and [`Frame::texts`] for texts that may hold
//! addresses. What is not set, unknown messages and unknown ends of known ones included, leaves byte for byte as it came.
//! The layouts, with their sources, are in `docs/sccp.md`.
//!
//! A phone of protocol 17 to 20 that is told its key:
//!
//! ```
//! use pinhole_sccp::{Encryption, Frame, Framer, Limits, MasterKey, MasterSalt};
//!
//! # fn proxy(segment: &[u8], key: MasterKey, salt: MasterSalt) -> Result<Vec<Frame>, Box<dyn std::error::Error>> {
//! let mut framer = Framer::new(Limits::default());
//! framer.push(segment);
//! let mut frames = Vec::new();
//! while let Some(frame) = framer.next() {
//!     let mut frame = frame?;
//!     if let Some(mut channel) = frame.channel_mut()
//!         && channel.encryption().is_ok()
//!     {
//!         channel.set_encryption(&Encryption::new(key.clone(), salt.clone()))?;
//!     }
//!     frames.push(frame);
//! }
//! # Ok(frames)
//! # }
//! ```
//!
//! Nothing here opens a socket or knows a policy. `Debug` of everything leaves out key material, and so do the errors; frames
//! and keys are wiped when dropped.
#![forbid(unsafe_code)]

mod address;
mod call;
mod channel;
mod error;
mod frame;
mod framer;
mod key;
mod layout;
mod limits;
mod message;
mod originate;
mod registration;
mod servers;
mod session;
mod shown;
mod text;
mod user_data;

pub use address::{Address, Family};
pub use call::{Call, CallState, SecurityStatus};
pub use channel::{Channel, Endpoint, MediaStatus, MediaType, PortHandling};
pub use error::{FieldError, FrameError};
pub use frame::{Frame, header_version};
pub use framer::Framer;
pub use key::{Algorithm, Encryption, KeyBlock, MasterKey, MasterSalt};
pub use limits::Limits;
pub use message::{MessageId, Sender};
pub use originate::{BuildError, Media};
pub use registration::Registration;
pub use servers::{Server, Servers};
pub use session::{RegisterAck, ResetKind};
pub use text::Text;
pub use user_data::UserData;
