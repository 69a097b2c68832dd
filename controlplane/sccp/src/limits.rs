/// What a frame may be. Anything else closes the connection before memory is spent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole frame, header included (sccp 2.6.1: the longest that are known have about 2,400).
    pub frame: usize,
    /// The highest header version. Above it the places of keys and addresses are unknown, and what cannot be rewritten
    /// must not pass.
    pub version: u32,
}

impl Limits {
    /// The longest frame that this crate builds or grows to, bytes.
    pub const FRAME_MAX: usize = 65_536;
    /// Most bytes of data in one message of an application; longer documents come in several pieces (sccp 2.6.1).
    pub const USER_DATA: usize = 2_000;
    /// The highest protocol version whose layouts are known (sccp 2.6.3).
    pub const VERSION_MAX: u32 = 22;
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame: Self::FRAME_MAX, version: Self::VERSION_MAX }
    }
}
