//! Numbers with a unit, as an operator writes and reads them: `"50%"`, `"250ms"`, `"64KiB"`.
//!
//! A bare number is an error that shows how to write it, so the question "seconds or milliseconds?" cannot arise.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

/// A value that is written as text with its unit.
pub trait Written: Sized {
    /// The form in words; completes "expected …".
    const LIKE: &'static str;
    /// A regular expression for the JSON Schema.
    const PATTERN: &'static str;
    /// Reads the text; `None` when it is not one.
    fn read(text: &str) -> Option<Self>;
    /// Writes it back: `read(write(x)) == x`.
    fn write(&self) -> String;
}

/// A share of a whole, exact to a hundredth of a percent: 0 % to 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u16);

impl Percent {
    /// The share of everything: 100 %.
    pub const WHOLE: Self = Self(10_000);

    /// `percent` as a share; more than 100 is the whole.
    pub const fn of(percent: u8) -> Self {
        if percent >= 100 { Self::WHOLE } else { Self(percent as u16 * 100) }
    }

    /// A ratio from 0.0 to 1.0, to a hundredth of a percent.
    pub fn of_ratio(ratio: f64) -> Self {
        Self((ratio.clamp(0.0, 1.0) * 10_000.0).round() as u16)
    }

    /// Is `part` at least this share of `whole`? Never, when `whole` is zero.
    pub fn reached_by(self, part: u64, whole: u64) -> bool {
        whole > 0 && u128::from(part) * 10_000 >= u128::from(whole) * u128::from(self.0)
    }

    /// The share as a ratio, 0.0 to 1.0.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 100.0)
    }
}

impl Written for Percent {
    const LIKE: &'static str = r#"a percentage in quotes, such as "50%""#;
    const PATTERN: &'static str = r"^[0-9]+(\.[0-9]{1,2})?%$";

    fn read(text: &str) -> Option<Self> {
        let number: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
        (0.0..=100.0).contains(&number).then(|| Self((number * 100.0).round() as u16))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// A share below the whole, exact to a millionth: what is promised, such as "99.99%" or "99.999%".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Promise(u32);

impl Promise {
    /// So many millionths; the whole cannot be promised.
    pub const fn millionths(millionths: u32) -> Self {
        Self(if millionths >= 1_000_000 { 999_999 } else { millionths })
    }

    /// The share as a ratio, 0.0 to 0.999999.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 1_000_000.0
    }

    /// The share in percent, as near as it was written.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl Written for Promise {
    const LIKE: &'static str = r#"a percentage below 100 in quotes, such as "99.99%""#;
    const PATTERN: &'static str = r"^[0-9]{1,2}(\.[0-9]{1,4})?%$";

    fn read(text: &str) -> Option<Self> {
        let (whole, part) = text.strip_suffix('%')?.split_once('.').unwrap_or((text.strip_suffix('%')?, "0"));
        let digits = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
        };
        if !digits(whole, 2) || !digits(part, 4) {
            return None;
        }
        Some(Self(whole.parse::<u32>().ok()? * 10_000 + format!("{part:0<4}").parse::<u32>().ok()?))
    }

    fn write(&self) -> String {
        format!("{}%", self.percent())
    }
}

/// A number of bytes, up to 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

impl Size {
    const UNITS: [(&'static str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
}

impl Written for Size {
    const LIKE: &'static str = r#"a size in quotes, such as "64KiB" or "10MiB""#;
    const PATTERN: &'static str = r"^[0-9]+ ?(B|KiB|MiB|GiB)$";

    fn read(text: &str) -> Option<Self> {
        let (unit, scale) = Self::UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
        let digits = text.strip_suffix(unit)?.trim_end();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let bytes = digits.parse::<u64>().ok()?.checked_mul(*scale)?;
        (bytes <= 1 << 53).then_some(Self(bytes))
    }

    fn write(&self) -> String {
        let (unit, scale) = Self::UNITS
            .iter()
            .find(|(_, scale)| self.0 > 0 && self.0.is_multiple_of(*scale))
            .unwrap_or(&("B", 1));
        format!("{}{unit}", self.0 / scale)
    }
}

const DURATION_UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

impl Written for Duration {
    const LIKE: &'static str = r#"a duration in quotes, such as "250ms", "30s" or "1h30m""#;
    const PATTERN: &'static str = r"^([0-9]+(us|ms|s|m|h|d))+$";

    fn read(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut micros = 0_u64;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest.get(..digits)?.parse().ok()?;
            rest = rest.get(digits..)?;
            let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
            let unit = rest.get(..letters)?;
            let (_, scale) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
            micros = micros.checked_add(number.checked_mul(*scale)?)?;
            rest = rest.get(letters..)?;
        }
        (micros <= 3_650 * 86_400_000_000).then(|| Self::from_micros(micros))
    }

    fn write(&self) -> String {
        let mut micros = u64::try_from(self.as_micros()).unwrap_or(u64::MAX);
        if micros == 0 {
            return "0s".to_owned();
        }
        let mut text = String::new();
        for (unit, scale) in DURATION_UNITS {
            if micros >= scale {
                text.push_str(&format!("{}{unit}", micros / scale));
                micros %= scale;
            }
        }
        text
    }
}

impl Written for SocketAddr {
    const LIKE: &'static str =
        r#"an address with a port in quotes, such as "127.0.0.1:8000" or "[::1]:8000""#;
    const PATTERN: &'static str = r"^.+:[0-9]+$";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// A moment: milliseconds since the Unix epoch. The shell derives it from the monotonic clock and an offset that
/// follows the wall clock; a step of a second or more is told to the core ([`crate::reliability::steps`]), so spans
/// never jump. JSON: an integer.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct At(pub i64);

impl At {
    /// This moment by a clock that runs `millis` ahead (negative: behind) of the one it was read from.
    #[must_use]
    pub fn moved(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// What has passed since `earlier`; nothing when it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The whole second it lies in, since the epoch.
    pub fn second(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The whole minute it lies in, since the epoch.
    pub fn minute(self) -> i64 {
        self.0.div_euclid(60_000)
    }
}

fn whole_millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl Add<Duration> for At {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(span)))
    }
}

impl Sub<Duration> for At {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(whole_millis(span)))
    }
}

