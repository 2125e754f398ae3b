//! Files that import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::modules::Imports;

/// The sets of more than one file in which every file leads to every other one.
pub fn circles(imports: &Imports) -> Vec<BTreeSet<PathBuf>> {
    let reach: BTreeMap<&Path, BTreeSet<&Path>> =
        imports.keys().map(|file| (file.as_path(), reached(imports, file))).collect();
    let mut found: BTreeSet<BTreeSet<PathBuf>> = BTreeSet::new();
    for (file, reached) in &reach {
        let back = reached.iter().filter(|other| reach.get(*other).is_some_and(|from| from.contains(file)));
        let circle: BTreeSet<PathBuf> = back.map(|path| path.to_path_buf()).collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

/// All files to which a file leads, itself among them only if a way leads back.
fn reached<'a>(imports: &'a Imports, file: &Path) -> BTreeSet<&'a Path> {
    let next = |file: &Path| imports.get(file).into_iter().flat_map(BTreeMap::keys).map(PathBuf::as_path);
    let mut found = BTreeSet::new();
    let mut open: Vec<&Path> = next(file).collect();
    while let Some(file) = open.pop() {
        if found.insert(file) {
            open.extend(next(file));
        }
    }
    found
}

/// A circle in words: each file with the files of the circle that it imports, and the names that it takes.
pub fn describe(imports: &Imports, circle: &BTreeSet<PathBuf>) -> String {
    let mut text = format!("{} files import each other in a circle:\n", circle.len());
    for (file, taken) in imports.iter().filter(|(file, _)| circle.contains(*file)) {
        for (other, names) in taken.iter().filter(|(other, _)| circle.contains(*other)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let _ = writeln!(text, "  {} -> {}: {}", file.display(), other.display(), names.join(", "));
        }
    }
    text
}
