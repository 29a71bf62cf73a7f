//! A change that is sent twice is done once: `Idempotency-Key`.
//!
//! In front of every POST of the API. The first order with a key is carried out to its end, whether its sender waits or not;
//! what it brought is kept, and given again to whoever sends the same key with the same order. A refusal did nothing, so it is
//! not kept: the same key may try again. Keys live in memory, for a day, and the least recently used ones make room.
//!
//! # Invariants
//! * A key stands for one path, query and body. For anything else it is refused.
//! * At most one order of a key is being carried out.
//! * An order that is being carried out is never forgotten.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::error::ApiError;
use super::request::bad;
use super::serve::LONGEST as BODY;
use crate::runtime::clock;

/// How long a key is remembered.
const KEPT: Duration = Duration::from_secs(86_400);
/// Keys that are remembered.
const KEYS: usize = 10_000;
/// Bytes of their answers.
const BYTES: usize = 16 << 20;
/// Longest `Idempotency-Key`, in bytes.
const LONGEST: usize = 255;
/// The largest answer that is looked for: no answer of a POST is longer.
const ANSWER: usize = 64 << 20;

const KEY: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What an order brought.
#[derive(Clone, Debug, PartialEq)]
struct StoredAnswer {
    status: StatusCode,
    kind: Option<HeaderValue>,
    body: Bytes,
}

#[derive(Debug)]
struct KeyRecord {
    order: u64,
    began: Instant,
    used: u64,
    /// `None`: it is being carried out.
    answer: Option<StoredAnswer>,
}

/// What a key brings.
#[derive(Debug, PartialEq)]
enum KeyState {
    /// It is new, and taken.
    New,
    Again(StoredAnswer),
    Other,
    Running,
}

#[derive(Debug, Default)]
struct Book {
    keys: HashMap<String, KeyRecord>,
    /// By their last use; those that are being carried out are not in it.
    by_use: BTreeMap<u64, String>,
    uses: u64,
    bytes: usize,
}

impl Book {
    fn forget(&mut self, key: &str) {
        if let Some(known) = self.keys.remove(key) {
            self.by_use.remove(&known.used);
            self.bytes -= known.answer.map_or(0, |answer| answer.body.len());
        }
    }

    fn find(&mut self, key: &str, order: u64, now: Instant) -> KeyState {
        let old = |known: &KeyRecord| known.answer.is_some() && now.duration_since(known.began) >= KEPT;
        if self.keys.get(key).is_some_and(old) {
            self.forget(key);
        }
        self.uses += 1;
        let used = self.uses;
        let Some(known) = self.keys.get_mut(key) else {
            self.keys.insert(key.to_owned(), KeyRecord { order, began: now, used, answer: None });
            return KeyState::New;
        };
        if known.order != order {
            return KeyState::Other;
        }
        let Some(answer) = known.answer.clone() else { return KeyState::Running };
        let before = std::mem::replace(&mut known.used, used);
        if let Some(key) = self.by_use.remove(&before) {
            self.by_use.insert(used, key);
        }
        KeyState::Again(answer)
    }

    /// It has been carried out.
    fn keep(&mut self, key: &str, answer: StoredAnswer) {
        let Some(known) = self.keys.get_mut(key) else { return };
        self.bytes += answer.body.len();
        self.by_use.insert(known.used, key.to_owned());
        known.answer = Some(answer);
        while self.by_use.len() > KEYS || (self.bytes > BYTES && self.by_use.len() > 1) {
            let Some((_, oldest)) = self.by_use.pop_first() else { return };
            self.forget(&oldest);
        }
    }
}

/// The keys that are remembered.
#[derive(Debug, Default)]
pub(super) struct Keys {
    book: Mutex<Book>,
    hasher: RandomState,
}

