//! What stands behind the question mark of a request.

use super::answer::Refusal;

/// Parameters in their order.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads parameters.
    pub fn parse(text: Option<&str>) -> Query {
        Query(form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter; absent and empty are the same.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.all(key).next().filter(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// A truth value as the kubelet reads those of logs: anything but `false` and `0`.
    pub fn truth(&self, key: &str) -> bool {
        self.all(key).next().is_some_and(|value| !value.eq_ignore_ascii_case("false") && value != "0")
    }

    /// A number that is not below the least one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn number(&self, key: &str, least: u64) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| *number >= least);
        let wrong = || Refusal::bad_request(format!("{key}={text} is no number from {least} on"));
        number.map(Some).ok_or_else(wrong)
    }
}
