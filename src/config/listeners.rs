//! Where this process listens: no two listeners on one address, none open to strangers unawares, none that
//! an upstream leads back to.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::file::ConfigFile;
use super::problem::Collector;
use super::upstream::{Endpoint, Host};
use crate::units::Text;

/// What is behind an address of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Behind {
    /// The operator's port, or the one for probes.
    Operator,
    /// The ingress or the egress: any of their upstreams.
    Traffic,
    /// The `local` listener of this upstream.
    Local(String),
}

struct Listener {
    /// The key of its address.
    key: String,
    at: SocketAddr,
    behind: Behind,
}

fn all(file: &ConfigFile) -> Vec<Listener> {
    let one = |key: &str, at: SocketAddr, behind| Listener { key: key.to_owned(), at, behind };
    let mut all = vec![one("admin.listen", file.admin.listen.0, Behind::Operator)];
    all.extend(file.ingress.as_ref().map(|it| one("ingress.listen", it.listen.0, Behind::Traffic)));
    all.extend(file.egress.as_ref().map(|it| one("egress.listen", it.listen.0, Behind::Traffic)));
    for (name, upstream) in &file.upstreams {
        let key = format!("upstreams.{name}.local");
        all.extend(upstream.local.map(|Text(local)| one(&key, local, Behind::Local(name.clone()))));
    }
    all.extend(file.inbound.listen.map(|Text(inbound)| one("inbound.listen", inbound, Behind::Operator)));
    all.extend(file.admin.probes.map(|Text(probes)| one("admin.probes", probes, Behind::Operator)));
    all
}

/// The key of the listener that is called by `host` and `port`, where that is an address of loopback.
pub(super) fn of_loopback(file: &ConfigFile, host: &Host, port: u16) -> Option<String> {
    let is_called = |one: &Listener| host.is_loopback() && port != 0 && one.at.port() == port;
    all(file).into_iter().find(is_called).map(|listener| listener.key)
}

/// Notes addresses that two listeners claim, that are open to strangers without a token, or that lead in circles.
pub(super) fn check(file: &ConfigFile, problems: &mut Collector<'_>) {
    let all = all(file);
    if all.iter().all(|one| one.behind == Behind::Operator) && problems.is_clean() {
        let told = "there is nothing to do: write [ingress], [egress] or a `local` listener of an upstream";
        problems.part("").add("", told);
    }
    for (nth, one) in all.iter().enumerate().filter(|(_, one)| one.at.port() != 0) {
        if let Some(other) = all.iter().take(nth).find(|other| other.at == one.at) {
            let told = format!("{} is taken by {} already; write another port", one.at, other.key);
            problems.part(&one.key).add("", told);
        }
    }
    let claimed = |it: &super::ingress::IngressFile| it.claim_sre_api && !it.listen.0.ip().is_loopback();
    if file.ingress.as_ref().is_some_and(claimed) && file.admin.token_file.is_none() {
        problems.part("ingress").add(
            "claim_sre_api",
            "this port is reachable from outside, and with it the API: write admin.token_file, or listen on 127.0.0.1",
        );
    }
    // Which addresses the machine has is for whoever tries the config.
    for (path, told) in circles(file, |_| false) {
        problems.part(path).add("", told);
    }
}

/// Endpoints that lead back here, by their keys, with what is told of each. `own`: is it an address of this machine?
/// Asked only of addresses whose port is one of a listener of this process.
pub(super) fn leading_back(file: &ConfigFile, own: impl Fn(IpAddr) -> bool) -> Vec<(String, String)> {
    circles(file, own)
}

fn circles(file: &ConfigFile, own: impl Fn(IpAddr) -> bool) -> Vec<(String, String)> {
    let all = all(file);
    let mut found = Vec::new();
    for (name, upstream) in &file.upstreams {
        let groups = [("endpoints", &upstream.endpoints), ("backup", &upstream.backup)];
        let written = groups.into_iter().flat_map(|(key, group)| {
            group.iter().enumerate().map(move |(nth, endpoint)| (key, nth, endpoint))
        });
        for (key, nth, Text(endpoint)) in written {
            let Some(listener) = all.iter().find(|one| reaches(endpoint, one.at, &own)) else { continue };
            let told = match &listener.behind {
                Behind::Operator => {
                    "is the operator's port of this very process, and no service; write the address of the service (the API \
                     on the traffic port: ingress.claim_sre_api = true; metrics on a port of their own: admin.probes)"
                }
                Behind::Traffic => {
                    "is a listener of this very process: requests would go round in circles; write the address of the \
                     service itself"
                }
                Behind::Local(of) if comes_back(file, of, name, &own) => {
                    "is a `local` listener of this very process that leads back here: requests would go round in circles; \
                     write the address of the service itself"
                }
                Behind::Local(_) => continue,
            };
            found.push((format!("upstreams.{name}.{key}.{nth}"), told.to_owned()));
        }
    }
    found
}

