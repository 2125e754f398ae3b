//! The part of JSONPath that definitions use: fields, indices, slices, wildcards, comparisons of elements, and fields at
//! any depth.

use everynode_model::Value;

/// Steps of one path.
const MAX_STEPS: usize = 64;

/// Values that are followed at each step: indices that stand there twice, and filters, make many of one.
const MAX_FOUND: usize = 1_000;

/// A path such as `.status.conditions[?(@.type=="Ready")].status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    /// Elements of a list by their places; those below 0 count from its end.
    Indices(Vec<i64>),
    /// Every so many elements of a list, from one place to before another.
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        step: usize,
    },
    /// All elements of a list, or values of an object.
    All,
    /// The field of that name in the value and in all that is in it.
    Descend(String),
    /// Elements whose value behind the path compares so with that text or number.
    Where {
        path: Vec<Step>,
        comparison: &'static str,
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
        match first {
            '.' => {
                *rest = &rest[1..];
                if rest.is_empty() && steps.is_empty() {
                    break;
                }
                let descends = rest.strip_prefix('.').map(|behind| *rest = behind).is_some();
                if descends && steps.iter().any(|step| matches!(step, Step::Descend(_))) {
                    // Each time it may lead to all that is in what was found, and to that again.
                    return Err(BAD);
                }
                steps.push(match (name(rest)?, descends) {
                    (Step::Field(name), true) => Step::Descend(name),
                    (_, true) => return Err(BAD),
                    (step, false) => step,
                });
            }
            '[' => steps.extend(bracket(rest)?),
            _ => break,
        }
        if steps.len() > MAX_STEPS {
            return Err(BAD);
        }
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

fn bracket(rest: &mut &str) -> Result<Vec<Step>, &'static str> {
    if let Some(inside) = rest.strip_prefix("[?(") {
        let (condition, behind) = inside.split_once(")]").ok_or(BAD)?;
        *rest = behind;
        return filter(condition).map(|step| vec![step]);
    }
    let (inside, behind) = rest[1..].split_once(']').ok_or(BAD)?;
    *rest = behind;
    let place = |text: &str| text.trim().parse::<i64>().map_err(|_| BAD);
    if let Some(name) = inside.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        // Dots in it part fields, as elsewhere.
        let path = format!(".{name}");
        let mut rest = path.as_str();
        let inner = steps(&mut rest)?;
        return if rest.is_empty() { Ok(inner) } else { Err(BAD) };
    }
    if inside == "*" {
        return Ok(vec![Step::Slice { from: None, to: None, step: 1 }]);
    }
    if !inside.contains(':') {
        return Ok(vec![Step::Indices(inside.split(',').map(place).collect::<Result<_, _>>()?)]);
    }
    let optional = |text: Option<&str>| match text.map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => place(text).map(Some),
    };
    let mut parts = inside.split(':');
    let (from, to, step) = (optional(parts.next())?, optional(parts.next())?, optional(parts.next())?);
    let step = usize::try_from(step.unwrap_or(1)).ok().filter(|step| *step > 0).ok_or(BAD)?;
    match parts.next() {
        Some(_) => Err(BAD),
        None => Ok(vec![Step::Slice { from, to, step }]),
    }
}

const COMPARISONS: &[&str] = &["==", "!=", "<=", ">=", "<", ">"];

fn filter(condition: &str) -> Result<Step, &'static str> {
    let mut rest = condition.trim().strip_prefix('@').ok_or(BAD)?;
    let path = steps(&mut rest)?;
    if path.iter().any(|step| matches!(step, Step::Descend(_))) {
        return Err(BAD);
    }
    let rest = rest.trim_start();
    if rest.is_empty() {
        return Ok(Step::Has(path));
    }
    let comparison = *COMPARISONS.iter().find(|sign| rest.starts_with(**sign)).ok_or(BAD)?;
    let value = rest[comparison.len()..].trim();
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    let value = quoted('"').or(quoted('\'')).unwrap_or(value).to_owned();
    Ok(Step::Where { path, comparison, value })
}

fn find<'a>(steps: &[Step], value: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![value];
    for step in steps {
        found = found.into_iter().flat_map(|value| take(step, value)).take(MAX_FOUND).collect();
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
        Step::Indices(places) => {
            let Some(items) = value.as_array() else { return Vec::new() };
            let at = |place: &i64| if *place < 0 { *place + items.len() as i64 } else { *place };
            places.iter().filter_map(|place| items.get(usize::try_from(at(place)).ok()?)).collect()
        }
        Step::Slice { from, to, step } => {
            let Some(items) = value.as_array() else { return Vec::new() };
            let length = items.len() as i64;
            let at = |place: i64| (if place < 0 { place + length } else { place }).clamp(0, length) as usize;
            let (from, to) = (at(from.unwrap_or(0)), at(to.unwrap_or(length)));
            items.get(from..to).unwrap_or_default().iter().step_by(*step).collect()
        }
        Step::All => elements(),
        Step::Descend(name) => {
            let mut found: Vec<&'a Value> = value.get(name).into_iter().collect();
            found.extend(elements().into_iter().flat_map(|inner| take(step, inner)));
            found
        }
        Step::Has(path) => elements().into_iter().filter(|one| !find(path, one).is_empty()).collect(),
        Step::Where { path, comparison, value } => {
            let holds = |one: &&Value| {
                find(path, one).first().is_some_and(|found| compares(found, comparison, value))
            };
            elements().into_iter().filter(holds).collect()
        }
    }
}

fn compares(found: &Value, comparison: &str, wanted: &str) -> bool {
    let text = text_of(found);
    let order = match (found.as_f64(), wanted.parse::<f64>()) {
        (Some(found), Ok(wanted)) => found.partial_cmp(&wanted),
        _ => Some(text.as_str().cmp(wanted)),
    };
    order.is_some_and(|order| match comparison {
        "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<=" => order.is_le(),
        ">=" => order.is_ge(),
        "<" => order.is_lt(),
        _ => order.is_gt(),
    })
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
        check(".spec['list'][0].n", json!(["x"]));
        check(".spec['a.b']", json!([]));
        check(".spec.list[-1:].n", json!(["y"]));
        check(".spec.list[:1].n", json!(["x"]));
        check(".spec.list[1:0].n", json!([]));
        check(".spec.list[::2].n", json!(["x"]));
        check(".spec.list[1,0].n", json!(["y", "x"]));
        check(".spec.list[?(@.v>1)].n", json!(["y"]));
        check(".spec.list[?(@.v>=1)].n", json!(["x", "y"]));
        check(".spec.list[?(@.v<2)].n", json!(["x"]));
        check(".spec.list[?(@.n!=\"y\")].v", json!([1]));
        check("..type", json!(["Ready"]));
        check(".spec[*]", json!([]));
        check(".spec.a\\.b", json!([1]));
        check(".status.conditions[?(@.type==\"Ready\")].status", json!(["True"]));
        check(".status.conditions[?(@.type!='Ready')].status", json!([]));
        check(".nothing.there", json!([]));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [
            "a[",
            "",
            "a.b",
            ".a[",
            ".a[x]",
            ".a[?(@.x",
            ".a..",
            ".a[?(@.x ~ 1)]",
            ".a[1:2:0]",
            ".a..b..c",
            ".a[?(@..b)]",
            ".a[\"b\"]",
        ] {
            assert!(JsonPath::parse(text).is_err(), "{text}");
        }
    }
}
