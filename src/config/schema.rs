//! The JSON Schema of the config file.

/// As it is shipped. A test holds it to the types.
pub const SCHEMA: &str = include_str!("../../config/schema.json");

/// The same, read. It is the one that the test reads.
pub(super) fn read() -> serde_json::Value {
    serde_json::from_str(SCHEMA).unwrap_or_default()
}
