//! What was found to be wrong, and what is under way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// So many findings of a kind are kept as text; all are counted.
const KEPT: usize = 3;

/// Collects findings from all threads.
#[derive(Debug, Default)]
pub struct Report {
    found: Mutex<BTreeMap<String, (usize, Vec<String>)>>,
    /// Requests that are over for the client.
    pub done: AtomicU32,
    /// Connections that the client has opened.
    pub opened: AtomicU32,
    /// Connections that are open at the client now.
    pub open: AtomicU32,
    /// Connections that the origin closed after an answer without saying so.
    pub unsaid: AtomicU32,
    /// HTTP/2 connections that the origin has ended by GOAWAY.
    pub goaways: AtomicU32,
    /// Bytes of bodies and tunnels that the client has read.
    pub bytes: AtomicU64,
    /// The number each client is at; 0: none (numbers are shown plus one).
    pub at: Mutex<Vec<u32>>,
}

impl Report {
    /// Something is not as it must be.
    pub fn find(&self, what: &str, detail: String) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, kept) = found.entry(what.to_owned()).or_default();
        *count += 1;
        if kept.len() < KEPT {
            kept.push(detail);
        }
    }

    /// `left` must be `right`.
    pub fn equal<T: PartialEq + std::fmt::Debug>(&self, what: &str, left: T, right: T) {
        if left != right {
            self.find(what, format!("{left:?} is not {right:?}"));
        }
    }

    /// `count` must not be more than `most`.
    pub fn at_most(&self, what: &str, count: u64, most: u64) {
        if count > most {
            self.find(what, format!("{count}, at most {most}"));
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).values().map(|(count, _)| count).sum()
    }

    /// All kinds of them, with their number and the first of each.
    pub fn findings(&self) -> String {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (what, (count, first)) in &*found {
            text.push_str(&format!("{count} x {what}\n"));
            first.iter().for_each(|detail| text.push_str(&format!("    {detail}\n")));
        }
        text
    }

    /// Client `slot` is at request `number`.
    pub fn is_at(&self, slot: usize, number: Option<u32>) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if at.len() <= slot {
            at.resize(slot + 1, 0);
        }
        at[slot] = number.map_or(0, |number| number + 1);
    }

    /// Requests that clients are at.
    pub fn under_way(&self) -> Vec<u32> {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.iter().filter_map(|number| number.checked_sub(1)).collect()
    }

    /// Counts one.
    pub fn one(counter: &AtomicU32) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
