//! A message as a mail: plain text with an HTML twin, threaded by incident.
//!
//! `Message-ID` is made from the id of the message, so a mail that is sent twice is one mail for whoever looks; all mails of
//! an incident refer to one root (RFC 5322 section 3.6.4), which is what clients thread by.

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};

use super::delivery::{DeliveryError, DeliveryFailure};
use super::mail_body::{html, text};
use super::message::{Message, fit, line, wall};
use crate::config::channels::Mail;
use crate::net::http::AGENT;
use crate::net::sign::short;

/// Characters of a subject: RFC 5322 section 2.1.1 folds longer ones, people do not read them.
const SUBJECT: usize = 200;

fn unusable(error: impl std::fmt::Display) -> DeliveryError {
    DeliveryError::permanent(DeliveryFailure::Unusable, format!("the mail cannot be written: {error}"))
}

/// The mail as it goes over the wire.
pub(super) fn written(mail: &Mail, message: &Message, id: &str) -> Result<Vec<u8>, DeliveryError> {
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(unusable);
    let domain = mail.from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    let named = |text: &str| format!("<strop.{}@{domain}>", short(text));
    let root = named(&format!("incident {}", message.incident_id));
    let mut builder = lettre::Message::builder()
        .from(mailbox(&mail.from)?)
        .subject(fit(&message.headline(), SUBJECT))
        .date(wall(message.at))
        .message_id(Some(named(id)))
        .in_reply_to(root.clone())
        .references(root)
        .user_agent(AGENT.to_owned());
    for to in &mail.to {
        builder = builder.to(mailbox(to)?);
    }
    // So that nobody's holiday answers it (RFC 3834).
    for (name, value) in
        [("Auto-Submitted", "auto-generated"), ("X-Strop-Incident", &line(&message.incident_id))]
    {
        builder =
            builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned()));
    }
    let parts = MultiPart::alternative_plain_html(text(message), html(message));
    Ok(builder.multipart(parts).map_err(unusable)?.formatted())
}

#[cfg(test)]
mod tests {
    use super::super::message::MessageKind;
    use super::super::message::tests::incident;
    use super::*;
    use crate::config::channels::MailTls;
    use crate::config::{Endpoint, Host, HostName};

    fn mail() -> Mail {
        Mail {
            server: Endpoint {
                host: Host::Name(HostName { text: "localhost".to_owned(), complete: false }),
                port: 25,
            },
            tls: MailTls::Plain,
            login: None,
            from: "strop@example.com".to_owned(),
            to: vec!["a@example.com".to_owned(), "b@example.com".to_owned()],
        }
    }

    fn field(text: &str, name: &str) -> String {
        let of = |line: &str| line.strip_prefix(&format!("{name}: ")).map(str::to_owned);
        text.lines().find_map(of).unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    #[test]
    fn mails_of_an_incident_hang_together_and_a_repeated_one_is_the_same() {
        let of = |kind, id| {
            String::from_utf8(written(&mail(), &incident(kind), id).expect("writes")).expect("ASCII")
        };
        let (first, again) = (of(MessageKind::Trigger, "m1"), of(MessageKind::Trigger, "m1"));
        let last = of(MessageKind::Resolve, "m2");
        assert_eq!(field(&first, "Message-ID"), field(&again, "Message-ID"));
        assert_ne!(field(&first, "Message-ID"), field(&last, "Message-ID"));
        assert_eq!(field(&first, "References"), field(&last, "References"));
        assert_eq!(field(&last, "Auto-Submitted"), "auto-generated");
        assert!(last.is_ascii() && last.contains("multipart/alternative"), "{last}");
        let html = last.split("text/html").nth(1).expect("a twin");
        assert!(html.contains("&lt;answer&gt;") && !html.contains("<answer>"), "{html}");
    }

    #[test]
    fn no_title_writes_a_header_of_its_own() {
        let title = "x\r\nBcc: everybody@example.com".to_owned();
        let message = Message { title: title.clone(), incident_id: title, ..incident(MessageKind::Trigger) };
        let text =
            String::from_utf8(written(&mail(), &message, "m\r\nBcc: x@y").expect("writes")).expect("ASCII");
        assert!(!text.lines().any(|line| line.starts_with("Bcc")), "{text}");
    }
}
