//! The vendors of the guide: a row each, with all that is known of it.

use std::time::Duration;

use super::endpoint::{Endpoint, Host, HostName};
use crate::config::word::Word;

/// A vendor of the guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    Stripe,
    SendGrid,
    Twilio,
    GoogleCalendar,
}

/// What is known of a vendor: its row.
struct VendorFacts {
    preset: Preset,
    word: &'static str,
    /// What is told beside the word.
    meaning: &'static str,
    host: &'static str,
    thing: &'static str,
    status_page: &'static str,
    payments: &'static [&'static str],
    breaker: GuideBreaker,
    sdk: Option<Sdk>,
    refusal: VendorRefusal,
    keys: Option<VendorKeys>,
    /// A path that it answers with a mere acknowledgement, and the status of that.
    acknowledges: Option<(&'static str, u16)>,
    /// A status and what the JSON of its body says, where together they are a rate limit.
    rate_limits: &'static [(u16, &'static str)],
}

/// By which key a vendor knows a write that it has seen, as it documents it.
#[derive(Clone, Copy, Debug)]
pub(super) struct VendorKeys {
    pub(super) header: &'static str,
    /// Hours that it remembers a key, at least.
    pub(super) hours: u64,
    pub(super) methods: &'static [&'static str],
    /// Statuses by which it says that it has not begun.
    pub(super) undone: &'static [u16],
}

/// What a vendor's own client library understands when the proxy answers in the vendor's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct VendorRefusal {
    /// JSON, with variables as in `refusal.body`.
    pub(super) body: &'static str,
    /// Fields that keep the library from repeating by itself.
    pub(super) do_not_retry: &'static [(&'static str, &'static str)],
}

/// The guide's numbers of a circuit breaker.
#[derive(Clone, Copy, Debug)]
pub(super) struct GuideBreaker {
    pub(super) failures: u32,
    /// Seconds.
    pub(super) open_for: u64,
    pub(super) successes: u32,
}

/// What a vendor's own client library does by default.
#[derive(Clone, Copy, Debug)]
pub struct Sdk {
    /// Whose library it is, as a warning names it: "Stripe's SDK".
    pub who: &'static str,
    /// It gives up a request after this.
    pub timeout: Duration,
    /// It repeats a failed one so many times by itself.
    pub retries: u32,
}

