//! `outbox = { … }` of an upstream: which writes are queued while it cannot be asked, and what their clients read.

use std::time::Duration;

use bytes::Bytes;
#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::vendor::Preset;
use crate::config::fallback::{Fallback, media_type};
use crate::config::problem::Part;
use crate::message::head::{Known, Method, is_ours};
use crate::message::templates::Templates;
use crate::reliability::degradation::FallbackPolicy;
use crate::reliability::idempotency::KeyPolicy;
use crate::reliability::outbox::{QueueLimits, ReplayPolicy};
use crate::units::{Size, Text, Written as _, secs};

const MINUTE: u64 = 60;
const WEEK: u64 = 7 * 86_400;
/// Bytes of an acknowledgement, at most.
const LONGEST: usize = 64 * 1024;

/// `outbox = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamOutboxFile {
    /// Paths whose POST, PUT, PATCH and DELETE may be queued, as templates such as "/v3/mail/send"; empty: those that the preset
    /// answers with an acknowledgement.
    pub paths: Vec<String>,
    /// What the client of a queued write reads; absent: as the preset answers such.
    pub reply: Option<ReplyFile>,
    /// A write that is older becomes a dead letter; shorter than the time for which the upstream remembers keys.
    pub ttl: Text<Duration>,
    /// Writes of this upstream, dead letters included.
    pub max_writes: u32,
    /// Bytes of them.
    pub max_bytes: Text<Size>,
    /// A write with a longer body is not queued.
    pub max_body: Text<Size>,
    /// Field of the request by which the order is kept: of writes with the same value the later ones wait for the earlier ones.
    /// Empty: the field of the idempotency key, where the upstream has one.
    pub order_by: String,
    /// Queued writes that are sent in a second, at most.
    pub pace: u32,
    /// Attempts that reach the upstream, at most; then it becomes a dead letter.
    pub attempts: u32,
    /// The wait after the first attempt; each further one is longer by half.
    pub backoff: Text<Duration>,
    /// The longest wait between two attempts; a longer `Retry-After` is heeded up to an hour.
    pub backoff_max: Text<Duration>,
}

impl Default for UpstreamOutboxFile {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            reply: None,
            ttl: secs(12 * 3_600),
            max_writes: 1_000,
            max_bytes: Text(Size(8 * 1024 * 1024)),
            max_body: Text(Size(256 * 1024)),
            order_by: String::new(),
            pace: 10,
            attempts: 20,
            backoff: secs(5),
            backoff_max: secs(600),
        }
    }
}

/// `reply = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ReplyFile {
    /// 200, 201, 202 or 204.
    pub status: u16,
    /// Media type of `body`.
    pub content_type: String,
    /// As it is sent.
    pub body: String,
}

impl Default for ReplyFile {
    fn default() -> Self {
        Self { status: 202, content_type: "application/json".to_owned(), body: String::new() }
    }
}

/// Which writes of an upstream are queued, and how they are sent.
#[derive(Clone, Debug)]
pub struct OutboxPolicy {
    paths: Templates<()>,
    written: Vec<String>,
    /// What the client of a queued write reads.
    pub reply: Fallback,
    /// Of this upstream.
    pub limits: QueueLimits,
    /// Bytes of a body, at most.
    pub max_body: u64,
    /// Field whose value the order is kept by, in lower case; `None`: none is.
    pub order_by: Option<String>,
    /// Time between two queued writes.
    pub gap: Duration,
    pub replay: ReplayPolicy,
}

impl PartialEq for OutboxPolicy {
    fn eq(&self, other: &Self) -> bool {
        let rest = |one: &Self| (one.limits, one.max_body, one.order_by.clone(), one.gap, one.replay);
        self.written == other.written && self.reply == other.reply && rest(self) == rest(other)
    }
}

impl OutboxPolicy {
    /// Is a request by this method for this path one that may be queued?
    pub fn takes(&self, method: Method, path: &[u8]) -> bool {
        matches!(method, Method::Post | Method::Put | Method::Patch | Method::Delete)
            && self.paths.find(path).is_some()
    }
}

impl UpstreamOutboxFile {
    pub(super) fn check(
        &self,
        mut at: Part<'_, '_>,
        vendor: Option<Preset>,
        keys: Option<&KeyPolicy>,
    ) -> Option<OutboxPolicy> {
        let natural = vendor.and_then(Preset::acknowledges);
        let written = match (self.paths.as_slice(), natural) {
            ([], Some((path, _))) => vec![path.to_owned()],
            ([], None) => {
                at.add("paths", "needs what may be queued; write paths = [\"/v1/messages\"]");
                Vec::new()
            }
            (paths, _) => paths.to_vec(),
        };
        let mut paths = Templates::default();
        for (nth, path) in written.iter().enumerate() {
            at.take(&format!("paths.{nth}"), paths.insert(path, ()));
        }
        let natural = natural.filter(|(path, _)| written.iter().all(|one| one == path));
        let reply = self.reply(&mut at, natural.map(|(_, status)| status));
        let ttl = at.lasts("ttl", self.ttl, MINUTE, WEEK);
        if let Some(keys) = keys.filter(|keys| ttl >= keys.lives) {
            let least =
                keys.lives.saturating_sub(Duration::from_secs(MINUTE)).max(Duration::from_secs(MINUTE));
            let (is, lives, write) = (ttl.write(), keys.lives.write(), least.write());
            let told = "a write that is sent later might be done twice";
            at.add("ttl", format!("{is:?} is not shorter than the {lives} for which keys are remembered: {told}; write {write:?}"));
        }
        let messages = at.within("max_writes", self.max_writes, 1, 100_000) as usize;
        let bytes = at.within("max_bytes", self.max_bytes.0.0, 64 * 1024, 256 * 1024 * 1024);
        let max_body = at.within("max_body", self.max_body.0.0, 1, 16 * 1024 * 1024);
        let pace = at.within("pace", self.pace, 1, 1_000);
        let replay = ReplayPolicy {
            ttl,
            attempts: at.within("attempts", self.attempts, 1, 1_000),
            backoff: at.lasts("backoff", self.backoff, 1, 3_600),
            backoff_max: at.lasts("backoff_max", self.backoff_max, 1, 86_400),
        };
        Some(OutboxPolicy {
            paths,
            written,
            reply,
            limits: QueueLimits { messages, bytes },
            max_body,
            order_by: self.order(&mut at).or_else(|| keys.map(|keys| keys.header.clone())),
            gap: Duration::from_secs(1) / pace,
            replay,
        })
    }

