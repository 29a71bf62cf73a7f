//! Who may ask: the right `Host` and `Origin` (against DNS rebinding and forged cross-site requests), the token or the session
//! of a browser that has logged in with it.

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::{Method, header};

use super::error::ApiError;
use super::{Admin, page, token};
use crate::message::head::split_authority;
use crate::message::host;
use crate::runtime::clock;

/// Paths that answer without a token: kubelet's probes cannot send one.
pub(super) const PROBES: [&str; 5] = ["/healthz", "/readyz", "/livez", "/-/healthy", "/-/ready"];

/// Why a request is not answered; its body is not looked at.
pub(super) fn refusal(admin: &Admin, request: &Parts) -> Option<ApiError> {
    let world = admin.registry.snapshot();
    let config = &world.config.admin;
    if PROBES.contains(&request.uri.path()) {
        return None;
    }
    let text = |name| request.headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(header::HOST).unwrap_or_default();
    let ours = |host: &str| is_ours(host, &config.hosts, admin.listen.ip());
    // With a token, whoever knows it may use any name (a Service, a port-forward).
    if config.token.is_none() && !ours(host) {
        return Some(ApiError::Foreign { field: "Host", value: host.to_owned() });
    }
    if request.method != Method::GET
        && let Some(origin) = text(header::ORIGIN)
    {
        let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
        let same = authority.eq_ignore_ascii_case(host) && ours(authority);
        if !same && !config.hosts.contains(&host::normal(split_authority(authority).0).to_ascii_lowercase()) {
            return Some(ApiError::Foreign { field: "Origin", value: origin.to_owned() });
        }
    }
    if page::is_open(request) {
        return None;
    }
    let wanted = config.token.as_ref()?;
    let known = token::bears(&request.headers, wanted) || {
        // A cookie comes by itself: what changes anything says where it is from.
        let said = request.method == Method::GET || request.headers.contains_key(header::ORIGIN);
        said && page::holds(&request.headers, admin.listen.port(), wanted, clock::now().wall)
    };
    (!known).then_some(ApiError::Unauthorized)
}

fn is_ours(host: &str, listed: &[String], listen: IpAddr) -> bool {
    let name = host::normal(split_authority(host).0).to_ascii_lowercase();
    let loopback =
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == listen);
    loopback || listed.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebound_name_is_not_ours() {
        let listen = IpAddr::from([127, 0, 0, 1]);
        let listed = ["ops.example.com".to_owned()];
        for host in ["localhost:9901", "127.0.0.1", "[::1]:9901", "OPS.example.com"] {
            assert!(is_ours(host, &listed, listen), "{host}");
        }
        for host in ["evil.example:9901", "", "localhost.evil.example"] {
            assert!(!is_ours(host, &listed, listen), "{host}");
        }
    }
}
