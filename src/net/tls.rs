//! TLS in both roles. The only file that names rustls.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;

use super::records::{Seals, SmallRecords};
use super::shown::ShownCertificates;
use super::validity;
use crate::config::{ClientTls, Protocol, ServerTls};
use crate::runtime::{clock, files};

/// Sealed bytes of an upload that may wait for an upstream that does not read: two records (rustls: 64 KiB).
const UNSENT: usize = 32 * 1024;

/// A TLS connection towards an upstream.
pub type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;
/// A TLS connection of a client.
pub type ServerStream = SmallRecords<tokio_rustls::server::TlsStream<TcpStream>>;

impl Seals for tokio_rustls::server::TlsStream<TcpStream> {
    fn seal(&mut self, plain: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut self.get_mut().1.writer(), plain)
    }

    fn is_behind(&self) -> bool {
        self.get_ref().1.wants_write()
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds nothing usable.
    #[error("{file}: {problem}")]
    File {
        file: PathBuf,
        /// What is wrong, and what belongs there.
        problem: String,
    },
    /// Certificate and key do not belong together, or the provider refuses them.
    #[error("{cert} and {key} cannot be used together: {problem}")]
    Pair { cert: PathBuf, key: PathBuf, problem: String },
    /// A host that is neither a name nor an address.
    #[error("{0:?} is not a name that TLS can verify")]
    Name(String),
}

/// Makes aws-lc-rs the provider of the process. Later calls change nothing.
pub fn install_provider() {
    // An error means that one is installed already: by an earlier call.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Where the trusted roots come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootsFrom {
    /// The system's store (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
    System,
    /// The roots built into the binary: the system has none.
    BuiltIn,
    /// The roots in `ca_file` alone, as `only_ca_file` asks.
    OwnFile,
}

impl RootsFrom {
    /// For logs and the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::BuiltIn => "built-in (webpki-roots)",
            Self::OwnFile => "ca_file alone",
        }
    }
}

fn roots(config: &ClientTls) -> Result<(rustls::RootCertStore, RootsFrom), TlsError> {
    let mut store = rustls::RootCertStore::empty();
    let from = if config.only_ca_file {
        RootsFrom::OwnFile
    } else {
        let system = system_roots()?;
        let (added, _) = store.add_parsable_certificates(system.certs);
        // Whoever names a file means those roots and no others, least of all the public ones.
        let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().find_map(|name| {
            let path = PathBuf::from(std::env::var_os(name).filter(|path| !path.is_empty())?);
            (added == 0 || !path.exists()).then_some((name, path))
        });
        if let Some((name, file)) = named {
            let why = system.errors.first().map_or("no root was found".to_owned(), ToString::to_string);
            return Err(TlsError::File {
                file,
                problem: format!("is named by {name} and cannot be used: {why}"),
            });
        }
        if added == 0 {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            RootsFrom::BuiltIn
        } else {
            RootsFrom::System
        }
    };
    if let Some(file) = &config.ca_file {
        for certificate in certificates(file)? {
            store.add(certificate).map_err(|error| TlsError::File {
                file: file.to_owned(),
                problem: format!("holds a certificate that cannot be a root: {error}"),
            })?;
        }
    }
    Ok((store, from))
}

/// What the system trusts: files too, which may hang.
fn system_roots() -> Result<rustls_native_certs::CertificateResult, TlsError> {
    let file =
        std::env::var_os("SSL_CERT_FILE").map_or_else(|| PathBuf::from("the system's roots"), PathBuf::from);
    let read = files::patiently(&file, |_| Ok(rustls_native_certs::load_native_certs()));
    read.map_err(|error| TlsError::File { file, problem: format!("cannot be read: {error}") })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let problem = |problem: String| TlsError::File { file: file.to_owned(), problem };
    let pem = files::read(file).map_err(|error| problem(format!("cannot be read: {error}")))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => {
            Err(problem("holds no certificate; write PEM blocks `-----BEGIN CERTIFICATE-----`".to_owned()))
        }
        Err(error) => Err(problem(format!("is not PEM: {error}"))),
    }
}

/// TLS towards one upstream, with roots that can be replaced while it is in use.
#[derive(Clone)]
pub struct TlsClient {
    config: ClientTls,
    alpn: Vec<Vec<u8>>,
    held: Arc<ArcSwap<Held>>,
    server_name: Option<ServerName<'static>>,
    /// What its servers have shown.
    shown: Arc<ShownCertificates>,
    /// Where its roots come from.
    pub roots: RootsFrom,
}

