//! Names that expressions know, and how names of fields are written in them.

use std::borrow::Cow;

use crate::parse::Expr;

/// Names of types; a value of such a type calls its own the same.
const TYPES: &[&str] = &["int", "double", "string", "bool", "list", "map", "null_type"];

/// The type of that name.
pub fn type_of_name(name: &str) -> Option<&'static str> {
    TYPES.iter().find(|known| **known == name).copied()
}

/// A field name as the schema has it: what no name of the language can be is written out.
pub fn unescape(name: &str) -> Cow<'_, str> {
    if !name.contains("__") {
        return name.into();
    }
    let plain = name.replace("__dot__", ".").replace("__dash__", "-").replace("__slash__", "/");
    let reserved = plain.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    reserved.unwrap_or(&plain).replace("__underscores__", "__").into()
}

/// Names of types that are there without being worked out here.
const OTHER_TYPES: &[&str] = &["bytes", "duration", "dyn", "google", "optional", "timestamp", "type", "uint"];

/// The type of an expression that is a plain value, where it is not true or false.
pub fn literal_type(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::Null => Some("null_type"),
        Expr::Int(_) => Some("int"),
        Expr::Double(_) => Some("double"),
        Expr::Text(_) => Some("string"),
        _ => None,
    }
}

/// The first name in an expression that is none of the known ones.
pub fn free<'a>(expr: &'a Expr, known: &mut Vec<&'a str>) -> Option<&'a str> {
    match expr {
        Expr::Null | Expr::Bool(_) | Expr::Int(_) | Expr::Double(_) | Expr::Text(_) => None,
        Expr::Name(name) => {
            let is_type = type_of_name(name).is_some() || OTHER_TYPES.contains(&name.as_str());
            let is_known = is_type || known.contains(&name.as_str());
            (!is_known).then_some(name)
        }
        Expr::Map(entries) => {
            entries.iter().find_map(|(key, value)| free(key, known).or_else(|| free(value, known)))
        }
        Expr::List(all) | Expr::Call(_, all) => all.iter().find_map(|one| free(one, known)),
        Expr::Method(target, _, all) => {
            free(target, known).or_else(|| all.iter().find_map(|one| free(one, known)))
        }
        Expr::Field(one, _) | Expr::Has(one, _) | Expr::Not(one) | Expr::Minus(one) => free(one, known),
        Expr::Index(a, b) | Expr::And(a, b) | Expr::Or(a, b) | Expr::Binary(_, a, b) => {
            free(a, known).or_else(|| free(b, known))
        }
        Expr::If(a, b, c) => [a, b, c].into_iter().find_map(|one| free(one, known)),
        Expr::Loop { range, variable, filter, body, .. } => {
            let in_range = free(range, known);
            in_range.or_else(|| {
                known.push(variable);
                let found = filter.iter().chain([body]).find_map(|one| free(one, known));
                known.pop();
                found
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check_condition;

    fn check(text: &str, expected: Option<&str>) {
        let found = check_condition(text, &["object", "request"]);
        let said = found.err().map(|why| why.lines().next().unwrap_or_default().to_owned());
        assert_eq!(said.as_deref(), expected, "{text}");
    }

    #[test]
    fn names_that_nobody_knows_are_found_wherever_they_stand() {
        check("has(object.metadata.labels) && request.kind.group != ''", None);
        check("object.spec.containers.all(c, c.image.startsWith('a/'))", None);
        check("type(object.a) == string", None);
        check("1", Some("must evaluate to bool but got int"));
        let unknown =
            "compilation failed: ERROR: <input>:1:1: undeclared reference to 'that' (in container '')";
        check("that.is == 1", Some(unknown));
        let unknown =
            "compilation failed: ERROR: <input>:1:22: undeclared reference to 'd' (in container '')";
        check("object.a.all(c, c == d)", Some(unknown));
        check(
            "object.a == ",
            Some("compilation failed: ERROR: <input>:1:13: Syntax error: unexpected '<EOF>'"),
        );
    }
}
