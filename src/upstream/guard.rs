//! Which addresses egress may reach: the guard against server-side request forgery.
//!
//! Applied to what DNS answered, and the checked address is the one that is connected to, so a second answer cannot
//! slip in between. Embedded IPv4 addresses are judged as what they embed. Ranges: IANA's special-purpose registries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;

use ipnet::IpNet;

use crate::config::listeners::is_at;
use crate::config::{self, presets};
use crate::names::UpstreamName;

/// The name of the range that forbids `ip`; `None`: it may be reached.
pub fn forbidden(ip: IpAddr, allowed: &[IpNet]) -> Option<&'static str> {
    if allowed.iter().any(|net| net.contains(&ip)) {
        return None;
    }
    match ip {
        IpAddr::V4(v4) => v4_range(v4),
        IpAddr::V6(v6) if v6.segments().starts_with(&[0x64, 0xff9b, 1]) => translated(v6, allowed),
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) if allowed.iter().any(|net| net.contains(&IpAddr::V4(v4))) => None,
            Some(v4) => v4_range(v4).map(|_| "embedded IPv4"),
            None => v6_range(v6),
        },
    }
}

/// Is it an address of this very machine, whatever range it lies in?
pub fn own(ip: IpAddr, allowed: &[IpNet]) -> Option<&'static str> {
    let listed = allowed.iter().any(|net| net.contains(&ip));
    (!listed && is_own(ip)).then_some("this machine")
}

/// Is it an address of this machine? Only such can be bound.
pub fn is_own(ip: IpAddr) -> bool {
    std::net::UdpSocket::bind((ip, 0)).is_ok()
}

/// Where this process listens, as soon as it does: whatever a name leads to, no upstream leads back here.
#[derive(Debug, Default)]
pub struct Listeners(OnceLock<Vec<(SocketAddr, Option<UpstreamName>)>>);

impl Listeners {
    /// They are bound: addresses, and the upstream of a `local` listener. Called once; a later call changes nothing.
    pub fn bound(&self, all: Vec<(SocketAddr, Option<UpstreamName>)>) {
        let _ = self.0.set(all);
    }

    /// Would requests of `upstream` that are sent to `to` come back to this process? A `local` listener of another
    /// upstream is a detour and no circle. The SRE API on the traffic port is meant.
    pub fn lead_back(&self, upstream: &config::UpstreamConfig, to: SocketAddr) -> bool {
        let comes_back = |of: &Option<UpstreamName>| of.as_ref().is_none_or(|name| *name == upstream.name);
        let all = self.0.get().map_or(&[][..], Vec::as_slice);
        upstream.name.as_str() != presets::SRE_API
            && all.iter().any(|(at, of)| comes_back(of) && is_at(to, *at, is_own))
    }
}

/// 64:ff9b:1::/48 is for translators of the site (RFC 8215), which may use a prefix of 48, 64 or 96 bits in it (RFC
/// 6052 section 2.2). Nobody says which: none of the addresses that it may stand for must be forbidden. In the shorter
/// forms one that begins with zero is a longer form's padding.
fn translated(ip: Ipv6Addr, allowed: &[IpNet]) -> Option<&'static str> {
    let [_, _, _, d, e, f, g, h] = ip.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    let forms = [of(d, e << 8 | f >> 8), of(e << 8 | f >> 8, f << 8 | g >> 8), of(g, h)];
    let stands_for = |(nth, v4): (usize, Ipv4Addr)| {
        let listed = allowed.iter().any(|net| net.contains(&IpAddr::V4(v4)));
        let padding = nth < 2 && v4.octets()[0] == 0;
        if listed || padding { None } else { v4_range(v4).map(|_| "embedded IPv4") }
    };
    forms.into_iter().enumerate().find_map(stands_for)
}

fn v4_range(ip: Ipv4Addr) -> Option<&'static str> {
    let bits = u32::from(ip);
    let within =
        |net: [u8; 4], length: u32| bits >> (32 - length) == u32::from(Ipv4Addr::from(net)) >> (32 - length);
    let named = [
        ([169, 254, 169, 254], 32, "metadata service"),
        ([168, 63, 129, 16], 32, "metadata service"),
        ([100, 100, 100, 200], 32, "metadata service"),
        ([0, 0, 0, 0], 8, "this network"),
        ([10, 0, 0, 0], 8, "private"),
        ([100, 64, 0, 0], 10, "carrier-grade NAT"),
        ([127, 0, 0, 0], 8, "loopback"),
        ([169, 254, 0, 0], 16, "link-local"),
        ([172, 16, 0, 0], 12, "private"),
        ([192, 0, 0, 0], 24, "protocol assignments"),
        ([192, 0, 2, 0], 24, "documentation"),
        ([192, 88, 99, 0], 24, "6to4 relay"),
        ([192, 168, 0, 0], 16, "private"),
        ([198, 18, 0, 0], 15, "benchmarking"),
        ([198, 51, 100, 0], 24, "documentation"),
        ([203, 0, 113, 0], 24, "documentation"),
        ([224, 0, 0, 0], 4, "multicast"),
        ([240, 0, 0, 0], 4, "reserved"),
    ];
    named.iter().find(|(net, length, _)| within(*net, *length)).map(|(_, _, name)| *name)
}

