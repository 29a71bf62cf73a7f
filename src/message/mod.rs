//! An HTTP message as bytes: a [`head`] that can be looked at and edited, a [`body`] with an end.
//!
//! Everything above this module (the gateway, the fallbacks, the access log) sees these two and nothing of the codec
//! beneath: [`h1`] and [`h2`] are our own, over a [`stream`] of bytes. [`relay`] passes bytes both ways as they are;
//! a long body goes past this process by [`splice`].
//! [`websocket`] is the handshake that one of the two has. [`templates`] compares paths,
//! [`fold`] guesses at them. Knows no upstream, no route and no configuration.

pub mod account;
pub mod body;
pub mod buf;
pub mod fields;
pub mod fold;
pub mod h1;
pub mod h2;
pub mod head;
pub mod host;
pub mod io;
pub mod kept;
pub mod known;
pub mod memory;
pub mod path;
pub mod relay;
pub mod scratch;
pub mod splice;
pub mod store;
pub mod stream;
pub mod templates;
pub mod upload;
pub mod websocket;
