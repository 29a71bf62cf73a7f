//! Puts names in force: one new snapshot, around the routes that are there. A reload keeps them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::book::kept_until;
use super::document::Document;
use super::state::{DocumentView, GoneName};
use super::table::{ApplicationNames, NamedOperation, NamedRoutes};
use crate::config::Config;
use crate::reliability::party::Party;
use crate::telemetry::Telemetry;
use crate::telemetry::line;
use crate::telemetry::series::Direction;
use crate::upstream::RouteEntry;
use crate::upstream::registry::{Registry, World};

/// Names that the config gives: no operation has one of them.
fn taken(config: &Config) -> BTreeSet<String> {
    let routes = config.routes.iter().map(|route| route.name.as_str().to_owned());
    routes.chain(config.upstreams.iter().map(|upstream| upstream.name.as_str().to_owned())).collect()
}

impl World {
    /// Ingress routes, and the last one under each name of the application's.
    pub fn counted_routes(&self) -> impl Iterator<Item = &Arc<RouteEntry>> {
        self.routes.iter().chain(self.named.iter().flat_map(|named| named.entries()))
    }
}

impl Registry {
    pub(super) fn telemetry(&self) -> &Telemetry {
        &self.maker.telemetry
    }

    /// Named operations over these routes; `None`: nothing is named.
    pub(in crate::upstream) fn named(
        &self,
        names: &ApplicationNames,
        config: &Config,
        routes: &[Arc<RouteEntry>],
    ) -> Option<Arc<NamedRoutes>> {
        let wanted = config.ingress.as_ref().is_some_and(|ingress| ingress.openapi.is_some());
        // Only what no written route takes has a name of the application's.
        let last = routes.last().filter(|last| wanted && last.unnamed.is_some())?;
        let taken = taken(config);
        // What the config has named since goes without a name until the book gives it another.
        let free = |one: &&NamedOperation| !taken.contains(one.name.as_str());
        let entries = names.operations.iter().filter(free).map(|one| (one, self.named_entry(one, last)));
        (!names.operations.is_empty()).then(|| Arc::new(NamedRoutes::of(entries, &names.prefixes)))
    }

    /// The last route under the name of an operation: nothing else is its own.
    fn named_entry(&self, named: &NamedOperation, last: &Arc<RouteEntry>) -> Arc<RouteEntry> {
        let upstream = &last.upstream.config.name;
        let telemetry = self.telemetry();
        let series = telemetry.series(&named.name, upstream, Direction::Ingress);
        telemetry.show_as(&series, Some(&named.operation.label()));
        Arc::new(RouteEntry {
            config: Arc::clone(&last.config),
            upstream: Arc::clone(&last.upstream),
            series,
            timeouts: last.timeouts,
            logged: line::way(named.name.as_str(), upstream.as_str()),
            injects_keys: last.injects_keys,
            rates: last.rates.as_ref().map(Arc::clone),
            load: last.load.as_ref().map(Arc::clone),
            fingerprint: Party::named(named.name.as_str()),
            unnamed: None,
        })
    }

    /// The operations of a document are named, and no others. How many found no name.
    pub(super) fn name_routes(&self, document: &Document, now: Instant) -> usize {
        self.adopt(&document.operations, document.prefixes.clone(), now)
    }

    /// After a reload: names that the config has given meanwhile are the config's.
    pub(super) fn rename_routes(&self, now: Instant) {
        let names = Arc::clone(&self.snapshot().application);
        let operations: Vec<_> = names.operations.iter().map(|one| one.operation.clone()).collect();
        let taken = taken(&self.snapshot().config);
        if names.operations.iter().any(|one| taken.contains(one.name.as_str())) {
            self.adopt(&operations, names.prefixes.clone(), now);
        }
    }

    /// Nothing is named any more.
    pub(super) fn unname_routes(&self, now: Instant) {
        self.adopt(&[], Vec::new(), now);
    }

    fn adopt(&self, wanted: &[super::DocumentedOperation], prefixes: Vec<String>, now: Instant) -> usize {
        let taken = taken(&self.snapshot().config);
        let (operations, without) = self.naming.held().book.adopt(wanted, &taken, now);
        self.telemetry().application.named.store(operations.len() as u64, Ordering::Relaxed);
        let names = ApplicationNames { operations, prefixes };
        if *self.snapshot().application == names {
            return without;
        }
        let names = Arc::new(names);
        self.world.rcu(|now| {
            let mut next = World::clone(now);
            next.named = self.named(&names, &next.config, &next.routes);
            next.application = Arc::clone(&names);
            next
        });
        // What was seen without a name may have one now.
        self.telemetry().unnamed.begin(now);
        without
    }

    /// Gives back what names have held that went an hour ago; how many did.
    pub(super) fn forget_names(&self, now: Instant) -> usize {
        let expired = self.naming.held().book.expired(now);
        let config = Arc::clone(&self.snapshot().config);
        let written =
            |name: &&crate::names::RouteName| config.routes.iter().any(|route| route.name == **name);
        for name in expired.iter().filter(|name| !written(name)) {
            self.telemetry().forget_route(name, Direction::Ingress);
        }
        expired.len()
    }

