//! One request to an address outside: looked up, connected, secured and asked, each over a connection of its own.
//!
//! For all that the control side asks of others: receivers of notifications, and whatever an action speaks HTTP to. No
//! pool, no breaker, no redirect, no second attempt; the caller bounds the time. Any status is an answer. Refuses to
//! know what an answer means.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::addresses::Addresses;
use super::http::{self as one_shot, AGENT, Bound, HttpAnswer, HttpVersion};
use super::tls;
use crate::config::channels::WebUrl;
use crate::config::{ClientTls, Host, Protocol};

/// One address among several; the next one must have its chance too.
const CONNECT: Duration = Duration::from_secs(3);

/// TLS of a client; the error (its roots cannot be read) is for people, and told when it is to be used.
pub type Tls = Result<tls::TlsClient, String>;

/// TLS for HTTP, with the roots of the config.
pub fn web_tls(config: &ClientTls) -> Tls {
    tls::TlsClient::new(config, Protocol::Http1).map_err(|error| error.to_string())
}

/// Why there is no answer. The texts are for people and hold no secret.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The name leads nowhere.
    #[error("{0}")]
    Names(String),
    /// No TCP connection came about: refused, or nobody answers.
    #[error("{0}")]
    Connect(String),
    /// TLS cannot be spoken as it is configured.
    #[error("{0}")]
    NoTls(String),
    /// TLS failed: not trusted, not the right name, not TLS.
    #[error("{0}")]
    Tls(String),
    /// The connection broke off, or what came is not HTTP.
    #[error("{0}")]
    Broken(String),
    /// The request cannot be written: a field or the path holds what HTTP does not allow.
    #[error("{0}")]
    Unwritable(String),
}

/// What is asked.
pub struct WebRequest<'a> {
    pub method: http::Method,
    pub url: &'a WebUrl,
    /// What follows the address' own path.
    pub path: &'a str,
    /// Beside `Host`, `User-Agent` and `Connection`.
    pub fields: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// Sends it, and reads the answer as far as `read` says.
pub async fn ask(
    addresses: &Addresses,
    tls: &Tls,
    request: WebRequest<'_>,
    read: Bound,
) -> Result<HttpAnswer, ClientError> {
    let url = request.url;
    let request = written(request)?;
    let tcp = connect(addresses, &url.host, url.port).await?;
    if url.secure {
        exchange(secure(tls, tcp, &url.host).await?, url, request, read).await
    } else {
        exchange(tcp, url, request, read).await
    }
}

async fn exchange<S>(
    stream: S,
    url: &WebUrl,
    request: http::Request<Full<Bytes>>,
    read: Bound,
) -> Result<HttpAnswer, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let asked = one_shot::ask(stream, HttpVersion::Http1, request, read).await;
    asked.map_err(|error| ClientError::Broken(format!("{url}: {error}")))
}

fn written(asked: WebRequest<'_>) -> Result<http::Request<Full<Bytes>>, ClientError> {
    let base = asked.url.path.expose_secret();
    let target = if asked.path.is_empty() {
        base.to_owned()
    } else {
        format!("{}{}", base.trim_end_matches('/'), asked.path)
    };
    let mut request = http::Request::builder()
        .method(asked.method)
        .uri(target)
        .header(http::header::HOST, asked.url.authority())
        .header(http::header::USER_AGENT, AGENT)
        .header(http::header::CONNECTION, "close");
    for (name, value) in &asked.fields {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(Bytes::from(asked.body)));
    request.map_err(|error| ClientError::Unwritable(format!("{}: {error}", asked.url)))
}

