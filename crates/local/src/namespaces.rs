//! What every namespace has, and how one ends: its default ServiceAccount and `kube-root-ca.crt` ConfigMap; and
//! the deletion of all that is in it before it goes.

mod conditions;
mod end;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use everynode_client::{Client, Collection, Error, Event, ListWatch};
use everynode_model::Value;
use futures::StreamExt;
use serde_json::json;
use tokio::task::JoinSet;

const ROOT_CA: &str = "kube-root-ca.crt";
/// Namespaces that are worked on at one time.
const CONCURRENCY: usize = 8;
/// How long a namespace rests after it was worked on.
const REST: Duration = Duration::from_millis(500);

/// What is known about one namespace.
#[derive(Debug, Default)]
struct Space {
    present: bool,
    terminating: bool,
    has_account: bool,
    has_authority: bool,
    busy: bool,
}

/// What a namespace needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    Contents { account: bool, authority: bool },
    End,
}

impl Space {
    fn need(&self) -> Need {
        match (self.present, self.terminating) {
            (false, _) => Need::Nothing,
            (true, true) => Need::End,
            (true, false) if self.has_account && self.has_authority => Need::Nothing,
            (true, false) => Need::Contents { account: !self.has_account, authority: !self.has_authority },
        }
    }
}

/// Runs for ever.
pub(crate) async fn run(client: Client, ca_certificate_pem: String) {
    let follow = |path: &str, name: &str| {
        let query =
            if name.is_empty() { String::new() } else { format!("fieldSelector=metadata.name%3D{name}") };
        ListWatch::new(path).query(query).run(client.clone())
    };
    let mut spaces = follow("/api/v1/namespaces", "");
    let mut accounts = follow("/api/v1/serviceaccounts", "default");
    let mut authorities = follow("/api/v1/configmaps", ROOT_CA);
    let mut state = State { ca_certificate_pem: ca_certificate_pem.clone(), ..State::default() };
    let mut tasks: JoinSet<String> = JoinSet::new();
    loop {
        while tasks.len() < CONCURRENCY
            && let Some((name, need)) = state.next()
        {
            let (client, ca) = (client.clone(), ca_certificate_pem.clone());
            tasks.spawn(async move {
                work(&client, &ca, &name, need).await;
                name
            });
        }
        tokio::select! {
            biased;
            Some(done) = tasks.join_next() => match done {
                Ok(name) => state.done(&name),
                Err(error) => tracing::error!(%error, "work on a namespace was lost"),
            },
            Some(event) = spaces.next() => state.space_event(event),
            Some(event) = accounts.next() => state.event(event, State::account),
            Some(event) = authorities.next() => state.event(event, State::authority),
        }
    }
}

#[derive(Default)]
struct State {
    spaces: BTreeMap<String, Space>,
    /// The namespaces that there are: one may go while its watch is interrupted.
    present: Collection<String, ()>,
    /// How many of the three collections are known.
    listed: u32,
    ca_certificate_pem: String,
}

impl State {
    fn space_event(&mut self, event: Event) {
        match event {
            Event::Restarted => self.present.begin_list(),
            Event::InitialDone(_) => {
                for (name, ()) in self.present.end_list() {
                    self.spaces.remove(&name);
                }
            }
            _ => {}
        }
        self.event(event, State::space);
    }

    fn event(&mut self, event: Event, take: fn(&mut State, &Value, bool)) {
        let (object, exists) = match event {
            Event::InitialObject(object) | Event::Applied(object) => (object, true),
            Event::Deleted(object) => (object, false),
            Event::InitialDone(_) => {
                self.listed += 1;
                return;
            }
            Event::Interrupted(error) => return tracing::warn!(%error, "a watch was interrupted"),
            Event::Restarted | Event::Bookmark(_) => return,
        };
        match serde_json::from_slice::<Value>(&object) {
            Ok(object) => take(self, &object, exists),
            Err(error) => tracing::warn!(%error, "an object of the watch cannot be read"),
        }
    }

    fn at(&mut self, name: &Value) -> &mut Space {
        self.spaces.entry(name.as_str().unwrap_or_default().to_owned()).or_default()
    }

    fn space(&mut self, object: &Value, exists: bool) {
        let space = self.at(&object["metadata"]["name"]);
        space.present = exists;
        space.terminating = !object["metadata"]["deletionTimestamp"].is_null();
        let Some(name) = object["metadata"]["name"].as_str() else { return };
        if exists {
            self.present.put(name.to_owned(), ());
        } else {
            self.spaces.remove(name);
            self.present.remove(name);
        }
    }

