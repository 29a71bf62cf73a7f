//! What each side saw of each request: one row per number.

/// How a request ended for the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum How {
    /// Its head never left in whole.
    #[default]
    Unsent,
    /// It left, behind one that ended the connection.
    Behind,
    /// The client left before it had a whole answer.
    Left,
    /// The connection ended before an answer.
    Nothing,
    /// The answer broke off.
    Cut,
    /// A whole answer.
    Whole,
}

/// The client's row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// How it ended.
    pub how: How,
    /// Of the answer's head; 0: there was none.
    pub status: u16,
    /// Why the answer is the proxy's own.
    pub reason: Option<Reason>,
    /// Bytes of the answer's body, or back from a tunnel.
    pub down: u32,
    /// Bytes into a tunnel.
    pub up: u32,
}

/// What the origin did with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Did {
    /// Nothing yet, or it broke off.
    #[default]
    Nothing,
    /// Part of an answer, or none: as planned.
    AsPlanned,
    /// A whole answer.
    Answered,
}

/// The origin's row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Came {
    /// Heads that came: attempts.
    pub heads: u8,
    /// What became of the last one.
    pub did: Did,
    /// Did its body come in whole?
    pub whole: bool,
    /// Bytes of its body, or into a tunnel.
    pub up: u32,
    /// Bytes back through a tunnel.
    pub down: u32,
}

/// The access log's row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// How often.
    pub lines: u8,
    /// 0: none.
    pub status: u16,
    /// `ok` and so on.
    pub outcome: Option<Outcome>,
    /// Why the answer is the proxy's own.
    pub reason: Option<Reason>,
    /// Has it a route?
    pub routed: bool,
    /// Attempts made.
    pub attempts: u8,
    /// Of the request's body.
    pub received: u32,
    /// Of the answer's body.
    pub sent: u32,
}

/// A word of a closed set, as its place there.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $($word:literal)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(u8);

        impl $name {
            const ALL: &[&str] = &[$($word),*];

            /// The one called `word`.
            pub fn read(word: &str) -> Option<Self> {
                Self::ALL.iter().position(|known| *known == word).map(|at| Self(at as u8))
            }

            /// Its name.
            pub fn word(self) -> &'static str {
                Self::ALL.get(usize::from(self.0)).copied().unwrap_or_default()
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// `X-Strop-Reason`, and why an answer broke off.
    Reason:
    "bad_syntax" "bad_version" "head_too_long" "target_too_long" "too_many_fields" "bad_host" "bad_target"
    "length_and_coding" "bad_content_length" "bad_transfer_encoding" "unknown_transfer_coding" "bad_chunk"
    "bad_trailer" "unlisted_host" "method_not_served" "breaker_open" "breaker_probing" "breaker_ramping"
    "breaker_held" "upstream_full" "connect_failed" "connect_timeout" "upstream_timeout" "connection_broken"
    "bad_upstream_answer" "client_gone" "body_broken" "body_timeout" "head_timeout" "no_route"
}

words! {
    /// How an exchange ended, by the metrics.
    Outcome:
    "ok" "client_error" "server_error" "refused" "timeout" "upstream_failed" "client_gone"
}
