//! Files that others can foresee, own or write.

use everynode_testkit::{Need, skip};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::common::everynode;

const NOBODY: u32 = 65_534;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

/// Starts `up` in memory with these variables and gives where its kubeconfig is, and its process number.
fn kubeconfig_of(variables: &[(&str, &Path)]) -> (PathBuf, u32) {
    let mut command = everynode();
    command.args(["up", "--ephemeral", "--listen", "127.0.0.1:0", "--nodes", "0"]);
    command.env_remove("XDG_RUNTIME_DIR").envs(variables.iter().copied()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let path =
        lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("export KUBECONFIG=")?.into()));
    let path: PathBuf = path.expect("up says where its kubeconfig is");
    assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
    process.kill().unwrap();
    process.wait().unwrap();
    (path, process.id())
}

#[test]
fn the_directory_of_a_cluster_in_memory_cannot_be_foreseen() {
    let here = tempfile::tempdir().unwrap();
    let runtime = here.path().join("runtime");
    fs::create_dir(&runtime).unwrap();
    fs::set_permissions(&runtime, Permissions::from_mode(0o700)).unwrap();
    let (path, process) = kubeconfig_of(&[("TMPDIR", here.path())]);
    assert!(path.starts_with(here.path()), "{}", path.display());
    let name = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    assert!(!name.contains(&process.to_string()), "{name} tells the process {process}");
    let (path, _) = kubeconfig_of(&[("TMPDIR", here.path()), ("XDG_RUNTIME_DIR", &runtime)]);
    assert!(path.starts_with(&runtime), "{}", path.display());
    fs::set_permissions(&runtime, Permissions::from_mode(0o777)).unwrap();
    let (path, _) = kubeconfig_of(&[("TMPDIR", here.path()), ("XDG_RUNTIME_DIR", &runtime)]);
    assert!(!path.starts_with(&runtime), "others may write to {}", runtime.display());
}

/// Runs `up` to its end in a directory.
fn up(directory: &Path, args: &[&str]) -> (Output, String) {
    let mut command = everynode();
    command.args(["up", "--listen", "127.0.0.1:0", "--nodes", "0", "--exit-when-ready", "--timeout", "0s"]);
    let output = command.args(args).current_dir(directory).env("HOME", directory).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

#[test]
fn links_that_wait_for_a_file_lead_nowhere() {
    let here = tempfile::tempdir().unwrap();
    let at = |name: &str| here.path().join(name);
    fs::write(at("victim"), "old").unwrap();
    // The process that comes next has one of the next numbers.
    let process = std::process::id();
    for number in process..process + 5_000 {
        symlink(at("victim"), at(&format!("kubeconfig.{number}"))).unwrap();
    }
    for name in ["kubeconfig.new", "kubeconfig.tmp", "kubeconfig"] {
        symlink(at("victim"), at(name)).unwrap();
    }
    let (_, text) = up(here.path(), &["--ephemeral", "--kubeconfig", "kubeconfig"]);
    assert_eq!(fs::read_to_string(at("victim")).unwrap(), "old", "{text}");
    assert!(fs::read_to_string(at("kubeconfig")).unwrap().contains("client-key-data"), "{text}");
}

#[test]
fn a_data_directory_that_is_not_ours_alone_is_refused() {
    let here = tempfile::tempdir().unwrap();
    let data = here.path().join("data");
    let args = ["--data-dir", "data"];
    let (_, text) = up(here.path(), &args);
    assert!(text.contains("no DaemonSet to wait for"), "{text}");
    let refused = |path: &Path, change: &dyn Fn(&Path), back: &dyn Fn(&Path), sentence: &str| {
        change(path);
        let (output, text) = up(here.path(), &args);
        assert!(text.contains(sentence) && !output.status.success(), "{}: {text}", path.display());
        assert!(!text.contains("everynode is up"), "{text}");
        back(path);
    };
    let set = |mode: u32| move |path: &Path| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for path in [data.clone(), data.join("pki.json"), data.join("store.redb")] {
        let own = mode(&path);
        refused(&path, &set(own | 0o020), &set(own), "may be written by other users");
        refused(&path, &set(own | 0o002), &set(own), "may be written by other users");
        // Only root can give a file away.
        if fs::metadata(&path).unwrap().uid() == 0 {
            let (theirs, ours) = (
                |path: &Path| chown(path, Some(NOBODY), None).unwrap(),
                |path: &Path| {
                    chown(path, Some(0), None).unwrap();
                },
            );
            refused(&path, &theirs, &ours, "belongs to another user (uid 65534)");
        } else {
            skip(Need::Root, "no file can be given to another user");
        }
    }
    let (aside, pki) = (here.path().join("aside"), data.join("pki.json"));
    let link = |path: &Path| {
        fs::rename(path, &aside).unwrap();
        symlink(&aside, path).unwrap();
    };
    refused(&pki, &link, &|path| fs::rename(&aside, path).unwrap(), "is no plain file");
}

#[test]
fn what_others_may_read_is_closed_to_them_with_a_word() {
    let here = tempfile::tempdir().unwrap();
    let data = here.path().join("data");
    let args = ["--data-dir", "data"];
    let (_, text) = up(here.path(), &args);
    assert!(!text.contains("was open"), "{text}");
    for (path, open, closed) in [
        (data.clone(), 0o755, 0o700),
        (data.join("pki.json"), 0o644, 0o600),
        (data.join("store.redb"), 0o640, 0o600),
    ] {
        fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
        let (_, text) = up(here.path(), &args);
        assert_eq!(mode(&path), closed, "{}", path.display());
        assert!(text.contains(&format!("was open to other users (mode {open:o})")), "{text}");
    }
}
