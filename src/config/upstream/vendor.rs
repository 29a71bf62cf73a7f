//! The vendors of the guide: where they are, what takes payments there, what people are told of them.

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

impl Word for Preset {
    const KIND: &'static str = "preset";
    const WORDS: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Stripe, "stripe", "api.stripe.com; payments"),
        (Self::SendGrid, "sendgrid", "api.sendgrid.com; mail"),
        (Self::Twilio, "twilio", "api.twilio.com; text messages"),
        (Self::GoogleCalendar, "google_calendar", "www.googleapis.com; calendars"),
    ];
}

impl Preset {
    pub fn host(self) -> &'static str {
        match self {
            Self::Stripe => "api.stripe.com",
            Self::SendGrid => "api.sendgrid.com",
            Self::Twilio => "api.twilio.com",
            Self::GoogleCalendar => "www.googleapis.com",
        }
    }

    /// What it does for those who use the application, in plural and with its name.
    pub fn thing(self) -> &'static str {
        match self {
            Self::Stripe => "payments (Stripe)",
            Self::SendGrid => "outgoing e-mails (SendGrid)",
            Self::Twilio => "text messages (Twilio)",
            Self::GoogleCalendar => "calendar entries (Google Calendar)",
        }
    }

    /// The page on which the vendor says how it is.
    pub fn status_page(self) -> &'static str {
        match self {
            Self::Stripe => "https://status.stripe.com",
            Self::SendGrid => "https://status.sendgrid.com",
            Self::Twilio => "https://status.twilio.com",
            Self::GoogleCalendar => "https://www.google.com/appsstatus",
        }
    }

    /// What takes payments there, as [`Templates`](crate::message::templates::Templates) reads it: POSTs to these paths
    /// charge somebody, or try to (docs.stripe.com/api: charges, payment intents, invoices, subscriptions). All else
    /// reads, prepares or gives back.
    pub fn payments(self) -> &'static [&'static str] {
        match self {
            Self::Stripe => &[
                "/v1/charges",
                "/v1/charges/{charge}/capture",
                "/v1/payment_intents",
                "/v1/payment_intents/{intent}/confirm",
                "/v1/payment_intents/{intent}/capture",
                "/v1/invoices/{invoice}/pay",
                "/v1/subscriptions",
            ],
            Self::SendGrid | Self::Twilio | Self::GoogleCalendar => &[],
        }
    }

    /// Where it listens: its name is complete, whatever hosts are written instead of its own.
    pub(super) fn endpoint(self) -> Endpoint {
        let name = HostName { text: self.host().to_owned(), complete: true };
        Endpoint { host: Host::Name(name), port: 443 }
    }
}
