//! Numbers and foreign texts in a report: how they are written, and how they are kept from being read as markup.

use std::time::Duration;

use crate::units::turns_direction;

/// Text between tags or in a quoted attribute of HTML. Letters that XML has no way to write become U+FFFD.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(letter),
            _ => out.push(shown(letter)),
        }
    }
    out
}

/// One line of Markdown that is read as just this text, in a table too: every mark that means something has its backslash,
/// line breaks are spaces. An address may still become a link to itself.
pub(super) fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.trim().chars() {
        match letter {
            '\n' | '\r' | '\t' => out.push(' '),
            ' ' if out.ends_with(' ') => {}
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '!' | '$' => {
                out.push('\\');
                out.push(letter);
            }
            // These mean something only where a line begins.
            '+' | '-' | '=' if out.is_empty() => out.extend(['\\', letter]),
            '.' | ')' if !out.is_empty() && out.bytes().all(|byte| byte.is_ascii_digit()) => {
                out.extend(['\\', letter]);
            }
            _ => out.push(shown(letter)),
        }
    }
    out
}

/// A field of CSV. What a spreadsheet would take for a formula is kept a text.
pub(super) fn csv(text: &str) -> String {
    let text: String = text.chars().map(shown).collect();
    let formula = text.starts_with(['=', '+', '-', '@']);
    let text = if formula { format!("'{text}") } else { text };
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Control letters and those that turn the direction of writing are not passed on.
fn shown(letter: char) -> char {
    match letter {
        _ if turns_direction(letter) => '\u{fffd}',
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        _ if letter.is_control() => '\u{fffd}',
        _ => letter,
    }
}

/// A percentage, or none, as it is written for programs: a share, 0 to 1.
pub(super) fn as_share<T: Copy + Into<Option<f64>>, S: serde::Serializer>(
    percent: &T,
    to: S,
) -> Result<S::Ok, S::Error> {
    let share: Option<f64> = (*percent).into();
    serde::Serialize::serialize(&share.map(|percent| percent / 100.0), to)
}

/// A good share as a percentage with `digits` (0 to 9) after the point, cut off and never rounded up: 99.9999 is
/// not 100. "–" of nothing.
pub(super) fn share(part: u64, whole: u64, digits: u32) -> String {
    let scaled = u128::from(part) * 100 * 10_u128.pow(digits);
    percent(scaled.checked_div(u128::from(whole)), digits)
}

/// A bad share, which is never rounded down: one failure in a million is not 0. "–" of nothing.
pub(super) fn bad_share(part: u64, whole: u64, digits: u32) -> String {
    let scaled = u128::from(part) * 100 * 10_u128.pow(digits);
    percent((whole > 0).then(|| scaled.div_ceil(u128::from(whole))), digits)
}

fn percent(scaled: Option<u128>, digits: u32) -> String {
    let (scale, width) = (10_u128.pow(digits), digits as usize);
    match scaled {
        None => "–".to_owned(),
        Some(whole) if digits == 0 => format!("{whole} %"),
        Some(parts) => format!("{}.{:0width$} %", parts / scale, parts % scale),
    }
}

/// A number with its thousands apart: 54,400.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A span of time for people: 0.8 s, 42 s, 3 min 07 s, 2 h 05 min, 3 d 04 h.
pub(super) fn span(span: Duration) -> String {
    let seconds = (span.as_millis() + 500) / 1_000;
    match seconds {
        _ if span.as_millis() < 9_950 => {
            let tenths = (span.as_millis() + 50) / 100;
            if tenths.is_multiple_of(10) {
                format!("{} s", tenths / 10)
            } else {
                format!("{}.{} s", tenths / 10, tenths % 10)
            }
        }
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// The same of whole seconds.
pub(super) fn seconds(seconds: u64) -> String {
    span(Duration::from_secs(seconds))
}

/// One of something, or many.
pub(super) fn many(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_shown_better_than_it_is() {
        assert_eq!(share(2_678_399, 2_678_400, 3), "99.999 %");
        assert_eq!(share(1, 1, 3), "100.000 %");
        assert_eq!(share(1, 3, 0), "33 %");
        assert_eq!((share(0, 0, 3), bad_share(0, 0, 3)), ("–".into(), "–".into()));
        assert_eq!(bad_share(1, 1_000_000, 3), "0.001 %");
        assert_eq!(bad_share(0, 9, 2), "0.00 %");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!((count(0), count(999), count(54_400)), ("0".into(), "999".into(), "54,400".into()));
        for (millis, wanted) in [
            (800, "0.8 s"),
            (3_000, "3 s"),
            (9_960, "10 s"),
            (59_400, "59 s"),
            (59_700, "1 min 00 s"),
            (187_000, "3 min 07 s"),
            (7_500_000, "2 h 05 min"),
            (273_600_000, "3 d 04 h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), wanted, "{millis}");
        }
    }

    #[test]
    fn no_text_of_a_person_becomes_markup() {
        assert_eq!(html("<b a=\"1\">'&\u{0}"), "&lt;b a=&quot;1&quot;&gt;&#39;&amp;\u{fffd}");
        assert_eq!(
            markdown("a | b\n# *c* [d](https://e) <f> `g` 1. h \\"),
            r"a \| b \# \*c\* \[d\](https://e) \<f\> \`g\` 1. h \\"
        );
        for (line, wanted) in [
            ("1. a", r"1\. a"),
            ("23) a", r"23\) a"),
            ("- a", r"\- a"),
            ("=== a", r"\=== a"),
            ("a - b", "a - b"),
        ] {
            assert_eq!(markdown(line), wanted);
        }
        assert_eq!(csv("=1+1"), "'=1+1");
        assert_eq!(csv("a,\"b\"\n"), "\"a,\"\"b\"\"\u{fffd}\"");
        assert_eq!(markdown("pay\u{202e}txt"), "pay\u{fffd}txt");
    }
}
