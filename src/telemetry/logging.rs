//! Where events go: standard error, as JSON lines or for a terminal; and which of them: by the config, or by an order for a while.
//!
//! An order outlives a reload and nothing else: a restart begins with what the config says.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt};

use super::event::{Event, OrderEvent};
use super::telling::{self, Folding, LineWriter};
use crate::runtime::tasks::{self, TaskName};

/// An order about which events are told, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterOrder {
    /// In tracing's directive syntax.
    pub filter: String,
    pub actor: String,
    /// Why, in the words of whoever orders it.
    pub reason: String,
    pub since: Instant,
    /// The config decides again from then on.
    pub until: Instant,
}

/// What a filter says, and by whose word.
#[derive(Clone, Debug)]
pub struct FilterView {
    /// What `process.log` says.
    pub configured: String,
    /// The order that is in force instead; `None`: there is none.
    pub order: Option<FilterOrder>,
}

/// The filter of a running process: the config's, or that of an order until its time is over. Clones are the same.
#[derive(Clone, Debug)]
pub struct Filter {
    handle: reload::Handle<EnvFilter, Registry>,
    held: Arc<Mutex<FilterView>>,
}

impl Filter {
    fn new(handle: reload::Handle<EnvFilter, Registry>, configured: &str) -> Self {
        let held = FilterView { configured: configured.to_owned(), order: None };
        Self { handle, held: Arc::new(Mutex::new(held)) }
    }

    fn held(&self) -> MutexGuard<'_, FilterView> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the config says from now on, in tracing's directive syntax, such as `info` or `strop=debug`. An order that is in
    /// force stays until its time is over.
    pub fn configure(&self, directives: &str) -> Result<(), String> {
        let mut held = self.held();
        let filter = read(directives)?;
        directives.clone_into(&mut held.configured);
        if held.order.is_none() { self.put(filter) } else { Ok(()) }
    }

    /// In force when this returns. An error: the filter is none.
    pub fn order(&self, order: FilterOrder) -> Result<(), String> {
        let mut held = self.held();
        let filter = read(&order.filter)?;
        // By the filter before: what follows may not be told any more.
        tell(&order.filter, &format!("ordered by {}: {}", order.actor, order.reason));
        held.order = Some(order);
        self.put(filter)
    }

    /// Ends an order; the order that has ended.
    pub fn end(&self) -> Option<FilterOrder> {
        self.end_if(|_| true)
    }

    /// Ends an order whose time is over; called once a second.
    pub fn look(&self, now: Instant) {
        self.end_if(|order| order.until <= now);
    }

    fn end_if(&self, which: impl FnOnce(&FilterOrder) -> bool) -> Option<FilterOrder> {
        let mut held = self.held();
        let ended = held.order.take_if(|order| which(order))?;
        // What the config says was read when it was checked.
        if self.put(read(&held.configured).unwrap_or_else(|_| usual())).is_ok() {
            tell(&held.configured, "process.log: an order is over");
        }
        Some(ended)
    }

    /// What is in force now, and by whose word.
    pub fn view(&self) -> FilterView {
        self.held().clone()
    }

    fn put(&self, filter: EnvFilter) -> Result<(), String> {
        self.handle.reload(filter).map_err(|error| error.to_string())
    }
}

fn read(directives: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(directives).map_err(|error| error.to_string())
}

fn usual() -> EnvFilter {
    EnvFilter::new("info")
}

fn tell(filter: &str, why: &str) {
    OrderEvent::LogFilter { filter, why }.tell();
}

/// A panic is told as everything else is: no thread waits for whoever reads standard error.
fn tell_panics() {
    std::panic::set_hook(Box::new(|info| {
        let trace = std::backtrace::Backtrace::capture();
        let traced = trace.status() == std::backtrace::BacktraceStatus::Captured;
        let trace = if traced { format!("\n{trace}") } else { String::new() };
        telling::say(&format!("{info}{trace}"));
    }));
}

/// Starts telling. `None`: somebody else already does (a second app in one process).
pub fn start(directives: &str, json: bool) -> Option<Filter> {
    let (filter, handle) = reload::Layer::new(read(directives).unwrap_or_else(|_| usual()));
    let lines = if json {
        fmt::layer().json().flatten_event(true).with_target(false).with_writer(LineWriter).boxed()
    } else {
        let colours = std::io::stderr().is_terminal();
        fmt::layer().with_target(false).with_ansi(colours).with_writer(LineWriter).boxed()
    };
    let lines = lines.with_filter(Folding::default());
    tracing_subscriber::registry().with(filter).with(lines).try_init().ok()?;
    tell_panics();
    tasks::tell_panics(|TaskName { owner, task }| Event::TaskPanicked { owner, task }.tell());
    Some(Filter::new(handle, directives))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::runtime::clock;

    fn filter() -> (reload::Layer<EnvFilter, Registry>, Filter) {
        let (layer, handle) = reload::Layer::new(usual());
        (layer, Filter::new(handle, "info"))
    }

    fn in_force(filter: &Filter) -> String {
        filter.handle.with_current(ToString::to_string).expect("its layer is there")
    }

    fn order(directives: &str, now: Instant) -> FilterOrder {
        let (actor, reason) = ("ann".to_owned(), "a test".to_owned());
        let until = now + Duration::from_secs(60);
        FilterOrder { filter: directives.to_owned(), actor, reason, since: now, until }
    }

    #[test]
    fn an_order_is_in_force_until_its_time_is_over_and_a_reload_does_not_end_it() {
        let ((_layer, filter), now) = (filter(), clock::instant());
        filter.order(order("strop=debug", now)).expect("a filter");
        assert_eq!(in_force(&filter), "strop=debug");
        filter.configure("warn").expect("a filter");
        filter.look(now + Duration::from_secs(59));
        assert_eq!(in_force(&filter), "strop=debug");
        filter.look(now + Duration::from_secs(60));
        assert_eq!((in_force(&filter).as_str(), filter.view().order), ("warn", None));
        filter.configure("error").expect("a filter");
        assert_eq!(in_force(&filter), "error");
    }

    #[test]
    fn an_order_that_is_no_filter_changes_nothing() {
        let ((_layer, filter), now) = (filter(), clock::instant());
        assert!(filter.order(order("strop=loud", now)).is_err());
        assert_eq!((in_force(&filter).as_str(), filter.end()), ("info", None));
        filter.order(order("off", now)).expect("a filter");
        assert_eq!(filter.end().map(|order| order.filter).as_deref(), Some("off"));
        assert_eq!(in_force(&filter), "info");
    }
}
