use proptest::prelude::*;

use super::*;

/// All of them, or the first one that does not fit, by its position.
fn all_of<T>(all: Vec<(String, T)>) -> Result<Templates<T>, (usize, TemplateError)> {
    let mut templates = Templates::default();
    for (at, (template, value)) in all.into_iter().enumerate() {
        templates.insert(&template, value).map_err(|error| (at, error))?;
    }
    Ok(templates)
}

fn of(templates: &[&str]) -> Templates<String> {
    let all = templates.iter().map(|text| ((*text).to_owned(), (*text).to_owned())).collect();
    all_of(all).expect("they fit together")
}

fn found<'a>(templates: &'a Templates<String>, path: &str) -> Option<&'a str> {
    templates.find(path.as_bytes()).map(String::as_str)
}

#[test]
fn a_literal_comes_before_a_parameter_and_a_parameter_before_the_rest() {
    let all = of(&["/bookings/{id}", "/bookings/new", "/bookings/{*rest}", "/{*all}", "/"]);
    for (path, wanted) in [
        ("/bookings/new", Some("/bookings/new")),
        ("/bookings/7", Some("/bookings/{id}")),
        ("/bookings/7/notes", Some("/bookings/{*rest}")),
        ("/bookings/new/x", Some("/bookings/{*rest}")),
        ("/bookings", Some("/{*all}")),
        ("/", Some("/")),
        ("", None),
        ("*", None),
    ] {
        assert_eq!(found(&all, path), wanted, "{path}");
    }
}

#[test]
fn a_choice_that_leads_nowhere_is_taken_back() {
    let all = of(&["/{tenant}/bookings", "/shop/{id}/items", "/shop/{*rest}"]);
    assert_eq!(found(&all, "/shop/bookings"), Some("/shop/{*rest}"));
    assert_eq!(found(&all, "/shop/7/items"), Some("/shop/{id}/items"));
    let all = of(&["/{tenant}/bookings", "/shop/{id}/items"]);
    assert_eq!(found(&all, "/shop/bookings"), Some("/{tenant}/bookings"));
    assert_eq!(found(&all, "/shop/7"), None);
}

#[test]
fn a_path_is_compared_as_it_was_sent() {
    let all = of(&["/a/{id}", "/a/b/c"]);
    assert_eq!(found(&all, "/a/b%2Fc"), Some("/a/{id}"), "an encoded slash parts no segments");
    assert_eq!(found(&all, "/%61/b"), None);
    assert_eq!(found(&all, "/a/"), None, "a parameter stands for at least one byte");
    assert_eq!(found(&all, "/a//b/c"), None);
    assert_eq!(found(&all, "/a/./b/c"), None);
    assert_eq!(found(&all, "/a/.."), Some("/a/{id}"), "dots are bytes like others");
    assert_eq!(all.find(b"/a/\xff").map(String::as_str), Some("/a/{id}"));
}

#[test]
fn what_is_no_template_says_what_to_write() {
    let long = "/x".repeat(MOST_SEGMENTS + 1);
    for (bad, says) in [
        ("a", "begin with a slash"),
        ("", "begin with a slash"),
        ("/a/{", "without its partner"),
        ("/a/}", "without its partner"),
        ("/a/}id{", "without its partner"),
        ("/a/{id}x", "write {id} alone"),
        ("/a/x{id}", "write {id} alone"),
        ("/a/{a}{b}", "write {id} alone"),
        ("/a/{{id}}", "write {id} alone"),
        ("/a/{}", "names no parameter"),
        ("/a/{*}", "names no parameter"),
        ("/a/{a-b}", "names no parameter"),
        ("/{id}/{id}", "another name"),
        ("/{id}/{*id}", "another name"),
        ("/{*rest}/a", "nothing may follow"),
        ("/{*rest}/", "nothing may follow"),
        ("/a b", "%20"),
        ("/a?b=c", "the query is not compared"),
        ("/ä", "percent-encoded"),
        (&long, "more than 64 segments"),
    ] {
        let error = all_of(vec![(bad.to_owned(), ())]).expect_err(bad).1;
        assert!(error.to_string().contains(says), "{bad}: {error}");
    }
}