    fn order(&self, at: &mut Part<'_, '_>) -> Option<String> {
        let name = self.order_by.to_ascii_lowercase();
        let own = Known::of(name.as_bytes()) != Known::Other || is_ours(name.as_bytes());
        if !name.is_empty() && (own || http::HeaderName::from_bytes(name.as_bytes()).is_err()) {
            at.add("order_by", "is no field that clients set; write one such as \"X-Order-Key\"");
        }
        (!name.is_empty()).then_some(name)
    }

    fn reply(&self, at: &mut Part<'_, '_>, natural: Option<u16>) -> Fallback {
        let ReplyFile { status, content_type, body } = match (&self.reply, natural) {
            (Some(reply), _) => reply.clone(),
            (None, Some(status)) => ReplyFile { status, ..ReplyFile::default() },
            (None, None) => {
                let told = "its own answer to such a write is not known to be a mere acknowledgement";
                at.add(
                    "reply",
                    format!(
                        "is missing: {told}; write reply = {{ status = 202 }} where clients take that for one"
                    ),
                );
                ReplyFile::default()
            }
        };
        if !matches!(status, 200 | 201 | 202 | 204) {
            at.add("reply.status", format!("{status} acknowledges nothing; write 200, 201, 202 or 204"));
        }
        at.take("reply.content_type", media_type(&content_type));
        if body.len() > LONGEST || status == 204 && !body.is_empty() {
            at.add("reply.body", "is longer than 65536 bytes, or stands with 204; write less");
        }
        let policy = FallbackPolicy { status, on_5xx: false };
        Fallback { policy, content_type, body: Bytes::from(body) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> tempfile::NamedTempFile {
        let key = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(key.path(), "0f".repeat(32)).expect("writes");
        key
    }

    fn with(upstream: &str) -> Result<Option<OutboxPolicy>, String> {
        let key = key();
        let text = format!("[egress]\n[outbox]\nseal_key_file = {:?}\n{upstream}\n", key.path());
        let config = crate::config::load(&text, "a test", &[]).map_err(|problems| problems.to_string())?;
        Ok(config.upstreams.last().expect("one").outbox.clone())
    }

    #[test]
    fn sendgrid_needs_no_more_than_the_word_and_others_say_what_and_how() {
        assert_eq!(with("[upstreams.sendgrid]\npreset = \"sendgrid\""), Ok(None), "off unless asked for");
        let mail =
            with("[upstreams.sendgrid]\npreset = \"sendgrid\"\noutbox = {}").expect("runs").expect("one");
        assert!(mail.takes(Method::Post, b"/v3/mail/send") && !mail.takes(Method::Get, b"/v3/mail/send"));
        assert!(!mail.takes(Method::Post, b"/v3/templates"));
        assert_eq!((mail.reply.policy.status, mail.reply.body.len()), (202, 0));
        assert_eq!(mail.gap, Duration::from_millis(100));
        let hook = "[upstreams.hook]\nendpoints = [\"127.0.0.1:1\"]\nhosts = [\"h.example\"]\n[upstreams.hook.outbox]\n";
        for (written, told) in [
            ("", "outbox.paths: needs what may be queued"),
            ("paths = [\"/a\"]", "outbox.reply: is missing"),
            ("paths = [\"/a\"]\nreply = { status = 404 }", "404 acknowledges nothing"),
            ("paths = [\"/a\"]\nreply = {}\norder_by = \"host\"", "outbox.order_by: is no field"),
        ] {
            let problems = with(&format!("{hook}{written}")).expect_err(written);
            assert!(problems.contains(told), "{written}: {problems}");
        }
    }

    #[test]
    fn a_lifetime_ends_while_keys_are_remembered_and_the_key_file_is_a_key() {
        let stripe = "[upstreams.stripe]\npreset = \"stripe\"\n[upstreams.stripe.outbox]\npaths = [\"/v1/charges\"]\nreply = {}\n";
        let problems = with(&format!("{stripe}ttl = \"24h\"")).expect_err("too long");
        assert!(problems.contains("outbox.ttl") && problems.contains("write \"23h59m\""), "{problems}");
        let kept = with(stripe).expect("runs").expect("one");
        assert_eq!(kept.order_by.as_deref(), Some("idempotency-key"));
        let load = |text: &str| crate::config::load(text, "a test", &[]).expect_err("refused").to_string();
        let nowhere = load("[egress]\n[upstreams.sendgrid]\npreset = \"sendgrid\"\noutbox = {}\n");
        assert!(nowhere.contains("needs the table [outbox]"), "{nowhere}");
        let keyless = load("[egress]\n[outbox]\n");
        assert!(keyless.contains("seal_key_file") && keyless.contains("openssl rand -hex 32"), "{keyless}");
    }
}
