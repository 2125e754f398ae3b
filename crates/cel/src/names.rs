//! Names that expressions know, and how names of fields are written in them.

use std::borrow::Cow;

/// Names of types; a value of such a type calls its own the same.
const TYPES: &[&str] = &["int", "double", "string", "bool", "list", "map", "null_type"];

/// The type of that name.
pub fn type_of_name(name: &str) -> Option<&'static str> {
    TYPES.iter().find(|known| **known == name).copied()
}

/// A field name as the schema has it: what no name of the language can be is written out.
pub fn unescape(name: &str) -> Cow<'_, str> {
    if !name.contains("__") {
        return name.into();
    }
    let plain = name.replace("__dot__", ".").replace("__dash__", "-").replace("__slash__", "/");
    let reserved = plain.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    reserved.unwrap_or(&plain).replace("__underscores__", "__").into()
}
