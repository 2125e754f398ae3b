//! Rules of CONTRIBUTING.md that sources can be asked about.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::fs;
use std::path::Path;

use everynode_testkit::{repository, rust_files};

/// A module of more lines wants a second look.
const LINES_LIMIT: usize = 600;

/// Folders of the crates.
fn crates() -> Vec<std::path::PathBuf> {
    let folders = fs::read_dir(repository().join("crates")).unwrap();
    let mut folders: Vec<_> = folders.map(|folder| folder.unwrap().path()).collect();
    folders.sort();
    folders
}

#[test]
fn no_module_is_longer_than_one_can_read_at_once() {
    let sources = crates().into_iter().flat_map(|folder| rust_files(&folder.join("src")));
    let lines = |file: &Path| fs::read_to_string(file).unwrap().lines().count();
    let long: Vec<_> = sources.filter(|file| lines(file) > LINES_LIMIT).collect();
    assert!(long.is_empty(), "more than {LINES_LIMIT} lines: {long:#?}");
}

#[test]
fn each_dependency_says_why_it_is_there() {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let (_, dependencies) = manifest.split_once("[workspace.dependencies]\n").unwrap();
    let mut is_explained = false;
    let mut seen = 0;
    for line in dependencies.lines().take_while(|line| !line.starts_with('[')) {
        match line.split_once('=') {
            _ if line.starts_with('#') => is_explained = true,
            _ if line.is_empty() => is_explained = false,
            Some((name, _)) => {
                assert!(is_explained, "{} has no line that says why it is there", name.trim());
                seen += 1;
            }
            None => {}
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn all_crates_are_under_the_lints_that_forbid_unsafe_code() {
    for folder in crates() {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true\n"), "{}", folder.display());
    }
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
}
