//! Files that need each other in a circle, found by the paths that they name.
//!
//! A file in a folder may name what the folder's own file holds: that is no circle. `pub use` and `mod` need nothing: they say where something is. A name that comes through one leads to the file behind it.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// A module's path within the crate, without `crate`.
type Module = Vec<String>;

fn module(path: &str) -> Module {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let parts = path.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main"));
    parts.map(str::to_owned).collect()
}

/// `a::{b, c::d}` as the paths that it stands for; what comes under another name still leads to the same place.
fn spread(tree: &str, before: &[String], out: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let (head, group) = match tree.find('{') {
        Some(at) => (&tree[..at], Some(tree[at + 1..].trim_end().trim_end_matches('}'))),
        None => (tree.split(" as ").next().unwrap_or_default(), None),
    };
    let parts = head.split("::").map(str::trim).filter(|part| !part.is_empty());
    let path: Vec<String> = before.iter().cloned().chain(parts.map(str::to_owned)).collect();
    let Some(group) = group else { return out.push(path) };
    let (mut depth, mut from) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[from..at].trim().is_empty() {
                    spread(&group[from..at], &path, out);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// What a file names: in `use`, in `pub use`, and in the middle of its code.
#[derive(Default)]
struct Named {
    uses: Vec<Vec<String>>,
    shows: Vec<Vec<String>>,
}

fn named(text: &str) -> Named {
    let (mut named, mut rest) = (Named::default(), String::new());
    for part in text.split(';') {
        let start =
            part.trim_start().lines().filter(|line| !line.starts_with("#[")).collect::<Vec<_>>().join(" ");
        let shown = start.starts_with("pub");
        let bare = start.trim_start_matches("pub").trim_start();
        let bare =
            if bare.starts_with('(') { bare.split_once(')').map_or("", |(_, rest)| rest) } else { bare };
        match bare.trim_start().strip_prefix("use ") {
            Some(tree) => spread(tree, &[], if shown { &mut named.shows } else { &mut named.uses }),
            None => rest += part,
        }
    }
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = rest.split(|c| !is_path(c)).filter(|word| word.contains("::"));
    let path = |word: &str| word.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
    named.uses.extend(words.map(path));
    named
}

struct House {
    /// Each module's place among the files.
    places: BTreeMap<Module, usize>,
    /// Names that a module shows of others.
    shown: BTreeMap<Module, Vec<Vec<String>>>,
}

impl House {
    /// The file that a path leads to, as seen from a module; `None`: it is no file of this crate.
    fn leads_to(&self, from: &Module, path: &[String], hops: usize) -> Option<usize> {
        let mut at = from.clone();
        let mut rest = path.iter().peekable();
        match rest.peek()?.as_str() {
            "crate" => {
                at.clear();
                rest.next();
            }
            "self" => drop(rest.next()),
            "super" => {
                while rest.next_if(|part| *part == "super").is_some() {
                    at.pop();
                }
            }
            first => {
                let child = [at.as_slice(), &[first.to_owned()]].concat();
                let shown = self
                    .shown
                    .get(&at)
                    .is_some_and(|all| all.iter().any(|one| one.last().is_some_and(|last| last == first)));
                if !self.places.contains_key(&child) && !shown {
                    return None;
                }
            }
        }
        while let Some(part) = rest.peek() {
            let child = [at.as_slice(), &[(*part).clone()]].concat();
            if !self.places.contains_key(&child) {
                break;
            }
            at = child;
            rest.next();
        }
        let behind = rest.peek().and_then(|name| {
            let all = self.shown.get(&at)?;
            all.iter().find(|one| one.last().is_some_and(|last| last == *name))
        });
        match behind.filter(|_| hops > 0) {
            Some(path) => self.leads_to(&at, path, hops - 1),
            None => self.places.get(&at).copied(),
        }
    }
}

fn reach(edges: &[BTreeSet<usize>], from: usize) -> BTreeSet<usize> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(at) = next.pop() {
        next.extend(edges[at].iter().filter(|to| seen.insert(**to)));
    }
    seen
}

/// Each set of files of which every one needs every other.
pub(crate) fn among(sources: &[Source]) -> Vec<Vec<&str>> {
    let modules: Vec<Module> = sources.iter().map(|source| module(&source.path)).collect();
    let all: Vec<Named> = sources.iter().map(|source| named(&source.text())).collect();
    let places = modules.iter().cloned().zip(0..).collect();
    let shown = modules.iter().cloned().zip(all.iter().map(|named| named.shows.clone())).collect();
    let house = House { places, shown };
    let edges: Vec<BTreeSet<usize>> = (0..sources.len())
        .map(|at| {
            let paths = all[at].uses.iter();
            let to = paths.filter_map(|path| house.leads_to(&modules[at], path, 5));
            to.filter(|to| !modules[at].starts_with(&modules[*to])).collect()
        })
        .collect();
    let reached: Vec<BTreeSet<usize>> = (0..sources.len()).map(|at| reach(&edges, at)).collect();
    let mut circles = BTreeSet::new();
    for at in (0..sources.len()).filter(|at| reached[*at].contains(at)) {
        let both = |other: &usize| reached[at].contains(other) && reached[*other].contains(&at);
        circles.insert((0..sources.len()).filter(both).collect::<Vec<_>>());
    }
    let paths = |circle: &Vec<usize>| circle.iter().map(|at| sources[*at].path.as_str()).collect();
    circles.iter().map(paths).collect()
}

#[test]
fn two_files_that_name_each_other_are_a_circle_and_one_that_only_shows_is_none() {
    let sources = [
        Source::of("src/a/mod.rs", "mod b;\nmod c;\npub use b::{B, Other};\npub use c::C;\n"),
        Source::of("src/a/b.rs", "use super::C;\npub struct B(C);\n"),
        Source::of("src/a/c.rs", "use std::fmt;\npub struct C(Box<super::b::B>);\n"),
        Source::of("src/d.rs", "use crate::a::{B, C as D};\n"),
        Source::of("src/e.rs", "fn f() {\n    crate::d::g();\n    \"crate::e\";\n}\n"),
    ];
    assert_eq!(among(&sources), [vec!["src/a/b.rs", "src/a/c.rs"]]);
}
