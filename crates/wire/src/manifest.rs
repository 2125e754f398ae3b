//! Manifests: YAML or JSON text to objects, read as kubectl reads them.

mod scalar;
mod yaml;

pub use yaml::{Yaml, YamlError, parse_yaml};

use crate::{Value, decode};

/// One object of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The line on which its document begins, counted from 1.
    pub line: usize,
    /// The object, its fields sorted when it came from YAML.
    pub value: Value,
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

/// Reads all documents of a text. Empty documents are skipped, lists (`kind: List`) give one document per
/// item, and keys that stand twice are a mistake.
pub fn documents(text: &str) -> Vec<Result<Document, DocumentError>> {
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{')
        && let Ok(values) = decode::parse_json_stream(text.as_bytes())
    {
        return values.into_iter().flat_map(|value| expand(Document { line: 1, value })).map(Ok).collect();
    }
    let mut results = Vec::new();
    for (index, chunk) in split(text).into_iter().enumerate() {
        match read(&chunk) {
            Ok(None) => {}
            Ok(Some(document)) => results.extend(expand(document).into_iter().map(Ok)),
            Err((line, message)) => results.push(Err(DocumentError { document: index + 1, line, message })),
        }
    }
    results
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

fn is_blank(line: &str) -> bool {
    let line = line.trim();
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
    if let Some((line, key)) = yaml.duplicates.first() {
        let line = chunk.lines_before + line;
        return Err((line, format!("key {} already set in map", crate::status::go_quote(key))));
    }
    if yaml.value.is_null() {
        return Ok(None);
    }
    let blank_lines = chunk.text.lines().take_while(|line| is_blank(line)).count();
    Ok(Some(Document { line: chunk.lines_before + blank_lines + 1, value: yaml.value }))
}

/// The items of a list; any other document stands for itself.
fn expand(document: Document) -> Vec<Document> {
    let kind = document.value.get("kind").and_then(Value::as_str).unwrap_or_default();
    match document.value.get("items") {
        Some(Value::Array(items)) if kind.ends_with("List") => {
            let line = document.line;
            items.iter().map(|item| Document { line, value: item.clone() }).collect()
        }
        _ => vec![document],
    }
}

#[cfg(test)]
mod tests;
