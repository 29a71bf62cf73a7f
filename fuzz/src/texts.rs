//! Texts that others wrote: trace contexts, addresses, ids, dates, configurations.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use strop::message::fields::{self, Trace};
use strop::message::head::HeadStore;
use strop::reliability::verdict::{RETRY_AFTER_CAP, parse_retry_after};

pub fn fields(data: &[u8]) {
    let [choice, bytes @ ..] = data else { return };
    match choice % 3 {
        0 => trace(bytes),
        1 => client_ip(bytes, choice / 3 % 5),
        _ => id(bytes),
    }
}

fn trace(bytes: &[u8]) {
    let Some(trace) = Trace::read(bytes) else { return };
    assert!(trace.trace_id != [0; 16] && trace.parent != [0; 8]);
    let known = bytes.get(..55).expect("at least as long as version 00");
    assert!(known.is_ascii() && !known.iter().any(u8::is_ascii_uppercase));
    let mut out = Vec::new();
    trace.write(trace.parent, &mut out);
    assert_eq!(out.len(), 55);
    assert_eq!(Trace::read(&out), Some(trace), "what is written is read");
    assert_eq!(&out[2..], &bytes[2..55], "and is what came, but for its version");
    assert!(bytes.len() == 55 || bytes.get(55) == Some(&b'-') && !bytes.starts_with(b"00"));
}

/// One field line per line of the input; an address for each item, as a list written out would have it.
fn client_ip(bytes: &[u8], trusted: u8) {
    let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let mut store = HeadStore::default();
    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
    lines.iter().for_each(|line| store.push(b"X-Forwarded-For", line));
    let listed = lines.join(&b","[..]);
    let mut expected = peer;
    for item in listed.rsplit(|b| *b == b',').take(usize::from(trusted)) {
        match std::str::from_utf8(item.trim_ascii()).ok().and_then(|text| text.parse().ok()) {
            Some(ip) => expected = ip,
            None => break,
        }
    }
    if lines.is_empty() {
        expected = peer;
    }
    let found = fields::client_ip(&store, peer, trusted);
    assert_eq!(found, expected, "{trusted} hops of {:?}", String::from_utf8_lossy(bytes));
    let mut out = Vec::new();
    fields::put_forwarded_for(&mut out, found);
    let text = String::from_utf8(out).expect("text");
    let bare = text.trim_start_matches("for=").trim_matches(['"', '[', ']']);
    assert_eq!(bare.parse(), Ok(found));
}

fn id(bytes: &[u8]) {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b);
    let fits = !bytes.is_empty() && bytes.len() <= 128 && bytes.iter().all(plain);
    assert_eq!(fields::is_request_id(bytes), fits);
}

/// Eight bytes of clock, then the text.
pub fn retry_after(data: &[u8]) {
    let Some((clock, text)) = data.split_first_chunk::<8>() else { return };
    let wall = u64::from_be_bytes(*clock) % (1 << 38);
    if let Ok(text) = std::str::from_utf8(text) {
        let read = parse_retry_after(text, wall, RETRY_AFTER_CAP);
        assert!(read.is_none_or(|wait| wait <= RETRY_AFTER_CAP));
        assert_eq!(read, plainly(text.trim(), wall), "{text:?}");
    }
    let at = wall % 253_402_300_800; // up to the year 9999
    let now = at.saturating_sub(7);
    let written = http_date(at);
    assert_eq!(
        parse_retry_after(&written, now, RETRY_AFTER_CAP),
        Some(Duration::from_secs(at - now)),
        "{written}"
    );
}

/// Digits, or exactly what [`http_date`] writes (the day of the week and a leap second aside).
fn number_of(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The two obsolete forms of a date, word by word, in today's form.
fn obsolete(text: &str, wall: u64) -> Option<String> {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        [day, date, time, "GMT"] if day.ends_with("day,") => {
            let [date, month, year] = date.split('-').collect::<Vec<_>>().try_into().ok()?;
            let day = DAYS.iter().find(|known| day.len() > 6 && day.starts_with(**known))?;
            let full = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
            full.iter().find(|full| format!("{full},") == words[0])?;
            let now = 1970 + wall / 31_556_952;
            let years = (now.saturating_sub(49)..=now + 50).filter(|_| number_of(year) && year.len() == 2);
            let year = years.rev().find(|known| known % 100 == year.parse::<u64>().unwrap_or(100))?;
            Some(format!("{day}, {date} {month} {year} {time} GMT"))
        }
        [day, month, "", date, time, year] if date.len() == 1 => {
            Some(format!("{day}, 0{date} {month} {year} {time} GMT")).filter(|_| text.len() == 24)
        }
        [day, month, date, time, year] => Some(format!("{day}, {date} {month} {year} {time} GMT"))
            .filter(|_| text.len() == 24 && day.len() == 3),
        _ => None,
    }
}

