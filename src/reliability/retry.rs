//! Once more, where, after how long? And the budget and the write-safety rule that say no.
//!
//! Decides whether an attempt is followed by another one of the same exchange. Invariants: a request that may have
//! reached an upstream is repeated only when its method is safe or idempotent (RFC 9110 section 9.2.2) or when the
//! upstream knows it by a key ([`VouchedKey`]); after an answer only a safe request is, and a write with such a key whose
//! upstream says that it has done nothing, or in gRPC's words that it is unavailable; an exchange repeats at most twice for nothing (once after a reset, once what was not
//! processed), so no failure is amplified without being paid for; the token of the budget is taken before the wait.

use std::time::{Duration, Instant};

use super::backoff::share;
use super::idempotency::VouchedKey;

/// The `grpc-status` of a service that cannot be used at present, and may be soon: UNAVAILABLE.
const UNAVAILABLE: u16 = 14;

/// When to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts per exchange, 1..=10, beside the two repetitions that are free.
    pub attempts: u32,
    /// Repeat idempotent requests that may have been sent, and writes with a key that is vouched for (off: only a safe
    /// one after a reset, once).
    pub idempotent: bool,
    /// Answers after which a safe request is sent once more: inclusive ranges of statuses. Empty: after none.
    pub statuses: Vec<(u16, u16)>,
    /// The longest `Retry-After` of such an answer that is waited for; a longer one is its client's to wait for.
    pub retry_after_max: Duration,
    /// Retries allowed as a share of requests (percent, 0..=100) over ten seconds, beside `min_per_second`.
    pub budget_percent: u8,
    /// Retries per second that are always allowed.
    pub min_per_second: u32,
    /// The first wait is drawn from 0 to this, each further one from twice the range, at most ten times it
    /// (Envoy's fully jittered back-off).
    pub backoff: Duration,
    /// How long an exchange waits for a connection while the upstream refuses it. Zero: not at all.
    pub wait: Duration,
    /// How long a read that has no body waits for an answer before a second attempt is made beside it, once and paid by the
    /// budget; `None`: as long as it takes.
    pub hedge_after: Option<Duration>,
}

/// Share and rate of the budget are Finagle's, the first back-off is Envoy's; one attempt more is made at most.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 2,
            idempotent: false,
            statuses: Vec::new(),
            retry_after_max: Duration::from_secs(1),
            budget_percent: 20,
            min_per_second: 10,
            backoff: Duration::from_millis(25),
            wait: Duration::ZERO,
            hedge_after: None,
        }
    }
}

impl RetryPolicy {
    /// May an answer with `status` be followed by another attempt?
    pub fn repeats(&self, status: u16) -> bool {
        self.statuses.iter().any(|&(low, high)| (low..=high).contains(&status))
    }

    /// May an answer that is nothing but this `grpc-status` be? UNAVAILABLE says what a 503 says.
    pub fn repeats_grpc(&self, grpc: Option<u16>) -> bool {
        grpc == Some(UNAVAILABLE) && self.repeats(503)
    }
}

/// What had left the process when an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Provably not one byte of the request.
    Nothing,
    /// The upstream says that it took nothing of it.
    Refused,
    /// Perhaps some of the request: the upstream may have acted on it.
    Maybe,
}

/// What may be repeated of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeatable {
    /// What it does that it reaches its upstream twice.
    pub twice: Twice,
    /// All of it is still (or again) here.
    pub whole: bool,
}

/// What a request does that reaches its upstream twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twice {
    /// Nothing, and it is no more than its head: GET, HEAD or OPTIONS without a body.
    Bare,
    /// Nothing: GET, HEAD or OPTIONS with a body.
    Safe,
    /// The same as once, by its method.
    Idempotent,
    /// The same as once, by its key.
    Keyed(VouchedKey),
    /// Perhaps its work twice.
    Harm,
}

/// Why there is another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryReason {
    /// The one before was not processed: it never left, or its upstream says so.
    NotProcessed,
    /// The connection of a safe one ended before the first byte of an answer.
    Reset,
    /// There was no connection, and the exchange waits for one.
    Unconnected,
    /// It failed, and its method is idempotent.
    Idempotent,
    /// It failed or was not begun, and its key is vouched for.
    Key,
    /// The status of the answer to a safe one.
    Status,
    /// A safe one had no answer in time; the one before goes on beside it.
    Hedge,
}

