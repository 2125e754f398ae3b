//! The hosts file of a pod that wants lines of its own in it.

use std::fmt::Write as _;

use crate::pod_spec::Pod;
use crate::runtime::hostname;

/// Where containers have it.
pub const PATH: &str = "/etc/hosts";

/// The hosts file of a pod with `hostAliases`: what the node's says, the pod itself, and the lines that it wants; `None`
/// where the file that the runtime makes serves.
pub fn content(pod: &Pod, of_node: impl FnOnce() -> String, pod_ips: &[String]) -> Option<String> {
    if pod.spec.host_aliases.is_empty() {
        return None;
    }
    let mut text = of_node();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let own = pod_ips.iter().filter(|_| !pod.spec.host_network).map(|ip| (ip, hostname(pod)));
    let wanted = pod.spec.host_aliases.iter().map(|alias| (&alias.ip, alias.hostnames.join("\t")));
    for (ip, names) in own.chain(wanted) {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{ip}\t{names}");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panic")]

    use super::*;

    #[test]
    fn a_pod_with_aliases_has_the_nodes_lines_itself_and_those() {
        let check = |host_network: bool, aliases: serde_json::Value, expected: Option<&str>| {
            let pod = serde_json::json!({
                "metadata": {"name": "p"},
                "spec": {"hostNetwork": host_network, "hostAliases": aliases},
            });
            let pod: Pod = serde_json::from_value(pod).unwrap();
            let found = content(&pod, || "127.0.0.1 localhost".to_owned(), &["10.0.0.7".to_owned()]);
            assert_eq!(found.as_deref(), expected);
        };
        let aliases = serde_json::json!([{"ip": "192.0.2.1", "hostnames": ["a", "b.example.com"]}]);
        check(false, serde_json::json!([]), None);
        check(
            false,
            aliases.clone(),
            Some("127.0.0.1 localhost\n10.0.0.7\tp\n192.0.2.1\ta\tb.example.com\n"),
        );
        check(true, aliases, Some("127.0.0.1 localhost\n192.0.2.1\ta\tb.example.com\n"));
    }
}