    /// What is known of the application's document; `None`: none is wanted.
    pub fn document(&self) -> Option<DocumentView> {
        self.naming.held().document.clone()
    }

    pub(super) fn set_document(&self, document: Option<DocumentView>) {
        self.naming.held().document = document;
    }

    /// Names whose operation is not there any more, and whose history is kept.
    pub fn gone_names(&self) -> Vec<GoneName> {
        let state = self.naming.held();
        let one = |(operation, name, since)| GoneName {
            named: NamedOperation::new(operation, name),
            since,
            until: kept_until(since),
        };
        state.book.gone().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::document;
    use super::*;
    use crate::message::head::Method;
    use crate::runtime::clock;
    use crate::telemetry::access::AccessLog;

    fn config(more: &str) -> Arc<Config> {
        let text = format!(
            "[ingress]\nopenapi = \"/openapi.json\"\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n{more}"
        );
        Arc::new(crate::config::load(&text, "a test", &[]).expect("it can run"))
    }

    fn registry(more: &str) -> Arc<Registry> {
        let telemetry = Telemetry::new(1, AccessLog::off(), clock::now());
        Registry::new(config(more), telemetry, 1).0
    }

    fn document(paths: &str) -> Document {
        let text =
            format!("{{\"openapi\":\"3.1.0\",\"servers\":[{{\"url\":\"/api\"}}],\"paths\":{{{paths}}}}}");
        document::read(text.as_bytes()).expect("a document")
    }

    fn name(registry: &Registry, method: Method, path: &str) -> String {
        let found = registry.snapshot().by_request("a", method, path.as_bytes()).expect("a route");
        assert_eq!(found.config.name.as_str() == "default", found.name().as_str() != "written");
        found.name().to_string()
    }

    const BOTH: &str = "\"/a/{id}\":{\"get\":{},\"put\":{}},\"/b\":{\"get\":{}}";

    #[tokio::test]
    async fn what_no_written_route_takes_has_the_name_of_its_operation() {
        let registry = registry("[[routes]]\nname = \"written\"\npath = \"/b\"\n");
        let now = clock::instant();
        assert_eq!(name(&registry, Method::Get, "/a/1"), "default");
        assert_eq!(registry.name_routes(&document(BOTH), now), 0);
        for (method, path, wanted) in [
            (Method::Get, "/a/1", "get_a_id"),
            (Method::Put, "/%61/1", "put_a_id"),
            (Method::Get, "/api/a/1", "get_a_id"),
            (Method::Post, "/a/1", "default"),
            (Method::Get, "/a/1/2", "default"),
            (Method::Get, "/b", "written"),
            (Method::Get, "/api/b", "get_b"),
        ] {
            assert_eq!(name(&registry, method, path), wanted, "{path}");
        }
        // A reload keeps them, and what it writes comes first.
        registry.reconcile(config("[[routes]]\nname = \"written\"\npath = \"/a/{x}\"\n"), now);
        assert_eq!(name(&registry, Method::Get, "/a/1"), "written");
        assert_eq!(name(&registry, Method::Get, "/b"), "get_b");
    }

    #[tokio::test]
    async fn a_name_that_the_config_gives_is_the_configs() {
        let registry = registry("");
        let now = clock::instant();
        registry.name_routes(&document(BOTH), now);
        registry.reconcile(config("[[routes]]\nname = \"get_b\"\npath = \"/other\"\n"), now);
        assert_eq!(
            registry.snapshot().by_request("a", Method::Get, b"/b").expect("a route").name().as_str(),
            "default"
        );
        registry.rename_routes(now);
        let renamed =
            registry.snapshot().by_request("a", Method::Get, b"/b").expect("a route").name().to_string();
        assert!(renamed.starts_with("get_b_"), "{renamed}");
    }

    #[tokio::test]
    async fn the_history_of_a_name_that_goes_is_kept_for_an_hour() {
        let registry = registry("");
        let start = clock::instant();
        let known = |wanted: &str| {
            registry.telemetry().all_series().iter().any(|series| series.key.0.as_str() == wanted)
        };
        registry.name_routes(&document(BOTH), start);
        registry.name_routes(&document("\"/b\":{\"get\":{}}"), start);
        assert_eq!(name(&registry, Method::Get, "/a/1"), "default");
        assert_eq!(registry.gone_names().len(), 2);
        registry.forget_names(start + Duration::from_secs(3_599));
        assert!(known("get_a_id") && known("get_b"));
        registry.forget_names(start + Duration::from_secs(3_600));
        assert!(!known("get_a_id") && known("get_b") && registry.gone_names().is_empty());
        registry.unname_routes(start);
        assert_eq!(name(&registry, Method::Get, "/b"), "default");
    }
}
