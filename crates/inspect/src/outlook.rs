//! How a DaemonSet stands and goes on: the one place where causes and estimates come together.

use crate::estimate::Estimate;
use crate::look::{Answer, Look, Set};
use crate::reason::Class;

/// The nodes of a DaemonSet with their causes, and what is to be expected of those that lack a pod.
pub(crate) struct Outlook {
    pub answers: Vec<Answer>,
    /// Unless nothing lacks, nothing is done for it, or too little is known.
    pub estimate: Option<Estimate>,
}

impl Outlook {
    /// Estimates wherever something lacks.
    pub(crate) fn of(look: &Look<'_>, set: &Set<'_>) -> Outlook {
        Outlook::where_wanted(look, set, |_| true)
    }

    /// Estimates only where that tells more of a cause.
    pub(crate) fn of_causes(look: &Look<'_>, set: &Set<'_>) -> Outlook {
        Outlook::where_wanted(look, set, |answer| Estimate::explains(answer.reason.kind))
    }

    fn where_wanted(look: &Look<'_>, set: &Set<'_>, is_wanted: fn(&Answer) -> bool) -> Outlook {
        let mut answers = set.answers();
        let lacks =
            |answer: &&Answer| matches!(answer.class, Class::Old | Class::NotAvailable | Class::Missing);
        let lacking = answers.iter().filter(lacks).count();
        let is_going_on = lacking > 0 && set.standstill().is_none() && look.nodes_seen();
        let estimate = match is_going_on && answers.iter().filter(lacks).any(is_wanted) {
            true => Estimate::of(look.fleet, set.value, lacking),
            false => None,
        };
        if let Some(estimate) = &estimate {
            answers.iter_mut().for_each(|answer| estimate.explain(answer));
        }
        Outlook { answers, estimate }
    }
}
