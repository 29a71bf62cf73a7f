//! Closed sets: the few words that a key may have, each with what it means, so that an editor
//! completes and explains them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::problem::did_you_mean;
use crate::reliability::breaker::Mode;
use crate::reliability::rule::{Rule, Severity};

/// A value that is written as one of a few words.
pub trait Word: Copy + PartialEq + 'static {
    /// Completes "… is no": `mode`.
    const KIND: &'static str;
    /// Value, word, meaning; in the order in which they are told.
    const WORDS: &'static [(Self, &'static str, &'static str)];

    /// The value that is written so.
    fn named(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known, _)| *known == word).map(|(value, ..)| *value)
    }

    /// As it is written.
    fn word(self) -> &'static str {
        // Every value has a word: `words!` holds the compiler to it.
        Self::WORDS.iter().find(|(value, _, _)| *value == self).map_or("", |(_, word, _)| word)
    }
}

/// The words of an enum: `value = "word", "meaning";` of each, which the compiler holds to be all there are.
macro_rules! words {
    ($named:ident: $kind:literal { $($value:ident = $word:expr, $meaning:expr;)+ }) => {
        impl $crate::config::word::Word for $named {
            const KIND: &'static str = $kind;
            const WORDS: &'static [(Self, &'static str, &'static str)] =
                &[$((Self::$value, $word, $meaning)),+];
        }
        const _: fn($named) = |value| match value {
            $($named::$value)|+ => {}
        };
    };
}
pub(crate) use words;

/// `"on", "shadow" or "off"`.
struct WordText<T>(PhantomData<T>);

impl<T: Word> fmt::Display for WordText<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = T::WORDS.len();
        for (at, (_, word, _)) in T::WORDS.iter().enumerate() {
            let before = match at {
                0 => "",
                last if last + 1 == n => " or ",
                _ => ", ",
            };
            write!(f, "{before}{word:?}")?;
        }
        Ok(())
    }
}

/// A [`Word`] as a field of the config file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OneOf<T>(pub T);

impl<'de, T: Word> Deserialize<'de> for OneOf<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct WordVisitor<T>(PhantomData<T>);

        impl<T: Word> Visitor<'_> for WordVisitor<T> {
            type Value = OneOf<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", WordText::<T>(PhantomData))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOf<T>, E> {
                T::named(text).map(OneOf).ok_or_else(|| {
                    let guess = did_you_mean(text, T::WORDS.iter().map(|(_, word, _)| *word));
                    let told = WordText::<T>(PhantomData);
                    E::custom(format!("{text:?} is no {}{guess}; write {told}", T::KIND))
                })
            }
        }

        from.deserialize_str(WordVisitor(PhantomData))
    }
}

impl<T: Word> Serialize for OneOf<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.word())
    }
}

#[cfg(test)]
impl<T: Word> schemars::JsonSchema for OneOf<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OneOf".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let words: Vec<&str> = T::WORDS.iter().map(|(_, word, _)| *word).collect();
        let meanings: Vec<String> =
            T::WORDS.iter().map(|(_, word, meaning)| format!("`{word}`: {meaning}")).collect();
        // `x-taplo` is what Even Better TOML and taplo show beside each word.
        let docs: Vec<&str> = T::WORDS.iter().map(|(_, _, meaning)| *meaning).collect();
        schemars::json_schema!({
            "type": "string",
            "enum": words,
            "description": meanings.join("\n"),
            "x-taplo": { "docs": { "enumValues": docs } },
        })
    }
}

words! {
    Mode: "mode" {
        On = "on", "it refuses while it is open";
        Shadow = "shadow", "it counts, moves and tells, and refuses nothing";
        Off = "off", "it counts and never moves";
    }
}

words! {
    Severity: "severity" {
        Low = "low", "answered within two hours";
        Medium = "medium", "answered within 30 minutes";
        High = "high", "answered within five minutes";
        Critical = "critical", "answered at once";
    }
}

/// What can be switched off: an incident that a person opens, the last of all, is no finding.
impl Word for Rule {
    const KIND: &'static str = "rule";
    const WORDS: &'static [(Self, &'static str, &'static str)] = &{
        let mut words = [(Self::Manual, "", ""); Self::ALL.len() - 1];
        let mut at = 0;
        while at < words.len() {
            let rule = Self::ALL[at];
            words[at] = (rule, rule.label(), rule.facts().meaning);
            at += 1;
        }
        words
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HookSignal;
    use crate::config::channels::{ChannelType, MailTls};
    use crate::config::egress::Unlisted;
    use crate::config::engine::escalation::Staffed;
    use crate::config::ingress::{Ambiguous, Traces};
    use crate::config::latency::UntilWord;
    use crate::config::upstream::Protocol;
    use crate::config::upstream::vendor::Preset;
    use crate::reliability::concurrency::AdmissionMode;
    use crate::reliability::degradation::RouteClass;
    use crate::reliability::recovery::{Action, RecoveryMode, StepMode};

    fn read_back<T: Word + fmt::Debug>() {
        for (value, word, meaning) in T::WORDS {
            let read: OneOf<T> = serde_json::from_value(word.to_string().into()).expect("known");
            assert_eq!((read.0, read.0.word()), (*value, *word));
            assert!(!meaning.is_empty());
        }
    }

    #[test]
    fn every_word_is_read_back() {
        read_back::<Mode>();
        read_back::<Severity>();
        read_back::<Rule>();
        read_back::<Protocol>();
        read_back::<Unlisted>();
        read_back::<ChannelType>();
        read_back::<MailTls>();
        read_back::<Staffed>();
        read_back::<UntilWord>();
        read_back::<Preset>();
        read_back::<Traces>();
        read_back::<Action>();
        read_back::<StepMode>();
        read_back::<RecoveryMode>();
        read_back::<HookSignal>();
        read_back::<Ambiguous>();
        read_back::<RouteClass>();
        read_back::<AdmissionMode>();
        assert!(Mode::ALL.iter().all(|mode| mode.word() == mode.label()));
        assert!(Severity::ALL.iter().all(|severity| severity.word() == severity.label()));
        let rules: Vec<Rule> = Rule::WORDS.iter().map(|(rule, ..)| *rule).collect();
        let found: Vec<Rule> = Rule::ALL.into_iter().filter(|rule| *rule != Rule::Manual).collect();
        assert_eq!(rules, found, "all that finds by itself can be switched off");
    }

    #[test]
    fn another_word_is_told_with_those_that_there_are() {
        let told = |text: &str| serde_json::from_str::<OneOf<Mode>>(text).expect_err("unknown").to_string();
        assert!(
            told("\"of\"")
                .starts_with("\"of\" is no mode; did you mean \"off\"?; write \"on\", \"shadow\" or \"off\"")
        );
        assert!(told("5").contains("expected \"on\", \"shadow\" or \"off\""));
    }
}
