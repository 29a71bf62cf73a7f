//! Names of routes: the application's own document, and templates of paths that are seen.

use std::collections::BTreeMap;

use strop::message::fold::folded as fold;
use strop::message::path::normal;
use strop::message::templates::Templates;
use strop::upstream::named::MOST_OPERATIONS;
use strop::upstream::named::document::{MOST_BYTES, read};

/// Whatever is read is bounded, and no two operations take the same requests.
pub fn document(data: &[u8]) {
    let Ok(document) = read(data) else { return };
    assert!(data.len() <= MOST_BYTES && document.operations.len() <= MOST_OPERATIONS);
    let mut methods: BTreeMap<_, Templates<()>> = BTreeMap::new();
    for one in &document.operations {
        let inserted = methods.entry(one.method).or_default().insert(&one.template, ());
        assert_eq!(inserted, Ok(()), "{}", one.template);
    }
    for prefix in &document.prefixes {
        assert!(prefix.starts_with('/') && !prefix.ends_with('/'), "{prefix:?}");
        assert_eq!(&*normal(prefix.as_bytes()), prefix.as_bytes());
    }
}

/// Whatever is folded is a template that takes the path.
pub fn folded(data: &[u8]) {
    let Some(template) = fold(data) else { return };
    let mut templates = Templates::default();
    assert_eq!(templates.insert(&template, ()), Ok(()), "{template}");
    assert!(templates.find(&normal(data)).is_some(), "{template}");
}
