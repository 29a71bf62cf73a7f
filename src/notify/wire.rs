//! Connections of the notifier's own, one per message: no pool, no breaker, no degradation, no redirects.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;

use super::addresses::Addresses;
use super::delivery::{DeliveryError, DeliveryFailure, excerpt};
use crate::config::channels::WebUrl;
use crate::config::{Host, Protocol};
pub(super) use crate::net::http::AGENT;
use crate::net::http::{self as http_client, Bound, HttpAnswer as Answered, HttpVersion};
use crate::net::tls;
use crate::reliability::retry_after::parse_retry_after;
use crate::runtime::clock;

/// One address among several; the next one must have its chance too.
const CONNECT: Duration = Duration::from_secs(3);
/// The status says what came of it; what follows is read for people.
const READ: Bound = Bound { bytes: 64 * 1024, within: Duration::from_secs(2) };
/// The most that a receiver's `Retry-After` is believed: people wait.
const BELIEVED: Duration = Duration::from_secs(3_600);

/// TLS of a channel; the error is for people.
pub(super) type Tls = Result<tls::TlsClient, String>;

/// A TLS client with the roots of the config; `Err`: they cannot be read.
pub(super) fn web_tls(config: &crate::config::ClientTls) -> Tls {
    tls::TlsClient::new(config, Protocol::Http1).map_err(|error| error.to_string())
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

/// Connects to the first address that answers.
pub(super) async fn connect(
    addresses: &Addresses,
    host: &Host,
    port: u16,
) -> Result<TcpStream, DeliveryError> {
    let shown = shown(host);
    let found = addresses.of(host).await;
    let found = found.map_err(|error| {
        DeliveryError::passing(DeliveryFailure::Names, format!("{shown} cannot be looked up: {error}"))
    })?;
    let mut last = String::new();
    for ip in found {
        let at = SocketAddr::new(ip, port);
        match tokio::time::timeout(CONNECT, TcpStream::connect(at)).await {
            Ok(Ok(stream)) => {
                // Without it a message is late by a round trip, and delivered all the same.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = format!("{at}: {error}"),
            Err(_) => last = format!("{at}: no answer within {CONNECT:?}"),
        }
    }
    addresses.doubt(host);
    Err(DeliveryError::passing(DeliveryFailure::Connect, format!("{shown}: nobody answers ({last})")))
}

/// A host as text, without brackets.
pub(super) fn shown(host: &Host) -> String {
    match host {
        Host::Name(name) => name.text.clone(),
        Host::Address(ip) => ip.to_string(),
    }
}

/// Shakes hands; the certificate must be of `host`, by a root that is trusted.
pub(super) async fn secure(
    tls: &Tls,
    tcp: TcpStream,
    host: &Host,
) -> Result<tls::ClientStream, DeliveryError> {
    let tls = tls
        .as_ref()
        .map_err(|error| DeliveryError::passing(DeliveryFailure::Unusable, format!("TLS: {error}")))?;
    let shown = shown(host);
    let shaken = tls.connect(tcp, &shown).await;
    shaken.map_err(|error| DeliveryError::passing(DeliveryFailure::Tls, format!("{shown}: TLS: {error}")))
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
    let request = request(&post)?;
    ask(addresses, tls, post.url, request, post.secrets).await
}

/// One GET over a connection of its own. Any answer but 2xx is an error.
pub(super) async fn get(addresses: &Addresses, tls: &Tls, url: &WebUrl) -> Result<HttpReply, DeliveryError> {
    let request = http::Request::get(url.path.expose_secret())
        .header(http::header::HOST, url.authority())
        .header(http::header::USER_AGENT, AGENT)
        .header(http::header::CONNECTION, "close")
        .body(Full::default());
    let request = request
        .map_err(|error| DeliveryError::permanent(DeliveryFailure::Unusable, format!("{url}: {error}")))?;
    ask(addresses, tls, url, request, Vec::new()).await
}

async fn ask(
    addresses: &Addresses,
    tls: &Tls,
    url: &WebUrl,
    request: http::Request<Full<Bytes>>,
    secrets: Vec<&str>,
) -> Result<HttpReply, DeliveryError> {
    let tcp = connect(addresses, &url.host, url.port).await?;
    if url.secure {
        let stream = secure(tls, tcp, &url.host).await?;
        exchange(stream, url, request, secrets).await
    } else {
        exchange(tcp, url, request, secrets).await
    }
}

async fn exchange<S>(
    stream: S,
    url: &WebUrl,
    request: http::Request<Full<Bytes>>,
    mut secrets: Vec<&str>,
) -> Result<HttpReply, DeliveryError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let asked = http_client::ask(stream, HttpVersion::Http1, request, READ).await;
    let Answered { head, body } =
        asked.map_err(|error| DeliveryError::passing(DeliveryFailure::Broken, format!("{url}: {error}")))?;
    let status = head.status.as_u16();
    let wait = head.headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wall = clock::unix_seconds(clock::now().wall);
    let wait = wait.and_then(|value| parse_retry_after(value, wall, BELIEVED));
    secrets.push(url.path.expose_secret());
    let body = String::from_utf8_lossy(&body).into_owned();
    let said = excerpt(&body, &secrets);
    if head.status.is_success() {
        Ok(HttpReply { status, said, body })
    } else {
        Err(DeliveryError::status(status, wait, &said))
    }
}

fn request(post: &Post<'_>) -> Result<http::Request<Full<Bytes>>, DeliveryError> {
    let base = post.url.path.expose_secret();
    let target = if post.path.is_empty() {
        base.to_owned()
    } else {
        format!("{}{}", base.trim_end_matches('/'), post.path)
    };
    let mut request = http::Request::post(target)
        .header(http::header::HOST, post.url.authority())
        .header(http::header::USER_AGENT, AGENT)
        .header(http::header::CONTENT_TYPE, "application/json")
        .header(http::header::CONNECTION, "close");
    for (name, value) in &post.fields {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(Bytes::from(post.body.clone())));
    request.map_err(|error| {
        DeliveryError::permanent(DeliveryFailure::Unusable, format!("{}: {error}", post.url))
    })
}
