//! An authority of our own, and TLS that is not the proxy's.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A certificate, its key, and the authority that signed it: as files too.
pub struct Issued {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    secret: Vec<u8>,
    _dir: tempfile::TempDir,
}

/// A certificate for these names, by an authority that nobody else knows.
pub fn issue(names: &[&str]) -> Issued {
    issued(names, |_| {})
}

/// One that began sixty days ago and runs out in so many.
pub fn issue_until(names: &[&str], days: u64) -> Issued {
    let day = Duration::from_secs(86_400);
    let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let at = |since: Duration| rcgen::date_time_ymd(1_970, 1, 1) + since;
    issued(names, |leaf| {
        leaf.not_before = at(today - day * 60);
        leaf.not_after = at(today + day * u32::try_from(days).expect("a few"));
    })
}

fn issued(names: &[&str], valid: impl Fn(&mut CertificateParams)) -> Issued {
    let ca_key = KeyPair::generate().expect("generates");
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.distinguished_name.push(DnType::CommonName, "an authority of the tests");
    let ca_pem = ca.self_signed(&ca_key).expect("signs").pem();
    let key = KeyPair::generate().expect("generates");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut leaf = CertificateParams::new(names).expect("names");
    leaf.use_authority_key_identifier_extension = true;
    valid(&mut leaf);
    let cert = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).expect("signs");
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path
    };
    Issued {
        ca: write("ca.pem", ca_pem),
        cert: write("cert.pem", cert.pem()),
        key: write("key.pem", key.serialize_pem()),
        chain: vec![cert.der().clone()],
        secret: key.serialize_der(),
        _dir: dir,
    }
}

/// Ends TLS in front of `plain`; what is inside passes unread.
pub struct TlsFront {
    pub address: SocketAddr,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl TlsFront {
    pub fn start(issued: &Issued, plain: SocketAddr) -> Self {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(issued.secret.clone()));
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(issued.chain.clone(), key)
            .expect("a pair");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (tell, told) = channel();
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("builds").block_on(async {
                tokio::select! {
                    () = serve(acceptor, plain, tell) => {}
                    _ = &mut stopped => {}
                }
            });
        });
        Self { address: told.recv().expect("bound"), _stop: stop }
    }
}

async fn serve(acceptor: TlsAcceptor, plain: SocketAddr, tell: Sender<SocketAddr>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
    tell.send(listener.local_addr().expect("bound")).expect("somebody asked");
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            let mut secure = acceptor.accept(stream).await?;
            let mut far = TcpStream::connect(plain).await?;
            tokio::io::copy_bidirectional(&mut secure, &mut far).await
        });
    }
}
