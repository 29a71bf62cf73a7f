//! Names that the application's own OpenAPI document gives to its routes, by choice (`ingress.openapi`).
//!
//! It only names: requests that no route of the config takes are counted under the operation that they are, and are treated as
//! the built-in last route says in everything else. `document` reads the text, `book` gives names and keeps them, `table` is
//! what requests meet, `naming` puts it in force, `reading` fetches.

mod book;
pub mod document;
mod naming;
mod reading;
mod state;
mod table;

pub use document::{DocumentedOperation, MOST_OPERATIONS};
pub use reading::watch;
pub(super) use state::Naming;
pub use state::{DocumentView, GoneName};
pub use table::{ApplicationNames, NamedOperation, NamedRoutes};
