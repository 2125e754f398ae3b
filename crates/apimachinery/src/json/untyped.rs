//! JSON without a type, such as a patch, with the fields that stand twice.

use everynode_model::{Object, Value};

use super::parser::{Parser, Token};

/// Problems that are reported.
const MAX_PROBLEMS: usize = 100;

/// A reader that keeps track of the path.
pub struct Reader<'a> {
    parser: Parser<'a>,
    path: String,
    pub problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { parser: Parser::new(bytes), path: String::new(), problems: Vec::new() }
    }

    /// Bytes that were read.
    pub fn position(&self) -> usize {
        self.parser.position()
    }

    pub fn end(&mut self) -> Result<(), String> {
        self.parser.end()
    }

    pub fn value(&mut self) -> Result<Value, String> {
        match self.parser.token()? {
            Token::Object => self.object(),
            Token::Array => self.array(),
            _ => self.parser.value(),
        }
    }

    fn object(&mut self) -> Result<Value, String> {
        let mut object = Object::new();
        let length = self.path.len();
        let mut key = self.parser.first_key()?;
        while let Some(name) = key {
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(&name);
            if object.contains_key(&*name) {
                let problem = format!("duplicate field {}", everynode_model::go_quote(&self.path));
                if self.problems.len() < MAX_PROBLEMS && !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
            }
            let value = self.value()?;
            self.path.truncate(length);
            object.insert(name.into_owned(), value);
            key = self.parser.next_key()?;
        }
        Ok(Value::Object(object))
    }

    fn array(&mut self) -> Result<Value, String> {
        let mut items = Vec::new();
        let length = self.path.len();
        let mut more = self.parser.first_element()?;
        while more {
            self.path.push_str(&format!("[{}]", items.len()));
            items.push(self.value()?);
            self.path.truncate(length);
            more = self.parser.next_element()?;
        }
        Ok(Value::Array(items))
    }
}
