//! The second form of each look that answers in JSON alone, in the contract.

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{OpenApi, RefOr, Required, Response};

use crate::admin::plain::TEXT;

/// In how many forms it answers, where JSON is one of them and text at most the other.
fn contents(get: &Operation) -> Option<usize> {
    let Some(RefOr::T(answer)) = get.responses.responses.get("200") else { return None };
    let known = |kind: &String| kind == "application/json" || kind == TEXT;
    let is_json = answer.content.contains_key("application/json") && answer.content.keys().all(known);
    is_json.then_some(answer.content.len())
}

/// Writes the parameter `format` and the second form into each look that answers in JSON alone.
pub(super) fn describe(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let Some(get) = item.get.as_mut().filter(|get| contents(get) == Some(1)) else { continue };
        get.parameters.get_or_insert_default().push(parameter());
        if let Some(RefOr::T(Response { content, .. })) = get.responses.responses.get_mut("200") {
            let text = ContentBuilder::new().schema(Some(Object::with_type(Type::String))).build();
            content.insert(TEXT.to_owned(), text.into());
        }
    }
}

fn parameter() -> RefOr<Parameter> {
    let text = Object::with_type(Type::String);
    let told = "json or text; without it what `Accept` names first, and JSON.";
    let built = ParameterBuilder::new().name("format").parameter_in(ParameterIn::Query);
    RefOr::T(built.required(Required::False).description(Some(told)).schema(Some(text)).build())
}
