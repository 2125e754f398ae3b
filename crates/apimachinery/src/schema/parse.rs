//! The text form of the schema.
//!
//! ```text
//! # A comment.
//! type core.v1.PodSpec            a named type; `object` behind the name: kind and apiVersion come first;
//!                                 `atomic`: server-side apply sees its values as a whole
//!   NAME TYPE FLAG...             one field, in the order of the API's output
//! ```
//!
//! TYPE is `string`, `bool`, `int32`, `int64`, `float64`, `bytes` (base64), `quantity`, `int-or-string`,
//! `time`, `microtime`, `duration`, `any` (JSON kept as it is), the name of a type (always present: a
//! struct), `NAME|any` (an object of that type, or other JSON kept as it is), `[]TYPE`, `map:TYPE` (text keys) or `*TYPE` (may be absent).
//!
//! FLAG is `omitempty`, `omitzero`, `required`, `patch=merge|replace|retainKeys` (several with commas),
//! `merge=KEY` (merge key of a patch), `list=atomic|set|map|granular`, `keys=A,B` (keys of a `map` list), or
//! `default=TEXT` (what a key of a `map` list is where an element does not say).

use std::collections::HashMap;

use super::{Field, Kind, ListType, Omit, Type, TypeId};

/// A mistake in the schema text.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ParseError {
    line: usize,
    problem: String,
}

/// Reads all sources together; types may refer to types of other sources.
pub fn parse(sources: &[&'static str]) -> Result<Vec<Type>, ParseError> {
    let names = names(sources);
    let mut types: Vec<Type> = Vec::with_capacity(names.len());
    for source in sources {
        for (index, line) in source.lines().enumerate() {
            let fail = |problem: String| ParseError { line: index + 1, problem };
            let mut words = line.split_whitespace();
            match words.next() {
                None => {}
                Some(word) if word.starts_with('#') => {}
                // Fields are indented: one of them may be named `type` too.
                Some("type") if line.starts_with("type ") => {
                    let name = words.next().ok_or_else(|| fail("a type without a name".into()))?;
                    types.push(named_type(name, words).map_err(fail)?);
                }
                Some(name) => {
                    let field = field(name, words, &names).map_err(fail)?;
                    let ty = types.last_mut().ok_or_else(|| fail(format!("field {name} outside a type")))?;
                    ty.fields.push(field);
                }
            }
        }
    }
    Ok(types)
}

fn named_type(name: &'static str, words: std::str::SplitWhitespace<'static>) -> Result<Type, String> {
    let mut ty = Type { name, is_object: false, is_atomic: false, fields: Vec::new() };
    for word in words {
        match word {
            "object" => ty.is_object = true,
            "atomic" => ty.is_atomic = true,
            _ => return Err(format!("unknown word {word} behind type {name}")),
        }
    }
    Ok(ty)
}

/// The index that each type will have.
fn names(sources: &[&'static str]) -> HashMap<&'static str, usize> {
    let declared = sources.iter().flat_map(|source| source.lines());
    let names = declared.filter_map(|line| line.strip_prefix("type ")?.split_whitespace().next());
    names.enumerate().map(|(index, name)| (name, index)).collect()
}

fn field(
    name: &'static str,
    mut words: std::str::SplitWhitespace<'static>,
    names: &HashMap<&'static str, usize>,
) -> Result<Field, String> {
    let kind = words.next().ok_or_else(|| format!("field {name} without a type"))?;
    let mut field = Field {
        name,
        kind: parse_kind(kind, names)?,
        omit: Omit::Never,
        required: false,
        patch_merge: false,
        patch_replace: false,
        patch_retain_keys: false,
        merge_key: None,
        list_type: ListType::Unset,
        list_map_keys: Vec::new(),
        key_default: None,
    };
    for word in words {
        set_flag(&mut field, word)?;
    }
    Ok(field)
}

fn set_flag(field: &mut Field, word: &'static str) -> Result<(), String> {
    match word.split_once('=').unwrap_or((word, "")) {
        ("omitempty", _) => field.omit = Omit::Empty,
        ("omitzero", _) => field.omit = Omit::Zero,
        ("required", _) => field.required = true,
        ("patch", strategies) => {
            field.patch_merge = strategies.split(',').any(|strategy| strategy == "merge");
            field.patch_replace = strategies.split(',').any(|strategy| strategy == "replace");
            field.patch_retain_keys = strategies.split(',').any(|strategy| strategy == "retainKeys");
        }
        ("merge", key) => field.merge_key = Some(key),
        ("list", "atomic") => field.list_type = ListType::Atomic,
        ("list", "set") => field.list_type = ListType::Set,
        ("list", "map") => field.list_type = ListType::Map,
        ("list", "granular") => field.list_type = ListType::Granular,
        ("default", text) => field.key_default = Some(text),
        ("keys", keys) => field.list_map_keys = keys.split(',').collect(),
        _ => return Err(format!("unknown flag {word}")),
    }
    Ok(())
}

fn parse_kind(text: &str, names: &HashMap<&'static str, usize>) -> Result<Kind, String> {
    let boxed = |text| parse_kind(text, names).map(Box::new);
    if let Some(rest) = text.strip_prefix('*') {
        return boxed(rest).map(Kind::Pointer);
    }
    if let Some(rest) = text.strip_prefix("[]") {
        return boxed(rest).map(Kind::List);
    }
    if let Some(rest) = text.strip_prefix("map:") {
        return boxed(rest).map(Kind::Map);
    }
    let id = |name: &str| names.get(name).copied().map(TypeId).ok_or_else(|| format!("unknown type {name}"));
    if let Some(named) = text.strip_suffix("|any") {
        return id(named).map(Kind::StructOrAny);
    }
    Ok(match text {
        "string" => Kind::String,
        "bool" => Kind::Bool,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "float64" => Kind::Float64,
        "bytes" => Kind::Bytes,
        "quantity" => Kind::Quantity,
        "int-or-string" => Kind::IntOrString,
        "time" => Kind::Time,
        "microtime" => Kind::MicroTime,
        "duration" => Kind::Duration,
        "any" => Kind::Any,
        named => Kind::Struct(id(named)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_refused(source: &'static str, expected: &str) {
        let error = parse(&[source]).expect_err("the source is broken");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_broken_schema_names_line_and_word() {
        check_refused("type a.v1.B\n  c d.v1.E", "line 2: unknown type d.v1.E");
        check_refused("type a.v1.B\n  c string often", "line 2: unknown flag often");
        check_refused("  c string", "line 1: field c outside a type");
        check_refused("type a.v1.B objects", "line 1: unknown word objects behind type a.v1.B");
        check_refused("type a.v1.B\n  c", "line 2: field c without a type");
    }
}
