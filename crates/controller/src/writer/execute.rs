//! How each kind of write is carried out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_api::rollout_policy::status_path;
use everynode_client::Error;
use everynode_engine::{
    Action, DaemonSetRef, Failure, NewPod, NewRevision, Outcome, PodRef, RevisionRef, Status, Uid, Work,
};
use everynode_model::AnyObject;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::api::Api;
use crate::decode::{self, Written};
use crate::served::Served;
use crate::writer::bodies::PodBodies;
use crate::writer::complaints::Cause;
use crate::writer::{body, refusal};

/// What a write needs.
#[derive(Clone, Debug)]
pub(crate) struct Executor {
    pub(crate) api: Api,
    pub(crate) served: Served,
    pub(crate) pod_bodies: PodBodies,
    /// When the server said of a DaemonSet that it may adopt.
    pub(crate) may_adopt: Arc<Mutex<HashMap<Uid, Instant>>>,
}

/// How long an answer of the server is good for further adoptions.
const ADOPTION_CHECK_LIFE: Duration = Duration::from_secs(1);

/// How a write ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// The server turned the write away for its load and asks to wait this long.
    pub(crate) retry_after: Option<Duration>,
    /// Why it failed, if it did.
    pub(crate) cause: Cause,
}

/// A step that did not lead on.
struct Stopped(Ended);

impl Stopped {
    fn outcome(outcome: Outcome) -> Stopped {
        Stopped(Ended { outcome, retry_after: None, cause: Cause::Other })
    }

    /// The write was not made.
    fn refused(message: impl Into<String>) -> Stopped {
        Stopped::outcome(Outcome::Failed { failure: Failure::Refused, message: message.into() })
    }

    fn by(error: &Error, outcome: Outcome) -> Stopped {
        Stopped(Ended { outcome, retry_after: refusal::retry_after(error), cause: Cause::of(error) })
    }
}

impl From<serde_json::Error> for Stopped {
    fn from(error: serde_json::Error) -> Stopped {
        Stopped::refused(format!("cannot make the request: {error}"))
    }
}

/// An error of a request that is not about one known object.
fn plain(error: Error) -> Stopped {
    Stopped::by(&error, refusal::failed(&error))
}

/// An error of a request that names an object and its uid.
fn named(error: Error) -> Stopped {
    Stopped::by(&error, refusal::gone_or_failed(&error))
}

/// An error of a deletion of the object that has this uid.
fn deleted(error: Error) -> Stopped {
    Stopped::by(&error, refusal::deleted_or_failed(&error))
}

/// An error of a deletion that a change of the pod refuses.
fn changed(error: Error) -> Stopped {
    match error.code() {
        Some(409) => Stopped::refused("the pod has changed meanwhile".to_owned()),
        _ => named(error),
    }
}

/// An error of a patch of the template.
fn rewritten(error: Error) -> Stopped {
    let outcome = match (refusal::gone_or_failed(&error), error.code()) {
        (Outcome::Failed { message, .. }, Some(409)) => {
            Outcome::Failed { failure: Failure::Conflict, message }
        }
        (Outcome::Failed { message, .. }, Some(403)) => {
            Outcome::Failed { failure: Failure::Forbidden, message }
        }
        (outcome, _) => outcome,
    };
    Stopped::by(&error, outcome)
}

/// An error of a release.
fn released(error: Error) -> Stopped {
    Stopped::by(&error, refusal::released_or_failed(&error))
}

/// The server answered with success, but with what?
fn unread(error: decode::Unreadable) -> Stopped {
    let message = format!("cannot read the API server's answer: {error}");
    Stopped::outcome(Outcome::Failed { failure: Failure::Unknown, message })
}

fn written(answer: &[u8]) -> Result<Written, Stopped> {
    decode::written(answer).map_err(unread)
}

fn revision_outcome(answer: &[u8]) -> Result<Outcome, Stopped> {
    Ok(Outcome::Revision(Box::new(decode::revision(answer).map_err(unread)?)))
}

fn daemonset_path(DaemonSetRef { namespace, name, .. }: &DaemonSetRef) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}")
}

fn pod_path(daemonset: &DaemonSetRef, pod: &PodRef) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", daemonset.namespace, pod.name)
}

fn revisions_path(daemonset: &DaemonSetRef) -> String {
    format!("/apis/apps/v1/namespaces/{}/controllerrevisions", daemonset.namespace)
}

fn revision_path(daemonset: &DaemonSetRef, name: &str) -> String {
    format!("{}/{name}", revisions_path(daemonset))
}

impl Executor {
    /// Carries an action out. It may be cut off at any point by dropping the future.
    pub(crate) async fn execute(&self, action: &Action) -> Ended {
        let result = self.work(&action.daemonset, &action.work).await;
        result.map_or_else(
            |stopped| stopped.0,
            |outcome| Ended { outcome, retry_after: None, cause: Cause::Other },
        )
    }

