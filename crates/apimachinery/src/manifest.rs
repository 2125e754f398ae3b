//! Manifests: YAML or JSON text to objects, read as kubectl reads them.

mod error;
mod scalar;
mod tabs;
mod text;
mod yaml;

pub use error::YamlError;
pub use text::{TextError, text_of};
pub use yaml::{Yaml, parse_yaml};

use everynode_model::Value;

use crate::json;

/// One object of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The line on which its document begins, counted from 1.
    pub line: usize,
    /// The object, its fields sorted when it came from YAML.
    pub value: Value,
    /// What is odd in its document and was read nevertheless; of a list only its first object has them.
    pub warnings: Vec<Warning>,
}

/// A mistake in a document that did not keep it from being read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Warning {
    /// The line of the mistake in the text, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// A document that could not be read. The others of the file stand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("document {document}, line {line}: {message}")]
pub struct DocumentError {
    /// Which document of the text, counted from 1.
    pub document: usize,
    /// The line of the mistake in the text, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads all documents of a text. Empty documents are skipped, and lists (`kind: List`, `kind: DaemonSetList`) give
/// one document per item. A text that begins with `{` is JSON: objects that follow each other; behind a line
/// `---` it goes on as YAML.
pub fn documents(text: &str) -> Vec<Result<Document, DocumentError>> {
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Found::default();
    let json = Place { offset: 0, lines_before: 0 };
    let yaml = if text.trim_start().starts_with('{') { found.read_json(text, json) } else { Some(json) };
    let Some(Place { offset, lines_before }) = yaml else { return found.results };
    for chunk in split(&text[offset..]) {
        found.documents += 1;
        match read(&chunk) {
            Ok(None) => {}
            Ok(Some(document)) => found.add(document.at(lines_before)),
            Err((line, message)) => found.fail(lines_before + line, message),
        }
    }
    found.results
}

/// A place in a text.
#[derive(Clone, Copy)]
struct Place {
    /// Bytes before it.
    offset: usize,
    /// Lines before it.
    lines_before: usize,
}

/// What was read so far.
#[derive(Default)]
struct Found {
    results: Vec<Result<Document, DocumentError>>,
    documents: usize,
}

impl Found {
    fn fail(&mut self, line: usize, message: String) {
        self.results.push(Err(DocumentError { document: self.documents, line, message }));
    }

    /// Adds an object, or each item of a list.
    fn add(&mut self, mut document: Document) {
        let line = document.line;
        if !document.value.is_object() {
            let found = json::type_name(&document.value);
            return self
                .fail(line, format!("a document must be an object with apiVersion and kind, found {found}"));
        }
        let text = |name: &str| document.value[name].as_str().unwrap_or_default().to_owned();
        let (kind, api_version) = (text("kind"), text("apiVersion"));
        let Some(item_kind) = kind.strip_suffix("List").filter(|_| document.value.get("items").is_some())
        else {
            return self.results.push(Ok(document));
        };
        if api_version.is_empty() {
            return self.fail(line, format!("{kind}: apiVersion not set"));
        }
        let items = match document.value["items"].take() {
            Value::Array(items) => items,
            Value::Null => Vec::new(),
            other => {
                let found = json::type_name(&other);
                return self.fail(line, format!("{kind}: items must be an array, found {found}"));
            }
        };
        for mut value in items {
            complete(&mut value, item_kind, &api_version);
            self.add(Document { line, value, warnings: std::mem::take(&mut document.warnings) });
        }
    }

    /// Reads JSON objects that follow each other. Gives the place where YAML goes on, if it does.
    fn read_json(&mut self, text: &str, mut place: Place) -> Option<Place> {
        loop {
            let rest = &text[place.offset..];
            let space = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            let begins_line = place.offset == 0 || rest[..space].contains('\n');
            place.lines_before += lines(&rest[..space]);
            place.offset += space;
            let rest = &rest[space..];
            if rest.is_empty() || (begins_line && rest.starts_with("---")) {
                return Some(place);
            }
            self.documents += 1;
            let line = place.lines_before + 1;
            match json::parse_prefix(rest.as_bytes()) {
                Ok((mut value, problems, length)) => {
                    scalar::as_kubectl_sends(&mut value);
                    let warning = |message| Warning { line, message };
                    let warnings = problems.into_iter().map(warning).collect();
                    self.add(Document { line, value, warnings });
                    place.offset += length;
                    place.lines_before += lines(&rest[..length]);
                }
                Err((length, error)) => {
                    let mistaken = rest.get(..length).map_or(0, lines);
                    self.fail(line + mistaken, format!("error parsing JSON: {error}"));
                    return None;
                }
            }
        }
    }
}

impl Document {
    /// The document, `lines` further down.
    fn at(mut self, lines: usize) -> Document {
        self.line += lines;
        self.warnings.iter_mut().for_each(|warning| warning.line += lines);
        self
    }
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// Gives an item of a typed list that says neither kind nor version those of the list. As with kubectl, one that says
/// half of them is left as it is, and refused.
fn complete(item: &mut Value, kind: &str, api_version: &str) {
    let Value::Object(fields) = item else { return };
    let is_set = |name: &str| fields.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    if !kind.is_empty() && !is_set("kind") && !is_set("apiVersion") {
        fields.insert("kind".into(), kind.into());
        fields.insert("apiVersion".into(), api_version.into());
    }
}

/// The text of one document.
struct Chunk<'a> {
    /// Lines before it.
    lines_before: usize,
    text: &'a str,
    /// A separator with something behind it that is not allowed there.
    bad_separator: Option<&'a str>,
}

/// Splits a text at lines that begin with `---`, as kubectl does.
fn split(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let (mut start, mut offset, mut lines_before) = (0, 0, 0);
    let mut bad_separator = None;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if let Some(rest) = line.strip_prefix("---") {
            chunks.push(Chunk { lines_before, text: &text[start..offset], bad_separator });
            let rest = rest.trim();
            bad_separator = (!rest.is_empty() && !rest.starts_with('#')).then_some(rest);
            start = offset + line.len();
            lines_before = index + 1;
        }
        offset += line.len();
    }
    chunks.push(Chunk { lines_before, text: &text[start..], bad_separator });
    // What stands before the first separator is a document only if there is something in it.
    if chunks.len() > 1 && chunks[0].text.lines().all(is_blank) {
        chunks.remove(0);
    }
    chunks
}

/// Whether there is nothing in a line. A tab is something: nothing may be indented by it.
fn is_blank(line: &str) -> bool {
    let line = line.trim_end_matches(['\r', '\n']).trim_start_matches(' ');
    line.is_empty() || line.starts_with('#')
}

fn read(chunk: &Chunk<'_>) -> Result<Option<Document>, (usize, String)> {
    if let Some(rest) = chunk.bad_separator {
        return Err((chunk.lines_before, format!("invalid Yaml document separator: {rest}")));
    }
    let yaml = parse_yaml(chunk.text).map_err(|error| {
        let line = chunk.lines_before + error.line;
        (line, format!("error converting YAML to JSON: {error}"))
    })?;
    if yaml.value.is_null() {
        return Ok(None);
    }
    let warning = |(line, key): &(usize, String)| Warning {
        line: chunk.lines_before + line,
        message: format!("key {} already set in map; the last one counts", everynode_model::go_quote(key)),
    };
    let warnings = yaml.duplicates.iter().map(warning).collect();
    let blank_lines = chunk.text.lines().take_while(|line| is_blank(line)).count();
    Ok(Some(Document { line: chunk.lines_before + blank_lines + 1, value: yaml.value, warnings }))
}

#[cfg(test)]
mod tests;
