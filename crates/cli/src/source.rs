//! Where a fleet is read from: a cluster, or the file of a snapshot.

use std::fs::File;
use std::path::PathBuf;

use everynode_client::Client;
use everynode_inspect::events::{EventLine, Subject};
use everynode_inspect::near::{any_of, near};
use everynode_inspect::status::Filter;
use everynode_plan::{CollectError, Fleet, Wanted};

use crate::failure::Failure;
use crate::shared::ClusterArgs;

/// Which DaemonSets a command shows, and from where.
#[derive(Debug, clap::Args)]
pub struct DaemonSetsArgs {
    /// The DaemonSets to show [default: all of the namespace]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// The DaemonSets of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// The DaemonSets of this namespace [default: the context's]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Show this snapshot, offline, instead of a cluster
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kubeconfig", "context"])]
    pub snapshot: Option<PathBuf>,
    /// The cluster to read.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

impl DaemonSetsArgs {
    /// Where they are read from, and the namespace of those that name none.
    pub async fn open(&self, user_agent: &str) -> Result<(Source, String), Failure> {
        let source = Source::open(self.snapshot.as_ref(), &self.cluster, user_agent).await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| source.default_namespace().to_owned());
        Ok((source, namespace))
    }

    /// What of the fleet has to be read.
    pub fn wanted<'a>(&self, namespace: &'a str) -> Wanted<'a> {
        match self.all_namespaces {
            true => Wanted::All(namespace),
            false => Wanted::Namespace(namespace),
        }
    }

    /// Which of them are shown.
    pub fn filter(&self, namespace: &str) -> Filter {
        Filter { namespace: (!self.all_namespaces).then(|| namespace.to_owned()), names: self.names.clone() }
    }
}

/// A name of which there is no DaemonSet is a mistake.
pub fn check_names(filter: &Filter, is_shown: impl Fn(&str) -> bool, fleet: &Fleet) -> Result<(), Failure> {
    let Some(missing) = filter.names.iter().find(|name| !is_shown(name)) else { return Ok(()) };
    let text =
        |value: &serde_json::Value, key: &str| value["metadata"][key].as_str().unwrap_or_default().to_owned();
    let is_same = |value: &&serde_json::Value| text(value, "name") == *missing;
    let elsewhere = fleet.daemonsets.iter().find(is_same);
    let names: Vec<String> = fleet.daemonsets.iter().map(|value| text(value, "name")).collect();
    let near = near(missing, names.iter().map(String::as_str));
    let hint = match elsewhere {
        Some(value) => format!("there is one in namespace {0}: add -n {0}", text(value, "namespace")),
        None if near.is_empty() => "without names all are shown".to_owned(),
        None => format!("there is {}", any_of(&near)),
    };
    let place = filter.namespace.as_ref().map(|ns| format!(" in namespace {ns}"));
    Err(Failure::with_hint(format!("there is no DaemonSet {missing}{}", place.unwrap_or_default()), hint))
}

/// `There is no DaemonSet`, and where some are: so many in other namespaces.
pub fn nothing(filter: &Filter, elsewhere: usize) -> String {
    let place = filter.namespace.as_ref().map(|ns| format!(" in namespace {ns}")).unwrap_or_default();
    match elsewhere {
        0 => format!("There is no DaemonSet{place}.\n"),
        1 => format!("There is no DaemonSet{place}, and 1 elsewhere: -A shows it.\n"),
        more => format!("There is no DaemonSet{place}, and {more} elsewhere: -A shows them.\n"),
    }
}

/// A cluster or a file.
pub enum Source {
    /// A cluster.
    Cluster(Box<Client>),
    /// A snapshot.
    Snapshot(PathBuf),
}

impl Source {
    /// The snapshot if one is named, else the cluster.
    pub async fn open(
        snapshot: Option<&PathBuf>,
        cluster: &ClusterArgs,
        user_agent: &str,
    ) -> Result<Source, Failure> {
        if let Some(path) = snapshot {
            return Ok(Source::Snapshot(path.clone()));
        }
        let client = cluster.connect().await?;
        Ok(Source::Cluster(Box::new(client.with_user_agent(user_agent))))
    }

    /// The namespace of objects that name none.
    pub fn default_namespace(&self) -> &str {
        match self {
            Source::Cluster(client) => client.default_namespace(),
            Source::Snapshot(_) => "default",
        }
    }

    /// Reads the fleet for a plan, which needs the nodes.
    pub async fn fleet(&self, wanted: Wanted<'_>) -> Result<Fleet, Failure> {
        match self {
            Source::Cluster(client) => {
                Fleet::from_cluster(client, wanted, "").await.map_err(|error| unreadable(&error))
            }
            Source::Snapshot(path) => from_file(path, wanted),
        }
    }

    /// Reads as much of the fleet as may be read.
    pub async fn part(&self, wanted: Wanted<'_>) -> Result<Fleet, Failure> {
        match self {
            Source::Cluster(client) => {
                let fleet = Fleet::from_part_of_cluster(client, wanted).await;
                fleet.map_err(|error| unreadable(&error))
            }
            Source::Snapshot(path) => from_file(path, wanted),
        }
    }

    /// What the cluster's events tell about a subject, as far as they may be read.
    pub async fn events(
        &self,
        subject: Option<Subject>,
        not_seen: &mut Vec<String>,
    ) -> Option<Vec<EventLine>> {
        let (Source::Cluster(client), Some(subject)) = (self, subject) else { return None };
        match subject.events(client).await {
            Ok(events) => Some(events),
            Err(error) => {
                not_seen.push(format!("events could not be seen ({error}), so less is told"));
                None
            }
        }
    }
}

fn from_file(path: &PathBuf, wanted: Wanted<'_>) -> Result<Fleet, Failure> {
    let named = |error: &dyn std::fmt::Display| Failure {
        message: format!("snapshot {}: {error}", path.display()),
        hint: None,
    };
    let file = File::open(path).map_err(|error| named(&error))?;
    Fleet::from_file(file, wanted).map_err(|error| named(&error))
}

fn unreadable<E: std::error::Error + 'static>(error: &CollectError<E>) -> Failure {
    let code = match error {
        CollectError::Api { source, .. } => source.code(),
        _ => None,
    };
    let hint = match code {
        Some(401) => Some(
            "the cluster does not know you: log in, or name another --kubeconfig or --context".to_owned(),
        ),
        Some(403) => {
            Some("you need the verb list on it, for the cluster or for the namespace of -n".to_owned())
        }
        _ => None,
    };
    Failure { message: error.to_string(), hint }
}
