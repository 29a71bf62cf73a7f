//! The bounds of texts and lists, in the schemas of all orders.

use utoipa::openapi::schema::{ArrayItems, Schema};
use utoipa::openapi::{OpenApi, PathItem, Ref, RefOr};

use crate::admin::texts::{ITEMS, most};

/// Writes the bounds into the schemas of all orders.
pub(super) fn describe(document: &mut OpenApi) {
    let mut orders: Vec<String> = document.paths.paths.values().flat_map(bodies).collect();
    let Some(components) = &mut document.components else { return };
    while let Some(name) = orders.pop() {
        let Some(RefOr::T(Schema::Object(order))) = components.schemas.get_mut(&name) else { continue };
        for (field, schema) in &mut order.properties {
            bound(field, schema, &mut orders);
        }
    }
}

fn bound(field: &str, schema: &mut RefOr<Schema>, more: &mut Vec<String>) {
    match schema {
        RefOr::Ref(found) => more.extend(named(found)),
        RefOr::T(Schema::Array(list)) => {
            list.max_items = Some(ITEMS);
            if let ArrayItems::RefOrSchema(items) = &mut list.items {
                bound(field, items, more);
            }
        }
        RefOr::T(Schema::Object(text)) if is_text(&text.schema_type) => text.max_length = Some(most(field)),
        RefOr::T(_) => {}
    }
}

fn is_text(of: &utoipa::openapi::schema::SchemaType) -> bool {
    use utoipa::openapi::schema::{SchemaType, Type};
    match of {
        SchemaType::Type(one) => *one == Type::String,
        SchemaType::Array(all) => all.contains(&Type::String),
        SchemaType::AnyValue => false,
    }
}

fn named(reference: &Ref) -> Option<String> {
    reference.ref_location.rsplit('/').next().map(str::to_owned)
}

fn inline<T>(one: &RefOr<T>) -> Option<&T> {
    match one {
        RefOr::T(one) => Some(one),
        RefOr::Ref(_) => None,
    }
}

/// The names of the schemas of a path's orders.
fn bodies(item: &PathItem) -> Vec<String> {
    let orders = [&item.post, &item.delete].into_iter().flatten();
    let bodies = orders.filter_map(|operation| inline(operation.request_body.as_ref()?));
    let contents = bodies.flat_map(|body| body.content.values()).filter_map(inline);
    let names = contents.filter_map(|content| match content.schema.as_ref()? {
        RefOr::Ref(reference) => named(reference),
        RefOr::T(_) => None,
    });
    names.collect()
}
