//! What a failed request means for the action that made it.

use std::time::Duration;

use everynode_client::{ApiStatus, Error};
use everynode_engine::{Failure, Outcome};

/// The longest pause that a server is granted by its Retry-After.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The failed outcome for an error.
pub(crate) fn failed(error: &Error) -> Outcome {
    Outcome::Failed { failure: failure(error), message: error.to_string() }
}

/// The outcome for an error of a write to one object that is named with its uid: [`Outcome::Gone`] when that object
/// is not there any more. Of a conflict it is not told what was in conflict; the watch will show it.
pub(crate) fn gone_or_failed(error: &Error) -> Outcome {
    match error.is_not_found() || error.status().is_some_and(refuses_uid) {
        true => Outcome::Gone,
        false => failed(error),
    }
}

/// As [`gone_or_failed`], for a deletion whose only precondition is the uid: in conflict is that one.
pub(crate) fn deleted_or_failed(error: &Error) -> Outcome {
    if error.code() == Some(409) { Outcome::Gone } else { gone_or_failed(error) }
}

/// As [`gone_or_failed`], for a release: whatever the server finds invalid about it, the object does not
/// belong to the DaemonSet any more (specification [G6](everynode_engine::spec#g6)).
pub(crate) fn released_or_failed(error: &Error) -> Outcome {
    if error.code() == Some(422) { Outcome::Gone } else { gone_or_failed(error) }
}

/// How long the server asks to wait before the same request; `None` when it did not turn the request away for its
/// load.
pub(crate) fn retry_after(error: &Error) -> Option<Duration> {
    let status = error.status()?;
    let seconds = match (status.code, status.retry_after_seconds) {
        (429, seconds) => seconds.unwrap_or(1),
        // Without the API's own Status this may be a proxy that lost the answer.
        (503, Some(seconds)) if !status.reason.is_empty() => seconds,
        _ => return None,
    };
    Some(Duration::from_secs(u64::from(seconds)).min(LONGEST_PAUSE))
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::Config(_) | Error::Fenced => Failure::Refused,
        Error::Transport { may_have_arrived: false, .. } => Failure::Refused,
        Error::Transport { .. } | Error::TimedOut(_) | Error::Decode(_) | Error::List(_) => Failure::Unknown,
        Error::Api(status) if status.causes.iter().any(|cause| cause.reason == "NamespaceTerminating") => {
            Failure::NamespaceTerminating
        }
        Error::Api(status) if may_have_been_done(status) => Failure::Unknown,
        Error::Api(_) => Failure::Refused,
    }
}

/// The server, or something before it, gave up waiting for the write.
fn may_have_been_done(status: &ApiStatus) -> bool {
    match status.code {
        504 => true,
        // What a store says comes without a reason, and so does what a proxy says.
        500 | 502 | 503 => status.reason.is_empty(),
        _ => false,
    }
}

/// The patch would change the uid: the object of this name is another one.
fn refuses_uid(status: &ApiStatus) -> bool {
    status.code == 422 && status.causes.iter().any(|cause| cause.field == "metadata.uid")
}

#[cfg(test)]
mod tests {
    use everynode_client::error::StatusCause;

    use super::*;

    fn api(code: u16, reason: &str, message: &str, cause: Option<(&str, &str)>) -> Error {
        let causes = cause.map(|(reason, field)| StatusCause {
            reason: reason.to_owned(),
            field: field.to_owned(),
            message: String::new(),
        });
        Error::Api(Box::new(ApiStatus {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            retry_after_seconds: None,
            causes: causes.into_iter().collect(),
        }))
    }

    fn transport(message: &str, may_have_arrived: bool) -> Error {
        Error::Transport { message: message.to_owned(), hint: None, may_have_arrived }
    }

    #[track_caller]
    fn check(error: Error, expected: Failure) {
        match failed(&error) {
            Outcome::Failed { failure, message } => {
                assert_eq!(failure, expected, "{message}");
                assert_eq!(message, error.to_string());
            }
            other => panic!("{other:?}"),
        }
    }

    /// Statement C9.
    #[test]
    fn a_refusal_was_not_carried_out_and_silence_may_have_been() {
        check(api(403, "Forbidden", "exceeded quota", None), Failure::Refused);
        check(api(422, "Invalid", "bad", None), Failure::Refused);
        check(api(500, "InternalError", "failed calling webhook", None), Failure::Refused);
        check(api(503, "ServiceUnavailable", "", None), Failure::Refused);
        check(transport("connection refused", false), Failure::Refused);
        let terminating = Some(("NamespaceTerminating", "metadata.namespace"));
        check(api(403, "Forbidden", "being terminated", terminating), Failure::NamespaceTerminating);
        check(api(504, "Timeout", "request did not complete", None), Failure::Unknown);
        check(api(500, "", "etcdserver: leader changed", None), Failure::Unknown);
        check(api(502, "", "<html>Bad Gateway</html>", None), Failure::Unknown);
        check(transport("connection reset by peer", true), Failure::Unknown);
        check(Error::TimedOut(Duration::from_secs(60)), Failure::Unknown);
        check(Error::Decode("cut".to_owned()), Failure::Unknown);
    }

    /// Statement G7.
    #[test]
    fn an_object_of_another_uid_is_gone() {
        let conflict = api(409, "Conflict", "the object has been modified", None);
        let missing = api(404, "NotFound", "pods \"x\" not found", None);
        let immutable =
            api(422, "Invalid", "field is immutable", Some(("FieldValueInvalid", "metadata.uid")));
        for gone in [&missing, &immutable] {
            assert!(matches!(gone_or_failed(gone), Outcome::Gone), "{gone}");
        }
        for gone in [&missing, &conflict] {
            assert!(matches!(deleted_or_failed(gone), Outcome::Gone), "{gone}");
        }
        assert!(matches!(gone_or_failed(&conflict), Outcome::Failed { failure: Failure::Refused, .. }));
        let invalid = api(422, "Invalid", "no such owner", None);
        assert!(matches!(gone_or_failed(&invalid), Outcome::Failed { .. }));
        assert!(matches!(released_or_failed(&invalid), Outcome::Gone));
    }

    #[test]
    fn a_server_under_load_says_how_long_to_wait() {
        let with = |code: u16, reason: &str, seconds| {
            let status = ApiStatus {
                code,
                reason: reason.to_owned(),
                retry_after_seconds: seconds,
                ..ApiStatus::default()
            };
            retry_after(&Error::Api(Box::new(status))).map(|pause| pause.as_secs())
        };
        assert_eq!(with(429, "TooManyRequests", Some(3)), Some(3));
        assert_eq!(with(429, "", None), Some(1));
        assert_eq!(with(429, "", Some(86_400)), Some(60));
        assert_eq!(with(503, "ServiceUnavailable", Some(2)), Some(2));
        assert_eq!(with(503, "", Some(2)), None, "a proxy's refusal says nothing about the write");
        assert_eq!(with(403, "Forbidden", Some(2)), None);
    }
}
