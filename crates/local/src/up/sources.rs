//! The files that `up -f` names, and the documents in them.

use std::io::Read;
use std::path::{Path, PathBuf};

use everynode_wire::Value;
use everynode_wire::manifest;

/// The largest manifest file that is read, in bytes. Objects of the API are limited to 3 MiB each.
const FILE_LIMIT_BYTES: u64 = 64 << 20;

/// One object of a manifest file, with the place it came from.
#[derive(Debug, Clone)]
pub struct Document {
    /// File and line, such as `examples/agent.yaml:12`.
    pub place: String,
    /// The object.
    pub object: Value,
}

/// A file or document that cannot be used. The others are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct SourceError {
    /// File, and line where there is one.
    pub place: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Everything that the named files and directories hold, in order, and what could not be read. A directory
/// gives its `.yaml`, `.yml` and `.json` files by name, not those of its subdirectories, as kubectl does.
pub fn read(paths: &[PathBuf]) -> (Vec<Document>, Vec<SourceError>) {
    let (mut documents, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        if path.as_os_str() == "-" {
            read_standard_input(&mut documents, &mut errors);
            continue;
        }
        match files_of(path) {
            Ok(files) => files.iter().for_each(|file| read_file(file, &mut documents, &mut errors)),
            Err(error) => errors.push(error),
        }
    }
    (documents, errors)
}

/// The documents of a manifest that is there as text; `name` stands for the file in their places.
///
/// # Errors
/// The first document that cannot be read.
pub fn parse(name: &str, text: &str) -> Result<Vec<Document>, SourceError> {
    let (mut documents, mut errors) = (Vec::new(), Vec::new());
    take_text(name, Ok(text.to_owned()), &mut documents, &mut errors);
    match errors.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(documents),
    }
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let refuse = |message: String| SourceError { place: path.display().to_string(), message };
    if path.to_str().is_some_and(|text| text.starts_with("http://") || text.starts_with("https://")) {
        return Err(refuse("is a URL, and `up` fetches nothing: download it and name the file".into()));
    }
    let metadata = std::fs::metadata(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| refuse(format!("cannot be listed: {error}")))?;
    let is_manifest = |file: &PathBuf| {
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        file.is_file() && matches!(extension, "yaml" | "yml" | "json")
    };
    let mut files: Vec<_> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).filter(is_manifest).collect();
    files.sort();
    match files.is_empty() {
        true => Err(refuse("holds no .yaml, .yml or .json file".into())),
        false => Ok(files),
    }
}

fn read_file(file: &Path, documents: &mut Vec<Document>, errors: &mut Vec<SourceError>) {
    take_text(&file.display().to_string(), read_text(file), documents, errors);
}

fn read_standard_input(documents: &mut Vec<Document>, errors: &mut Vec<SourceError>) {
    let mut bytes = Vec::new();
    let text = match std::io::stdin().lock().take(FILE_LIMIT_BYTES + 1).read_to_end(&mut bytes) {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(length) if length as u64 > FILE_LIMIT_BYTES => Err(too_long()),
        Ok(_) => utf8(bytes),
    };
    take_text("standard input", text, documents, errors);
}

fn take_text(
    name: &str,
    text: Result<String, String>,
    documents: &mut Vec<Document>,
    errors: &mut Vec<SourceError>,
) {
    let place = |line: usize| format!("{name}:{line}");
    let text = match text {
        Ok(text) => text,
        Err(message) => return errors.push(SourceError { place: name.to_owned(), message }),
    };
    for document in manifest::documents(&text) {
        match document {
            Ok(document) => documents.push(Document { place: place(document.line), object: document.value }),
            Err(error) => errors.push(SourceError { place: place(error.line), message: error.message }),
        }
    }
}

fn read_text(file: &Path) -> Result<String, String> {
    let length = std::fs::metadata(file).map_err(|error| format!("cannot be read: {error}"))?.len();
    if length > FILE_LIMIT_BYTES {
        return Err(too_long());
    }
    utf8(std::fs::read(file).map_err(|error| format!("cannot be read: {error}"))?)
}

fn too_long() -> String {
    format!("has more than the {FILE_LIMIT_BYTES} bytes that are read")
}

fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        format!("is not UTF-8 text (byte {}); save it as UTF-8", error.utf8_error().valid_up_to())
    })
}
