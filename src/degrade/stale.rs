//! Kept answers that stand in where an upstream fails (RFC 5861 section 4), shared by all workers.
//!
//! An answer is kept when its last byte has passed, and never asked for while the upstream answers: it is no cache that
//! spares a request. What may be kept, and when it may stand in, is decided by [`stale`]. Invariants: answers kept and
//! answers being copied are together no more than the limit; two schemes, hosts, targets or values of what an answer varies by
//! never mix; a write that went well forgets what was kept of its target (RFC 9111 section 4.4).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::canned::Cause;
use crate::config::StalePolicy;
use crate::message::body::Body;
use crate::message::head::{
    ByteSpan, Field, Framing, HeadStore, Known, KnownSet, Method, RequestHead, ResponseHead, begins_with,
    is_ours,
};
use crate::names::UpstreamName;
use crate::reliability::retry_after;
use crate::reliability::stale::{self, CacheAnswer, CacheControl, CacheRequest, Lifetime};
use crate::runtime::clock;

/// Answers of one target that differ by what they vary by, at most; the oldest goes.
const VARIANTS: usize = 16;
/// A target is not copied more often than that.
const RECENT: Duration = Duration::from_secs(1);
/// What an answer takes beside its bytes.
const OVERHEAD: usize = 256;
/// Fields of an answer that belong to its exchange or its hop, or that are said anew.
const NOT_KEPT: KnownSet = KnownSet::of(&[
    Known::ContentLength,
    Known::TransferEncoding,
    Known::Trailer,
    Known::RequestId,
    Known::RetryAfter,
]);
/// The same, of names that are not known otherwise (RFC 9111 section 3.1 and 5.1; RFC 9209).
const NAMES_NOT_KEPT: [&[u8]; 4] = [b"age", b"cache-control", b"expires", b"proxy-status"];

type Values = Vec<Box<[u8]>>;
/// A name and a value.
type Line = (Box<[u8]>, Box<[u8]>);

struct Kept {
    number: u64,
    /// Whose answer it is.
    upstream: UpstreamName,
    /// Names of fields of the request, in lower case, and the values that they had.
    varies: Vec<(Box<[u8]>, Values)>,
    status: u16,
    fields: Vec<Line>,
    body: Bytes,
    lifetime: Lifetime,
    at: Instant,
    size: usize,
}

#[derive(Default)]
struct Shelf {
    answers: HashMap<Box<[u8]>, Vec<Arc<Kept>>>,
    /// Where each stands, the oldest first.
    order: BTreeMap<u64, Box<[u8]>>,
    next: u64,
    /// Bytes that are kept; three quarters of the limit at most.
    bytes: usize,
    /// Bytes that are spoken for by answers on their way; a quarter at most.
    passing: usize,
    limit: usize,
}

/// Kept answers of all routes.
#[derive(Default)]
pub struct StaleCache(Mutex<Shelf>);

impl std::fmt::Debug for StaleCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StaleCache").field("bytes", &self.shelf().bytes).finish_non_exhaustive()
    }
}

/// Bytes that are spoken for while an answer passes; given back when this is dropped.
struct Reserved {
    cache: Arc<StaleCache>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.cache.shelf().passing -= self.bytes;
    }
}

impl Shelf {
    fn remove(&mut self, number: u64) {
        let Some(key) = self.order.remove(&number) else { return };
        let Some(all) = self.answers.get_mut(&key) else { return };
        if let Some(at) = all.iter().position(|kept| kept.number == number) {
            self.bytes -= all.swap_remove(at).size;
        }
        if all.is_empty() {
            self.answers.remove(&key);
        }
    }

    /// Makes room for so many bytes, of the oldest answers; false: it is not there.
    fn room(&mut self, bytes: usize) -> bool {
        while self.bytes + bytes > self.limit - self.limit / 4 {
            let Some((oldest, _)) = self.order.first_key_value() else { return false };
            self.remove(*oldest);
        }
        true
    }

    fn forget(&mut self, key: &[u8]) {
        let numbers: Vec<u64> = self.answers.get(key).into_iter().flatten().map(|kept| kept.number).collect();
        numbers.into_iter().for_each(|number| self.remove(number));
    }
}

/// What a client asked for, as far as its answer may depend on it.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub head: &'a RequestHead,
    /// It came by TLS.
    pub secure: bool,
    /// Proxies in front are believed: what they say of scheme and host reaches the backend.
    pub forwarded: bool,
}

