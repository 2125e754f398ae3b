//! Refusals against those of a real Kubernetes.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::unwrap_used)]

mod golden;

use everynode_apimachinery::status::{Cause, FieldError, Reason, Status};
use everynode_model::Value;
use everynode_model::encode::{to_text, to_vec};
use golden::{exchanges, title};

const CAUSES: [Cause; 11] = [
    Cause::Invalid,
    Cause::NotSupported,
    Cause::Required,
    Cause::Duplicate,
    Cause::Forbidden,
    Cause::NotFound,
    Cause::TooLong,
    Cause::TooShort,
    Cause::TooMany,
    Cause::TooFew,
    Cause::TypeInvalid,
];

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn field_error(cause: &Value) -> FieldError {
    let known = CAUSES.into_iter().find(|known| known.reason() == text(cause, "reason"));
    FieldError {
        field: text(cause, "field").into(),
        cause: known.expect("a known reason"),
        message: text(cause, "message").into(),
    }
}

/// The refusal made anew from the object that it is about.
fn made_anew(recorded: &Status) -> Option<Status> {
    let details = Value::Object(recorded.details.clone()?);
    let (group, kind, name) = (text(&details, "group"), text(&details, "kind"), text(&details, "name"));
    match recorded.reason {
        Reason::NotFound if kind.is_empty() => Some(Status::unknown_path()),
        Reason::NotFound => Some(Status::not_found(group, kind, name)),
        Reason::AlreadyExists => Some(Status::already_exists(group, kind, name)),
        Reason::Conflict if recorded.message.contains("has been modified;") => {
            Some(Status::modified(group, kind, name))
        }
        Reason::Conflict => {
            let why = recorded.message.split_once("\": ")?.1;
            Some(Status::conflict(group, kind, name, why))
        }
        Reason::MethodNotAllowed => Some(Status::method_not_allowed()),
        Reason::NotAcceptable => {
            let all = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
            Some(Status::not_acceptable(&all))
        }
        Reason::UnsupportedMediaType => Some(Status::unsupported_patch_type()),
        Reason::Forbidden if recorded.has_cause("NamespaceTerminating") => {
            Some(Status::namespace_terminating(group, kind, name, "golden"))
        }
        Reason::Forbidden => {
            let why = recorded.message.split_once("is forbidden: ")?.1;
            Some(Status::forbidden(group, kind, name, why))
        }
        Reason::Timeout => Some(Status::too_large_resource_version(999_999_999, 243)),
        Reason::Invalid if kind.is_empty() && details.get("causes").is_none() => {
            Some(Status::unprocessable())
        }
        Reason::Invalid => {
            let causes = details["causes"].as_array()?;
            let errors: Vec<FieldError> = causes.iter().map(field_error).collect();
            Some(Status::invalid(group, kind, name, &errors))
        }
        _ => None,
    }
}

#[test]
fn every_recorded_refusal_reads_back_and_is_made_anew_alike() {
    let (mut read, mut made) = (0, 0);
    for row in exchanges() {
        let response = &row["response"];
        if response["kind"] != "Status" || response["status"] != "Failure" {
            continue;
        }
        let status = Status::from_slice(&to_vec(response)).expect("a Status");
        assert_eq!(u64::from(status.code()), row["status"].as_u64().unwrap(), "{}", title(&row));
        assert_eq!(to_text(&status.to_value()), to_text(response), "{}", title(&row));
        read += 1;
        if let Some(anew) = made_anew(&status) {
            assert_eq!(to_text(&anew.to_value()), to_text(response), "{}", title(&row));
            made += 1;
        }
    }
    println!("{read} refusals, {made} of them made anew");
}