fn plainly(text: &str, wall: u64) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)).min(RETRY_AFTER_CAP));
    }
    if let Some((whole, part)) =
        text.split_once('.').filter(|(whole, part)| [whole, part].iter().all(|text| number_of(text)))
    {
        let part: String = part.chars().chain("000".chars()).take(3).collect();
        let whole = Duration::from_secs(whole.parse().unwrap_or(u64::MAX).min(1_000));
        return Some(
            (whole + Duration::from_millis(part.parse().expect("three digits"))).min(RETRY_AFTER_CAP),
        );
    }
    if let Some(same) = obsolete(text, wall) {
        return plainly(&same, wall);
    }
    let (day, rest) = text.split_at_checked(5).filter(|(day, _)| day.ends_with(", "))?;
    DAYS.iter().find(|known| day.starts_with(**known))?;
    // Every second of 8030 years is too many to try: the fields say which one it would be, and writing it proves it.
    let number = |from: usize, len: usize| rest.get(from..from + len)?.parse::<u64>().ok();
    let month = MONTHS.iter().position(|month| rest.get(3..6) == Some(month))? as u64;
    let (date, year) = (number(0, 2)?, number(7, 4)?);
    let (hour, minute, second) = (number(12, 2)?, number(15, 2)?, number(18, 2)?);
    let days: u64 = (1970..year).map(|year| 365 + u64::from(is_leap(year))).sum::<u64>()
        + (0..month).map(|month| days_of(month, year)).sum::<u64>()
        + date.checked_sub(1)?;
    let at = days * 86_400 + hour * 3_600 + minute * 60;
    let (shown, wanted) =
        if second == 60 { (59, rest.replacen(":60 ", ":59 ", 1)) } else { (second, rest.to_owned()) };
    let same = shown < 60 && http_date(at + shown).get(5..) == Some(wanted.as_str());
    same.then(|| Duration::from_secs((at + second).saturating_sub(wall)).min(RETRY_AFTER_CAP))
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(month: u64, year: u64) -> u64 {
    match month {
        1 => 28 + u64::from(is_leap(year)),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, by counting.
fn http_date(at: u64) -> String {
    let (mut days, rest) = (at / 86_400, at % 86_400);
    let name = DAYS[days as usize % 7];
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 0;
    while days >= days_of(month, year) {
        days -= days_of(month, year);
        month += 1;
    }
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    let month = MONTHS[month as usize];
    format!("{name}, {:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT", days + 1)
}

/// The lines that begin with `STROP__` are the environment, the rest is the file.
pub fn config(data: &[u8]) {
    let Ok(all) = std::str::from_utf8(data) else { return };
    let (env, text): (Vec<&str>, Vec<&str>) = all.split('\n').partition(|line| line.starts_with("STROP__"));
    let env: Vec<(String, String)> = env
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let text = text.join("\n");
    match strop::config::load(&text, "fuzz", &env) {
        Ok(config) => {
            assert!(config.upstreams.is_sorted_by(|a, b| a.name.as_str() < b.name.as_str()));
            // No prefix is hidden by one that stands before it.
            let below = |route: &strop::config::Route| {
                route.path.prefix().map(|path| (route.host.clone(), path.trim_end_matches('/').to_owned()))
            };
            let prefixes: Vec<_> = config.routes.iter().filter_map(|route| below(route)).collect();
            for (at, (host, inner)) in prefixes.iter().enumerate() {
                let hides = |(other, outer): &(Option<String>, String)| {
                    (other.is_none() || other == host)
                        && inner.len() > outer.len() + 1
                        && inner.strip_prefix(outer.as_str()).is_some_and(|rest| rest.starts_with('/'))
                };
                assert!(!prefixes[..at].iter().any(hides), "{inner} comes too late");
            }
            let known = |name: &strop::names::UpstreamName| {
                config.upstreams.iter().any(|upstream| upstream.name == *name)
            };
            assert!(config.routes.iter().all(|route| known(&route.upstream)));
            assert!(config.ingress.as_ref().is_none_or(|ingress| known(&ingress.upstream)));
            assert!(
                config.effective()["upstreams"]
                    .as_object()
                    .is_some_and(|all| all.len() == config.upstreams.len())
            );
            let nothing = strop::config::diff::diff(&config, &config);
            assert!(nothing.applied.is_empty() && nothing.needs_restart.is_empty());
        }
        Err(problems) => {
            assert!(!problems.all.is_empty(), "what cannot run says why");
            let told = problems.to_string();
            let lines = text.split('\n').count();
            for problem in &problems.all {
                assert!(!problem.message.is_empty(), "{told}");
                // Each has its place: in the file or in a variable.
                match &problem.variable {
                    None => assert!((1..=lines).contains(&problem.line) && problem.column >= 1, "{told}"),
                    Some(name) => {
                        assert!(problem.line == 0 && env.iter().any(|(set, _)| set == name), "{told}")
                    }
                }
            }
        }
    }
}
