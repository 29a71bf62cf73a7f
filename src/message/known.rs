//! The fields that the proxy itself reads or writes.

macro_rules! known {
    ($($variant:ident = $text:literal),* $(,)?) => {
        /// Fields that the proxy itself reads or writes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        #[repr(u8)]
        pub enum Known { $($variant,)* Other }

        impl Known {
            /// Which one `name` is, in any case.
            pub fn of(name: &[u8]) -> Self {
                $(if name.len() == $text.len() && name.eq_ignore_ascii_case($text.as_bytes()) { return Self::$variant; })*
                Self::Other
            }

            /// The field's name in lower case; empty for [`Known::Other`].
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Other => "" }
            }
        }
    };
}

known! {
    Host = "host",
    Connection = "connection",
    ContentLength = "content-length",
    TransferEncoding = "transfer-encoding",
    KeepAlive = "keep-alive",
    ProxyConnection = "proxy-connection",
    ProxyAuthorization = "proxy-authorization",
    ProxyAuthenticate = "proxy-authenticate",
    Te = "te",
    Trailer = "trailer",
    Upgrade = "upgrade",
    Http2Settings = "http2-settings",
    Expect = "expect",
    XForwardedFor = "x-forwarded-for",
    XForwardedProto = "x-forwarded-proto",
    XForwardedHost = "x-forwarded-host",
    Forwarded = "forwarded",
    Via = "via",
    RequestId = "x-request-id",
    SreDegraded = "x-sre-degraded",
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    RetryAfter = "retry-after",
    Date = "date",
    GrpcStatus = "grpc-status",
    SecWebSocketAccept = "sec-websocket-accept",
    SecWebSocketKey = "sec-websocket-key",
}

/// Is `name` another spelling of a field that the proxy sets for the server behind it? Servers that hand fields on as
/// CGI variables (WSGI, PHP, Rack) make the same of `X_Forwarded_For` and `X-Forwarded-For`.
pub fn is_twin(name: &[u8]) -> bool {
    const SET: [Known; 5] = [
        Known::XForwardedFor,
        Known::XForwardedProto,
        Known::XForwardedHost,
        Known::RequestId,
        Known::SreDegraded,
    ];
    let same = |known: &Known| {
        let text = known.text().as_bytes();
        let one = |(sent, wanted): (&u8, &u8)| {
            sent.eq_ignore_ascii_case(wanted) || (*sent, *wanted) == (b'_', b'-')
        };
        text.len() == name.len() && name.iter().zip(text).all(one)
    };
    name.contains(&b'_') && SET.iter().any(same)
}

/// Does the name say that the proxy itself wrote it? What others write under it goes no further.
pub fn is_ours(name: &[u8]) -> bool {
    begins_with(name, b"x-strop-")
}

/// Does the text begin so, whatever the case of its letters?
pub fn begins_with(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(start))
}

/// A set of [`Known`] fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownSet(u64);

impl KnownSet {
    /// The set of `fields`.
    pub const fn of(fields: &[Known]) -> Self {
        let mut set = Self(0);
        let mut at = 0;
        while at < fields.len() {
            set = set.with(fields[at]);
            at += 1;
        }
        set
    }

    /// With `field` in it. [`Known::Other`] is never in a set.
    #[must_use]
    pub const fn with(self, field: Known) -> Self {
        if matches!(field, Known::Other) { self } else { Self(self.0 | 1 << field as u8) }
    }

    /// With all of `others` in it.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Is `field` in it?
    pub const fn has(self, field: Known) -> bool {
        !matches!(field, Known::Other) && self.0 & (1 << field as u8) != 0
    }
}

/// Fields that never leave the hop they came by (RFC 9110 section 7.6.1), whatever `Connection` names.
pub const HOP_BY_HOP: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::ProxyAuthorization,
    Known::ProxyAuthenticate,
    Known::Te,
    Known::Upgrade,
    Known::Http2Settings,
]);
