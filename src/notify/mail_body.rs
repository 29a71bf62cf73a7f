//! The two forms of a mail's text: plain, and HTML that mail clients show alike.
//!
//! Clients drop style sheets, scripts and what is fetched from elsewhere, so styles stand at their elements and nothing is
//! fetched. The first line is the first text of both, so a list of mails shows it beside the subject.

use super::message::{Message, fit, line, stamp};
use crate::reliability::brief::{Audience, Part, Section};

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
    rows.push(("Incident".to_owned(), message.incident_id.clone()));
    rows.push(match message.brief.audience {
        Audience::Called => ("Told by".to_owned(), format!("{}, {}", message.instance, stamp(message.at))),
        Audience::Stakeholders => ("Written".to_owned(), stamp(message.at)),
    });
    rows.into_iter().map(|(name, value)| (fit(&line(&name), FACT), fit(&line(&value), FACT))).collect()
}

fn title(message: &Message, section: &Section) -> &'static str {
    section.part.title(message.brief.audience)
}

/// How to take it comes before what only explains: it is what a reader came for.
fn sections(message: &Message) -> impl Iterator<Item = &Section> {
    let all = message.brief.sections.iter().take(SECTIONS);
    let first = all.clone().filter(|section| section.part == Part::Acknowledge);
    first.chain(all.filter(|section| section.part != Part::Acknowledge))
}

pub(super) fn text(message: &Message) -> String {
    let mut text = format!("{}\n", message.lead());
    if message.brief.sections.is_empty() {
        text.push_str(&format!("\n{}\n", fit(&message.summary, SUMMARY)));
    }
    for section in sections(message) {
        text.push_str(&format!("\n{}\n", title(message, section)));
        for sentence in section.lines.iter().take(LINES) {
            text.push_str(&format!("- {}\n", fit(&line(sentence), FACT)));
        }
        if let Some(command) = &section.command {
            text.push_str(&format!("\n    {}\n", fit(&line(command), FACT)));
        }
    }
    text.push('\n');
    for (name, value) in rows(message) {
        text.push_str(&format!("{name}: {value}\n"));
    }
    if let Some(link) = message.safe_link() {
        text.push_str(&format!("\n{link}\n"));
    }
    text
}

pub(super) fn html(message: &Message) -> String {
    let lead = escaped(&message.lead());
    let colour = message.colour();
    let state = escaped(&line(&message.brief.status));
    let badge = format!("{} · {}", message.severity.label(), escaped(&line(&message.service)));
    let badge = if state.is_empty() { badge } else { format!("{badge} · {state}") };
    let summary = if message.brief.sections.is_empty() {
        paragraph(&escaped(&fit(&message.summary, SUMMARY)).replace('\n', "<br>\n"))
    } else {
        String::new()
    };
    let take = message.safe_link().map_or_else(String::new, |link| button(link, colour));
    let (first, rest): (Vec<_>, Vec<_>) =
        sections(message).partition(|section| section.part == Part::Acknowledge);
    let told = |all: Vec<&Section>| all.iter().map(|one| part(message, one)).collect::<String>();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light\"><title>{subject}</title></head>\n\
         <body style=\"margin:0;padding:16px;background:#f2f3f5;color:#1c1e21;{FONT};font-size:15px;line-height:1.45\">\n\
         <div style=\"max-width:680px;margin:0 auto;background:#ffffff;border-top:6px solid #{colour};padding:20px 24px\">\n\
         <p style=\"margin:0 0 12px;font-size:19px;font-weight:600;line-height:1.35\">{lead}</p>\n\
         <p style=\"margin:0 0 16px;color:#{colour};font-weight:600\">{badge}</p>\n\
         {summary}{take}{first}{table}{rest}\
         </div>\n</body></html>\n",
        subject = escaped(&message.headline()),
        first = told(first),
        table = table(message),
        rest = told(rest),
    )
}

fn paragraph(text: &str) -> String {
    format!("<p style=\"margin:0 0 16px\">{text}</p>\n")
}

fn button(link: &str, colour: &str) -> String {
    format!(
        "<p style=\"margin:0 0 16px\"><a href=\"{}\" style=\"display:inline-block;background:#{colour};color:#ffffff;\
         padding:9px 16px;text-decoration:none;font-weight:600\">Open the incident</a></p>\n",
        escaped(link)
    )
}

fn table(message: &Message) -> String {
    let cell = "padding:5px 12px 5px 0;border-bottom:1px solid #e4e6ea;vertical-align:top;text-align:left";
    let rows: String = rows(message)
        .iter()
        .map(|(name, value)| {
            format!(
                "<tr><th scope=\"row\" style=\"{cell};font-weight:400;color:#5a5f66;white-space:nowrap\">{}</th>\
                 <td style=\"{cell};word-break:break-word\">{}</td></tr>\n",
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
    let lines: String = section
        .lines
        .iter()
        .take(LINES)
        .map(|sentence| {
            format!("<li style=\"margin:0 0 4px\">{}</li>\n", linked(&fit(&line(sentence), FACT)))
        })
        .collect();
    let command = section.command.as_ref().map_or_else(String::new, |command| {
        format!(
            "<pre style=\"margin:0 0 20px;padding:10px 12px;background:#f2f3f5;font-size:13px;white-space:pre-wrap;\
             overflow-wrap:anywhere\">{}</pre>\n",
            escaped(&fit(&line(command), FACT))
        )
    });
    format!(
        "<h2 style=\"margin:0 0 6px;font-size:15px\">{}</h2>\n<ul style=\"margin:0 0 16px;padding:0 0 0 18px\">\n{lines}</ul>\n{command}",
        title(message, section)
    )
}

/// A sentence whose addresses can be clicked.
fn linked(sentence: &str) -> String {
    let word = |word: &str| {
        let web = word.starts_with("https://") || word.starts_with("http://");
        let plain = !word.contains(|c: char| c.is_control() || "<>|\"\\^`{}".contains(c));
        if web && plain {
            format!("<a href=\"{0}\" style=\"color:#0b57d0;overflow-wrap:anywhere\">{0}</a>", escaped(word))
        } else {
            escaped(word)
        }
    };
    sentence.split(' ').map(word).collect::<Vec<_>>().join(" ")
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
    use super::super::message::tests::{hostile, incident, outage};
    use super::*;
    use crate::reliability::brief::story;

    #[test]
    fn an_outage_is_told_in_plain_text_and_in_html() {
        for (story, told) in [("critical", story::critical()), ("low", story::low())] {
            let all = outage(told);
            let plain: Vec<String> = all
                .iter()
                .map(|(name, one)| format!("== {name} ==\nSubject: {}\n\n{}", one.headline(), text(one)))
                .collect();
            insta::assert_snapshot!(format!("mail_{story}_text"), plain.join("\n"));
            for (name, one) in all.iter().filter(|(name, _)| ["called", "over", "resolved"].contains(name)) {
                insta::assert_snapshot!(format!("mail_{story}_{name}_html"), html(one));
            }
        }
    }

    #[test]
    fn both_forms_begin_with_the_first_line() {
        for (_, one) in outage(story::critical()) {
            let lead = one.lead();
            assert!(text(&one).starts_with(&lead));
            let html = html(&one);
            let (_, body) = html.split_once("<body").expect("a body");
            let first: String =
                body.split('>').nth(3).expect("text").split('<').next().expect("text").to_owned();
            assert_eq!(first, escaped(&lead));
        }
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
