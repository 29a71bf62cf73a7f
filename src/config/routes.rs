//! `[[routes]]`: which upstream and which limits a request has, by its host and path.

use std::cmp::Reverse;
use std::sync::Arc;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::fallback::{Fallback, FallbackFile};
use super::hosts::{self, Wild};
use super::latency::{Latency, LatencyFile, Measured, RouteLatencyFile};
use super::problem::{Collector, Part};
use super::rate_limit::RateLimitFile;
use super::stale::{StaleFile, StalePolicy};
use super::timeouts::{Timeouts, TimeoutsFile};
use super::word::OneOf;
use crate::message::path::{is_sent, normal};
use crate::message::templates::{TemplateError, Templates};
use crate::names::{RouteName, UpstreamName};
use crate::reliability::degradation::RouteClass;
use crate::reliability::rate_limit::RateLimitPolicy;
use crate::units::{Size, Text};

/// The route of requests that no other route takes.
pub const DEFAULT_ROUTE: &str = "default";

/// An entry of `[[routes]]` as the operator writes it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RouteFile {
    /// The metric label; made from the path or the prefix when absent.
    pub name: String,
    /// The route takes only requests for this host; absent: for any.
    pub host: Option<String>,
    /// A template such as "/bookings/{id}" or "/files/{*rest}"; either this or a prefix.
    pub path: Option<String>,
    /// The path itself and everything below it; "/" when there is no path either.
    pub prefix: Option<String>,
    /// Who answers; the ingress' upstream when absent.
    pub upstream: String,
    /// The longest request body; above: 413. Absent: no limit.
    pub body_limit: Option<Text<Size>>,
    /// Each that is set replaces the upstream's own.
    pub timeouts: TimeoutsFile,
    /// The latency budget of this route, instead of that of `[latency]`.
    pub latency: RouteLatencyFile,
    /// Writes without an idempotency key get one; absent: as the upstream's `idempotency.inject`.
    pub inject_key: Option<bool>,
    /// What clients read when the upstream cannot be asked; absent: the refusal of the sidecar.
    pub fallback: Option<FallbackFile>,
    /// The last answers stand in where the upstream fails; absent: as `degradation.stale` says, by default none is kept.
    pub stale: Option<StaleFile>,
    /// How often one client may ask; absent: as often as it likes.
    pub rate_limit: Option<RateLimitFile>,
    /// Which requests a degradation level gives up first.
    pub class: OneOf<RouteClass>,
}

/// How a request finds its upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// As metrics and incidents name this route.
    pub name: RouteName,
    /// Only for this authority (lower case, without port), when given.
    pub host: Option<String>,
    /// Which paths it takes.
    pub path: RoutePath,
    pub upstream: UpstreamName,
    /// The most a request body may have; `None`: no limit. Above: 413.
    pub body_limit: Option<u64>,
    /// Each that is set replaces the upstream's own.
    pub timeouts: Timeouts,
    /// Its budget; `None`: it lasts long by nature and has none.
    pub latency: Option<Measured>,
    /// Do writes without an idempotency key get one? `None`: as the upstream says.
    pub inject_key: Option<bool>,
    /// What clients read when the upstream cannot be asked; `None`: the refusal of the sidecar.
    pub fallback: Option<Fallback>,
    /// What is kept of its answers, to stand in where the upstream fails; `None`: nothing.
    pub stale: Option<StalePolicy>,
    /// How often one client may ask; `None`: as often as it likes.
    pub rate_limit: Option<RateLimitPolicy>,
    /// Which requests a degradation level gives up first.
    pub class: RouteClass,
}

impl Route {
    /// `http.route` of OpenTelemetry: the template, behind the host when the route has one; `None` for a prefix.
    pub fn http_route(&self) -> Option<String> {
        let template = self.path.template()?;
        Some(match self.host.as_deref() {
            Some(ip) if ip.contains(':') => format!("[{ip}]{template}"),
            host => format!("{}{template}", host.unwrap_or_default()),
        })
    }
}

/// Which paths a route takes. Paths are compared byte by byte, in the one spelling of [`normal`], without the query.
///
/// Of the templates of one host the precedence of [`Templates`] picks one; so it does of those without a host. What is
/// picked stands beside the prefixes that match, and the first of them in this order takes the request: a template
/// without a catch-all, with a host before without; then whatever matches only the beginning of the path (a prefix, a
/// template that ends in a catch-all), by the number of segments that it fixes, the most first; at the same number a
/// host before none, then a template before a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutePath {
    /// `/a` itself and everything below `/a/`; `/` takes everything.
    Below(String),
    /// A template as [`Templates`] reads it, such as `/bookings/{id}`.
    Template(String),
}

