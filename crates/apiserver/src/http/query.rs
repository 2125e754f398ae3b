//! Query parameters and the options that they spell.

use everynode_apimachinery::status::{FieldError, Status};
use everynode_model::Value;

const META_GROUP: &str = "meta.k8s.io";

/// The parameters of a request, in their order.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses what stands behind the question mark.
    pub fn parse(text: Option<&str>) -> Query {
        Query(form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter; absent and empty are the same.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// All values of a parameter.
    pub fn all(&self, key: &str) -> Vec<&str> {
        self.0.iter().filter(|(k, v)| k == key && !v.is_empty()).map(|(_, v)| v.as_str()).collect()
    }

    /// A truth value: anything but `false` and `0` is true, also nothing at all behind the name.
    pub fn truth(&self, key: &str) -> bool {
        let found = self.0.iter().find(|(k, _)| k == key);
        found.is_some_and(|(_, v)| !matches!(v.to_ascii_lowercase().as_str(), "false" | "0" | "f"))
    }

    /// An integer.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.get(key) else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")))
    }
}

/// How unknown and duplicate fields of a body are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValidation {
    /// Refused.
    Strict,
    /// Dropped with a warning.
    Warn,
    /// Dropped.
    Ignore,
}

/// The options of a create, update or patch.
#[derive(Debug, Clone, Copy)]
pub struct WriteOptions {
    /// Whether nothing is to be stored.
    pub dry_run: bool,
    /// How unknown fields are treated.
    pub field_validation: FieldValidation,
    /// Whether what others manage is taken from them.
    pub force: bool,
}

/// Bytes of a manager's name.
const MANAGER_BYTES: usize = 128;

/// Whether a character shows.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && (c == ' ' || !c.is_whitespace())
        && !matches!(c, '\u{ad}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}')
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

/// The name under which a client that gives none manages fields: what its `User-Agent` begins with.
pub fn manager_name(agent: &str) -> String {
    let mut name = String::new();
    for c in agent.split('/').next().unwrap_or_default().chars().filter(|c| is_printable(*c)) {
        if name.len() + c.len_utf8() > MANAGER_BYTES {
            break;
        }
        name.push(c);
    }
    name
}

/// Checks the name of a manager of fields.
pub fn check_manager(name: &str, field: &str, errors: &mut Vec<FieldError>) {
    if name.len() > MANAGER_BYTES {
        errors.push(FieldError::too_long(field, MANAGER_BYTES));
    }
    for (at, c) in name.char_indices().filter(|(_, c)| !is_printable(*c)) {
        let why = format!("invalid character U+{:04X} (at position {at})", c as u32);
        errors.push(FieldError::invalid(field, name, &why));
    }
}

impl WriteOptions {
    /// Reads those of an apply.
    pub fn parse_apply(query: &Query) -> Result<WriteOptions, Status> {
        let mut errors = Vec::new();
        if query.get("fieldManager").is_none() {
            errors.push(FieldError::required("fieldManager", "is required for apply patch"));
        }
        WriteOptions::parse_rest(query, "PatchOptions", errors)
    }

    /// Reads them; `kind` is the name of the options type in refusals, such as `CreateOptions`.
    pub fn parse(query: &Query, kind: &str) -> Result<WriteOptions, Status> {
        let mut errors = Vec::new();
        if kind == "PatchOptions" && query.get("force").is_some() {
            errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
        }
        WriteOptions::parse_rest(query, kind, errors)
    }

    fn parse_rest(query: &Query, kind: &str, mut errors: Vec<FieldError>) -> Result<WriteOptions, Status> {
        check_manager(query.get("fieldManager").unwrap_or_default(), "fieldManager", &mut errors);
        let dry_run = dry_run(&query.all("dryRun"), &mut errors);
        let field_validation = match query.get("fieldValidation") {
            Some("Strict") => FieldValidation::Strict,
            Some("Ignore") => FieldValidation::Ignore,
            None | Some("Warn") => FieldValidation::Warn,
            Some(other) => {
                errors.push(FieldError::not_supported(
                    "fieldValidation",
                    other,
                    &["", "Ignore", "Strict", "Warn"],
                ));
                FieldValidation::Warn
            }
        };
        refuse(kind, &errors)?;
        Ok(WriteOptions { dry_run, field_validation, force: query.truth("force") })
    }
}

