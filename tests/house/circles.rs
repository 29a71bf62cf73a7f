//! No circle between files: two files that need each other are one file, or a third one is missing.
//!
//! Imports and paths are read from the source. A re-export (`pub use`) is a sign to another file and ties nothing by
//! itself; who names what it points to is tied to that file. Naming a module alone (`use super::wire;`) ties nothing, what
//! is taken out of it does.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, sources};

/// Files that are still in a circle, one row a circle. This list only gets shorter.
const KNOWN: &[&[&str]] = &[];

type Path = Vec<String>;

struct House {
    /// The file of each module.
    modules: BTreeMap<Path, String>,
    /// What each module re-exports: by which name, and where that is.
    signs: BTreeMap<(Path, String), Path>,
}

/// The module that a file is, as a path from the crate's root.
fn module(file: &str) -> Path {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.trim_end_matches("/mod");
    if matches!(path, "lib" | "main") {
        return Vec::new();
    }
    path.split('/').map(str::to_owned).collect()
}

impl House {
    fn read(sources: &[Source]) -> Self {
        let modules: BTreeMap<_, _> =
            sources.iter().map(|source| (module(&source.path), source.path.clone())).collect();
        let mut house = Self { modules, signs: BTreeMap::new() };
        for source in sources {
            let of = module(&source.path);
            for (path, name) in uses(&text(source), true) {
                if let Some(path) = house.absolute(&of, &path, &BTreeMap::new()) {
                    house.signs.insert((of.clone(), name), path);
                }
            }
        }
        house
    }

    /// The path from the crate's root; `None` when it leads out of the crate or is a local name.
    fn absolute(&self, of: &[String], path: &[String], names: &BTreeMap<String, Path>) -> Option<Path> {
        let mut at = of.to_vec();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (at, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {}
            first => {
                if let Some(known) = names.get(first) {
                    return Some(known.iter().chain(&path[1..]).cloned().collect());
                }
                let child: Path = of.iter().cloned().chain([first.to_owned()]).collect();
                return self.modules.contains_key(&child).then(|| of.iter().chain(path).cloned().collect());
            }
        }
        while rest.first().is_some_and(|part| part == "super") {
            at.pop()?;
            rest = &rest[1..];
        }
        at.extend(rest.iter().cloned());
        Some(at)
    }

    /// The file in which that stands, and what is taken from it; re-exports are followed.
    fn file(&self, path: &[String]) -> Option<(&str, String)> {
        let mut path = path.to_vec();
        for _ in 0..9 {
            let of = (0..=path.len()).rev().find(|to| self.modules.contains_key(&path[..*to]))?;
            let item = path.get(of)?.clone();
            let Some(sign) = self.signs.get(&(path[..of].to_vec(), item.clone())) else {
                return (of > 0).then(|| (self.modules[&path[..of]].as_str(), item));
            };
            path = sign.iter().chain(&path[of + 1..]).cloned().collect();
        }
        None
    }

    /// What a file takes from which other files.
    fn takes(&self, source: &Source) -> BTreeMap<String, BTreeSet<String>> {
        let (of, text) = (module(&source.path), text(source));
        let mut names = BTreeMap::new();
        for (path, name) in uses(&text, false) {
            if let Some(path) = self.absolute(&of, &path, &BTreeMap::new()) {
                names.insert(name, path);
            }
        }
        let mut found = BTreeMap::<String, BTreeSet<String>>::new();
        let inline = paths(&text).into_iter().filter_map(|path| self.absolute(&of, &path, &names));
        for path in names.values().cloned().chain(inline) {
            if let Some((file, item)) = self.file(&path).filter(|(file, _)| *file != source.path) {
                found.entry(file.to_owned()).or_default().insert(item);
            }
        }
        found
    }
}

/// The code in one text, without comments at a line's end.
fn text(source: &Source) -> String {
    source
        .code
        .iter()
        .map(|(_, line)| line.split(" // ").next().unwrap_or_default().to_owned() + "\n")
        .collect()
}

/// The `use` items of a text as whole paths, each with its name here: the public ones, or the others.
fn uses(text: &str, public: bool) -> Vec<(Path, String)> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        let start = line.trim_start();
        let told = start.strip_prefix("pub(").and_then(|rest| rest.split_once(") ")).map(|(_, rest)| rest);
        let told = told.or_else(|| start.strip_prefix("pub "));
        if open.is_none() && told.unwrap_or(start).starts_with("use ") && told.is_some() == public {
            open = Some(told.unwrap_or(start)["use ".len()..].to_owned());
        } else if let Some(open) = &mut open {
            open.push_str(start);
        }
        if let Some(tree) = open.take_if(|open| open.ends_with(';')) {
            expand(&[], tree.trim_end_matches(';'), &mut found);
        }
    }
    found
}