/// A [`Written`] value as a field of the config file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<T>(pub T);

/// So many seconds, as a field.
pub(crate) const fn secs(seconds: u64) -> Text<Duration> {
    Text(Duration::from_secs(seconds))
}

impl<'de, T: Written> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ValueVisitor<T>(PhantomData<T>);

        impl<T: Written> Visitor<'_> for ValueVisitor<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::LIKE)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<T>, E> {
                T::read(text).map(Text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        from.deserialize_str(ValueVisitor(PhantomData))
    }
}

impl<T: Written> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0.write())
    }
}

#[cfg(test)]
impl<T: Written> schemars::JsonSchema for Text<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": T::PATTERN, "description": T::LIKE, "x-write": T::LIKE })
    }
}

/// A share, 0 to 1, in percent with three digits after the point, cut off and never rounded up: 0.999996 is not 100 %.
/// `None`: it was not observed.
pub(crate) fn cut_percent(share: Option<f64>) -> String {
    share.map_or_else(
        || "not observed".to_owned(),
        |share| format!("{:.3} %", (share * 100_000.0).floor() / 1_000.0),
    )
}

/// Does this letter turn the direction in which text is written? Then what came from elsewhere may show as something else.
pub(crate) fn turns_direction(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_an_operator_writes_is_read() {
        assert_eq!(Duration::read("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(Duration::read("1h30m"), Some(Duration::from_secs(5_400)));
        assert_eq!(Size::read("64KiB"), Some(Size(65_536)));
        assert_eq!(Percent::read("12.5%"), Some(Percent(1_250)));
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for bad in ["5", "", "ms", "-1s", "1.5s", "5 apples", "99999999999999999999s"] {
            assert_eq!(Duration::read(bad), None, "{bad:?}");
        }
        for bad in ["5", "KiB", "-1B", "1.5MiB", "9999999999GiB"] {
            assert_eq!(Size::read(bad), None, "{bad:?}");
        }
        for bad in ["0.5", "101%", "-1%", "%", "NaN%"] {
            assert_eq!(Percent::read(bad), None, "{bad:?}");
        }
        for bad in ["99.9", "100%", "99.99999%", "99.%", ".9%", "-1%", "+9%", "%"] {
            assert_eq!(Promise::read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_moment_is_counted_from_the_epoch_and_never_runs_backwards() {
        let at = At(61_500) + Duration::from_millis(700);
        assert_eq!((at.second(), at.minute(), At(-1).second()), (62, 1, -1));
        assert_eq!(at.since(At(61_500)), Duration::from_millis(700));
        assert_eq!(At(0).since(at), Duration::ZERO);
        assert_eq!((at - Duration::from_millis(700)).0, 61_500);
        assert_eq!(serde_json::to_string(&at).expect("writes"), "62200");
    }

    #[test]
    fn no_share_is_reached_by_nothing() {
        assert!(!Percent::of(0).reached_by(0, 0));
        assert!(Percent::of(50).reached_by(1, 2));
        assert!(!Percent::of(50).reached_by(49, 100));
    }

    proptest! {
        #[test]
        fn every_value_reads_back_as_written(micros in 0_u64..10_000_000_000, bytes in 0_u64..(1 << 40), share in 0_u16..=10_000, promise in 0_u32..1_000_000) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(Duration::read(&duration.write()), Some(duration));
            prop_assert_eq!(Size::read(&Size(bytes).write()), Some(Size(bytes)));
            prop_assert_eq!(Percent::read(&Percent(share).write()), Some(Percent(share)));
            prop_assert_eq!(Promise::read(&Promise(promise).write()), Some(Promise(promise)));
        }

        #[test]
        fn no_text_breaks_the_readers(text in ".{0,24}") {
            let _ = (Duration::read(&text), Size::read(&text), Percent::read(&text), Promise::read(&text));
        }
    }
}
