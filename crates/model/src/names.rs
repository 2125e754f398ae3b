//! Rules for single texts and numbers. Each gives the messages of the rules that the value breaks.

/// What numbers that count something must be.
pub const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// What a changed field is told that may not change.
pub const IMMUTABLE: &str = "field is immutable";

const LABEL_RULE: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_RULE: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const QUALIFIED_RULE: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// Messages of rules that the value breaks.
pub type Messages = Vec<String>;

fn at_most(characters: usize) -> String {
    format!("must be no more than {characters} characters")
}

fn at_most_bytes(bytes: usize) -> String {
    format!("must be no more than {bytes} bytes")
}

/// A rule with examples and its regular expression.
pub fn rule(what: &str, expression: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{what} (regex used for validation is '{expression}')");
    }
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{what} (e.g. {}regex used for validation is '{expression}')", examples.join(" or "))
}

fn is_lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Whether the text begins and ends with bytes of one kind and has bytes of another in between.
fn framed(text: &str, end: fn(u8) -> bool, middle: fn(u8) -> bool) -> bool {
    match text.as_bytes() {
        [] => false,
        [only] => end(*only),
        [first, inner @ .., last] => end(*first) && end(*last) && inner.iter().all(|&byte| middle(byte)),
    }
}

fn is_label(text: &str) -> bool {
    framed(text, is_lower_alphanumeric, |byte| is_lower_alphanumeric(byte) || byte == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// A lower-case RFC 1123 label.
pub fn dns_label(text: &str) -> Messages {
    let mut messages = Vec::new();
    if text.len() > 63 {
        messages.push(at_most(63));
    }
    if is_label(text) {
        return messages;
    }
    if is_subdomain(text) {
        messages.push("must not contain dots".into());
    } else {
        let what = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
        messages.push(rule(what, LABEL_RULE, &["my-name", "123-abc"]));
    }
    messages
}

/// A lower-case RFC 1123 subdomain.
pub fn dns_subdomain(text: &str) -> Messages {
    let mut messages = Vec::new();
    if text.len() > 253 {
        messages.push(at_most(253));
    }
    if !is_subdomain(text) {
        messages.push(subdomain_rule());
    }
    messages
}

fn subdomain_rule() -> String {
    let what = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
    rule(what, SUBDOMAIN_RULE, &["example.com"])
}

/// A label of RFC 1035: lower case, and it begins with a letter.
pub fn dns_1035_label(text: &str) -> Messages {
    let middle = |byte| is_lower_alphanumeric(byte) || byte == b'-';
    let mut messages = Vec::new();
    if text.len() > 63 {
        messages.push(at_most(63));
    }
    if !framed(text, is_lower_alphanumeric, middle) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        let what = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
        messages.push(rule(what, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    messages
}

/// A search domain: a subdomain whose parts may hold underscores.
pub fn dns_search(text: &str) -> Messages {
    let is_part = |part: &str| {
        let part = part.strip_prefix('_').unwrap_or(part);
        framed(part, is_lower_alphanumeric, |byte| is_lower_alphanumeric(byte) || matches!(byte, b'-' | b'_'))
    };
    let mut messages = Vec::new();
    if text.len() > 253 {
        messages.push(at_most(253));
    }
    if !text.split('.').all(is_part) {
        let what = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";
        let part = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
        messages.push(rule(what, &format!(r"{part}(\.{part})*"), &["example.com"]));
    }
    messages
}

/// A name that stands between two slashes of a path.
pub fn path_segment(text: &str) -> Messages {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"]
        .iter()
        .filter(|forbidden| text.contains(**forbidden))
        .map(|forbidden| format!("may not contain '{forbidden}'"))
        .collect()
}

fn is_qualified_part(text: &str) -> bool {
    framed(
        text,
        |byte| byte.is_ascii_alphanumeric(),
        |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
    )
}

/// A qualified name: a key of a label, an annotation or a taint, with an optional domain and slash in front.
pub fn qualified_name(text: &str) -> Messages {
    let examples = &["MyName", "my.name", "123-abc"];
    let mut messages = Vec::new();
    let mut parts = text.split('/');
    let name = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => name,
        (Some(domain), Some(name), None) => {
            if domain.is_empty() {
                messages.push("prefix part must be non-empty".into());
            } else {
                if domain.len() > 253 {
                    messages.push(format!("prefix part {}", at_most_bytes(253)));
                }
                if !is_subdomain(domain) {
                    messages.push(format!("prefix part {}", subdomain_rule()));
                }
            }
            name
        }
        _ => {
            let rule = rule(QUALIFIED, QUALIFIED_RULE, examples);
            let optional = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {rule} {optional}")];
        }
    };
    if name.is_empty() {
        messages.push("name part must be non-empty".into());
    } else if name.len() > 63 {
        messages.push(format!("name part {}", at_most_bytes(63)));
    }
    if !is_qualified_part(name) {
        messages.push(format!("name part {}", rule(QUALIFIED, QUALIFIED_RULE, examples)));
    }
    messages
}

/// The value of a label.
pub fn label_value(text: &str) -> Messages {
    let mut messages = Vec::new();
    if text.len() > 63 {
        messages.push(at_most_bytes(63));
    }
    if !text.is_empty() && !is_qualified_part(text) {
        let what = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
        let expression = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
        messages.push(rule(what, expression, &["MyValue", "my_value", "12345"]));
    }
    messages
}

/// The name of a port.
pub fn port_name(text: &str) -> Messages {
    let mut messages = Vec::new();
    if text.len() > 15 {
        messages.push(at_most(15));
    }
    if text.is_empty() || !text.bytes().all(|byte| is_lower_alphanumeric(byte) || byte == b'-') {
        messages.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        messages.push("must contain at least one letter (a-z)".into());
    }
    if text.contains("--") {
        messages.push("must not contain consecutive hyphens".into());
    }
    if text.starts_with('-') || text.ends_with('-') {
        messages.push("must not begin or end with a hyphen".into());
    }
    messages
}

/// The number of a port.
pub fn port_number(number: i64) -> Option<String> {
    (!(1..=65_535).contains(&number)).then(|| between(1, 65_535))
}

/// The number of a user or a group.
pub fn user_number(number: i64) -> Option<String> {
    let most = i64::from(i32::MAX);
    (!(0..=most).contains(&number)).then(|| between(0, most))
}

/// The message of a number outside its range.
pub fn between(least: i64, most: i64) -> String {
    format!("must be between {least} and {most}, inclusive")
}

/// A percentage such as `10%`.
pub fn percent(text: &str) -> Option<String> {
    let is_percent = text
        .strip_suffix('%')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let what = "a valid percent string must be a numeric string followed by an ending '%'";
    (!is_percent).then(|| rule(what, "[0-9]+%", &["1%", "93%"]))
}

/// The name of an environment variable.
pub fn env_name(text: &str) -> Messages {
    let mut messages = Vec::new();
    if text.is_empty() {
        messages.push("environment variable name must be non-empty".into());
    }
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
        let what = "a valid environment variable name must consist only of printable ASCII characters other than '='";
        messages.push(what.into());
    }
    messages
}

/// The name of an HTTP header.
pub fn header_name(text: &str) -> Option<String> {
    let is_header = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let what = "a valid HTTP header must consist of alphanumeric characters or '-'";
    (!is_header).then(|| rule(what, "[-A-Za-z0-9]+", &["X-Header-Name"]))
}

/// A key of a config map or a secret.
pub fn config_key(text: &str) -> Messages {
    let mut messages = Vec::new();
    if text.len() > 253 {
        messages.push(at_most(253));
    }
    let in_set = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if text.is_empty() || !text.bytes().all(in_set) {
        let what = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        messages.push(rule(what, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    match text {
        "." => messages.push("must not be '.'".into()),
        ".." => messages.push("must not be '..'".into()),
        _ if text.starts_with("..") => messages.push("must not start with '..'".into()),
        _ => {}
    }
    messages
}

/// What a name of a kind may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// Lower-case RFC 1123 subdomain, at most 253 characters: most kinds.
    Subdomain,
    /// Lower-case RFC 1123 label, at most 63 characters: namespaces, services.
    Label,
    /// Anything that can stand between two slashes of a path: RBAC.
    PathSegment,
}

impl NameRule {
    /// What is wrong with the name. Of a `prefix` something will follow, so it may end with a dash.
    pub fn messages(self, name: &str, prefix: bool) -> Vec<String> {
        let masked;
        let name = match name.strip_suffix('-') {
            Some(stem) if prefix && !stem.is_empty() => {
                masked = format!("{}a", &stem[..floor_boundary(stem)]);
                masked.as_str()
            }
            _ => name,
        };
        match self {
            NameRule::Subdomain => dns_subdomain(name),
            NameRule::Label => dns_label(name),
            NameRule::PathSegment => path_segment(name),
        }
    }
}

/// The end of the text without its last character.
fn floor_boundary(text: &str) -> usize {
    text.char_indices().next_back().map_or(0, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_follow_the_rules_pass() {
        let check = |messages: Messages| assert_eq!(messages, Vec::<String>::new());
        check(dns_label("a-1"));
        check(dns_subdomain("a.b-c.d1"));
        check(dns_search("_dns._udp.example"));
        check(path_segment("system:node"));
        check(qualified_name("example.com/My_Name.x"));
        check(label_value(""));
        check(label_value("v1.2-3"));
        check(port_name("http-1"));
        check(env_name("A B"));
        check(config_key(".dockerconfigjson"));
    }

    #[test]
    fn texts_that_break_rules_are_told_which() {
        let check = |messages: Messages, starts: &[&str]| {
            assert_eq!(messages.len(), starts.len(), "{messages:?}");
            for (message, start) in messages.iter().zip(starts) {
                assert!(message.starts_with(start), "{message}");
            }
        };
        check(dns_label("a.b"), &["must not contain dots"]);
        check(dns_label("A"), &["a lowercase RFC 1123 label"]);
        check(dns_subdomain(&"a".repeat(254)), &["must be no more than 253 characters"]);
        check(qualified_name("a/b/c"), &["a valid label key must consist"]);
        check(qualified_name("/b"), &["prefix part must be non-empty"]);
        check(qualified_name("a/"), &["name part must be non-empty", "name part must consist"]);
        check(port_name("80"), &["must contain at least one letter"]);
        check(path_segment("a/b%c"), &["may not contain '/'", "may not contain '%'"]);
        check(config_key("..a"), &["must not start with '..'"]);
    }
}