/// Reads `dryRun`, which takes `All` only.
pub fn dry_run(values: &[&str], errors: &mut Vec<FieldError>) -> bool {
    if values.iter().any(|value| *value != "All") {
        let given: Vec<Value> = values.iter().map(|value| Value::from(*value)).collect();
        errors.push(FieldError::not_supported("dryRun", Value::Array(given), &["All"]));
    }
    !values.is_empty()
}

/// 422 about the options themselves.
pub fn refuse(kind: &str, errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(META_GROUP, kind, "", errors)) }
}

/// Which state a list or watch is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// Nothing is said.
    Unset,
    /// Exactly the given version.
    Exact,
    /// The given version or a later one.
    NotOlderThan,
}

/// The options of a list or watch.
#[derive(Debug, Clone)]
pub struct ListOptions {
    /// Whether to follow changes.
    pub watch: bool,
    /// Whether watch bookmarks are welcome.
    pub bookmarks: bool,
    /// Whether a watch is to begin with the present objects and say where they end.
    pub initial_events: Option<bool>,
    /// The version, as text.
    pub resource_version: Option<String>,
    /// How the version is meant.
    pub version_match: Match,
    /// How long a watch, or the wait for a version, may last.
    pub timeout_seconds: Option<u64>,
    /// Objects per page, 0 for all.
    pub limit: usize,
    /// Where the page begins.
    pub continue_token: Option<String>,
}

impl ListOptions {
    /// Reads and checks them.
    pub fn parse(query: &Query) -> Result<ListOptions, Status> {
        let mut errors = Vec::new();
        let version_match = match query.get("resourceVersionMatch") {
            None => Match::Unset,
            Some("Exact") => Match::Exact,
            Some("NotOlderThan") => Match::NotOlderThan,
            Some(other) => {
                let supported = ["Exact", "NotOlderThan"];
                errors.push(FieldError::not_supported("resourceVersionMatch", other, &supported));
                Match::Unset
            }
        };
        let initial = query.get("sendInitialEvents").map(|_| query.truth("sendInitialEvents"));
        let limit = query.integer("limit")?.unwrap_or(0).max(0);
        let options = ListOptions {
            watch: query.truth("watch"),
            bookmarks: query.truth("allowWatchBookmarks"),
            initial_events: initial,
            resource_version: query.get("resourceVersion").map(str::to_owned),
            version_match,
            timeout_seconds: query
                .integer("timeoutSeconds")?
                .and_then(|s| u64::try_from(s).ok())
                .filter(|s| *s > 0),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            continue_token: query.get("continue").map(str::to_owned),
        };
        if errors.is_empty() {
            if options.watch { options.check_watch(&mut errors) } else { options.check_list(&mut errors) }
        }
        refuse("ListOptions", &errors)?;
        Ok(options)
    }

    fn check_watch(&self, errors: &mut Vec<FieldError>) {
        let mut forbid = |field: &str, why: &str| errors.push(FieldError::forbidden(field, why));
        let matched = self.version_match != Match::Unset;
        match self.initial_events {
            Some(_) if self.version_match != Match::NotOlderThan => {
                forbid(
                    "resourceVersionMatch",
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                );
            }
            None if matched => {
                forbid(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                );
            }
            _ => {}
        }
    }

    fn check_list(&self, errors: &mut Vec<FieldError>) {
        let mut forbid = |field: &str, why: &str| errors.push(FieldError::forbidden(field, why));
        if self.initial_events.is_some() {
            forbid("sendInitialEvents", "sendInitialEvents is forbidden for list");
        }
        if self.version_match == Match::Unset {
            return;
        }
        match self.resource_version.as_deref() {
            None => forbid(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ),
            Some("0") if self.version_match == Match::Exact => {
                forbid(
                    "resourceVersionMatch",
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                );
            }
            _ => {}
        }
        if self.continue_token.is_some() {
            forbid("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided");
        }
    }
}

/// The sentence about a resourceVersion that is not a number.
pub fn bad_version(text: &str) -> String {
    format!(
        "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
    )
}
