//! Validation rules of a schema.

use everynode_cel::{Outcome, Program, Type};
use everynode_model::Value;
use everynode_model::access::Read;

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// The expression.
    pub text: String,
    /// What is said of a value that breaks it; empty where nothing is set.
    pub message: String,
    /// The reason of the refusal; empty where nothing is set.
    pub reason: String,
    /// Where the mistake is shown, from the value of the rule on.
    pub field_path: String,
    /// The rule, or what is wrong with it.
    pub program: Result<Program, String>,
    /// The expression that words the refusal, or what is wrong with it.
    pub message_program: Option<Result<Program, String>>,
}

impl Rule {
    /// Reads a rule about values of a type.
    pub fn new(rule: &Value, ty: &dyn Type) -> Rule {
        let text = rule.text("rule").trim();
        let expression = rule.text("messageExpression");
        let message_program = (!expression.is_empty()).then(|| Program::new(expression, ty, Outcome::Text));
        Rule {
            text: text.to_owned(),
            message: rule.text("message").trim().to_owned(),
            reason: rule.text("reason").to_owned(),
            field_path: rule.text("fieldPath").to_owned(),
            program: Program::new(text, ty, Outcome::Bool),
            message_program,
        }
    }

    /// Whether the rule compares with the value as it was.
    pub fn is_transition(&self) -> bool {
        self.program.as_ref().is_ok_and(|program| program.is_transition)
    }
}
