//! The OpenAPI document: what the handlers declare, and what holds of all of them.
//!
//! Every answer has its description, every error the one error body, every closed set its words, and a body is required where
//! an order means nothing without one. The words come from the types that print them.

use serde_json::{Map, Value, json};

use super::words;

/// Orders that mean nothing without a body, with the fields that they cannot do without.
const REQUIRED: [(&str, &[&str]); 14] = [
    ("RateOrder", &["severity", "reason"]),
    ("NoteOrder", &["text"]),
    ("AssignOrder", &["to"]),
    ("ReviewOrder", &["technical", "process", "human", "actions"]),
    ("ActionOrder", &["what", "owner", "due"]),
    ("SilenceOrder", &["reason"]),
    ("MatcherView", &["label", "value"]),
    ("TriggerOrder", &["trigger_condition"]),
    ("RunbookDoneOrder", &["incident_id", "step"]),
    ("LevelRequest", &["level"]),
    ("FailoverRequest", &["group"]),
    ("LogLevelRequest", &["filter", "ttl"]),
    ("DrillRequest", &["upstream", "fault", "percent", "duration"]),
    // Nothing is required; it stands here so that the list names all orders with a check of their own.
    ("TestOrder", &[]),
];

/// Statuses that every operation may answer with.
const ALWAYS: [&str; 5] = ["400", "401", "403", "404", "503"];

/// What a status means, for those that read the document.
fn meaning(status: &str) -> &'static str {
    match status {
        "200" => "The answer.",
        "304" => "What the client has already (If-None-Match) is still so.",
        "400" => "The query or the body is not what the route takes; `detail` says what to write.",
        "401" => "A token is configured, and this request has none, or another one.",
        "403" => "The Host or Origin of the request is not this API.",
        "404" => "Nothing is named so; `hint` says what there is.",
        "409" => "Not in this state; `hint` says what would be taken.",
        "413" => "A text, a list or the body is longer than its bound.",
        "422" => "The config cannot run: the one before stays in force, and `refused` lists all problems.",
        "429" => "There are too many of these; Retry-After says when to ask again.",
        "500" => "A fault of the sidecar.",
        "503" => "The sidecar or its store cannot answer now.",
        _ => "Another answer.",
    }
}

/// What utoipa made of the handlers, with all that holds of each operation.
pub(super) fn finish(mut document: Value) -> Value {
    if let Some(paths) = document["paths"].as_object_mut() {
        for item in paths.values_mut().filter_map(Value::as_object_mut) {
            for operation in item.values_mut().filter_map(Value::as_object_mut) {
                responses(operation);
                parameters(operation);
                body(operation);
            }
        }
    }
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        for (name, schema) in schemas.iter_mut() {
            closed(name, schema);
            required(name, schema);
        }
    }
    document["components"]["securitySchemes"] = json!({ "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token of admin.token_file; without that key none is asked for.",
    } });
    document["security"] = json!([{}, { "token": [] }]);
    document["servers"] =
        json!([{ "url": "/", "description": "The admin port, and a traffic port that claims the API." }]);
    document
}

fn responses(operation: &mut Map<String, Value>) {
    let Some(all) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for status in ALWAYS {
        all.entry(status).or_insert_with(|| json!({}));
    }
    for (status, response) in all.iter_mut() {
        response["description"] = meaning(status).into();
        if status.starts_with('4') || status.starts_with('5') {
            let schema = if status == "422" { "ConfigRefused" } else { "Error" };
            let reference = json!({ "$ref": format!("#/components/schemas/{schema}") });
            response["content"] = json!({ "application/problem+json": { "schema": reference } });
        }
    }
}

fn parameters(operation: &mut Map<String, Value>) {
    let of = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let all = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in all.into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        let schema = &mut parameter["schema"];
        if let Some(kinds) = schema["type"].as_array() {
            // A parameter is there or not: a query has no null.
            let kind = kinds.iter().find(|kind| *kind != "null").cloned();
            schema["type"] = kind.unwrap_or_else(|| "string".into());
        }
        match &*name {
            "cursor" if of.ends_with("audit") => schema["pattern"] = words::ROW.into(),
            "cursor" => schema["pattern"] = words::CURSOR.into(),
            "format" => schema["enum"] = words::forms(&of).into(),
            "window" => schema["enum"] = words::windows(&of).into(),
            name if of.ends_with("tap") && words::tapped(name).is_some() => {
                schema["pattern"] = words::tapped(name).into();
            }
            "month" => schema["pattern"] = words::MONTH_OF_A_YEAR.into(),
            _ => {
                if let Some(words) = words::of("Query", &name) {
                    schema["enum"] = words.into();
                }
            }
        }
    }
}

