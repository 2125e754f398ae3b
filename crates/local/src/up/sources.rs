//! The files that `up -f` names, and the documents in them.

use std::io::Read;
use std::path::{Path, PathBuf};

use everynode_apimachinery::manifest;
use everynode_model::Value;

/// The largest manifest file that is read, in bytes. Objects of the API are limited to 3 MiB each.
const FILE_LIMIT_BYTES: u64 = 64 << 20;

/// One object of a manifest file, with the place it came from.
#[derive(Debug, Clone)]
pub struct Document {
    /// File and line, such as `examples/agent.yaml:12`.
    pub place: String,
    /// The object.
    pub object: Value,
    /// What is odd about it and was read nevertheless, with its place.
    pub warnings: Vec<SourceError>,
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
    let unlisted = |error: std::io::Error| refuse(format!("cannot be listed: {error}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unlisted)? {
        let file = entry.map_err(unlisted)?.path();
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if matches!(extension, "yaml" | "yml" | "json") {
            files.push(file);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(refuse("holds no .yaml, .yml or .json file".into())),
        false => Ok(files),
    }
}

fn read_file(file: &Path, documents: &mut Vec<Document>, errors: &mut Vec<SourceError>) {
    let text = match std::fs::metadata(file) {
        Ok(metadata) if metadata.is_dir() => {
            Err("is a directory, and those below are not read: name it".into())
        }
        Ok(_) => std::fs::File::open(file).map_err(unreadable).and_then(read_text),
        Err(error) => Err(unreadable(error)),
    };
    take_text(&file.display().to_string(), text, documents, errors);
}

fn read_standard_input(documents: &mut Vec<Document>, errors: &mut Vec<SourceError>) {
    take_text("standard input", read_text(std::io::stdin().lock()), documents, errors);
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
            Ok(document) => documents.push(Document {
                place: place(document.line),
                object: document.value,
                warnings: document
                    .warnings
                    .into_iter()
                    .map(|one| SourceError { place: place(one.line), message: one.message })
                    .collect(),
            }),
            Err(error) => errors.push(SourceError { place: place(error.line), message: error.message }),
        }
    }
}

/// Reads to the end, which a pipe may not have.
fn read_text(from: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    let length = from.take(FILE_LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if length as u64 > FILE_LIMIT_BYTES {
        return Err(format!("has more than the {FILE_LIMIT_BYTES} bytes that are read"));
    }
    manifest::text_of(bytes).map_err(|error| error.to_string())
}

fn unreadable(error: std::io::Error) -> String {
    format!("cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_directory_names_and_cannot_be_read_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("a.yaml"), "kind: A\n").unwrap();
        std::fs::write(at("b.txt"), "no manifest").unwrap();
        std::fs::create_dir(at("c.yaml")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("d.yaml")).unwrap();
        std::os::unix::fs::symlink(at("a.yaml"), at("e.yml")).unwrap();
        let (documents, errors) = read(&[directory.path().to_owned()]);
        let places: Vec<String> = documents.into_iter().map(|document| document.place).collect();
        assert_eq!(places, [at("a.yaml"), at("e.yml")].map(|path| format!("{}:1", path.display())));
        let errors: Vec<(String, String)> =
            errors.into_iter().map(|error| (error.place, error.message)).collect();
        let place = |name: &str| at(name).display().to_string();
        assert_eq!(
            errors[0],
            (place("c.yaml"), "is a directory, and those below are not read: name it".into())
        );
        assert_eq!(errors[1].0, place("d.yaml"));
        assert_eq!(errors.len(), 2);
    }
}
