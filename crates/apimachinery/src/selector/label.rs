//! Label selectors: the text of a query and the `LabelSelector` object.

use std::fmt;

use everynode_model::Value;

use super::error::SelectorError;
use super::lex::{Token, Word, words};
use crate::status::FieldError;
use crate::validate::names;

/// Requirements that all must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    matches_nothing: bool,
}

/// One requirement on a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Label.
    pub key: String,
    /// What must hold.
    pub operator: Operator,
    /// Values, sorted, each once.
    pub values: Vec<String>,
}

/// How a requirement looks at its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// The label has the value.
    Equals,
    /// The label is absent or has another value.
    NotEquals,
    /// The label has one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The label is an integer above the value.
    GreaterThan,
    /// The label is an integer below the value.
    LessThan,
}

const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

impl Requirement {
    /// Makes a requirement after checking its label and values.
    ///
    /// # Errors
    /// The label or a value breaks a rule, or the number of values does not fit the operator.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Requirement, SelectorError> {
        let mut errors = Vec::new();
        let messages = names::qualified_name(key);
        if !messages.is_empty() {
            errors.push(FieldError::invalid("key", key, &messages.join("; ")));
        }
        let wrong_count = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                "for 'in', 'notin' operators, values set can't be empty"
            }
            Operator::Equals | Operator::NotEquals if values.len() != 1 => {
                "exact-match compatibility requires one single value"
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                "values set must be empty for exists and does not exist"
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                "for 'Gt', 'Lt' operators, exactly one value is required"
            }
            _ => "",
        };
        if !wrong_count.is_empty() {
            let list: Value = values.iter().cloned().collect();
            errors.push(FieldError::invalid("values", list, wrong_count));
        }
        for (index, value) in values.iter().enumerate() {
            if matches!(operator, Operator::GreaterThan | Operator::LessThan) && value.parse::<i64>().is_err()
            {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid(format!("values[{index}]"), value.as_str(), detail));
            }
        }
        for (index, value) in values.iter().enumerate() {
            let messages = names::label_value(value);
            if !messages.is_empty() {
                let field = format!("values[{index}][{key}]");
                errors.push(FieldError::invalid(field, value.as_str(), &messages.join("; ")));
            }
        }
        let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
        match messages.as_slice() {
            [] => Ok(Requirement { key: key.into(), operator, values }),
            [only] => Err(SelectorError(only.clone())),
            several => Err(SelectorError(format!("[{}]", several.join(", ")))),
        }
    }

    /// Whether the requirement holds for the label's value, or its absence.
    pub fn matches(&self, label: Option<&str>) -> bool {
        let has = |value: &str| self.values.iter().any(|one| one == value);
        match self.operator {
            Operator::Equals | Operator::In => label.is_some_and(has),
            Operator::NotEquals | Operator::NotIn => !label.is_some_and(has),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let label = label.and_then(|label| label.parse::<i64>().ok());
                let bound = self.values.first().and_then(|value| value.parse::<i64>().ok());
                let (Some(label), Some(bound)) = (label, bound) else { return false };
                if self.operator == Operator::GreaterThan { label > bound } else { label < bound }
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let values = self.values.join(",");
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

impl LabelSelector {
    /// The selector that all objects match.
    pub fn everything() -> LabelSelector {
        LabelSelector { requirements: Vec::new(), matches_nothing: false }
    }

    /// The selector that no object matches: an absent `LabelSelector`.
    pub fn nothing() -> LabelSelector {
        LabelSelector { requirements: Vec::new(), matches_nothing: true }
    }

    /// Reads the text of a `labelSelector` query, such as `app=x,tier in (a,b),!old`.
    ///
    /// # Errors
    /// The text is no selector; the message is the API's.
    pub fn parse(text: &str) -> Result<LabelSelector, SelectorError> {
        let mut requirements = Parser { words: words(text), position: 0 }.parse().map_err(SelectorError)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(LabelSelector { requirements, matches_nothing: false })
    }

    /// Reads a `LabelSelector` object. Null selects nothing, the empty object everything.
    ///
    /// # Errors
    /// An operator is unknown, or a requirement breaks a rule.
    pub fn from_object(selector: &Value) -> Result<LabelSelector, SelectorError> {
        let Value::Object(object) = selector else { return Ok(LabelSelector::nothing()) };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let mut requirements = Vec::new();
        for (key, value) in object.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            requirements.push(Requirement::new(key, Operator::Equals, vec![text(value)])?);
        }
        for expression in object.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let operator = match &*text(&expression["operator"]) {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    let quoted = everynode_model::go_quote(other);
                    return Err(SelectorError(format!("{quoted} is not a valid label selector operator")));
                }
            };
            let values = expression["values"].as_array().into_iter().flatten().map(text).collect();
            requirements.push(Requirement::new(&text(&expression["key"]), operator, values)?);
        }
        Ok(LabelSelector { requirements, matches_nothing: false })
    }

    /// Whether all objects match.
    pub fn is_everything(&self) -> bool {
        !self.matches_nothing && self.requirements.is_empty()
    }

    /// The requirements.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether all requirements hold; `label` gives the value of a label.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.matches_nothing && self.requirements.iter().all(|one| one.matches(label(&one.key)))
    }

    /// Whether an object with these labels (the object `metadata.labels`, or null) matches.
    pub fn matches_labels(&self, labels: &Value) -> bool {
        self.matches(|key| labels.get(key).and_then(Value::as_str))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

struct Parser {
    words: Vec<Word>,
    position: usize,
}

impl Parser {
    /// The word at the cursor. `in` and `notin` are names where no operator is expected.
    fn peek(&self) -> Word {
        let mut word = self.words[self.position.min(self.words.len() - 1)].clone();
        if matches!(word.token, Token::In | Token::NotIn) {
            word.token = Token::Identifier;
        }
        word
    }

    fn next(&mut self) -> Word {
        let word = self.peek();
        self.position += 1;
        word
    }

    fn parse(mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            let word = self.peek();
            match word.token {
                Token::End => return Ok(requirements),
                Token::Identifier | Token::Not => {}
                _ => {
                    return Err(format!(
                        "found '{}', expected: !, identifier, or 'end of string'",
                        word.text
                    ));
                }
            }
            let requirement =
                self.requirement().map_err(|error| format!("unable to parse requirement: {error}"))?;
            requirements.push(requirement);
            let word = self.next();
            match word.token {
                Token::End => return Ok(requirements),
                Token::Comma => {
                    let after = self.peek();
                    if !matches!(after.token, Token::Identifier | Token::Not) {
                        return Err(format!("found '{}', expected: identifier after ','", after.text));
                    }
                }
                _ => return Err(format!("found '{}', expected: ',' or 'end of string'", word.text)),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let mut word = self.next();
        let is_negated = word.token == Token::Not;
        if is_negated {
            word = self.next();
        }
        if word.token != Token::Identifier {
            return Err(format!("found '{}', expected: identifier", word.text));
        }
        let key = word.text;
        let messages = names::qualified_name(&key);
        if !messages.is_empty() {
            return Err(FieldError::invalid("<nil>", key, &messages.join("; ")).to_string());
        }
        let make = |operator, values| Requirement::new(&key, operator, values).map_err(|error| error.0);
        if is_negated {
            return make(Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek().token, Token::End | Token::Comma) {
            return make(Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let mut values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        values.sort();
        values.dedup();
        make(operator, values)
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let word = self.words[self.position.min(self.words.len() - 1)].clone();
        self.position += 1;
        match word.token {
            Token::In => Ok(Operator::In),
            Token::NotIn => Ok(Operator::NotIn),
            Token::Equals => Ok(Operator::Equals),
            Token::NotEquals => Ok(Operator::NotEquals),
            Token::Greater => Ok(Operator::GreaterThan),
            Token::Less => Ok(Operator::LessThan),
            _ => Err(format!("found '{}', expected: {OPERATORS}", word.text)),
        }
    }

    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.peek().token, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        let word = self.next();
        match word.token {
            Token::Identifier => Ok(word.text),
            _ => Err(format!("found '{}', expected: identifier", word.text)),
        }
    }

    /// `(a,b)`; a value may be empty.
    fn values(&mut self) -> Result<Vec<String>, String> {
        let word = self.next();
        if word.token != Token::Open {
            return Err(format!("found '{}' expected: '('", word.text));
        }
        let first = self.peek();
        if !matches!(first.token, Token::Identifier | Token::Comma | Token::Close) {
            return Err(format!("found '{}', expected: ',', ')' or identifier", first.text));
        }
        let mut values = Vec::new();
        loop {
            let word = self.peek();
            match word.token {
                Token::Identifier => {
                    values.push(word.text);
                    self.position += 1;
                }
                Token::Comma | Token::Close => values.push(String::new()),
                _ => return Err(format!("found '{}', expected: ',', or identifier", word.text)),
            }
            let word = self.next();
            match word.token {
                Token::Comma => {}
                Token::Close => return Ok(values),
                _ => return Err(format!("found '{}', expected: ',' or ')'", word.text)),
            }
        }
    }
}
