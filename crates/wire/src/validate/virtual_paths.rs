//! Warnings about files of one volume that lie over or within each other.

use crate::Value;
use crate::access::Read;

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
            let mut known = Vec::new();
            add(items(source, ""), (name, &what), &mut known, out);
        }
        let mut known = Vec::new();
        for source in volume.items("projected.sources") {
            match files(source) {
                None => out.push(format!("volume {name:?} (Projected) has no sources provided")),
                Some(files) => add(files, (name, "Projected"), &mut known, out),
            }
        }
    }
}

fn add<'a>(
    files: Vec<File<'a>>,
    (volume, what): (&str, &str),
    known: &mut Vec<File<'a>>,
    out: &mut Vec<String>,
) {
    for file in files {
        for other in known.iter().filter(|other| file.meets(other)) {
            let (new, old) = (file.shown(), other.shown());
            out.push(format!("volume {volume:?} ({what}): overlapping paths: {new} with {old}"));
        }
        known.push(file);
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
    if source.as_object().is_none_or(crate::Object::is_empty) {
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
