//! Which roll-out somebody means.

use everynode_api::PolicyPhase;

use super::{Command, Policies, Policy, Refused, Rollout};
use crate::near::{any_of, near};

/// What somebody asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The roll-out of this DaemonSet.
    DaemonSet(String),
    /// All that this policy conducts.
    Policy(String),
}

impl Policies {
    /// The policies that a target is about, with no more roll-outs than it is about.
    ///
    /// # Errors
    /// [`Refused`] when there is none, with the names that may have been meant.
    pub fn about(&self, target: &Target) -> Result<Policies, Refused> {
        let policies: Vec<Policy> = match target {
            Target::Policy(name) => self.policies.iter().filter(|one| one.name == *name).cloned().collect(),
            Target::DaemonSet(name) => {
                let only = |policy: &Policy| Policy {
                    rollouts: policy.rollout(name).into_iter().cloned().collect(),
                    ..policy.clone()
                };
                self.policies.iter().filter(|one| one.rollout(name).is_some()).map(only).collect()
            }
        };
        match policies.is_empty() {
            true => Err(self.missing(target)),
            false => Ok(Policies { namespace: self.namespace.clone(), policies }),
        }
    }

    /// The policy that a command is for, and the roll-out: there must be no doubt. What concerns all that a policy
    /// conducts needs no roll-out.
    ///
    /// # Errors
    /// [`Refused`] when there is none, or when there are several.
    pub fn only(&self, command: Command) -> Result<(&Policy, Option<&Rollout>), Refused> {
        let [policy] = self.policies.as_slice() else { return Err(self.not_one()) };
        match policy.rollouts.as_slice() {
            [] => Ok((policy, None)),
            [one] => Ok((policy, Some(one))),
            [first, ..] if matches!(command, Command::Pause | Command::Resume) => Ok((policy, Some(first))),
            several => {
                let names: Vec<String> =
                    several.iter().map(|one| format!("daemonset/{}", one.daemonset)).collect();
                Err(Refused {
                    message: format!("policy {} conducts {} DaemonSets", policy.name, several.len()),
                    hint: format!("name one: {}", any_of(&names)),
                })
            }
        }
    }

    /// The policy that conducts a DaemonSet.
    pub fn conducting(&self, daemonset: &str) -> Option<&Policy> {
        self.policies.iter().find(|one| one.rollout(daemonset).is_some())
    }

    /// Namespace and name of each DaemonSet that is conducted.
    pub fn daemonsets(&self) -> Vec<(String, String)> {
        let of = |policy: &Policy| -> Vec<(String, String)> {
            policy.rollouts.iter().map(|one| (policy.namespace.clone(), one.daemonset.clone())).collect()
        };
        self.policies.iter().flat_map(of).collect()
    }

    fn missing(&self, target: &Target) -> Refused {
        let place = self.place();
        let (message, name, names): (_, _, Vec<&str>) = match target {
            Target::Policy(name) => {
                let names = self.policies.iter().map(|one| one.name.as_str());
                (format!("there is no policy {name}{place}"), name, names.collect())
            }
            Target::DaemonSet(name) => {
                let rollouts = self.policies.iter().flat_map(|one| &one.rollouts);
                let names = rollouts.map(|one| one.daemonset.as_str());
                (format!("no policy{place} conducts daemonset {name}"), name, names.collect())
            }
        };
        let conflict = self.policies.iter().find(|one| one.phase == Some(PolicyPhase::Conflict));
        let near = near(name, names.into_iter());
        let hint = match conflict {
            Some(policy) => policy.message.clone(),
            None if near.is_empty() => "`everynode rollout status` shows all policies".to_owned(),
            None => format!("there is {}", any_of(&near)),
        };
        Refused { message, hint }
    }

    fn not_one(&self) -> Refused {
        let names: Vec<String> = self.policies.iter().map(|one| format!("policy/{}", one.name)).collect();
        let place = self.place();
        match names.is_empty() {
            true => Refused {
                message: format!("there is no RolloutPolicy{place}"),
                hint: "name another namespace with -n".to_owned(),
            },
            false => Refused {
                message: format!("there are {} policies{place}", names.len()),
                hint: format!("name one: {}", any_of(&names)),
            },
        }
    }

    /// ` in namespace X`, or nothing for all.
    pub(super) fn place(&self) -> String {
        self.namespace.as_ref().map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default()
    }
}
