//! `timeouts = { … }`: of an upstream, and of a route instead of them.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Part;
use crate::units::{Text, secs};

/// `timeouts = { … }` as written. Absent in a route: as the upstream; absent in an upstream: no limit of its own.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsFile {
    /// TCP and TLS together.
    pub connect: Option<Text<Duration>>,
    /// To the final response head.
    pub first_byte: Option<Text<Duration>>,
    /// Longest silence within a body or tunnel.
    pub idle: Option<Text<Duration>>,
    /// One attempt, to its response head.
    pub per_try: Option<Text<Duration>>,
    /// The exchange as a whole.
    pub total: Option<Text<Duration>>,
}

/// How long things may take. In a route a `None` means "as the upstream".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS together. Default 3 s for egress, 1 s for the backend.
    pub connect: Option<Duration>,
    /// From the end of the request head to the first byte of the final response head.
    pub first_byte: Option<Duration>,
    /// Longest silence within a body or tunnel.
    pub idle: Option<Duration>,
    /// One attempt up to the response head.
    pub per_try: Option<Duration>,
    /// The exchange from its head to its last byte; upgrades and tunnels are exempt.
    pub total: Option<Duration>,
}

impl Timeouts {
    /// These, and `base`'s where there are none.
    pub fn over(self, base: Self) -> Self {
        Self {
            connect: self.connect.or(base.connect),
            first_byte: self.first_byte.or(base.first_byte),
            idle: self.idle.or(base.idle),
            per_try: self.per_try.or(base.per_try),
            total: self.total.or(base.total),
        }
    }
}

impl TimeoutsFile {
    /// Of an upstream. Behind the ingress: a neighbour in the pod; else a vendor far away, to whom 3 s survive a lost
    /// SYN (sent again after 1 s, RFC 6298). 60 s to the first byte and of silence are nginx's.
    pub(super) fn base(behind: bool) -> Self {
        let connect = Some(secs(if behind { 1 } else { 3 }));
        Self { connect, first_byte: Some(secs(60)), idle: Some(secs(60)), per_try: None, total: None }
    }

    pub(super) fn check(&self, mut at: Part<'_, '_>) -> Timeouts {
        for (key, value) in [
            ("connect", self.connect),
            ("first_byte", self.first_byte),
            ("idle", self.idle),
            ("per_try", self.per_try),
            ("total", self.total),
        ] {
            if value.is_some_and(|value| value.0.is_zero()) {
                at.add(key, "must be longer than 0s; leave the key out to have no limit of its own");
            }
        }
        self.timeouts()
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        let of = |value: Option<Text<Duration>>| value.map(|value| value.0);
        Timeouts {
            connect: of(self.connect),
            first_byte: of(self.first_byte),
            idle: of(self.idle),
            per_try: of(self.per_try),
            total: of(self.total),
        }
    }
}
