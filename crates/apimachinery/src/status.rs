//! Refusals as the Kubernetes API words them: `Status` objects and the field errors inside them.

mod build;
mod field_error;
mod object;
mod read;
mod reason;

pub use build::MAX_ERRORS;
pub use field_error::{Cause, FieldError};
pub use object::Status;
pub use read::NotAStatus;
pub use reason::Reason;

#[cfg(test)]
mod tests {
    use super::*;
    use everynode_model::Value;
    use serde_json::json;

    fn check(status: Status, expected: Value) {
        let value = status.to_value();
        assert_eq!(value, expected);
        let text = everynode_model::encode::to_vec(&value);
        assert_eq!(text, everynode_model::encode::to_vec(&expected), "field order");
        assert_eq!(Status::from_slice(&text).ok(), Some(status), "reads back");
    }

    #[test]
    fn refusals_have_the_shape_that_the_api_gives_them() {
        check(
            Status::not_found("apps", "daemonsets", "agent"),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "daemonsets.apps \"agent\" not found", "reason": "NotFound",
                "details": {"name": "agent", "group": "apps", "kind": "daemonsets"}, "code": 404}),
        );
        check(
            Status::unclassified("unknown patch type"),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "unknown patch type", "code": 500}),
        );
        check(
            Status::too_large_resource_version(999, 243),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "Timeout: Too large resource version: 999, current: 243", "reason": "Timeout",
                "details": {"causes": [{"reason": "ResourceVersionTooLarge",
                    "message": "Too large resource version"}], "retryAfterSeconds": 1}, "code": 504}),
        );
    }

    #[test]
    fn one_mistake_stands_alone_and_several_in_brackets_each_once() {
        let errors = |fields: &[&str]| -> Vec<FieldError> {
            fields.iter().map(|field| FieldError::required(*field, "")).collect()
        };
        let message = |fields: &[&str]| Status::invalid("apps", "DaemonSet", "x", &errors(fields)).message;
        assert_eq!(message(&["a"]), "DaemonSet.apps \"x\" is invalid: a: Required value");
        assert_eq!(message(&["a", "a"]), "DaemonSet.apps \"x\" is invalid: a: Required value");
        let two = "DaemonSet.apps \"x\" is invalid: [a: Required value, b: Required value]";
        assert_eq!(message(&["a", "b", "a"]), two);
    }

    #[test]
    fn the_code_says_what_an_unknown_reason_does_not() {
        let bytes = br#"{"kind":"Status","message":"m","reason":"Odd","code":418}"#;
        let status = Status::from_slice(bytes).expect("a Status");
        assert_eq!((status.reason, status.code()), (Reason::Other(418), 418));
        assert!(Status::from_slice(br#"{"kind":"Pod"}"#).is_err());
        assert!(Status::from_slice(b"<html>").is_err());
    }
}
