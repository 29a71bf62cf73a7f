//! `[ingress]`: in front of the backend.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::concurrency::ConcurrencyFile;
use super::limits::{ClientLimits, LimitsFile};
use super::problem::Part;
use super::word::{OneOf, words};
use crate::names::UpstreamName;
use crate::reliability::concurrency::ConcurrencyPolicy;
use crate::units::Text;

/// The table `[ingress]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct IngressFile {
    /// Address and port that clients connect to, such as `127.0.0.1:8000`.
    #[cfg_attr(test, schemars(extend("x-restart" = true)))]
    pub listen: Text<SocketAddr>,
    /// The upstream that answers where no route says otherwise.
    pub upstream: String,
    /// Proxies in front that are believed.
    pub trusted_hops: u8,
    /// What becomes of requests without a trace.
    pub traces: OneOf<Traces>,
    /// What becomes of paths that two servers read differently.
    pub ambiguous: OneOf<Ambiguous>,
    /// Answer /api/v2/sre/ on this port too.
    pub claim_sre_api: bool,
    /// Path of the application's own OpenAPI document, such as "/openapi.json": its operations are the names of the requests that
    /// no other route takes, and nothing else comes from it. Absent: they are all `default`.
    pub openapi: Option<String>,
    /// Between two looks at that document, beside those after a restart of the application.
    pub openapi_every: Text<Duration>,
    /// TLS termination; absent: plain HTTP/1.1 and h2c.
    #[cfg_attr(test, schemars(extend("x-restart" = true)))]
    pub tls: Option<ServerTlsFile>,
    /// What one client may ask.
    pub limits: LimitsFile,
    /// How many requests may be under way at once.
    pub concurrency: ConcurrencyFile,
}

impl Default for IngressFile {
    fn default() -> Self {
        Self {
            listen: Text(SocketAddr::from(([127, 0, 0, 1], 8_000))),
            upstream: "backend".to_owned(),
            trusted_hops: 0,
            traces: OneOf(Traces::Continue),
            ambiguous: OneOf(Ambiguous::Pass),
            claim_sre_api: false,
            openapi: None,
            openapi_every: Text(Duration::from_secs(60)),
            tls: None,
            limits: LimitsFile::default(),
            concurrency: ConcurrencyFile::default(),
        }
    }
}

/// What becomes of requests without a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traces {
    /// They go on without a trace; the application decides whether to begin one.
    Continue,
    /// They get a `traceparent` of a new trace, marked as sampled.
    Begin,
}

words! {
    Traces: "way with traces" {
        Continue = "continue", "traces are continued and none is begun: the application decides what is sampled";
        Begin = "begin", "a request without a trace begins one, as sampled";
    }
}

/// What becomes of paths that two servers read differently: `%2f`, `%5c`, a backslash, a semicolon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguous {
    /// They go on as they came.
    Pass,
    /// They are answered with 400.
    Refuse,
}

words! {
    Ambiguous: "way with ambiguous paths" {
        Pass = "pass", "they go on as they came: ids may hold such characters";
        Refuse = "refuse", "400, where routes are to keep somebody out";
    }
}

/// The table `[ingress.tls]`: certificate and key of the ingress listener.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ServerTlsFile {
    /// PEM file with the certificate chain, the leaf first.
    pub cert_file: String,
    /// PEM file with the private key: PKCS#8, SEC1 or PKCS#1.
    pub key_file: String,
}

/// `[ingress]` as it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingress {
    pub listen: SocketAddr,
    /// The upstream that answers when no route says otherwise.
    pub upstream: UpstreamName,
    /// TLS termination with ALPN h2 and http/1.1; plain HTTP/1.1 and h2c without it.
    pub tls: Option<ServerTls>,
    /// How many proxies in front may be believed when they write `X-Forwarded-For` or `Forwarded`.
    pub trusted_hops: u8,
    /// Does a request without a trace begin one?
    pub traces: Traces,
    /// What becomes of paths that two servers read differently.
    pub ambiguous: Ambiguous,
    /// Answer `/api/v2/sre/` on this port too.
    pub claim_sre_api: bool,
    /// The application's own document, by which routes are named; `None`: none is read.
    pub openapi: Option<DocumentSource>,
    /// What one client may ask of this listener; new connections are held to it.
    pub limits: Arc<ClientLimits>,
    /// How many requests each upstream behind the ingress may have under way.
    pub concurrency: ConcurrencyPolicy,
}

/// Where the application's own OpenAPI document is, and how often it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentSource {
    /// Of the ingress' upstream.
    pub path: String,
    pub every: Duration,
}

/// Certificate and key files, read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// PEM file with the certificate chain, the leaf first.
    pub cert_file: PathBuf,
    /// PEM: PKCS#8, SEC1 or PKCS#1.
    pub key_file: PathBuf,
}

impl IngressFile {
    /// `upstreams`: those that there are.
    pub(super) fn check(&self, mut at: Part<'_, '_>, upstreams: &[&str]) -> Option<Ingress> {
        at.known("upstream", &self.upstream, ("upstream", "upstreams"), upstreams);
        let upstream = at.take("upstream", UpstreamName::new(&self.upstream));
        let tls = self.tls.as_ref().map(|tls| {
            let mut at = at.part("tls");
            ServerTls {
                cert_file: at.readable("cert_file", &tls.cert_file),
                key_file: at.readable("key_file", &tls.key_file),
            }
        });
        let openapi = self.document(&mut at);
        Some(Ingress {
            openapi,
            listen: self.listen.0,
            upstream: upstream?,
            tls,
            trusted_hops: self.trusted_hops,
            traces: self.traces.0,
            ambiguous: self.ambiguous.0,
            claim_sre_api: self.claim_sre_api,
            limits: Arc::new(self.limits.check(at.part("limits"))),
            concurrency: self.concurrency.check(at.part("concurrency")),
        })
    }

    fn document(&self, at: &mut Part<'_, '_>) -> Option<DocumentSource> {
        if self.openapi_every.0 < Duration::from_secs(1) {
            at.add("openapi_every", "must be at least 1s");
        }
        let path = self.openapi.clone()?;
        if !path.starts_with('/') || path.chars().any(|c| !c.is_ascii_graphic() || c == '#') {
            at.add(
                "openapi",
                format!("{path:?} is no path of the application; write one such as \"/openapi.json\""),
            );
        }
        Some(DocumentSource { path, every: self.openapi_every.0 })
    }
}
