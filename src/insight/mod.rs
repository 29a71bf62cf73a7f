//! What can be seen beside the traffic. Knows no upstream and no incident: it measures, others decide.

pub mod bypass;
pub mod resources;
