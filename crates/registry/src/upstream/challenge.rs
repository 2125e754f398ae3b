//! What a registry asks for before it hands out an image: `WWW-Authenticate`.

/// How a registry wants to be told who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// By name and password.
    Basic,
    /// By a token, which somebody else gives out.
    Bearer {
        /// Where it is given out.
        realm: String,
        /// Of whom it is asked there.
        service: Option<String>,
        /// What it is to allow; where that is not said it is to read the repository.
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads the value of a header; nothing where it is neither of both.
    pub fn read(value: &str) -> Option<Challenge> {
        let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let fields = parameters(rest);
        let of = |name: &str| {
            let mut found = fields.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
            found.next().map(|(_, value)| value.clone())
        };
        Some(Challenge::Bearer { realm: of("realm")?, service: of("service"), scope: of("scope") })
    }
}

/// `key="value",key=value`, with commas in quotes.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim_matches([' ', ',']).to_owned();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => match quoted.split_once('"') {
                Some((value, after)) => (value, after),
                None => (quoted, ""),
            },
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((key, value.to_owned()));
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_says_where_tokens_are_given_out() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            let (service, scope) = (service.map(str::to_owned), scope.map(str::to_owned));
            Some(Challenge::Bearer { realm: realm.to_owned(), service, scope })
        };
        let check = |text: &str, expected: Option<Challenge>| {
            assert_eq!(Challenge::read(text), expected, "{text}");
        };
        check(r#"Basic realm="r""#, Some(Challenge::Basic));
        check("basic", Some(Challenge::Basic));
        check(
            r#"Bearer realm="https://a/token",service="r",scope="repository:a/b:pull,push""#,
            bearer("https://a/token", Some("r"), Some("repository:a/b:pull,push")),
        );
        check(r#"bearer service=r, realm="https://a""#, bearer("https://a", Some("r"), None));
        check(r#"Bearer service="r""#, None);
        check(r#"Bearer realm="https://a"#, bearer("https://a", None, None));
        check("Negotiate abc", None);
        check("", None);
    }
}
