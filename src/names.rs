//! Names an operator gives: checked once, cheap to clone.
//!
//! A name appears in TOML tables, URLs, metric labels and log fields, so its alphabet is the common
//! part of all four: lower-case letters, digits, `_` and `-`, starting with a letter, 1–63 characters.

use std::fmt;
use std::sync::Arc;

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAName;

impl fmt::Display for NotAName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "must start with a lower-case letter and hold only a-z, 0-9, '_' and '-', at most 63 in all",
        )
    }
}

impl std::error::Error for NotAName {}

fn checked(text: &str) -> Result<Arc<str>, NotAName> {
    let mut letters = text.bytes();
    let starts = letters.next().is_some_and(|first| first.is_ascii_lowercase());
    let goes_on = letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
    if starts && goes_on && text.len() <= 63 { Ok(Arc::from(text)) } else { Err(NotAName) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Reads a name; see the module for its alphabet.
            pub fn new(text: &str) -> Result<Self, NotAName> {
                checked(text).map(Self)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a dependency: the key of its `[upstreams.<name>]` table.
    UpstreamName
);
name!(
    /// The name of a route: a metric label, so it comes from the config, never from a request.
    RouteName
);

name!(
    /// The name of a way to tell people: the key of its `[notify.<name>]` table.
    ChannelName
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_a_url_and_a_label() {
        assert!(UpstreamName::new("google_calendar").is_ok());
        assert!(UpstreamName::new("db-2").is_ok());
        for bad in ["", "2db", "Stripe", "a b", "a/b", "a\"b", &"x".repeat(64)] {
            assert_eq!(UpstreamName::new(bad), Err(NotAName), "{bad:?}");
        }
    }
}
