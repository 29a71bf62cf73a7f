//! Numbers, moments and lists as people read them. All in English, moments in UTC.

use std::time::Duration;

use crate::units::{At, turns_direction};

/// Characters of a text that came from elsewhere.
const FOREIGN: usize = 300;
/// Names that a list spells out.
const NAMED: usize = 5;
const DAY_MS: i64 = 86_400_000;

/// A text from elsewhere: on one line, at most 300 characters, without letters that steer a terminal or turn
/// the direction of writing.
pub(super) fn line(text: &str) -> String {
    let plain = |letter: char| match letter {
        _ if turns_direction(letter) || letter.is_control() => ' ',
        _ => letter,
    };
    let cut = text.chars().nth(FOREIGN).is_some();
    let kept = if cut { FOREIGN - 1 } else { FOREIGN };
    let line: String = text.chars().take(kept).map(plain).chain(cut.then_some('…')).collect();
    line.trim().to_owned()
}

/// The two largest units that say something: `36 s`, `5 min 53 s`, `2 h 10 min`, `3 d 4 h`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let Some(first) = units.iter().position(|(_, length)| seconds >= *length) else {
        return "less than 1 s".to_owned();
    };
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, length) in units.iter().skip(first).take(2) {
        if rest / length > 0 {
            parts.push(format!("{} {unit}", rest / length));
        }
        rest %= length;
    }
    parts.join(" ")
}

/// A latency: whole milliseconds below a second, tenths of seconds above.
pub(super) fn took(span: Duration) -> String {
    let millis = span.as_micros().div_ceil(1_000);
    if millis < 1_000 { format!("{millis} ms") } else { format!("{:.1} s", span.as_secs_f64()) }
}

/// `02:14:07 UTC`, with the date in front when it is another day than that of `now`.
pub(super) fn moment(at: At, now: At) -> String {
    let second = at.0.div_euclid(1_000).rem_euclid(86_400);
    let time = format!("{:02}:{:02}:{:02} UTC", second / 3_600, second / 60 % 60, second % 60);
    let day = at.0.div_euclid(DAY_MS);
    if day == now.0.div_euclid(DAY_MS) {
        return time;
    }
    let (year, month, day) = date(day);
    format!("{year:04}-{month:02}-{day:02} {time}")
}

/// `02:14 UTC`, with the date in front when it is another day than that of `now`: for subjects.
pub(super) fn minute(at: At, now: At) -> String {
    let exact = moment(at, now);
    let cut = exact.len().saturating_sub(":00 UTC".len());
    format!("{} UTC", exact.get(..cut).unwrap_or_default())
}

/// Days since 1970 as a date of the Gregorian calendar. A 400-year era has 146,097 days; counted from 1 March of year 0, so that
/// the day that leap years add is the last of its year.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// `41 of 43`; the same number twice is `all 43`.
pub(super) fn part(part: u64, whole: u64) -> String {
    match (part, whole) {
        (0, _) => format!("none of {whole}"),
        _ if part >= whole && whole > 1 => format!("all {whole}"),
        _ => format!("{part} of {whole}"),
    }
}

/// A share in percent, never rounded to nothing or to all: `0.4 %`, `95 %`, `99.9 %`.
pub(super) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    if part == 0 || part >= whole || (1.0..99.0).contains(&percent) {
        format!("{percent:.0} %")
    } else {
        format!("{:.1} %", percent.clamp(0.1, 99.9))
    }
}

/// ` (95 %)`; nothing where all of them are meant, which [`part`] says.
pub(super) fn in_percent(part: u64, whole: u64) -> String {
    if part >= whole { String::new() } else { format!(" ({})", share(part, whole)) }
}

/// `a`, `a and b`, `a, b and c`, `a, b, c, d, e and 4 more`.
pub(super) fn list<T: AsRef<str>>(all: &[T]) -> String {
    let names: Vec<&str> = all.iter().map(AsRef::as_ref).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [rest @ .., last] if names.len() <= NAMED => format!("{} and {last}", rest.join(", ")),
        _ => format!("{} and {} more", names[..NAMED].join(", "), names.len() - NAMED),
    }
}

/// Values are written with a space before the percent sign, wherever they come from: `85%` is `85 %`.
pub(super) fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    for letter in text.chars() {
        if letter == '%' && out.ends_with(|before: char| before.is_ascii_digit()) {
            out.push(' ');
        }
        out.push(letter);
    }
    out
}

/// Units that stand behind a number.
const UNITS: [&str; 9] = ["%", "ms", "s", "min", "h", "d", "MiB", "GiB", "UTC"];