impl Keys {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key whose order is being carried out. Dropped in silence (the handler panicked), it is free again.
struct TakenKey {
    keys: Arc<Keys>,
    key: String,
    kept: bool,
}

impl Drop for TakenKey {
    fn drop(&mut self) {
        if !self.kept {
            self.keys.book().forget(&self.key);
        }
    }
}

/// The layer in front of every route: carries an order out once.
pub(super) async fn once(State(keys): State<Arc<Keys>>, request: Request, next: Next) -> Response {
    let key = match key(request.headers()) {
        Ok(Some(key)) if request.method() == Method::POST => key,
        Ok(_) => return next.run(request).await,
        Err(refused) => return refused.into_response(),
    };
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY).await else {
        let problem = format!("the body broke off, or is longer than {BODY} bytes; send less");
        return bad(problem).into_response();
    };
    let order = keys.hasher.hash_one((head.uri.path(), head.uri.query(), &body[..]));
    let found = keys.book().find(&key, order, clock::instant());
    match found {
        KeyState::Again(StoredAnswer { status, kind, body }) => {
            let mut response = (status, [(REPLAYED, "true")], body).into_response();
            kind.map(|kind| response.headers_mut().insert(header::CONTENT_TYPE, kind));
            response
        }
        KeyState::Other => ApiError::OtherOrder.into_response(),
        KeyState::Running => ApiError::InProgress.into_response(),
        KeyState::New => {
            let taken = TakenKey { keys, key, kept: false };
            let request = Request::from_parts(head, Body::from(body));
            let (answer, told) = tokio::sync::oneshot::channel();
            // A sender that leaves must not leave its order half done, or done and unknown.
            crate::runtime::tasks::detach(async move {
                let response = carry_out(taken, next.run(request).await).await;
                let _ = answer.send(response);
            });
            told.await.unwrap_or_else(|_| ApiError::Leaving.into_response())
        }
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(key) = headers.get(KEY) else { return Ok(None) };
    match key.to_str() {
        Ok(key) if !key.trim().is_empty() && key.len() <= LONGEST => Ok(Some(key.trim().to_owned())),
        Ok(_) | Err(_) => Err(bad(format!(
            "Idempotency-Key is none; send up to {LONGEST} visible characters, such as a UUID"
        ))),
    }
}

async fn carry_out(mut taken: TakenKey, response: Response) -> Response {
    if !response.status().is_success() {
        return response;
    }
    let (head, body) = response.into_parts();
    // Handlers answer with whole bodies.
    let Ok(body) = to_bytes(body, ANSWER).await else { return ApiError::Leaving.into_response() };
    let kind = head.headers.get(header::CONTENT_TYPE).cloned();
    taken.keys.book().keep(&taken.key, StoredAnswer { status: head.status, kind, body: body.clone() });
    taken.kept = true;
    Response::from_parts(head, Body::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: usize) -> StoredAnswer {
        StoredAnswer { status: StatusCode::OK, kind: None, body: Bytes::from(vec![b' '; bytes]) }
    }

    fn done(book: &mut Book, key: &str, bytes: usize, now: Instant) {
        assert_eq!(book.find(key, 1, now), KeyState::New);
        book.keep(key, answer(bytes));
    }

    #[test]
    fn a_key_stands_for_one_order_and_its_answer() {
        let (mut book, now) = (Book::default(), clock::instant());
        assert_eq!(book.find("a", 1, now), KeyState::New);
        assert_eq!(book.find("a", 1, now), KeyState::Running);
        assert_eq!(book.find("a", 2, now), KeyState::Other);
        book.keep("a", answer(3));
        assert_eq!(book.find("a", 1, now), KeyState::Again(answer(3)));
        assert_eq!(book.find("a", 2, now), KeyState::Other);
        book.forget("a");
        assert_eq!(book.find("a", 2, now), KeyState::New, "a refusal leaves nothing behind");
    }

    #[test]
    fn a_key_is_forgotten_after_a_day_and_not_before() {
        let (mut book, now) = (Book::default(), clock::instant());
        done(&mut book, "a", 3, now);
        assert!(matches!(book.find("a", 1, now + KEPT - Duration::from_secs(1)), KeyState::Again(_)));
        assert_eq!(book.find("a", 1, now + KEPT), KeyState::New);
        assert_eq!(book.bytes, 0);
        assert_eq!(
            book.find("a", 1, now + KEPT * 3),
            KeyState::Running,
            "what is being done is not forgotten"
        );
    }

    #[test]
    fn the_least_recently_used_make_room() {
        let (mut book, now) = (Book::default(), clock::instant());
        done(&mut book, "first", 1, now);
        done(&mut book, "second", 1, now);
        assert!(matches!(book.find("first", 1, now), KeyState::Again(_)));
        assert_eq!(book.find("running", 1, now), KeyState::New);
        (2..KEYS).for_each(|n| done(&mut book, &n.to_string(), 1, now));
        assert_eq!(book.by_use.len(), KEYS);
        done(&mut book, "one more", 1, now);
        assert!(matches!(book.find("first", 1, now), KeyState::Again(_)));
        assert_eq!(book.find("running", 1, now), KeyState::Running);
        assert_eq!(book.find("second", 1, now), KeyState::New);
        assert_eq!(book.bytes, KEYS);
    }

    #[test]
    fn answers_have_a_bound_of_bytes() {
        let (mut book, now) = (Book::default(), clock::instant());
        for n in 0..5 {
            done(&mut book, &n.to_string(), BYTES / 3, now);
        }
        assert!(book.bytes <= BYTES);
        assert!(matches!(book.find("4", 1, now), KeyState::Again(_)));
        assert_eq!(book.find("0", 1, now), KeyState::New);
    }
}