/// Does the `local` listener of upstream `from` lead to upstream `to`, by however many others?
fn comes_back(file: &ConfigFile, from: &str, to: &str, own: &impl Fn(IpAddr) -> bool) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(name) = next.pop() {
        if name == to {
            return true;
        }
        let Some(upstream) = file.upstreams.get(&name).filter(|_| seen.insert(name.clone())) else {
            continue;
        };
        let locals = file.upstreams.iter().filter_map(|(other, it)| Some((other, it.local?.0)));
        let all = || upstream.endpoints.iter().chain(&upstream.backup);
        let hit = |local: SocketAddr| all().any(|one| reaches(&one.0, local, own));
        next.extend(locals.filter(|(_, local)| hit(*local)).map(|(other, _)| other.clone()));
    }
    false
}

/// Does a connection to `endpoint` come to `listen`? A name other than localhost is not looked up.
fn reaches(endpoint: &Endpoint, listen: SocketAddr, own: &impl Fn(IpAddr) -> bool) -> bool {
    let to = |ip: IpAddr| is_at(SocketAddr::new(ip, endpoint.port), listen, own);
    match &endpoint.host {
        Host::Address(ip) => to(*ip),
        Host::Name(_) if endpoint.host.is_loopback() => {
            to(Ipv4Addr::LOCALHOST.into()) || to(Ipv6Addr::LOCALHOST.into())
        }
        Host::Name(_) => false,
    }
}

/// Where a connection to `ip` leads on this machine: Linux takes the unspecified address for the loopback when it connects (ip(7)).
pub fn connected(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        one @ (IpAddr::V4(_) | IpAddr::V6(_)) => one,
    }
}

/// Does a connection to `to` come to the listener at `listen`? `own`: is it an address of this machine? Asked only
/// where the port is the listener's and it listens on all addresses.
pub fn is_at(to: SocketAddr, listen: SocketAddr, own: impl Fn(IpAddr) -> bool) -> bool {
    if to.port() != listen.port() || to.port() == 0 {
        return false;
    }
    let ip = connected(to.ip().to_canonical());
    match listen.ip().to_canonical() {
        IpAddr::V4(any) if any.is_unspecified() => ip.is_ipv4() && (ip.is_loopback() || own(ip)),
        // Of both families, unless the machine says otherwise (net.ipv6.bindv6only).
        IpAddr::V6(any) if any.is_unspecified() => ip.is_loopback() || own(ip),
        one @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip == one,
    }
}

#[cfg(test)]
mod tests {
    use super::super::warnings::open_listeners as warnings;
    use super::super::{Config, load};
    use super::*;
    use crate::config::tests::config_text;

    const ALL: &str = r#"[ingress]
listen = "0.0.0.0:8000"
[egress]
listen = "127.0.0.1:3128"
[admin]
listen = "127.0.0.1:9901"
probes = "127.0.0.1:9902"
[upstreams.backend]
endpoints = ["127.0.0.1:8001"]
[upstreams.stripe]
preset = "stripe"
local = "127.0.0.1:9101"
"#;

    fn with(endpoint: &str) -> Result<Config, super::super::problem::Problems> {
        load(&format!("{ALL}[upstreams.x]\nendpoints = [\"{endpoint}\"]\n"), "a test", &[])
    }

    #[test]
    fn an_endpoint_that_is_this_very_process_is_refused_however_it_is_written() {
        for (endpoint, says) in [
            ("127.0.0.1:8000", "round in circles"),
            ("127.3.2.1:8000", "round in circles"),
            ("0.0.0.0:8000", "round in circles"),
            ("localhost:8000", "round in circles"),
            ("[::ffff:127.0.0.1]:8000", "round in circles"),
            ("LOCALHOST.:3128", "round in circles"),
            ("127.0.0.1:9901", "ingress.claim_sre_api"),
            ("localhost:9902", "admin.probes"),
        ] {
            let problems = with(endpoint).expect_err(endpoint).all;
            let [problem] = problems.as_slice() else { panic!("{problems:?}") };
            assert_eq!(problem.path, "upstreams.x.endpoints.0");
            assert!(problem.message.contains(says), "{endpoint}: {}", problem.message);
        }
    }

