//! How the house is built: small circles of files at most, and crates that depend on those below them only.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod circles;
mod modules;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use everynode_testkit::repository;
use serde_json::Value;

use circles::{circles, describe};
use modules::{Imports, imports};

/// Files that may import each other in a circle: such a circle can be understood only as a whole.
const CIRCLE_FILES: usize = 4;

/// What Cargo says of the workspace.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// The name of one of our packages as the code map has it.
fn short_name(package: &Value) -> Option<&str> {
    package["name"].as_str().unwrap().strip_prefix("everynode-")
}

/// The roots of what a package builds for its users: a library, programs.
fn roots(package: &Value) -> Vec<PathBuf> {
    let targets = package["targets"].as_array().unwrap().iter();
    let is_built = |target: &&Value| {
        let kinds = target["kind"].as_array().unwrap();
        kinds.iter().any(|kind| matches!(kind.as_str(), Some("lib" | "bin")))
    };
    targets.filter(is_built).map(|target| PathBuf::from(target["src_path"].as_str().unwrap())).collect()
}

/// What the files below a root import, by their paths within the repository.
fn imports_of(root: &Path) -> Imports {
    let folder = repository().canonicalize().unwrap();
    let read = |file: &Path| std::fs::read_to_string(folder.join(file)).ok();
    imports(root.strip_prefix(&folder).unwrap(), &read)
}

#[test]
fn no_more_than_four_files_import_each_other_in_a_circle() {
    let mut wrong = String::new();
    for imports in packages().iter().flat_map(roots).map(|root| imports_of(&root)) {
        let large = circles(&imports).into_iter().filter(|circle| circle.len() > CIRCLE_FILES);
        wrong.extend(large.map(|circle| describe(&imports, &circle)));
    }
    assert!(wrong.is_empty(), "{wrong}Move what they share into a file below them.");
}

/// The crates in the order of the code map: each may depend on those above it.
fn code_map() -> Vec<String> {
    let page = std::fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let (_, map) = page.split_once("## Code map").unwrap();
    let rows =
        map.lines().take_while(|line| !line.starts_with('*')).filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`')).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn a_crate_depends_only_on_those_that_the_code_map_has_above_it() {
    let map = code_map();
    let place = |name: &str| map.iter().position(|one| one == name);
    let mut wrong = Vec::new();
    for package in packages() {
        let Some(name) = short_name(&package) else { continue };
        let Some(own) = place(name) else {
            wrong.push(format!("{name} is not in the code map"));
            continue;
        };
        // What tests need may be anywhere.
        let needed = package["dependencies"].as_array().unwrap().iter().filter(|one| one["kind"] != "dev");
        for other in needed.filter_map(short_name) {
            if place(other).is_none_or(|other| other >= own) {
                wrong.push(format!("{name} depends on {other}, which is not above it"));
            }
        }
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md, code map: {wrong:#?}");
}

/// What a crate of these files has for arrows, as `a -> b: Name`; its root is `lib.rs`.
fn arrows(files: &[(&str, &str)]) -> Vec<String> {
    let read = |file: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == file);
        found.map(|(_, text)| (*text).to_owned())
    };
    let mut all = Vec::new();
    for (file, taken) in imports(Path::new("lib.rs"), &read) {
        for (other, names) in taken {
            let names: Vec<String> = names.into_iter().collect();
            all.push(format!("{} -> {}: {}", file.display(), other.display(), names.join(" ")));
        }
    }
    all
}

#[test]
fn a_name_is_taken_from_the_file_that_defines_it() {
    let check = |code: &str, expected: &[&str]| {
        let files = [
            ("lib.rs", "mod a; mod b; mod user; pub use b::inner::Deep; pub struct Root;"),
            ("a.rs", "pub struct A; pub fn act() {} pub enum E { One } pub use crate::b::inner as handed;"),
            ("b/mod.rs", "pub mod inner; pub use inner::{Deep, deep as renamed}; pub struct B;"),
            ("b/inner.rs", "pub struct Deep; pub fn deep() {} pub trait Reads {}"),
            ("user.rs", code),
        ];
        let found = arrows(&files);
        let found: Vec<&str> = found.iter().filter_map(|arrow| arrow.strip_prefix("user.rs -> ")).collect();
        assert_eq!(found, expected, "{code}");
    };
    check("use crate::a::A;", &["a.rs: A"]);
    check("use super::a; fn f() { a::act() }", &["a.rs: act"]);
    check("use crate::a;", &[]);
    check("use crate::Deep;", &["b/inner.rs: Deep"]);
    check("use crate::b::{self, B}; fn f() { b::renamed() }", &["b/inner.rs: deep", "b/mod.rs: B"]);
    check("fn f(_: crate::Root) { let _ = crate::a::E::One; }", &["a.rs: E", "lib.rs: Root"]);
    check("fn f() { println!(\"{:?}\", crate::a::act()) }", &["a.rs: act"]);
    check("use crate::a::handed::Reads as _;", &["b/inner.rs: Reads"]);
    check("use crate::b::*; fn f() { renamed() }", &["b/inner.rs: deep"]);
    check("pub use crate::a::A;", &[]);
    check("pub use crate::a::A; pub fn f() -> A { A }", &["a.rs: A"]);
    check("#[cfg(test)] mod tests { use crate::a::A; }", &[]);
    check("mod within { pub fn f() -> super::super::Root { todo!() } }", &["lib.rs: Root"]);
    check("use std::fmt; use serde::a::A; fn f() { fmt::act() }", &[]);
}

#[test]
fn a_circle_is_what_leads_back_to_itself() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use crate::c::C; pub struct B;"),
        ("c.rs", "use crate::a::A; use crate::d::D; pub struct C;"),
        ("d.rs", "pub struct D;"),
        ("e.rs", "use crate::a::A;"),
    ];
    let read = |file: &Path| {
        files.iter().find(|(name, _)| Path::new(name) == file).map(|(_, text)| (*text).to_owned())
    };
    let imports = imports(Path::new("lib.rs"), &read);
    let found = circles(&imports);
    let expected: BTreeSet<PathBuf> = ["a.rs", "b.rs", "c.rs"].into_iter().map(PathBuf::from).collect();
    assert_eq!(found, [expected]);
    let said =
        "3 files import each other in a circle:\n  a.rs -> b.rs: B\n  b.rs -> c.rs: C\n  c.rs -> a.rs: A\n";
    assert_eq!(describe(&imports, &found[0]), said);
}
