//! What `/etc/resolv.conf` and `/etc/hosts` say, and which names are asked for because of it. Pure.
//!
//! As the C library on Linux reads them (resolv.conf(5), hosts(5)): a name of at least `ndots` dots is asked for as it
//! is first and with the search domains after that, another one the other way round.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Servers beyond these are not asked (`MAXNS`).
const SERVERS: usize = 3;

/// May the search domains of resolv.conf be appended?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// As the C library would.
    Domains,
    /// The name is complete.
    Never,
}

/// What stands beside the file: variables of the environment, and the machine's own name.
#[derive(Clone, Debug, Default)]
pub(super) struct ResolverEnv {
    /// `LOCALDOMAIN`: search domains instead of the file's.
    pub(super) domains: Option<String>,
    /// `RES_OPTIONS`: options after the file's.
    pub(super) options: Option<String>,
    /// What follows its first dot is the search domain where none is written.
    pub(super) machine: String,
}

/// What `/etc/resolv.conf` says, as the C library reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conf {
    /// Asked in this order.
    pub(super) servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
    /// How long one server is waited for.
    pub(super) timeout: Duration,
    /// How often all servers are asked.
    pub(super) attempts: usize,
    /// Another server is the first one each time.
    pub(super) rotate: bool,
    /// Queries go over TCP alone.
    pub(super) tcp: bool,
    pub(super) edns0: bool,
    /// A and AAAA one after the other.
    pub(super) one_at_a_time: bool,
    /// IPv6 addresses are not asked for.
    pub(super) no_aaaa: bool,
    /// A name without a dot is never asked for as it is.
    no_tld_query: bool,
}

impl Conf {
    /// Reads it; what cannot be read is passed over. An empty text is what a missing file means.
    pub(super) fn read(text: &str, beside: &ResolverEnv) -> Self {
        let mut conf = Self {
            servers: Vec::new(),
            search: beside.machine.split_once('.').map(|(_, domain)| domains(domain)).unwrap_or_default(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            tcp: false,
            edns0: false,
            one_at_a_time: false,
            no_aaaa: false,
            no_tld_query: false,
        };
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let Some((key, rest)) = line.split_once([' ', '\t']) else { continue };
            match key {
                "nameserver" => conf.servers.extend(server(rest)),
                // The last one of both counts.
                "domain" => conf.search = domains(rest).into_iter().take(1).collect(),
                "search" => conf.search = domains(rest),
                "options" => rest.split_whitespace().for_each(|option| conf.option(option)),
                _ => {}
            }
        }
        if let Some(instead) = &beside.domains {
            conf.search = domains(instead);
        }
        for option in beside.options.iter().flat_map(|options| options.split_whitespace()) {
            conf.option(option);
        }
        conf.servers.truncate(SERVERS);
        if conf.servers.is_empty() {
            conf.servers.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        conf
    }

    fn option(&mut self, option: &str) {
        let (key, number) = option.split_once(':').unwrap_or((option, ""));
        match (key, number.parse::<u32>()) {
            ("ndots", Ok(dots)) => self.ndots = dots.min(15) as usize,
            ("timeout", Ok(seconds)) => self.timeout = Duration::from_secs(u64::from(seconds.clamp(1, 30))),
            ("attempts", Ok(times)) => self.attempts = times.clamp(1, 5) as usize,
            ("rotate", _) => self.rotate = true,
            ("use-vc", _) => self.tcp = true,
            ("edns0", _) => self.edns0 = true,
            ("single-request" | "single-request-reopen", _) => self.one_at_a_time = true,
            ("no-aaaa", _) => self.no_aaaa = true,
            ("no-tld-query", _) => self.no_tld_query = true,
            _ => {}
        }
    }

    /// What is asked for, in this order, until one is found; all of it is complete. A trailing dot says that `name` is.
    pub(super) fn candidates(&self, name: &str, search: Search) -> Vec<Candidate> {
        let as_it_is = || Candidate { name: name.trim_end_matches('.').to_owned(), searched: false };
        if search == Search::Never || name.ends_with('.') {
            return vec![as_it_is()];
        }
        let dots = name.matches('.').count();
        let mut found: Vec<Candidate> = Vec::new();
        let mut add = |candidate: Candidate| {
            if !found.iter().any(|known| known.name == candidate.name) {
                found.push(candidate);
            }
        };
        if dots >= self.ndots {
            add(as_it_is());
        }
        for domain in &self.search {
            let whole = if domain.is_empty() { name.to_owned() } else { format!("{name}.{domain}") };
            add(Candidate { name: whole, searched: true });
        }
        if dots > 0 || self.search.is_empty() || !self.no_tld_query {
            add(as_it_is());
        }
        found
    }
}

/// A name to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Complete, without the dot at its end.
    pub(super) name: String,
    /// It was made with a search domain.
    pub(super) searched: bool,
}

fn server(text: &str) -> Option<IpAddr> {
    text.split_whitespace().next()?.parse().ok()
}

/// Without their dots; the root is the empty one.
fn domains(text: &str) -> Vec<String> {
    text.split_whitespace().map(|domain| domain.trim_matches('.').to_ascii_lowercase()).collect()
}

/// What a hosts file says of `name`: nothing, or all its addresses.
pub(super) fn of_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    let mut found: Vec<IpAddr> = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(ip) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !found.contains(&ip) {
            found.push(ip);
        }
    }
    found
}

