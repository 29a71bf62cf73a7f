//! HTTP/1.1 (RFC 9112), our own codec: strict in what it accepts, verbatim in what it passes on.
//!
//! [`parse`] and [`chunked`] are functions over bytes; [`mod@write`] makes the outgoing head; [`conn`] and [`reader`]
//! put them on a stream; [`pump`] sends a body. One task owns a connection, so nothing here locks.

pub mod chunked;
pub mod conn;
pub mod parse;
pub mod pump;
pub mod reader;
pub mod upload;
pub mod write;

/// Why bytes are not a message that can be passed on without doubt about its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// Not the shape of a head: a bad start line, bad bytes in a field, a bare CR or LF, a folded line.
    #[error("the head is not HTTP/1.1")]
    Syntax,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("the HTTP version is not supported")]
    Version,
    /// More bytes than the limit.
    #[error("the head is too long")]
    TooLong,
    /// The request target alone is longer than the limit.
    #[error("the request target is too long")]
    TargetTooLong,
    /// More fields than the limit.
    #[error("the head has too many fields")]
    TooManyFields,
    /// No `Host`, several, or not a host.
    #[error("the Host field is missing, repeated or not a host")]
    Host,
    /// A target that is none of the four forms.
    #[error("the request target is not valid")]
    Target,
    /// Both `Content-Length` and `Transfer-Encoding`: two ends of one body.
    #[error("both Content-Length and Transfer-Encoding are present")]
    LengthAndCoding,
    /// Not one plain decimal number.
    #[error("the Content-Length is not one decimal number")]
    Length,
    /// `chunked` is not the only and last coding, or came in HTTP/1.0.
    #[error("the Transfer-Encoding is not exactly chunked")]
    Coding,
    /// A coding we do not know.
    #[error("the transfer coding is not supported")]
    UnknownCoding,
    /// A size, an extension or a line end of a chunk that is not valid.
    #[error("the chunked body is not valid")]
    Chunk,
    /// Bad or too many trailer fields.
    #[error("the trailer section is not valid")]
    Trailer,
}

impl Malformed {
    /// All of them, for metrics.
    pub const ALL: [Self; 13] = [
        Self::Syntax,
        Self::Version,
        Self::TooLong,
        Self::TargetTooLong,
        Self::TooManyFields,
        Self::Host,
        Self::Target,
        Self::LengthAndCoding,
        Self::Length,
        Self::Coding,
        Self::UnknownCoding,
        Self::Chunk,
        Self::Trailer,
    ];

    /// What a client is told when its request is refused for this.
    pub fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::TooLong | Self::TooManyFields => 431,
            Self::TargetTooLong => 414,
            Self::UnknownCoding => 501,
            Self::Syntax
            | Self::Host
            | Self::Target
            | Self::LengthAndCoding
            | Self::Length
            | Self::Coding
            | Self::Chunk
            | Self::Trailer => 400,
        }
    }

    /// The metric label and the `X-Strop-Reason`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Syntax => "bad_syntax",
            Self::Version => "bad_version",
            Self::TooLong => "head_too_long",
            Self::TargetTooLong => "target_too_long",
            Self::TooManyFields => "too_many_fields",
            Self::Host => "bad_host",
            Self::Target => "bad_target",
            Self::LengthAndCoding => "length_and_coding",
            Self::Length => "bad_content_length",
            Self::Coding => "bad_transfer_encoding",
            Self::UnknownCoding => "unknown_transfer_coding",
            Self::Chunk => "bad_chunk",
            Self::Trailer => "bad_trailer",
        }
    }
}

/// Why no head could be read.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// The bytes are not a head.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The connection broke before or within the head.
    #[error("the connection broke")]
    Io(#[source] std::io::Error),
    /// The peer closed before the first byte of a head.
    #[error("the connection was closed")]
    Closed,
    /// The peer closed within a head.
    #[error("the connection was closed within the head")]
    Truncated,
    /// It is longer than a standard buffer, and there is no memory for that.
    #[error("there is no memory for so long a head")]
    NoMemory,
}
