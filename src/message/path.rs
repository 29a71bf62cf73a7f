//! Paths as the servers behind read them: a copy in one spelling, to match routes by. What is sent on is what came.
//!
//! RFC 3986 section 6.2.2: unreserved characters are not percent-encoded, there are no dot segments. As nginx and most
//! frameworks read them, several slashes are one.

use std::borrow::Cow;

/// Is it in a path as it is sent, the query left off?
pub fn is_sent(letter: char) -> bool {
    letter.is_ascii_graphic() && !matches!(letter, '?' | '#')
}

/// May the path be spelled otherwise? Most are not, and are matched as they came.
fn is_plain(path: &[u8]) -> bool {
    !path.contains(&b'%') && !path.windows(2).any(|two| matches!(two, b"//" | b"/."))
}

/// The path in its one spelling.
pub fn normal(path: &[u8]) -> Cow<'_, [u8]> {
    if is_plain(path) || !path.starts_with(b"/") {
        return Cow::Borrowed(path);
    }
    let decoded = decoded(path);
    let mut out: Vec<u8> = Vec::with_capacity(decoded.len());
    let mut segments = decoded.split(|b| *b == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"" if !last => {}
            b"." | b".." => {
                if segment == b".." {
                    let end = out.iter().rposition(|b| *b == b'/').unwrap_or(0);
                    out.truncate(end);
                }
                if last {
                    out.push(b'/');
                }
            }
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    Cow::Owned(out)
}

/// Without percent-encoding of what needs none.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        match unreserved(rest) {
            Some(byte) => {
                out.push(byte);
                rest = rest.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

/// What `%XX` at the beginning stands for, when it is a character that needs no encoding.
fn unreserved(text: &[u8]) -> Option<u8> {
    let byte = encoded(text)?;
    (byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')).then_some(byte)
}

fn encoded(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Does it hold what one server takes for the end of a segment and another for a part of it: an encoded slash or
/// backslash, a backslash, a semicolon?
pub fn is_ambiguous(path: &[u8]) -> bool {
    let at = |nth: usize| path.get(nth..).and_then(encoded).is_some_and(|byte| matches!(byte, b'/' | b'\\'));
    path.iter().enumerate().any(|(nth, byte)| match byte {
        b';' | b'\\' => true,
        b'%' => at(nth),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(path: &str) -> String {
        String::from_utf8(normal(path.as_bytes()).into_owned()).expect("text")
    }

    #[test]
    fn every_spelling_of_a_path_is_the_same() {
        for spelled in
            ["/up", "/%75p", "/./up", "/x/../up", "//up", "/%2e/up", "/%78/%2E%2e/up", "///./up", "/../up"]
        {
            assert_eq!(told(spelled), "/up", "{spelled}");
        }
        for (spelled, same) in [
            ("/", "/"),
            ("//", "/"),
            ("/a/", "/a/"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a//b/", "/a/b/"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%20b", "/a%20b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a..b/...", "/a..b/..."),
            ("/%", "/%"),
            ("/%zz", "/%zz"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(told(spelled), same, "{spelled}");
        }
    }

    #[test]
    fn what_two_servers_read_differently_is_ambiguous() {
        for path in ["/a%2fb", "/a%2Fb", "/a%5cb", "/a\\b", "/a;b"] {
            assert!(is_ambiguous(path.as_bytes()), "{path}");
        }
        for path in ["/a/b", "/a%20b", "/%2", "/a%2", "/"] {
            assert!(!is_ambiguous(path.as_bytes()), "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_normal_stays_so(path in "/[a-c./%2eE5F;]{0,24}") {
            let once = normal(path.as_bytes()).into_owned();
            // A decoded percent sign begins nothing: it is none that needs no encoding.
            prop_assert_eq!(normal(&once).into_owned(), once.clone());
            prop_assert!(once.starts_with(b"/") && !once.windows(2).any(|two| two == b"//"));
            let dots = |segment: &[u8]| segment == b"." || segment == b"..";
            prop_assert!(!once.split(|b| *b == b'/').any(dots), "{}", String::from_utf8_lossy(&once));
        }
    }
}
