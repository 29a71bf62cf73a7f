//! From a head to a field block: the fields that pass, and those that change.

use super::head::stays;
use super::hpack::Encoder;
use crate::message::h1::write::Edits;
use crate::message::head::{
    HeadStore, Known, KnownSet, RequestHead, ResponseHead, Version, is_ours, is_twin,
};

fn fields(encoder: &mut Encoder, out: &mut Vec<u8>, store: &HeadStore, keep: impl Fn(Known, &[u8]) -> bool) {
    for field in &store.fields {
        let name = field.name.of(&store.bytes);
        if field.hop || stays(field.known) || !keep(field.known, name) {
            continue;
        }
        let value = field.value.of(&store.bytes);
        if field.sensitive {
            encoder.sensitive(name, value, out);
        } else {
            encoder.field(name, value, out);
        }
    }
}

/// Field lines as [`Edits::add`] has them.
fn lines(encoder: &mut Encoder, out: &mut Vec<u8>, lines: &[u8]) {
    for line in lines.split(|b| *b == b'\n') {
        if let Some(at) = memchr::memchr(b':', line) {
            let (name, value) = line.split_at(at);
            encoder.field(name, value.get(1..).unwrap_or_default().trim_ascii(), out);
        }
    }
}

/// Writes the head of a request.
pub fn request(
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    head: &RequestHead,
    edits: &Edits<'_>,
    scheme: &[u8],
) {
    encoder.method(head.method_bytes(), out);
    asked(encoder, out, head, edits, scheme);
}

/// Writes the head of a request for a WebSocket on the stream (RFC 8441 section 5): the key belongs to the handshake of
/// HTTP/1.1, and no body has a length.
pub fn websocket(
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    head: &RequestHead,
    edits: &Edits<'_>,
    scheme: &[u8],
) {
    encoder.method(b"CONNECT", out);
    encoder.field(b":protocol", b"websocket", out);
    let drop = edits.drop.with(Known::SecWebSocketKey).with(Known::ContentLength);
    asked(encoder, out, head, &Edits { drop, ..*edits }, scheme);
}

/// What follows the method.
fn asked(encoder: &mut Encoder, out: &mut Vec<u8>, head: &RequestHead, edits: &Edits<'_>, scheme: &[u8]) {
    encoder.scheme(scheme, out);
    let own = head.authority_bytes();
    encoder.authority(edits.host.map_or(own, str::as_bytes), out);
    encoder.path(head.origin_form().as_bytes(), out);
    // An HTTP/1.1 client that waits for 100 has been told to go on.
    let invited = head.version != Version::H2;
    fields(encoder, out, &head.store, |known, name| {
        let ours = known == Known::Host || (invited && known == Known::Expect);
        let forged = edits.no_twins && is_twin(name) || edits.foreign && is_ours(name);
        !(ours || edits.drop.has(known) || forged)
    });
    lines(encoder, out, edits.add);
    if head.takes_trailers {
        encoder.field(b"te", b"trailers", out);
    }
}

/// Writes the head of an answer.
pub fn answer(encoder: &mut Encoder, out: &mut Vec<u8>, head: &ResponseHead, edits: &Edits<'_>) {
    encoder.status(head.status, out);
    fields(encoder, out, &head.store, |known, name| {
        !(edits.drop.has(known) || edits.foreign && is_ours(name))
    });
    lines(encoder, out, edits.add);
}

/// Writes an interim answer as it came.
pub fn interim(encoder: &mut Encoder, out: &mut Vec<u8>, head: &ResponseHead) {
    answer(encoder, out, head, &Edits { drop: KnownSet::of(&[Known::ContentLength]), ..Edits::default() });
}

/// Writes what follows a body.
pub fn trailers(encoder: &mut Encoder, out: &mut Vec<u8>, trailers: &HeadStore) {
    fields(encoder, out, trailers, |_, _| true);
}
