//! Pages of metrics in the text format of Prometheus, and what a kubelet says on its own at `/metrics/resource`: CPU
//! that was used since a container was started, and memory.

use std::collections::BTreeMap;

use crate::Usage;

/// Containers of a node that are read, at most.
const MOST_CONTAINERS: usize = 10_000;

/// CPU and memory at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading {
    /// CPU used so far, in core-seconds, and when that was measured, in milliseconds since 1970.
    pub cpu: Option<(f64, i64)>,
    /// The working set, in bytes.
    pub memory_bytes: Option<u64>,
}

impl Reading {
    /// What was used since an earlier reading, and when this one was made, in milliseconds since 1970. None if a figure
    /// is missing, or what is measured was started again between them.
    pub fn since(&self, before: &Reading) -> Option<(Usage, i64)> {
        let ((seconds_before, from), (seconds, to)) = (before.cpu?, self.cpu?);
        let (used, millis) = (seconds - seconds_before, to - from);
        if used < 0.0 || millis <= 0 {
            return None;
        }
        let cpu_nanocores = (used * 1e12 / millis as f64).round() as u64;
        Some((Usage { cpu_nanocores, memory_bytes: self.memory_bytes? }, to))
    }
}

/// What a kubelet said once at `/metrics/resource`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResourceMetrics {
    /// Of the whole node.
    pub node: Reading,
    /// Of containers, by namespace, pod and container.
    pub containers: BTreeMap<(String, String, String), Reading>,
}

impl ResourceMetrics {
    /// Reads the text; lines that say something else, or cannot be read, are left out. `now_millis` is when a figure
    /// without a time was measured.
    pub fn parse(text: &str, now_millis: i64) -> ResourceMetrics {
        let mut scrape = ResourceMetrics::default();
        for sample in text.lines().filter_map(Sample::parse) {
            let Some(reading) = scrape.place(&sample) else { continue };
            match sample.name {
                "node_cpu_usage_seconds_total" | "container_cpu_usage_seconds_total" => {
                    reading.cpu = Some((sample.value, sample.at_millis.unwrap_or(now_millis)));
                }
                _ => reading.memory_bytes = Some(sample.value.max(0.0) as u64),
            }
        }
        scrape
    }

    /// The containers of a pod by their names.
    pub fn of_pod<'a>(
        &'a self,
        namespace: &'a str,
        pod: &'a str,
    ) -> impl Iterator<Item = (&'a (String, String, String), &'a Reading)> {
        let first = (namespace.to_owned(), pod.to_owned(), String::new());
        self.containers.range(first..).take_while(move |((of, name, _), _)| of == namespace && name == pod)
    }

    fn place(&mut self, sample: &Sample<'_>) -> Option<&mut Reading> {
        match sample.name {
            "node_cpu_usage_seconds_total" | "node_memory_working_set_bytes" => Some(&mut self.node),
            "container_cpu_usage_seconds_total" | "container_memory_working_set_bytes" => {
                let label = |name: &str| sample.labels.iter().find(|(key, _)| *key == name);
                let text = |name: &str| label(name).map(|(_, value)| value.clone());
                let key = (text("namespace")?, text("pod")?, text("container")?);
                let is_full = self.containers.len() >= MOST_CONTAINERS;
                (!is_full || self.containers.contains_key(&key))
                    .then(|| self.containers.entry(key).or_default())
            }
            _ => None,
        }
    }
}

/// All values of a figure on a page of metrics together, whatever their labels; none when there is none.
pub fn sum_of(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(Sample::parse).filter(|sample| sample.name == name);
    values.map(|sample| sample.value).reduce(|sum, value| sum + value)
}

/// A line of the text format of Prometheus.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
    at_millis: Option<i64>,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Sample<'a>> {
        if line.starts_with('#') {
            return None;
        }
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let mut words = rest.split_whitespace();
        let value = words.next()?.parse().ok().filter(|value: &f64| value.is_finite())?;
        let at_millis = words.next().and_then(|word| word.parse().ok());
        Some(Sample { name, labels, value, at_millis })
    }
}

/// Reads `a="b",c="d"}`; gives what comes behind too.
fn labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((name, value));
        rest = &quoted[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_figure_are_added_up_and_those_that_only_begin_as_it_are_not() {
        let text = "# TYPE a counter\na{x=\"1\"} 2\na{x=\"}\"} 0.5 77\na 1e1\na_b 100\na{x=\"1\"} NaN\nb 7\n";
        assert_eq!((sum_of(text, "a"), sum_of(text, "b"), sum_of(text, "c")), (Some(12.5), Some(7.0), None));
    }

    #[test]
    fn figures_of_nodes_and_containers_are_read_with_their_times_and_others_are_left_out() {
        let text = r#"# HELP node_cpu_usage_seconds_total x
node_cpu_usage_seconds_total 12.5 5000
node_memory_working_set_bytes 2.048e+03 5000
container_cpu_usage_seconds_total{container="c",namespace="n",pod="p\"q\\"} 1.5 4000
container_memory_working_set_bytes{container="c",namespace="n",pod="p\"q\\"} 7
container_memory_working_set_bytes{container="c",namespace="n"} 7
container_memory_working_set_bytes{container="c",namespace="n",pod="p} 7
pod_cpu_usage_seconds_total{namespace="n",pod="p"} 2 5000
node_cpu_usage_seconds_total NaN

resource_scrape_error 0
"#;
        let scrape = ResourceMetrics::parse(text, 6_000);
        assert_eq!(scrape.node, Reading { cpu: Some((12.5, 5_000)), memory_bytes: Some(2_048) });
        let key = ("n".to_owned(), "p\"q\\".to_owned(), "c".to_owned());
        let reading = Reading { cpu: Some((1.5, 4_000)), memory_bytes: Some(7) };
        assert_eq!(scrape.containers, BTreeMap::from([(key, reading)]));
    }
}
