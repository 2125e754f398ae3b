//! What the controller is granted by `everynode install`, and what it uses.
//!
//! It runs as a process of its own against the embedded API, which writes an audit log.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};

use everynode_apimachinery::manifest;
use everynode_apiserver::{Config, Server};
use everynode_client::Client;
use everynode_local::LoopsConfig;
use everynode_node::{Fleet, FleetConfig, NodeSpec};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{LIMIT, eventually, everynode, get};

const SYSTEM: &str = "everynode-system";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/everynode-system/leases/everynode-controller";
const POLICIES: &str = "/apis/everynode.dev/v1alpha1/namespaces/default/rolloutpolicies";

/// `verb group/resource/subresource`, and behind it what narrows it: a namespace, a name.
type Permissions = BTreeSet<String>;

/// A cluster of four nodes without a DaemonSet controller, which takes down every request.
pub struct World {
    pub client: Client,
    server: Server,
    directory: tempfile::TempDir,
    stop: CancellationToken,
}

impl World {
    pub async fn start() -> World {
        let directory = tempfile::tempdir().unwrap();
        let audit_log = Some(directory.path().join("audit.log"));
        // Without streaming lists, as on servers that have none: with them the verb `list` is not used.
        let server =
            Server::start(Config { audit_log, streaming_lists: false, ..Config::default() }).await.unwrap();
        std::fs::write(directory.path().join("kubeconfig"), server.kubeconfig()).unwrap();
        let client = Client::from_file(&directory.path().join("kubeconfig")).await.unwrap();
        let stop = CancellationToken::new();
        define_policies(&client).await;
        let named = |name: &str| client.clone().with_user_agent(name);
        let fleet = FleetConfig::new(NodeSpec::numbered("node-", 4));
        tokio::spawn(Fleet::run(named("nodes"), fleet, stop.clone()));
        let loops = LoopsConfig::new(server.authority_certificate());
        tokio::spawn(everynode_local::loops(named("loops"), loops, stop.clone()));
        create(&client, "/api/v1/namespaces", json!({"metadata": {"name": SYSTEM}})).await;
        World { client, server, directory, stop }
    }

    /// The controller as it is deployed, but for a renewal of its lease every 200 ms.
    pub fn controller(&self, args: &[&str]) -> Controller {
        let child = everynode()
            .args(["controller", "--listen", "127.0.0.1:0", "--leader-elect", "--kubeconfig"])
            .arg(self.directory.path().join("kubeconfig"))
            .args(["--leader-elect-resource-namespace", SYSTEM, "--leader-elect-retry-period", "200ms"])
            .args(args)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Controller(child)
    }

    /// Waits until the leader has renewed its lease.
    pub async fn renewed(&self) {
        let first = get(&self.client, LEASE).await["spec"]["renewTime"].clone();
        eventually("the lease is renewed", LIMIT, async || {
            let now = get(&self.client, LEASE).await["spec"]["renewTime"].clone();
            if now != first { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    }

    /// Ends the cluster, and compares what was used with what `everynode install` grants with these options, but for
    /// what is granted without being called.
    pub async fn end_and_compare(self, options: &[&str], uncalled: &[&str]) {
        self.stop.cancel();
        self.server.shutdown().await;
        let (granted, used) = (granted(options), used(&self.directory.path().join("audit.log")));
        let mut unused: Vec<&String> = granted.difference(&used).collect();
        unused.retain(|permission| !uncalled.contains(&permission.as_str()));
        assert_eq!(unused, Vec::<&String>::new(), "granted and not used");
        assert_eq!(
            used.difference(&granted).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "used and not granted"
        );
        assert!(uncalled.iter().all(|permission| granted.contains(*permission)), "{uncalled:?}");
    }
}

/// Killed when dropped.
pub struct Controller(Child);

impl Controller {
    pub fn stop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn define_policies(client: &Client) {
    let document = manifest::parse_yaml(everynode_api::rollout_policy::DEFINITION).unwrap().value;
    create(client, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", document).await;
    eventually("policies are served", LIMIT, async || {
        client.get(POLICIES).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

async fn create(client: &Client, path: &str, object: Value) {
    client.post(path, object.to_string()).await.unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// The rules of the roles that are installed with these options.
fn granted(options: &[&str]) -> Permissions {
    let output = everynode().args(["install", "--dry-run"]).args(options).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut all = Permissions::new();
    for document in manifest::documents(&String::from_utf8(output.stdout).unwrap()) {
        let role = document.unwrap().value;
        let place = match role["kind"].as_str() {
            Some("ClusterRole") => String::new(),
            Some("Role") => format!(" in {SYSTEM}"),
            _ => continue,
        };
        for rule in role["rules"].as_array().unwrap() {
            all.extend(permissions(rule, &place));
        }
    }
    all
}

fn permissions(rule: &Value, place: &str) -> Permissions {
    let texts = |key: &str| -> Vec<String> {
        let list = rule[key].as_array().cloned().unwrap_or_default();
        list.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let named = match texts("resourceNames").as_slice() {
        [] => String::new(),
        names => format!(" named {}", names.join(",")),
    };
    let mut all = Permissions::new();
    for (group, resource, verb) in triples(&texts("apiGroups"), &texts("resources"), &texts("verbs")) {
        let group = if group.is_empty() { "core" } else { group };
        assert!(![group, resource, verb].contains(&"*"), "a star grants too much: {rule}");
        all.insert(format!("{verb} {group}/{resource}{place}{named}"));
    }
    all
}

fn triples<'a>(
    groups: &'a [String],
    resources: &'a [String],
    verbs: &'a [String],
) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
    groups.iter().flat_map(move |group| {
        resources.iter().flat_map(move |resource| {
            verbs.iter().map(move |verb| (group.as_str(), resource.as_str(), verb.as_str()))
        })
    })
}

/// What the log shows of the controller.
fn used(log: &Path) -> Permissions {
    let mut all = Permissions::new();
    let mut agents = BTreeSet::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        agents.insert(text("/userAgent").to_owned());
        if !text("/userAgent").starts_with("everynode-controller/") {
            continue;
        }
        let (verb, reference) = (text("/verb"), |field: &str| text(&format!("/objectRef/{field}")));
        if reference("resource").is_empty() {
            // Every authenticated user may read it.
            assert_eq!(text("/requestURI"), "/version");
            continue;
        }
        let group = if reference("apiGroup").is_empty() { "core" } else { reference("apiGroup") };
        let subresource = match reference("subresource") {
            "" => String::new(),
            name => format!("/{name}"),
        };
        let mut permission = format!("{verb} {group}/{}{subresource}", reference("resource"));
        if reference("resource") == "leases" {
            permission.push_str(&format!(" in {}", reference("namespace")));
            // The name of an object that is created is not known to rules.
            if verb != "create" {
                permission.push_str(&format!(" named {}", reference("name")));
            }
        }
        all.insert(permission);
    }
    assert!(!all.is_empty(), "no request of the controller among those of {agents:?}");
    all
}
