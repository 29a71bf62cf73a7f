//! What the two sides can do to a request, and to the proxy between them.

macro_rules! deeds {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the origin does; it reads it in the path.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Deed { $($(#[$doc])* $name,)* }

        impl Deed {
            /// All of them, each with its name in a path.
            const ALL: &[(Self, &str)] = &[$((Self::$name, stringify!($name)),)*];
        }
    };
}

deeds! {
    /// Answers by length.
    Length,
    /// Answers in chunks.
    Chunked,
    /// Answers in chunks, with a trailer.
    Trailers,
    /// Answers until it ends its side.
    UntilClose,
    /// 204.
    NoContent,
    /// 304.
    NotModified,
    /// 103, then an answer.
    Hints,
    /// Answers after a few milliseconds.
    Slow,
    /// Answers after half a second: for the end of the day.
    Late,
    /// Answers, says that it closes and closes.
    CloseSaid,
    /// Answers and closes without a word.
    CloseUnsaid,
    /// Answers, with bytes behind the answer that nobody asked for.
    Surplus,
    /// Answers before it has read the body, which it then reads.
    Early,
    /// Answers before it has read the body, and closes.
    EarlyClose,
    /// 500.
    Fails,
    /// 503 with `Retry-After`.
    Busy,
    /// Closes instead of answering.
    CloseBefore,
    /// Resets instead of answering.
    ResetBefore,
    /// Closes within the answer.
    CloseMid,
    /// Resets within the answer.
    ResetMid,
    /// Answers with what is no HTTP.
    Garbage,
    /// Sends back what it gets, until the client closes.
    EchoClientCloses,
    /// Sends back what it gets, until the client has ended its side.
    EchoClientHalfCloses,
    /// Sends back what it gets; the client resets.
    EchoClientResets,
    /// Sends back half of what it gets and closes when it has got all.
    EchoOriginCloses,
    /// Sends back half of what it gets, ends its side, and goes on reading.
    EchoOriginHalfCloses,
    /// Sends back half of what it gets and resets.
    EchoOriginResets,
    /// Sends nothing back and resets.
    EchoOriginMute,
}

impl Deed {
    /// The deeds of a tunnel.
    pub const ECHOES: [Self; 7] = [
        Self::EchoClientCloses,
        Self::EchoClientHalfCloses,
        Self::EchoClientResets,
        Self::EchoOriginCloses,
        Self::EchoOriginHalfCloses,
        Self::EchoOriginResets,
        Self::EchoOriginMute,
    ];

    /// As the path has it.
    pub fn code(self) -> &'static str {
        Self::ALL.iter().find(|(deed, _)| *deed == self).map_or("", |(_, code)| code)
    }

    /// Reads [`Self::code`].
    pub fn read(code: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == code).map(|(deed, _)| *deed)
    }

    /// The names of all of them.
    #[cfg(test)]
    pub fn codes() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|(_, code)| *code)
    }

    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::NoContent => 204,
            Self::NotModified => 304,
            Self::Fails => 500,
            Self::Busy => 503,
            _ if self.is_echo() => 101,
            _ => 200,
        }
    }

    /// Does it make a tunnel?
    pub fn is_echo(self) -> bool {
        Self::ECHOES.contains(&self)
    }

    /// Is its answer a whole one?
    pub fn answers(self) -> bool {
        !matches!(
            self,
            Self::CloseBefore | Self::ResetBefore | Self::CloseMid | Self::ResetMid | Self::Garbage
        )
    }

    /// Of the bytes of a tunnel, how many come back at most?
    pub fn echoed(self, sent: u32) -> u32 {
        match self {
            Self::EchoOriginCloses | Self::EchoOriginHalfCloses | Self::EchoOriginResets => sent / 2,
            Self::EchoOriginMute => 0,
            _ => sent,
        }
    }
}

/// How the client leaves before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Not at all.
    No,
    /// Within the request, after so many thousandths of its bytes.
    Within {
        /// Of 1,000.
        thousandths: u32,
        /// By a reset.
        reset: bool,
    },
    /// While it waits for the answer.
    Waiting {
        /// By a reset.
        reset: bool,
    },
    /// Within the answer.
    Reading {
        /// By a reset.
        reset: bool,
    },
    /// Ends its side after the request and reads the answer.
    Half,
}

/// Requests that are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Length and coding at once.
    LengthAndCoding,
    /// No `Host`.
    NoHost,
    /// A version of HTTP that is not spoken in text.
    Version,
    /// Lines that end with LF alone.
    BareLf,
    /// 70 KiB.
    TooLong,
    /// 120 fields.
    TooManyFields,
    /// A length that is no number.
    Length,
    /// A target that is none.
    Target,
    /// A transfer coding that nobody knows.
    Coding,
}

impl Bad {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::LengthAndCoding,
        Self::NoHost,
        Self::Version,
        Self::BareLf,
        Self::TooLong,
        Self::TooManyFields,
        Self::Length,
        Self::Target,
        Self::Coding,
    ];

    /// What it must lead to.
    pub fn refusal(self) -> (u16, &'static str) {
        match self {
            Self::LengthAndCoding => (400, "length_and_coding"),
            Self::NoHost => (400, "bad_host"),
            Self::Version => (505, "bad_version"),
            Self::BareLf => (400, "bad_syntax"),
            Self::TooLong => (431, "head_too_long"),
            Self::TooManyFields => (431, "too_many_fields"),
            Self::Length => (400, "bad_content_length"),
            Self::Target => (400, "bad_target"),
            Self::Coding => (501, "unknown_transfer_coding"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deed_is_read_as_it_was_written() {
        for (deed, _) in Deed::ALL {
            assert_eq!(Deed::read(deed.code()), Some(*deed));
        }
    }
}
