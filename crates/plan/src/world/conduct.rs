//! Roll-out policies in a run: what the engine is told of them and writes to them, and how they go on.

use everynode_api::{Command, PolicyStatus};
use everynode_engine::policy::{PolicyRef, RolloutPhase, Unwell};
use everynode_engine::{Engine, Fact, Outcome};
use serde_json::Value;

use super::{Step, Tell, World};

impl World<'_> {
    pub(super) fn tell_policies(&self, tell: &mut Tell<'_>) {
        tell(Fact::Policies(self.policies.clone()));
    }

    pub(super) fn write_policy_status(&mut self, policy: &PolicyRef, status: &Value) -> Outcome {
        let Some(known) = self.policies.iter_mut().find(|known| known.key == *policy) else {
            return Outcome::Gone;
        };
        // The patch says all that the status is to say. The engine knows what it has written.
        known.status = PolicyStatus::from_json(status);
        Outcome::Done
    }

    /// Keeps how far a policy's roll-out has come, and promotes it where that is assumed.
    pub fn note_rollout(&mut self, engine: &Engine) {
        let (namespace, name) = (&self.daemonset.namespace, &self.daemonset.name);
        let Some(rollout) = engine.rollout(namespace, name) else { return };
        if self.tally.message != rollout.message {
            rollout.message.clone_into(&mut self.tally.message);
        }
        let at_millis = self.now.millis_since(self.model.begin);
        let step = Step {
            at_millis,
            phase: rollout.phase,
            wave: rollout.wave,
            is_without_waves: rollout.is_without_waves,
            is_return: rollout.is_return,
        };
        let is_known = |last: &&mut Step| (last.phase, last.wave) == (step.phase, step.wave);
        if let Some(last) = self.tally.steps.last_mut().filter(is_known) {
            *last = Step { at_millis: last.at_millis, ..step };
        } else {
            if !self.tally.steps.is_empty() {
                self.progressed();
            }
            self.tally.steps.push(step);
        }
        if self.tally.unwell.is_none() {
            self.tally.unwell = self.unwell(engine);
        }
        let waits = rollout.phase == RolloutPhase::WaitingForPromotion;
        if let Some(hash) = rollout.revision.filter(|_| waits && self.model.assumptions.promote) {
            self.promote(format!("{hash}/{}", rollout.wave));
        }
    }

    /// The nodes that are not well, once the engine knows the nodes.
    fn unwell(&self, engine: &Engine) -> Option<Vec<(String, Unwell)>> {
        let nodes = engine.rollout_nodes(&self.daemonset.namespace, &self.daemonset.name, self.now);
        let are_known = !nodes.is_empty();
        let unwell = nodes.into_iter().filter_map(|node| Some((node.node.to_string(), node.unwell?)));
        are_known.then(|| unwell.collect())
    }

    fn promote(&mut self, value: String) {
        for policy in &mut self.policies {
            let is_given =
                policy.commands.iter().any(|(name, known)| *name == Command::Promote && *known == value);
            if !is_given {
                policy.commands.retain(|(name, _)| *name != Command::Promote);
                policy.commands.push((Command::Promote, value.clone()));
                self.policies_changed = true;
            }
        }
    }
}
