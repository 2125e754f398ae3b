//! Bad input to the command: each ends with a sentence that says what is wrong, and with the status of a failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use common::everynode;

/// Status of a command line that makes no sense, as clap has it.
const USAGE: i32 = 2;

/// Runs the command to its end, with this on standard input.
fn run(directory: &Path, args: &[&str], input: &str) -> Output {
    let mut command = everynode();
    command.args(args).current_dir(directory).env("HOME", directory).env_remove("KUBECONFIG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    // A command that reads no input may have ended already.
    let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
    process.wait_with_output().unwrap()
}

fn check(directory: &Path, args: &[&str], status: i32, sentences: &[&str]) {
    let output = run(directory, args, "");
    let text = String::from_utf8_lossy(&output.stderr);
    for sentence in sentences {
        assert!(text.contains(sentence), "{args:?} does not say {sentence:?}:\n{text}");
    }
    assert!(!text.contains("panicked"), "{args:?}:\n{text}");
    assert_eq!(output.status.code(), Some(status), "{args:?}:\n{text}");
}

#[test]
fn a_wrong_command_line_is_explained() {
    let here = tempfile::tempdir().unwrap();
    let check = |args: &[&str], status, sentences: &[&str]| check(here.path(), args, status, sentences);
    check(&[], USAGE, &["Usage: everynode"]);
    check(&["up", "--listen", "0.0.0.0:0"], USAGE, &["listens on loopback only"]);
    check(&["up", "--listen", "7443"], USAGE, &["for example 127.0.0.1:7443"]);
    check(&["up", "--nodes", "100000000"], USAGE, &["is not in 0..=100000"]);
    check(&["up", "--timeout", "5s"], USAGE, &["--exit-when-ready"]);
    check(&["up", "--pod-start", "5"], USAGE, &["write for example 500ms"]);
    check(&["up", "--fleet", "missing"], 1, &["fleet file missing: cannot be read"]);
    check(&["nodes"], USAGE, &["--simulate <N>"]);
    check(
        &["nodes", "--simulate", "1", "--kubeconfig", "missing"],
        1,
        &["missing", "hint: name a kubeconfig"],
    );
    check(&["controller", "--kube-api-qps", "0"], USAGE, &["a rate is above zero"]);
}

#[test]
fn an_address_in_use_is_named() {
    let here = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let sentences = ["is in use by another program", "hint: choose another port", address.as_str()];
    check(here.path(), &["up", "--ephemeral", "--listen", &address], 1, &sentences);
}

#[test]
fn a_damaged_data_directory_is_refused_and_left_as_it_is() {
    let here = tempfile::tempdir().unwrap();
    let data = here.path().join("data");
    let up = ["up", "--data-dir", "data", "--listen", "127.0.0.1:0", "--exit-when-ready", "--timeout", "0s"];
    run(here.path(), &up, "");
    let store = data.join("store.redb");
    let whole = std::fs::read(&store).unwrap();
    let mut flipped = whole.clone();
    flipped.iter_mut().skip(8192).step_by(64).for_each(|byte| *byte ^= 0xff);
    let damages: [(&[u8], &str); 4] = [
        (&whole[..whole.len() / 2], "is damaged"),
        (&flipped, "is damaged"),
        (b"", "is damaged: it is empty"),
        (b"a text", "it is not a store"),
    ];
    for (bytes, sentence) in damages {
        std::fs::write(&store, bytes).unwrap();
        check(here.path(), &up, 1, &[sentence, "hint: the file is left as it is"]);
        assert!(std::fs::read(&store).unwrap() == bytes, "the store was changed: {sentence}");
    }
}

#[test]
fn a_damaged_object_is_named_and_the_others_can_be_had_without_it() {
    let here = tempfile::tempdir().unwrap();
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndata: {text: to-be-spoiled}\n";
    let up = ["up", "--data-dir", "data", "--listen", "127.0.0.1:0", "--exit-when-ready", "--timeout", "0s"];
    run(here.path(), &[&up[..], &["-f", "-"]].concat(), manifest);
    let store = here.path().join("data/store.redb");
    let mut file = std::fs::read(&store).unwrap();
    let content = b"to-be-spoiled";
    for at in 0..file.len() - content.len() {
        if file[at..].starts_with(content) {
            file[at] ^= 1;
        }
    }
    std::fs::write(&store, &file).unwrap();
    let named = "configmaps default/bad is not what was written";
    check(here.path(), &up, 1, &["store.redb is damaged", named, "by --skip-damaged"]);
    let skipping = [&up[..], &["--skip-damaged"]].concat();
    check(
        here.path(),
        &skipping,
        1,
        &["left out, because it is damaged: configmaps default/bad", "damaged-1"],
    );
    assert!(std::fs::read(here.path().join("data/store.redb.damaged-1")).unwrap() == file);
    let output = run(here.path(), &up, "");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("damaged"), "it is whole again");
}

#[test]
fn a_data_directory_has_one_user() {
    let here = tempfile::tempdir().unwrap();
    let data = here.path().join("data");
    let (mut first, _) = common::spawn(&["--data-dir", data.to_str().unwrap(), "--nodes", "0"]);
    let up = ["up", "--data-dir", "data", "--listen", "127.0.0.1:0"];
    check(here.path(), &up, 1, &["is in use by another process", "hint: stop the other"]);
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn broken_documents_are_named_and_the_others_are_applied() {
    let here = tempfile::tempdir().unwrap();
    let manifest = "\
apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\n\
kind: ConfigMap\n metadata: {broken\n---\n\
apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\ndataa: {}\n---\n\
apiVersion: apps/v1\nkind: Daemonset\nmetadata: {name: three}\n---\n\
apiVersion: v1\nkind: ConfigMap\nmetadata: {name: four, namespace: a b}\n---\n\
apiVersion: v1\nkind: ConfigMap\nmetadata: {name: five}\n";
    let up = ["up", "--ephemeral", "--listen", "127.0.0.1:0", "--nodes", "0", "--exit-when-ready"];
    let args = [&up[..], &["--timeout", "0s", "-f", "-", "-f", "missing.yaml"]].concat();
    let output = run(here.path(), &args, manifest);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for line in ["configmap/one created", "configmap/five created"] {
        assert!(out.contains(line), "{line}\n{out}{err}");
    }
    for sentence in [
        "standard input:",
        ".dataa: field not declared in schema",
        "did you mean \"DaemonSet\"?",
        "metadata.namespace: Invalid value: \"a b\"",
        "missing.yaml: cannot be read",
    ] {
        assert!(err.contains(sentence), "{sentence}\n{out}{err}");
    }
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
}
