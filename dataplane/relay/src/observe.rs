//! A hook for those who want to know how long each stage of a burst takes.

/// The stages of a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Frames are parsed.
    Parse,
    /// Pinholes are found, and their sessions asked for.
    Find,
    /// Headers, sources and indices.
    Admit,
    /// Unprotection.
    Unprotect,
    /// Replay, state, learning, counters, destination and outgoing index.
    Settle,
    /// Protection.
    Protect,
    /// New headers.
    Deliver,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Parse, Self::Find, Self::Admit, Self::Unprotect, Self::Settle, Self::Protect, Self::Deliver];
    /// How many stages there are.
    pub const COUNT: usize = 7;

    /// The stage's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Find => "find",
            Self::Admit => "admit",
            Self::Unprotect => "unprotect",
            Self::Settle => "settle",
            Self::Protect => "protect",
            Self::Deliver => "deliver",
        }
    }
}

/// Is told when a burst has passed a stage; a stage may be passed more than once. Costs nothing where it
/// does nothing.
pub trait Observer {
    /// A burst has passed a stage.
    fn passed(&mut self, _stage: Stage) {}
}

/// Watches nothing.
impl Observer for () {}
