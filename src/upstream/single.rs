//! One look at an endpoint over a connection of its own, beside the traffic: a connect, or a GET.
//!
//! No pool, no breaker, no second attempt: active checks are made of it, and the reading of the application's own document.

use tokio::net::TcpStream;

use super::endpoint::EndpointState;
use super::{Upstream, local};
use crate::config;
use crate::net::http::{self as http_client, AGENT, AskError, Bound, HttpAnswer, HttpVersion};

/// Why there is no answer.
#[derive(Debug)]
pub struct Missed {
    /// What was missed, for the log.
    pub(super) told: String,
    /// It was this side that lacked something (a descriptor, a route for the address): no word about the endpoint.
    pub(super) ours: bool,
}

impl Missed {
    pub(super) fn by_peer(told: String) -> Self {
        Self { told, ours: false }
    }
}

/// A GET of one path.
pub(super) struct SingleGet<'a> {
    pub(super) path: &'a str,
    /// Beside `Host` and `User-Agent`.
    pub(super) fields: &'a [(&'static str, &'a str)],
    /// How much of the answer's body is read.
    pub(super) read: Bound,
}

/// Connects, speaks TLS where that is spoken, and gets what is `asked`; without that there is no answer. The caller bounds the time.
pub(super) async fn look(
    upstream: &Upstream,
    endpoint: &EndpointState,
    asked: Option<&SingleGet<'_>>,
) -> Result<Option<HttpAnswer>, Missed> {
    let tcp = TcpStream::connect(endpoint.addr).await.map_err(|error| Missed {
        told: format!("connect: {error}"),
        ours: local::cause(&error).is_some(),
    })?;
    let done = match (&upstream.tls, asked) {
        (None, None) => return Ok(None),
        (None, Some(asked)) => {
            let prior = upstream.config.protocol == config::Protocol::H2;
            get(tcp, endpoint, asked, prior).await
        }
        (Some(tls), asked) => {
            let stream = tls.connect(tcp, &endpoint.host).await;
            let stream = stream.map_err(|error| Missed::by_peer(format!("TLS: {error}")))?;
            let h2 = crate::net::tls::negotiated_h2(&stream);
            match asked {
                Some(asked) => get(stream, endpoint, asked, h2).await,
                None => return Ok(None),
            }
        }
    };
    done.map(Some).map_err(Missed::by_peer)
}

async fn get<S>(
    stream: S,
    endpoint: &EndpointState,
    asked: &SingleGet<'_>,
    h2: bool,
) -> Result<HttpAnswer, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (authority, path) = (endpoint.authority(), asked.path);
    let uri = if h2 { format!("http://{authority}{path}") } else { path.to_owned() };
    let mut request = http::Request::get(uri).header("user-agent", AGENT);
    if !h2 {
        request = request.header("host", authority);
    }
    for (name, value) in asked.fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Default::default()).map_err(|error| error.to_string())?;
    let version = if h2 { HttpVersion::Http2 } else { HttpVersion::Http1 };
    let answer = http_client::ask(stream, version, request, asked.read).await;
    answer.map_err(|error| match error {
        AskError::NoSession(error) => error.to_string(),
        AskError::NoAnswer(error) => format!("no answer: {error}"),
    })
}