impl RoutePath {
    /// The prefix, when it is one.
    pub fn prefix(&self) -> Option<&str> {
        match self {
            Self::Below(prefix) => Some(prefix),
            Self::Template(_) => None,
        }
    }

    /// The template, when it is one.
    pub fn template(&self) -> Option<&str> {
        match self {
            Self::Below(_) => None,
            Self::Template(template) => Some(template),
        }
    }

    /// How many segments of a path it determines; all of them, for a template without a catch-all.
    fn segments(&self) -> usize {
        match self {
            Self::Below(prefix) => prefix.trim_end_matches('/').matches('/').count(),
            Self::Template(template) if template.contains("{*") => {
                template.matches('/').count().saturating_sub(1)
            }
            Self::Template(_) => usize::MAX,
        }
    }
}

impl RouteFile {
    /// What a route has by default. `upstream`: the ingress'.
    pub(super) fn base(
        upstream: Option<&str>,
        latency: &LatencyFile,
        stale: Option<StaleFile>,
        written: &Table,
    ) -> Self {
        let prefix = (!written.contains_key("path")).then(|| "/".to_owned());
        let until = written.get("latency").and_then(|latency| latency.get("until")).and_then(Value::as_str);
        let latency = RouteLatencyFile::base(latency, until);
        let upstream = upstream.unwrap_or_default().to_owned();
        Self { name: name(written), prefix, upstream, latency, stale, ..Self::default() }
    }

    fn check(&self, mut at: Part<'_, '_>, named: &[&str], common: &Latency) -> Option<Route> {
        if self.name == DEFAULT_ROUTE {
            at.add("name", "\"default\" is the name of the built-in last route; write another");
        }
        let name = at.take("name", RouteName::new(&self.name));
        let upstream = if self.upstream.is_empty() {
            at.add("upstream", "needs an upstream: there is no [ingress] to take it from");
            None
        } else {
            at.known("upstream", &self.upstream, ("upstream", "upstreams"), named);
            at.take("upstream", UpstreamName::new(&self.upstream))
        };
        let host = self.host.as_deref().map(|host| hosts::read(host, Wild::None));
        Some(Route {
            host: host.and_then(|host| at.take("host", host)),
            path: self.matched(&mut at),
            body_limit: self.body_limit.map(|limit| limit.0.0),
            timeouts: self.timeouts.check(at.part("timeouts")),
            latency: self.latency.check(at.part("latency"), common),
            inject_key: self.inject_key,
            fallback: self.fallback.as_ref().map(|fallback| fallback.check(at.part("fallback"))),
            stale: self.stale.as_ref().and_then(|stale| stale.check(at.part("stale"))),
            rate_limit: self.rate_limit.as_ref().map(|limit| limit.check(at.part("rate_limit"))),
            class: self.class.0,
            name: name?,
            upstream: upstream?,
        })
    }

    fn matched(&self, at: &mut Part<'_, '_>) -> RoutePath {
        if let (Some(template), Some(prefix)) = (&self.path, &self.prefix) {
            let told = "a route has a path or a prefix, not both";
            at.add("path", format!("{told}; write path = {template:?} for the paths of this form, or prefix = {prefix:?} for all below it"));
        }
        if let Some(template) = &self.path {
            at.take("path", spelled(template));
            return RoutePath::Template(template.clone());
        }
        let prefix = self.prefix.as_deref().unwrap_or("/");
        at.take("prefix", spelled(prefix));
        if let Some(bad) = prefix.chars().find(|c| !is_sent(*c)) {
            at.add("prefix", TemplateError::BadByte(bad));
        }
        if !prefix.starts_with('/') {
            at.add("prefix", format!("{prefix:?} must begin with a slash"));
        }
        if prefix.contains(['{', '}']) {
            let told = "is compared letter by letter";
            at.add(
                "prefix",
                format!("{prefix:?} {told}; write path = {prefix:?} where {{…}} is a parameter"),
            );
        }
        RoutePath::Below(prefix.to_owned())
    }
}

/// Requests are compared in one spelling of their path: what is written otherwise takes none.
pub(super) fn spelled(path: &str) -> Result<(), String> {
    let other = normal(path.as_bytes());
    if *other != *path.as_bytes() {
        let other = String::from_utf8_lossy(&other);
        return Err(format!(
            "{path:?} is compared with no path: requests for it are read as {other:?}; write that"
        ));
    }
    Ok(())
}