    #[test]
    fn a_listener_has_its_address_or_all_of_its_families() {
        let here: IpAddr = [192, 0, 2, 1].into();
        for (to, listen, is) in [
            ("[::1]:80", "[::]:80", true),
            ("127.0.0.1:80", "[::]:80", true),
            ("192.0.2.1:80", "[::]:80", true),
            ("192.0.2.1:80", "0.0.0.0:80", true),
            ("[::]:80", "[::1]:80", true),
            ("[::1]:80", "0.0.0.0:80", false),
            ("192.0.2.2:80", "0.0.0.0:80", false),
            ("192.0.2.1:81", "0.0.0.0:80", false),
            ("192.0.2.1:80", "127.0.0.1:80", false),
            ("127.0.0.1:0", "0.0.0.0:0", false),
        ] {
            let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
            assert_eq!(is_at(at(to), at(listen), |ip| ip == here), is, "{to} at {listen}");
        }
    }

    #[test]
    fn an_endpoint_beside_this_process_is_none_of_its_listeners() {
        for endpoint in ["127.0.0.1:8002", "127.0.0.2:3128", "[::1]:8000", "192.0.2.1:8000", "db:8000"] {
            let config = with(endpoint).unwrap_or_else(|problems| panic!("{endpoint}: {problems}"));
            assert_eq!(leading_back(&config.origin.file, |_| false), []);
        }
    }

    #[test]
    fn an_address_of_this_machine_counts_where_a_listener_has_all_of_them() {
        let here: IpAddr = [192, 0, 2, 1].into();
        let config = with("192.0.2.1:8000").expect("nobody has looked at the machine yet");
        let found = leading_back(&config.origin.file, |ip| ip == here);
        assert_eq!(
            found.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(),
            ["upstreams.x.endpoints.0"]
        );
        let config = with("192.0.2.1:3128").expect("the egress is on the loopback alone");
        assert_eq!(leading_back(&config.origin.file, |ip| ip == here), []);
    }

    #[test]
    fn local_listeners_are_called_in_a_row_and_not_in_a_circle() {
        with("127.0.0.1:9101").expect("x, then stripe: odd, and it ends");
        let circle = &config_text(
            r#"
                [upstreams.a]
                local = "127.0.0.1:9201"
                endpoints = ["127.0.0.1:9202"]
                [upstreams.b]
                local = "127.0.0.1:9202"
                endpoints = ["localhost:9203"]
                [upstreams.c]
                local = "127.0.0.1:9203"
                endpoints = ["127.0.0.1:9201"]
                [upstreams.d]
                endpoints = ["127.0.0.1:9201"]
                [upstreams.e]
                local = "127.0.0.1:9205"
                endpoints = ["127.0.0.1:9205"]
            "#,
        );
        let problems = load(circle, "a test", &[]).expect_err("it goes round").all;
        let places: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        let of = |name| format!("upstreams.{name}.endpoints.0");
        assert_eq!(places, ["a", "b", "c", "e"].map(of), "d is outside of the circle");
    }

    #[test]
    fn a_way_out_that_is_open_to_others_is_warned_of() {
        let told = |text: &str| warnings(&load(text, "a test", &[]).expect("it can run"));
        let open = told("[egress]\nlisten = \"0.0.0.0:3128\"\nunlisted = \"report\"\n");
        assert!(open.len() == 1 && open[0].contains("an open proxy") && open[0].contains("127.0.0.1:3128"));
        let listed = told("[egress]\nlisten = \"[::]:3128\"\n");
        assert!(listed.len() == 1 && listed[0].contains("all hosts that upstreams list"), "{listed:?}");
        let local = told("[upstreams.stripe]\npreset = \"stripe\"\nlocal = \"10.0.0.7:9101\"\n");
        assert!(
            local.len() == 1 && local[0].starts_with("upstreams.stripe.local: 10.0.0.7:9101"),
            "{local:?}"
        );
        for fine in ["127.0.0.1", "127.0.0.9", "[::1]", "[::ffff:127.0.0.1]"] {
            let text = config_text(&format!(
                r#"
                    [egress]
                    listen = "{fine}:3128"
                    [upstreams.stripe]
                    preset = "stripe"
                    local = "{fine}:9101"
                "#
            ));
            assert_eq!(told(&text), Vec::<String>::new(), "{fine}");
        }
    }
}
