//! The body of a request, read as the API server reads it: kind and apiVersion first, then the object.

use everynode_model::{Value, encode};

use super::decoded::{Decode, DecodeError, Decoded};
use crate::json;
use crate::manifest;
use crate::schema::{Type, type_named};
use crate::status::Status;

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
                let value = json::parse(json).map_err(|error| unreadable(&error.to_string()))?;
                raw_front(&value).map_err(|why| unreadable(&why))?
            }
        };
        let (kind, api_version) = value;
        self.completed(&kind, &api_version).map_err(|why| self.unrecognized(sent, &why))
    }

    /// Kind and version that an object states, completed by those expected.
    fn completed(&self, kind: &str, api_version: &str) -> Result<Stated, String> {
        let (group, version) = match api_version.split('/').collect::<Vec<_>>().as_slice() {
            [""] => (self.group, self.version),
            [version] => ("", *version),
            ["", ""] => (self.group, self.version),
            [group, version] => (*group, *version),
            _ => return Err(format!("unexpected GroupVersion string: {api_version}")),
        };
        let kind = if kind.is_empty() { self.kind } else { kind };
        Ok(Stated { kind: kind.into(), version: version.into(), group: group.into() })
    }

    fn check_kind(&self, stated: &Stated) -> Result<(), Status> {
        match self.mismatch(stated) {
            Some(why) if !self.ty.takes_any_kind() => Err(self.cannot(stated, &why)),
            _ => Ok(()),
        }
    }

    /// Why an object that states another kind cannot be one of the expected.
    fn mismatch(&self, stated: &Stated) -> Option<String> {
        if (&*stated.kind, &*stated.version, &*stated.group) == (self.kind, self.version, self.group) {
            return None;
        }
        let (kind, version) = (&stated.kind, &stated.version);
        let known = format!("{}.{version}.{kind}", package(&stated.group));
        if type_named(&known).is_some_and(|ty| ty.is_object) {
            let package = package(self.group);
            return Some(format!(
                "converting ({version}.{kind}) to ({package}.{}): unknown conversion",
                self.kind
            ));
        }
        let slash = if stated.group.is_empty() { "" } else { "/" };
        Some(format!(
            "no kind \"{kind}\" is registered for version \"{}{slash}{version}\" in scheme \
             \"pkg/api/legacyscheme/scheme.go:30\"",
            stated.group
        ))
    }

    /// Why a changed object is no longer of the expected kind, if it is not. The kind of a custom resource is checked
    /// with its fields.
    pub(crate) fn changed_kind(&self, value: &Value) -> Option<String> {
        let (kind, api_version) = front(value);
        if !self.ty.takes_any_kind() {
            return self.completed(&kind, &api_version).map_or_else(Some, |stated| self.mismatch(&stated));
        }
        if kind.is_empty() {
            return Some(missing_kind(&encode::to_vec(value)));
        }
        self.other_version(&api_version)
    }

    /// Checks that a custom resource says what it is. Whether its kind is the right one is checked with its fields.
    fn check_front(&self, value: &Value, json: &[u8], sent: &[u8]) -> Result<(), Status> {
        if !self.ty.takes_any_kind() {
            return Ok(());
        }
        let (kind, found) = front(value);
        if kind.is_empty() {
            return Err(self.unrecognized(sent, &missing_kind(json)));
        }
        self.other_version(&found).map_or(Ok(()), |why| Err(Status::bad_request(why)))
    }

    fn other_version(&self, found: &str) -> Option<String> {
        let expected = format!("{}/{}", self.group, self.version);
        (found != expected).then(|| {
            format!(
                "the API version in the data ({found}) does not match the expected API version ({expected})"
            )
        })
    }

    /// Puts kind and apiVersion in front.
    pub(crate) fn set_kind(&self, value: &mut Value) {
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

fn missing_kind(json: &[u8]) -> String {
    format!("Object 'Kind' is missing in '{}'", String::from_utf8_lossy(json))
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
        let found = json::type_name(value);
        return Err(format!("json: cannot unmarshal {found} into Go value of type {shape}"));
    };
    for name in ["apiVersion", "kind"] {
        if let Some(value) = object.get(name).filter(|value| !value.is_string() && !value.is_null()) {
            let found = json::type_name(value);
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
