//! Every statement of the specification has a test that names it, or a row in docs/deviations.md.
//!
//! A test names statements by the beginning of its name (`d3_d4_a_terminating_pod_...`) or by a line of its
//! documentation, `/// Statement K1.` or `/// Statements N2, N3.`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panic, and shows what it found"
)]

use std::collections::{BTreeMap, BTreeSet};

use everynode_testkit::{repository, rust_files};

/// The statements, each of which has an anchor of its name: `- <a id="d3"></a>**D3.** ...`
fn stated() -> BTreeSet<String> {
    let named = |line: &str| {
        let (anchor, rest) = line.strip_prefix("- <a id=\"")?.split_once("\"></a>**")?;
        let (name, _) = rest.split_once(".**")?;
        (is_statement(name) && name.to_lowercase() == anchor).then(|| name.to_owned())
    };
    let text = std::fs::read_to_string(repository().join("spec/daemonset.md")).unwrap();
    text.lines().filter_map(named).collect()
}

/// `D3` and the like: a letter from A to O, and a number.
fn is_statement(word: &str) -> bool {
    let mut chars = word.chars();
    let has_letter = chars.next().is_some_and(|first| ('A'..='O').contains(&first));
    has_letter && !chars.as_str().is_empty() && chars.all(|one| one.is_ascii_digit())
}

/// The statements that stand at the beginning of a function's name.
fn named_by(function: &str) -> Vec<String> {
    let words = function.split('_').map(str::to_uppercase);
    words.take_while(|word| is_statement(word)).collect()
}

/// The statements of a line of documentation, when it is one that names some.
fn tagged_by(line: &str) -> Vec<String> {
    let text = line.strip_prefix("/// Statement").and_then(|rest| rest.strip_suffix('.'));
    let Some(names) = text.and_then(|rest| rest.strip_prefix(' ').or_else(|| rest.strip_prefix("s "))) else {
        return Vec::new();
    };
    names.split(", ").map(str::to_owned).collect()
}

/// The tests of a file, each with the statements that it names.
fn tests_of(text: &str) -> Vec<(String, Vec<String>)> {
    let (mut tests, mut tags, mut is_test) = (Vec::new(), Vec::new(), false);
    for line in text.lines().map(str::trim) {
        let name = line.trim_start_matches("async ").strip_prefix("fn ");
        if let Some(name) = name.and_then(|rest| rest.split(['(', '<']).next()) {
            if std::mem::take(&mut is_test) {
                tags.extend(named_by(name));
                tests.push((name.to_owned(), std::mem::take(&mut tags)));
            }
            tags.clear();
        } else if line.starts_with("///") {
            tags.extend(tagged_by(line));
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        } else if line.is_empty() {
            tags.clear();
        }
    }
    tests
}

/// Which tests name a statement.
fn tested() -> BTreeMap<String, Vec<String>> {
    let mut tested: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in rust_files(&repository().join("crates")) {
        let crate_name = file.strip_prefix(repository().join("crates")).unwrap().iter().next().unwrap();
        for (test, statements) in tests_of(&std::fs::read_to_string(&file).unwrap()) {
            for statement in statements {
                let test = format!("{}: {test}", crate_name.to_string_lossy());
                tested.entry(statement).or_default().push(test);
            }
        }
    }
    tested
}

/// `[H1](...) to [H3](...)` without where it leads.
fn without_links(text: &str) -> String {
    let parts = text.split("](").enumerate();
    let part = |(index, part): (usize, &'_ str)| match part.split_once(')') {
        Some((_, rest)) if index > 0 => rest.replace('[', ""),
        _ => part.replace('[', ""),
    };
    parts.map(part).collect()
}

/// The statements that the first column of the tables in docs/deviations.md names; `H1 to H3` names three.
fn deviations() -> BTreeSet<String> {
    let text = std::fs::read_to_string(repository().join("docs/deviations.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let rows = rows.map(without_links);
    let mut all = BTreeSet::new();
    for cell in rows {
        let words: Vec<&str> = cell.split([' ', ',', ':']).filter(|word| !word.is_empty()).collect();
        for (index, word) in words.iter().enumerate().filter(|(_, word)| is_statement(word)) {
            all.insert((*word).to_owned());
            if let [_, "to", last, ..] = words[index..] {
                let number = |one: &str| one[1..].parse::<u32>().unwrap();
                let letter = &word[..1];
                all.extend((number(word)..=number(last)).map(|one| format!("{letter}{one}")));
            }
        }
    }
    all
}

#[test]
fn every_statement_has_a_test_or_a_deviation() {
    let (tested, deviations) = (tested(), deviations());
    for statement in stated() {
        println!("{statement}: {}", tested.get(&statement).map_or(String::new(), |tests| tests.join("; ")));
    }
    let is_open = |one: &String| !tested.contains_key(one) && !deviations.contains(one);
    let open: Vec<String> = stated().into_iter().filter(is_open).collect();
    assert!(open.is_empty(), "neither a test nor a row in docs/deviations.md: {open:?}");
    let without_test = stated().into_iter().filter(|one| !tested.contains_key(one)).count();
    let tests: BTreeSet<&String> = tested.values().flatten().collect();
    println!(
        "{} statements, {} of them without a test and with a deviation; {} tests; {} statements with a deviation",
        stated().len(),
        without_test,
        tests.len(),
        deviations.len()
    );
}

#[test]
fn every_named_statement_exists() {
    let stated = stated();
    let (tested, deviations) = (tested(), deviations());
    let strangers: Vec<&String> =
        tested.keys().chain(&deviations).filter(|one| !stated.contains(one.as_str())).collect();
    assert!(strangers.is_empty(), "no such statements: {strangers:?}");
}

#[test]
fn every_link_leads_to_a_statement() {
    let stated = stated();
    let mut files = rust_files(&repository().join("crates"));
    files.retain(|file| file.iter().any(|part| part == "src"));
    files.push(repository().join("docs/deviations.md"));
    let mut links = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for link in ["::spec#", "daemonset.md#"].into_iter().flat_map(|link| text.split(link).skip(1)) {
            let anchor = link.split(|one: char| !one.is_ascii_alphanumeric()).next().unwrap();
            assert!(stated.contains(anchor.to_uppercase().as_str()), "{}: {anchor}", file.display());
            links += 1;
        }
    }
    assert!(links > 100, "{links} links");
}

#[test]
fn names_and_tags_are_read() {
    let text = "/// Statements N2, K1.\n#[tokio::test(flavor = \"x\")]\nasync fn a_server() {}\n\n\
                /// Statement Z9.\nfn helper() {}\n#[test]\nfn d3_d4_some_pod_a1() {}";
    let all = |names: &[&str]| names.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let expected =
        [("a_server".to_owned(), all(&["N2", "K1"])), ("d3_d4_some_pod_a1".to_owned(), all(&["D3", "D4"]))];
    assert_eq!(tests_of(text), expected);
}