    async fn work(&self, daemonset: &DaemonSetRef, work: &Work) -> Result<Outcome, Stopped> {
        match work {
            Work::CreatePod(pod) => self.create_pod(daemonset, pod).await,
            Work::DeletePod(pod) => {
                let answer = self.api.delete(&pod_path(daemonset, pod), body::delete(pod.uid)).await;
                answer.map_err(deleted).map(|_| Outcome::Done)
            }
            Work::DeletePodAsKnown { pod, resource_version } => {
                let body = body::delete_as_known(pod.uid, *resource_version);
                let answer = self.api.delete(&pod_path(daemonset, pod), body).await;
                answer.map_err(changed).map(|_| Outcome::Done)
            }
            Work::AdoptPod(pod) => {
                self.check_may_adopt(daemonset).await?;
                self.patch_pod(daemonset, pod, body::adopt(daemonset, pod.uid)).await.map_err(named)
            }
            Work::ReleasePod(pod) => {
                let answer = self.patch_pod(daemonset, pod, body::release(daemonset, pod.uid)).await;
                answer.map_err(released).map(|_| Outcome::Done)
            }
            Work::LabelPod { pod, resource_version, hash } => {
                let (path, body) = (pod_path(daemonset, pod), body::label(pod.uid, *resource_version, hash));
                let answer = self.api.merge_patch(&path, body).await.map_err(named)?;
                Ok(Outcome::PodPatched { resource_version: written(&answer)?.resource_version })
            }
            Work::CreateRevision(new) => self.create_revision(daemonset, new).await,
            Work::UpdateRevision { revision, number, hash } => {
                self.update_revision(daemonset, revision, *number, hash.as_deref()).await
            }
            Work::DeleteRevision(revision) => {
                let path = revision_path(daemonset, &revision.name);
                let answer = self.api.delete(&path, body::delete(revision.uid)).await;
                answer.map_err(deleted).map(|_| Outcome::Done)
            }
            Work::AdoptRevision(revision) => {
                self.check_may_adopt(daemonset).await?;
                let (path, body) =
                    (revision_path(daemonset, &revision.name), body::adopt(daemonset, revision.uid));
                revision_outcome(&self.api.strategic_patch(&path, body).await.map_err(named)?)
            }
            Work::ReleaseRevision(revision) => {
                let (path, body) =
                    (revision_path(daemonset, &revision.name), body::release(daemonset, revision.uid));
                revision_outcome(&self.api.strategic_patch(&path, body).await.map_err(released)?)
            }
            Work::WriteStatus { status } => self.write_status(daemonset, status).await,
            Work::BumpCollisionCount { expected, next } => {
                self.bump_collision_count(daemonset, *expected, *next).await
            }
            Work::WritePolicyStatus { policy, status } => {
                let body = body::policy_status(policy.uid, status);
                self.api
                    .merge_patch(&status_path(&policy.namespace, &policy.name), body)
                    .await
                    .map_err(named)?;
                Ok(Outcome::Done)
            }
            Work::RewriteTemplate { data, resource_version } => {
                let body = body::rewrite_template(daemonset.uid, *resource_version, data)?;
                let answer = self.api.strategic_patch(&daemonset_path(daemonset), body).await;
                answer.map_err(rewritten).map(|_| Outcome::Done)
            }
            // Events have a lane of their own, and lists are the watches' work.
            Work::RecordEvent(_) | Work::Relist(_) => Ok(Outcome::Done),
        }
    }

    async fn create_pod(&self, daemonset: &DaemonSetRef, pod: &NewPod) -> Result<Outcome, Stopped> {
        let path = format!("/api/v1/namespaces/{}/pods", daemonset.namespace);
        let answer = match (
            self.api.post_for_metadata(&path, self.pod_bodies.body(daemonset, pod)).await,
            &pod.name,
        ) {
            (Err(error), Some(name)) if error.is_already_exists() => {
                self.earlier_pod(daemonset, &format!("{path}/{name}")).await?
            }
            (answer, _) => answer.map_err(plain)?,
        };
        let Written { name, uid, resource_version, .. } = written(&answer)?;
        Ok(Outcome::PodCreated { name, uid, resource_version })
    }

    /// The pod that has the name of a new one, when it was made by an earlier such write whose answer was lost.
    async fn earlier_pod(&self, daemonset: &DaemonSetRef, path: &str) -> Result<Bytes, Stopped> {
        let there = self.api.get(path).await.map_err(plain)?;
        let AnyObject { metadata } = serde_json::from_slice(&there).map_err(|error| unread(error.into()))?;
        let owner = metadata.controller().and_then(|owner| Uid::parse(&owner.uid));
        let what = match owner == Some(daemonset.uid) {
            true if !metadata.is_deleting() => return Ok(there.clone()),
            true => "is being deleted",
            false => "belongs to somebody else",
        };
        let message = format!("the pod {:?} exists already and {what}", &*metadata.name);
        Err(Stopped::outcome(Outcome::Failed { failure: Failure::AlreadyExists, message }))
    }

    async fn patch_pod(
        &self,
        daemonset: &DaemonSetRef,
        pod: &PodRef,
        body: Vec<u8>,
    ) -> Result<Outcome, Error> {
        let answer = self.api.strategic_patch_for_metadata(&pod_path(daemonset, pod), body).await?;
        // A patch that was made and whose answer cannot be read leaves only the version unknown.
        let resource_version = decode::written(&answer).map_or(0, |written| written.resource_version);
        Ok(Outcome::PodPatched { resource_version })
    }