struct Held {
    connector: tokio_rustls::TlsConnector,
    /// The content of `ca_file`.
    own: Vec<u8>,
    /// Rises when the roots are others.
    generation: u32,
}

impl TlsClient {
    /// Reads the roots and prepares a session cache.
    pub fn new(config: &ClientTls, protocol: Protocol) -> Result<Self, TlsError> {
        Self::speaking(
            config,
            match protocol {
                Protocol::Http1 => vec![b"http/1.1".to_vec()],
                Protocol::H2 => vec![b"h2".to_vec()],
                Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            },
        )
    }

    /// For what is not HTTP: names no protocol.
    pub fn without_alpn(config: &ClientTls) -> Result<Self, TlsError> {
        Self::speaking(config, Vec::new())
    }

    fn speaking(config: &ClientTls, alpn: Vec<Vec<u8>>) -> Result<Self, TlsError> {
        let server_name = config.server_name.as_deref().map(name).transpose()?;
        let (held, roots) = Held::read(config, 0)?;
        let held = Arc::new(ArcSwap::from_pointee(held));
        Ok(Self { config: config.clone(), alpn, held, server_name, shown: Arc::default(), roots })
    }

    /// Reads `ca_file` again; true when there was something new. On an error the old roots stay in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let before = self.held.load();
        if own(&self.config) == before.own {
            return Ok(false);
        }
        let (held, _) = Held::read(&self.config, before.generation + 1)?;
        self.held.store(Arc::new(held));
        Ok(true)
    }

    /// The certificates that its servers have shown.
    pub fn shown(&self) -> &Arc<ShownCertificates> {
        &self.shown
    }

    /// Connections of another generation were made with other roots.
    pub fn generation(&self) -> u32 {
        self.held.load().generation
    }

    /// Shakes hands; `host` is verified unless the config names another.
    pub async fn connect(&self, tcp: TcpStream, host: &str) -> io::Result<ClientStream> {
        self.shake(tcp, host, &self.alpn).await
    }

    /// The same, where nothing but HTTP/1.1 will do.
    pub async fn connect_h1(&self, tcp: TcpStream, host: &str) -> io::Result<ClientStream> {
        self.shake(tcp, host, &[b"http/1.1".to_vec()]).await
    }

    async fn shake(&self, tcp: TcpStream, host: &str, alpn: &[Vec<u8>]) -> io::Result<ClientStream> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => name(host).map_err(io::Error::other)?,
        };
        let connector = self.held.load().connector.clone();
        let mut stream = connector.with_alpn(alpn.to_vec()).connect(name, tcp).await?;
        stream.get_mut().1.set_buffer_limit(Some(UNSENT));
        if let Some([leaf, ..]) = stream.get_ref().1.peer_certificates() {
            let verified = self.config.server_name.as_deref().unwrap_or(host);
            self.shown.see(verified, leaf, clock::now().wall);
        }
        Ok(stream)
    }
}

impl Held {
    fn read(config: &ClientTls, generation: u32) -> Result<(Self, RootsFrom), TlsError> {
        let own = own(config);
        let (store, from) = roots(config)?;
        let client = rustls::ClientConfig::builder().with_root_certificates(store).with_no_client_auth();
        Ok((Self { connector: Arc::new(client).into(), own, generation }, from))
    }
}

/// What cannot be read is told by whoever needs it.
fn own(config: &ClientTls) -> Vec<u8> {
    config.ca_file.as_ref().and_then(|file| files::read(file).ok()).unwrap_or_default()
}

fn name(host: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))
}

/// From when and until when the certificate that the peer has shown is valid; `None`: it cannot be read.
pub fn peer_validity(stream: &ClientStream) -> Option<(SystemTime, SystemTime)> {
    validity::of(stream.get_ref().1.peer_certificates()?.first()?)
}

/// Did both sides agree on HTTP/2?
pub fn negotiated_h2(stream: &ClientStream) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

/// Does the peer say that it speaks none of the protocols that it was offered (RFC 7301 section 3.2)?
pub fn speaks_another(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)))
}

/// Did the client agree on HTTP/2?
pub fn accepted_h2(stream: &ServerStream) -> bool {
    stream.get_ref().get_ref().1.alpn_protocol() == Some(b"h2")
}

