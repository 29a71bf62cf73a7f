//! The two forms of a mail's text: plain, and HTML that mail clients show alike.
//!
//! Clients drop style sheets, scripts and what is fetched from elsewhere, so styles stand at their elements and nothing is
//! fetched. The first line is the first text of both, so a list of mails shows it beside the subject.

use super::message::{Message, Span, Tone, fit, line, minute, plain, spans, stamp};
use crate::reliability::brief::{Audience, Part, Section, bound};

const SUMMARY: usize = 10_000;
const FACTS: usize = 100;
const FACT: usize = 2_000;
const SECTIONS: usize = 16;
const LINES: usize = 64;
/// Letters of one family that every system has.
const FONT: &str = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif";

/// Names and values, in order. What an older version has queued has no facts that say so much.
fn rows(message: &Message) -> Vec<(String, String)> {
    let mut rows: Vec<(String, String)> = Vec::new();
    if message.brief.lead.is_empty() {
        rows.push(("Service".to_owned(), message.service.clone()));
        rows.push(("Severity".to_owned(), message.severity.label().to_owned()));
        rows.push(("Found by".to_owned(), message.rule.clone()));
        rows.push(("Since".to_owned(), stamp(message.started_at)));
        rows.extend(message.ends_at.map(|ends_at| ("Until".to_owned(), stamp(ends_at))));
    }
    rows.extend(message.facts.iter().take(FACTS).cloned());
    let written = minute(message.at);
    match message.brief.audience {
        Audience::Called => {
            rows.push(("Incident".to_owned(), message.incident_id.clone()));
            rows.push(("Written".to_owned(), format!("{written}, by {}", message.instance)));
        }
        Audience::Stakeholders => rows.push(("Written".to_owned(), written)),
    }
    rows.into_iter()
        .map(|(name, value)| (fit(&line(&name), FACT), bound(&fit(&line(&value), FACT))))
        .collect()
}

fn title(message: &Message, section: &Section) -> &'static str {
    section.part.title(message.brief.audience)
}

/// What a reader with a phone may have beside the mail, where it is heard.
fn elsewhere(message: &Message, section: &Section) -> Option<&'static str> {
    let ways = message.brief.ways;
    let told = match (ways.pagerduty, ways.slack) {
        (true, true) => {
            "Acknowledge it in PagerDuty, or press \"I take it\" in Slack, if it reached you there as well."
        }
        (true, false) => "Acknowledge it in PagerDuty, if it reached you there as well.",
        (false, true) => "Press \"I take it\" in Slack, if it reached you there as well.",
        (false, false) => return None,
    };
    (section.part == Part::Acknowledge).then_some(told)
}

/// Sentences of a section.
fn lines<'a>(message: &Message, section: &'a Section) -> impl Iterator<Item = &'a str> {
    elsewhere(message, section).into_iter().chain(section.lines.iter().take(LINES).map(String::as_str))
}

fn first_line(message: &Message) -> String {
    bound(&message.lead())
}

pub(super) fn text(message: &Message) -> String {
    let mut text = format!("{}\n", first_line(message));
    if message.brief.sections.is_empty() {
        text.push_str(&format!("\n{}\n", fit(&message.summary, SUMMARY)));
    }
    for section in message.brief.in_order().take(SECTIONS) {
        text.push_str(&format!("\n{}\n", title(message, section)));
        for sentence in lines(message, section) {
            text.push_str(&format!("- {}\n", plain(&fit(&line(sentence), FACT))));
        }
        if let Some(command) = &section.command {
            text.push_str(&format!("\n    {}\n", fit(&line(command), FACT)));
        }
    }
    text.push('\n');
    for (name, value) in rows(message) {
        text.push_str(&format!("{name}: {value}\n"));
    }
    if let Some(link) = message.open_link() {
        text.push_str(&format!("\nThe incident (JSON): {link}\n"));
    }
    text
}