/// For what is shown on a screen: a number keeps its unit on its line (U+00A0). Not for what programs compare, nor for what
/// may become a text message, whose alphabet has no such letter.
pub fn bound(text: &str) -> String {
    let mut words = text.split(' ');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let unit = word.trim_end_matches([',', '.', ';', ':', ')']);
        let joined = UNITS.contains(&unit) && out.ends_with(|before: char| before.is_ascii_digit());
        out.push(if joined { '\u{a0}' } else { ' ' });
        out.push_str(word);
    }
    out
}

/// A sentence that goes on after a colon: without its capital, unless it begins with a name.
pub(super) fn after_colon(sentence: &str) -> String {
    const BEGINNINGS: [&str; 6] = ["The ", "In ", "Most ", "It ", "Over ", "Usual "];
    if BEGINNINGS.iter().any(|beginning| sentence.starts_with(beginning)) {
        let mut letters = sentence.chars();
        let first = letters.next().map_or_else(String::new, |first| first.to_lowercase().collect());
        return first + letters.as_str();
    }
    sentence.to_owned()
}

/// A contact as people speak of it. The guide's roles are no names: `cto` is the CTO, `engineering_lead` the engineering lead.
pub(super) fn person(contact: &str) -> String {
    match contact {
        "cto" => "the CTO".to_owned(),
        "engineering_lead" => "the engineering lead".to_owned(),
        "engineering_manager" => "the engineering manager".to_owned(),
        "team_lead" => "the team lead".to_owned(),
        "assigned_engineer" => "the assigned engineer".to_owned(),
        other => line(other),
    }
}

/// With a capital letter in front.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_read_them() {
        let spans = [0, 1, 36, 60, 353, 3_600, 7_800, 273_600].map(|s| span(Duration::from_secs(s)));
        let wanted = ["less than 1 s", "1 s", "36 s", "1 min", "5 min 53 s", "1 h", "2 h 10 min", "3 d 4 h"];
        assert_eq!(spans, wanted);
        let now = At(1_795_744_800_000);
        assert_eq!(moment(At(now.0 - 1_000), now), "01:59:59 UTC");
        assert_eq!(moment(At(now.0 - 8 * 3_600_000), now), "2026-11-26 18:00:00 UTC");
        assert_eq!(moment(At(0), now), "1970-01-01 00:00:00 UTC");
        assert_eq!(moment(At(951_782_400_000), now), "2000-02-29 00:00:00 UTC");
        assert_eq!(moment(At(4_107_542_399_000), now), "2100-02-28 23:59:59 UTC");
        assert_eq!([Duration::from_micros(1_500), Duration::from_millis(3_210)].map(took), ["2 ms", "3.2 s"]);
    }

    #[test]
    fn a_subject_says_the_minute() {
        let now = At(1_795_744_800_000);
        assert_eq!(minute(At(now.0 - 1_000), now), "01:59 UTC");
        assert_eq!(minute(At(0), now), "1970-01-01 00:00 UTC");
    }

    #[test]
    fn a_number_keeps_its_unit_on_its_line() {
        let told = bound("41 of 43 (95 %), for 5 min 53 s; since 02:14:07 UTC: a 7 st, pod-7 s3");
        let wanted =
            "41 of 43 (95\u{a0}%), for 5\u{a0}min 53\u{a0}s; since 02:14:07\u{a0}UTC: a 7 st, pod-7 s3";
        assert_eq!(told, wanted);
        assert_eq!(bound(""), "");
    }

    #[test]
    fn percent_is_written_in_one_way() {
        let told = ["memory is over 85%", "87.4 %", "50%: 100%", "%d"].map(percent);
        assert_eq!(told, ["memory is over 85 %", "87.4 %", "50 %: 100 %", "%d"]);
    }

    #[test]
    fn a_share_is_never_rounded_to_nothing_or_all() {
        assert_eq!([share(41, 43), share(1, 10_000), share(9_999, 10_000)], ["95 %", "0.1 %", "99.9 %"]);
        assert_eq!([share(0, 9), share(9, 9), share(0, 0)], ["0 %", "100 %", "-"]);
        assert_eq!([part(41, 43), part(0, 43), part(43, 43)], ["41 of 43", "none of 43", "all 43"]);
    }

    #[test]
    fn a_long_list_says_how_many_more_there_are() {
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(list(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }

    #[test]
    fn a_foreign_text_stays_on_its_line_and_within_its_bounds() {
        assert_eq!(line(" a\r\nBcc: x\u{202e}y\u{1b}[2J "), "a  Bcc: x y [2J");
        assert_eq!(line(&"ä".repeat(1_000)).chars().count(), FOREIGN);
    }
}
