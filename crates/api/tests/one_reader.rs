//! What a RolloutPolicy is called, where it is, and what its status says is known here and nowhere else.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::path::{Path, PathBuf};

use everynode_testkit::{repository, rust_files};

/// What no other crate writes down. The simulation's judge reads statuses for itself, and must.
const ONLY_HERE: [&str; 7] = [
    "apis/everynode.dev",
    "everynode.dev/v1alpha1\"",
    "everynode.dev/promote",
    "everynode.dev/retry",
    "\"failedNodes\"",
    "\"lastGoodRevision\"",
    "\"nodeHashes\"",
];

#[test]
fn no_other_crate_reads_a_policy_for_itself() {
    let crates = std::fs::read_dir(repository().join("crates")).unwrap().map(|one| one.unwrap().path());
    let others = crates.filter(|one| !["api", "simulation"].iter().any(|name| one.ends_with(name)));
    let files: Vec<PathBuf> = others.flat_map(|one| rust_files(&one.join("src"))).collect();
    assert!(files.len() > 100, "{} files", files.len());
    let is_test = |path: &Path| path.to_string_lossy().contains("tests");
    for file in files.iter().filter(|path| !is_test(path)) {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            let found = ONLY_HERE.iter().find(|one| line.contains(*one));
            assert_eq!(found, None, "{}: {line}\nhint: everynode_api knows it", file.display());
        }
    }
}
