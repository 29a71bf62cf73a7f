//! The pure core of Strop and nothing else, for the simulation.

#[path = "../../../src/names.rs"]
pub mod names;
#[path = "../../../src/reliability/mod.rs"]
pub mod reliability;
#[path = "../../../src/units.rs"]
pub mod units;