/// `scheme NUL authority NUL target`, with what proxies that are believed say of the first two.
fn key(target: Target<'_>) -> Box<[u8]> {
    let Target { head, secure, forwarded } = target;
    let scheme: &[u8] = if secure { b"https" } else { b"http" };
    let mut key = scheme.to_vec();
    if forwarded {
        let told = head.store.all(Known::XForwardedProto).chain(head.store.all(Known::XForwardedHost));
        let parts =
            head.store.all(Known::Forwarded).flat_map(|line| line.split(|b| matches!(b, b';' | b',')));
        let named = |part: &&[u8]| [&b"proto="[..], b"host="].iter().any(|name| begins_with(part, name));
        for value in told.chain(parts.map(<[u8]>::trim_ascii).filter(named)) {
            key.push(b'\n');
            key.extend(value.iter().map(u8::to_ascii_lowercase));
        }
    }
    key.push(0);
    key.extend(head.authority_bytes().iter().map(u8::to_ascii_lowercase));
    key.push(0);
    key.extend_from_slice(head.path_and_query_bytes());
    key.into()
}

fn lines<'a>(store: &'a HeadStore, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    store.named(name).map(|field| field.value.of(&store.bytes))
}

fn asked(head: &RequestHead) -> CacheRequest {
    let has = |name: &[u8]| lines(&head.store, name).next().is_some();
    CacheRequest {
        gets: head.method == Method::Get && !head.wants_upgrade,
        has_credentials: head
            .store
            .fields
            .iter()
            .any(|field| stale::is_credential(field.name.of(&head.store.bytes))),
        asks_for_part: has(b"range"),
        control: CacheControl::read(
            lines(&head.store, b"cache-control").chain(lines(&head.store, b"pragma")),
        ),
    }
}

fn said(head: &ResponseHead, now: Instant) -> CacheAnswer {
    let store = &head.store;
    let has = |name: &[u8]| lines(store, name).next().is_some();
    let wall = clock::unix_seconds(clock::wall_at(now));
    let text = |name: &'static [u8]| {
        lines(store, name).next().map(|value| std::str::from_utf8(value).unwrap_or_default())
    };
    let at = |name: &'static [u8]| text(name).map(|date| retry_after::date(date, wall));
    let date = at(b"date").flatten();
    CacheAnswer {
        status: head.status,
        sets_cookie: has(b"set-cookie"),
        varies_by_all: lines(store, b"vary").any(|line| line.contains(&b'*')),
        is_part: has(b"content-range"),
        control: CacheControl::read(lines(store, b"cache-control")),
        age: text(b"age").map(|age| age.trim().parse().unwrap_or(u64::MAX >> 1)),
        apparent_age: date.map(|date| wall.saturating_sub(date)),
        expires_after: at(b"expires")
            .map(|expires| expires.unwrap_or(0).saturating_sub(date.unwrap_or(wall))),
    }
}

/// Is what everybody was answered before no longer what they are answered? It is gone, forbidden, a person's.
fn replaces(asked: &CacheRequest, status: u16) -> bool {
    let personal = asked.has_credentials || asked.asks_for_part;
    asked.gets && !personal && matches!(status, 200..=299 | 302 | 303 | 307 | 401 | 403 | 451)
}

/// What the answer varies by, with what this request says of it.
fn varies(head: &RequestHead, answer: &ResponseHead) -> Vec<(Box<[u8]>, Values)> {
    let names = lines(&answer.store, b"vary").flat_map(|line| line.split(|b| *b == b','));
    let names = names.map(|name| name.trim_ascii().to_ascii_lowercase()).filter(|name| !name.is_empty());
    names.map(|name| (name.clone().into(), lines(&head.store, &name).map(Box::from).collect())).collect()
}

