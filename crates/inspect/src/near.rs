//! Names that somebody may have meant.

/// Names that are offered at most.
const OFFERED: usize = 3;

/// The names that are most like the one that was written, the nearest first; none that is too different.
pub fn near<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let limit = (written.chars().count() / 3).max(2);
    let mut found: Vec<(usize, &str)> = names
        .filter_map(|name| {
            let contains = !written.is_empty() && name.contains(written) || written.contains(name);
            let distance = if contains { 1 } else { strsim::levenshtein(written, name) };
            (distance <= limit).then_some((distance, name))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(OFFERED).map(|(_, name)| name.to_owned()).collect()
}

/// `a`, `a or b`, `a, b or c`.
pub fn any_of(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_offered_that_somebody_may_have_meant() {
        let check = |written: &str, names: &[&str], expected: &[&str]| {
            assert_eq!(near(written, names.iter().copied()), expected, "{written}");
        };
        check("agnet", &["agent", "log-collector"], &["agent"]);
        check("collector", &["agent", "log-collector"], &["log-collector"]);
        check("zzz", &["agent", "log-collector"], &[]);
        check(
            "worker-1",
            &["worker-01", "worker-10", "worker-2", "worker-11"],
            &["worker-01", "worker-10", "worker-11"],
        );
        assert_eq!(any_of(&["a".into(), "b".into(), "c".into()]), "a, b or c");
    }
}