/// All routes, in the order in which they are asked. `backend`: who answers where none says otherwise; `named`:
/// the names of all upstreams; `stale`: of the built-in last route.
pub(super) fn check(
    written: &[RouteFile],
    backend: Option<&UpstreamName>,
    named: &[&str],
    common: &Latency,
    stale: Option<StalePolicy>,
    problems: &mut Collector<'_>,
) -> Vec<Arc<Route>> {
    let mut routes: Vec<Route> = Vec::new();
    let mut names = std::collections::HashSet::new();
    let mut templates = Vec::new();
    for (nth, route) in written.iter().enumerate() {
        let Some(route) = route.check(problems.part(format!("routes.{nth}")), named, common) else {
            continue;
        };
        let mut at = problems.part(format!("routes.{nth}"));
        if !names.insert(route.name.clone()) {
            at.add("name", format!("two routes are named {}; names are metric labels", route.name));
        }
        if let Some(template) = route.path.template() {
            at.take("path", add(&mut templates, route.host.as_deref(), template));
        }
        if let Some(first) = routes.iter().find(|first| takes_the_same(first, &route)) {
            let told = "takes the same requests and is asked first: this one gets none";
            at.add(
                "prefix",
                format!("route {} {told}; write another prefix or host, or one of the two", first.name),
            );
        }
        routes.push(route);
    }
    routes.sort_by_key(|route| {
        (Reverse(route.path.segments()), route.host.is_none(), route.path.prefix().is_some())
    });
    let last = |backend| Route { stale, ..built_in(DEFAULT_ROUTE, "/", backend, Some(common.measured())) };
    routes.extend(backend.map(last));
    routes.into_iter().map(Arc::new).collect()
}

/// Have both the same host and the same prefix? With a slash at its end it is no other.
fn takes_the_same(one: &Route, other: &Route) -> bool {
    let prefix = |route: &Route| route.path.prefix().map(|prefix| prefix.trim_end_matches('/').to_owned());
    prefix(one).is_some() && prefix(one) == prefix(other) && one.host == other.host
}

fn built_in(name: &str, prefix: &str, upstream: &UpstreamName, latency: Option<Measured>) -> Route {
    Route {
        name: RouteName::new(name).unwrap_or_else(|_| unreachable!("a valid name")),
        host: None,
        path: RoutePath::Below(prefix.to_owned()),
        upstream: upstream.clone(),
        body_limit: None,
        timeouts: Timeouts::default(),
        latency,
        inject_key: None,
        fallback: None,
        stale: None,
        rate_limit: None,
        class: RouteClass::Normal,
    }
}

/// The label of a route that cannot have its own.
pub fn other_route() -> RouteName {
    RouteName::new("other").unwrap_or_else(|_| unreachable!("a valid name"))
}

/// The SRE API on the traffic port, answered by `upstream`.
pub fn sre_api(upstream: &UpstreamName) -> Route {
    let (body_limit, class) = (Some(64 * 1024), RouteClass::High);
    Route { body_limit, class, ..built_in("sre-api", "/api/v2/sre", upstream, None) }
}

/// Egress has one route per upstream, of the same name. It has no budget: whoever measures holds what is no route of the file
/// to the common one.
pub fn egress_route(upstream: &UpstreamName) -> Route {
    let name = RouteName::new(upstream.as_str()).unwrap_or_else(|_| other_route());
    Route { name, ..built_in(DEFAULT_ROUTE, "/", upstream, None) }
}

/// Templates of the same host must not match the same paths.
fn add(
    templates: &mut Vec<(Option<String>, Templates<()>)>,
    host: Option<&str>,
    template: &str,
) -> Result<(), TemplateError> {
    if let Some((_, same)) = templates.iter_mut().find(|(other, _)| other.as_deref() == host) {
        return same.insert(template, ());
    }
    let mut first = Templates::default();
    let inserted = first.insert(template, ());
    templates.push((host.map(str::to_owned), first));
    inserted
}

/// The name of a route, written or made of its path: `/api/v1/bookings` →
/// `api_v1_bookings`, `/bookings/{id}` → `bookings_id`.
pub(super) fn name(written: &Table) -> String {
    let text = |key: &str| written.get(key).and_then(Value::as_str);
    let name = text("name").filter(|name| !name.is_empty());
    name.map_or_else(|| name_of(text("path").or(text("prefix")).unwrap_or("/")), str::to_owned)
}

