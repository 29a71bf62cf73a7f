//! One request to a receiver, and what its answer means for the delivery.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::delivery::{DeliveryError, DeliveryFailure, excerpt};
use crate::config::channels::WebUrl;
use crate::net::addresses::Addresses;
use crate::net::client::{self, ClientError, Tls, WebRequest};
use crate::net::http::Bound;
use crate::reliability::retry_after::parse_retry_after;
use crate::runtime::clock;

/// The status says what came of it; what follows is read for people.
const READ: Bound = Bound { bytes: 64 * 1024, within: Duration::from_secs(2) };
/// The most that a receiver's `Retry-After` is believed: people wait.
const BELIEVED: Duration = Duration::from_secs(3_600);

impl From<ClientError> for DeliveryError {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Names(_) => Self::passing(DeliveryFailure::Names, error),
            ClientError::Connect(_) => Self::passing(DeliveryFailure::Connect, error),
            // Its file may be there by the next attempt.
            ClientError::NoTls(_) => Self::passing(DeliveryFailure::Unusable, error),
            ClientError::Tls(_) => Self::passing(DeliveryFailure::Tls, error),
            ClientError::Broken(_) => Self::passing(DeliveryFailure::Broken, error),
            ClientError::Unwritable(_) => Self::permanent(DeliveryFailure::Unusable, error),
        }
    }
}

/// Within the deadline, or late.
pub(super) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, DeliveryError>>,
) -> Result<T, DeliveryError> {
    match tokio::time::timeout(patience, work).await {
        Ok(done) => done,
        Err(_) => Err(DeliveryError::passing(DeliveryFailure::Late, format!("not done within {patience:?}"))),
    }
}

/// All at the same time; what each came to, in their order.
pub(super) async fn together<'a, T>(mut all: Vec<Pin<Box<dyn Future<Output = T> + Send + 'a>>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        let mut open = false;
        for (one, done) in all.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            match one.as_mut().poll(cx) {
                Poll::Ready(value) => *done = Some(value),
                Poll::Pending => open = true,
            }
        }
        if open { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// One POST of JSON.
pub(super) struct Post<'a> {
    pub(super) url: &'a WebUrl,
    /// What follows the address' own path.
    pub(super) path: &'a str,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// Not to be told.
    pub(super) secrets: Vec<&'a str>,
}

/// What was answered, when it was a success.
pub(super) struct HttpReply {
    pub(super) status: u16,
    /// On one line, secrets redacted.
    pub(super) said: String,
    /// As it came; not to be told.
    pub(super) body: String,
}

/// Sends it over a connection of its own. Any answer but 2xx is an error.
pub(super) async fn post(
    addresses: &Addresses,
    tls: &Tls,
    post: Post<'_>,
) -> Result<HttpReply, DeliveryError> {
    let Post { url, path, mut fields, body, secrets } = post;
    fields.insert(0, ("content-type", "application/json".to_owned()));
    let request = WebRequest { method: http::Method::POST, url, path, fields, body };
    ask(addresses, tls, request, secrets).await
}

/// One GET over a connection of its own. Any answer but 2xx is an error.
pub(super) async fn get(addresses: &Addresses, tls: &Tls, url: &WebUrl) -> Result<HttpReply, DeliveryError> {
    let (fields, body) = (Vec::new(), Vec::new());
    let request = WebRequest { method: http::Method::GET, url, path: "", fields, body };
    ask(addresses, tls, request, Vec::new()).await
}

async fn ask(
    addresses: &Addresses,
    tls: &Tls,
    request: WebRequest<'_>,
    mut secrets: Vec<&str>,
) -> Result<HttpReply, DeliveryError> {
    secrets.push(request.url.path.expose_secret());
    let answer = client::ask(addresses, tls, request, READ).await?;
    let status = answer.head.status.as_u16();
    let wait = answer.head.headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wall = clock::unix_seconds(clock::now().wall);
    let wait = wait.and_then(|value| parse_retry_after(value, wall, BELIEVED));
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    let said = excerpt(&body, &secrets);
    if answer.head.status.is_success() {
        Ok(HttpReply { status, said, body })
    } else {
        Err(DeliveryError::status(status, wait, &said))
    }
}
