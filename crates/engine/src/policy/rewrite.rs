//! The way back where another controller makes the pods: the DaemonSet's template is written back, when the policy asks
//! for that.

use std::sync::Arc;

use crate::actions::Work;
use crate::base::Time;
use crate::config::Scope;
use crate::daemonset::DaemonSetState;
use crate::facts::{Failure, Outcome};
use crate::pending::Write;
use crate::tables::Tables;

use super::RolloutPhase;
use super::rollout::RolloutState;

impl Tables {
    /// Whether a roll-out that is halted writes the template back.
    pub(super) fn rewrites(&self, rollout: &RolloutState) -> bool {
        self.scope == Scope::Rollouts && rollout.policy.spec.rewrite_template && rollout.goes_back()
    }

    /// Writes the template of the last good revision back while the roll-out is halted. What somebody writes meanwhile
    /// wins; a template that is not the one that failed begins a roll-out of its own.
    pub(super) fn rewrite_template(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: &mut RolloutState,
        now: Time,
    ) {
        let is_halted = rollout.phase == RolloutPhase::Halted && !rollout.policy.spec.paused;
        if !is_halted || !self.rewrites(rollout) || rollout.is_return() || rollout.rewrite.in_flight {
            return;
        }
        let data = self.last_good_revision(daemonset, rollout).map(|row| Arc::<[u8]>::from(&*row.fact.data));
        let (Some(data), Some(spec)) = (data, &daemonset.spec) else { return };
        if let Some(at) = rollout.rewrite.retry.blocked(now) {
            return self.wake_daemonset(daemonset, at);
        }
        let resource_version = spec.fact.resource_version;
        rollout.rewrite.in_flight = true;
        daemonset.in_flight.patches += 1;
        self.ask(daemonset, Work::RewriteTemplate { data, resource_version }, Write::Rewrite);
    }

    /// How that ended.
    pub(crate) fn template_rewritten(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: Option<&mut RolloutState>,
        outcome: Outcome,
        now: Time,
    ) {
        self.violations.settle(&mut daemonset.in_flight.patches);
        let (first, last) = (self.limits.retry_first_millis, self.limits.retry_last_millis);
        let stale_millis = self.limits.stale_millis;
        // Another policy may conduct it by now, or none.
        let Some(rollout) = rollout.filter(|rollout| rollout.rewrite.in_flight) else { return };
        rollout.rewrite.in_flight = false;
        let good = rollout.last_good.clone().unwrap_or_default();
        rollout.rewrite.failure = None;
        self.policies.changed(&rollout.policy.key);
        let message = match outcome {
            Outcome::Done => {
                // The watch shows it soon, and another roll-out begins.
                rollout.rewrite.retry.succeed();
                rollout.rewrite.retry.hold(now.plus_millis(stale_millis));
                let message = format!("The template is that of revision {good} again: {}", rollout.reason);
                return self.record(daemonset, true, "TemplateRewritten", message);
            }
            Outcome::Failed { failure: Failure::Conflict, .. } => {
                return rollout.rewrite.retry.fail(now, first, last);
            }
            Outcome::Failed { failure: Failure::Forbidden, message } => {
                format!("{message}; the role of the controller needs the verb patch on daemonsets.apps")
            }
            Outcome::Failed { message, .. } => message,
            _ => return rollout.rewrite.retry.hold(now.plus_millis(stale_millis)),
        };
        rollout.rewrite.retry.fail(now, first, last);
        rollout.rewrite.failure = Some(message);
    }
}
