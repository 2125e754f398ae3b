//! The refusals that the API server gives, each with its message and details.

use everynode_model::{Object, SelectorError, Value};

use super::field_error::FieldError;
use super::object::Status;
use super::reason::Reason;

/// `plural.group`, or the plural alone in the core group: how messages name a resource or a kind.
pub fn qualified(group: &str, name: &str) -> String {
    if group.is_empty() { name.to_string() } else { format!("{name}.{group}") }
}

/// The details that name an object. `kind` holds the plural name, or the kind for `Invalid`.
fn details(group: &str, kind: &str, name: &str) -> Object {
    let mut details = Object::new();
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            details.insert(key.into(), value.into());
        }
    }
    details
}

fn cause(reason: &str, message: &str, field: &str) -> Value {
    let mut cause = Object::new();
    for (key, value) in [("reason", reason), ("message", message), ("field", field)] {
        if !value.is_empty() {
            cause.insert(key.into(), value.into());
        }
    }
    Value::Object(cause)
}

/// Field errors that are reported of one object.
pub const MAX_ERRORS: usize = 100;

/// Bytes of field errors that are reported of one object, unless the first alone has more.
const MAX_ERROR_BYTES: usize = 256 << 10;

/// The errors of a list that are reported.
fn reported(errors: &[FieldError]) -> &[FieldError] {
    let mut room = MAX_ERROR_BYTES;
    let fits = |error: &&FieldError| {
        let length = error.field.len() + error.message.len();
        let fits = length <= room;
        room = room.saturating_sub(length);
        fits
    };
    let count = errors.iter().take(MAX_ERRORS).take_while(fits).count();
    &errors[..count.max(errors.len().min(1))]
}

impl From<SelectorError> for Status {
    fn from(error: SelectorError) -> Status {
        Status::bad_request(error.0)
    }
}

impl Status {
    fn with_details(reason: Reason, message: impl Into<String>, details: Object) -> Status {
        Status { reason, message: message.into(), details: Some(details) }
    }

    /// No object of this name. `plural` is the resource, such as `daemonsets`.
    pub fn not_found(group: &str, plural: &str, name: &str) -> Status {
        let message = format!("{} {} not found", qualified(group, plural), everynode_model::go_quote(name));
        Status::with_details(Reason::NotFound, message, details(group, plural, name))
    }

    /// A path that the server does not serve.
    pub fn unknown_path() -> Status {
        let message = "the server could not find the requested resource";
        Status::with_details(Reason::NotFound, message, Object::new())
    }

    /// The name is taken.
    pub fn already_exists(group: &str, plural: &str, name: &str) -> Status {
        let message =
            format!("{} {} already exists", qualified(group, plural), everynode_model::go_quote(name));
        Status::with_details(Reason::AlreadyExists, message, details(group, plural, name))
    }

    /// The change does not fit the object as it is now; `why` ends the sentence. `kind` is the plural name,
    /// or the kind for failed preconditions of a deletion.
    pub fn conflict(group: &str, kind: &str, name: &str, why: &str) -> Status {
        let message = format!(
            "Operation cannot be fulfilled on {} {}: {why}",
            qualified(group, kind),
            everynode_model::go_quote(name)
        );
        Status::with_details(Reason::Conflict, message, details(group, kind, name))
    }

    /// The object has changed since the client read it (optimistic lock).
    pub fn modified(group: &str, plural: &str, name: &str) -> Status {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Status::conflict(group, plural, name, why)
    }

    /// Fields that others have and an applied configuration says differently: causes as message and field.
    pub fn apply_conflict(message: &str, causes: Vec<(String, String)>) -> Status {
        let causes =
            causes.iter().take(MAX_ERRORS).map(|(why, field)| cause("FieldManagerConflict", why, field));
        let mut details = Object::new();
        details.insert("causes".into(), causes.collect());
        Status::with_details(Reason::Conflict, message, details)
    }

