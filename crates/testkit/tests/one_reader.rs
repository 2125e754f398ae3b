//! Each fact of an object is read by one rule in one place: words that only a reader of it writes down stand there and
//! nowhere else.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::path::Path;

use everynode_testkit::{repository, rust_files};

/// Words that belong to one reader.
struct Fact {
    words: &'static [&'static str],
    /// The reader that everybody asks.
    hint: &'static str,
    /// Files and folders of `crates` that may write the words down, and why.
    allowed: &'static [(&'static str, &'static str)],
}

const FACTS: &[Fact] = &[
    Fact {
        words: &[
            "apis/everynode.dev",
            "everynode.dev/v1alpha1\"",
            "everynode.dev/promote",
            "everynode.dev/retry",
            "\"failedNodes\"",
            "\"lastGoodRevision\"",
            "\"nodeHashes\"",
        ],
        hint: "everynode_api knows what a RolloutPolicy is called, where it is and what it says",
        allowed: &[
            ("api/", "its home"),
            ("simulation/", "the checker of worlds reads statuses for itself, and must"),
        ],
    },
    Fact {
        words: &["\"Ready\""],
        hint: "ask Pod::is_ready, Node::is_ready or Conditions::ready of everynode_model",
        allowed: &[
            ("model/src/condition.rs", "its home"),
            ("apimachinery/src/kinds/print/", "columns of tables, in words of kubectl"),
            ("agent/src/machine/status.rs", "agents of nodes write it"),
            ("agent/src/node.rs", "agents of nodes write it"),
            ("local/src/lifecycle/", "the node lifecycle writes the conditions of nodes and pods"),
            ("local/src/up/nodes.rs", "the Node objects of a small cluster"),
            ("node/src/identity.rs", "simulated kubelets write it"),
            ("node/src/status.rs", "simulated kubelets write it"),
            (
                "simulation/",
                "the judge of worlds reads for itself; observed_tests.rs holds it to the engine's facts",
            ),
        ],
    },
    Fact {
        words: &["\"Succeeded\""],
        hint: "ask Pod::phase or Phase::of of everynode_model",
        allowed: &[
            ("model/src/phase.rs", "its home"),
            ("apimachinery/src/kinds/print/", "columns of tables, in words of kubectl"),
            ("node/src/pod.rs", "simulated kubelets write it"),
            ("node/src/status.rs", "simulated kubelets write it"),
            (
                "simulation/",
                "the judge of worlds reads for itself; observed_tests.rs holds it to the engine's facts",
            ),
        ],
    },
    Fact {
        words: &["ontainerStatuses\"", "\"PodInitializing\""],
        hint: "ask Pod::waiting_reason, Pod::trouble or the status of a pod in everynode_model",
        allowed: &[
            ("model/src/", "its home"),
            ("agent/src/machine/status.rs", "agents of nodes write it"),
            ("agent/src/report.rs", "agents of nodes write it"),
            ("apimachinery/src/kinds/print/", "columns of tables, in words of kubectl"),
            (
                "apimachinery/src/validate/pod_resize.rs",
                "whether the node says what containers have, as it must",
            ),
            ("node/src/status.rs", "simulated kubelets write it"),
        ],
    },
    Fact {
        words: &["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"],
        hint: "ask everynode_model::not_ready_since, or use its NOT_READY_TAINTS",
        allowed: &[
            ("model/src/taint.rs", "its home"),
            ("engine/src/template.rs", "the tolerations that every daemon pod gets, in their order"),
            (
                "simulation/",
                "the judge of worlds reads for itself; observed_tests.rs holds it to the engine's facts",
            ),
        ],
    },
    Fact {
        words: &["\"matchExpressions\"", "\"matchFields\""],
        hint: "read a LabelSelector or a Requirement of everynode_model, and of a pod its target_node",
        allowed: &[
            ("model/src/", "its home"),
            ("engine/src/template.rs", "terms of node affinity, made of requirements"),
            ("engine/src/pod_body.rs", "pods are written with the node that they are for"),
            ("apimachinery/src/", "what may be written, what is filled in, and columns in words of kubectl"),
            ("apiserver/src/handlers/scale.rs", "whether a selector can be said as text"),
            (
                "simulation/",
                "the judge of worlds reads for itself; observed_tests.rs holds it to the engine's facts",
            ),
        ],
    },
];

/// The word of a fact that some lines of code write down.
fn written<'a>(fact: &Fact, code: &'a str) -> Option<&'a str> {
    let mut lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.find(|line| fact.words.iter().any(|word| line.contains(word)))
}

/// The code of a file without its tests.
fn code_of(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

#[test]
fn each_fact_has_one_reader() {
    let crates = repository().join("crates");
    let folders = std::fs::read_dir(&crates).unwrap().map(|one| one.unwrap().path().join("src"));
    let files = folders.filter(|folder| folder.exists()).flat_map(|folder| rust_files(&folder));
    let files: Vec<(String, String)> = files
        .map(|file| (file.strip_prefix(&crates).unwrap().to_string_lossy().into_owned(), file))
        .filter(|(path, _)| !path.contains("tests") && !path.starts_with("testkit/"))
        .map(|(path, file)| (path, code_of(&file)))
        .collect();
    assert!(files.len() > 300, "{} files", files.len());
    for fact in FACTS {
        let mut used = vec![false; fact.allowed.len()];
        for (path, code) in &files {
            let Some(line) = written(fact, code) else { continue };
            let place = fact.allowed.iter().position(|(place, _)| path.starts_with(place));
            let place = place.unwrap_or_else(|| panic!("crates/{path}: {line}\nhint: {}", fact.hint));
            used[place] = true;
        }
        let idle = fact.allowed.iter().zip(used).find(|(_, used)| !used).map(|((place, _), _)| place);
        assert_eq!(idle, None, "nothing there writes {:?} any more", fact.words);
    }
}

#[test]
fn a_second_reader_is_noticed() {
    let check = |code: &str, is_noticed: bool| {
        assert_eq!(FACTS.iter().any(|fact| written(fact, code).is_some()), is_noticed, "{code}");
    };
    check(r#"conditions.iter().find(|one| one["type"] == "Ready")"#, true);
    check(r#"matches!(phase, "Succeeded" | "Failed")"#, true);
    check(r#"pod["status"]["containerStatuses"].as_array()"#, true);
    check(r#"pod["status"]["initContainerStatuses"].as_array()"#, true);
    check(r#"const UNREACHABLE: &str = "node.kubernetes.io/unreachable";"#, true);
    check(r#"for one in items(&selector["matchExpressions"]) {"#, true);
    check(r#"let path = format!("apis/everynode.dev/v1alpha1/{name}");"#, true);
    check("// What \"Ready\" means.\nlet is_ready = pod.is_ready();", false);
}