    fn account(&mut self, object: &Value, exists: bool) {
        self.at(&object["metadata"]["namespace"]).has_account = exists;
    }

    fn authority(&mut self, object: &Value, exists: bool) {
        let right = object["data"]["ca.crt"] == self.ca_certificate_pem.as_str();
        self.at(&object["metadata"]["namespace"]).has_authority = exists && right;
    }

    /// A namespace that needs something and is not worked on.
    fn next(&mut self) -> Option<(String, Need)> {
        if self.listed < 3 {
            return None;
        }
        let (name, space) =
            self.spaces.iter_mut().find(|(_, space)| !space.busy && space.need() != Need::Nothing)?;
        space.busy = true;
        Some((name.clone(), space.need()))
    }

    fn done(&mut self, name: &str) {
        if let Some(space) = self.spaces.get_mut(name) {
            space.busy = false;
        }
    }
}

async fn work(client: &Client, ca: &str, name: &str, need: Need) {
    let result = match need {
        Need::Nothing => Ok(()),
        Need::Contents { account, authority } => furnish(client, ca, name, account, authority).await,
        Need::End => end::end(client, name).await,
    };
    if let Err(error) = result
        && !error.is_not_found()
    {
        tracing::warn!(namespace = name, %error, "a namespace is not as it should be");
    }
    // The watch shows what was written; until then, and after a failure, the namespace rests.
    tokio::time::sleep(REST).await;
}

/// Creates what every namespace has.
async fn furnish(client: &Client, ca: &str, name: &str, account: bool, authority: bool) -> Result<(), Error> {
    if account {
        let body = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
        let path = format!("/api/v1/namespaces/{name}/serviceaccounts");
        created(client.post(&path, body.to_string()).await)?;
    }
    if authority {
        let description = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";
        let body = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": ROOT_CA, "annotations": { "kubernetes.io/description": description } },
            "data": { "ca.crt": ca },
        });
        let path = format!("/api/v1/namespaces/{name}/configmaps");
        if !created(client.post(&path, body.to_string()).await)? {
            let patch = json!({ "data": { "ca.crt": ca } }).to_string();
            let merge = everynode_client::content_type::MERGE_PATCH;
            client.patch(&format!("{path}/{ROOT_CA}"), merge, patch).await?;
        }
    }
    Ok(())
}

/// False when the object was there already.
fn created(result: Result<Bytes, Error>) -> Result<bool, Error> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(namespace: &str, name: &str, more: Value) -> Value {
        let mut object = json!({"metadata": {"name": name, "namespace": namespace}});
        for (key, value) in more.as_object().unwrap() {
            object[key] = value.clone();
        }
        object
    }

    #[test]
    fn a_namespace_needs_its_account_and_its_authority() {
        let mut state = State { listed: 3, ca_certificate_pem: "CA".into(), ..State::default() };
        state.space(&object("", "a", json!({})), true);
        assert_eq!(state.next().unwrap().1, Need::Contents { account: true, authority: true });
        state.account(&object("a", "default", json!({})), true);
        state.authority(&object("a", ROOT_CA, json!({"data": {"ca.crt": "another"}})), true);
        assert!(state.next().is_none(), "it is worked on");
        state.done("a");
        assert_eq!(state.next().unwrap().1, Need::Contents { account: false, authority: true });
        state.done("a");
        state.authority(&object("a", ROOT_CA, json!({"data": {"ca.crt": "CA"}})), true);
        assert!(state.next().is_none());
    }

    #[test]
    fn nothing_is_created_before_all_is_known() {
        let mut state = State { listed: 2, ca_certificate_pem: "CA".into(), ..State::default() };
        state.space(&object("", "a", json!({})), true);
        assert!(state.next().is_none());
    }
    #[test]
    fn a_namespace_that_went_while_its_watch_was_interrupted_is_forgotten() {
        let mut state = State { listed: 3, ..State::default() };
        for name in ["gone", "there"] {
            state.space(&object("", name, json!({})), true);
        }
        state.space_event(Event::Restarted);
        let there = object("", "there", json!({})).to_string();
        state.space_event(Event::InitialObject(there.into()));
        state.space_event(Event::InitialDone("9".into()));
        assert_eq!(state.next().unwrap().0, "there");
        assert!(state.next().is_none());
    }
}
