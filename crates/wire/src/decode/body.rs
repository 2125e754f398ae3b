//! The body of a request, read as the API server reads it: kind and apiVersion first, then the object.

use super::{Decode, DecodeError, Decoded, json, parse_json};
use crate::schema::{Type, type_named};
use crate::status::Status;
use crate::{Value, encode, manifest};

/// What a request's body should hold.
#[derive(Debug, Clone, Copy)]
pub struct Body<'a, D = &'static Type> {
    /// API group, empty for the core group.
    pub group: &'a str,
    /// Version, such as `v1`.
    pub version: &'a str,
    /// Kind, such as `DaemonSet`.
    pub kind: &'a str,
    /// Type in the schema, or what else decodes.
    pub ty: D,
}

/// Kind and version that a body states, completed by those of the request.
struct Stated {
    kind: String,
    version: String,
    group: String,
}

/// Decodes a request's body, JSON or YAML. Kind and apiVersion of the result are those of `expected`. What
/// strict decoding refuses is in the problems; see [`Body::strict`].
///
/// # Errors
/// 400 as the API gives it: unreadable, of another kind, or with a value of the wrong type.
pub fn decode_body<D: Decode>(
    expected: &Body<'_, D>,
    bytes: &[u8],
    is_yaml: bool,
) -> Result<Decoded, Status> {
    let (converted, yaml_problems) = if is_yaml { from_yaml(expected, bytes)? } else { (None, None) };
    let json = converted.as_deref().unwrap_or(bytes);
    let result = expected.ty.decode(json);
    let stated = expected.stated(json, bytes, &result)?;
    expected.check_kind(&stated)?;
    if let Ok(decoded) = &result {
        expected.check_front(&decoded.value, json, bytes)?;
    }
    match result {
        Ok(mut decoded) => {
            if !expected.ty.takes_any_kind() {
                expected.set_kind(&mut decoded.value);
            }
            decoded.problems.splice(0..0, yaml_problems);
            Ok(decoded)
        }
        Err(error) => Err(expected.cannot(&stated, &error.to_string())),
    }
}

/// The JSON of a YAML body, and what strict YAML refuses in it.
fn from_yaml<D: Decode>(
    expected: &Body<'_, D>,
    bytes: &[u8],
) -> Result<(Option<Vec<u8>>, Option<String>), Status> {
    let text = String::from_utf8_lossy(bytes);
    let yaml =
        manifest::parse_yaml(&text).map_err(|error| expected.unrecognized(bytes, &error.to_string()))?;
    Ok((Some(encode::to_vec(&yaml.value)), yaml.strict_error()))
}

