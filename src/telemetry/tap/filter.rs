//! Which exchanges a tap tells of. Method, header and sample are decided when an exchange begins, because its head is gone
//! later; all else when it has ended.

use std::time::Duration;

use crate::message::head::RequestHead;
use crate::telemetry::labels::{ExchangeOutcome, SeriesKey};
use crate::telemetry::line::AccessLine;

/// Statuses that are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapStatus {
    /// Those of one class, by its digit.
    Class(u16),
    /// This one.
    Is(u16),
    /// No answer was sent.
    Missing,
}

impl TapStatus {
    /// What can be written, for whoever wrote something else.
    pub const LIKE: &'static str = "5xx, 503 or none (no answer was sent)";

    /// Reads `5xx`, `503` or `none`.
    pub fn read(text: &str) -> Option<Self> {
        let [class, tens, ones] = text.as_bytes() else {
            return (text == "none").then_some(Self::Missing);
        };
        let digit = |letter: u8| letter.is_ascii_digit().then(|| u16::from(letter - b'0'));
        let class = digit(*class).filter(|class| *class > 0)?;
        if tens.eq_ignore_ascii_case(&b'x') && ones.eq_ignore_ascii_case(&b'x') {
            return Some(Self::Class(class));
        }
        Some(Self::Is(class * 100 + digit(*tens)? * 10 + digit(*ones)?))
    }

    fn fits(self, status: Option<u16>) -> bool {
        match self {
            Self::Class(class) => status.is_some_and(|status| status / 100 == class),
            Self::Is(wanted) => status == Some(wanted),
            Self::Missing => status.is_none(),
        }
    }
}

/// Which exchanges are wanted; what is `None` is not looked at.
#[derive(Clone, Debug, Default)]
pub struct TapFilter {
    /// By the name of the route.
    pub route: Option<String>,
    /// By the name of the upstream.
    pub upstream: Option<String>,
    pub status: Option<TapStatus>,
    /// Those that took longer, from the head of the request to the last byte of the answer.
    pub slower_than: Option<Duration>,
    /// Those whose request has a field of this name, whatever its value.
    pub header: Option<String>,
    /// The method as it came; methods are case-sensitive.
    pub method: Option<String>,
    pub outcome: Option<ExchangeOutcome>,
    /// The reason of an access line.
    pub reason: Option<String>,
    /// A share of all, 0 to 1, drawn by chance.
    pub sample: Option<f64>,
}

impl TapFilter {
    /// Could it be wanted, as far as its head says? `draw`: by chance.
    pub(super) fn begins_like(&self, head: &RequestHead, draw: u64) -> bool {
        let is_drawn = |share: f64| ((draw >> 32) as f64) < share * 4_294_967_296.0;
        self.sample.is_none_or(is_drawn)
            && self.method.as_ref().is_none_or(|method| method.as_bytes() == head.method_bytes())
            && self.header.as_ref().is_none_or(|name| head.store.named(name.as_bytes()).next().is_some())
    }

    /// Is it wanted, as far as its end says?
    pub(super) fn ends_like(&self, line: &AccessLine<'_>, key: Option<&SeriesKey>) -> bool {
        let is = |wanted: &Option<String>, name: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| name == Some(wanted.as_str()))
        };
        self.status.is_none_or(|wanted| wanted.fits(line.status))
            && self.slower_than.is_none_or(|least| line.total > least)
            && is(&self.route, key.map(|(route, _, _)| route.as_str()))
            && is(&self.upstream, key.map(|(_, upstream, _)| upstream.as_str()))
            && self.outcome.is_none_or(|outcome| outcome.label() == line.outcome)
            && is(&self.reason, line.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_class_a_number_or_none_and_nothing_else() {
        assert_eq!(TapStatus::read("5xx"), Some(TapStatus::Class(5)));
        assert_eq!(TapStatus::read("4XX"), Some(TapStatus::Class(4)));
        assert_eq!(TapStatus::read("503"), Some(TapStatus::Is(503)));
        assert_eq!(TapStatus::read("none"), Some(TapStatus::Missing));
        for wrong in ["", "5", "50x", "5x3", "0xx", "099", "5xxx", "all", "é0"] {
            assert_eq!(TapStatus::read(wrong), None, "{wrong:?}");
        }
        assert!(TapStatus::Class(5).fits(Some(503)) && !TapStatus::Class(5).fits(Some(404)));
        assert!(TapStatus::Missing.fits(None) && !TapStatus::Is(200).fits(None));
    }
}
