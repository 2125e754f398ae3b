//! One YAML document to a JSON value.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use everynode_model::{Object, Value};
use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StrInput, StructureStyle, Tag};

use super::error::YamlError;
use super::scalar::resolve;
use super::tabs::Tabs;

/// Nesting that is read.
const MAX_DEPTH: usize = 250;

/// Values that aliases may add to one document: an anchor that holds aliases to anchors grows without end.
const MAX_ALIASED_VALUES: usize = 200_000;

/// A document, with what strict reading refuses.
#[derive(Debug, Clone, PartialEq)]
pub struct Yaml {
    /// The value; the fields of its objects are sorted.
    pub value: Value,
    /// Line (counted from 1) and name of each key that stands twice in its map. The last one counts.
    pub duplicates: Vec<(usize, String)>,
}

impl Yaml {
    /// What the API's strict decoding says of keys that stand twice.
    pub fn strict_error(&self) -> Option<String> {
        if self.duplicates.is_empty() {
            return None;
        }
        let mut message = String::from("yaml: unmarshal errors:");
        for (line, key) in &self.duplicates {
            let key = everynode_model::go_quote(key);
            message.push_str(&format!("\n  line {line}: key {key} already set in map"));
        }
        Some(message)
    }
}

/// Reads the first document of a text by the YAML 1.1 rules that kubectl follows: `0640` is octal, `yes` and
/// `off` are booleans, `<<` merges maps. An empty text is null.
///
/// # Errors
/// The text is no YAML, or holds what JSON cannot.
pub fn parse_yaml(text: &str) -> Result<Yaml, YamlError> {
    // Another crate of a build may switch the parser's comments on; they are no data.
    let mut options = Options::default();
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader {
        parser,
        anchors: HashMap::new(),
        duplicates: Vec::new(),
        aliased: 0,
        depth: 0,
        tabs: Tabs::of(text),
        last_line: 0,
    };
    let value = reader.document()?;
    reader.tabs.check()?;
    Ok(Yaml { value, duplicates: reader.duplicates })
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Value>,
    duplicates: Vec<(usize, String)>,
    aliased: usize,
    depth: usize,
    tabs: Tabs,
    /// The line on which the last event ended.
    last_line: usize,
}

fn fail<T>(span: Span, problem: impl Into<String>) -> Result<T, YamlError> {
    Err(YamlError { line: span.start.line(), problem: problem.into() })
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                self.last_line = span.end.line();
                Ok((event, span))
            }
            Some(Err(error)) => {
                Err(YamlError { line: error.marker().line(), problem: error.info().to_string() })
            }
            None => Err(YamlError { line: 1, problem: "unexpected end of the document".into() }),
        }
    }

    fn document(&mut self) -> Result<Value, YamlError> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(Value::Null),
                (event, span) => {
                    let value = self.node(event, span)?;
                    // Reads on to the end of the document, for mistakes behind the value.
                    self.next()?;
                    return Ok(value);
                }
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Value, YamlError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return fail(span, "exceeded max depth");
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                // Text that goes on in further lines is indented by a space at least, before it may hold tabs.
                let is_quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
                self.tabs.allow(span.start.line(), span.end.line(), usize::from(!is_quoted));
                (scalar(&text, style, tag.as_deref(), span)?, anchor)
            }
            Event::SequenceStart(style, anchor, _) => {
                let value = self.sequence()?;
                self.allow_tabs_in(style, span);
                (value, anchor)
            }
            Event::MappingStart(style, anchor, _) => {
                let value = self.mapping()?;
                self.allow_tabs_in(style, span);
                (value, anchor)
            }
            Event::Alias(anchor) => (self.alias(anchor, span)?, 0),
            _ => return fail(span, "did not find expected node content"),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        self.depth -= 1;
        Ok(value)
    }

    /// Between braces and brackets tabs are spaces. The parser has just read the last of them.
    fn allow_tabs_in(&mut self, style: StructureStyle, start: Span) {
        if style == StructureStyle::Flow && !self.tabs.are_none() {
            self.tabs.allow(start.start.line(), self.last_line, 0);
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<Value, YamlError> {
        let Some(value) = self.anchors.get(&anchor) else {
            return fail(span, "anchor contains itself or is unknown");
        };
        self.aliased += count(value);
        if self.aliased > MAX_ALIASED_VALUES {
            return fail(span, "document contains excessive aliasing");
        }
        Ok(value.clone())
    }

    fn sequence(&mut self) -> Result<Value, YamlError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(items)),
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn mapping(&mut self) -> Result<Value, YamlError> {
        let mut object = Object::new();
        // Keys of the map itself, which may differ from merged ones.
        let mut own_keys = HashSet::new();
        loop {
            let (event, key_span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                object.sort_keys();
                return Ok(Value::Object(object));
            }
            let is_merge = is_merge(&event);
            let key = self.node(event, key_span)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            if is_merge {
                merge(&mut object, value, span)?;
                continue;
            }
            let key = key_text(key, key_span)?;
            if !own_keys.insert(key.clone()) {
                self.duplicates.push((span.start.line(), key.clone()));
            }
            object.insert(key, value);
        }
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

fn is_merge(event: &Event<'_>) -> bool {
    match event {
        Event::Scalar(text, ScalarStyle::Plain, _, tag) => {
            text == "<<" && tag.as_ref().is_none_or(|tag| tag.suffix() == "merge")
        }
        _ => false,
    }
}

/// Takes over the fields of a map, or of all maps of a list, of which the first counts most.
fn merge(object: &mut Object, value: Value, span: Span) -> Result<(), YamlError> {
    match value {
        Value::Object(fields) => {
            object.extend(fields);
            Ok(())
        }
        Value::Array(items) => items.into_iter().rev().try_for_each(|item| match item {
            Value::Object(fields) => {
                object.extend(fields);
                Ok(())
            }
            _ => fail(span, "map merge requires map or sequence of maps as the value"),
        }),
        _ => fail(span, "map merge requires map or sequence of maps as the value"),
    }
}

/// JSON has text keys only; other scalars are written as text.
fn key_text(key: Value, span: Span) -> Result<String, YamlError> {
    match key {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null => fail(span, "unsupported map key of type: <nil>"),
        Value::Array(_) | Value::Object(_) => fail(span, "invalid map key"),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Value, YamlError> {
    let tag = tag.map(|tag| (tag.handle(), tag.suffix()));
    match tag {
        Some(("tag:yaml.org,2002:", "str")) | Some(("!", "")) => Ok(text.into()),
        Some(("tag:yaml.org,2002:", "binary")) => {
            let bytes =
                base64::engine::general_purpose::STANDARD.decode(text.replace(char::is_whitespace, ""));
            match bytes {
                Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned().into()),
                Err(_) => fail(span, "!!binary value contains invalid base64 data"),
            }
        }
        Some(("tag:yaml.org,2002:", "int" | "float" | "bool" | "null")) => Ok(resolve(text)),
        _ if style != ScalarStyle::Plain => Ok(text.into()),
        _ if matches!(
            text.trim_start_matches(['+', '-']),
            ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN"
        ) =>
        {
            fail(span, format!("json: unsupported value: {text}"))
        }
        _ => Ok(resolve(text)),
    }
}
