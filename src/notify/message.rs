//! What is told: one message about one incident, whatever the channel.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::reliability::brief::{Brief, bound};
use crate::reliability::incident::Incident;
pub use crate::reliability::rule::Severity;
use crate::runtime::clock;
use crate::units::At;

/// What happened to the incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// The incident begins: somebody is called, or told.
    Trigger,
    /// Somebody has taken the incident.
    Acknowledge,
    /// It goes on, and something about it is new.
    Update,
    /// The incident is over.
    Resolve,
    /// There is none: an operator tries the channel.
    Test,
}

impl MessageKind {
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
    pub kind: MessageKind,
    /// How bad it is.
    pub severity: Severity,
    /// What is the matter, in a few words.
    pub title: String,
    /// The first line: what fails, since when, how bad, for whom.
    pub summary: String,
    /// The service that is affected; an upstream, a route or a resource.
    pub service: String,
    /// Label of the rule that found it.
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
    /// The rest, section by section; empty in a test and in what an older version has queued.
    #[serde(default)]
    pub brief: Brief,
    /// Where the receiver keeps the first message about this incident, for channels that write on beneath it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
}

impl Message {
    /// A message about `incident` at `at`. Who sends it and the link are added by the sender.
    pub fn about(incident: &Incident, mut brief: Brief, kind: MessageKind, at: At) -> Self {
        let millis = |at: At| u64::try_from(at.0).unwrap_or(0);
        if incident.drill.is_some() {
            // Whatever a channel shows first says so.
            for text in [&mut brief.title, &mut brief.headline, &mut brief.lead] {
                text.insert_str(0, "DRILL: ");
            }
        }
        Self {
            incident_id: incident.id.as_str().to_owned(),
            dedup_key: incident.dedup.to_string(),
            kind,
            severity: incident.severity,
            title: brief.title.clone(),
            summary: brief.lead.clone(),
            service: incident.key.service.to_string(),
            rule: incident.key.rule.label().to_owned(),
            started_at: millis(incident.clocks.began),
            at: millis(at),
            ends_at: incident.clocks.closed.map(millis),
            link: None,
            facts: std::mem::take(&mut brief.facts),
            instance: String::new(),
            brief,
            thread: None,
        }
    }

    /// What `strop notify test` sends.
    pub fn test(instance: &str, at: u64) -> Self {
        Self {
            incident_id: "strop-test".to_owned(),
            dedup_key: format!("strop-test-{instance}"),
            kind: MessageKind::Test,
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
            brief: Brief::default(),
            thread: None,
        }
    }

    /// For subjects: `[critical] stripe is down (since 02:14 UTC)`. How bad and how far first, whatever happened.
    pub fn headline(&self) -> String {
        if !self.brief.headline.is_empty() {
            return line(&self.brief.headline);
        }
        let known = match self.kind {
            MessageKind::Trigger => "",
            MessageKind::Acknowledge => "acknowledged: ",
            MessageKind::Update => "update: ",
            MessageKind::Resolve => "resolved: ",
            MessageKind::Test => "test: ",
        };
        let (severity, service) = (self.severity.label(), &self.service);
        let named = self.title.strip_prefix(service.as_str()).and_then(|rest| rest.strip_prefix(' '));
        line(&format!("[{severity}] {service}: {known}{}", named.unwrap_or(&self.title)))
    }

    /// The first line; of a message without one, the headline.
    pub(super) fn lead(&self) -> String {
        if self.brief.lead.is_empty() { self.headline() } else { line(&self.brief.lead) }
    }

    /// What its colours say.
    pub(super) fn tone(&self) -> Tone {
        match (self.kind, self.brief.well) {
            (MessageKind::Test, _) => Tone::Test,
            (MessageKind::Acknowledge, _) => Tone::Taken,
            (_, Some(true)) | (MessageKind::Resolve, None) => Tone::Well,
            (MessageKind::Resolve | MessageKind::Trigger | MessageKind::Update, _) => {
                Tone::Rated(self.severity)
            }
        }
    }

