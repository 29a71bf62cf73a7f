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

            /// The name as shared text.
            pub fn text(&self) -> Arc<str> {
                Arc::clone(&self.0)
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
    /// The name of an operation: its key in `[upstreams.<name>.breaker.operations]`.
    OperationName
);
name!(
    /// The name of a route: a metric label, so it comes from the config, never from a request.
    RouteName
);

/// Crockford's base 32: no letter that is taken for another one.
const BASE_32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The name of an incident: `inc_` and 20 letters of base 32, the first ten of which order it by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IncidentId(Arc<str>);

impl IncidentId {
    /// The name of what began at `millis` since the epoch; `draw` tells apart what began together.
    pub fn of(millis: i64, draw: u64) -> Self {
        let millis = u64::try_from(millis).unwrap_or(0);
        let mut text = String::from("inc_");
        for (bits, letters) in [(millis, 10_u32), (draw, 10)] {
            for letter in (0..letters).rev() {
                let five = (bits >> (letter * 5)) & 31;
                text.push(char::from(BASE_32.get(five as usize).copied().unwrap_or(b'0')));
            }
        }
        Self(Arc::from(text))
    }

    /// Reads it back.
    pub fn read(text: &str) -> Option<Self> {
        let letters = text.strip_prefix("inc_")?;
        let fits = letters.len() == 20 && letters.bytes().all(|letter| BASE_32.contains(&letter));
        fits.then(|| Self(Arc::from(text)))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<IncidentId> for String {
    fn from(id: IncidentId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl TryFrom<String> for IncidentId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::read(&text).ok_or("an incident is named inc_ and 20 letters")
    }
}
name!(
    /// The name of a way to tell people: the key of its `[notify.<name>]` table.
    ChannelName
);
name!(
    /// The name of somebody to be called: the key of its `[escalation.contacts.<name>]` table.
    ContactName
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_that_began_later_is_named_later() {
        let (first, second) =
            (IncidentId::of(1_700_000_000_000, u64::MAX), IncidentId::of(1_700_000_000_001, 0));
        assert!(first < second);
        assert_eq!(IncidentId::read(first.as_str()), Some(first.clone()));
        assert_eq!(first.as_str().len(), 24);
        for bad in ["inc_", "inc_0123456789abcdefghi!", "0123456789abcdefghjk", "inc_0123456789abcdefghjkm"] {
            assert_eq!(IncidentId::read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_name_fits_a_url_and_a_label() {
        assert!(UpstreamName::new("google_calendar").is_ok());
        assert!(UpstreamName::new("db-2").is_ok());
        for bad in ["", "2db", "Stripe", "a b", "a/b", "a\"b", &"x".repeat(64)] {
            assert_eq!(UpstreamName::new(bad), Err(NotAName), "{bad:?}");
        }
    }
}