#[test]
fn two_templates_of_the_same_paths_are_refused_and_the_first_one_stays() {
    let mut all = of(&["/a/{id}", "/{*rest}", "/a/{x}/b"]);
    for same in ["/a/{name}", "/{*all}", "/a/{y}/b", "/a/{id}"] {
        assert!(matches!(all.insert(same, String::new()), Err(TemplateError::Taken(_))), "{same}");
    }
    assert_eq!(found(&all, "/a/1"), Some("/a/{id}"));
    let twice = ["/b", "/a/{id}", "/a/{name}"].map(|text| (text.to_owned(), ()));
    assert_eq!(all_of(twice.into()).expect_err("taken"), (2, TemplateError::Taken("/a/{id}".to_owned())));
}

/// The kinds of the segments of a template that matches, best first when compared; `None`: it does not match.
fn naive(template: &str, path: &str) -> Option<Vec<u8>> {
    let mut kinds = Vec::new();
    let mut rest = Some(path.strip_prefix('/')?);
    for wanted in template.strip_prefix('/')?.split('/') {
        let text = rest?;
        if wanted.starts_with("{*") {
            kinds.push(2);
            return (!text.is_empty()).then_some(kinds);
        }
        let (own, behind) = text.split_once('/').map_or((text, None), |(own, behind)| (own, Some(behind)));
        if wanted.starts_with('{') {
            kinds.push(1);
            if own.is_empty() {
                return None;
            }
        } else {
            kinds.push(0);
            if own != wanted {
                return None;
            }
        }
        rest = behind;
    }
    rest.is_none().then_some(kinds)
}

fn template() -> impl Strategy<Value = String> {
    let part = prop_oneof![3 => "[abc]{0,2}".prop_map(Some), 2 => Just(None)];
    (prop::collection::vec(part, 1..5), prop::bool::weighted(0.3)).prop_map(|(parts, open)| {
        let mut text = String::new();
        for (at, part) in parts.into_iter().enumerate() {
            text.push('/');
            text.push_str(&part.unwrap_or_else(|| format!("{{p{at}}}")));
        }
        if open {
            text.push_str("/{*rest}");
        }
        text
    })
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec("[abc]{0,2}", 1..7).prop_map(|parts| format!("/{}", parts.join("/")))
}

proptest! {
    #[test]
    fn the_tree_finds_what_a_list_would(
        written in prop::collection::vec(template(), 1..12),
        paths in prop::collection::vec(path(), 1..20),
    ) {
        let mut tree = Templates::default();
        let kept: Vec<&String> =
            written.iter().filter(|text| tree.insert(text, (*text).clone()).is_ok()).collect();
        for path in &paths {
            let best = kept.iter().filter_map(|text| Some((naive(text, path)?, *text))).min();
            prop_assert_eq!(tree.find(path.as_bytes()), best.map(|(_, text)| text), "{}", path);
        }
    }

    /// Where `matchit` takes the same templates, both find the same one. It lets a parameter be empty, so no path here
    /// has an empty segment.
    #[test]
    fn matchit_finds_the_same(
        written in prop::collection::vec(template(), 1..12),
        paths in prop::collection::vec(path(), 1..20),
    ) {
        let mut tree = Templates::default();
        let mut theirs = matchit::Router::new();
        for text in written.iter().filter(|text| !text.contains("//")) {
            if theirs.insert(text.clone(), text.clone()).is_ok() {
                prop_assert!(tree.insert(text, text.clone()).is_ok(), "{}", text);
            }
        }
        for path in paths.iter().filter(|path| !path.contains("//")) {
            let theirs = theirs.at(path).ok().map(|found| found.value);
            prop_assert_eq!(tree.find(path.as_bytes()), theirs, "{}", path);
        }
    }

    #[test]
    fn no_text_breaks_the_reader(text in "\\PC{0,40}", path in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut tree = Templates::default();
        let read = tree.insert(&text, ());
        let _ = tree.find(&path);
        prop_assert!(read.is_err() || text.starts_with('/'));
    }
}
