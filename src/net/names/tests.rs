//! Against name servers on the loopback that say what they are told to.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use super::*;

/// What a server says of one name.
#[derive(Clone)]
enum Says {
    Addresses(Vec<IpAddr>),
    Code(u8),
    Nothing,
}

/// Serves one port of the loopback; every question is noted.
struct Server {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(at: SocketAddr, says: BTreeMap<&'static str, Says>) -> Self {
        let socket = UdpSocket::bind(at).expect("loopback binds");
        let at = socket.local_addr().expect("bound");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut bytes = [0; 1_500];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                let (name, kind) = question(&bytes[..length]);
                noted.lock().expect("not poisoned").push(format!("{name} {kind}"));
                let said = says.get(name.as_str()).cloned().unwrap_or(Says::Code(3));
                if let Some(answer) = answer(&bytes[..length], kind, &said) {
                    let _ = socket.send_to(&answer, from); // whoever asked may be gone
                }
            }
        });
        Self { at, asked }
    }

    /// Names asked for, in order, each once.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for asked in self.asked.lock().expect("not poisoned").iter() {
            let name = asked.split(' ').next().unwrap_or_default().to_owned();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

fn question(bytes: &[u8]) -> (String, u16) {
    let (mut at, mut labels) = (12, Vec::new());
    while bytes[at] != 0 {
        let end = at + 1 + usize::from(bytes[at]);
        labels.push(String::from_utf8_lossy(&bytes[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    (labels.join("."), u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]))
}

fn answer(asked: &[u8], kind: u16, says: &Says) -> Option<Vec<u8>> {
    let (code, all) = match says {
        Says::Nothing => return None,
        Says::Code(code) => (*code, Vec::new()),
        Says::Addresses(all) => (0, all.clone()),
    };
    let of_kind: Vec<_> = all.iter().filter(|ip| ip.is_ipv4() == (kind == 1)).collect();
    let mut end = 12;
    while asked[end] != 0 {
        end += 1 + usize::from(asked[end]);
    }
    let mut out = asked[..end + 5].to_vec();
    out[2..4].copy_from_slice(&[0x81, 0x80 | code]);
    out[4..12].copy_from_slice(&[0, 1, 0, of_kind.len() as u8, 0, 0, 0, 0]);
    for ip in of_kind {
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 30]);
        let bytes = match ip {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        out.extend_from_slice(&bytes);
    }
    Some(out)
}

fn local(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// A resolver with files of its own.
fn resolver(dir: &tempfile::TempDir, port: u16, resolv_conf: &str, hosts: &str) -> Resolver {
    let (conf, listed) = (dir.path().join("resolv.conf"), dir.path().join("hosts"));
    std::fs::write(&conf, resolv_conf).expect("writes");
    std::fs::write(&listed, hosts).expect("writes");
    Resolver { resolv_conf: conf, hosts: listed, beside: ResolverEnv::default(), port, ..Resolver::system() }
}

fn one(says: impl IntoIterator<Item = (&'static str, Says)>) -> Server {
    Server::start(SocketAddr::new(local(1), 0), says.into_iter().collect())
}

const CONF: &str = "nameserver 127.0.0.1\nsearch a.example b.example\noptions timeout:1 attempts:1\n";

#[tokio::test]
async fn search_domains_are_tried_until_one_has_the_name() {
    let server = one([("db.b.example", Says::Addresses(vec![local(7)]))]);
    let dir = tempfile::tempdir().expect("a directory");
    let resolver = resolver(&dir, server.at.port(), CONF, "");
    let found = resolver.lookup("db", Search::Domains).await.expect("found");
    assert_eq!((found.addresses, found.untold), (vec![local(7)], None));
    assert!((Duration::from_secs(28)..=Duration::from_secs(30)).contains(&found.ttl), "{:?}", found.ttl);
    assert_eq!(server.names(), ["db.a.example", "db.b.example"]);
    let absent = resolver.lookup("db", Search::Never).await.expect_err("not without them");
    assert!(matches!(absent, Unresolved::Absent(_)), "{absent:?}");
    assert_eq!(server.names().last().map(String::as_str), Some("db"));
}

#[tokio::test]
async fn a_search_domain_whose_servers_fail_is_passed_over_and_the_name_is_not_called_absent() {
    let server = one([("db.a.example", Says::Code(2)), ("x.b.example", Says::Addresses(vec![local(7)]))]);
    let dir = tempfile::tempdir().expect("a directory");
    let resolver = resolver(&dir, server.at.port(), CONF, "");
    let why = resolver.lookup("db", Search::Domains).await.expect_err("nobody has it");
    assert!(matches!(&why, Unresolved::Untold(text) if text.contains("db.a.example")), "{why:?}");
    assert_eq!(server.names(), ["db.a.example", "db.b.example", "db"]);
}

#[tokio::test]
async fn nxdomain_and_no_data_say_that_a_name_is_absent_and_refusals_do_not() {
    let server = one([
        ("nodata.example", Says::Addresses(Vec::new())),
        ("refused.example", Says::Code(5)),
        ("failing.example", Says::Code(2)),
        ("silent.example", Says::Nothing),
    ]);
    let dir = tempfile::tempdir().expect("a directory");
    let resolver = resolver(&dir, server.at.port(), CONF, "");
    for (name, absent) in [
        ("nxdomain.example", true),
        ("nodata.example", true),
        ("refused.example", false),
        ("failing.example", false),
        ("silent.example", false),
    ] {
        let why = resolver.lookup(name, Search::Never).await.expect_err("leads nowhere");
        assert_eq!(matches!(why, Unresolved::Absent(_)), absent, "{name}: {why:?}");
    }
}

#[tokio::test]
async fn nothing_is_remembered_and_changed_files_are_read() {
    let server = one([("db.a.example", Says::Addresses(vec![local(7)])), ("db", Says::Code(3))]);
    let dir = tempfile::tempdir().expect("a directory");
    let resolver = resolver(&dir, server.at.port(), CONF, "127.0.0.8 listed # x\n");
    for _ in 0..2 {
        resolver.lookup("db", Search::Domains).await.expect("found");
    }
    let asked = server.asked.lock().expect("not poisoned").len();
    assert_eq!(asked, 4, "two families, twice");
    let found = resolver.lookup("LISTED.", Search::Domains).await.expect("found");
    assert_eq!(found.addresses, [local(8)]);
    std::fs::write(&resolver.hosts, "127.0.0.9 db\n").expect("writes");
    assert_eq!(resolver.lookup("db", Search::Domains).await.expect("found").addresses, [local(9)]);
    std::fs::write(&resolver.hosts, "").expect("writes");
    std::fs::write(&resolver.resolv_conf, "nameserver 127.0.0.1\nsearch c.example\n").expect("writes");
    resolver.lookup("db", Search::Domains).await.expect_err("not there");
    assert!(server.names().contains(&"db.c.example".to_owned()), "{:?}", server.names());
    assert_eq!(server.asked.lock().expect("not poisoned").iter().filter(|a| a.contains("listed")).count(), 0);
}

#[tokio::test]
async fn files_that_hang_hold_up_no_look_up() {
    let server = one([("db.a.example", Says::Addresses(vec![local(7)])), ("db", Says::Code(3))]);
    let dir = tempfile::tempdir().expect("a directory");
    let resolver = resolver(&dir, server.at.port(), CONF, "");
    resolver.lookup("db", Search::Domains).await.expect("found");
    for path in [&resolver.hosts, &resolver.resolv_conf] {
        std::fs::remove_file(path).expect("removes");
        assert!(std::process::Command::new("mkfifo").arg(path).status().expect("runs").success());
        let found = resolver.lookup("db", Search::Domains).await.expect("found as before");
        assert_eq!(found.addresses, [local(7)]);
    }
}

/// Two servers on one port.
fn two(first: Says, second: Says) -> (Server, Server) {
    let a = one([("db.example", first)]);
    let beside = SocketAddr::new(local(2), a.at.port());
    (a, Server::start(beside, [("db.example", second)].into()))
}

#[tokio::test]
async fn the_second_server_is_asked_when_the_first_says_nothing_or_fails_and_not_when_it_denies() {
    let conf = "nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:1 attempts:1\n";
    let there = || Says::Addresses(vec![local(7)]);
    for (first, asks) in
        [(Says::Nothing, true), (Says::Code(2), true), (Says::Code(5), true), (Says::Code(3), false)]
    {
        let (a, b) = two(first, there());
        let dir = tempfile::tempdir().expect("a directory");
        let came = resolver(&dir, a.at.port(), conf, "").lookup("db.example", Search::Never).await;
        assert_eq!(came.is_ok(), asks, "{came:?}");
        assert_eq!(b.names().is_empty(), !asks);
    }
}

#[tokio::test]
async fn rotate_begins_with_another_server_each_time() {
    let there = || Says::Addresses(vec![local(7)]);
    let (a, b) = two(there(), there());
    let dir = tempfile::tempdir().expect("a directory");
    let conf = "nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions rotate\n";
    let resolver = resolver(&dir, a.at.port(), conf, "");
    for _ in 0..4 {
        resolver.lookup("db.example", Search::Never).await.expect("found");
    }
    let asked = |server: &Server| server.asked.lock().expect("not poisoned").len();
    assert_eq!((asked(&a), asked(&b)), (4, 4));
}

#[tokio::test]
async fn somebody_with_little_patience_still_hears_the_second_server() {
    let (a, _b) = two(Says::Nothing, Says::Addresses(vec![local(7)]));
    let dir = tempfile::tempdir().expect("a directory");
    let conf = "nameserver 127.0.0.1\nnameserver 127.0.0.2\n";
    let patience = Duration::from_secs(1);
    let resolver = Resolver { most: Some(patience), ..resolver(&dir, a.at.port(), conf, "") };
    let came = tokio::time::timeout(patience, resolver.lookup("db.example", Search::Never)).await;
    assert_eq!(came.expect("in time").expect("found").addresses, [local(7)]);
}

#[tokio::test(start_paused = true)]
async fn a_family_whose_answer_never_comes_is_waited_for_a_moment_only() {
    let found: LookupResult = Ok((vec![local(7)], Duration::ZERO));
    let t0 = clock::instant();
    let ready = Box::pin(async { found.clone() });
    let (v4, v6) = in_grace(ready, std::future::pending()).await;
    assert!(v4.is_ok() && matches!(v6, Err(LookupFailure::Broken(_))));
    assert_eq!(clock::instant() - t0, GRACE);
    let ready = Box::pin(async { found.clone() });
    let (v4, v6) = in_grace(std::future::pending(), ready).await;
    assert!(matches!(v4, Err(LookupFailure::Broken(_))) && v6.is_ok());
}

#[tokio::test]
async fn localhost_asks_nobody_and_has_both_families() {
    let server = one([]);
    let dir = tempfile::tempdir().expect("a directory");
    let resolver = resolver(&dir, server.at.port(), CONF, "192.0.2.1 localhost\n");
    let found = resolver.lookup("localhost", Search::Domains).await.expect("this machine");
    assert!(found.addresses.contains(&local(1)));
    assert!(found.addresses.iter().all(IpAddr::is_loopback));
    assert_eq!(server.names(), Vec::<String>::new());
}
