//! How a command ends when it cannot do its work: one sentence, and a hint.

use std::process::ExitCode;

/// Why a command ends with status 1.
#[derive(Debug)]
pub struct Failure {
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with advice.
    pub fn with_hint(message: impl std::fmt::Display, hint: impl Into<String>) -> Failure {
        Failure { message: message.to_string(), hint: Some(hint.into()) }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure { message: error.to_string(), hint: None }
    }
}

/// Prints the failure on standard error. The status is 1.
#[expect(clippy::print_stderr, reason = "this is where the command speaks to its user")]
pub fn report(message: &str, hint: Option<&str>) -> ExitCode {
    eprintln!("error: {message}");
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}
