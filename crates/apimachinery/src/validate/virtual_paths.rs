//! Warnings about files of one volume that lie over or within each other.

use std::collections::HashSet;

use everynode_model::Value;
use everynode_model::access::Read;

/// Warnings that one check writes down; far more than are sent.
pub(super) const MOST: usize = 100;

/// A file that a volume will have.
struct File<'a> {
    path: &'a str,
    /// Where it comes from, in volumes with several sources.
    source: String,
}

impl File<'_> {
    fn shown(&self) -> String {
        if self.source.is_empty() {
            format!("{:?}", self.path)
        } else {
            format!("{:?} ({})", self.path, self.source)
        }
    }

    fn meets(&self, other: &File<'_>) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        !self.path.is_empty()
            && !other.path.is_empty()
            && (within(self.path, other.path) || within(other.path, self.path))
    }
}

/// Warns about each file that meets an earlier one of its volume.
pub(super) fn overlaps(volumes: &[Value], out: &mut Vec<String>) {
    for volume in volumes {
        let name = volume.text("name");
        for (kind, shown, named_by) in [
            ("configMap", "ConfigMap", "name"),
            ("secret", "Secret", "secretName"),
            ("downwardAPI", "DownwardAPI", ""),
        ] {
            let Some(source) = volume.at(kind) else { continue };
            let what = match named_by {
                "" => shown.to_owned(),
                field => format!("{shown} {:?}", source.text(field)),
            };
            let mut known = Known::default();
            add(items(source, ""), (name, &what), &mut known, out);
        }
        let mut known = Known::default();
        for source in volume.items("projected.sources") {
            match files(source) {
                None => out.push(format!("volume {name:?} (Projected) has no sources provided")),
                Some(files) => add(files, (name, "Projected"), &mut known, out),
            }
        }
    }
}

/// Longer paths are no files anywhere.
const PATH_BYTES: usize = 4_096;

/// The files of a volume so far, their paths, and the directories that they are in.
#[derive(Default)]
struct Known<'a> {
    files: Vec<File<'a>>,
    paths: HashSet<&'a str>,
    directories: HashSet<&'a str>,
}

/// The directories that a file is in.
fn directories(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end]).filter(|directory| !directory.is_empty())
}

impl<'a> Known<'a> {
    /// Whether a file meets one of them.
    fn meets(&self, file: &File<'_>) -> bool {
        self.paths.contains(file.path)
            || self.directories.contains(file.path)
            || directories(file.path).any(|directory| self.paths.contains(directory))
    }

    fn add(&mut self, file: File<'a>) {
        if !file.path.is_empty() {
            self.paths.insert(file.path);
            self.directories.extend(directories(file.path));
        }
        self.files.push(file);
    }
}

fn add<'a>(files: Vec<File<'a>>, (volume, what): (&str, &str), known: &mut Known<'a>, out: &mut Vec<String>) {
    for file in files.into_iter().filter(|file| file.path.len() <= PATH_BYTES) {
        if out.len() < MOST && known.meets(&file) {
            for other in known.files.iter().filter(|other| file.meets(other)).take(MOST) {
                let (new, old) = (file.shown(), other.shown());
                out.push(format!("volume {volume:?} ({what}): overlapping paths: {new} with {old}"));
            }
        }
        known.add(file);
    }
}

fn items<'a>(source: &'a Value, from: &str) -> Vec<File<'a>> {
    let items = source.items("items").iter();
    items.map(|item| file(item.text("path"), from)).collect()
}

fn file<'a>(path: &'a str, source: &str) -> File<'a> {
    File { path: path.trim_end_matches('/'), source: source.to_owned() }
}

/// The files of one source of a projected volume; nothing when the source has no kind.
fn files(source: &Value) -> Option<Vec<File<'_>>> {
    if source.as_object().is_none_or(everynode_model::Object::is_empty) {
        return None;
    }
    for (kind, shown) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
        if let Some(named) = source.at(kind).filter(|named| named.has("items")) {
            return Some(items(named, &format!("{shown} {:?}", named.text("name"))));
        }
    }
    if let Some(downward) = source.at("downwardAPI").filter(|downward| downward.has("items")) {
        return Some(items(downward, "DownwardAPI"));
    }
    if source.has("serviceAccountToken") {
        return Some(vec![file(source.text("serviceAccountToken.path"), "ServiceAccountToken")]);
    }
    Some(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(volume: Value, expected: &[&str]) {
        let mut warnings = Vec::new();
        overlaps(&[volume], &mut warnings);
        assert_eq!(warnings, expected);
    }

    #[test]
    fn files_of_a_volume_that_meet_are_warned_of() {
        check(
            json!({"name": "v", "configMap": {"name": "c", "items": [{"path": "a"}, {"path": "ab"}]}}),
            &[],
        );
        check(
            json!({"name": "v", "configMap": {"name": "c", "items": [{"path": "a/b"}, {"path": "a/"}]}}),
            &[r#"volume "v" (ConfigMap "c"): overlapping paths: "a" with "a/b""#],
        );
        check(
            json!({"name": "v", "projected": {"sources": [
                {}, {"serviceAccountToken": {"path": "t"}}, {"secret": {"name": "s", "items": [{"path": "t"}]}}
            ]}}),
            &[
                r#"volume "v" (Projected) has no sources provided"#,
                r#"volume "v" (Projected): overlapping paths: "t" (Secret "s") with "t" (ServiceAccountToken)"#,
            ],
        );
    }
}
