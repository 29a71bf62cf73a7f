//! What a reader made of a stream of bytes, in words that both readers share.

use strop::message::h1::Malformed;

/// Fields by name in lower case, in the order in which the names first came; the values of each in their order. That is
/// as much as `http::HeaderMap` keeps.
pub(crate) type Fields = Vec<(String, Vec<Vec<u8>>)>;

pub(crate) fn fields<'a>(lines: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Fields {
    let mut all: Fields = Vec::new();
    for (name, value) in lines {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value.to_vec()),
            None => all.push((name, vec![value.to_vec()])),
        }
    }
    all
}

/// A message that was accepted, to the end of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Method, scheme, authority, path, version; or version, status, reason.
    pub(crate) start: Vec<String>,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
}

/// Why no other message follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The bytes were over.
    Over,
    /// The last message was the last one on its connection, or the connection became a tunnel.
    Last,
    /// Strop's reason, which has a name.
    Refused(Malformed),
    /// Hyper's reason, and everything else.
    Broken(String),
}

/// All that one reader made of the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) messages: Vec<Message>,
    /// Where each message began, and where the next one would; Strop's alone.
    pub(crate) starts: Vec<usize>,
    pub(crate) end: End,
    /// Bytes that belong to no message.
    pub(crate) rest: Vec<u8>,
}

/// The authority that a request is for: its target's, or that of `Host`.
pub(crate) fn authority(of_target: Option<&str>, fields: &Fields) -> String {
    let host = fields.iter().find(|(name, _)| name == "host").and_then(|(_, values)| values.first());
    let host = host.map(|value| String::from_utf8_lossy(value).into_owned());
    of_target.map(str::to_owned).or(host).unwrap_or_default()
}