    /// Fields that break rules. The message lists each different mistake once, the causes list all.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Status {
        let errors = reported(errors);
        let mut sentences: Vec<String> = Vec::new();
        for error in errors {
            let sentence = error.to_string();
            if !sentences.contains(&sentence) {
                sentences.push(sentence);
            }
        }
        let subject = format!("{} {} is invalid", qualified(group, kind), everynode_model::go_quote(name));
        let message = match sentences.as_slice() {
            [] => subject,
            [only] => format!("{subject}: {only}"),
            several => format!("{subject}: [{}]", several.join(", ")),
        };
        let mut details = details(group, kind, name);
        if !errors.is_empty() {
            let causes = errors.iter().map(|e| cause(e.cause.reason(), &e.message, &e.field));
            details.insert("causes".into(), causes.collect());
        }
        Status::with_details(Reason::Invalid, message, details)
    }

    /// A patch that is well formed but cannot be carried out; the API says no more than this.
    pub fn unprocessable() -> Status {
        let message = "the server rejected our request due to an error in our request";
        Status::with_details(Reason::Invalid, message, Object::new())
    }

    /// The request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::new(Reason::BadRequest, message)
    }

    /// The body cannot be read as an object of this kind; `why` ends the sentence.
    pub fn cannot_be_handled(kind_sent: &str, version_sent: &str, kind: &str, why: &str) -> Status {
        Status::bad_request(format!(
            "{kind_sent} in version \"{version_sent}\" cannot be handled as a {kind}: {why}"
        ))
    }

    /// Not allowed to this client or in this state; `why` ends the sentence.
    pub fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> Status {
        let subject = qualified(group, plural);
        let message = match (plural, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{subject} is forbidden: {why}"),
            _ => format!("{subject} {} is forbidden: {why}", everynode_model::go_quote(name)),
        };
        Status::with_details(Reason::Forbidden, message, details(group, plural, name))
    }

    /// Nothing new may be made in a namespace that is being deleted.
    pub fn namespace_terminating(group: &str, plural: &str, name: &str, namespace: &str) -> Status {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let because = format!("namespace {namespace} is being terminated");
        let mut status = Status::forbidden(group, plural, name, &why);
        let causes = vec![cause("NamespaceTerminating", &because, "metadata.namespace")];
        status.details.get_or_insert_default().insert("causes".into(), Value::Array(causes));
        status
    }

    /// The client gave no valid credentials.
    pub fn unauthorized() -> Status {
        Status::new(Reason::Unauthorized, "Unauthorized")
    }

    /// The resource has no such verb.
    pub fn method_not_allowed() -> Status {
        let message = "the server does not allow this method on the requested resource";
        Status::with_details(Reason::MethodNotAllowed, message, Object::new())
    }

    /// No representation that the client accepts. `available` lists those that there are.
    pub fn not_acceptable(available: &[&str]) -> Status {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {}", available.join(", "));
        Status::with_details(Reason::NotAcceptable, message, Object::new())
    }

    /// A form of a representation, such as a table, that there is not. `accepted` lists the media types that are read.
    pub fn no_such_form(accepted: &[&str]) -> Status {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        Status::new(Reason::NotAcceptable, message)
    }

    /// A body of a media type that the server does not read. `accepted` lists those that it does.
    pub fn unsupported_media_type(accepted: &[&str]) -> Status {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Status::new(Reason::UnsupportedMediaType, message)
    }

    /// A patch of a media type that the server does not read.
    pub fn unsupported_patch_type() -> Status {
        Status::with_details(Reason::UnsupportedMediaType, "415: Unsupported Media Type", Object::new())
    }

    /// 410 for a list: the continue token or the version asked for has been compacted away.
    pub fn expired(message: impl Into<String>) -> Status {
        Status::new(Reason::Expired, message)
    }

    /// 410 for a watch: its version is older than what the server still has. Both are resource versions.
    pub fn too_old_resource_version(asked: u64, oldest: u64) -> Status {
        Status::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// 504: the client asks for a version that the server has not reached.
    pub fn too_large_resource_version(asked: u64, current: u64) -> Status {
        let mut details = Object::new();
        let causes = vec![cause("ResourceVersionTooLarge", "Too large resource version", "")];
        details.insert("causes".into(), Value::Array(causes));
        details.insert("retryAfterSeconds".into(), 1.into());
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        Status::with_details(Reason::Timeout, message, details)
    }

    /// 500 with a reason.
    pub fn internal(why: impl std::fmt::Display) -> Status {
        let why = why.to_string();
        let mut details = Object::new();
        details.insert("causes".into(), Value::Array(vec![cause("", &why, "")]));
        Status::with_details(Reason::InternalError, format!("Internal error occurred: {why}"), details)
    }

    /// 500 as the API gives it for an error that nobody classified: the message alone.
    pub fn unclassified(message: impl Into<String>) -> Status {
        Status::new(Reason::Other(500), message)
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Status {
        Status::new(Reason::ServiceUnavailable, message)
    }

    /// 429: try again after so many seconds.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Status {
        let mut details = Object::new();
        if retry_after_seconds > 0 {
            details.insert("retryAfterSeconds".into(), retry_after_seconds.into());
        }
        Status::with_details(Reason::TooManyRequests, message, details)
    }

    /// 429 for an eviction that a disruption budget does not allow now, with the reason and, where it helps, how long to
    /// wait.
    pub fn disruption_budget(why: &str, retry_after_seconds: u32) -> Status {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        let mut status = Status::too_many_requests(message, retry_after_seconds);
        let causes = vec![cause("DisruptionBudget", why, "")];
        status.details.get_or_insert_default().insert("causes".into(), Value::Array(causes));
        status
    }

    /// 413: the body is larger than the server reads.
    pub fn too_large(limit_bytes: usize) -> Status {
        let message = format!("Request entity too large: limit is {limit_bytes}");
        Status::new(Reason::RequestEntityTooLarge, message)
    }
}