/// A row a vendor, in the order of [`Preset`].
const ROWS: &[VendorFacts; 4] = &[
    VendorFacts {
        preset: Preset::Stripe,
        word: "stripe",
        meaning: "api.stripe.com; payments",
        host: "api.stripe.com",
        thing: "payments (Stripe)",
        status_page: "https://status.stripe.com",
        // docs.stripe.com/api: charges, payment intents, invoices, subscriptions. All else reads, prepares or gives back.
        payments: &[
            "/v1/charges",
            "/v1/charges/{charge}/capture",
            "/v1/payment_intents",
            "/v1/payment_intents/{intent}/confirm",
            "/v1/payment_intents/{intent}/capture",
            "/v1/invoices/{invoice}/pay",
            "/v1/subscriptions",
        ],
        breaker: GuideBreaker { failures: 3, open_for: 30, successes: 2 },
        // It waits 80 s (`DEFAULT_TIMEOUT` in stripe-node, `timeout` in stripe-python) and repeats up to twice (stripe-dotnet
        // and stripe-go; stripe-node once from version 13 on).
        sdk: Some(Sdk { who: "Stripe's SDK", timeout: Duration::from_secs(80), retries: 2 }),
        // docs.stripe.com/api/errors; `_should_retry` in stripe-python reads the field before all else.
        refusal: VendorRefusal {
            body: r#"{"error": {"type": "api_error", "code": "${code}", "message": "${detail}", "request_id": "${request_id}"}}"#,
            do_not_retry: &[("stripe-should-retry", "false")],
        },
        // docs.stripe.com/api/idempotent_requests: the first result is stored whatever it is, a 500 as well, and keys may go
        // after 24 hours; nothing is stored when the request conflicted with another one (409).
        keys: Some(VendorKeys { header: "Idempotency-Key", hours: 24, methods: &["POST"], undone: &[409] }),
        acknowledges: None,
        rate_limits: &[],
    },
    VendorFacts {
        preset: Preset::SendGrid,
        word: "sendgrid",
        meaning: "api.sendgrid.com; mail",
        host: "api.sendgrid.com",
        thing: "outgoing e-mails (SendGrid)",
        status_page: "https://status.sendgrid.com",
        payments: &[],
        breaker: GuideBreaker { failures: 5, open_for: 60, successes: 3 },
        sdk: None,
        // www.twilio.com/docs/sendgrid/api-reference: a list, each with message, field and help.
        refusal: VendorRefusal {
            body: r#"{"errors": [{"message": "${detail}", "field": null, "help": null, "code": "${code}"}], "id": "${request_id}"}"#,
            do_not_retry: &[],
        },
        keys: None,
        // www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send: 202 without a body, "your message is queued to be
        // delivered".
        acknowledges: Some(("/v3/mail/send", 202)),
        rate_limits: &[],
    },
    VendorFacts {
        preset: Preset::Twilio,
        word: "twilio",
        meaning: "api.twilio.com; text messages",
        host: "api.twilio.com",
        thing: "text messages (Twilio)",
        status_page: "https://status.twilio.com",
        payments: &[],
        breaker: GuideBreaker { failures: 3, open_for: 45, successes: 2 },
        sdk: None,
        // www.twilio.com/docs/usage/twilios-response: without a number of its own its library takes the status for the code.
        refusal: VendorRefusal {
            body: r#"{"status": ${status}, "message": "${detail}", "more_info": null, "details": {"code": "${code}", "request_id": "${request_id}"}}"#,
            do_not_retry: &[],
        },
        keys: None,
        acknowledges: None,
        rate_limits: &[],
    },
    VendorFacts {
        preset: Preset::GoogleCalendar,
        word: "google_calendar",
        meaning: "www.googleapis.com; calendars",
        host: "www.googleapis.com",
        thing: "calendar entries (Google Calendar)",
        status_page: "https://www.google.com/appsstatus",
        payments: &[],
        breaker: GuideBreaker { failures: 3, open_for: 120, successes: 2 },
        sdk: None,
        // developers.google.com/calendar/api/guides/errors: `backendError` is what it says of its own failures.
        refusal: VendorRefusal {
            body: r#"{"error": {"code": ${status}, "message": "${detail}", "errors": [{"domain": "global", "reason": "backendError", "message": "${detail}"}]}}"#,
            do_not_retry: &[],
        },
        keys: None,
        acknowledges: None,
        // developers.google.com/calendar/api/guides/errors: limits come as 403 or 429, and the reason tells them from a lack of
        // leave.
        rate_limits: &[(403, "rateLimitExceeded"), (403, "userRateLimitExceeded"), (403, "quotaExceeded")],
    },
];

impl Word for Preset {
    const KIND: &'static str = "preset";
    const WORDS: &'static [(Self, &'static str, &'static str)] = &{
        let mut words = [(Self::Stripe, "", ""); ROWS.len()];
        let mut at = 0;
        while at < words.len() {
            // Each row stands where its vendor does.
            assert!(ROWS[at].preset as usize == at);
            words[at] = (ROWS[at].preset, ROWS[at].word, ROWS[at].meaning);
            at += 1;
        }
        words
    };
}

impl Preset {
    fn facts(self) -> &'static VendorFacts {
        &ROWS[self as usize]
    }

    pub fn host(self) -> &'static str {
        self.facts().host
    }

    /// What it does for those who use the application, in plural and with its name.
    pub fn thing(self) -> &'static str {
        self.facts().thing
    }

    /// The page on which the vendor says how it is.
    pub fn status_page(self) -> &'static str {
        self.facts().status_page
    }

    /// What takes payments there, as [`Templates`](crate::message::templates::Templates) reads it: POSTs to these paths
    /// charge somebody, or try to.
    pub fn payments(self) -> &'static [&'static str] {
        self.facts().payments
    }

    pub(super) fn refusal(self) -> VendorRefusal {
        self.facts().refusal
    }

    pub(super) fn rate_limits(self) -> &'static [(u16, &'static str)] {
        self.facts().rate_limits
    }

    pub(super) fn keys(self) -> Option<VendorKeys> {
        self.facts().keys
    }

    /// A path that it answers with a mere acknowledgement, and the status of that.
    pub(super) fn acknowledges(self) -> Option<(&'static str, u16)> {
        self.facts().acknowledges
    }

    pub(super) fn breaker(self) -> GuideBreaker {
        self.facts().breaker
    }

    /// The client library by which it is usually called, if that repeats by itself; the others repeat only where they are
    /// told to.
    pub(super) fn sdk(self) -> Option<Sdk> {
        self.facts().sdk
    }

    /// Where it listens: its name is complete, whatever hosts are written instead of its own.
    pub(super) fn endpoint(self) -> Endpoint {
        let name = HostName { text: self.host().to_owned(), complete: true };
        Endpoint { host: Host::Name(name), port: 443 }
    }
}
