//! The result of a patch, and its refusal.

use everynode_model::{Value, encode};

use super::directive::go_text;
use crate::decode::{Body, Decode, DecodeError, Decoded};
use crate::status::{FieldError, Status};

/// A patched object, with what strict field validation would refuse.
#[derive(Debug, Clone, PartialEq)]
pub struct Patched {
    /// The object in the form in which the API writes it.
    pub value: Value,
    /// Unknown and duplicate fields, as of [`Decoded::problems`].
    pub problems: Vec<String>,
    /// The patch, or its result, as the refusal shows it.
    shown: Shown,
}

/// What a refusal shows of a patch. Texts are made when they are needed.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// The patch in the notation of the API server's language.
    Patch(Value),
    /// The patched object as JSON.
    Result(Value),
}

impl Shown {
    fn refusal(&self, why: &str) -> Status {
        let text = match self {
            Shown::Patch(patch) => go_text(patch),
            Shown::Result(result) => encode::to_text(result),
        };
        Status::invalid("", "", "", &[FieldError::invalid("patch", text, why)])
    }
}

impl Patched {
    /// Refuses a patch that made another kind of an object. A strategic merge does not: what it says of the kind is
    /// not looked at.
    ///
    /// # Errors
    /// 422 with the kind that it would be.
    pub fn keeping_kind<D: Decode>(mut self, expected: &Body<'_, D>) -> Result<Patched, Status> {
        if let Shown::Result(_) = self.shown
            && let Some(why) = expected.changed_kind(&self.value)
        {
            return Err(self.shown.refusal(&why));
        }
        if !expected.ty.takes_any_kind() {
            expected.set_kind(&mut self.value);
        }
        Ok(self)
    }

    /// Refuses a patch with problems, as `fieldValidation=Strict` asks.
    ///
    /// # Errors
    /// 422 with all problems.
    pub fn strict(self) -> Result<Value, Status> {
        if self.problems.is_empty() {
            return Ok(self.value);
        }
        let why = format!("strict decoding error: {}", self.problems.join(", "));
        Err(self.shown.refusal(&why))
    }
}

/// Brings a patched object into its normal form. `problems` are those of the patch itself.
pub fn finish(
    ty: &dyn Decode,
    result: &Value,
    mut problems: Vec<String>,
    shown: Shown,
) -> Result<Patched, Status> {
    match ty.decode(&encode::to_vec(result)) {
        Ok(Decoded { value, problems: more }) => {
            problems.extend(more);
            Ok(Patched { value, problems, shown })
        }
        Err(error) => Err(shown.refusal(&complaint(&error, &shown))),
    }
}

/// What is wrong with the result. After a strategic merge the API server converts maps to structs, and that
/// words mistakes of type in its own way.
fn complaint(error: &DecodeError, shown: &Shown) -> String {
    let message = error.to_string();
    if matches!(shown, Shown::Result(_)) {
        return message;
    }
    let words = message.strip_prefix("json: cannot unmarshal ").and_then(|rest| {
        let (found, rest) = rest.split_once(" into Go ")?;
        Some((found.split(' ').next().unwrap_or(found), rest.rsplit_once("of type ")?.1))
    });
    match words {
        None => format!("error decoding from json: {message}"),
        Some((found, wanted)) => {
            let found = match found {
                "object" => "map",
                "array" => "slice",
                "number" => "int64",
                other => other,
            };
            match wanted {
                list if list.starts_with("[]") => format!("cannot restore slice from {found}"),
                map if map.starts_with("map[") => format!("cannot restore map from {found}"),
                named if named.contains('.') => format!("cannot restore struct from: {found}"),
                scalar => format!("unrecognized type: {scalar}"),
            }
        }
    }
}
