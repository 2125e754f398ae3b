//! The text format of Prometheus, made of that of OpenMetrics.
//!
//! Both are lines of the same form. In the older one a counter is called as its samples are, with `_total`; there are no
//! units, and no line says that the text is whole.

/// How OpenMetrics is asked for, and what an answer in it is.
pub const OPENMETRICS: &str = "application/openmetrics-text";

/// The same figures in the text format of Prometheus.
pub fn prometheus(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            // It waits for the type, by which its family is called.
            (Some("#"), Some("HELP"), Some(name), words) => help = Some((name, words.unwrap_or_default())),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let total = if kind == "counter" { "_total" } else { "" };
                if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                    text.push_str(&format!("# HELP {name}{total} {help}\n"));
                }
                let kind = if kind == "unknown" { "untyped" } else { kind };
                text.push_str(&format!("# TYPE {name}{total} {kind}\n"));
            }
            (Some("#"), Some("UNIT" | "EOF"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_called_as_their_samples_are() {
        let check = |before: &str, after: &str| assert_eq!(prometheus(before), after);
        check(
            "# HELP a Things done.\n# TYPE a counter\na_total{b=\"c\"} 1\n# EOF\n",
            "# HELP a_total Things done.\n# TYPE a_total counter\na_total{b=\"c\"} 1\n",
        );
        check(
            "# HELP t_seconds How long.\n# TYPE t_seconds histogram\n# UNIT t_seconds seconds\nt_seconds_sum 0.5\n",
            "# HELP t_seconds How long.\n# TYPE t_seconds histogram\nt_seconds_sum 0.5\n",
        );
        check("# TYPE g gauge\ng 1\n# TYPE u unknown\nu 2\n", "# TYPE g gauge\ng 1\n# TYPE u untyped\nu 2\n");
    }
}
