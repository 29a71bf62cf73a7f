//! Which of several addresses is used first: destination address selection (RFC 6724 section 6).
//!
//! The sorting is a function of its arguments; [`source`] asks the kernel. Rules 3, 4 and 7 need what a socket does not
//! tell (deprecated and home addresses, tunnels) and are left out, as in most C libraries. Rule 9 is for IPv6 alone:
//! for IPv4 it would undo the order in which name servers spread load.

use std::cmp::Ordering;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

/// Where packets to an address would leave from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceAddress {
    /// Packets would leave from this address.
    At(IpAddr),
    /// No route leads there, or no address of its family is there.
    Nowhere,
    /// The kernel had no socket to spare to say it.
    Untold,
}

/// Asks the kernel by connecting a socket of datagrams, for which nothing is sent.
pub(super) fn source(to: IpAddr) -> SourceAddress {
    // The port means nothing here; 0 would be refused by some.
    let to = SocketAddr::new(to, 9);
    let asked = || -> io::Result<Option<SocketAddr>> {
        let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
        socket.connect(&to.into())?;
        Ok(socket.local_addr()?.as_socket())
    };
    match asked() {
        Ok(Some(at)) => SourceAddress::At(at.ip()),
        Ok(None) => SourceAddress::Untold,
        Err(error) if is_shortage(&error) => SourceAddress::Untold,
        Err(_) => SourceAddress::Nowhere,
    }
}

fn is_shortage(error: &io::Error) -> bool {
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS];
    Errno::from_io_error(error).is_some_and(|errno| short.contains(&errno))
}

/// The addresses that can be used, best first. Those without a route are left out while another has one; with none at
/// all the list stays whole, and connecting says why it fails.
pub(super) fn usable(addresses: &[IpAddr], source: impl Fn(IpAddr) -> SourceAddress) -> Vec<IpAddr> {
    let mut known: Vec<(IpAddr, SourceAddress)> = addresses.iter().map(|ip| (*ip, source(*ip))).collect();
    if known.iter().any(|(_, source)| *source != SourceAddress::Nowhere) {
        known.retain(|(_, source)| *source != SourceAddress::Nowhere);
    }
    known.sort_by(|a, b| compare(*a, *b));
    known.into_iter().map(|(ip, _)| ip).collect()
}

/// RFC 6724 section 6; `Less`: `a` is used first.
fn compare(a: (IpAddr, SourceAddress), b: (IpAddr, SourceAddress)) -> Ordering {
    // Rule 1: avoid unusable destinations.
    let nowhere = |(_, source): (IpAddr, SourceAddress)| source == SourceAddress::Nowhere;
    nowhere(a)
        .cmp(&nowhere(b))
        // Rule 2: prefer matching scope.
        .then_with(|| matching(b, scope).cmp(&matching(a, scope)))
        // Rule 5: prefer matching label.
        .then_with(|| matching(b, label).cmp(&matching(a, label)))
        // Rule 6: prefer higher precedence.
        .then_with(|| policy(b.0).0.cmp(&policy(a.0).0))
        // Rule 8: prefer smaller scope.
        .then_with(|| scope(a.0).cmp(&scope(b.0)))
        // Rule 9: prefer the longest matching prefix. Rule 10: otherwise the order stays.
        .then_with(|| common(b).cmp(&common(a)))
}

fn matching<T: PartialEq>((to, source): (IpAddr, SourceAddress), of: impl Fn(IpAddr) -> T) -> bool {
    matches!(source, SourceAddress::At(from) if of(from) == of(to))
}

/// RFC 6724 sections 3.1 and 3.2; 2: link-local, 5: site-local, 14: global.
fn scope(ip: IpAddr) -> u16 {
    match ip {
        IpAddr::V4(v4) if v4.is_loopback() || v4.is_link_local() => 2,
        IpAddr::V4(_) => 14,
        IpAddr::V6(v6) => match (v6.to_ipv4_mapped(), v6.segments()[0]) {
            (Some(v4), _) => scope(IpAddr::V4(v4)),
            (None, first) if first & 0xff00 == 0xff00 => first & 0xf,
            (None, first) if v6.is_loopback() || first & 0xffc0 == 0xfe80 => 2,
            (None, first) if first & 0xffc0 == 0xfec0 => 5,
            (None, _) => 14,
        },
    }
}

fn label(ip: IpAddr) -> u8 {
    policy(ip).1
}

/// Precedence and label of the default policy table (RFC 6724 section 2.1), the longest prefix first.
fn policy(ip: IpAddr) -> (u8, u8) {
    const TABLE: [(Ipv6Addr, u32, u8, u8); 9] = [
        (Ipv6Addr::LOCALHOST, 128, 50, 0),
        (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 35, 4),
        (Ipv6Addr::UNSPECIFIED, 96, 1, 3),
        (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, 5, 5),
        (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 30, 2),
        (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, 1, 12),
        (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, 1, 11),
        (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, 3, 13),
        (Ipv6Addr::UNSPECIFIED, 0, 40, 1),
    ];
    let ip = match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let row = TABLE.into_iter().find(|(prefix, length, ..)| shared(ip, *prefix) >= *length);
    row.map_or((40, 1), |(_, _, precedence, label)| (precedence, label))
}