/// The letters of a path that names have: `/bookings/{id}` → `bookings_id`.
pub fn letters(path: &str) -> String {
    let letters = path.trim_matches('/').replace(['{', '*', '}'], "").to_ascii_lowercase();
    letters.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

fn name_of(path: &str) -> String {
    let name = letters(path);
    if name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name
    } else {
        format!("route_{name}").trim_end_matches('_').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use crate::config::tests::config_text;

    fn with(routes: &str) -> Result<super::super::Config, super::super::problem::Problems> {
        let text = format!("[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n{routes}");
        load(&text, "a test", &[])
    }

    #[test]
    fn routes_are_asked_from_the_most_certain_to_the_least() {
        let config = with(&config_text(
            r#"
                [[routes]]
                prefix = "/a"
                [[routes]]
                path = "/a/{*rest}"
                [[routes]]
                path = "/{id}"
                [[routes]]
                name = "h"
                host = "H.example"
                path = "/{id}"
                [[routes]]
                name = "below"
                host = "h.example"
                prefix = "/a/"
                [[routes]]
                prefix = "/a/b"
                [[routes]]
                path = "/{*rest}"
            "#,
        ))
        .expect("it can run");
        let order: Vec<&str> = config.routes.iter().map(|route| route.name.as_str()).collect();
        assert_eq!(order, ["h", "id", "a_b", "below", "a_rest", "a", "rest", "default"]);
    }

    #[test]
    fn a_host_or_path_that_no_request_has_is_told_with_what_to_write() {
        for (routes, at, says) in [
            ("[[routes]]\npath = \"/a/{\"\n", "routes.0.path", "a brace without its partner; write {id}"),
            ("[[routes]]\npath = \"/a/{id}x\"\n", "routes.0.path", "write {id} alone between two slashes"),
            ("[[routes]]\npath = \"a\"\n", "routes.0.path", "must begin with a slash"),
            ("[[routes]]\npath = \"/a\"\nprefix = \"/a\"\n", "routes.0.path", "a path or a prefix, not both"),
            ("[[routes]]\nprefix = \"/a/{id}\"\n", "routes.0.prefix", "write path = \"/a/{id}\""),
            (
                "[[routes]]\npath = \"/a/{id}\"\n[[routes]]\npath = \"/a/{name}\"\n",
                "routes.1.path",
                "the same paths as \"/a/{id}\"",
            ),
            (
                "[[routes]]\nprefix = \"/a\"\n[[routes]]\nname = \"b\"\nprefix = \"/a/\"\n",
                "routes.1.prefix",
                "route a takes",
            ),
            (
                "[[routes]]\nname = \"a\"\nhost = \"h.example\"\n[[routes]]\nname = \"b\"\nhost = \"H.example.\"\n",
                "routes.1.prefix",
                "route a takes",
            ),
            ("[[routes]]\nprefix = \"/%75p\"\n", "routes.0.prefix", "read as \"/up\"; write that"),
            ("[[routes]]\npath = \"//up/{id}\"\n", "routes.0.path", "read as \"/up/{id}\"; write that"),
            ("[[routes]]\nprefix = \"/a?b\"\n", "routes.0.prefix", "the query is not compared"),
            ("[[routes]]\nhost = \"h.example:8443\"\n", "routes.0.host", "write \"h.example\""),
            ("[[routes]]\nhost = \"*.example\"\n", "routes.0.host", "only upstreams have those"),
            ("[[routes]]\nhost = \"https://[::1]\"\n", "routes.0.host", "write \"[::1]\""),
        ] {
            let problems = with(routes).expect_err(routes).all;
            let found = problems.iter().find(|problem| problem.path == at && problem.message.contains(says));
            assert!(found.is_some(), "{routes}: {problems:?}");
        }
    }

    #[test]
    fn the_same_template_may_stand_for_each_host() {
        let routes = &config_text(
            r#"
                [[routes]]
                name = "a"
                host = "a.example"
                path = "/{id}"
                [[routes]]
                name = "b"
                host = "b.example"
                path = "/{id}"
                [[routes]]
                name = "c"
                path = "/{id}"
            "#,
        );
        assert_eq!(with(routes).expect("it can run").routes.len(), 4);
        let twice = config_text(&format!(
            r#"
                {routes}[[routes]]
                name = "d"
                host = "A.example"
                path = "/{{name}}"
            "#
        ));
        assert_eq!(with(&twice).expect_err("taken").all[0].path, "routes.3.path");
    }
}