impl<D: Decode> Body<'_, D> {
    /// Refuses a body with problems, as `fieldValidation=Strict` asks.
    ///
    /// # Errors
    /// 400 with all problems.
    pub fn strict(&self, decoded: Decoded) -> Result<Value, Status> {
        if decoded.problems.is_empty() {
            return Ok(decoded.value);
        }
        let why = format!("strict decoding error: {}", decoded.problems.join(", "));
        Err(Status::cannot_be_handled(self.kind, self.version, self.kind, &why))
    }

    fn cannot(&self, stated: &Stated, why: &str) -> Status {
        Status::cannot_be_handled(&stated.kind, &stated.version, self.kind, why)
    }

    fn unrecognized(&self, bytes: &[u8], why: &str) -> Status {
        let summary = summary(bytes);
        let kind = self.kind;
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {why} ({summary})"
        ))
    }

    /// Reads kind and apiVersion. `sent` is the body as it came, for the message.
    fn stated(
        &self,
        json: &[u8],
        sent: &[u8],
        result: &Result<Decoded, DecodeError>,
    ) -> Result<Stated, Status> {
        let unreadable = |why: &str| {
            self.unrecognized(sent, &format!("couldn't get version/kind; json parse error: {why}"))
        };
        let value = match result {
            Ok(decoded) => front(&decoded.value),
            Err(DecodeError::Syntax(why)) => return Err(unreadable(why)),
            // Rare: read the two fields from the body itself.
            Err(DecodeError::Type(_)) => {
                let value = parse_json(json).map_err(|error| unreadable(&error.to_string()))?;
                raw_front(&value).map_err(|why| unreadable(&why))?
            }
        };
        let (kind, api_version) = value;
        let (group, version) = match api_version.split('/').collect::<Vec<_>>().as_slice() {
            [""] => ("", ""),
            [version] => ("", *version),
            [group, version] => (*group, *version),
            _ => {
                return Err(
                    self.unrecognized(sent, &format!("unexpected GroupVersion string: {api_version}"))
                );
            }
        };
        let (group, version) = match (group, version) {
            ("", "") => (self.group, self.version),
            other => other,
        };
        let kind = if kind.is_empty() { self.kind } else { &kind };
        Ok(Stated { kind: kind.into(), version: version.into(), group: group.into() })
    }

    fn check_kind(&self, stated: &Stated) -> Result<(), Status> {
        if self.ty.takes_any_kind() {
            return Ok(());
        }
        if (&*stated.kind, &*stated.version, &*stated.group) == (self.kind, self.version, self.group) {
            return Ok(());
        }
        let (kind, version) = (&stated.kind, &stated.version);
        let known = format!("{}.{version}.{kind}", package(&stated.group));
        let why = if type_named(&known).is_some_and(|ty| ty.is_object) {
            let package = package(self.group);
            format!("converting ({version}.{kind}) to ({package}.{}): unknown conversion", self.kind)
        } else {
            let slash = if stated.group.is_empty() { "" } else { "/" };
            format!(
                "no kind \"{kind}\" is registered for version \"{}{slash}{version}\" in scheme \
                 \"pkg/api/legacyscheme/scheme.go:30\"",
                stated.group
            )
        };
        Err(self.cannot(stated, &why))
    }

    /// Checks that a custom resource says what it is. Whether its kind is the right one is checked with its fields.
    fn check_front(&self, value: &Value, json: &[u8], sent: &[u8]) -> Result<(), Status> {
        if !self.ty.takes_any_kind() {
            return Ok(());
        }
        let (kind, found) = front(value);
        if kind.is_empty() {
            let shown = String::from_utf8_lossy(json);
            return Err(self.unrecognized(sent, &format!("Object 'Kind' is missing in '{shown}'")));
        }
        let expected = format!("{}/{}", self.group, self.version);
        if found == expected {
            return Ok(());
        }
        Err(Status::bad_request(format!(
            "the API version in the data ({found}) does not match the expected API version ({expected})"
        )))
    }

    /// Puts kind and apiVersion in front.
    fn set_kind(&self, value: &mut Value) {
        let Value::Object(object) = value else { return };
        let api_version = match self.group {
            "" => self.version.to_string(),
            group => format!("{group}/{}", self.version),
        };
        object.shift_insert(0, "kind".into(), self.kind.into());
        object.shift_insert(1, "apiVersion".into(), api_version.into());
    }
}

/// The name of a group's package in the API server and in the schema.
fn package(group: &str) -> &str {
    match group {
        "" => "core",
        group => group.split('.').next().unwrap_or(group),
    }
}

fn front(value: &Value) -> (String, String) {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
    (text("kind"), text("apiVersion"))
}

/// Kind and apiVersion of a body that did not decode.
fn raw_front(value: &Value) -> Result<(String, String), String> {
    let Value::Object(object) = value else {
        let shape = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; \
                     Kind string \"json:\\\"kind,omitempty\\\"\" }";
        let found = json::Token::of(value).name();
        return Err(format!("json: cannot unmarshal {found} into Go value of type {shape}"));
    };
    for name in ["apiVersion", "kind"] {
        if let Some(value) = object.get(name).filter(|value| !value.is_string() && !value.is_null()) {
            let found = json::Token::of(value).name();
            return Err(format!(
                "json: cannot unmarshal {found} into Go struct field .{name} of type string"
            ));
        }
    }
    Ok(front(value))
}

/// The beginning of a body, for messages: as it is when it looks like an object, else in hexadecimal.
fn summary(bytes: &[u8]) -> String {
    const LENGTH: usize = 30;
    let shown = &bytes[..bytes.len().min(LENGTH)];
    let more = if bytes.len() > LENGTH { " ..." } else { "" };
    match bytes.first() {
        None => "<empty>".into(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
        Some(_) => {
            let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{hex}{more}")
        }
    }
}
