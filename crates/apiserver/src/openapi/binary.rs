//! Version 2 of OpenAPI in protobuf. kubectl takes it in this form only, and needs it to check what a `kind: List`
//! holds.
//!
//! What is written: all definitions, and of the paths the patch operations with their query parameters, by which older
//! versions of kubectl learn what the server can do.

use everynode_model::{Object, Value, encode};

/// The media type that clients ask for.
pub const ACCEPTED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// The media type of the answer, in which no `@` may stand.
pub const SENT: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A message that is being written. Numbers are those of the fields in gnostic's `OpenAPIv2.proto`.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        if !text.is_empty() {
            self.bytes(field, text.as_bytes());
        }
    }

    fn message(&mut self, field: u64, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// Extensions: any value, as JSON, which is YAML.
    fn extensions(&mut self, field: u64, of: &Object) {
        for (name, value) in of.iter().filter(|(name, _)| name.starts_with("x-")) {
            self.message(field, |named| {
                named.text(1, name);
                named.message(2, |any| any.bytes(2, &encode::to_vec(value)));
            });
        }
    }
}

/// Writes a document of version 2.
pub fn document(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, text(document.get("swagger")));
    out.message(2, |info| {
        info.text(1, text(document.pointer("/info/title")));
        info.text(2, text(document.pointer("/info/version")));
    });
    out.message(8, |paths| {
        for (path, item) in document.get("paths").and_then(Value::as_object).into_iter().flatten() {
            let Some(Value::Object(patch)) = item.get("patch") else { continue };
            paths.message(2, |named| {
                named.text(1, path);
                named.message(2, |item| item.message(8, |out| operation(patch, out)));
            });
        }
    });
    out.message(9, |definitions| named_schemas(document.get("definitions"), definitions));
    out.0
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn operation(operation: &Object, out: &mut Message) {
    out.text(5, text(operation.get("operationId")));
    for media_type in list(operation, "consumes").iter().filter_map(Value::as_str) {
        out.text(7, media_type);
    }
    for parameter in list(operation, "parameters").iter().filter(|one| one["in"] == "query") {
        out.message(8, |item| {
            item.message(1, |one| {
                one.message(2, |plain| {
                    plain.message(3, |query| {
                        query.text(2, "query");
                        query.text(4, text(parameter.get("name")));
                        query.text(6, text(parameter.get("type")));
                    });
                });
            });
        });
    }
    out.extensions(13, operation);
}

fn list<'a>(object: &'a Object, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn named_schemas(schemas: Option<&Value>, out: &mut Message) {
    for (name, value) in schemas.and_then(Value::as_object).into_iter().flatten() {
        out.message(1, |named| {
            named.text(1, name);
            named.message(2, |out| schema(value, out));
        });
    }
}

fn schema(value: &Value, out: &mut Message) {
    let Some(object) = value.as_object() else { return };
    for (field, key) in [(1, "$ref"), (2, "format"), (4, "description")] {
        out.text(field, text(object.get(key)));
    }
    for name in list(object, "required").iter().filter_map(Value::as_str) {
        out.text(19, name);
    }
    match object.get("additionalProperties") {
        Some(Value::Bool(allowed)) => out.message(21, |item| {
            item.varint(2 << 3);
            item.varint(u64::from(*allowed));
        }),
        Some(inner) => out.message(21, |item| item.message(1, |out| schema(inner, out))),
        None => {}
    }
    if let Some(kind) = object.get("type").and_then(Value::as_str) {
        out.message(22, |item| item.text(1, kind));
    }
    if let Some(items) = object.get("items") {
        out.message(23, |item| item.message(1, |out| schema(items, out)));
    }
    if let Some(properties) = object.get("properties") {
        out.message(25, |out| named_schemas(Some(properties), out));
    }
    out.extensions(31, object);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A length-delimited field: tag, length, content.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let tag: &[u8] =
            if number < 16 { &[number << 3 | 2] } else { &[(number << 3 | 2) | 0x80, number >> 4] };
        [tag, &[content.len() as u8], content].concat()
    }

    #[test]
    fn a_document_is_written_field_by_field() {
        let kinds = json!([{"group": "", "kind": "A", "version": "v1"}]);
        let written = document(&json!({
            "swagger": "2.0", "info": {"title": "T", "version": "V"}, "paths": {},
            "definitions": {"a": {"properties": {"b": {"$ref": "#/x"}}, "x-k": kinds}},
        }));
        let any = field(2, kinds.to_string().as_bytes());
        let extension = field(31, &[field(1, b"x-k"), field(2, &any)].concat());
        let property = [field(1, b"b"), field(2, &field(1, b"#/x"))].concat();
        let schema = [field(25, &field(1, &property)), extension].concat();
        let definition = field(1, &[field(1, b"a"), field(2, &schema)].concat());
        let info = [field(1, b"T"), field(2, b"V")].concat();
        let expected = [field(1, b"2.0"), field(2, &info), field(8, b""), field(9, &definition)].concat();
        assert_eq!(written, expected);
    }
}
