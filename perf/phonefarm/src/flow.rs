//! One direction of a call, as the farm plays it.

use pinhole_flow::{MasterKey, Suite};

use crate::FarmError;
use crate::frame::Path;

/// RTP or SRTP that the farm sends to a relay, and what must come out of it elsewhere.
///
/// SSRC, sequence number and timestamp start at random values of the farm's; a relay must pass them on.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// How frames are sent: from a phone to the relay.
    pub send: Path,
    /// The key they are protected with; `None`: plain RTP.
    pub protect: Option<MasterKey>,
    /// How frames must arrive: from the relay to the other phone. No two flows may arrive at the same
    /// UDP port of the same port of the farm.
    pub expect: Path,
    /// The key they must be protected with; `None`: plain RTP.
    pub unprotect: Option<MasterKey>,
}

/// A random master key.
///
/// # Errors
/// [`FarmError::Random`].
pub fn random_key(suite: Suite) -> Result<MasterKey, FarmError> {
    let mut bytes = [0; 46];
    let used = bytes.get_mut(..suite.key_len() + suite.salt_len()).unwrap_or_default();
    getrandom::fill(used).map_err(FarmError::Random)?;
    Ok(MasterKey::new(suite, used).unwrap_or(MasterKey::NONE))
}