/// Connects to the first address that answers.
pub async fn connect(addresses: &Addresses, host: &Host, port: u16) -> Result<TcpStream, ClientError> {
    let shown = shown(host);
    let found = addresses.of(host).await;
    let found = found.map_err(|error| ClientError::Names(format!("{shown} cannot be looked up: {error}")))?;
    let mut last = String::new();
    for ip in found {
        let at = SocketAddr::new(ip, port);
        match tokio::time::timeout(CONNECT, TcpStream::connect(at)).await {
            Ok(Ok(stream)) => {
                // Without it a request is late by a round trip, and sent all the same.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = format!("{at}: {error}"),
            Err(_) => last = format!("{at}: no answer within {CONNECT:?}"),
        }
    }
    addresses.doubt(host);
    Err(ClientError::Connect(format!("{shown}: nobody answers ({last})")))
}

/// A host as text, without brackets.
pub fn shown(host: &Host) -> String {
    match host {
        Host::Name(name) => name.text.clone(),
        Host::Address(ip) => ip.to_string(),
    }
}

/// Shakes hands; the certificate must be of `host`, by a root that is trusted.
pub async fn secure(tls: &Tls, tcp: TcpStream, host: &Host) -> Result<tls::ClientStream, ClientError> {
    let tls = tls.as_ref().map_err(|error| ClientError::NoTls(format!("TLS: {error}")))?;
    let shown = shown(host);
    let shaken = tls.connect(tcp, &shown).await;
    shaken.map_err(|error| ClientError::Tls(format!("{shown}: TLS: {error}")))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::channels::Hidden;

    const READ: Bound = Bound { bytes: 1_000, within: Duration::from_secs(5) };

    fn url(text: &str) -> WebUrl {
        WebUrl::read(text, Hidden::Path).expect("an address")
    }

    fn plain() -> Tls {
        Err("no roots".to_owned())
    }

    fn request(url: &WebUrl) -> WebRequest<'_> {
        let fields = vec![("authorization", "Bearer t".to_owned())];
        WebRequest { method: http::Method::PATCH, url, path: "/scale", fields, body: b"{}".to_vec() }
    }

    #[tokio::test]
    async fn any_method_is_sent_below_the_address_and_any_status_is_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let at = listener.local_addr().expect("bound");
        let url = url(&format!("http://{at}/apis/"));
        let peer = async {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n{}") {
                let mut byte = [0];
                stream.read_exact(&mut byte).await.expect("a request");
                heard.extend_from_slice(&byte);
            }
            stream
                .write_all(b"HTTP/1.1 409 Conflict\r\ncontent-length: 4\r\n\r\nbusy")
                .await
                .expect("written");
            String::from_utf8(heard).expect("text")
        };
        let addresses = Addresses::system(|_| ());
        let tls = plain();
        let (answer, heard) = tokio::join!(ask(&addresses, &tls, request(&url), READ), peer);
        let answer = answer.expect("answered");
        assert_eq!((answer.head.status.as_u16(), &*answer.body), (409, &b"busy"[..]));
        assert!(heard.starts_with("PATCH /apis/scale HTTP/1.1\r\n"), "{heard}");
        for line in [&*format!("host: {at}"), "authorization: Bearer t", "connection: close"] {
            assert!(heard.lines().any(|sent| sent.eq_ignore_ascii_case(line)), "{line}: {heard}");
        }
    }

    #[tokio::test]
    async fn what_failed_is_told_apart_and_the_hidden_path_is_not_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let at = listener.local_addr().expect("bound");
        let addresses = Addresses::system(|_| ());
        let tls = plain();
        let secured = url(&format!("https://{at}/secret"));
        let error = ask(&addresses, &tls, request(&secured), READ).await.expect_err("no roots");
        assert!(matches!(error, ClientError::NoTls(_)), "{error}");
        let open = url(&format!("http://{at}/secret"));
        let wrong = WebRequest { fields: vec![("authorization", "a\nb".to_owned())], ..request(&open) };
        let error = ask(&addresses, &tls, wrong, READ).await.expect_err("no field");
        assert!(matches!(&error, ClientError::Unwritable(told) if !told.contains("secret")), "{error}");
        drop(listener);
        let error = ask(&addresses, &tls, request(&open), READ).await.expect_err("nobody");
        assert!(matches!(&error, ClientError::Connect(told) if !told.contains("secret")), "{error}");
    }
}
