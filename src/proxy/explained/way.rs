//! How a request finds its upstream, what it passes on the way, and how long that may take.

use super::super::keys;
use super::super::route::Entrance;
use super::fact::Facts;
use crate::config::word::Word as _;
use crate::config::{Config, Route, RoutePath};
use crate::message::head::RequestHead;
use crate::runtime::clock;
use crate::units::Written as _;

impl Facts<'_> {
    pub(super) fn route(&mut self, entrance: &Entrance) {
        let Route { name, host, path, .. } = &*self.entry.config;
        let of_host = host.as_ref().map_or(String::new(), |host| format!(" of the host {host}"));
        let (says, key) = match (entrance, path) {
            (Entrance::Ingress, _) if name.as_str() == crate::config::DEFAULT_ROUTE => {
                ("no other route takes it".to_owned(), "ingress.upstream".to_owned())
            }
            (Entrance::Ingress, RoutePath::Template(template)) => {
                (format!("its path has the form {template}{of_host}"), self.of_route("path"))
            }
            (Entrance::Ingress, RoutePath::Below(prefix)) => (
                format!("its path is {prefix} or below it{of_host}, and no route fixes more of it"),
                self.of_route("prefix"),
            ),
            (Entrance::Egress, _) => ("its upstream lists the host".to_owned(), self.key("hosts")),
            (Entrance::Local(_), _) => {
                ("it came to its upstream's own listener".to_owned(), self.key("local"))
            }
        };
        self.add("route", says, key);
    }

    pub(super) fn admission(&mut self, config: &Config, entrance: &Entrance) {
        let route = &self.entry.config;
        if let Some(limit) = route.body_limit {
            self.add(
                "admission",
                format!("a body above {limit} bytes is refused with 413"),
                self.of_route("body_limit"),
            );
        }
        if let Some(limit) = &route.rate_limit {
            let who = limit
                .header
                .as_deref()
                .map_or("an address".to_owned(), |field| format!("a value of {field}"));
            let says = format!(
                "{} requests of {who} in {}, beyond that 429 (mode {})",
                limit.requests,
                limit.per.write(),
                limit.mode.word()
            );
            self.add("admission", says, self.of_route("rate_limit"));
        }
        if *entrance == Entrance::Ingress {
            self.add(
                "admission",
                format!(
                    "its class is {:?}: which requests a level or an overload gives up first",
                    route.class.word()
                ),
                self.of_route("class"),
            );
            let concurrency = config.ingress.as_ref().map(|ingress| ingress.concurrency.mode.word());
            let says = format!(
                "the limit of requests that wait for an answer is {:?}",
                concurrency.unwrap_or("off")
            );
            self.add("admission", says, "ingress.concurrency.mode");
        }
    }

    pub(super) fn upstream(&mut self) {
        let upstream = self.upstream;
        let endpoints: Vec<String> = upstream.endpoints.iter().map(|endpoint| endpoint.write()).collect();
        let tls = match &upstream.tls {
            Some(_) => "by TLS",
            None => "in the clear",
        };
        let says = format!(
            "{} is called at {} {tls}, protocol {}",
            upstream.name,
            endpoints.join(", "),
            upstream.protocol.word()
        );
        self.add("upstream", says, self.key("endpoints"));
        if let Some(backup) = &upstream.backup {
            let endpoints: Vec<String> = backup.endpoints.iter().map(|endpoint| endpoint.write()).collect();
            let says = format!("while those are ill, {} are called", endpoints.join(", "));
            self.add("upstream", says, self.key("failover"));
        }
    }

    pub(super) fn timeouts(&mut self) {
        let (own, all) = (self.entry.config.timeouts, self.entry.timeouts);
        let rows = [
            ("connect", own.connect, all.connect, "to connect, TLS included"),
            ("first_byte", own.first_byte, all.first_byte, "to the head of the answer"),
            ("idle", own.idle, all.idle, "of silence within a body"),
            ("per_try", own.per_try, all.per_try, "for one attempt, to its head"),
            ("total", own.total, all.total, "for the exchange as a whole"),
        ];
        for (key, own, time, what) in rows {
            let path = format!("timeouts.{key}");
            let from = if own.is_some() { self.of_route(&path) } else { self.key(&path) };
            match time {
                Some(time) => self.add("timeouts", format!("{} {what}", time.write()), from),
                None => self.add("timeouts", format!("no limit {what}"), from),
            }
        }
    }

    pub(super) fn keys(&mut self, head: &RequestHead) {
        let Some(keys) = &self.upstream.keys else {
            let says =
                "it knows no idempotency keys: a POST or PATCH that may have reached it is not sent twice";
            return self.add("idempotency", says, self.key("idempotency.header"));
        };
        let says = if keys::vouched(head, keys, clock::instant()).is_some() {
            format!(
                "its {} is a key by which {} knows the write again, for {}",
                keys.header,
                self.upstream.name,
                keys.lives.write()
            )
        } else if !keys.is_for(head.method_bytes()) {
            format!("{} keeps keys of {} alone", self.upstream.name, keys.methods.join(", "))
        } else if self.entry.injects_keys {
            format!("it gets a {} of its own: it has none", keys.header)
        } else {
            format!(
                "it has no {}, and gets none: it is not sent twice once it may have reached {}",
                keys.header, self.upstream.name
            )
        };
        self.add("idempotency", says, self.key("idempotency"));
    }
}
