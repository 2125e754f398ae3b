//! Which pod goes first when a node is short of something.

/// A pod that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its uid.
    pub uid: String,
    /// Its priority.
    pub priority: i32,
    /// What it uses of what is short.
    pub usage: u64,
    /// What it asked for of that.
    pub request: u64,
}

/// The one that goes first, as with the kubelet: one that uses more than it asked for before others, then the one of
/// the lowest priority, then the one that uses most beside what it asked for.
pub fn first(candidates: Vec<Candidate>) -> Option<Candidate> {
    let above = |one: &Candidate| i128::from(one.usage) - i128::from(one.request);
    candidates.into_iter().max_by(|a, b| {
        let key = |one: &Candidate| (above(one) > 0, std::cmp::Reverse(one.priority), above(one));
        key(a).cmp(&key(b)).then_with(|| b.uid.cmp(&a.uid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_uses_more_than_was_asked_for_goes_before_the_others() {
        let check = |pods: &[(&str, i32, u64, u64)], expected: Option<&str>| {
            let candidates = pods.iter().map(|(uid, priority, usage, request)| Candidate {
                uid: (*uid).to_owned(),
                priority: *priority,
                usage: *usage,
                request: *request,
            });
            let found = first(candidates.collect());
            assert_eq!(found.as_ref().map(|one| one.uid.as_str()), expected, "{pods:?}");
        };
        check(&[], None);
        check(&[("within", 0, 900, 1_000), ("above", 100, 20, 10)], Some("above"));
        check(&[("high", 10, 500, 0), ("low", 0, 20, 10)], Some("low"));
        check(&[("small", 0, 20, 10), ("big", 0, 500, 480)], Some("big"));
        check(&[("less", 0, 10, 100), ("more", 0, 90, 100)], Some("more"));
        check(&[("b", 0, 10, 0), ("a", 0, 10, 0)], Some("a"));
    }
}
