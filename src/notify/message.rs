//! What is told: one message about one incident, whatever the channel.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

pub use crate::reliability::rule::Severity;
use crate::runtime::clock;

/// What happened to the incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It begins.
    Trigger,
    /// Somebody has it.
    Acknowledge,
    /// It goes on, and something about it is new.
    Update,
    /// It is over.
    Resolve,
    /// There is none: an operator tries the channel.
    Test,
}

impl Kind {
    /// For logs, labels and JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Acknowledge => "acknowledge",
            Self::Update => "update",
            Self::Resolve => "resolve",
            Self::Test => "test",
        }
    }
}

/// One message about one incident. Moments are milliseconds since 1970 (wall clock): they are for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Of one incident, in this fleet.
    pub incident_id: String,
    /// The same for the same trouble, whichever sidecar tells it: receivers merge by it.
    pub dedup_key: String,
    /// What happened.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// A line.
    pub title: String,
    /// A paragraph.
    pub summary: String,
    /// What is affected.
    pub service: String,
    /// What found it.
    pub rule: String,
    /// When the incident began.
    pub started_at: u64,
    /// When this was said.
    pub at: u64,
    /// When it was over.
    pub ends_at: Option<u64>,
    /// Where to read on.
    pub link: Option<String>,
    /// Name and value, in the order in which they are to be read.
    pub facts: Vec<(String, String)>,
    /// The sidecar that tells it.
    pub instance: String,
}

impl Message {
    /// What `strop notify test` sends.
    pub fn test(instance: &str, at: u64) -> Self {
        Self {
            incident_id: "strop-test".to_owned(),
            dedup_key: format!("strop-test-{instance}"),
            kind: Kind::Test,
            severity: Severity::Low,
            title: "A test of this channel".to_owned(),
            summary: "An operator ran `strop notify test`. Nothing is wrong.".to_owned(),
            service: "strop".to_owned(),
            rule: "StropTest".to_owned(),
            started_at: at,
            at,
            ends_at: None,
            link: None,
            facts: vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())],
            instance: instance.to_owned(),
        }
    }

    /// A line that says it all: `[critical] payments: Stripe does not answer`.
    pub fn headline(&self) -> String {
        let begin = match self.kind {
            Kind::Trigger => "",
            Kind::Acknowledge => "Acknowledged: ",
            Kind::Update => "Update: ",
            Kind::Resolve => "Resolved: ",
            Kind::Test => "Test: ",
        };
        let (severity, service) = (self.severity.label(), &self.service);
        line(&format!("{begin}[{severity}] {service}: {}", self.title))
    }

    /// The link, if it is one that may be clicked.
    pub fn safe_link(&self) -> Option<&str> {
        let plain = |link: &&str| {
            let web = link.starts_with("https://") || link.starts_with("http://");
            web && !link.contains(|c: char| c.is_control() || c.is_whitespace() || "<>|\"\\^`{}".contains(c))
        };
        self.link.as_deref().filter(plain)
    }
}

/// A moment of a [`Message`] as RFC 3339 in UTC.
pub(super) fn stamp(millis: u64) -> String {
    clock::rfc3339(wall(millis))
}

/// A moment of a [`Message`] as the system has it.
pub(super) fn wall(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis.min(MOST_MILLIS))
}

/// The end of the year 9999, beyond which nothing can be printed.
const MOST_MILLIS: u64 = 253_402_207_200_000;

/// `wall` in milliseconds since 1970.
pub fn millis(wall: SystemTime) -> u64 {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The text on one line, without characters that steer a terminal or end a header field.
pub(super) fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// At most `most` characters; what was cut is shown by an ellipsis.
pub(super) fn fit(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An incident as the desk would tell it, with characters that somebody must escape.
    pub(in crate::notify) fn incident(kind: Kind) -> Message {
        Message {
            incident_id: "019-incident".to_owned(),
            dedup_key: "strop/payments/UpstreamDown/stripe".to_owned(),
            kind,
            severity: Severity::Critical,
            title: "Stripe does not <answer> & bookings fail".to_owned(),
            summary: "42 % of attempts failed\nsince 17:00".to_owned(),
            service: "payments".to_owned(),
            rule: "UpstreamDown".to_owned(),
            started_at: 1_795_543_200_000,
            at: 1_795_543_230_000,
            ends_at: (kind == Kind::Resolve).then_some(1_795_543_260_000),
            link: Some("https://strop.example/incidents/019?a=1&b=2".to_owned()),
            facts: vec![
                ("error rate".to_owned(), "42 %".to_owned()),
                ("breaker".to_owned(), "open".to_owned()),
            ],
            instance: "pod-7".to_owned(),
        }
    }

    #[test]
    fn what_is_kept_in_the_queue_reads_back() {
        let message = incident(Kind::Resolve);
        let text = serde_json::to_string(&message).expect("JSON");
        assert_eq!(serde_json::from_str::<Message>(&text).expect("reads"), message);
        assert!(
            text.contains("\"kind\":\"resolve\"") && text.contains("\"severity\":\"critical\""),
            "{text}"
        );
    }

    #[test]
    fn a_headline_is_one_line_whatever_the_title_holds() {
        let title = "a\r\nBcc: everybody@example.com\u{1b}[2J".to_owned();
        let message = Message { title, ..incident(Kind::Update) };
        assert_eq!(message.headline(), "Update: [critical] payments: a  Bcc: everybody@example.com [2J");
    }

    #[test]
    fn a_link_that_would_break_out_of_its_place_is_no_link() {
        let with = |link: &str| Message { link: Some(link.to_owned()), ..incident(Kind::Trigger) };
        assert!(with("https://a.example/x?y=1&z").safe_link().is_some());
        for bad in
            ["javascript:alert(1)", "https://a.example/|x>", "https://a.example/ x", "https://a/\"onclick"]
        {
            assert_eq!(with(bad).safe_link(), None, "{bad}");
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(fit("äöü", 3), "äöü");
        assert_eq!(fit("äöüß", 3), "äö…");
        assert_eq!(stamp(u64::MAX).len(), stamp(0).len());
    }
}