    /// The link, if whoever reads it can open it in a browser.
    pub(super) fn open_link(&self) -> Option<&str> {
        self.safe_link().filter(|_| self.brief.ways.browser)
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

/// What the colours of a message say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Something is the matter, so bad.
    Rated(Severity),
    /// Somebody has taken the incident.
    Taken,
    /// All is well again.
    Well,
    /// Nothing is the matter.
    Test,
}

impl Tone {
    /// Every tone that a message can have.
    #[cfg(test)]
    pub(super) const ALL: [Self; 7] = [
        Self::Rated(Severity::Critical),
        Self::Rated(Severity::High),
        Self::Rated(Severity::Medium),
        Self::Rated(Severity::Low),
        Self::Taken,
        Self::Well,
        Self::Test,
    ];

    /// Six hex digits of red, green and blue, for white letters on it and for it on white.
    pub(super) fn colour(self) -> &'static str {
        match self {
            Self::Rated(Severity::Critical) => "c62828",
            Self::Rated(Severity::High) => "b23c00",
            Self::Rated(Severity::Medium) => "8a5a00",
            Self::Rated(Severity::Low) => "1565c0",
            Self::Taken => "6a1b9a",
            Self::Well => "2e7d32",
            Self::Test => "616161",
        }
    }
}

/// A part of a sentence.
pub(super) enum Span<'a> {
    /// Words that are read.
    Said(&'a str),
    /// What is to be typed.
    Typed(&'a str),
}

/// What stands between backticks is to be typed; one that has no other is a letter.
pub(super) fn spans(sentence: &str) -> Vec<Span<'_>> {
    if !sentence.matches('`').count().is_multiple_of(2) {
        return vec![Span::Said(sentence)];
    }
    let span = |(at, text)| if at % 2 == 0 { Span::Said(text) } else { Span::Typed(text) };
    let parts = sentence.split('`').enumerate().filter(|(_, text)| !text.is_empty());
    parts.map(span).collect()
}

/// The sentence where nothing shows what is to be typed; numbers keep their units.
pub(super) fn plain(sentence: &str) -> String {
    let text = |span| match span {
        Span::Said(text) => bound(text),
        Span::Typed(text) => text.to_owned(),
    };
    spans(sentence).into_iter().map(text).collect()
}

