//! Manifests as `up -f` takes them, with kubectl as the judge.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod common;

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use common::{Cluster, everynode};
use everynode_testkit::repository;

/// Longer than `up` takes to find out that nothing will come, and far less than it would wait.
const AT_ONCE: Duration = Duration::from_secs(60);
const WAIT: &str = "10m";

/// Applies a file to a cluster in memory and stops it.
fn up(directory: &Path, args: &[&str]) -> Output {
    let mut command = everynode();
    command.args(["up", "--listen", "127.0.0.1:0", "--exit-when-ready"]).args(args);
    command.current_dir(directory).env("HOME", directory).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const CONFIG_MAP: &str = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}";
const DAEMON_SET: &str = "{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"a\"},\"spec\":\
    {\"minReadySeconds\":NUMBER,\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":\
    {\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}";

fn utf_16(text: &str) -> Vec<u8> {
    [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// Files, and whether they are taken whole.
fn files() -> Vec<(&'static str, Vec<u8>, bool)> {
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let daemon_set = |number: &str| DAEMON_SET.replace("NUMBER", number).into_bytes();
    let daemon = DAEMON_SET.replace("NUMBER", "0");
    let item = daemon.replace("\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",", "");
    let half = daemon.replace("\"kind\":\"DaemonSet\",", "");
    let list = |front: &str, item: &str| format!("{{{front}\"items\":[{item}]}}").into_bytes();
    let typed = "\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSetList\",";
    vec![
        ("plain.yaml", yaml.into(), true),
        ("mark.yaml", utf_16(yaml), true),
        ("twice.yaml", format!("{yaml}data: {{x: '1', x: '2'}}\n").into_bytes(), true),
        ("twice.json", CONFIG_MAP.replace("}}", ",\"name\":\"b\"}}").into_bytes(), true),
        ("whole.json", daemon_set("1.0"), true),
        ("half.json", daemon_set("1.5"), false),
        ("typed.json", list(typed, &item), true),
        ("typed-by-half.json", list(typed, &half), false),
        ("no-version.json", list("\"kind\":\"DaemonSetList\",", &item), false),
        ("no-version.yaml", format!("kind: List\nitems: [{CONFIG_MAP}]\n").into_bytes(), false),
        ("garbage.json", format!("{CONFIG_MAP}garbage").into_bytes(), false),
        ("comma.json", CONFIG_MAP.replace("}}", "},}").into_bytes(), false),
        ("two.json", format!("{CONFIG_MAP}\n{CONFIG_MAP}").into_bytes(), true),
        ("tab.yaml", b"\t\n".into(), false),
        ("tab-behind.yaml", format!("{yaml}\t\n").into_bytes(), false),
        ("scalar.yaml", b"hello\n".into(), false),
    ]
}

#[test]
fn what_kubectl_takes_is_taken_and_what_it_refuses_is_refused() {
    let here = tempfile::tempdir().unwrap();
    let cluster = everynode_testkit::have_kubectl().then(|| Cluster::start(&["--nodes", "0"]));
    for (name, bytes, taken) in files() {
        std::fs::write(here.path().join(name), bytes).unwrap();
        let output = up(here.path(), &["--ephemeral", "--nodes", "0", "--timeout", "0s", "-f", name]);
        let refused = text(&output).contains(&format!("error: {name}"));
        assert_eq!(!refused, taken, "{name}: {}", text(&output));
        let Some(cluster) = &cluster else { continue };
        let path = here.path().join(name);
        let judged = cluster.kubectl(&["apply", "--dry-run=server", "-f", path.to_str().unwrap()]);
        assert_eq!(judged.status.success(), taken, "kubectl says of {name}: {}", text(&judged));
    }
}

#[test]
fn objects_read_with_kubectl_are_applied_again_and_kubectl_goes_on_with_them() {
    if !everynode_testkit::have_kubectl() {
        return;
    }
    let here = tempfile::tempdir().unwrap();
    let at = |name: &str| here.path().join(name).to_str().unwrap().to_owned();
    let first = Cluster::start(&["--nodes", "1"]);
    let manifest = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: a, creationTimestamp: null}\nspec:\n  \
                    minReadySeconds: 1.0\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: \
                    {labels: {a: b}}\n    spec: {containers: [{name: c, image: i}]}\n---\napiVersion: v1\nkind: \
                    Namespace\nmetadata: {name: other, namespace: gone}\n";
    std::fs::write(at("manifest.yaml"), manifest).unwrap();
    first.kubectl_ok(&["apply", "-f", &at("manifest.yaml")]);
    let second = Cluster::start(&["--nodes", "1", "-f", &at("manifest.yaml")]);
    second.kubectl_ok(&["rollout", "status", "daemonset/a", "--timeout", "60s"]);
    let path = "jsonpath={.metadata.managedFields[?(@.operation=='Apply')].manager}";
    assert_eq!(second.kubectl_ok(&["get", "daemonset/a", "-o", path]), "everynode");
    // Others find who has what: the same is shared, something else is a conflict, and may be taken.
    second.kubectl_ok(&["apply", "--server-side", "-f", &at("manifest.yaml")]);
    let changed = manifest.replace("minReadySeconds: 1.0", "minReadySeconds: 2");
    std::fs::write(at("changed.yaml"), changed).unwrap();
    let refused = second.kubectl(&["apply", "--server-side", "-f", &at("changed.yaml")]);
    assert!(
        text(&refused).contains("conflict with \"everynode\": .spec.minReadySeconds"),
        "{}",
        text(&refused)
    );
    second.kubectl_ok(&["apply", "--server-side", "--force-conflicts", "-f", &at("changed.yaml")]);
    for form in ["yaml", "json"] {
        let printed =
            first.kubectl_ok(&["get", "daemonset,configmap,node", "-o", form, "--show-managed-fields"]);
        let (file, data) = (format!("printed.{form}"), format!("data-{form}"));
        std::fs::write(at(&file), printed).unwrap();
        // Taken anew, and taken again where it has another version by then.
        for _ in 0..2 {
            let output =
                up(here.path(), &["--data-dir", &data, "--nodes", "1", "--timeout", "60s", "-f", &file]);
            assert!(output.status.success(), "{form}: {}", text(&output));
        }
    }
}

#[test]
fn the_wait_ends_when_nothing_can_come_any_more() {
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("refused.yaml"), "apiVersion: v1\nkind: Nope\nmetadata: {name: a}\n")
        .unwrap();
    std::fs::write(here.path().join("no-daemon.yaml"), CONFIG_MAP).unwrap();
    let check = |files: &[&str], sentence: &str| {
        let begun = Instant::now();
        let args = [&["--ephemeral", "--nodes", "1", "--timeout", WAIT][..], files].concat();
        let output = up(here.path(), &args);
        assert!(begun.elapsed() < AT_ONCE, "{files:?} took {:?}", begun.elapsed());
        assert!(!output.status.success() && text(&output).contains(sentence), "{}", text(&output));
    };
    check(&["-f", "missing.yaml"], "missing.yaml: cannot be read");
    check(&["-f", "refused.yaml"], "no kind \"Nope\"");
    check(&["-f", "no-daemon.yaml"], "there is no DaemonSet to wait for");
    check(&[], "there is no DaemonSet to wait for");
}

#[test]
fn a_bare_pod_waits_for_the_account_of_its_namespace() {
    let here = tempfile::tempdir().unwrap();
    let pod = |namespace: usize| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: n{namespace}}}\nspec: {{containers: [{{name: c, \
             image: i}}]}}\n---\n"
        )
    };
    std::fs::write(here.path().join("pods.yaml"), (0..20).map(pod).collect::<String>()).unwrap();
    let output = up(here.path(), &["--ephemeral", "--nodes", "1", "--timeout", "0s", "-f", "pods.yaml"]);
    assert!(!text(&output).contains("error: pods.yaml"), "{}", text(&output));
    assert_eq!(text(&output).matches("pod/a created").count(), 20, "{}", text(&output));
}

#[test]
fn daemons_for_real_nodes_are_taken_and_their_images_are_those_that_the_page_makes() {
    let directory = repository().join("examples/real").canonicalize().unwrap();
    let home = tempfile::tempdir().unwrap();
    let path = directory.to_str().unwrap();
    let output = up(home.path(), &["--ephemeral", "--nodes", "1", "--timeout", WAIT, "-f", path]);
    assert!(output.status.success(), "{}", text(&output));
    let page = std::fs::read_to_string(directory.join("README.md")).unwrap();
    let files = std::fs::read_dir(&directory).unwrap().map(|file| file.unwrap().path());
    let mut images = 0;
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml")) {
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let Some(image) = line.trim().strip_prefix("image: ") else { continue };
            assert!(page.contains(&format!("--name {image} ")), "{}: {image}", file.display());
            images += 1;
        }
    }
    assert!(images >= 5, "{images}");
}
