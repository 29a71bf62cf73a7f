//! No public item that nobody uses: a library's compiler does not see them, and a half row hides behind each.
//!
//! An item is used when its name occurs anywhere else, in the source, the tests, the benches or the fuzz targets. What only
//! tests name is listed with its reason. Items that share their name with a used one are not found here; `tests/unused` finds
//! them, by letting the compiler see the crate as one program.

use std::collections::BTreeMap;
use std::path::Path;

use crate::source::{Source, files, sources};

/// Nobody uses these any more, and they are to go. This list only gets shorter.
const UNUSED: &[(&str, &str)] = &[("src/upstream/pool.rs", "idle_count")];

/// What tests alone name, and why it is not in a test.
const FOR_TESTS: &[(&str, &str)] = &[
    // A body as its reader meets it, without the head before it.
    ("src/message/body.rs", "poll_gather"),
    // Both ends as a fuzz target has them.
    ("src/message/h2/hpack/decode.rs", "set_limit"),
    // Short for what decisions are asked with hundreds of times.
    ("src/reliability/breaker/ticket.rs", "SAFE"),
    ("src/reliability/escalation/policy.rs", "weekdays"),
    // The walk without a head that was seen elsewhere.
    ("src/store/mod.rs", "verify_audit"),
];

/// Words of a text, with how often each occurs.
fn words(text: &str, count: &mut BTreeMap<String, usize>) {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for word in text.split(|c| !is_word(c)).filter(|word| !word.is_empty()) {
        *count.entry(word.to_owned()).or_default() += 1;
    }
}

/// The names of the public items and fields that a line declares.
fn declared(line: &str) -> Option<&str> {
    let line = line.trim_start().strip_prefix("pub")?;
    let line = match line.strip_prefix('(') {
        Some(rest) => rest.split_once(") ")?.1,
        None => line.strip_prefix(' ')?,
    };
    let name = |text: &str| {
        text.len() - text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len()
    };
    let mut rest = line;
    while let Some(after) = ["const ", "async "].iter().find_map(|word| rest.strip_prefix(word)) {
        // `const fn` is a function, `const NAME` is what is declared.
        rest = after;
    }
    let kinds = ["fn ", "struct ", "enum ", "trait ", "type ", "static ", "mut "];
    let item = kinds.iter().find_map(|kind| rest.strip_prefix(kind)).unwrap_or(rest);
    let name = &item[..name(item)];
    let is_other = matches!(name, "" | "use" | "mod" | "fn" | "unsafe" | "extern" | "crate" | "macro");
    (!is_other).then_some(name)
}

/// The declared items of `sources` whose names occur nowhere else in the source, with how often all texts name each.
fn unused(sources: &[Source], everywhere: &BTreeMap<String, usize>) -> Vec<(String, String, usize)> {
    let mut named = BTreeMap::new();
    for source in sources {
        source
            .code
            .iter()
            .for_each(|(_, line)| words(line.split(" // ").next().unwrap_or_default(), &mut named));
    }
    let mut found = Vec::new();
    for source in sources {
        for (_, line) in &source.code {
            let Some(name) = declared(line).filter(|name| named.get(*name) == Some(&1)) else { continue };
            found.push((source.path.clone(), name.to_owned(), everywhere.get(name).copied().unwrap_or(0)));
        }
    }
    found
}

/// Words of everything that is compiled, without comments.
fn everywhere() -> BTreeMap<String, usize> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut count) = (Vec::new(), BTreeMap::new());
    for part in ["src", "tests", "benches", "fuzz"] {
        files(&root.join(part), &mut found);
    }
    // This file names what it forgives.
    for path in found.iter().filter(|path| !path.ends_with("tests/house/unused.rs")) {
        let text = std::fs::read_to_string(path).expect("reads");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.for_each(|line| words(line.split(" // ").next().unwrap_or_default(), &mut count));
    }
    count
}

#[test]
fn nothing_public_is_there_for_nobody() {
    let found = unused(&sources(), &everywhere());
    let listed = |list: &[(&str, &str)], path: &str, name: &str| list.contains(&(path, name));
    let wrong: Vec<_> = found
        .iter()
        .filter(|(path, name, uses)| match uses {
            0 | 1 => !listed(UNUSED, path, name),
            _ => !listed(FOR_TESTS, path, name),
        })
        .map(|(path, name, uses)| match uses {
            0 | 1 => format!("{path}: nobody names {name}"),
            _ => format!("{path}: only tests name {name}"),
        })
        .collect();
    assert!(wrong.is_empty(), "house rule \"no item that nobody uses\": delete them\n{}", wrong.join("\n"));
    let gone: Vec<_> = UNUSED
        .iter()
        .chain(FOR_TESTS)
        .filter(|(file, known)| !found.iter().any(|(path, name, _)| path == file && name == known))
        .collect();
    assert!(gone.is_empty(), "these are used, or gone; take them off the list: {gone:?}");
}

#[test]
fn an_item_without_a_user_is_found_whatever_it_is() {
    let source = |path: &str, code: &str| Source {
        path: path.to_owned(),
        code: code.lines().enumerate().map(|(at, line)| (at + 1, line.to_owned())).collect(),
        lines: 1,
    };
    let sources = [
        source(
            "src/a.rs",
            "pub const fn alone() {}\npub const LIMIT: u8 = 1;\npub struct Used {\n    pub(super) field: u8,\n    \
             pub read: u8,\n}\npub use b::Seen;\npub async fn called() {}\npub static LAST: u8 = 2;",
        ),
        source("src/b.rs", "fn f(of: Used) { a::called(); of.read; } // alone\npub enum Seen {}"),
    ];
    let mut all = BTreeMap::new();
    words("alone LIMIT Used field read called called LAST LAST", &mut all);
    let found = unused(&sources, &all);
    let names: Vec<_> = found.iter().map(|(_, name, uses)| (name.as_str(), *uses)).collect();
    assert_eq!(names, [("alone", 1), ("LIMIT", 1), ("field", 1), ("LAST", 2)]);
}