impl RetryReason {
    /// All of them, for metrics.
    pub const ALL: [Self; 7] = [
        Self::NotProcessed,
        Self::Reset,
        Self::Unconnected,
        Self::Idempotent,
        Self::Key,
        Self::Status,
        Self::Hedge,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Self::NotProcessed => "not_processed",
            Self::Reset => "reset",
            Self::Unconnected => "unconnected",
            Self::Idempotent => "idempotent",
            Self::Key => "key",
            Self::Status => "status",
            Self::Hedge => "hedge",
        }
    }
}

/// An answer, as far as another attempt depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnsweredTry {
    /// Status of the head.
    pub status: u16,
    /// `grpc-status`, where the head is the whole answer ("Trailers-Only").
    pub grpc: Option<u16>,
    /// How long the upstream asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The upstream of a write says by it that it has done nothing; see [`is_undone`](super::idempotency::KeyPolicy::is_undone).
    pub undone: bool,
    /// What is left of the exchange's time; `None`: it has no end.
    pub left: Option<Duration>,
}

/// How an attempt failed, as far as another one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedTry {
    /// How much of the request had left.
    pub sent: Sent,
    /// Was there no connection at all?
    pub unconnected: bool,
    /// Did the connection end before the first byte of an answer?
    pub reset: bool,
    /// Had that connection carried an exchange before?
    pub reused: bool,
    /// Is there an endpoint that this exchange has not tried?
    pub another: bool,
}

/// The attempts of one exchange so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Attempts that were made so far.
    pub made: u32,
    /// The free repetition after a reset is spent.
    repeated: bool,
    /// The free repetition of what was not processed is spent.
    resent: bool,
    /// Paid ones and waits so far: lengthens the next wait.
    waited: u32,
    /// When the wait for a connection began.
    waiting_since: Option<Instant>,
    /// An earlier one may have reached an upstream.
    reached: bool,
}

/// What the exchange does after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAttempt {
    /// The exchange ends with what it has.
    Stop,
    /// Another attempt at once, for nothing.
    Now(RetryReason),
    /// Another attempt after this wait, when the budget pays for it.
    Paid(Duration, RetryReason),
    /// Another connection after this wait. Nothing reaches the upstream by it, so it costs nothing.
    Wait(Duration),
}

impl Attempts {
    /// What follows the attempt that has just `failed`? `draw`: any number, for the jitter.
    pub fn next(
        &mut self,
        policy: &RetryPolicy,
        failed: FailedTry,
        request: Repeatable,
        now: Instant,
        draw: u64,
    ) -> NextAttempt {
        self.reached |= failed.sent == Sent::Maybe;
        let next = self.after_failure(policy, failed, request, now, draw);
        match request.twice {
            Twice::Keyed(key) if self.reached => next.while_it_holds(key, now),
            Twice::Bare | Twice::Safe | Twice::Idempotent | Twice::Keyed(_) | Twice::Harm => next,
        }
    }

    fn after_failure(
        &mut self,
        policy: &RetryPolicy,
        failed: FailedTry,
        request: Repeatable,
        now: Instant,
        draw: u64,
    ) -> NextAttempt {
        let untaken = failed.sent != Sent::Maybe;
        let elsewhere = failed.reused || failed.another;
        if untaken && !request.whole {
            return NextAttempt::Stop; // its body is gone
        }
        if untaken && !std::mem::replace(&mut self.resent, true) {
            return NextAttempt::Now(RetryReason::NotProcessed);
        }
        if !untaken
            && failed.reset
            && request.twice == Twice::Bare
            && elsewhere
            && !std::mem::replace(&mut self.repeated, true)
        {
            return NextAttempt::Now(RetryReason::Reset);
        }
        if failed.unconnected && !policy.wait.is_zero() {
            let since = *self.waiting_since.get_or_insert(now);
            let left = policy.wait.saturating_sub(now.saturating_duration_since(since));
            if !left.is_zero() {
                return NextAttempt::Wait(self.jittered(policy, draw).min(left));
            }
        }
        if untaken {
            return self.paid(policy, RetryReason::NotProcessed, Duration::ZERO, draw);
        }
        match request.twice {
            _ if !(policy.idempotent && request.whole) => NextAttempt::Stop,
            Twice::Bare | Twice::Safe | Twice::Idempotent => {
                self.paid(policy, RetryReason::Idempotent, Duration::ZERO, draw)
            }
            Twice::Keyed(_) => self.paid(policy, RetryReason::Key, Duration::ZERO, draw),
            Twice::Harm => NextAttempt::Stop,
        }
    }