/// A moment of a [`Message`] for people: `27 Nov 2026, 02:14 UTC`.
pub(super) fn minute(millis: u64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let stamp = stamp(millis);
    let of = |range: std::ops::Range<usize>| stamp.get(range).unwrap_or_default();
    let month = of(5..7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    let day = of(8..10).trim_start_matches('0');
    format!("{day} {} {}, {} UTC", month.unwrap_or(&""), of(0..4), of(11..16))
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
    use crate::reliability::brief::{Audience, story};

    /// An incident as the engine would tell it, with characters that somebody must escape.
    pub(in crate::notify) fn incident(kind: MessageKind) -> Message {
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
            ends_at: (kind == MessageKind::Resolve).then_some(1_795_543_260_000),
            link: Some("https://strop.example/incidents/019?a=1&b=2".to_owned()),
            facts: vec![
                ("error rate".to_owned(), "42 %".to_owned()),
                ("breaker".to_owned(), "open".to_owned()),
            ],
            instance: "pod-7".to_owned(),
            brief: Brief::default(),
            thread: None,
        }
    }

    /// The messages of all stories, each with its name.
    pub(in crate::notify) fn outages() -> Vec<(&'static str, Message)> {
        use crate::reliability::incident::State;
        let message = |told: story::StoryMoment| {
            let kind = match told.incident.state {
                _ if told.calls => MessageKind::Trigger,
                State::Acknowledged => MessageKind::Acknowledge,
                State::Resolved | State::Cleared => MessageKind::Resolve,
                State::Suspected | State::Open | State::Mitigating | State::Monitoring | State::Reviewed => {
                    MessageKind::Update
                }
            };
            let message = Message::about(&told.incident, told.brief, kind, told.at);
            let link = format!("https://strop.shop.example/api/v2/sre/incidents/{}", message.incident_id);
            let link = (message.brief.audience == Audience::Called && message.severity > Severity::Medium)
                .then_some(link);
            (told.name, Message { link, instance: "pod-7".to_owned(), ..message })
        };
        story::all().into_iter().map(message).collect()
    }

    /// Those of them that reach who is called: pagers get no others.
    pub(in crate::notify) fn calls() -> Vec<(&'static str, Message)> {
        outages().into_iter().filter(|(_, one)| one.brief.audience == Audience::Called).collect()
    }

    /// The one of that name.
    pub(in crate::notify) fn outage(name: &str) -> Message {
        outages().into_iter().find(|(known, _)| *known == name).expect("it is told").1
    }

    /// What people write who want to break out of where it stands: a message all of whose texts are that.
    pub(in crate::notify) fn hostile(text: &str) -> Message {
        use crate::reliability::brief::{Part, Section, Ways};
        let text = || text.to_owned();
        let section = Section { part: Part::Evidence, lines: vec![text()], command: Some(text()) };
        let facts = vec![(text(), text())];
        let brief = Brief {
            audience: Audience::Called,
            status: text(),
            title: text(),
            headline: text(),
            lead: text(),
            facts: facts.clone(),
            sections: vec![section],
            ways: Ways { pagerduty: true, slack: true, browser: true },
            well: Some(false),
        };
        Message {
            incident_id: text(),
            title: text(),
            summary: text(),
            service: text(),
            rule: text(),
            facts,
            instance: text(),
            brief,
            ..incident(MessageKind::Trigger)
        }
    }

    #[test]
    fn a_message_of_an_older_version_is_read_and_has_a_first_line() {
        let mut old = serde_json::to_value(incident(MessageKind::Trigger)).expect("JSON");
        old.as_object_mut().expect("an object").remove("brief");
        let read: Message = serde_json::from_value(old).expect("reads");
        assert_eq!(read.lead(), "[critical] payments: Stripe does not <answer> & bookings fail");
    }

    #[test]
    fn a_subject_says_how_bad_and_how_far_it_is_and_never_that_what_is_over_goes_on() {
        let headlines: Vec<String> =
            outages().iter().map(|(name, one)| format!("{name}: {}", one.headline())).collect();
        for (_, one) in outages()
            .iter()
            .filter(|(_, one)| one.brief.well == Some(true) && one.kind == MessageKind::Resolve)
        {
            let told = one.headline();
            assert!(told.contains(" was ") || told.contains(" were ") || told.contains(" seemed "), "{told}");
        }
        insta::assert_snapshot!("headlines", headlines.join("\n"));
    }

    #[test]
    fn only_what_is_well_is_green() {
        for (name, one) in outages() {
            let good = ["monitoring", "works again", "resolved", "over", "cleared"];
            let wanted = good.iter().any(|good| name.ends_with(good));
            assert_eq!(one.tone() == Tone::Well, wanted, "{name}: {:?}", one.tone());
        }
        assert_eq!(incident(MessageKind::Resolve).tone(), Tone::Well, "an older version says no more");
    }

    #[test]
    fn what_is_to_be_typed_is_known_by_its_backticks_and_a_lone_one_is_a_letter() {
        let told = |sentence: &str| {
            let tell = |span| match span {
                Span::Said(text) => format!("said {text}"),
                Span::Typed(text) => format!("typed {text}"),
            };
            spans(sentence).into_iter().map(tell).collect::<Vec<_>>()
        };
        assert_eq!(told("run `ls -l` or `df`"), ["said run ", "typed ls -l", "said  or ", "typed df"]);
        assert_eq!(told("a ` b"), ["said a ` b"]);
        assert_eq!(plain("for 5 s: `sleep 5 s`"), "for 5\u{a0}s: sleep 5 s");
    }

    #[test]
    fn a_moment_is_short_for_people() {
        assert_eq!([0, 1_795_745_683_000].map(minute), ["1 Jan 1970, 00:00 UTC", "27 Nov 2026, 02:14 UTC"]);
    }

    #[test]
    fn what_is_kept_in_the_queue_reads_back() {
        let message = incident(MessageKind::Resolve);
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
        let message = Message { title, ..incident(MessageKind::Update) };
        assert_eq!(message.headline(), "[critical] payments: update: a  Bcc: everybody@example.com [2J");
    }

    #[test]
    fn a_link_that_would_break_out_of_its_place_is_no_link() {
        let with = |link: &str| Message { link: Some(link.to_owned()), ..incident(MessageKind::Trigger) };
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
