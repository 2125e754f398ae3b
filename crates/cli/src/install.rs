//! `everynode install` and `everynode uninstall`: the controller in a cluster, and out of it again.
//!
//! What is installed are the files of `deploy/kustomize/base`; the options change values in them and nothing else.

use std::process::ExitCode;
use std::time::Duration;

use everynode_api::rollout_policy;
use everynode_client::Client;
use everynode_local::up::{self, Document, SourceError};

use crate::failure::Failure;
use crate::plain;
use crate::shared::ClusterArgs;

/// The files of the kustomize base, in the order in which they are applied.
const BASE: &[(&str, &str)] = &[
    ("namespace.yaml", include_str!("../kustomize/base/namespace.yaml")),
    ("rollout-policy-crd.yaml", rollout_policy::DEFINITION),
    ("service-account.yaml", include_str!("../kustomize/base/service-account.yaml")),
    ("cluster-role.yaml", ROLE),
    ("cluster-role-binding.yaml", include_str!("../kustomize/base/cluster-role-binding.yaml")),
    ("role.yaml", include_str!("../kustomize/base/role.yaml")),
    ("role-binding.yaml", include_str!("../kustomize/base/role-binding.yaml")),
    ("service.yaml", include_str!("../kustomize/base/service.yaml")),
    ("pod-disruption-budget.yaml", include_str!("../kustomize/base/pod-disruption-budget.yaml")),
    ("deployment.yaml", include_str!("../kustomize/base/deployment.yaml")),
];

/// The ClusterRole of the base, and what scope rollouts has in its place.
const ROLE: &str = include_str!("../kustomize/base/cluster-role.yaml");
const ROLLOUTS_ROLE: &str = include_str!("../kustomize/components/scope-rollouts/cluster-role.yaml");

/// The rule by which a template may be written back, as deploy/kustomize/components/rewrite-template has it.
const REWRITE_RULE: &str = "- apiGroups: [apps]\n  resources: [daemonsets]\n  verbs: [patch]\n";

/// The rules by which it may be asked what pods take, as deploy/kustomize/components/pod-metrics has them.
const METRICS_RULE: &str = "- apiGroups: [metrics.k8s.io]\n  resources: [pods]\n  verbs: [list]\n\
                            - apiGroups: [\"\"]\n  resources: [nodes/metrics]\n  verbs: [get]\n";

/// The image of this version.
const IMAGE: &str = concat!("everynode:", env!("CARGO_PKG_VERSION"));

/// Where the options go.
const IMAGE_LINE: &str = concat!("image: everynode:", env!("CARGO_PKG_VERSION"), "\n");
const REPLICAS_LINE: &str = "replicas: 2\n";
const SCOPE_LINE: &str = "- --scope=all\n";

/// How long an object may take to go.
const REMOVAL_LIMIT: Duration = Duration::from_secs(120);

/// The name under which fields are owned.
const MANAGER: &str = "everynode-install";

/// Arguments of `install`.
#[derive(Debug, clap::Args)]
pub struct InstallArgs {
    /// The cluster to install to.
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Print the objects instead of applying them; no cluster is needed
    #[arg(long)]
    dry_run: bool,
    /// Image of the controller, where the cluster's nodes find it
    #[arg(long, value_name = "IMAGE", default_value = IMAGE, value_parser = image)]
    image: String,
    /// Replicas; one leads, the others stand by
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=9))]
    replicas: u32,
    /// `all` takes the place of the built-in DaemonSet controller; `rollouts` places nothing itself, and conducts the
    /// roll-outs of OnDelete DaemonSets that have a RolloutPolicy
    #[arg(long, value_name = "SCOPE", default_value = "all", value_parser = ["all", "rollouts"])]
    scope: String,
    /// In scope rollouts, grant the writing back of templates, for policies with failure.rewriteTemplate
    #[arg(long)]
    rewrite_template: bool,
    /// Grant the reading of what pods take, from metrics.k8s.io and from kubelets, for policies with an analysis of cpu or
    /// memory
    #[arg(long)]
    with_metrics: bool,
}

