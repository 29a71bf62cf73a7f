//! The token of the admin port, compared with what a request has with it.

use axum::http::{HeaderMap, header};
use secrecy::{ExposeSecret as _, SecretString};

/// Does the request have the token with it?
pub(super) fn bears(headers: &HeaderMap, wanted: &SecretString) -> bool {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    // The scheme is written in any case (RFC 9110 section 11.1).
    let sent = sent
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or("", |(_, token)| token);
    is_it(sent, wanted)
}

/// Is this the token? Compared in a time that does not tell where the first difference is.
pub(super) fn is_it(said: &str, wanted: &SecretString) -> bool {
    let (said, wanted) = (said.as_bytes(), wanted.expose_secret().as_bytes());
    said.len() == wanted.len() && said.iter().zip(wanted).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}
