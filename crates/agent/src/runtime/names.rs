//! Where names are looked up.

use everynode_cri::messages::DnsConfig;

/// Where names are looked up in the cluster.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Addresses of the cluster's name servers; none: pods look names up as the node does.
    pub cluster_servers: Vec<String>,
    /// The cluster's domain, such as `cluster.local`.
    pub cluster_domain: String,
    /// What the node's own resolver goes by.
    pub node: DnsConfig,
}

impl Names {
    /// Of a node with this `resolv.conf`, in a cluster with these name servers and this domain.
    pub fn new(resolv_conf: &str, cluster_servers: Vec<String>, cluster_domain: &str) -> Names {
        let mut node = DnsConfig::default();
        for line in resolv_conf.lines() {
            let mut words = line.split_whitespace();
            let key = words.next().unwrap_or_default();
            let words = words.map(str::to_owned);
            match key {
                "nameserver" => node.servers.extend(words),
                // The last line of these counts.
                "search" | "domain" => node.searches = words.collect(),
                "options" => node.options = words.collect(),
                _ => {}
            }
        }
        Names { cluster_servers, cluster_domain: cluster_domain.to_owned(), node }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_own_resolver_is_read() {
        let text = "# made by hand\nnameserver 1.1.1.1\nnameserver fd00::1\nsearch a b\nsearch lan\noptions ndots:2 edns0\n";
        let names = Names::new(text, vec![], "cluster.local");
        assert_eq!(names.node.servers, ["1.1.1.1", "fd00::1"]);
        assert_eq!((names.node.searches, names.node.options.len()), (vec!["lan".to_owned()], 2));
    }
}
