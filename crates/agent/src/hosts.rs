//! The hosts file of a pod that wants lines of its own in it, or has a full name.

use std::fmt::Write as _;

use crate::pod_spec::Pod;
use crate::runtime::hostname;

/// Where containers have it.
pub const PATH: &str = "/etc/hosts";

/// The hosts file of a pod with `hostAliases` or a `subdomain`: what the node's says, the pod itself by its full name in
/// the domain of its cluster, and the lines that it wants; `None` where the file that the runtime makes serves.
pub fn content(
    pod: &Pod,
    of_node: impl FnOnce() -> String,
    pod_ips: &[String],
    cluster_domain: &str,
) -> Option<String> {
    let subdomain = Some(&pod.spec.subdomain).filter(|one| !one.is_empty() && !pod.spec.host_network);
    if pod.spec.host_aliases.is_empty() && subdomain.is_none() {
        return None;
    }
    let host = hostname(pod);
    let names = match subdomain {
        Some(subdomain) => {
            format!("{host}.{subdomain}.{}.svc.{cluster_domain}\t{host}", pod.metadata.namespace)
        }
        None => host,
    };
    let mut text = of_node();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let own = pod_ips.iter().filter(|_| !pod.spec.host_network).map(|ip| (ip, names.clone()));
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
    fn a_pod_with_aliases_or_a_subdomain_has_the_nodes_lines_itself_and_those() {
        let of = |spec: serde_json::Value| {
            let pod = serde_json::json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec});
            let pod: Pod = serde_json::from_value(pod).unwrap();
            content(&pod, || "127.0.0.1 localhost".to_owned(), &["10.0.0.7".to_owned()], "cluster.local")
        };
        let check = |host_network: bool, aliases: serde_json::Value, expected: Option<&str>| {
            let found = of(serde_json::json!({"hostNetwork": host_network, "hostAliases": aliases}));
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
        let named = serde_json::json!({"hostname": "db", "subdomain": "peers"});
        let lines = "127.0.0.1 localhost\n10.0.0.7\tdb.peers.n.svc.cluster.local\tdb\n";
        assert_eq!(of(named).as_deref(), Some(lines));
    }
}
