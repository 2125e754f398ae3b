//! Reading and writing the metadata that all kinds share.

use everynode_model::{Object, Value};

/// The letters of generated name suffixes: no vowels and no look-alikes.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;

/// The finalizer by which the garbage collector is asked to leave dependents behind.
pub const ORPHAN: &str = "orphan";

/// The finalizer by which the garbage collector is asked to delete dependents first.
pub const FOREGROUND: &str = "foregroundDeletion";

/// A text of the metadata, empty when it is missing.
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_str).unwrap_or("")
}

/// A number of the metadata.
pub fn number(object: &Value, field: &str) -> Option<i64> {
    object.get("metadata")?.get(field)?.as_i64()
}

/// Whether a field of the metadata is there and not null.
pub fn has(object: &Value, field: &str) -> bool {
    object.get("metadata").and_then(|m| m.get(field)).is_some_and(|value| !value.is_null())
}

/// Sets a field of the metadata; an empty value removes it.
pub fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    let value = value.into();
    let Some(metadata) = fields(object) else { return };
    let empty = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    if empty {
        metadata.shift_remove(field);
    } else {
        metadata.insert(field.to_owned(), value);
    }
}

/// Takes a field over from another object, or removes it when it is not there.
pub fn take_over(object: &mut Value, from: &Value, field: &str) {
    let value = from.get("metadata").and_then(|m| m.get(field)).cloned().unwrap_or_default();
    set(object, field, value);
}

/// The metadata, made when it is missing; none when the object is not one.
pub fn fields(object: &mut Value) -> Option<&mut Object> {
    let top = object.as_object_mut()?;
    let metadata = top.entry("metadata").or_insert_with(|| Value::Object(Object::new()));
    if !metadata.is_object() {
        *metadata = Value::Object(Object::new());
    }
    metadata.as_object_mut()
}

/// The finalizers.
pub fn finalizers(object: &Value) -> Vec<&str> {
    let found = object.get("metadata").and_then(|m| m.get("finalizers")).and_then(Value::as_array);
    found.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A name made from a base and a random suffix.
pub fn generated_name(base: &str) -> String {
    everynode_admission::generated_name(base, &random_suffix())
}

/// Five random letters.
pub fn random_suffix() -> String {
    (0..SUFFIX_LENGTH).map(|_| char::from(SUFFIX_LETTERS[fastrand::usize(..SUFFIX_LETTERS.len())])).collect()
}

/// A random UID (RFC 9562, version 4).
pub fn random_uid() -> String {
    let (high, low) = (fastrand::u64(..), fastrand::u64(..));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 48) & 0x3fff,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Statement C4.
    #[test]
    fn generated_names_keep_their_base_and_fit_a_label() {
        let name = generated_name("agent-");
        assert!(name.starts_with("agent-") && name.len() == 11, "{name}");
        assert_eq!(generated_name(&"a".repeat(100)).len(), 63);
    }

    #[test]
    fn uids_have_the_form_of_version_four() {
        let uid = random_uid();
        assert_eq!(uid.len(), 36, "{uid}");
        assert_eq!(uid.as_bytes()[14], b'4', "{uid}");
        assert!(matches!(uid.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{uid}");
    }
}
