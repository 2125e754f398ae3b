//! Validation rules of a schema.

use everynode_cel::{Old, Outcome, Patterns, Program, Type};
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
    /// Whether the value as it was is an optional, so that the rule holds for new values too.
    pub is_optional: bool,
    /// The rule, or what is wrong with it.
    pub program: Result<Program, String>,
    /// The expression that words the refusal, or what is wrong with it.
    pub message_program: Option<Result<Program, String>>,
}

impl Rule {
    /// Reads a rule about values of a type.
    pub fn new(rule: &Value, ty: &dyn Type, patterns: &mut Patterns) -> Rule {
        let text = rule.text("rule").trim();
        let expression = rule.text("messageExpression");
        let is_optional = rule.flag("optionalOldSelf");
        let old = if is_optional { Old::Optional } else { Old::Value };
        let mut program = |text: &str, outcome| Program::new(text, ty, (outcome, old), patterns);
        let message_program = (!expression.is_empty()).then(|| program(expression, Outcome::Message));
        Rule {
            text: text.to_owned(),
            message: rule.text("message").trim().to_owned(),
            reason: rule.text("reason").to_owned(),
            field_path: rule.text("fieldPath").to_owned(),
            program: program(rule.text("rule"), Outcome::Rule),
            is_optional,
            message_program,
        }
    }
}
