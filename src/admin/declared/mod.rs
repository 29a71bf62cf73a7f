//! What the handlers declare of themselves: of it `config/openapi.json` is made, which is served.
//!
//! Only tests make it, so nothing of what makes it is in the binary, and no start takes megabytes for a document that is
//! the same each time.

mod bounds;
mod finish;
mod forms;
mod words;

use super::{error, router, served};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Strop SRE API",
        description = "State, breakers, latency and configuration of one sidecar.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(error::Error, error::ConfigRefused))
)]
struct Document;

/// The OpenAPI 3.1 document, whole.
fn document() -> serde_json::Value {
    finish::finish(serde_json::to_value(openapi()).expect("its keys are texts"))
}

fn openapi() -> OpenApi {
    let (_, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .nest("/api/v2/sre", router::declared())
        .split_for_parts();
    document.openapi = utoipa::openapi::OpenApiVersion::Version31;
    name_operations(&mut document);
    forms::describe(&mut document);
    bounds::describe(&mut document);
    document
}

/// Names of operations are unique, for whoever makes a client from them.
fn name_operations(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let path =
            path.trim_start_matches("/api/v2/sre/").replace(['/', '-', '.'], "_").replace(['{', '}'], "");
        let methods = [("get", &mut item.get), ("post", &mut item.post), ("delete", &mut item.delete)];
        for (method, operation) in methods {
            operation
                .iter_mut()
                .for_each(|operation| operation.operation_id = Some(format!("{method}_{path}")));
        }
    }
}

#[test]
fn the_shipped_document_is_what_the_handlers_declare() {
    let declared = serde_json::to_string_pretty(&document()).expect("JSON") + "\n";
    crate::config::shipped::assert_shipped("openapi.json", &declared);
}

#[test]
fn each_operation_is_declared_by_the_method_and_path_that_it_is_served_by() {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let declared = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("operations").keys();
        methods
            .map(move |method| (method.clone(), path.strip_prefix("/api/v2/sre").expect("below").to_owned()))
    });
    let mut declared: Vec<(String, String)> = declared.collect();
    let listed = router::LISTED.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned()));
    let mut listed: Vec<(String, String)> = listed.collect();
    declared.sort();
    listed.sort();
    assert_eq!(declared, listed);
}

#[test]
fn the_served_document_can_be_read() {
    assert_eq!(served::operations().len(), router::LISTED.len());
    let list = served::operation(&axum::http::Method::GET, "/incidents").expect("an operation");
    assert!(list.has_forms && list.queries.contains(&"severity") && !list.summary.is_empty(), "{list:?}");
}
