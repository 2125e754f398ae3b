//! What people ask of a roll-out.

use everynode_api::{PolicyPhase, RolloutPhase};
use serde_json::{Value, json};

use super::{Policy, Rollout};

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Nothing more is replaced.
    Pause,
    /// It goes on.
    Resume,
    /// The next wave may begin.
    Promote,
    /// The new revision is given up.
    Abort,
    /// Failed nodes are tried again.
    Retry,
}

/// A change of a policy that carries a command out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The JSON merge patch of the policy.
    pub patch: Value,
    /// The same as a command of kubectl.
    pub kubectl: String,
    /// What it brings about, as a sentence.
    pub effect: String,
}

/// Why a command makes no sense now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// One sentence.
    pub message: String,
    /// What to do instead.
    pub hint: String,
}

fn refused(message: impl Into<String>, hint: impl Into<String>) -> Refused {
    Refused { message: message.into(), hint: hint.into() }
}

impl Command {
    /// The change of the policy. Pausing and resuming concern all that the policy conducts; the others one roll-out.
    ///
    /// # Errors
    /// [`Refused`] when it would have no effect.
    pub fn order(self, policy: &Policy, rollout: Option<&Rollout>) -> Result<Order, Refused> {
        match (self, rollout) {
            (Command::Pause | Command::Resume, _) => self.pausing(policy),
            (_, Some(rollout)) => self.for_revision(policy, rollout),
            (_, None) => Err(nothing_conducted(policy)),
        }
    }

    fn pausing(self, policy: &Policy) -> Result<Order, Refused> {
        let paused = self == Command::Pause;
        if policy.paused == paused {
            let state = if paused { "is paused already" } else { "is not paused" };
            return Err(refused(
                format!("policy {} {state}", policy.name),
                "`everynode rollout status` tells how it stands",
            ));
        }
        let patch = json!({"spec": {"paused": paused}});
        let effect = match paused {
            true => "paused: nothing more is replaced; what is missing is still created",
            false => "resumed",
        };
        Ok(Order {
            kubectl: format!(
                "kubectl -n {} patch rolloutpolicy {} --type merge -p '{patch}'",
                policy.namespace, policy.name
            ),
            patch,
            effect: format!("policy {} is {effect}", policy.name),
        })
    }

    fn for_revision(self, policy: &Policy, rollout: &Rollout) -> Result<Order, Refused> {
        let Rollout { daemonset, revision, phase, wave, attempt, .. } = rollout;
        if revision.is_empty() {
            return Err(refused(
                format!("the roll-out of {daemonset} has not begun"),
                "wait until the policy's status names a revision",
            ));
        }
        let (key, value, effect) = match self {
            Command::Promote => {
                self.check_promotion(rollout)?;
                (
                    everynode_api::Command::Promote,
                    format!("{revision}/{wave}"),
                    format!("wave {wave} is promoted"),
                )
            }
            Command::Abort => {
                check_abort(rollout)?;
                let back = match rollout.last_good_revision.as_str() {
                    "" => "; there is no revision to go back to".to_owned(),
                    good => format!("; where everynode makes the pods, nodes go back to revision {good}"),
                };
                // Without a number it is about the first attempt.
                let value = match attempt {
                    0 => revision.clone(),
                    attempt => format!("{revision}/{attempt}"),
                };
                (everynode_api::Command::Abort, value, format!("revision {revision} is aborted{back}"))
            }
            _ if rollout.phase.is_given_up() => (
                everynode_api::Command::Retry,
                format!("{revision}/{}", attempt + 1),
                format!("revision {revision} is tried again"),
            ),
            _ => {
                return Err(refused(
                    format!("there is nothing to retry: the roll-out of {daemonset} is {phase}"),
                    "a roll-out that was halted or rolled back can be tried again",
                ));
            }
        };
        let annotation = key.annotation();
        Ok(Order {
            kubectl: format!(
                "kubectl -n {} annotate rolloutpolicy {} --overwrite {annotation}={value}",
                policy.namespace, policy.name
            ),
            patch: json!({"metadata": {"annotations": {annotation: value}}}),
            effect: format!("daemonset {daemonset}: {effect}"),
        })
    }

    fn check_promotion(self, rollout: &Rollout) -> Result<(), Refused> {
        let Rollout { daemonset, phase, wave, .. } = rollout;
        let message = format!("there is nothing to promote: the roll-out of {daemonset} is {phase}");
        match phase {
            _ if rollout.is_promotable() => Ok(()),
            RolloutPhase::WaitingForPromotion | RolloutPhase::Stalled => {
                Err(refused(message, "its message tells what it waits for"))
            }
            RolloutPhase::Progressing | RolloutPhase::Baking => {
                Err(refused(message, format!("wave {wave} can be promoted when it waits for that")))
            }
            RolloutPhase::Complete => Err(refused(message, "all nodes have the revision")),
            _ => Err(refused(message, "`everynode rollout retry` tries the revision again")),
        }
    }
}

fn check_abort(rollout: &Rollout) -> Result<(), Refused> {
    let Rollout { daemonset, phase, .. } = rollout;
    let message = format!("there is nothing to abort: the roll-out of {daemonset} is {phase}");
    match phase {
        RolloutPhase::Complete => {
            Err(refused(message, "to go back, apply the former template: `kubectl rollout undo` does that"))
        }
        phase if phase.is_back() => Err(refused(message, "the nodes have, or get, the last good revision")),
        _ if rollout.aborted => Err(refused(message, "it was aborted already")),
        _ => Ok(()),
    }
}

fn nothing_conducted(policy: &Policy) -> Refused {
    match policy.phase {
        Some(PolicyPhase::Conflict) => {
            refused(policy.message.clone(), "let only one policy select the DaemonSet")
        }
        _ => refused(
            format!("policy {} conducts no roll-out", policy.name),
            "its selector is compared with the labels of DaemonSets, not with those of pods",
        ),
    }
}
