//! Files under `config/` that are made of the code, by its tests: nothing of what makes them is in the binary.

use std::path::Path;

/// Set: the files are written anew.
const WRITE: &str = "STROP_WRITE_SHIPPED";

/// The file of the repository is what the code says.
pub(crate) fn assert_shipped(file: &str, says: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, says).expect("writes");
    }
    let shipped = std::fs::read_to_string(&path).expect("reads");
    assert!(
        shipped == says,
        "config/{file} is out of date: {WRITE}=1 cargo test --lib -- shipped, then build"
    );
}

#[test]
fn the_shipped_schema_is_what_the_types_say() {
    let schema = schemars::schema_for!(super::file::ConfigFile);
    assert_shipped("schema.json", &(serde_json::to_string_pretty(&schema).expect("JSON") + "\n"));
}
