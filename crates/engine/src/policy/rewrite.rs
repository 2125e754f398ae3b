//! The way back where another controller makes the pods: the DaemonSet's template is written back, when the policy asks
//! for that.

use std::sync::Arc;

use crate::actions::Work;
use crate::base::Time;
use crate::config::Scope;
use crate::facts::{Failure, Outcome};
use crate::pending::Write;
use crate::slot::Slot;
use crate::tables::Tables;

use super::RolloutPhase;
use super::conduct::Conduct;

impl Tables {
    /// Whether a roll-out that is halted writes the template back.
    pub(super) fn rewrites(&self, conduct: &Conduct) -> bool {
        self.scope == Scope::Rollouts && conduct.policy.spec.rewrite_template && conduct.goes_back()
    }

    /// Writes the template of the last good revision back while the roll-out is halted. What somebody writes meanwhile
    /// wins; a template that is not the one that failed begins a roll-out of its own.
    pub(super) fn rewrite_template(&mut self, slot: &mut Slot, conduct: &mut Conduct, now: Time) {
        let is_halted = conduct.phase == RolloutPhase::Halted && !conduct.policy.spec.paused;
        if !is_halted || !self.rewrites(conduct) || conduct.is_return() || conduct.rewrite.in_flight {
            return;
        }
        let data = self.last_good_revision(slot, conduct).map(|row| Arc::<[u8]>::from(&*row.fact.data));
        let (Some(data), Some(spec)) = (data, &slot.spec) else { return };
        if let Some(at) = conduct.rewrite.retry.blocked(now) {
            return self.wake_slot(slot, at);
        }
        let resource_version = spec.fact.resource_version;
        conduct.rewrite.in_flight = true;
        slot.in_flight.patches += 1;
        self.ask(slot, Work::RewriteTemplate { data, resource_version }, Write::Rewrite);
    }

    /// How that ended.
    pub(crate) fn template_rewritten(&mut self, slot: &mut Slot, outcome: Outcome, now: Time) {
        self.violations.settle(&mut slot.in_flight.patches);
        let (first, last) = (self.limits.retry_first_millis, self.limits.retry_last_millis);
        let stale_millis = self.limits.stale_millis;
        let Some(conduct) = slot.conduct.as_mut().filter(|conduct| conduct.rewrite.in_flight) else { return };
        conduct.rewrite.in_flight = false;
        let good = conduct.last_good.clone().unwrap_or_default();
        conduct.rewrite.failure = None;
        self.policies.changed(&conduct.policy.key);
        let message = match outcome {
            Outcome::Done => {
                // The watch shows it soon, and another roll-out begins.
                conduct.rewrite.retry.succeed();
                conduct.rewrite.retry.hold(now.plus_millis(stale_millis));
                let message = format!("The template is that of revision {good} again: {}", conduct.reason);
                return self.record(slot, true, "TemplateRewritten", message);
            }
            Outcome::Failed { failure: Failure::Conflict, .. } => {
                return conduct.rewrite.retry.fail(now, first, last);
            }
            Outcome::Failed { failure: Failure::Forbidden, message } => {
                format!("{message}; the role of the controller needs the verb patch on daemonsets.apps")
            }
            Outcome::Failed { message, .. } => message,
            _ => return conduct.rewrite.retry.hold(now.plus_millis(stale_millis)),
        };
        conduct.rewrite.retry.fail(now, first, last);
        conduct.rewrite.failure = Some(message);
    }
}
