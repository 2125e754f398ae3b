//! What a path asks for, and what somebody has to be allowed for it.

use http::Method;
use percent_encoding::percent_decode_str;

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Whether the agent is well.
    Healthz,
    /// The pods of the node.
    Pods,
    /// What the node, its pods and its containers use.
    ResourceMetrics,
    /// What the agent has to do.
    Metrics,
    /// What the node, its pods and its containers use, with disks and networks.
    StatsSummary,
    /// The log of a container.
    ContainerLogs(Target),
    /// Something that goes on both ways.
    Stream(StreamKind, Target),
}

/// What goes on both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// A command in a container.
    Exec,
    /// The main process of a container.
    Attach,
    /// Ports of a pod.
    PortForward,
}

/// A pod, and the container in it that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Namespace of the pod.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its uid, where only one is meant.
    pub uid: Option<String>,
    /// The container; empty where the whole pod is meant.
    pub container: String,
}

impl Route {
    /// What a path asks for; nothing where nobody serves it.
    pub fn of(path: &str) -> Option<Route> {
        let parts: Vec<String> = segments(path).map(decoded).collect::<Option<_>>()?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["healthz"] => Some(Route::Healthz),
            ["pods"] => Some(Route::Pods),
            ["metrics", "resource"] => Some(Route::ResourceMetrics),
            ["metrics"] => Some(Route::Metrics),
            ["stats", "summary"] => Some(Route::StatsSummary),
            ["containerLogs", target @ ..] if target.len() == 3 => {
                Some(Route::ContainerLogs(container(target)?))
            }
            ["exec", target @ ..] => Some(Route::Stream(StreamKind::Exec, container(target)?)),
            ["attach", target @ ..] => Some(Route::Stream(StreamKind::Attach, container(target)?)),
            ["portForward", pod @ ..] => Some(Route::Stream(StreamKind::PortForward, self::target(pod)?)),
            _ => None,
        }
    }

    /// The methods by which it is asked for.
    pub fn methods(&self) -> &'static [Method] {
        match self {
            Route::Healthz
            | Route::Pods
            | Route::ResourceMetrics
            | Route::Metrics
            | Route::StatsSummary
            | Route::ContainerLogs(_) => &[Method::GET],
            Route::Stream(..) => &[Method::GET, Method::POST],
        }
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.trim_matches('/').split('/')
}

fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?.into_owned();
    (!text.is_empty()).then_some(text)
}

/// `NAMESPACE/POD/CONTAINER`, or with the uid before the container.
fn container(parts: &[&str]) -> Option<Target> {
    let (container, pod) = parts.split_last()?;
    Some(Target { container: (*container).to_owned(), ..target(pod)? })
}

/// `NAMESPACE/POD`, or with the uid behind it.
fn target(parts: &[&str]) -> Option<Target> {
    let (namespace, pod, uid) = match parts {
        [namespace, pod] => (namespace, pod, None),
        [namespace, pod, uid] => (namespace, pod, Some((*uid).to_owned())),
        _ => return None,
    };
    Some(Target { namespace: (*namespace).to_owned(), pod: (*pod).to_owned(), uid, container: String::new() })
}

/// The subresources of the node of which somebody has to be allowed one to ask for a path: the kubelet's own mapping.
pub fn subresources(path: &str) -> &'static [&'static str] {
    match segments(path).next().unwrap_or_default() {
        "pods" | "runningpods" => &["pods", "proxy"],
        "healthz" => &["healthz", "proxy"],
        "configz" => &["configz", "proxy"],
        "flagz" => &["configz"],
        "stats" => &["stats"],
        "metrics" => &["metrics"],
        "logs" => &["log"],
        "checkpoint" => &["checkpoint"],
        "statusz" => &["statusz"],
        _ => &["proxy"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uid: Option<&str>, container: &str) -> Target {
        let text = str::to_owned;
        Target { namespace: text("n"), pod: text("p"), uid: uid.map(text), container: text(container) }
    }

    #[test]
    fn paths_are_the_kubelets() {
        let check = |path: &str, expected: Option<Route>| assert_eq!(Route::of(path), expected, "{path}");
        check("/healthz", Some(Route::Healthz));
        check("/pods/", Some(Route::Pods));
        check("/metrics/resource", Some(Route::ResourceMetrics));
        check("/metrics", Some(Route::Metrics));
        check("/metrics/cadvisor", None);
        check("/stats/summary", Some(Route::StatsSummary));
        check("/stats", None);
        check("/containerLogs/n/p/c", Some(Route::ContainerLogs(target(None, "c"))));
        check("/containerLogs/n/p/%63", Some(Route::ContainerLogs(target(None, "c"))));
        check("/containerLogs/n/p", None);
        check("/containerLogs/n//c", None);
        check("/containerLogs/n/p/c/d", None);
        check("/exec/n/p/c", Some(Route::Stream(StreamKind::Exec, target(None, "c"))));
        check("/exec/n/p/u/c", Some(Route::Stream(StreamKind::Exec, target(Some("u"), "c"))));
        check("/attach/n/p/c", Some(Route::Stream(StreamKind::Attach, target(None, "c"))));
        check("/portForward/n/p", Some(Route::Stream(StreamKind::PortForward, target(None, ""))));
        check("/portForward/n/p/u", Some(Route::Stream(StreamKind::PortForward, target(Some("u"), ""))));
        check("/exec/n/p", None);
        check("/portForward/n", None);
        check("/", None);
        check("/nothing", None);
    }

    #[test]
    fn what_is_served_under_a_name_is_allowed_under_that_name() {
        // However a path is spelled, what it asks for and what it needs are read from the same part of it.
        let check = |path: &str, expected: &[&str]| assert_eq!(subresources(path), expected, "{path}");
        check("/healthz", &["healthz", "proxy"]);
        check("//pods", &["pods", "proxy"]);
        check("/metrics/resource", &["metrics"]);
        check("/stats/summary", &["stats"]);
        check("/metricsx", &["proxy"]);
        check("/containerLogs/n/p/c", &["proxy"]);
        check("/exec/n/p/c", &["proxy"]);
        check("/%70ods", &["proxy"]);
        check("", &["proxy"]);
    }
}
