//! Who has logged in: a cookie that holds until when, signed with the token itself.
//!
//! Nothing is kept here: another token ends all sessions, a restart of the sidecar none. The cookie is of its port, since a
//! browser gives those of one host to all its ports; scripts cannot read it, and no other site can have it sent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};

use crate::net::sign;

/// So long a session lasts.
const LASTS: Duration = Duration::from_secs(12 * 3_600);
/// What is signed is a session, whatever else the token may sign.
const MEANS: &[u8] = b"strop session until ";

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn name(port: u16) -> String {
    format!("strop_session_{port}")
}

fn cookie(port: u16, value: &str, age: Duration) -> Option<HeaderValue> {
    let (name, age) = (name(port), age.as_secs());
    // Digits, hex and a name: a field may hold them.
    HeaderValue::from_str(&format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict")).ok()
}

/// The field `Set-Cookie` of a session that begins now.
pub(super) fn begin(port: u16, token: &SecretString, now: SystemTime) -> Option<HeaderValue> {
    let until = seconds(now + LASTS).to_string();
    let signed = sign::signed(token.expose_secret(), &[MEANS, until.as_bytes()]);
    cookie(port, &format!("{until}.{signed}"), LASTS)
}

/// The field that has the browser forget it.
pub(super) fn end(port: u16) -> Option<HeaderValue> {
    cookie(port, "over", Duration::ZERO)
}

/// Does this request come from a browser that has logged in?
pub(in crate::admin) fn holds(headers: &HeaderMap, port: u16, token: &SecretString, now: SystemTime) -> bool {
    let name = name(port);
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(key, _)| *key == name).any(|(_, value)| {
        let Some((until, signed)) = value.split_once('.') else { return false };
        // What is signed says until when.
        let genuine = sign::is_signed(token.expose_secret(), &[MEANS, until.as_bytes()], signed);
        genuine && until.parse::<u64>().is_ok_and(|until| seconds(now) < until)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(set: Option<HeaderValue>) -> HeaderMap {
        let set = set.expect("a field");
        let pair = set.to_str().expect("text").split(';').next().expect("a pair").to_owned();
        let mut headers = HeaderMap::new();
        let field = format!("other=1; {pair}");
        headers.insert(header::COOKIE, HeaderValue::from_str(&field).expect("a field"));
        headers
    }

    #[test]
    fn a_session_holds_for_its_token_its_port_and_its_time_alone() {
        let (token, other) = (SecretString::from("correct horse"), SecretString::from("battery"));
        let now = UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let headers = sent(begin(9_901, &token, now));
        assert!(holds(&headers, 9_901, &token, now));
        assert!(holds(&headers, 9_901, &token, now + LASTS - Duration::from_secs(1)));
        assert!(!holds(&headers, 9_901, &token, now + LASTS), "it is over");
        assert!(!holds(&headers, 9_901, &other, now), "the token was changed");
        assert!(!holds(&headers, 9_902, &token, now), "another sidecar's");
        assert!(!holds(&sent(end(9_901)), 9_901, &token, now));
        assert!(!holds(&HeaderMap::new(), 9_901, &token, now));
    }

    #[test]
    fn a_session_cannot_be_made_longer() {
        let token = SecretString::from("correct horse");
        let now = UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let made = begin(9_901, &token, now).expect("a field");
        let made = made.to_str().expect("text");
        let longer = made.replacen(&seconds(now + LASTS).to_string(), "9999999999", 1);
        assert_ne!(made, longer);
        assert!(!holds(&sent(HeaderValue::from_str(&longer).ok()), 9_901, &token, now));
    }
}
