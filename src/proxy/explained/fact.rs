//! A fact about a request that is explained, and what they are gathered from.

use serde::Serialize;

use crate::config::UpstreamConfig;
use crate::upstream::RouteEntry;

/// One thing that a request meets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Such as `timeouts`.
    pub about: &'static str,
    /// What is so, in a sentence.
    pub says: String,
    /// The key that says so; empty: none does.
    pub key: String,
}

/// Gathers facts about one route and upstream.
pub(super) struct Facts<'a> {
    pub(super) entry: &'a RouteEntry,
    pub(super) upstream: &'a UpstreamConfig,
    /// The route stands in the file.
    pub(super) is_written: bool,
    pub(super) all: Vec<Fact>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(entry: &'a RouteEntry) -> Self {
        Self { entry, upstream: &entry.upstream.config, is_written: false, all: Vec::new() }
    }

    pub(super) fn add(&mut self, about: &'static str, says: impl Into<String>, key: impl Into<String>) {
        self.all.push(Fact { about, says: says.into(), key: key.into() });
    }

    pub(super) fn key(&self, key: &str) -> String {
        format!("upstreams.{}.{key}", self.upstream.name)
    }

    pub(super) fn of_route(&self, key: &str) -> String {
        // What is built in stands in no table.
        if self.is_written { format!("routes.{}.{key}", self.entry.config.name) } else { String::new() }
    }
}
