//! Paths as the templates they look like: what varies from request to request becomes a parameter.
//!
//! Folded is a segment of digits, a UUID, hexadecimal text of eight letters or more with a digit, a date, a mail address, and
//! a long run of letters and digits. All else stays: a word is a word. Whether the guess is right is for people to say.
//!
//! Invariant: what comes out is a template that [`Templates`](super::templates::Templates) takes, and that the path which it
//! was made of matches.

use super::path::{is_sent, normal};

/// Segments of a path that is folded, at most.
const MOST_SEGMENTS: usize = 32;
/// From so many letters and digits in a row on, with both in it, a text is no word.
const LONG_RUN: usize = 12;

/// The template of a path (as it was sent, without the query); `None`: it cannot be written as one.
pub fn folded(path: &[u8]) -> Option<String> {
    let path = normal(path);
    let text = std::str::from_utf8(&path).ok()?;
    let rest = text.strip_prefix('/')?;
    let is_literal = |c: char| is_sent(c) && !matches!(c, '{' | '}');
    if !text.chars().all(is_literal) || rest.split('/').count() > MOST_SEGMENTS {
        return None;
    }
    let mut template = String::with_capacity(text.len() + 8);
    let mut parameters = 0;
    for segment in rest.split('/') {
        template.push('/');
        if !varies(segment) {
            template.push_str(segment);
            continue;
        }
        parameters += 1;
        match parameters {
            1 => template.push_str("{id}"),
            nth => template.push_str(&format!("{{id_{nth}}}")),
        }
    }
    Some(template)
}

fn varies(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    if segment.contains('@') || segment.contains("%40") {
        return true;
    }
    bytes.iter().any(u8::is_ascii_digit)
        && (bytes.iter().all(u8::is_ascii_digit)
            || is_uuid(bytes)
            || is_hex(bytes)
            || is_date(bytes)
            || has_long_run(segment))
}

/// The form of `template`: a digit for `0`, a hexadecimal one for `f`, the letter itself else.
fn has_form(bytes: &[u8], form: &[u8]) -> bool {
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        b'f' => byte.is_ascii_hexdigit(),
        other => byte == other,
    };
    bytes.len() == form.len() && bytes.iter().zip(form).all(fits)
}

fn is_uuid(bytes: &[u8]) -> bool {
    has_form(bytes, b"ffffffff-ffff-ffff-ffff-ffffffffffff")
}

fn is_hex(bytes: &[u8]) -> bool {
    bytes.len() >= 8 && bytes.iter().all(u8::is_ascii_hexdigit)
}

/// `2026-11-29`, or the beginning of a moment of that day.
fn is_date(bytes: &[u8]) -> bool {
    let (date, rest) = bytes.split_at_checked(10).unwrap_or((bytes, &[]));
    has_form(date, b"0000-00-00") && rest.first().is_none_or(|byte| *byte == b'T')
}

/// Letters and digits in a row that are no word: `cus_NffrFeUfNV2Hib`, a ULID, a token.
fn has_long_run(segment: &str) -> bool {
    segment.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| {
        run.len() >= LONG_RUN
            && run.bytes().any(|byte| byte.is_ascii_digit())
            && run.bytes().any(|byte| byte.is_ascii_alphabetic())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::templates::Templates;
    use super::*;

    #[test]
    fn what_varies_is_a_parameter_and_a_word_is_a_word() {
        for (path, template) in [
            ("/", "/"),
            ("/bookings", "/bookings"),
            ("/bookings/", "/bookings/"),
            ("/bookings/17", "/bookings/{id}"),
            ("/users/17/bookings/23", "/users/{id}/bookings/{id_2}"),
            ("/v1/charges/ch_3MmlLrLkdIwHu7ix0snN0B15", "/v1/charges/{id}"),
            ("/o/0190d4a1-7b2c-7def-8123-456789abcdef/x", "/o/{id}/x"),
            ("/c/deadbeef01", "/c/{id}"),
            ("/u/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/u/{id}"),
            ("/days/2026-11-29", "/days/{id}"),
            ("/at/2026-11-29T10:00:00Z", "/at/{id}"),
            ("/people/ann@example.org", "/people/{id}"),
            ("/people/ann%40example.org", "/people/{id}"),
            ("/api/v2/report-2024/facade", "/api/v2/report-2024/facade"),
            ("/internationalisation/deadbeef", "/internationalisation/deadbeef"),
            ("//a/./b/../%37", "/a/{id}"),
        ] {
            assert_eq!(folded(path.as_bytes()).as_deref(), Some(template), "{path}");
        }
        for bad in ["", "*", "a/b", "/a{b}", "/caf\u{e9}", "/a?b", "/a b", &"/a".repeat(33)] {
            assert_eq!(folded(bad.as_bytes()), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_folded_is_a_template_that_takes_the_path(
            path in prop_oneof![
                "/[ -~]{0,40}",
                "(/([0-9]{1,4}|[a-f0-9]{8,12}|[a-zA-Z0-9_@.-]{0,20}|%[0-9a-f]{2}|\\.\\.?)){0,40}",
                "\\PC{0,40}",
            ]
        ) {
            if let Some(template) = folded(path.as_bytes()) {
                let mut all = Templates::default();
                prop_assert_eq!(all.insert(&template, ()), Ok(()), "{}", template);
                prop_assert!(all.find(&normal(path.as_bytes())).is_some(), "{} {}", path, template);
            }
        }
    }
}