/// The IPv4 address that an IPv6 address stands for.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = ip.segments();
    let pair = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None, // unspecified and loopback have their own names
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(pair(high, low)),
        [0, 0, 0, 0, 0xffff, 0, high, low] => Some(pair(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(pair(high, low)),
        [0x2002, high, low, ..] => Some(pair(high, low)),
        [0x2001, 0, .., high, low] => Some(pair(!high, !low)),
        _ => None,
    }
}

fn v6_range(ip: Ipv6Addr) -> Option<&'static str> {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [0x100, 0, 0, 0, ..] => Some("discard"),
        [0x2001, 0xdb8, ..] => Some("documentation"),
        [0x2001, 0..=0x1ff, ..] => Some("protocol assignments"),
        [0x3fff, 0..=0xfff, ..] => Some("documentation"),
        [0x5f00, ..] => Some("segment routing"),
        [first, ..] if first & 0xfe00 == 0xfc00 => Some("private"),
        [first, ..] if first & 0xffc0 == 0xfe80 => Some("link-local"),
        [first, ..] if first & 0xffc0 == 0xfec0 => Some("site-local"),
        [first, ..] if first & 0xff00 == 0xff00 => Some("multicast"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_public_internet_is_refused() {
        for text in [
            "127.0.0.1",
            "127.255.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "169.254.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "100.100.100.200",
            "168.63.129.16",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            // The same by a prefix of 48 bits, and by one of 64.
            "64:ff9b:1:a00:0:100::",
            "64:ff9b:1:7f00:0:100::",
            "64:ff9b:1:0:a:0:100:0",
            "64:ff9b:1:a9fe:a9:fe00:1:1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001:0:1::f5ff:fffe",
            "2001:db8::1",
            "::ffff:0:127.0.0.1",
        ] {
            let ip: IpAddr = text.parse().expect("an address");
            assert!(forbidden(ip, &[]).is_some(), "{text}");
        }
    }

    #[test]
    fn the_public_internet_is_reached() {
        for text in
            ["1.1.1.1", "54.187.174.169", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808"]
        {
            let ip: IpAddr = text.parse().expect("an address");
            assert_eq!(forbidden(ip, &[]), None, "{text}");
        }
    }

    #[test]
    fn an_allowed_network_is_reached_in_any_disguise() {
        let allowed = ["127.0.0.0/8".parse().expect("a network")];
        assert_eq!(forbidden(IpAddr::from([127, 0, 0, 1]), &allowed), None);
        assert_eq!(forbidden("::ffff:127.0.0.1".parse().expect("an address"), &allowed), None);
        assert!(forbidden(IpAddr::from([10, 0, 0, 1]), &allowed).is_some());
    }

    #[test]
    fn no_upstream_leads_back_to_where_this_process_listens() {
        let text = "[ingress]\n[upstreams.backend]\nendpoints = [\"db.example:80\"]\n[upstreams.stripe]\npreset = \"stripe\"\n";
        let config = config::load(text, "a test", &[]).expect("it can run");
        let [backend, stripe] = config.upstreams.as_slice() else { panic!("two upstreams") };
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let listeners = Listeners::default();
        assert!(!listeners.lead_back(backend, at("127.0.0.1:8000")), "nobody listens yet");
        let local = (at("127.0.0.1:9101"), Some(stripe.name.clone()));
        listeners.bound(vec![(at("127.0.0.1:9901"), None), (at("0.0.0.0:8000"), None), local]);
        for to in ["127.0.0.1:9901", "127.0.0.1:8000", "127.9.9.9:8000", "[::ffff:127.0.0.1]:9901"] {
            assert!(listeners.lead_back(backend, at(to)), "{to}");
        }
        for to in ["127.0.0.2:9901", "127.0.0.1:8001", "198.51.100.7:8000", "127.0.0.1:9101"] {
            assert!(!listeners.lead_back(backend, at(to)), "{to}");
        }
        assert!(listeners.lead_back(stripe, at("127.0.0.1:9101")), "its own way in");
        assert!(!listeners.lead_back(&presets::sre_api(at("127.0.0.1:9901")), at("127.0.0.1:9901")));
    }

    #[test]
    fn an_address_of_this_machine_is_refused_whatever_range_it_lies_in() {
        let here = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(own(here, &[]), Some("this machine"));
        assert_eq!(own(here, &["127.0.0.0/8".parse().expect("a network")]), None);
        assert_eq!(own(IpAddr::from([198, 51, 100, 7]), &[]), None);
    }
}