/// Bits that both begin with.
fn shared(a: Ipv6Addr, b: Ipv6Addr) -> u32 {
    (u128::from(a) ^ u128::from(b)).leading_zeros()
}

/// CommonPrefixLen of section 2.2: no longer than the source's prefix, which is 64 bits on practically every link. None
/// for IPv4 in either notation.
fn common((to, source): (IpAddr, SourceAddress)) -> u32 {
    match (to, source) {
        (IpAddr::V6(to), SourceAddress::At(IpAddr::V6(from))) if to.to_ipv4_mapped().is_none() => {
            shared(to, from).min(64)
        }
        (IpAddr::V4(_) | IpAddr::V6(_), _) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// Sorts destinations, each with its source, in both orders, and compares.
    fn sorts(wanted: &[(&str, &str)]) {
        let source = |to: IpAddr| {
            let (_, from) = wanted.iter().find(|(known, _)| ip(known) == to).expect("listed");
            if from.is_empty() { SourceAddress::Nowhere } else { SourceAddress::At(ip(from)) }
        };
        let best: Vec<IpAddr> = wanted.iter().map(|(to, _)| ip(to)).collect();
        let mut turned = best.clone();
        turned.reverse();
        assert_eq!(usable(&best, source), best);
        assert_eq!(usable(&turned, source), best);
    }

    /// Section 10.2, but for the example about home addresses.
    #[test]
    fn the_examples_of_the_rfc_come_out_as_it_says() {
        // Prefer matching scope.
        sorts(&[("2001:db8:1::1", "2001:db8:1::2"), ("198.51.100.121", "169.254.13.78")]);
        sorts(&[("198.51.100.121", "198.51.100.117"), ("2001:db8:1::1", "fe80::1")]);
        // Prefer higher precedence.
        sorts(&[("2001:db8:1::1", "2001:db8:1::2"), ("10.1.2.3", "10.1.2.4")]);
        // Prefer smaller scope.
        sorts(&[("fe80::1", "fe80::2"), ("2001:db8:1::1", "2001:db8:1::2")]);
        // Prefer matching label.
        sorts(&[("2002:c633:6401::1", "2002:c633:6401::2"), ("2001:db8:1::1", "2002:c633:6401::2")]);
        // Prefer higher precedence.
        sorts(&[("2001:db8:1::1", "2001:db8:1::2"), ("2002:c633:6401::1", "2002:c633:6401::2")]);
    }

    #[test]
    fn the_longest_matching_prefix_is_preferred_within_ipv6() {
        sorts(&[("2001:db8:1::1", "2001:db8:1::2"), ("2001:db8:3ffe::1", "2001:db8:1::2")]);
    }

    #[test]
    fn ipv4_keeps_the_order_that_the_server_gave() {
        let given = [ip("198.51.100.9"), ip("10.0.0.1"), ip("10.0.0.2")];
        assert_eq!(usable(&given, |_| SourceAddress::At(ip("10.0.0.7"))), given);
    }

    #[test]
    fn a_private_ipv6_address_comes_after_ipv4_unless_its_source_is_private_too() {
        sorts(&[("198.51.100.1", "192.0.2.1"), ("fd00::1", "2001:db8::1")]);
        sorts(&[("198.51.100.1", "192.0.2.1"), ("fd00::1", "fd00::2")]);
    }

    #[test]
    fn a_family_without_a_route_is_left_out_while_the_other_has_one() {
        let v4 = |to: IpAddr| {
            if to.is_ipv4() { SourceAddress::At(ip("192.0.2.1")) } else { SourceAddress::Nowhere }
        };
        let given = [ip("2001:db8::1"), ip("2001:db8::2"), ip("198.51.100.1")];
        assert_eq!(usable(&given, v4), [ip("198.51.100.1")]);
        assert_eq!(usable(&given[..2], v4), given[..2], "with no route at all the list stays whole");
    }

    #[test]
    fn a_shortage_of_sockets_says_nothing_about_routes() {
        let given = [ip("2001:db8::1"), ip("198.51.100.1")];
        assert_eq!(usable(&given, |_| SourceAddress::Untold).len(), 2);
        assert!(is_shortage(&io::Error::from_raw_os_error(Errno::MFILE.raw_os_error())));
        assert!(!is_shortage(&io::Error::from_raw_os_error(Errno::NETUNREACH.raw_os_error())));
    }

    #[test]
    fn the_kernel_says_where_packets_would_leave() {
        assert_eq!(source(ip("127.0.0.1")), SourceAddress::At(ip("127.0.0.1")));
    }
}
