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
    /// The name of something that the application can do without: an entry of `features` in `[degradation]`.
    FeatureName
);
name!(
    /// The name of a route: a metric label, so it comes from the config, never from a request.
    RouteName
);

/// Crockford's base 32: no letter that is taken for another one.
const BASE_32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Appends the low `letters * 5` bits of a number.
fn push_base_32(text: &mut String, bits: u64, letters: u32) {
    for letter in (0..letters).rev() {
        let five = bits.checked_shr(letter * 5).unwrap_or(0) & 31;
        text.push(char::from(BASE_32.get(five as usize).copied().unwrap_or(b'0')));
    }
}

/// A name that orders by time: `prefix`, then 20 letters of base 32, ten of `millis` since the epoch and ten of `draw`, which
/// tells apart what has the same time.
pub fn ordered(prefix: &str, millis: i64, draw: u64) -> String {
    let mut text = String::from(prefix);
    push_base_32(&mut text, u64::try_from(millis).unwrap_or(0), 10);
    push_base_32(&mut text, draw, 10);
    text
}

/// The name of a silence in the API: `sil_` and its number as 13 letters of base 32.
pub fn silence_id(number: u64) -> String {
    let mut text = String::from("sil_");
    push_base_32(&mut text, number, 13);
    text
}

/// Reads it back; until the next version also the bare number, as the version before wrote it.
pub fn read_silence_id(text: &str) -> Option<u64> {
    let Some(letters) = text.strip_prefix("sil_") else { return text.parse().ok() };
    let value = |letter: u8| BASE_32.iter().position(|known| *known == letter).map(|at| at as u64);
    let add = |sum: u64, letter: u8| sum.checked_mul(32)?.checked_add(value(letter)?);
    (letters.len() == 13).then(|| letters.bytes().try_fold(0, add))?
}

/// A name that orders by time: a prefix and 20 letters of base 32.
macro_rules! ordered_name {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $wrong:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name of what began at `millis` since the epoch; `draw` tells apart what began together.
            pub fn of(millis: i64, draw: u64) -> Self {
                Self(Arc::from(ordered($prefix, millis, draw)))
            }

            /// Reads it back from text; `None`: it is none.
            pub fn read(text: &str) -> Option<Self> {
                let letters = text.strip_prefix($prefix)?;
                let fits = letters.len() == 20 && letters.bytes().all(|letter| BASE_32.contains(&letter));
                fits.then(|| Self(Arc::from(text)))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::read(&text).ok_or($wrong)
            }
        }
    };
}

ordered_name!(
    /// The name of an incident: `inc_` and 20 letters of base 32, the first ten of which order it by time.
    IncidentId,
    "inc_",
    "an incident is named inc_ and 20 letters"
);
ordered_name!(
    /// The name of a run of a recovery plan: `run_` and 20 letters of base 32, the first ten of which order it by time.
    RunId,
    "run_",
    "a run is named run_ and 20 letters"
);

impl IncidentId {
    /// When it began, milliseconds since the epoch, as its first ten letters say.
    pub fn millis(&self) -> u64 {
        let letters = self.0.bytes().skip(4).take(10);
        let value = |letter: u8| BASE_32.iter().position(|known| *known == letter).unwrap_or(0) as u64;
        letters.fold(0, |sum, letter| (sum << 5) | value(letter))
    }
}
name!(
    /// The name of a way to tell people: the key of its `[notify.<name>]` table.
    ChannelName
);
name!(
    /// The name of a recovery plan: the key of its `[plans.<name>]` table.
    PlanName
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
        assert_eq!((first.millis(), second.millis()), (1_700_000_000_000, 1_700_000_000_001));
        for bad in ["inc_", "inc_0123456789abcdefghi!", "0123456789abcdefghjk", "inc_0123456789abcdefghjkm"] {
            assert_eq!(IncidentId::read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_silence_is_read_back_by_its_name_and_by_the_number_of_the_version_before() {
        for number in [0, 1, 31, 32, 1_790_000_000_123, u64::MAX] {
            let name = silence_id(number);
            assert_eq!(name.len(), 17, "{name}");
            assert_eq!(read_silence_id(&name), Some(number));
            assert_eq!(read_silence_id(&number.to_string()), Some(number));
        }
        for bad in ["", "none", "sil_", "sil_0", "sil_000000000000u", "sil_zzzzzzzzzzzzz", "-1"] {
            assert_eq!(read_silence_id(bad), None, "{bad:?}");
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
