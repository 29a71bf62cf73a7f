//! Where events go: standard error, as JSON lines or for a terminal.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt};

use super::event::Event;
use super::telling::{self, Folding, LineWriter};
use crate::runtime::tasks::{self, TaskName};

/// Changes the filter of a running process.
#[derive(Clone, Debug)]
pub struct Filter(reload::Handle<EnvFilter, Registry>);

impl Filter {
    /// Takes tracing's directive syntax, such as `info` or `strop=debug`.
    pub fn set(&self, directives: &str) -> Result<(), String> {
        let filter = EnvFilter::try_new(directives).map_err(|error| error.to_string())?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
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
    let filter = EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
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
    Some(Filter(handle))
}
