//! How long each text of an order may be.
//!
//! One table for what is refused (413) and what the contract says (`maxLength`, `maxItems`): a field that is not in it has the
//! bound of a name. Bounds are in characters, as in JSON Schema.

use serde_json::Value;

use super::error::ApiError;
use crate::config::origin::below;

/// The most that an order may say as a whole, in bytes.
pub(super) const BODY: usize = 512 * 1024;
/// A name: of a person, of a service; and whatever the table below does not list.
const NAME: usize = 200;
/// By the name of the field, wherever it stands.
const LONGER: [(&str, usize); 9] = [
    ("hours", 500),
    ("title", 500),
    ("value", 500),
    ("reason", 2_000),
    ("what", 2_000),
    ("text", 10_000),
    ("technical", 20_000),
    ("process", 20_000),
    ("human", 20_000),
];
/// Members of a list.
pub(super) const ITEMS: usize = 100;

/// The most that a field may say.
pub(super) fn most(field: &str) -> usize {
    let listed = LONGER.iter().find(|(name, _)| *name == field);
    listed.map_or(NAME, |(_, most)| *most)
}

/// The first text or list of an order that is longer than its bound.
pub(super) fn check(order: &Value) -> Result<(), ApiError> {
    walk(order, "", "")
}

/// The same for what a query says.
pub(super) fn query<const N: usize>(fields: [(&str, Option<&str>); N]) -> Result<(), ApiError> {
    let said = fields.into_iter().filter_map(|(field, text)| Some((field.to_owned(), Value::from(text?))));
    check(&Value::Object(said.collect()))
}

fn walk(value: &Value, path: &str, field: &str) -> Result<(), ApiError> {
    let too_long = |long: usize, most: usize, unit: &'static str| {
        let field = path.to_owned();
        if long > most { Err(ApiError::TooLong { field, long, most, unit }) } else { Ok(()) }
    };
    match value {
        // A character has a byte or more.
        Value::String(text) if text.len() > most(field) => {
            too_long(text.chars().count(), most(field), "characters")
        }
        Value::Array(list) => {
            too_long(list.len(), ITEMS, "members")?;
            (0..).zip(list).try_for_each(|(at, one)| walk(one, &format!("{path}[{at}]"), field))
        }
        Value::Object(table) => table.iter().try_for_each(|(key, one)| walk(one, &below(path, key), key)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(order: &Value) -> Option<(String, usize)> {
        match check(order) {
            Err(ApiError::TooLong { field, long, .. }) => Some((field, long)),
            Ok(()) | Err(_) => None,
        }
    }

    #[test]
    fn a_text_as_long_as_its_bound_is_taken_in_any_script_and_one_more_is_not() {
        for (field, most) in
            [("title", 500), ("actor", 200), ("reason", 2_000), ("text", 10_000), ("human", 20_000)]
        {
            for letter in ["x", "é", "漢", "🌊"] {
                assert_eq!(refused(&json!({ field: letter.repeat(most) })), None, "{field} {letter}");
                let long = json!({ field: letter.repeat(most + 1) });
                assert_eq!(refused(&long), Some((field.to_owned(), most + 1)));
            }
        }
    }

    #[test]
    fn a_text_within_a_list_is_named_by_its_place() {
        let order = json!({ "actions": [{ "what": "a" }, { "what": "b".repeat(2_001) }] });
        assert_eq!(refused(&order), Some(("actions[1].what".to_owned(), 2_001)));
        let many = json!({ "actions": vec![json!({ "what": "a" }); 101] });
        assert_eq!(refused(&many), Some(("actions".to_owned(), 101)));
        assert_eq!(refused(&json!({ "actions": vec![json!({ "what": "a" }); 100] })), None);
    }

    #[test]
    fn every_text_of_every_order_has_its_bound_in_the_contract() {
        let document: Value = serde_json::from_str(crate::admin::served::OPENAPI).expect("JSON");
        let mut texts = 0;
        for (path, item) in document["paths"].as_object().expect("paths") {
            for method in ["post", "delete"] {
                let body = &item[method]["requestBody"]["content"]["application/json"]["schema"]["$ref"];
                let Some(name) = body.as_str() else { continue };
                texts += bounded(&document, name.rsplit('/').next().expect("a name"));
                assert!(item[method]["responses"]["413"].is_object(), "{path} does not say 413");
            }
        }
        assert!(texts > 30, "{texts}");
    }

    fn bounded(document: &Value, name: &str) -> usize {
        let mut texts = 0;
        for (field, schema) in
            document["components"]["schemas"][name]["properties"].as_object().expect("fields")
        {
            let items = &schema["items"];
            if items.is_object() {
                assert_eq!(schema["maxItems"], 100, "{name}.{field}");
                let inner = items["$ref"].as_str().expect("a schema of its own");
                texts += bounded(document, inner.rsplit('/').next().expect("a name"));
            } else if schema["type"].to_string().contains("string") {
                assert_eq!(schema["maxLength"], most(field), "{name}.{field}");
                texts += 1;
            }
        }
        texts
    }
}
