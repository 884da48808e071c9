//! [`vocabulary`]: enumerations of which each value has a word, a rule, and a sentence.

/// Defines an enumeration of a closed set of things that can be said. Each has a word without spaces (for filters), the rule
/// behind it (a row of docs/requirements.csv, `RFC<number>/<section>`, or `local` where no RFC speaks of it), and a sentence.
macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident { $($variant:ident => $word:literal, $rule:literal, $meaning:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name {
            $(#[doc = $meaning] $variant,)*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The word for it: no spaces, and never that of another.
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// The rule behind it: a row of docs/requirements.csv, `RFC<number>/<section>`, or `local`.
            pub const fn rule(self) -> &'static str {
                match self { $($name::$variant => $rule,)* }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $($name::$variant => $meaning,)* }
            }
        }
    };
}

pub(crate) use vocabulary;
