//! Label selectors that are checked: the text of a query, and `LabelSelector` objects.

use std::fmt::Display;

use serde_json::Value;

use super::error::SelectorError;
use super::words::{Token, Word, words};
use super::{LabelSelector, Operator, Requirement};
use crate::{encode, go_quote, names};

const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

/// A mistake as the API words it. `shown` is the value as JSON.
fn invalid(field: impl Display, shown: &str, why: &str) -> String {
    format!("{field}: Invalid value: {shown}: {why}")
}

impl Requirement {
    /// Makes a requirement after checking its label and values.
    ///
    /// # Errors
    /// The label or a value breaks a rule, or the number of values does not fit the operator.
    fn checked(key: &str, operator: Operator, values: Vec<String>) -> Result<Requirement, SelectorError> {
        let mut errors = Vec::new();
        let messages = names::qualified_name(key);
        if !messages.is_empty() {
            errors.push(invalid("key", &go_quote(key), &messages.join("; ")));
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
            Operator::Gt | Operator::Lt if values.len() != 1 => {
                "for 'Gt', 'Lt' operators, exactly one value is required"
            }
            _ => "",
        };
        if !wrong_count.is_empty() {
            let list: Value = values.iter().cloned().collect();
            errors.push(invalid("values", &encode::to_text(&list), wrong_count));
        }
        for (index, value) in values.iter().enumerate() {
            if matches!(operator, Operator::Gt | Operator::Lt) && value.parse::<i64>().is_err() {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(invalid(format!("values[{index}]"), &go_quote(value), detail));
            }
        }
        for (index, value) in values.iter().enumerate() {
            let messages = names::label_value(value);
            if !messages.is_empty() {
                let field = format!("values[{index}][{key}]");
                errors.push(invalid(field, &go_quote(value), &messages.join("; ")));
            }
        }
        match errors.as_slice() {
            [] => Ok(Requirement { key: key.into(), operator, values }),
            [only] => Err(SelectorError(only.clone())),
            several => Err(SelectorError(format!("[{}]", several.join(", ")))),
        }
    }
}

impl LabelSelector {
    /// Reads the text of a `labelSelector` query, such as `app=x,tier in (a,b),!old`.
    ///
    /// # Errors
    /// The text is no selector; the message is the API's.
    pub fn parse(text: &str) -> Result<LabelSelector, SelectorError> {
        let mut requirements = Parser { words: words(text), position: 0 }.parse().map_err(SelectorError)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(LabelSelector::of(requirements))
    }

    /// Reads a `LabelSelector` object. Null selects nothing, the empty object everything.
    ///
    /// # Errors
    /// An operator is unknown, or a requirement breaks a rule.
    pub fn from_object(selector: &Value) -> Result<LabelSelector, SelectorError> {
        let Value::Object(object) = selector else { return Ok(LabelSelector::Nothing) };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let mut requirements = Vec::new();
        for (key, value) in object.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            requirements.push(Requirement::checked(key, Operator::Equals, vec![text(value)])?);
        }
        for expression in object.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let operator = match &*text(&expression["operator"]) {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    let quoted = go_quote(other);
                    return Err(SelectorError(format!("{quoted} is not a valid label selector operator")));
                }
            };
            let values = expression["values"].as_array().into_iter().flatten().map(text).collect();
            requirements.push(Requirement::checked(&text(&expression["key"]), operator, values)?);
        }
        Ok(LabelSelector::of(requirements))
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
            return Err(invalid("<nil>", &go_quote(&key), &messages.join("; ")));
        }
        let make = |operator, values| Requirement::checked(&key, operator, values).map_err(|error| error.0);
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
            Token::Greater => Ok(Operator::Gt),
            Token::Less => Ok(Operator::Lt),
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
