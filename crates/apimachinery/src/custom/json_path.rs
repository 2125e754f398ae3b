//! The part of JSONPath that definitions use: fields, indices, wildcards and comparisons of elements.

use everynode_model::Value;

/// Steps of one path.
const MAX_STEPS: usize = 64;

/// A path such as `.status.conditions[?(@.type=="Ready")].status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Elements whose value behind the path is, or is not, that text or number.
    Where {
        path: Vec<Step>,
        equals: bool,
        value: String,
    },
    /// Elements that have a value behind the path.
    Has(Vec<Step>),
}

impl JsonPath {
    /// Reads a path; it begins with a dot.
    ///
    /// # Errors
    /// It is none, or uses what is not served.
    pub fn parse(text: &str) -> Result<JsonPath, &'static str> {
        if !text.starts_with(['.', '[']) {
            return Err("must be a simple json path starting with .");
        }
        let mut rest = text;
        let steps = steps(&mut rest)?;
        if rest.is_empty() {
            Ok(JsonPath { steps })
        } else {
            Err("must be a simple json path starting with .")
        }
    }

    /// Everything that the path leads to.
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        find(&self.steps, value)
    }

    /// The fields of a path that is made of nothing else.
    pub fn fields(&self) -> Option<Vec<&str>> {
        let mut names = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let Step::Field(name) = step else { return None };
            names.push(name.as_str());
        }
        Some(names)
    }
}

const BAD: &str = "must be a simple json path starting with .";

fn steps(rest: &mut &str) -> Result<Vec<Step>, &'static str> {
    let mut steps = Vec::new();
    while let Some(first) = rest.chars().next() {
        let step = match first {
            '.' => {
                *rest = &rest[1..];
                if rest.is_empty() && steps.is_empty() {
                    break;
                }
                name(rest)?
            }
            '[' => bracket(rest)?,
            _ => break,
        };
        if steps.len() == MAX_STEPS {
            return Err(BAD);
        }
        steps.push(step);
    }
    Ok(steps)
}

fn name(rest: &mut &str) -> Result<Step, &'static str> {
    let mut name = String::new();
    let mut chars = rest.char_indices();
    let mut end = rest.len();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.push(chars.next().ok_or(BAD)?.1),
            '.' | '[' | ']' | '=' | '!' | '<' | '>' | ' ' | ')' | '(' => {
                end = at;
                break;
            }
            c => name.push(c),
        }
    }
    *rest = &rest[end..];
    match name.as_str() {
        "" => Err(BAD),
        "*" => Ok(Step::All),
        _ => Ok(Step::Field(name)),
    }
}

fn bracket(rest: &mut &str) -> Result<Step, &'static str> {
    if let Some(inside) = rest.strip_prefix("[?(") {
        let (condition, behind) = inside.split_once(")]").ok_or(BAD)?;
        *rest = behind;
        return filter(condition);
    }
    let (inside, behind) = rest[1..].split_once(']').ok_or(BAD)?;
    *rest = behind;
    let quoted = |quote: char| inside.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    match (inside, quoted('\'').or(quoted('"'))) {
        ("*", _) => Ok(Step::All),
        (_, Some(name)) => Ok(Step::Field(name.to_owned())),
        (index, None) => index.trim().parse().map(Step::Index).map_err(|_| BAD),
    }
}

fn filter(condition: &str) -> Result<Step, &'static str> {
    let mut rest = condition.trim().strip_prefix('@').ok_or(BAD)?;
    let path = steps(&mut rest)?;
    let rest = rest.trim_start();
    if rest.is_empty() {
        return Ok(Step::Has(path));
    }
    let (equals, rest) = match (rest.strip_prefix("=="), rest.strip_prefix("!=")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err(BAD),
    };
    let value = rest.trim();
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    let value = quoted('"').or(quoted('\'')).unwrap_or(value).to_owned();
    Ok(Step::Where { path, equals, value })
}

fn find<'a>(steps: &[Step], value: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![value];
    for step in steps {
        found = found.into_iter().flat_map(|value| take(step, value)).collect();
    }
    found
}

fn take<'a>(step: &Step, value: &'a Value) -> Vec<&'a Value> {
    let elements = || -> Vec<&'a Value> {
        match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(fields) => fields.values().collect(),
            _ => Vec::new(),
        }
    };
    match step {
        Step::Field(name) => value.get(name).into_iter().collect(),
        Step::Index(index) => {
            let Some(items) = value.as_array() else { return Vec::new() };
            let at = if *index < 0 { *index + items.len() as i64 } else { *index };
            usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
        }
        Step::All => elements(),
        Step::Has(path) => elements().into_iter().filter(|one| !find(path, one).is_empty()).collect(),
        Step::Where { path, equals, value } => {
            let holds = |one: &&Value| match find(path, one).first() {
                Some(found) => (text_of(found) == *value) == *equals,
                None => false,
            };
            elements().into_iter().filter(holds).collect()
        }
    }
}

/// A value as a table shows it.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => everynode_model::encode::to_text(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_to_values() {
        let object = json!({
            "spec": {"a.b": 1, "list": [{"n": "x", "v": 1}, {"n": "y", "v": 2}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        let check = |path: &str, expected: Value| {
            let found: Vec<Value> =
                JsonPath::parse(path).expect(path).find(&object).into_iter().cloned().collect();
            assert_eq!(Value::Array(found), expected, "{path}");
        };
        check(".spec.list[0].n", json!(["x"]));
        check(".spec.list[-1].n", json!(["y"]));
        check(".spec.list[*].v", json!([1, 2]));
        check(".spec['a.b']", json!([1]));
        check(".spec.a\\.b", json!([1]));
        check(".status.conditions[?(@.type==\"Ready\")].status", json!(["True"]));
        check(".status.conditions[?(@.type!='Ready')].status", json!([]));
        check(".nothing.there", json!([]));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["a[", "", "a.b", ".a[", ".a[x]", ".a[?(@.x", ".a..b", ".a[?(@.x ~ 1)]"] {
            assert!(JsonPath::parse(text).is_err(), "{text}");
        }
    }
}
