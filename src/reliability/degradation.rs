//! Degradation: what stands in for an answer that an upstream does not give.
//!
//! A stand-in never says more than is known: one that claims success answers only requests that read, and an answer that
//! the upstream did give is left alone unless the operator asks otherwise.

/// What a request asks for, as far as a stand-in depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// GET or HEAD: it changes nothing.
    Reading,
    /// Anything else: whether it was done is not known.
    Writing,
    /// A tunnel or an upgrade: any 2xx would begin it.
    Upgrade,
}

/// What came of asking the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It could not be asked, or did not answer.
    Missing,
    /// It answered with this status.
    Status(u16),
}

/// When the fallback answer of a route is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FallbackPolicy {
    /// The status of the fallback answer.
    pub status: u16,
    /// Also in the place of the upstream's own 500, 502, 503 and 504.
    pub on_5xx: bool,
}

impl FallbackPolicy {
    /// Is the fallback given to this request?
    pub fn stands_in(self, asked: Asked, reply: Reply) -> bool {
        let lacking = match reply {
            Reply::Missing => true,
            // The statuses of RFC 5861 section 4: the others say something of the request.
            Reply::Status(status) => self.on_5xx && matches!(status, 500 | 502 | 503 | 504),
        };
        let true_of_it = match asked {
            Asked::Reading => true,
            Asked::Writing => self.status >= 400,
            Asked::Upgrade => false,
        };
        lacking && true_of_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: FallbackPolicy = FallbackPolicy { status: 200, on_5xx: false };
    const DOWN: FallbackPolicy = FallbackPolicy { status: 503, on_5xx: false };

    #[test]
    fn a_success_that_nobody_has_seen_is_told_to_readers_alone() {
        assert!(OK.stands_in(Asked::Reading, Reply::Missing));
        assert!(!OK.stands_in(Asked::Writing, Reply::Missing), "a write may have been done, or not");
        assert!(DOWN.stands_in(Asked::Writing, Reply::Missing));
        assert!([OK, DOWN].iter().all(|policy| !policy.stands_in(Asked::Upgrade, Reply::Missing)));
    }

    #[test]
    fn an_answer_of_the_upstream_stays_unless_it_is_asked_for_and_says_that_it_is_down() {
        let all = |policy: FallbackPolicy| -> Vec<u16> {
            let stands_in = |status: &u16| policy.stands_in(Asked::Reading, Reply::Status(*status));
            (100..600).filter(stands_in).collect()
        };
        assert_eq!(all(OK), [0_u16; 0]);
        assert_eq!(all(FallbackPolicy { on_5xx: true, ..OK }), [500, 502, 503, 504]);
    }
}
