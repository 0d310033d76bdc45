//! Dialects: route tables, wire structs and error mapping, one folder for each.

pub mod gokapi;
pub mod public;
