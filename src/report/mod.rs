//! Reports: the service level of a calendar month, and what there is to review after an incident.
//!
//! [`sla`] and [`review`] make documents of values: they are functions of their inputs, so the same inputs give the same bytes.
//! [`gather`] reads those inputs from the store, page by page. What is not observed is told as such.

pub mod calendar;
pub mod days;
pub mod drill;
pub mod gather;
pub mod hours;
pub mod review;
pub mod sla;
pub(crate) mod table;
mod text;

pub(crate) use text::html;
