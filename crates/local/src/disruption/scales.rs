//! How many pods the controllers of pods want: what their scale subresource says.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use everynode_client::Error;
use everynode_model::Value;
use everynode_model::{AnyObject, Owner as Reference};

use crate::kinds::ResourceKind;

/// The controller of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    api_version: Box<str>,
    kind: Box<str>,
    name: Box<str>,
    pub uid: Box<str>,
}

impl From<&Reference<'_>> for Owner {
    fn from(reference: &Reference<'_>) -> Owner {
        Owner {
            api_version: (*reference.api_version).into(),
            kind: (*reference.kind).into(),
            name: (*reference.name).into(),
            uid: (*reference.uid).into(),
        }
    }
}

impl Owner {
    fn group(&self) -> &str {
        self.api_version.rsplit_once('/').map_or("", |(group, _)| group)
    }

    fn is(&self, group: &str, kind: &str) -> bool {
        self.group() == group && *self.kind == *kind
    }

    /// The kind as it is served.
    fn served<'a>(&self, kinds: &'a [ResourceKind]) -> Option<&'a ResourceKind> {
        kinds.iter().find(|kind| self.is(kind.group(), &kind.kind))
    }
}

/// Why it is not known how many pods there should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Nobody serves the kind of the controller.
    NoKind(String),
    /// Objects of this kind say nowhere how many pods they want.
    NoScale(String),
    /// The controller of this pod is not there.
    NoController(Box<str>),
    /// The server did not answer.
    Refused(String),
}

impl Unknown {
    /// The next answer can be another one without anything having happened to the pods.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Unknown::NoController(_) | Unknown::Refused(_))
    }
}

/// As Kubernetes words it.
impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unknown::NoKind(kind) => write!(f, "no matches for kind {kind}"),
            Unknown::NoScale(resource) => write!(f, "{resource} does not implement the scale subresource"),
            Unknown::NoController(pod) => write!(f, "found no controllers for pod {pod:?}"),
            Unknown::Refused(why) => f.write_str(why),
        }
    }
}

/// A question to the server about the scale of a controller.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// A pod that it controls.
    pub pod: Box<str>,
    owner: Arc<Owner>,
    about: About,
}

#[derive(Debug, Clone)]
enum About {
    /// The ReplicaSet itself: a Deployment may control it, and wants so many pods of all its ReplicaSets.
    ReplicaSet,
    /// The scale of the controller.
    Scale,
    /// The scale of the Deployment that controls it; if that is gone, its own is this.
    Deployment(Owner, i64),
}

/// What came of a question.
pub(super) enum Answer {
    /// The controller with this uid wants so many pods.
    Scale(Box<str>, i64),
    /// Another question.
    Ask(Question),
    /// It is not known.
    Unknown(Unknown),
}

impl Question {
    /// How to find the scale of a pod's controller.
    pub(super) fn of(owner: &Arc<Owner>, pod: &str, kinds: &[ResourceKind]) -> Result<Question, Unknown> {
        let Some(kind) = owner.served(kinds) else {
            return Err(Unknown::NoKind(format!("{:?} in version {:?}", owner.kind, owner.api_version)));
        };
        if !kind.has_scale {
            return Err(Unknown::NoScale(kind.qualified_name()));
        }
        let about = if owner.is("apps", "ReplicaSet") { About::ReplicaSet } else { About::Scale };
        Ok(Question { pod: pod.into(), owner: owner.clone(), about })
    }

    /// Where it is answered; `None` once the kind is not served any more.
    pub(super) fn path(&self, namespace: &str, kinds: &[ResourceKind]) -> Option<String> {
        let scale = |owner: &Owner| Some(format!("{}/scale", object(owner, namespace, kinds)?));
        match &self.about {
            About::ReplicaSet => object(&self.owner, namespace, kinds),
            About::Scale => scale(&self.owner),
            About::Deployment(deployment, _) => scale(deployment),
        }
    }

    /// What an answer of the server says.
    pub(super) fn answered(self, result: Result<&[u8], &Error>) -> Answer {
        let absent = Answer::Unknown(Unknown::NoController(self.pod.clone()));
        let own = |replicas: i64| Answer::Scale(self.owner.uid.clone(), replicas);
        let body = match (result, &self.about) {
            (Ok(body), _) => body,
            (Err(error), About::Deployment(_, replicas)) if error.is_not_found() => return own(*replicas),
            (Err(error), _) if error.is_not_found() => return absent,
            (Err(error), _) => return Answer::Unknown(Unknown::Refused(error.to_string())),
        };
        let found: Value = serde_json::from_slice(body).unwrap_or_default();
        let replicas = found["spec"]["replicas"].as_i64().unwrap_or(0);
        let is = |owner: &Owner| found["metadata"]["uid"] == *owner.uid;
        match &self.about {
            About::Deployment(deployment, _) if is(deployment) => {
                Answer::Scale(deployment.uid.clone(), replicas)
            }
            About::Deployment(_, replicas) => own(*replicas),
            _ if !is(&self.owner) => absent,
            About::Scale => own(replicas),
            About::ReplicaSet => match controller(body).filter(|owner| owner.is("apps", "Deployment")) {
                Some(deployment) => {
                    Answer::Ask(Question { about: About::Deployment(deployment, replicas), ..self })
                }
                None => own(replicas),
            },
        }
    }
}

fn object(owner: &Owner, namespace: &str, kinds: &[ResourceKind]) -> Option<String> {
    Some(owner.served(kinds)?.path_of(namespace, &owner.name))
}

fn controller(object: &[u8]) -> Option<Owner> {
    let object: AnyObject<'_> = serde_json::from_slice(object).ok()?;
    object.metadata.controller().map(Owner::from)
}

/// The scales of the controllers of a budget's pods, while they are asked for.
#[derive(Debug)]
pub(super) struct Survey {
    /// Which one it is: answers to an earlier one do not count.
    pub number: u64,
    /// Questions without an answer.
    pub open: usize,
    scales: HashMap<Box<str>, i64>,
    /// The failure of the first pod by name, so that it is the same one every time.
    failure: Option<(Box<str>, Unknown)>,
}

impl Survey {
    pub(super) fn new(number: u64) -> Survey {
        Survey { number, open: 0, scales: HashMap::new(), failure: None }
    }

    /// A question is answered: the controller with this uid wants so many pods.
    pub(super) fn take(&mut self, controller: Box<str>, replicas: i64) {
        self.open -= 1;
        self.scales.insert(controller, replicas);
    }

    /// A question is answered: the controller of this pod does not say how many.
    pub(super) fn take_failure(&mut self, pod: &str, why: Unknown) {
        self.open -= 1;
        self.fail(pod, why);
    }

    /// The controller of this pod does not say how many pods it wants.
    pub(super) fn fail(&mut self, pod: &str, why: Unknown) {
        if self.failure.as_ref().is_none_or(|(first, _)| *pod < **first) {
            self.failure = Some((pod.into(), why));
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// How many pods there should be.
    pub(super) fn expected(self) -> Result<i64, Unknown> {
        match self.failure {
            Some((_, why)) => Err(why),
            None => Ok(self.scales.values().sum()),
        }
    }
}