/// A body is required where its schema requires a field. Whatever its content type is, it is read as JSON.
fn body(operation: &mut Map<String, Value>) {
    let Some(body) = operation.get_mut("requestBody") else { return };
    let reference = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap_or_default();
    let name = reference.rsplit('/').next().unwrap_or_default();
    let needs = REQUIRED.iter().any(|(order, fields)| *order == name && !fields.is_empty());
    body["required"] = needs.into();
}

/// Writes the words of closed sets into a schema and those within it.
fn closed(name: &str, schema: &mut Value) {
    let parts = schema.get_mut("allOf").and_then(Value::as_array_mut);
    for part in parts.into_iter().flatten() {
        closed(name, part);
    }
    // What is flattened into an answer keeps its own name in its description alone.
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (field, property) in properties {
        let kind = property["type"].to_string();
        if let Some(words) = words::of(name, field).filter(|_| kind.contains("string")) {
            let null = kind.contains("null").then_some(Value::Null);
            property["enum"] = words.into_iter().map(Value::from).chain(null).collect();
        }
        if let Some(pattern) = words::pattern(name, field) {
            property["pattern"] = pattern.into();
        }
    }
}

fn required(name: &str, schema: &mut Value) {
    let Some((_, fields)) = REQUIRED.iter().find(|(order, fields)| *order == name && !fields.is_empty())
    else {
        return;
    };
    for field in *fields {
        let property = &mut schema["properties"][*field];
        if let Some(property) = property.as_object_mut() {
            property.remove("default");
        }
        if let Some(kinds) = property["type"].as_array() {
            let kind = kinds.iter().find(|kind| *kind != "null").cloned();
            property["type"] = kind.unwrap_or_else(|| "string".into());
            if let Some(words) = property.get_mut("enum").and_then(Value::as_array_mut) {
                words.retain(|word| !word.is_null());
            }
        }
        if property["type"] == "string" && property.get("enum").is_none() && property.get("pattern").is_none()
        {
            // Something that can be read.
            property["pattern"] = "\\S".into();
        } else if property["type"] == "array" {
            property["minItems"] = 1.into();
        }
    }
    schema["required"] = (*fields).into();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        super::super::document()
    }

    #[test]
    fn every_response_of_every_operation_has_a_description_and_every_error_the_one_body() {
        let document = document();
        let mut responses = 0;
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                for (status, response) in operation["responses"].as_object().expect("responses") {
                    responses += 1;
                    let told = response["description"].as_str().unwrap_or_default();
                    assert!(!told.is_empty() && told != "Another answer.", "{method} {path} {status}");
                    if status.as_str() >= "400" {
                        let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                        let name =
                            schema.as_str().and_then(|name| name.rsplit('/').next()).expect("a schema");
                        assert!(document["components"]["schemas"][name].is_object(), "{name}");
                    } else if status != "304" {
                        assert!(response["content"].is_object(), "{method} {path} {status} has no schema");
                    }
                }
            }
        }
        assert!(responses > 150, "{responses}");
    }

    #[test]
    fn a_field_that_lists_its_words_has_them_as_a_closed_set() {
        let document = document();
        let mut closed = 0;
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        for (name, schema) in schemas {
            let parts = schema["allOf"].as_array().into_iter().flatten().chain([schema]);
            for (field, property) in parts.filter_map(|part| part["properties"].as_object()).flatten() {
                let named =
                    ["status", "state", "severity", "rule", "source", "mode", "purpose", "duty", "kind"];
                if named.contains(&&**field) && property["type"].to_string().contains("string") {
                    assert!(property["enum"].is_array(), "{name}.{field}");
                    closed += 1;
                }
            }
        }
        assert!(closed > 20, "{closed}");
    }

    #[test]
    fn the_guides_orders_need_no_body() {
        let document = document();
        let required = |path: &str| document["paths"][path]["post"]["requestBody"]["required"].as_bool();
        for path in [
            "/api/v2/sre/incidents/{id}/resolve",
            "/api/v2/sre/incidents/{id}/ack",
            "/api/v2/sre/circuit-breakers/{name}/open",
            "/api/v2/sre/test/incident",
            "/api/v2/sre/config/reload",
        ] {
            assert_eq!(required(path), Some(false), "{path}");
        }
        assert_eq!(required("/api/v2/sre/incidents/{id}/rate"), Some(true));
        assert_eq!(required("/api/v2/sre/silences"), Some(true));
    }
}
