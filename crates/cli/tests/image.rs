//! `everynode image`, as its user sees it.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use std::path::Path;
use std::process::Output;

use common::everynode;
use everynode_registry::ImageStore;
use tempfile::TempDir;

fn image(directory: &Path, args: &[&str]) -> Output {
    everynode().arg("image").args(args).current_dir(directory).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_image_is_made_of_files_and_found_by_its_name() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("agent"), "#!/bin/sh\n").unwrap();
    std::fs::create_dir(dir.path().join("images")).unwrap();
    let output = image(
        dir.path(),
        &[
            &[
                "--name",
                "quay.io/a/agent:v1",
                "--output",
                "images/agent.tar",
                "--file",
                "agent:/usr/bin/agent",
            ][..],
            &[
                "--symlink",
                "/bin:usr/bin",
                "--entrypoint",
                "/bin/agent",
                "--cmd",
                "--verbose",
                "--env",
                "A=B",
            ],
        ]
        .concat(),
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let store = ImageStore::open(dir.path().join("images")).unwrap();
    let document = store.manifest(&"quay.io/a/agent:v1".parse().unwrap()).unwrap();
    let said = text(&output.stdout);
    let expected = format!("quay.io/a/agent:v1  0.0 MB  {}\nwritten to images/agent.tar\n", document.digest);
    assert_eq!(said, expected);
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let dir = TempDir::new().unwrap();
    let path = dir.path();
    std::fs::write(path.join("agent"), "#!/bin/sh\n").unwrap();
    let check = |args: &[&str], status: i32, expected: &str| {
        let output = image(path, &[&["--name", "a", "--output", "a.tar"], args].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
        assert!(said.contains(expected), "{args:?}: {said}");
        assert!(status == 2 || said.contains("hint: "), "{args:?}: {said}");
    };
    check(&[], 1, "error: the image would have no files");
    let gone = ["--file", "agent:/agent", "--entrypoint", "/other"];
    check(&gone, 1, "error: the image has no /other, which is its entrypoint");
    check(&["--package", "no-such-package"], 1, "error: the package no-such-package is not installed");
    check(&["--file", "agent"], 2, "write where it goes behind a colon");
    check(&["--download"], 2, "--package");
    std::fs::create_dir(path.join("there")).unwrap();
    let output = image(path, &["--name", "a", "--output", "there", "--file", "agent:/agent"]);
    assert!(text(&output.stderr).contains("error: there is there already\nhint: remove it"));
}