    /// What follows an attempt that got this answer? `Stop`: the answer is its client's.
    pub fn after_answer(
        &mut self,
        policy: &RetryPolicy,
        answered: AnsweredTry,
        request: Repeatable,
        now: Instant,
        draw: u64,
    ) -> NextAttempt {
        self.reached = true;
        let least = answered.retry_after.unwrap_or_default();
        if !request.whole || least > policy.retry_after_max {
            return NextAttempt::Stop;
        }
        let unavailable = policy.repeats_grpc(answered.grpc);
        let next = match request.twice {
            Twice::Bare | Twice::Safe if policy.repeats(answered.status) || unavailable => {
                self.paid(policy, RetryReason::Status, least, draw)
            }
            Twice::Keyed(key) if policy.idempotent && (answered.undone || unavailable) => {
                self.paid(policy, RetryReason::Key, least, draw).while_it_holds(key, now)
            }
            Twice::Bare | Twice::Safe | Twice::Idempotent | Twice::Keyed(_) | Twice::Harm => {
                NextAttempt::Stop
            }
        };
        match (next, answered.left) {
            (NextAttempt::Paid(wait, _), Some(left)) if wait >= left => NextAttempt::Stop,
            (next, _) => next,
        }
    }

    /// One more, if there may be so many, after a wait of at least `least`.
    fn paid(&mut self, policy: &RetryPolicy, why: RetryReason, least: Duration, draw: u64) -> NextAttempt {
        if self.made >= policy.attempts {
            return NextAttempt::Stop;
        }
        // On top of it: those who were told the same time do not all come back at once.
        NextAttempt::Paid(least + self.jittered(policy, draw), why)
    }

    fn jittered(&mut self, policy: &RetryPolicy, draw: u64) -> Duration {
        let range =
            policy.backoff.saturating_mul(1 << self.waited.min(4)).min(policy.backoff.saturating_mul(10));
        self.waited = self.waited.saturating_add(1);
        range.mul_f64(share(draw))
    }
}

impl NextAttempt {
    /// The same, if `key` is still remembered when the wait is over.
    fn while_it_holds(self, key: VouchedKey, now: Instant) -> Self {
        let wait = match self {
            Self::Stop | Self::Now(_) => Duration::ZERO,
            Self::Paid(wait, _) | Self::Wait(wait) => wait,
        };
        if key.holds(now + wait) { self } else { Self::Stop }
    }
}

/// Retries that are still allowed: a share of the requests of the last ten seconds, and a few per second in any
/// case (Finagle's retry budget).
#[derive(Clone, Debug, Default)]
pub struct RetryBudget {
    tokens: f64,
    /// Of the last retry that was asked for; `None`: none was yet.
    at: Option<Instant>,
    /// Requests that were made until then.
    requests: u64,
    /// What the requests of the last ten seconds have brought, older ones less and less.
    earned: f64,
}

/// How long unspent leave lasts.
const SPAN: Duration = Duration::from_secs(10);

