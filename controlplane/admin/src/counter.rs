//! Counters as operators know them: each has a name.

/// Declares an enumeration of counters: attributes and name of the type, then each with its documentation and the name shown to
/// operators. Gives it `ALL`, `COUNT` and `name`.
#[macro_export]
macro_rules! counters {
    ($(#[doc = $of:literal])+ $name:ident; $($(#[doc = $doc:literal])+ $variant:ident = $shown:literal,)+) => {
        $(#[doc = $of])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[doc = $doc])+ $variant,)+ }

        impl $name {
            /// Every counter.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = [$($shown,)+].len();
            /// The name shown to operators.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $shown,)+ }
            }
        }
    };
}
