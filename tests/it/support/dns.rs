//! A name server that says what it is told to, over UDP.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NXDOMAIN: u8 = 3;

#[derive(Clone)]
enum Says {
    Addresses(Vec<IpAddr>),
    Code(u8),
}

#[derive(Default)]
struct Zone {
    says: BTreeMap<String, Says>,
    asked: Vec<String>,
}

/// Knows nothing but what it was told; anything else does not exist.
pub struct Dns {
    zone: Arc<Mutex<Zone>>,
    over: Arc<AtomicBool>,
}

impl Dns {
    pub fn start(at: SocketAddr) -> Self {
        let socket = UdpSocket::bind(at).unwrap_or_else(|error| panic!("a name server at {at}: {error}"));
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("sets");
        let dns = Self { zone: Arc::default(), over: Arc::default() };
        let (zone, over) = (Arc::clone(&dns.zone), Arc::clone(&dns.over));
        std::thread::spawn(move || {
            let mut bytes = [0; 1_500];
            while !over.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
                let answer = answer(&bytes[..length], &mut zone.lock().expect("not poisoned"));
                // Whoever asked may be gone.
                let _ = socket.send_to(&answer, from);
            }
        });
        dns
    }

    /// From now on `name` leads there.
    pub fn leads(&self, name: &str, to: &[IpAddr]) {
        self.say(name, Says::Addresses(to.to_vec()));
    }

    /// From now on `name` is answered with this code: 2 is SERVFAIL, 3 NXDOMAIN.
    pub fn fails(&self, name: &str, code: u8) {
        self.say(name, Says::Code(code));
    }

    fn say(&self, name: &str, says: Says) {
        self.zone.lock().expect("not poisoned").says.insert(name.to_owned(), says);
    }

    /// Names asked for so far, each as often as it was.
    pub fn asked(&self) -> Vec<String> {
        self.zone.lock().expect("not poisoned").asked.clone()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// RFC 1035 section 4, with one question; addresses live for a second.
fn answer(asked: &[u8], zone: &mut Zone) -> Vec<u8> {
    let (mut at, mut labels) = (12, Vec::new());
    while asked[at] != 0 {
        let end = at + 1 + usize::from(asked[at]);
        labels.push(String::from_utf8_lossy(&asked[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    let kind = u16::from_be_bytes([asked[at + 1], asked[at + 2]]);
    let name = labels.join(".");
    let (code, all) = match zone.says.get(&name) {
        Some(Says::Addresses(all)) => (0, all.clone()),
        Some(Says::Code(code)) => (*code, Vec::new()),
        None => (NXDOMAIN, Vec::new()),
    };
    zone.asked.push(name);
    let of_kind: Vec<IpAddr> = all.into_iter().filter(|ip| ip.is_ipv4() == (kind == 1)).collect();
    let mut out = asked[..at + 5].to_vec();
    out[2..4].copy_from_slice(&[0x81, 0x80 | code]);
    out[4..12].copy_from_slice(&[0, 1, 0, of_kind.len() as u8, 0, 0, 0, 0]);
    for ip in of_kind {
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 1]);
        let bytes = match ip {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        out.extend_from_slice(&bytes);
    }
    out
}
