//! Hosts in one spelling, to compare them: what is sent on is what came.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// `host` (without brackets and port) without a dot at its end; an IPv6 address as RFC 5952 writes it. Letters stay as they
/// are: whoever compares names ignores their case. Allocates for IPv6 addresses only.
pub fn normal(host: &str) -> Cow<'_, str> {
    if host.contains(':')
        && let Ok(ip) = host.parse::<Ipv6Addr>()
    {
        return Cow::Owned(ip.to_string());
    }
    Cow::Borrowed(host.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_the_same() {
        for spelled in ["2001:db8::1", "2001:DB8:0:0:0:0:0:1", "2001:0db8::0001"] {
            assert_eq!(normal(spelled), "2001:db8::1", "{spelled}");
        }
        assert_eq!(normal("::ffff:192.0.2.1"), normal("::FFFF:c000:201"));
        assert_eq!(normal("shop.example."), "shop.example");
        for same in ["Shop.example", "192.0.2.1", "fe80::1%eth0", ""] {
            assert_eq!(normal(same), same);
        }
    }
}
