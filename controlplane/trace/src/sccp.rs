//! SCCP frames: the fields that the codec knows, and a dump of the bytes that cannot be a key.

mod fields;
mod hex;

pub use fields::fields;
pub use hex::hex;