/// Bytes that the body may have; `None`: it is not kept.
fn longest(framing: Framing, policy: &StalePolicy) -> Option<usize> {
    let most = match framing {
        Framing::None => 0,
        Framing::Length(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
        Framing::Chunked | Framing::Stream => policy.max_body,
        // Whether all of it came nobody can tell (RFC 9111 section 3.3).
        Framing::UntilClose => return None,
    };
    (most <= policy.max_body).then_some(most)
}

/// The fields that go with a kept answer.
fn kept_fields(answer: &ResponseHead) -> Vec<Line> {
    let bytes = &answer.store.bytes;
    let kept = |field: &&Field| {
        let name = field.name.of(bytes);
        let named = NAMES_NOT_KEPT.iter().any(|known| name.eq_ignore_ascii_case(known));
        !field.hop && !NOT_KEPT.has(field.known) && !named && !is_ours(name)
    };
    let of = |span: ByteSpan| Box::<[u8]>::from(span.of(bytes));
    answer.store.fields.iter().filter(kept).map(|field| (of(field.name), of(field.value))).collect()
}

impl StaleCache {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No more than so many bytes from now on.
    pub fn allow(&self, bytes: usize) {
        let mut shelf = self.shelf();
        if shelf.limit != bytes {
            shelf.limit = bytes;
            shelf.room(0);
        }
    }

    /// Forgets all answers of an upstream: how many they were, and how many bytes they took. One that is just passing is
    /// kept when it has passed.
    pub fn clear(&self, upstream: &str) -> (usize, usize) {
        let mut shelf = self.shelf();
        let of_it = |kept: &&Arc<Kept>| kept.upstream.as_str() == upstream;
        let numbers: Vec<u64> =
            shelf.answers.values().flatten().filter(of_it).map(|kept| kept.number).collect();
        let before = shelf.bytes;
        numbers.iter().for_each(|number| shelf.remove(*number));
        (numbers.len(), before - shelf.bytes)
    }

    /// An answer of `upstream` is about to pass to the client: it is kept once all of it has, where that may be. A write
    /// that went well forgets what was kept of its target.
    pub fn watch(
        self: &Arc<Self>,
        target: Target<'_>,
        upstream: &UpstreamName,
        answer: &ResponseHead,
        body: &mut Body,
        policy: &StalePolicy,
    ) {
        let head = target.head;
        if !matches!(head.method, Method::Get | Method::Head | Method::Options | Method::Trace) {
            if answer.status < 400 {
                self.shelf().forget(&key(target));
            }
            return;
        }
        let (now, asked, key) = (clock::instant(), asked(head), key(target));
        let varies = varies(head, answer);
        if self.has_recent(&key, &varies, now) {
            return;
        }
        let Some(lifetime) = stale::keeps(&asked, &said(answer, now), policy.lasts) else {
            if replaces(&asked, answer.status) {
                self.shelf().forget(&key);
            }
            return;
        };
        let Some(most) = longest(answer.framing, policy) else { return };
        let (status, fields, upstream) = (answer.status, kept_fields(answer), upstream.clone());
        let told: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        let size = OVERHEAD + key.len() * 2 + told + most;
        let Some(reserved) = self.reserve(size) else { return };
        let whole = move |bytes: Vec<u8>| {
            let size = size - (most - bytes.len());
            let kept = Kept {
                number: 0,
                upstream,
                varies,
                status,
                fields,
                body: bytes.into(),
                lifetime,
                at: now,
                size,
            };
            let cache = Arc::clone(&reserved.cache);
            drop(reserved);
            cache.put(key, kept);
        };
        body.tee(most, Box::new(whole));
    }

    /// Was it kept within the last second? Then what passes now is as good as that.
    fn has_recent(&self, key: &[u8], varies: &[(Box<[u8]>, Values)], now: Instant) -> bool {
        let recent = |kept: &Arc<Kept>| now.saturating_duration_since(kept.at) < RECENT;
        let shelf = self.shelf();
        let all = shelf.answers.get(key).into_iter().flatten();
        all.filter(|kept| kept.varies == varies).any(recent)
    }

    fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reserved> {
        let mut shelf = self.shelf();
        let room = shelf.passing + bytes <= shelf.limit / 4;
        room.then(|| {
            shelf.passing += bytes;
            Reserved { cache: Arc::clone(self), bytes }
        })
    }

    fn put(&self, key: Box<[u8]>, kept: Kept) {
        let mut shelf = self.shelf();
        let same = |other: &&Arc<Kept>| other.varies == kept.varies;
        let all = shelf.answers.get(&key);
        let replaced = all.and_then(|all| {
            let full = || all.iter().map(|kept| kept.number).min().filter(|_| all.len() >= VARIANTS);
            all.iter().find(same).map(|kept| kept.number).or_else(full)
        });
        replaced.into_iter().for_each(|number| shelf.remove(number));
        if !shelf.room(kept.size) {
            return;
        }
        let number = shelf.next;
        shelf.next += 1;
        shelf.bytes += kept.size;
        shelf.order.insert(number, key.clone());
        shelf.answers.entry(key).or_default().push(Arc::new(Kept { number, ..kept }));
    }

    /// The answer that may stand in for this request, as its client reads it.
    pub fn answer(&self, target: Target<'_>, cause: Cause) -> Option<(ResponseHead, Body)> {
        let head = target.head;
        if !matches!(head.method, Method::Get | Method::Head) || head.wants_upgrade {
            return None;
        }
        let now = clock::instant();
        let kept = {
            let shelf = self.shelf();
            let all = shelf.answers.get(&key(target))?;
            let fits = |kept: &&Arc<Kept>| {
                kept.varies
                    .iter()
                    .all(|(name, values)| lines(&head.store, name).eq(values.iter().map(|value| &**value)))
            };
            Arc::clone(all.iter().filter(fits).max_by_key(|kept| kept.number)?)
        };
        let age = kept.lifetime.stands_in(now.saturating_duration_since(kept.at), &asked(head))?;
        Some(written(&kept, age, cause, head.method))
    }
}

fn written(kept: &Kept, age: Duration, cause: Cause, asked: Method) -> (ResponseHead, Body) {
    let length = kept.body.len();
    let mut head = ResponseHead::own(kept.status, Framing::Length(length as u64));
    kept.fields.iter().for_each(|(name, value)| head.store.push(name, value));
    head.store.push(b"age", age.as_secs().to_string().as_bytes());
    // Its own times are over: nobody else is to keep it for them.
    head.store.push(b"cache-control", b"no-store");
    cause.tell(&mut head, "stale");
    let body = Body::of_own(&mut head, kept.body.clone(), asked);
    (head, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::h1::parse::{HeadLimits, Parsed, request};

    const POLICY: StalePolicy = StalePolicy { lasts: Duration::from_secs(600), max_body: 1_024 };
    const CAUSE: Cause = Cause::Answered(503);

    fn upstream() -> UpstreamName {
        UpstreamName::new("backend").expect("a name")
    }

    fn asking(fields: &str) -> RequestHead {
        let text = format!("GET /a HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n");
        match request(text.as_bytes(), HeadLimits { bytes: 8_192, fields: 100 }) {
            Ok(Parsed::Whole(head, _)) => head,
            Ok(Parsed::Partial) | Err(_) => panic!("{text}"),
        }
    }

    fn keeping(targets: &[Target<'_>]) -> Arc<StaleCache> {
        let cache = Arc::new(StaleCache::default());
        cache.allow(1 << 20);
        for (nth, target) in targets.iter().enumerate() {
            let mut answer = ResponseHead::own(200, Framing::Length(0));
            answer.store.push(b"x-nth", nth.to_string().as_bytes());
            let mut body = Body::of_own(&mut answer, Bytes::new(), Method::Get);
            cache.watch(*target, &upstream(), &answer, &mut body, &POLICY);
        }
        cache
    }

    fn nth(cache: &StaleCache, target: Target<'_>) -> Option<String> {
        let (head, _) = cache.answer(target, CAUSE)?;
        lines(&head.store, b"x-nth").next().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    #[test]
    fn two_schemes_never_mix_and_what_nobody_believes_makes_no_difference() {
        let (plain, told) = (asking(""), asking("X-Forwarded-Proto: https\r\n"));
        let of = |head, secure, forwarded| Target { head, secure, forwarded };
        let cache = keeping(&[of(&plain, false, false), of(&plain, true, false), of(&told, false, true)]);
        assert_eq!(nth(&cache, of(&plain, false, false)).as_deref(), Some("0"));
        assert_eq!(nth(&cache, of(&plain, true, false)).as_deref(), Some("1"));
        assert_eq!(nth(&cache, of(&told, false, true)).as_deref(), Some("2"));
        assert_eq!(nth(&cache, of(&told, true, true)), None, "by TLS it was not asked for so");
        assert_eq!(nth(&cache, of(&told, false, false)).as_deref(), Some("0"), "the backend is not told it");
        let over_tls = keeping(&[of(&plain, true, false)]);
        assert_eq!(nth(&over_tls, of(&plain, false, false)), None, "what came by TLS is never given without");
    }

    #[test]
    fn what_is_forgotten_of_an_upstream_gives_its_bytes_back() {
        let head = asking("");
        let [plain, tls] = [false, true].map(|secure| Target { head: &head, secure, forwarded: false });
        let cache = keeping(&[plain, tls]);
        let bytes = cache.shelf().bytes;
        assert_eq!(cache.clear("other"), (0, 0));
        assert!(nth(&cache, plain).is_some());
        assert_eq!(cache.clear("backend"), (2, bytes));
        assert!(nth(&cache, plain).is_none() && nth(&cache, tls).is_none());
        let shelf = cache.shelf();
        assert!(shelf.bytes == 0 && shelf.order.is_empty() && shelf.answers.is_empty());
    }
}