/// Expands `a::{b, c as d, e::{self, f}}`.
fn expand(before: &[String], tree: &str, out: &mut Vec<(Path, String)>) {
    let tree = tree.trim();
    if let Some((head, group)) = tree.split_once('{') {
        let before: Path = before.iter().cloned().chain(parts(head.trim_end_matches("::"))).collect();
        let (mut depth, mut from) = (0, 0);
        let group = group.strip_suffix('}').unwrap_or(group);
        for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&before, &group[from..at], out);
                    from = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    let (path, name) = tree.split_once(" as ").unwrap_or((tree, ""));
    let mut path: Path = before.iter().cloned().chain(parts(path)).collect();
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let own = path.last().cloned().unwrap_or_default();
    if !own.is_empty() {
        out.push((path, if name.is_empty() { own } else { name.trim().to_owned() }));
    }
}

fn parts(path: &str) -> Vec<String> {
    path.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Every `a::b` outside of re-exports, which tie nothing. Inside of other `use` items it is harmless: the same path.
fn paths(text: &str) -> Vec<Path> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let text: String =
        text.lines().filter(|line| !line.trim_start().starts_with("pub use ")).collect::<Vec<_>>().join("\n");
    text.split(|c: char| !word(c) && c != ':')
        .filter(|found| found.contains("::") && !found.starts_with("::"))
        .map(parts)
        .filter(|path| path.len() > 1)
        .collect()
}

/// The files that reach each other, circle by circle.
fn circles(ties: &BTreeMap<String, BTreeMap<String, BTreeSet<String>>>) -> BTreeSet<BTreeSet<String>> {
    let reach = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(at) = open.pop() {
            for next in ties.get(at).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let all: BTreeMap<_, _> = ties.keys().map(|file| (file, reach(file))).collect();
    all.iter()
        .filter(|(file, reached)| reached.contains(**file))
        .map(|(file, reached)| {
            reached
                .iter()
                .filter(|other| all.get(other).is_some_and(|back| back.contains(*file)))
                .cloned()
                .collect()
        })
        .collect()
}

#[test]
fn no_files_need_each_other() {
    let sources = sources();
    let house = House::read(&sources);
    let ties: BTreeMap<_, _> =
        sources.iter().map(|source| (source.path.clone(), house.takes(source))).collect();
    let found = circles(&ties);
    let mut wrong = Vec::new();
    for circle in &found {
        if KNOWN.iter().any(|known| circle.iter().all(|file| known.contains(&file.as_str()))) {
            continue;
        }
        wrong.push(format!("a circle of {} files:", circle.len()));
        for (file, takes) in ties.iter().filter(|(file, _)| circle.contains(*file)) {
            for (other, items) in takes.iter().filter(|(other, _)| circle.contains(*other)) {
                wrong.push(format!(
                    "  {file} takes from {other}: {}",
                    items.iter().cloned().collect::<Vec<_>>().join(", ")
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "house rule \"no circle between files\": move what both need to the file where it belongs\n{}",
        wrong.join("\n")
    );
    for known in KNOWN {
        let tied = |file: &&&str| found.iter().any(|circle| circle.contains(**file));
        let free: Vec<_> = known.iter().filter(|file| !tied(file)).collect();
        assert!(free.is_empty(), "these are in no circle any more; take them off the list: {free:?}");
    }
}

#[test]
fn a_reexport_alone_ties_nothing() {
    let source = |path: &str, code: &str| Source {
        path: path.to_owned(),
        code: code.lines().enumerate().map(|(at, line)| (at + 1, line.to_owned())).collect(),
        lines: 1,
    };
    let sources = [
        source("src/a/mod.rs", "pub use two::Two;\npub struct One;"),
        source("src/a/two.rs", "use super::One;\npub struct Two;"),
    ];
    let house = House::read(&sources);
    let ties = sources.iter().map(|source| (source.path.clone(), house.takes(source))).collect();
    assert_eq!(circles(&ties), BTreeSet::new());
}

#[test]
fn a_circle_is_seen_through_a_reexport_and_an_alias() {
    let source = |path: &str, code: &str| Source {
        path: path.to_owned(),
        code: code.lines().enumerate().map(|(at, line)| (at + 1, line.to_owned())).collect(),
        lines: 1,
    };
    let sources = [
        source("src/a/mod.rs", "pub use two::Two;"),
        source("src/a/one.rs", "use crate::a::{\n    Two,\n};"),
        source("src/a/two.rs", "use super::one;\nfn f() { one::g() }"),
        source("src/a/three.rs", "use super::one;"),
    ];
    let house = House::read(&sources);
    let ties = sources.iter().map(|source| (source.path.clone(), house.takes(source))).collect();
    let of = BTreeSet::from(["src/a/one.rs".to_owned(), "src/a/two.rs".to_owned()]);
    assert_eq!(circles(&ties), BTreeSet::from([of]));
}
