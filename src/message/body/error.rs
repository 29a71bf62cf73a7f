//! Why a body ends before its end.

use crate::message::h1::Malformed;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Its framing is wrong.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Its connection ended or broke.
    #[error("the connection ended within the body")]
    Broken(#[source] std::io::Error),
    /// Its HTTP/2 stream was reset.
    #[error("the stream was reset")]
    Reset,
    /// It is longer than its route allows.
    #[error("the body is longer than the limit")]
    TooLong,
    /// Nothing came for too long.
    #[error("nothing came for too long")]
    Idle,
    /// The request that it answers broke off while it was still being sent.
    #[error("the request broke off")]
    Request,
}