/// A letter's and its background's colour by day, and both by night, with the names of their classes: clients that know neither classes
/// nor `prefers-color-scheme` show the day's, which stand at the elements.
struct Paint {
    class: &'static str,
    day: [&'static str; 2],
    night: [&'static str; 2],
}

const PAGE: Paint = Paint { class: "page", day: ["1c1e21", "f2f3f5"], night: ["e6e7ea", "101114"] };
const CARD: Paint = Paint { class: "card", day: ["1c1e21", "ffffff"], night: ["e6e7ea", "1b1d21"] };
const LABEL: Paint = Paint { class: "label", day: ["5a5f66", "ffffff"], night: ["a9aeb6", "1b1d21"] };
const CODE: Paint = Paint { class: "code", day: ["1c1e21", "f2f3f5"], night: ["e6e7ea", "2a2d33"] };
const LINK: Paint = Paint { class: "link", day: ["0b57d0", "ffffff"], night: ["8ab4f8", "1b1d21"] };
const PAINTS: [&Paint; 5] = [&PAGE, &CARD, &LABEL, &CODE, &LINK];

impl Paint {
    /// The attributes of an element that also has `style`.
    fn at(&self, style: &str) -> String {
        let [letters, ground] = self.day;
        format!("class=\"{}\" style=\"background:#{ground};color:#{letters};{style}\"", self.class)
    }
}

/// By night; the button stays as it is, white on the colour of the message.
fn night() -> String {
    let rule = |paint: &&Paint| {
        let ([letters, ground], class) = (paint.night, paint.class);
        format!(".{class}{{background:#{ground}!important;color:#{letters}!important}}")
    };
    let rules: String = PAINTS.iter().map(rule).collect();
    format!(
        "<style>:root{{color-scheme:light dark;supported-color-schemes:light dark}}\
         @media (prefers-color-scheme:dark){{{rules}}}</style>"
    )
}

pub(super) fn html(message: &Message) -> String {
    let lead = escaped(&first_line(message));
    let colour = message.tone().colour();
    let summary = if message.brief.sections.is_empty() {
        paragraph(&escaped(&fit(&message.summary, SUMMARY)).replace('\n', "<br>\n"))
    } else {
        String::new()
    };
    let open = message.open_link().map_or_else(String::new, |link| button(link, message.tone()));
    let told = |all: Vec<&Section>| all.into_iter().map(|one| part(message, one)).collect::<String>();
    let (first, rest): (Vec<&Section>, Vec<&Section>) =
        message.brief.in_order().take(SECTIONS).partition(|section| section.part == Part::Acknowledge);
    let page = PAGE.at(&format!("margin:0;padding:16px;{FONT};font-size:15px;line-height:1.45"));
    let card =
        CARD.at(&format!("max-width:680px;margin:0 auto;border-top:6px solid #{colour};padding:20px 24px"));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <meta name=\"supported-color-schemes\" content=\"light dark\">\
         <title>{subject}</title>{night}</head>\n\
         <body {page}>\n<div {card}>\n\
         <h1 style=\"margin:0 0 16px;font-size:19px;font-weight:600;line-height:1.35\">{lead}</h1>\n\
         {summary}{first}{table}{rest}{open}\
         </div>\n</body></html>\n",
        subject = escaped(&message.headline()),
        night = night(),
        first = told(first),
        table = table(message),
        rest = told(rest),
    )
}

fn paragraph(text: &str) -> String {
    format!("<p style=\"margin:0 0 16px\">{text}</p>\n")
}

fn button(link: &str, tone: Tone) -> String {
    format!(
        "<p style=\"margin:0 0 16px\"><a href=\"{}\" style=\"display:inline-block;background:#{};color:#ffffff;\
         padding:9px 16px;text-decoration:none;font-weight:600\">Open the incident (JSON)</a></p>\n",
        escaped(link),
        tone.colour()
    )
}

fn table(message: &Message) -> String {
    let cell = "padding:5px 12px 5px 0;border-bottom:1px solid #8a8f98;vertical-align:top;text-align:left";
    let rows: String = rows(message)
        .iter()
        .map(|(name, value)| {
            format!(
                "<tr><th scope=\"row\" {}>{}</th><td style=\"{cell};overflow-wrap:anywhere\">{}</td></tr>\n",
                LABEL.at(&format!("{cell};font-weight:400;width:30%")),
                escaped(name),
                escaped(value)
            )
        })
        .collect();
    format!(
        "<table style=\"border-collapse:collapse;width:100%;margin:0 0 20px;font-size:14px\">\n{rows}</table>\n"
    )
}

fn part(message: &Message, section: &Section) -> String {
    let lines: String = lines(message, section)
        .map(|sentence| {
            format!("<li style=\"margin:0 0 4px\">{}</li>\n", linked(&fit(&line(sentence), FACT)))
        })
        .collect();
    let command = section.command.as_ref().map_or_else(String::new, |command| {
        let style =
            "margin:0 0 20px;padding:10px 12px;font-size:13px;white-space:pre-wrap;overflow-wrap:anywhere";
        format!("<pre {}>{}</pre>\n", CODE.at(style), escaped(&fit(&line(command), FACT)))
    });
    format!(
        "<h2 style=\"margin:0 0 6px;font-size:15px\">{}</h2>\n<ul style=\"margin:0 0 16px;padding:0 0 0 18px\">\n{lines}</ul>\n{command}",
        title(message, section)
    )
}

/// A sentence whose addresses can be clicked and whose commands stand out.
fn linked(sentence: &str) -> String {
    let word = |word: &str| {
        let web = word.starts_with("https://") || word.starts_with("http://");
        let plain = !word.contains(|c: char| c.is_control() || "<>|\"\\^`{}".contains(c));
        if web && plain {
            format!("<a href=\"{0}\" {1}>{0}</a>", escaped(word), LINK.at("overflow-wrap:anywhere"))
        } else {
            escaped(word)
        }
    };
    let span = |span| match span {
        Span::Said(text) => bound(text).split(' ').map(word).collect::<Vec<_>>().join(" "),
        Span::Typed(text) => {
            format!("<code {}>{}</code>", CODE.at("font-size:13px;overflow-wrap:anywhere"), escaped(text))
        }
    };
    spans(sentence).into_iter().map(span).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::super::message::MessageKind;
    use super::super::message::tests::{hostile, incident, outage, outages};
    use super::*;

    #[test]
    fn an_outage_is_told_in_plain_text_and_in_html() {
        let all = outages();
        let plain: Vec<String> = all
            .iter()
            .map(|(name, one)| format!("== {name} ==\nSubject: {}\n\n{}", one.headline(), text(one)))
            .collect();
        insta::assert_snapshot!("mail_text", plain.join("\n"));
        let twins: Vec<String> =
            ["critical, called", "critical, acknowledged", "critical, over", "low, called"]
                .iter()
                .map(|name| format!("== {name} ==\n{}", html(&outage(name))))
                .collect();
        insta::assert_snapshot!("mail_html", twins.join("\n"));
    }

    #[test]
    fn both_forms_begin_with_the_first_line() {
        for (_, one) in outages() {
            let lead = first_line(&one);
            assert!(text(&one).starts_with(&lead));
            let html = html(&one);
            let (_, body) = html.split_once("<body").expect("a body");
            let first: String =
                body.split('>').nth(3).expect("text").split('<').next().expect("text").to_owned();
            assert_eq!(first, escaped(&lead));
        }
    }

    /// The relative luminance of a colour (WCAG 2.2, "relative luminance").
    fn luminance(hex: &str) -> f64 {
        let of = |at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")) / 255.0;
        let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
        0.2126 * linear(of(0)) + 0.7152 * linear(of(2)) + 0.0722 * linear(of(4))
    }

    /// WCAG 2.2, "contrast ratio": 1 to 21.
    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn all_letters_can_be_read_by_day_and_by_night() {
        assert!((contrast("ffffff", "000000") - 21.0).abs() < 1e-9 && contrast("f9a825", "ffffff") < 2.1);
        for paint in PAINTS {
            for [letters, ground] in [paint.day, paint.night] {
                let ratio = contrast(letters, ground);
                assert!(
                    ratio >= 4.5,
                    "{}: {letters} on {ground} has {ratio:.1}, AA asks for 4.5",
                    paint.class
                );
            }
        }
        for tone in Tone::ALL {
            let ratio = contrast("ffffff", tone.colour());
            assert!(ratio >= 4.5, "{tone:?}: white on {} has {ratio:.1}", tone.colour());
            // The bar of the card is no text: WCAG 1.4.11 asks for 3 to 1 beside what is next to it.
            let bar = contrast(CARD.day[1], tone.colour());
            assert!(bar >= 3.0, "{tone:?}: the bar has {bar:.1}");
        }
        let told = html(&outage("critical, called"));
        assert!(told.contains("<meta name=\"color-scheme\" content=\"light dark\">"));
        for colour in PAINTS.iter().flat_map(|paint| paint.night) {
            assert!(told.contains(&format!("#{colour}!important")), "{colour} is not told to the client");
        }
    }

    #[test]
    fn a_mail_names_the_other_places_where_it_can_be_taken_only_if_a_click_there_is_heard() {
        let told = |name: &str| text(&outage(name));
        assert!(
            told("critical, called").contains("Acknowledge it in PagerDuty, or press \"I take it\" in Slack")
        );
        for name in ["high, called", "low, called", "critical, acknowledged", "critical, resolved"] {
            assert!(!told(name).contains("PagerDuty"), "{name}");
        }
    }

    #[test]
    fn what_only_a_shell_reaches_is_no_link() {
        for name in ["high, called", "medium, called", "low, called", "low, resolved"] {
            let told = html(&outage(name));
            assert!(!told.contains("href=\"http://127") && !told.contains("href=\"https://strop"), "{name}");
            assert!(told.contains(">curl") && !told.contains("Open the incident"), "{name}");
        }
        assert!(html(&outage("critical, called")).contains("Open the incident (JSON)"));
    }

    #[test]
    fn no_text_breaks_out_of_its_place_in_html() {
        let text =
            "</td><script>alert(1)</script><img src=x onerror='x'> \" ' & https://a.example/\"onclick=x";
        let told = html(&Message { link: Some("javascript:alert(1)".to_owned()), ..hostile(text) });
        for bad in ["<script", "<img", "onerror='", "javascript:", "\"onclick"] {
            assert!(!told.contains(bad), "{bad} in {told}");
        }
        let tags = |of: &str| told.matches(of).count();
        assert_eq!(
            (tags("<td"), tags("<table"), tags("<pre")),
            (tags("</td>"), tags("</table>"), tags("</pre>"))
        );
    }

    #[test]
    fn a_message_of_an_older_version_is_told_with_all_it_has() {
        let (plain, html) = (text(&incident(MessageKind::Resolve)), html(&incident(MessageKind::Resolve)));
        for part in ["42 % of attempts failed", "error rate", "2026-11-24T"] {
            assert!(plain.contains(part) && html.contains(part), "{part}: {plain}{html}");
        }
    }
}