    /// Asks the server, not the watch, whether the DaemonSet may take objects in (specification
    /// [G4](everynode_engine::spec#g4)). One answer is good for all adoptions of a short time, as it is for
    /// one pass of the built-in controller; the lock is held while it is waited for, so that the others of a
    /// row wait for it too.
    async fn check_may_adopt(&self, daemonset: &DaemonSetRef) -> Result<(), Stopped> {
        let mut checked = self.may_adopt.lock().await;
        checked.retain(|_, at| at.elapsed() < ADOPTION_CHECK_LIFE);
        if checked.contains_key(&daemonset.uid) {
            return Ok(());
        }
        let asked = Instant::now();
        self.ask_may_adopt(daemonset).await?;
        checked.insert(daemonset.uid, asked);
        Ok(())
    }

    async fn ask_may_adopt(&self, daemonset: &DaemonSetRef) -> Result<(), Stopped> {
        let DaemonSetRef { namespace, name, uid } = daemonset;
        let live = written(&self.api.get_metadata(&daemonset_path(daemonset)).await.map_err(plain)?)?;
        if live.uid != *uid {
            let message =
                format!("original DaemonSet {namespace}/{name} is gone: got uid {}, wanted {uid}", live.uid);
            return Err(Stopped::refused(message));
        }
        match live.deleting {
            true => Err(Stopped::refused(format!("{namespace}/{name} is being deleted"))),
            false => Ok(()),
        }
    }

    async fn create_revision(&self, daemonset: &DaemonSetRef, new: &NewRevision) -> Result<Outcome, Stopped> {
        match self.api.post(&revisions_path(daemonset), body::revision(daemonset, new)?).await {
            Ok(answer) => revision_outcome(&answer),
            Err(error) if error.is_already_exists() => {
                let there = self.api.get(&revision_path(daemonset, &new.name)).await.map_err(plain)?;
                Ok(Outcome::RevisionExists(Box::new(decode::revision(&there).map_err(unread)?)))
            }
            Err(error) => Err(plain(error)),
        }
    }

    async fn update_revision(
        &self,
        daemonset: &DaemonSetRef,
        known: &RevisionRef,
        number: Option<i64>,
        hash: Option<&str>,
    ) -> Result<Outcome, Stopped> {
        let path = revision_path(daemonset, &known.name);
        let served = self.api.get(&path).await.map_err(named)?;
        if written(&served)?.uid != known.uid {
            return Ok(Outcome::Gone);
        }
        let body = body::changed_revision(&served, known, number, hash)?;
        revision_outcome(&self.api.put(&path, body).await.map_err(named)?)
    }

    /// PUT of what the watch last showed; when that fails in any way, once more with what the server has
    /// (specification [I7](everynode_engine::spec#i7)).
    async fn write_status(&self, daemonset: &DaemonSetRef, status: &Status) -> Result<Outcome, Stopped> {
        let path = format!("{}/status", daemonset_path(daemonset));
        if let Some(served) = self.served.get(daemonset.uid)
            && let Ok(answer) = self.api.put(&path, body::status(&served, status)?).await
        {
            return self.status_written(daemonset, &answer);
        }
        let live = self.live(daemonset).await?;
        let answer = self.api.put(&path, body::status(&live, status)?).await.map_err(named)?;
        self.status_written(daemonset, &answer)
    }

    fn status_written(&self, daemonset: &DaemonSetRef, answer: &[u8]) -> Result<Outcome, Stopped> {
        let resource_version = written(answer)?.resource_version;
        self.served.refresh(daemonset.uid, resource_version, answer);
        Ok(Outcome::StatusWritten { resource_version })
    }

    async fn bump_collision_count(
        &self,
        daemonset: &DaemonSetRef,
        expected: Option<i32>,
        next: i32,
    ) -> Result<Outcome, Stopped> {
        let live = self.live(daemonset).await?;
        let count = body::read_collision_count(&live)?;
        if count != expected {
            let message = format!("the collision count is {count:?} and not {expected:?} any more");
            return Err(Stopped::refused(message));
        }
        let path = format!("{}/status", daemonset_path(daemonset));
        let answer = self.api.put(&path, body::collision_count(&live, next)?).await.map_err(named)?;
        let resource_version = written(&answer)?.resource_version;
        self.served.refresh(daemonset.uid, resource_version, &answer);
        Ok(Outcome::CollisionCount { count: next, resource_version })
    }

    /// The DaemonSet as the server has it now; gone when it is another one of the same name.
    async fn live(&self, daemonset: &DaemonSetRef) -> Result<Bytes, Stopped> {
        let live = self.api.get(&daemonset_path(daemonset)).await.map_err(named)?;
        match written(&live)?.uid == daemonset.uid {
            true => Ok(live),
            false => Err(Stopped::outcome(Outcome::Gone)),
        }
    }
}

#[cfg(test)]
#[path = "execute_tests.rs"]
mod tests;