/// `localhost` and all below it lead here, whatever files and servers say (RFC 6761 section 6.3).
pub(super) fn of_localhost(name: &str) -> Option<[IpAddr; 2]> {
    let name = name.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("localhost")
        .then_some([IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str, name: &str) -> Vec<String> {
        let conf = Conf::read(text, &ResolverEnv::default());
        conf.candidates(name, Search::Domains).into_iter().map(|candidate| candidate.name).collect()
    }

    const POD: &str = "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\n\
                       options ndots:5\n";

    #[test]
    fn a_name_of_few_dots_is_searched_first_and_asked_as_it_is_last() {
        let wanted = ["db.shop.svc.cluster.local", "db.svc.cluster.local", "db.cluster.local", "db"];
        assert_eq!(asked(POD, "db"), wanted);
        assert_eq!(asked(POD, "api.example.com").last().map(String::as_str), Some("api.example.com"));
        assert_eq!(asked(POD, "api.example.com").len(), 4);
    }

    #[test]
    fn a_name_of_enough_dots_is_asked_as_it_is_first() {
        let text = "search example.com\noptions ndots:2\n";
        assert_eq!(asked(text, "a.b.c"), ["a.b.c", "a.b.c.example.com"]);
        assert_eq!(asked(text, "a.b"), ["a.b.example.com", "a.b"]);
        assert_eq!(asked("search example.com\n", "a.b"), ["a.b", "a.b.example.com"], "ndots is 1");
        assert_eq!(asked("search example.com\noptions ndots:0\n", "a"), ["a", "a.example.com"]);
    }

    #[test]
    fn a_name_that_is_complete_is_never_searched() {
        assert_eq!(asked(POD, "db."), ["db"]);
        assert_eq!(asked(POD, "api.example.com."), ["api.example.com"]);
        let conf = Conf::read(POD, &ResolverEnv::default());
        assert_eq!(conf.candidates("db", Search::Never), [Candidate { name: "db".into(), searched: false }]);
    }

    #[test]
    fn the_last_of_search_and_domain_counts_and_the_root_may_be_on_the_list() {
        assert_eq!(asked("search a.example b.example\ndomain c.example\n", "x"), ["x.c.example", "x"]);
        assert_eq!(asked("domain c.example\nsearch a.example\n", "x"), ["x.a.example", "x"]);
        assert_eq!(asked("search . a.example\n", "x"), ["x", "x.a.example"]);
    }

    #[test]
    fn without_a_file_this_machine_is_asked_and_its_domain_is_searched() {
        let beside = ResolverEnv { machine: "web1.example.com".into(), ..ResolverEnv::default() };
        let conf = Conf::read("", &beside);
        assert_eq!(conf.servers, [IpAddr::from([127, 0, 0, 1])]);
        let names: Vec<_> = conf.candidates("db", Search::Domains).into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["db.example.com", "db"]);
        assert_eq!((conf.timeout, conf.attempts), (Duration::from_secs(5), 2));
    }

    #[test]
    fn options_are_read_and_kept_within_the_c_librarys_bounds() {
        let text = "# one\n; two\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver nonsense\n\
                    nameserver 192.0.2.3\nnameserver 192.0.2.4\n\
                    options timeout:2 attempts:9 rotate ndots:99 use-vc edns0 single-request no-aaaa trust-ad\n";
        let conf = Conf::read(text, &ResolverEnv::default());
        assert_eq!(conf.servers.len(), 3);
        assert_eq!((conf.timeout, conf.attempts, conf.ndots), (Duration::from_secs(2), 5, 15));
        assert!(conf.rotate && conf.tcp && conf.edns0 && conf.one_at_a_time && conf.no_aaaa);
        let plain = Conf::read("nameserver 192.0.2.1\n", &ResolverEnv::default());
        assert!(!(plain.rotate || plain.tcp || plain.edns0 || plain.one_at_a_time || plain.no_aaaa));
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let beside = ResolverEnv {
            domains: Some("over.example".into()),
            options: Some("ndots:3 timeout:1".into()),
            machine: String::new(),
        };
        let conf = Conf::read(POD, &beside);
        let names: Vec<_> = conf.candidates("a.b.c.d", Search::Domains).into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["a.b.c.d", "a.b.c.d.over.example"]);
        assert_eq!(conf.timeout, Duration::from_secs(1));
    }

    #[test]
    fn a_short_name_is_not_asked_as_it_is_where_that_is_forbidden() {
        assert_eq!(asked("search a.example\noptions no-tld-query\n", "x"), ["x.a.example"]);
        assert_eq!(asked("options no-tld-query\n", "x"), ["x"], "nothing else is left");
    }

    #[test]
    fn a_hosts_file_is_read_whole() {
        let text = "127.0.0.1 localhost\n192.0.2.7\tdb db.example # not-db\n# 192.0.2.8 db\n\
                    2001:db8::7 DB\nnonsense db\n";
        let both: Vec<IpAddr> =
            vec![IpAddr::from([192, 0, 2, 7]), "2001:db8::7".parse().expect("an address")];
        assert_eq!(of_hosts(text, "db"), both);
        assert_eq!(of_hosts(text, "db.example."), both[..1]);
        assert_eq!(of_hosts(text, "not-db"), Vec::<IpAddr>::new());
    }

    #[test]
    fn localhost_is_this_machine_in_both_families() {
        for name in ["localhost", "LOCALHOST", "localhost.", "api.localhost"] {
            let both = of_localhost(name).expect("it is");
            assert!(both.iter().all(IpAddr::is_loopback) && both[0].is_ipv6() != both[1].is_ipv6());
        }
        assert_eq!(of_localhost("localhost.example"), None);
        assert_eq!(of_localhost("mylocalhost"), None);
    }
}