/// Arguments of `uninstall`.
#[derive(Debug, clap::Args)]
pub struct UninstallArgs {
    /// The cluster to remove it from.
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
}

/// An image reference; what a registry accepts beyond that is its business.
fn image(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._/:@".contains(c);
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(fits) {
        return Err("write an image, for example registry.example/everynode:0.1.0".into());
    }
    match text.split_once('@') {
        Some((_, digest)) if !is_digest(digest) => {
            Err("behind @ comes sha256: and 64 hexadecimal digits, as your registry says it".into())
        }
        _ => Ok(text.to_owned()),
    }
}

fn is_digest(text: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64 && digits.chars().all(is_digit))
}

/// Prints or applies the objects.
///
/// # Errors
/// No cluster, or the first object that it refuses.
pub async fn run(args: InstallArgs) -> Result<ExitCode, Failure> {
    if args.rewrite_template && args.scope != "rollouts" {
        return Err(Failure::with_hint(
            "--rewrite-template has an effect in scope rollouts only",
            "leave it out, or add --scope rollouts",
        ));
    }
    if !args.image.contains('@') {
        say(
            "note: the image is named by a tag, which can come to mean another image; docs/install.md says how to \
             name it by its digest",
        );
    }
    if args.scope == "all" {
        say("note: scope all takes the place of the built-in DaemonSet controller, which must be off: \
             kube-controller-manager --controllers=*,-daemonset-controller (docs/install.md)");
    }
    if args.dry_run {
        let texts: Vec<String> = BASE.iter().map(|(_, text)| with_options(text, &args)).collect();
        print(&texts.join("---\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let client = connect(&args.cluster).await?;
    let documents = documents(|text| with_options(text, &args))?;
    refuse_helm(&client, &documents).await?;
    for document in &documents {
        let applied = up::apply(&client, document, MANAGER).await.map_err(refused)?;
        print(&format!("{applied}\n"));
    }
    say("wait for it with: kubectl -n everynode-system rollout status deployment/everynode-controller");
    Ok(ExitCode::SUCCESS)
}

/// Deletes the objects, the controller first and its namespace last, and waits until they are gone. The definition of
/// RolloutPolicy stays while there are policies, which would go with it.
///
/// # Errors
/// No cluster, or the first object that cannot be deleted.
pub async fn remove(args: UninstallArgs) -> Result<ExitCode, Failure> {
    let client = connect(&args.cluster).await?;
    let documents = documents(str::to_owned)?;
    refuse_helm(&client, &documents).await?;
    for document in documents.iter().rev() {
        if document.object["kind"] == "CustomResourceDefinition" && has_policies(&client).await? {
            let (object, _) = up::live(&client, document).await.map_err(refused)?;
            print(&format!("{object} kept: there are policies, which would go with it\n"));
            continue;
        }
        let (object, found) = match args.dry_run {
            true => {
                let (object, live) = up::live(&client, document).await.map_err(refused)?;
                (object, live.is_some())
            }
            false => {
                let removed = up::remove(&client, document, REMOVAL_LIMIT).await.map_err(refused)?;
                (removed.object, removed.found)
            }
        };
        let what = match (found, args.dry_run) {
            (true, true) => "deleted (dry run)",
            (true, false) => "deleted",
            (false, _) => "not found",
        };
        print(&format!("{object} {what}\n"));
    }
    if !args.dry_run {
        say(
            "DaemonSets and their pods stay as they are; the built-in DaemonSet controller can be switched on again",
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn has_policies(client: &Client) -> Result<bool, Failure> {
    let list = match client.get(&format!("{}?limit=1", rollout_policy::collection(None))).await {
        Ok(list) => list,
        Err(error) if error.is_not_found() => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let list: serde_json::Value = serde_json::from_slice(&list)?;
    Ok(list["items"].as_array().is_some_and(|items| !items.is_empty()))
}

async fn connect(cluster: &ClusterArgs) -> Result<Client, Failure> {
    let client = cluster.connect().await?;
    let client = client.with_user_agent(concat!("everynode-install/", env!("CARGO_PKG_VERSION")));
    client.get("/version").await?;
    Ok(client)
}

fn with_options(text: &str, args: &InstallArgs) -> String {
    let mut text = match text == ROLE && args.scope == "rollouts" {
        true => ROLLOUTS_ROLE.to_owned(),
        false => text.to_owned(),
    };
    if text == ROLE || text == ROLLOUTS_ROLE {
        let rules = [(args.rewrite_template, REWRITE_RULE), (args.with_metrics, METRICS_RULE)];
        rules.iter().filter(|(is_wanted, _)| *is_wanted).for_each(|(_, rule)| text.push_str(rule));
    }
    text.replace(IMAGE_LINE, &format!("image: {}\n", args.image))
        .replace(REPLICAS_LINE, &format!("replicas: {}\n", args.replicas))
        .replace(SCOPE_LINE, &format!("- --scope={}\n", args.scope))
}

fn documents(change: impl Fn(&str) -> String) -> Result<Vec<Document>, Failure> {
    let mut all = Vec::new();
    for (name, text) in BASE {
        all.extend(up::parse(name, &change(text)).map_err(refused)?);
    }
    Ok(all)
}

/// Objects of a Helm release are left to Helm, which would not know what became of them.
async fn refuse_helm(client: &Client, documents: &[Document]) -> Result<(), Failure> {
    for document in documents.iter().filter(|document| document.object["kind"] == "Deployment") {
        let (object, Some(live)) = up::live(client, document).await.map_err(refused)? else { continue };
        if live["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm" {
            return Err(Failure::with_hint(
                format!("{object} was installed with Helm"),
                "use helm upgrade and helm uninstall, see docs/install.md",
            ));
        }
    }
    Ok(())
}

fn refused(error: SourceError) -> Failure {
    // The place is a line of a file that the user does not have.
    let hint = "docs/install.md lists the objects and who may make them; what was done before stays, and the \
                command can be repeated";
    Failure::with_hint(error.message, hint)
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn print(text: &str) {
    print!("{}", plain::text(text));
}

#[expect(clippy::print_stderr, reason = "what goes beside the output")]
fn say(text: &str) {
    eprintln!("{}", plain::text(text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::path::Path;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: InstallArgs,
    }

    #[test]
    fn every_file_of_the_base_is_installed_and_in_its_order() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kustomize/base");
        let text = std::fs::read_to_string(directory.join("kustomization.yaml")).unwrap();
        let named: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("- ")).collect();
        assert_eq!(named, BASE.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        let mut there: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "kustomization.yaml")
            .collect();
        let mut named: Vec<String> = named.into_iter().map(str::to_owned).collect();
        there.sort();
        named.sort();
        assert_eq!(there, named);
    }

    #[test]
    fn options_change_one_value_each() {
        let check = |options: &[&str], expected: &[&str]| {
            let line = Line::parse_from([&["install"], options].concat());
            let changed: String = BASE.iter().map(|(_, text)| with_options(text, &line.args)).collect();
            let plain: String = BASE.iter().map(|(_, text)| *text).collect();
            let pairs = plain.lines().zip(changed.lines()).filter(|(before, after)| before != after);
            assert_eq!(pairs.map(|(_, after)| after.trim()).collect::<Vec<_>>(), expected, "{options:?}");
        };
        check(&[], &[]);
        let pinned = format!("r.example/e@sha256:{}", "0a".repeat(32));
        check(&["--image", &pinned], &[&format!("image: {pinned}")]);
        check(&["--replicas", "3"], &["replicas: 3"]);
    }

    #[test]
    fn an_image_has_no_characters_that_yaml_would_read() {
        let digest = "0a".repeat(32);
        for text in ["everynode:0.1.0", "localhost:5000/a/b_c:v1", &format!("x@sha256:{digest}")] {
            assert!(image(text).is_ok(), "{text}");
        }
        for text in ["x@sha256:0a", "x@", &format!("x@md5:{digest}"), &format!("x@sha256:{digest}0")] {
            assert!(image(text).is_err(), "{text}");
        }
        for text in ["", "a b", "a\nb: c", "\"x\"", "#x", "-x"] {
            assert!(image(text).is_err(), "{text}");
        }
    }
}