#[derive(Debug)]
struct CurrentKey(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for CurrentKey {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// TLS of a listener, with a certificate that can be replaced while it is in use.
#[derive(Clone)]
pub struct Server {
    files: Arc<ServerTls>,
    current: Arc<CurrentKey>,
    acceptor: tokio_rustls::TlsAcceptor,
}

impl Server {
    /// Reads certificate and key.
    pub fn load(files: &ServerTls) -> Result<Self, TlsError> {
        let current = Arc::new(CurrentKey(ArcSwap::from(pair(files)?)));
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<CurrentKey>::clone(&current);
        let mut server = rustls::ServerConfig::builder().with_no_client_auth().with_cert_resolver(resolver);
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if let Ok(ticketer) = rustls::crypto::aws_lc_rs::Ticketer::new() {
            server.ticketer = ticketer;
        }
        Ok(Self { files: Arc::new(files.clone()), current, acceptor: Arc::new(server).into() })
    }

    /// Reads both files again; true when there was something new. On an error the old pair stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let new = pair(&self.files)?;
        let changed = new.cert != self.current.0.load().cert;
        self.current.0.store(new);
        Ok(changed)
    }

    /// From when and until when the certificate that is shown is valid; `None`: it cannot be told.
    pub fn validity(&self) -> Option<(SystemTime, SystemTime)> {
        validity::of(self.current.0.load().cert.first()?)
    }

    /// Shakes hands with a client.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<ServerStream> {
        self.acceptor.accept(tcp).await.map(SmallRecords::new)
    }
}

fn pair(of: &ServerTls) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(&of.cert_file)?;
    let wrong = |problem: String| TlsError::File { file: of.key_file.clone(), problem };
    let pem = files::read(&of.key_file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        wrong(format!("holds no private key ({error}); write a PEM block `-----BEGIN PRIVATE KEY-----`"))
    })?;
    let bad_pair = |error: rustls::Error| TlsError::Pair {
        cert: of.cert_file.clone(),
        key: of.key_file.clone(),
        problem: error.to_string(),
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let pair = CertifiedKey::from_der(chain, key, &provider).map_err(bad_pair)?;
    pair.keys_match().map_err(bad_pair)?;
    Ok(Arc::new(pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(dir: &Path, name: &str) -> (String, ServerTls) {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).expect("generates");
        let files = ServerTls {
            cert_file: dir.join(format!("{name}.pem")),
            key_file: dir.join(format!("{name}.key")),
        };
        std::fs::write(&files.cert_file, made.cert.pem()).expect("writes");
        std::fs::write(&files.key_file, made.signing_key.serialize_pem()).expect("writes");
        (made.cert.pem(), files)
    }

    async fn shake(server: &Server, client: &TlsClient) -> io::Result<bool> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let near = TcpStream::connect(listener.local_addr()?).await?;
        let (far, _) = listener.accept().await?;
        let (accepted, connected) = tokio::join!(server.accept(far), client.connect(near, "a.example"));
        let stream = connected?;
        accepted?;
        Ok(negotiated_h2(&stream))
    }

    #[tokio::test]
    async fn only_a_trusted_certificate_of_the_right_name_passes() {
        install_provider();
        let dir = tempfile::tempdir().expect("a directory");
        let (_, files) = write_pair(dir.path(), "one");
        let server = Server::load(&files).expect("loads");
        let trusting = ClientTls { ca_file: Some(files.cert_file.clone()), ..ClientTls::default() };
        let both = TlsClient::new(&trusting, Protocol::Auto).expect("builds");
        assert!(shake(&server, &both).await.expect("trusted"));
        let h1 = TlsClient::new(&trusting, Protocol::Http1).expect("builds");
        assert!(!shake(&server, &h1).await.expect("trusted"));
        let stranger = TlsClient::new(&ClientTls::default(), Protocol::Auto).expect("builds");
        assert!(shake(&server, &stranger).await.is_err());
        let misnamed = ClientTls { server_name: Some("b.example".to_owned()), ..trusting };
        let misnamed = TlsClient::new(&misnamed, Protocol::Auto).expect("builds");
        assert!(shake(&server, &misnamed).await.is_err());
    }

    #[test]
    fn a_pair_that_does_not_match_leaves_the_old_one_in_use() {
        install_provider();
        let dir = tempfile::tempdir().expect("a directory");
        let (_, files) = write_pair(dir.path(), "one");
        let (_, other) = write_pair(dir.path(), "two");
        let server = Server::load(&files).expect("loads");
        assert!(!server.reload().expect("same files"));
        std::fs::copy(&other.key_file, &files.key_file).expect("copies");
        assert!(server.reload().is_err());
        std::fs::copy(&other.cert_file, &files.cert_file).expect("copies");
        assert!(server.reload().expect("a new pair"));
    }
}
