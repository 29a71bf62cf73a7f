//! Hosts as an operator writes them, in the one spelling in which requests are compared with them; what no request can
//! carry is an error that says what to write.

use std::fmt;
use std::net::Ipv6Addr;

use crate::message::head::split_authority;
use crate::message::host;

/// May a host begin with `*.`?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wild {
    /// Hosts of an upstream.
    Allowed,
    /// Hosts of routes and of the admin port.
    None,
}

/// Why no request can carry a host that was written so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoHost {
    written: String,
    why: &'static str,
    /// What to write instead.
    instead: String,
}

impl fmt::Display for NoHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}; write {}", self.written, self.why, self.instead)
    }
}

/// In lower case, without a dot at its end; an IPv6 address without brackets, as RFC 5952 writes it.
pub(super) fn read(written: &str, wild: Wild) -> Result<String, NoHost> {
    let no = |why, instead: String| NoHost { written: written.to_owned(), why, instead };
    let inner = written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(written);
    if let Ok(ip) = inner.parse::<Ipv6Addr>() {
        return Ok(ip.to_string());
    }
    let quoted = |bare: &str| format!("{bare:?}");
    let bare = bare(written);
    let fits = |bare: &str| is_name(bare) || bare.starts_with('[');
    let example = match wild {
        Wild::Allowed => "\"api.example.com\", \"*.example.com\" or \"[2001:db8::1]\"",
        Wild::None => "\"shop.example.com\" or \"[2001:db8::1]\"",
    };
    if bare != written && written.contains(['/', '@', '?', '#', ':']) && fits(&bare) {
        let why = "is more than a host: scheme, port and path are not compared with it";
        return Err(no(why, quoted(&bare)));
    }
    if written.contains('%') {
        return Err(no("has a zone or percent-encoding, which no host of a request has", example.to_owned()));
    }
    if !written.is_ascii() {
        return Err(no("is sent in its ASCII form (RFC 5891)", "its labels as \"xn--…\"".to_owned()));
    }
    let name = written.trim_end_matches('.').to_ascii_lowercase();
    let plain = match (name.strip_prefix("*."), wild) {
        (Some(rest), Wild::Allowed) => rest,
        (Some(_), Wild::None) => {
            let why = "has a wildcard: only upstreams have those";
            return Err(no(why, "each host in a route of its own, or no host at all".to_owned()));
        }
        (None, _) => &name,
    };
    if plain == "*" && wild == Wild::Allowed {
        let instead = "\"*.example.com\", or egress.unlisted = \"allow\" for hosts that no upstream lists";
        return Err(no("is not a host name", instead.to_owned()));
    }
    if let Some(rest) = plain.strip_prefix('.').filter(|rest| is_name(rest)) {
        let star = if wild == Wild::Allowed { "*." } else { "" };
        return Err(no("begins with a dot, as no host does", quoted(&format!("{star}{rest}"))));
    }
    if !is_name(plain) {
        return Err(no("is not a host name", example.to_owned()));
    }
    Ok(name)
}

/// What is left of an address or an authority when scheme, user, port and path are taken away.
fn bare(written: &str) -> String {
    let rest = written.split_once("://").map_or(written, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let rest = rest.rsplit('@').next().unwrap_or_default();
    let (host, _) = split_authority(rest);
    match host::normal(host) {
        ip if ip.parse::<Ipv6Addr>().is_ok() => format!("[{ip}]"),
        name => name.to_ascii_lowercase(),
    }
}

/// Letters, digits, hyphens, underscores and tildes in labels of 1 to 63, 253 in all (RFC 1035 section 2.3.4). An
/// IPv4 address is one.
fn is_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(letter);
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_spelling_however_it_is_written() {
        for (written, read_as) in [
            ("API.Example.com.", "api.example.com"),
            ("*.Example.com", "*.example.com"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("2001:db8:0::1", "2001:db8::1"),
            ("192.0.2.1", "192.0.2.1"),
            ("localhost", "localhost"),
            ("my_service", "my_service"),
        ] {
            assert_eq!(read(written, Wild::Allowed).as_deref(), Ok(read_as), "{written}");
        }
    }

    #[test]
    fn what_no_request_can_carry_says_what_to_write() {
        for (written, instead) in [
            ("https://api.example.com", "\"api.example.com\""),
            ("https://me@api.example.com:8443/v1?x", "\"api.example.com\""),
            ("api.example.com:443", "\"api.example.com\""),
            ("API.example.com./v1", "\"api.example.com\""),
            ("[2001:DB8::1]:443", "\"[2001:db8::1]\""),
            ("http://[::1]/", "\"[::1]\""),
            (".example.com", "\"*.example.com\""),
            ("*", "egress.unlisted"),
            ("b\u{fc}cher.example", "xn--"),
            ("fe80::1%eth0", "\"[2001:db8::1]\""),
            ("", "\"api.example.com\""),
            ("a..b", "\"api.example.com\""),
            ("api.*.com", "\"*.example.com\""),
            ("two words", "\"api.example.com\""),
            ("2001:db8::1::2", "\"[2001:db8::1]\""),
        ] {
            let told = read(written, Wild::Allowed).expect_err(written).to_string();
            let (_, write) = told.split_once("; write ").expect("it says what to write");
            assert!(write.contains(instead), "{told}");
        }
        let told = read("*.example.com", Wild::None).expect_err("no wildcards").to_string();
        assert!(told.contains("a route of its own"), "{told}");
    }
}
