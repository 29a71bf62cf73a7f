//! stub
mod connect;
mod db;
pub mod error;
pub mod rows;
