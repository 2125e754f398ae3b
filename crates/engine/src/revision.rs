//! The data and the name of a ControllerRevision ([J3](crate::spec#j3), [J6](crate::spec#j6)).

use std::sync::Arc;

use everynode_model::encode;
use serde_json::{Value, json};

/// The `data` of the revision for a template: canonical JSON, byte for byte what the built-in controller writes.
pub fn data(template: &Value) -> Arc<[u8]> {
    let mut template = template.clone();
    if let Value::Object(fields) = &mut template {
        fields.insert("$patch".to_owned(), "replace".into());
    }
    encode::canonical(&json!({"spec": {"template": template}})).into()
}

/// The template in the data of a revision. None where it holds none: who may write ControllerRevisions can put anything
/// there.
pub fn template(data: &[u8]) -> Option<Value> {
    let mut data: Value = serde_json::from_slice(data).ok()?;
    let mut template = data.pointer_mut("/spec/template")?.take();
    template.as_object_mut()?.shift_remove("$patch");
    Some(template)
}

/// The value of `controller-revision-hash` for a revision's data. It differs from the built-in controller's,
/// which nothing may rely on ([J6](crate::spec#j6)); the alphabet is the same.
pub fn hash(data: &[u8], collision_count: Option<i32>) -> String {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    let count = collision_count.map(|count| u64::from(count.unsigned_abs()).to_le_bytes());
    let bytes = data.iter().chain(count.iter().flatten());
    let sum = bytes.fold(OFFSET, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(PRIME));
    safe_encode(&sum.to_string())
}

/// Digits in letters and digits that form no words.
fn safe_encode(digits: &str) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    digits.bytes().map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_comes_back_out_of_the_data() {
        let kept = json!({"metadata": {"labels": {"a": "b"}}, "spec": {}});
        assert_eq!(template(&data(&kept)), Some(kept));
    }

    #[test]
    fn data_of_any_form_is_read_or_holds_no_template() {
        for text in
            ["-1", "true", "\"text\"", "[]", "{}", r#"{"spec":1}"#, r#"{"spec":{"template":"x"}}"#, "{", ""]
        {
            assert_eq!(template(text.as_bytes()), None, "{text}");
        }
    }
}