impl RetryBudget {
    /// Takes leave for one retry, `requests` (a count since the start) having been made until `now`. The first one finds
    /// the leave of one second, whatever was asked before.
    pub fn take(&mut self, policy: &RetryPolicy, requests: u64, now: Instant) -> bool {
        let passed = self
            .at
            .map_or(Duration::from_secs(1), |at| now.saturating_duration_since(at).min(SPAN))
            .as_secs_f64();
        let fresh = requests.saturating_sub(self.requests) as f64 * f64::from(policy.budget_percent) / 100.0;
        let floor = f64::from(policy.min_per_second);
        self.earned = self.earned * (1.0 - passed / SPAN.as_secs_f64()) + fresh;
        let most = floor * SPAN.as_secs_f64() + self.earned;
        self.tokens = (self.tokens + passed * floor + fresh).min(most);
        self.at = Some(now);
        // A repeat is counted before it is judged, so the count may dip for a moment.
        self.requests = self.requests.max(requests);
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reliability::idempotency::KeyPolicy;

    const GET: Repeatable = Repeatable { twice: Twice::Bare, whole: true };
    const POST: Repeatable = Repeatable { twice: Twice::Harm, whole: true };
    const UNTAKEN: NextAttempt = NextAttempt::Now(RetryReason::NotProcessed);
    const AFTER_RESET: NextAttempt = NextAttempt::Now(RetryReason::Reset);
    const REFUSED: FailedTry =
        FailedTry { sent: Sent::Nothing, unconnected: true, reset: false, reused: false, another: true };
    const RESET: FailedTry =
        FailedTry { sent: Sent::Maybe, unconnected: false, reset: true, reused: true, another: false };

    fn after(policy: &RetryPolicy, failures: &[FailedTry], request: Repeatable) -> Vec<NextAttempt> {
        let mut attempts = Attempts::default();
        let t0 = Instant::now();
        let next = |failed: &FailedTry| {
            attempts.made += 1;
            attempts.next(policy, *failed, request, t0, 0)
        };
        failures.iter().map(next).collect()
    }

    #[test]
    fn what_was_not_processed_is_sent_once_more_at_once_its_body_too() {
        let policy = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
        let refused = FailedTry { sent: Sent::Refused, unconnected: false, ..REFUSED };
        for failed in [REFUSED, refused] {
            assert_eq!(after(&policy, &[failed, failed], POST), [UNTAKEN, NextAttempt::Stop]);
        }
        let gone = Repeatable { whole: false, ..POST };
        assert_eq!(after(&policy, &[refused], gone), [NextAttempt::Stop], "its body is gone");
    }

    #[test]
    fn a_safe_request_is_repeated_after_the_reset_of_a_reused_connection_or_elsewhere() {
        let policy = RetryPolicy::default();
        assert_eq!(after(&policy, &[RESET, RESET], GET), [AFTER_RESET, NextAttempt::Stop]);
        assert_eq!(after(&policy, &[RESET], POST), [NextAttempt::Stop]);
        let fresh = FailedTry { reused: false, ..RESET };
        assert_eq!(after(&policy, &[fresh], GET), [NextAttempt::Stop], "there is nowhere else to go");
        assert_eq!(after(&policy, &[FailedTry { another: true, ..fresh }], GET), [AFTER_RESET]);
        let late = FailedTry { reset: false, ..RESET };
        assert_eq!(after(&policy, &[late], GET), [NextAttempt::Stop], "a timeout has had its time");
    }

    #[test]
    fn a_write_that_may_have_left_is_never_repeated() {
        let policy = RetryPolicy { attempts: 10, idempotent: true, ..RetryPolicy::default() };
        assert_eq!(after(&policy, &[RESET], POST), [NextAttempt::Stop]);
        let put = Repeatable { twice: Twice::Idempotent, ..POST };
        let paid = NextAttempt::Paid(Duration::ZERO, RetryReason::Idempotent);
        assert_eq!(after(&policy, &[RESET], put), [paid]);
        assert_eq!(after(&policy, &[RESET], Repeatable { whole: false, ..put }), [NextAttempt::Stop]);
    }

    fn keyed(lives: Duration) -> Repeatable {
        let methods = vec!["POST".to_owned()];
        let keys = KeyPolicy { header: String::new(), lives, methods, undone: Vec::new(), inject: false };
        let key = keys.vouches(b"POST", [&b"k"[..]].into_iter(), Instant::now()).expect("vouched for");
        Repeatable { twice: Twice::Keyed(key), ..POST }
    }

    #[test]
    fn a_write_with_a_key_is_repeated_by_choice_while_its_upstream_remembers_the_key() {
        let policy = RetryPolicy { attempts: 3, idempotent: true, ..RetryPolicy::default() };
        let paid = NextAttempt::Paid(Duration::ZERO, RetryReason::Key);
        let day = keyed(Duration::from_secs(86_400));
        assert_eq!(after(&policy, &[RESET, RESET, RESET], day), [paid, paid, NextAttempt::Stop]);
        let forgotten = keyed(Duration::ZERO);
        assert_eq!(after(&policy, &[RESET], forgotten), [NextAttempt::Stop]);
        assert_eq!(after(&policy, &[REFUSED], forgotten), [UNTAKEN], "nobody has seen it yet");
        let policy = RetryPolicy { wait: Duration::from_secs(60), ..policy };
        assert_eq!(after(&policy, &[RESET, REFUSED], day), [paid, UNTAKEN]);
        let mut reached = Attempts { made: 1, reached: true, ..Attempts::default() };
        assert_eq!(reached.next(&policy, REFUSED, forgotten, Instant::now(), 0), NextAttempt::Stop);
        let policy = RetryPolicy { wait: Duration::ZERO, ..policy };
        assert_eq!(after(&policy, &[RESET], Repeatable { whole: false, ..day }), [NextAttempt::Stop]);
        assert_eq!(
            after(&RetryPolicy::default(), &[RESET], day),
            [NextAttempt::Stop],
            "nobody has asked for it"
        );
    }

    const BUSY: AnsweredTry =
        AnsweredTry { status: 503, grpc: None, retry_after: None, undone: false, left: None };

    fn answered(policy: &RetryPolicy, answer: AnsweredTry, request: Repeatable) -> NextAttempt {
        let mut attempts = Attempts { made: 1, ..Attempts::default() };
        attempts.after_answer(policy, answer, request, Instant::now(), 0)
    }

    #[test]
    fn only_a_safe_request_is_repeated_for_the_status_of_its_answer_and_only_by_choice() {
        let policy = RetryPolicy { statuses: vec![(502, 504)], idempotent: true, ..RetryPolicy::default() };
        let paid = NextAttempt::Paid(Duration::ZERO, RetryReason::Status);
        let safe = Repeatable { twice: Twice::Safe, whole: true };
        for request in [GET, safe] {
            assert_eq!(answered(&policy, BUSY, request), paid);
            assert_eq!(answered(&policy, AnsweredTry { status: 500, ..BUSY }, request), NextAttempt::Stop);
            assert_eq!(answered(&RetryPolicy::default(), BUSY, request), NextAttempt::Stop);
        }
        let put = Repeatable { twice: Twice::Idempotent, whole: true };
        for request in [POST, put, keyed(Duration::from_secs(60)), Repeatable { whole: false, ..safe }] {
            assert_eq!(answered(&policy, BUSY, request), NextAttempt::Stop, "{request:?}");
        }
        let mut spent = Attempts { made: 2, ..Attempts::default() };
        assert_eq!(spent.after_answer(&policy, BUSY, GET, Instant::now(), 0), NextAttempt::Stop);
    }

    #[test]
    fn a_retry_after_is_the_least_wait_and_one_that_is_too_long_is_the_clients() {
        let policy = RetryPolicy { statuses: vec![(503, 503)], ..RetryPolicy::default() };
        let asks = |seconds: f64, left: Option<u64>| {
            let retry_after = Some(Duration::from_secs_f64(seconds));
            let answer = AnsweredTry { retry_after, left: left.map(Duration::from_millis), ..BUSY };
            let mut attempts = Attempts { made: 1, ..Attempts::default() };
            attempts.after_answer(&policy, answer, GET, Instant::now(), u64::MAX)
        };
        let NextAttempt::Paid(wait, _) = asks(1.0, None) else { panic!("one second is waited for") };
        assert!(wait >= Duration::from_secs(1) && wait <= Duration::from_secs(1) + policy.backoff);
        assert_eq!(asks(1.1, None), NextAttempt::Stop);
        assert_eq!(asks(1.0, Some(1_000)), NextAttempt::Stop, "there is no time for it");
        assert!(matches!(asks(0.5, Some(600)), NextAttempt::Paid(..)));
        assert_eq!(asks(0.0, Some(0)), NextAttempt::Stop);
    }

    #[test]
    fn a_write_is_repeated_after_an_answer_only_where_its_upstream_has_done_nothing() {
        let policy = RetryPolicy { statuses: vec![(400, 599)], idempotent: true, ..RetryPolicy::default() };
        let undone = AnsweredTry { status: 409, undone: true, ..BUSY };
        let day = keyed(Duration::from_secs(86_400));
        assert_eq!(answered(&policy, undone, day), NextAttempt::Paid(Duration::ZERO, RetryReason::Key));
        assert_eq!(answered(&policy, AnsweredTry { undone: false, ..undone }, day), NextAttempt::Stop);
        assert_eq!(answered(&policy, undone, POST), NextAttempt::Stop, "without a key it is another one");
        assert_eq!(answered(&RetryPolicy::default(), undone, day), NextAttempt::Stop);
        assert_eq!(answered(&policy, undone, keyed(Duration::ZERO)), NextAttempt::Stop);
    }

    #[test]
    fn a_grpc_status_of_unavailable_is_a_503_for_what_may_be_repeated() {
        let policy = RetryPolicy { statuses: vec![(502, 504)], idempotent: true, ..RetryPolicy::default() };
        let told = |grpc| AnsweredTry { status: 200, grpc: Some(grpc), ..BUSY };
        let day = keyed(Duration::from_secs(86_400));
        assert_eq!(answered(&policy, told(14), GET), NextAttempt::Paid(Duration::ZERO, RetryReason::Status));
        assert_eq!(answered(&policy, told(14), day), NextAttempt::Paid(Duration::ZERO, RetryReason::Key));
        assert_eq!(answered(&policy, told(14), POST), NextAttempt::Stop, "it may have acted");
        for grpc in (0..17).filter(|grpc| *grpc != 14) {
            assert_eq!(answered(&policy, told(grpc), GET), NextAttempt::Stop, "{grpc}");
        }
        let reads = RetryPolicy { idempotent: false, ..policy.clone() };
        assert_eq!(answered(&reads, told(14), day), NextAttempt::Stop, "nobody has asked for it");
        let other = RetryPolicy { statuses: vec![(502, 502), (504, 504)], ..policy };
        assert_eq!(answered(&other, told(14), GET), NextAttempt::Stop, "503 is not listed");
    }

    #[test]
    fn a_restart_is_waited_for_as_long_as_was_asked() {
        let policy = RetryPolicy { attempts: 1, wait: Duration::from_secs(3), ..RetryPolicy::default() };
        let mut attempts = Attempts::default();
        let t0 = Instant::now();
        let mut next = |at: u64| {
            attempts.made += 1;
            attempts.next(&policy, REFUSED, POST, t0 + Duration::from_millis(at), u64::MAX)
        };
        assert_eq!(next(0), UNTAKEN);
        assert!(matches!(next(0), NextAttempt::Wait(wait) if wait <= Duration::from_millis(25)));
        assert!(matches!(next(2_950), NextAttempt::Wait(wait) if wait == Duration::from_millis(50)));
        assert!(matches!(next(2_990), NextAttempt::Wait(wait) if wait == Duration::from_millis(10)));
        assert_eq!(next(3_000), NextAttempt::Stop);
    }

    #[test]
    fn an_empty_budget_refuses_and_fills_again() {
        let policy = RetryPolicy { min_per_second: 1, budget_percent: 0, ..RetryPolicy::default() };
        let t0 = Instant::now();
        let mut budget = RetryBudget::default();
        assert!(budget.take(&policy, 0, t0));
        assert!(!budget.take(&policy, 0, t0));
        assert!(budget.take(&policy, 0, t0 + Duration::from_secs(1)));
    }

    #[test]
    fn the_share_of_requests_is_lent_without_a_floor_too_and_is_forgotten() {
        let policy = RetryPolicy { min_per_second: 0, budget_percent: 20, ..RetryPolicy::default() };
        let t0 = Instant::now();
        let mut budget = RetryBudget::default();
        let asked = |n: u64| t0 + Duration::from_millis(n * 10);
        let granted = (1..=500).filter(|n| budget.take(&policy, *n, asked(*n))).count();
        assert!((95..=100).contains(&granted), "{granted}: a fifth of 500 requests in five seconds");
        let mut quiet = RetryBudget::default();
        assert!(!quiet.take(&policy, 0, t0));
        assert!(quiet.take(&policy, 50, t0), "ten retries were earned");
        assert!(!quiet.take(&policy, 50, t0 + SPAN), "and are forgotten");
    }

    fn any_failed() -> impl Strategy<Value = FailedTry> {
        let sent = prop_oneof![Just(Sent::Nothing), Just(Sent::Refused), Just(Sent::Maybe)];
        (sent, any::<[bool; 4]>()).prop_map(|(sent, [unconnected, reset, reused, another])| FailedTry {
            unconnected: unconnected && sent == Sent::Nothing,
            sent,
            reset,
            reused,
            another,
        })
    }

    proptest! {
        #[test]
        fn at_most_two_repetitions_are_free_and_no_write_is_doubled(failures in prop::collection::vec(any_failed(), 1..20), post: bool, draw: u64) {
            let policy = RetryPolicy { attempts: 10, idempotent: true, ..RetryPolicy::default() };
            let mut attempts = Attempts::default();
            let t0 = Instant::now();
            let mut free = 0;
            for failed in failures {
                attempts.made += 1;
                let next = attempts.next(&policy, failed, if post { POST } else { GET }, t0, draw);
                free += u32::from(matches!(next, NextAttempt::Now(_)));
                prop_assert!(!post || failed.sent != Sent::Maybe || next == NextAttempt::Stop);
                if let NextAttempt::Paid(wait, _) = next {
                    prop_assert!(wait <= policy.backoff * 10 && attempts.made < policy.attempts);
                }
            }
            prop_assert!(free <= 2);
        }
    }
}
