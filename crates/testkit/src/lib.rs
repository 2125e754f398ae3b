//! What the tests of all crates share: what they need that is not part of this repository, where its files are, and
//! numbers that the environment sets.
//!
//! A test that lacks what it needs says so on the standard error, past the capture of the test harness, and passes.
//! `EVERYNODE_REQUIRE=kubectl,golden` makes it fail instead; `all` is for everything.

#[cfg(feature = "browser")]
pub mod browser;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod containers;
#[cfg(feature = "fleets")]
pub mod fleets;
#[cfg(feature = "proxy")]
pub mod proxy;
#[cfg(feature = "fleets")]
pub mod server;
#[cfg(feature = "wait")]
pub mod wait;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const VARIABLE: &str = "EVERYNODE_REQUIRE";

/// What a test may need that is not part of this repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The recordings of vendors' manifests on a real Kubernetes, in `../shared` beside the checkout.
    Golden,
    /// A kubectl in the path.
    Kubectl,
    /// A bash in the path.
    Bash,
    /// `script`, which makes a terminal.
    Terminal,
    /// The rights of root, to make another user.
    Root,
    /// `/dev/full`, the disk that is always full.
    FullDisk,
    /// The audit log of the cluster under test.
    AuditLog,
    /// The kind RolloutPolicy on the cluster under test.
    RolloutPolicies,
    /// A kube-controller-manager.
    ControllerManager,
    /// The rights of root, and in the path containerd, runc, a static busybox, `ip`, `unshare` and `setpriv`.
    Containerd,
    /// `dpkg-deb`, which reads packages of Debian.
    Dpkg,
    /// `promtool`, which reads rules of Prometheus.
    Promtool,
    /// `chromium`, a browser.
    Chromium,
}

impl Need {
    const ALL: [Need; 13] = [
        Need::Golden,
        Need::Kubectl,
        Need::Bash,
        Need::Terminal,
        Need::Root,
        Need::FullDisk,
        Need::AuditLog,
        Need::RolloutPolicies,
        Need::ControllerManager,
        Need::Containerd,
        Need::Dpkg,
        Need::Promtool,
        Need::Chromium,
    ];

    /// As `EVERYNODE_REQUIRE` names it.
    pub fn name(self) -> &'static str {
        match self {
            Need::Golden => "golden",
            Need::Kubectl => "kubectl",
            Need::Bash => "bash",
            Need::Terminal => "terminal",
            Need::Root => "root",
            Need::FullDisk => "full-disk",
            Need::AuditLog => "audit-log",
            Need::RolloutPolicies => "rollout-policies",
            Need::ControllerManager => "controller-manager",
            Need::Containerd => "containerd",
            Need::Dpkg => "dpkg",
            Need::Promtool => "promtool",
            Need::Chromium => "chromium",
        }
    }
}

/// Whether a list such as `kubectl,golden` names a need.
///
/// # Panics
/// When it names something else: a word that is misspelled would require nothing.
fn requires(list: &str, need: Need) -> bool {
    let words = || list.split(',').map(str::trim).filter(|word| !word.is_empty());
    let names: Vec<&str> = Need::ALL.iter().map(|one| one.name()).chain(["all"]).collect();
    let stranger = words().find(|word| !names.contains(word));
    assert!(stranger.is_none(), "{VARIABLE} names {stranger:?}, which is none of {names:?}");
    words().any(|word| word == "all" || word == need.name())
}

/// Says that something is not tested because what it needs is not here.
///
/// # Panics
/// When `EVERYNODE_REQUIRE` names the need.
pub fn skip(need: Need, why: &str) {
    let list = std::env::var(VARIABLE).unwrap_or_default();
    assert!(!requires(&list, need), "{VARIABLE} names {}, and {why}", need.name());
    let line = format!("skipped: {}: {why}\n", need.name());
    // Past the harness, which shows nothing of tests that pass, and in one piece. Without a reader there is nobody to
    // tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The folder of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of Rust in a folder and all below it, without what is built.
///
/// # Panics
/// When one of these folders cannot be read.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// A file or folder of the recordings beside the checkout; says so where it is missing.
pub fn shared(path: &str) -> Option<PathBuf> {
    let found = repository().join("../shared").join(path);
    if !found.exists() {
        skip(Need::Golden, &format!("../shared/{path} is not here"));
        return None;
    }
    Some(found)
}

/// Whether a program answers; says so where it does not.
fn answers(program: &str, arguments: &[&str], need: Need) -> bool {
    let is_here = Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success());
    if !is_here {
        skip(need, &format!("{program} is not here"));
    }
    is_here
}

/// Whether kubectl is here; says so where it is not.
pub fn have_kubectl() -> bool {
    answers("kubectl", &["version", "--client"], Need::Kubectl)
}

/// Whether bash is here; says so where it is not.
pub fn have_bash() -> bool {
    answers("bash", &["--version"], Need::Bash)
}

/// Whether `script`, which makes a terminal, is here; says so where it is not.
pub fn have_terminal() -> bool {
    answers("script", &["--version"], Need::Terminal)
}

/// Whether promtool is here; says so where it is not.
pub fn have_promtool() -> bool {
    answers("promtool", &["--version"], Need::Promtool)
}

/// Whether a chromium is here; says so where it is not.
pub fn have_chromium() -> bool {
    answers("chromium", &["--version"], Need::Chromium)
}

/// Has promtool look at figures in the text format of Prometheus; says so where it is not here.
///
/// # Panics
/// When promtool finds something.
#[expect(clippy::expect_used, reason = "a test fails by panic")]
pub fn check_metrics(text: &str) {
    if !have_promtool() {
        return;
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().expect("promtool answered a moment ago");
    let mut input = child.stdin.take().expect("its input is a pipe");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The number that an environment variable sets.
///
/// # Panics
/// When it is set to something else: a test of another size than was asked for would say nothing about that.
pub fn set_number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse().ok();
    assert!(number.is_some(), "{variable}={text} is not a number that fits");
    number
}

/// The number that an environment variable sets, or else the default.
///
/// # Panics
/// As [`set_number`].
pub fn number<T: std::str::FromStr>(variable: &str, default: T) -> T {
    set_number(variable).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_requires_what_it_names() {
        for (list, required) in [
            ("", ""),
            ("kubectl", "kubectl"),
            ("golden, kubectl", "golden kubectl"),
            (
                "all",
                "golden kubectl bash terminal root full-disk audit-log rollout-policies controller-manager containerd dpkg promtool chromium",
            ),
        ] {
            let named: Vec<&str> =
                Need::ALL.into_iter().filter(|need| requires(list, *need)).map(Need::name).collect();
            assert_eq!(named.join(" "), required, "{list}");
        }
    }

    #[test]
    #[should_panic(expected = "which is none of")]
    fn a_misspelled_need_is_an_error() {
        requires("kubctl", Need::Kubectl);
    }
}
