//! Names that expressions know, and how names of fields are written in them.

use std::borrow::Cow;

use crate::ast::{ACCUMULATOR, Expr, Id, Literal, Node};
use crate::declare;

/// Words of the language that are values or operators.
const KEYWORDS: &[&str] = &["true", "false", "null", "in"];

/// Words that are no names.
pub const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// What stands behind two underscores for what no name can have.
const WRITTEN_OUT: &[(&str, &str)] =
    &[("underscores__", "__"), ("dot__", "."), ("dash__", "-"), ("slash__", "/")];

/// A field name as the schema has it: what no name of the language can be is written out.
pub fn unescape(name: &str) -> Cow<'_, str> {
    if !name.contains("__") {
        return name.into();
    }
    let inner = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    if let Some(inner) = inner.filter(|inner| KEYWORDS.contains(inner) || RESERVED.contains(inner)) {
        return inner.into();
    }
    let (mut plain, mut rest) = (String::new(), name);
    while let Some((before, behind)) = rest.split_once("__") {
        plain.push_str(before);
        let known = WRITTEN_OUT.iter().find_map(|(word, sign)| Some((behind.strip_prefix(word)?, sign)));
        let Some((behind, sign)) = known else {
            // It stands for no name.
            return name.into();
        };
        plain.push_str(sign);
        rest = behind;
    }
    plain.push_str(rest);
    plain.into()
}

/// Names that are there without being types.
const OTHER_NAMES: &[&str] = &["google", "optional", ACCUMULATOR];

/// The type of an expression that is a plain value, where it is not true or false.
pub fn literal_type(expr: &Expr) -> Option<&'static str> {
    match &expr.node {
        Node::Literal(literal) => match literal {
            Literal::Null => Some("null_type"),
            Literal::Bool(_) => None,
            Literal::Int(_) => Some("int"),
            Literal::Uint(_) => Some("uint"),
            Literal::Double(_) => Some("double"),
            Literal::Text(_) => Some("string"),
            Literal::Bytes(_) => Some("bytes"),
        },
        _ => None,
    }
}

/// The first name in an expression that is none of the known ones, with the part that it is.
pub fn free<'a>(expr: &'a Expr, known: &mut Vec<&'a str>) -> Option<(Id, &'a str)> {
    match &expr.node {
        Node::Ident(name) => {
            let is_known = declare::type_named(name).is_some()
                || OTHER_NAMES.contains(&name.as_str())
                || known.contains(&name.as_str());
            (!is_known).then_some((expr.id, name))
        }
        Node::Fold(fold) => {
            let outside = free(&fold.range, known).or_else(|| free(&fold.initial, known));
            outside.or_else(|| {
                let length = known.len();
                known.extend([fold.variable.as_str(), fold.accumulator.as_str()]);
                known.extend(fold.second.as_deref());
                let inside = [&fold.condition, &fold.step, &fold.result];
                let found = inside.into_iter().find_map(|one| free(one, known));
                known.truncate(length);
                found
            })
        }
        _ => expr.children().into_iter().find_map(|one| free(one, known)),
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
    }
}
