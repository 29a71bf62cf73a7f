//! One request over a connection of its own: messages of the notifier, active checks.
//!
//! No pool, no redirect, no second attempt: who asks decides about those. Of an answer's body no more is read than the asker
//! wants, and no longer.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::runtime::clock;
use crate::runtime::tasks::SendExec;

/// `User-Agent` of every request and mail.
pub const AGENT: &str = concat!("strop/", env!("CARGO_PKG_VERSION"));

/// The version of HTTP that is spoken, from the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    Http1,
    /// HTTP/2, by prior knowledge or as TLS has agreed on.
    Http2,
}

/// How much of a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Bytes that are kept at most.
    pub bytes: usize,
    /// From the head of the answer on. What has not come by then is left out.
    pub within: Duration,
}

impl Bound {
    /// The head says it all.
    pub const NOTHING: Self = Self { bytes: 0, within: Duration::ZERO };
}

/// An answer, read as far as [`Bound`] allows.
#[derive(Debug)]
pub struct HttpAnswer {
    pub head: http::response::Parts,
    /// The beginning of the body; see [`Bound`].
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The peer speaks another protocol, or none.
    #[error("{0}")]
    NoSession(hyper::Error),
    /// It took the request, or a part of it, and gave no head.
    #[error("{0}")]
    NoAnswer(hyper::Error),
}

/// Sends `request` over `stream`, and reads the answer as far as `read` says. The caller bounds the time.
pub async fn ask<S>(
    stream: S,
    version: HttpVersion,
    request: http::Request<Full<Bytes>>,
    read: Bound,
) -> Result<HttpAnswer, AskError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Sessions of both versions are large, and this is a part of the futures of all who ask.
    Box::pin(once(stream, version, request, read)).await
}

async fn once<S>(
    stream: S,
    version: HttpVersion,
    request: http::Request<Full<Bytes>>,
    read: Bound,
) -> Result<HttpAnswer, AskError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(stream);
    match version {
        HttpVersion::Http1 => {
            let (mut sender, connection) = http1::handshake(stream).await.map_err(AskError::NoSession)?;
            driven(connection, async {
                let answer = sender.send_request(request).await.map_err(AskError::NoAnswer)?;
                Ok(start_of(answer, read).await)
            })
            .await
        }
        HttpVersion::Http2 => {
            let shaken = http2::handshake(SendExec, stream).await;
            let (mut sender, connection) = shaken.map_err(AskError::NoSession)?;
            driven(connection, async {
                let answer = sender.send_request(request).await.map_err(AskError::NoAnswer)?;
                Ok(start_of(answer, read).await)
            })
            .await
        }
    }
}

/// Does `work` while the connection is driven.
async fn driven<T>(connection: impl Future, work: impl Future<Output = T>) -> T {
    let (mut connection, mut work) = (pin!(connection), pin!(work));
    tokio::select! {
        biased;
        done = &mut work => done,
        // An answer and the end of its connection may come in one read: then the answer is there by now.
        _ = &mut connection => work.await,
    }
}

/// A body that breaks off, or does not end, is as long as it is.
async fn start_of(answer: http::Response<hyper::body::Incoming>, read: Bound) -> HttpAnswer {
    let (head, mut incoming) = answer.into_parts();
    let (mut body, until) = (Vec::new(), clock::instant() + read.within);
    while body.len() < read.bytes
        && let Ok(Some(Ok(frame))) = tokio::time::timeout_at(until.into(), incoming.frame()).await
    {
        if let Some(data) = frame.data_ref() {
            body.extend_from_slice(data);
        }
    }
    body.truncate(read.bytes);
    HttpAnswer { head, body }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What is answered by a peer that sends `bytes` once it has the whole request, and then closes or stays.
    async fn answered(bytes: &'static [u8], stays: bool, read: Bound) -> Result<HttpAnswer, AskError> {
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let peer = async {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                theirs.read_exact(&mut byte).await.expect("a request");
                asked.extend_from_slice(&byte);
            }
            theirs.write_all(bytes).await.expect("written");
            if stays { Some(theirs) } else { None }
        };
        let request =
            http::Request::get("/up").header("host", "peer").body(Full::default()).expect("a request");
        tokio::join!(ask(ours, HttpVersion::Http1, request, read), peer).0
    }

    const ALL: Bound = Bound { bytes: 1_000, within: Duration::from_secs(60) };

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_as_far_as_it_is_wanted_and_no_longer_than_it_may_take() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        let read = answered(whole, true, ALL).await.expect("answered");
        assert_eq!((read.head.status.as_u16(), &*read.body), (200, &b"hello"[..]));
        let short = answered(whole, true, Bound { bytes: 2, ..ALL }).await.expect("answered");
        assert_eq!(short.body, b"he");
        assert_eq!(answered(whole, true, Bound::NOTHING).await.expect("answered").body, b"");
        let slow = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello";
        assert_eq!(answered(slow, true, ALL).await.expect("answered").body, b"hello", "the rest never comes");
    }

    #[tokio::test]
    async fn an_answer_counts_though_its_connection_ends_with_it() {
        let read =
            answered(b"HTTP/1.1 503 Busy\r\nretry-after: 3\r\n\r\n", false, ALL).await.expect("answered");
        assert_eq!(
            (read.head.status.as_u16(), &read.head.headers["retry-after"]),
            (503, &"3".parse().expect("a value"))
        );
        assert!(matches!(answered(b"", false, ALL).await, Err(AskError::NoAnswer(_))));
        assert!(matches!(answered(b"SSH-2.0-x\r\n\r\n", true, ALL).await, Err(AskError::NoAnswer(_))));
    }
}
