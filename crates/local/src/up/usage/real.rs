//! Nodes with a kubelet: they are asked when somebody asks, through the API, and what they said is kept for some seconds.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use everynode_apiserver::UsageError;
use everynode_client::Client;
use everynode_model::resource_metrics::ResourceMetrics;
use everynode_model::{ContainerUsage, NodeSample};
use futures::future::BoxFuture;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

/// For so long what a kubelet said answers others too.
const FRESH: Duration = Duration::from_secs(10);
/// An average may go back so far; before, a new window begins.
const LONGEST_WINDOW: Duration = Duration::from_secs(60);
/// How long the window is of a node that was not asked lately.
const FIRST_WINDOW: Duration = Duration::from_secs(2);
/// Nodes of which something is kept; when there are more, all are forgotten.
const MOST_NODES: usize = 1_000;

/// Asks a node for its text of `/metrics/resource`.
type Ask = dyn Fn(String) -> BoxFuture<'static, Result<String, String>> + Send + Sync;

/// What kubelets said.
#[derive(Default)]
pub struct Kubelets {
    ask: OnceLock<Box<Ask>>,
    nodes: Mutex<HashMap<String, Arc<AsyncMutex<Kept>>>>,
}

impl fmt::Debug for Kubelets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kubelets")
    }
}

/// What one kubelet said last, and before that.
#[derive(Default)]
struct Kept {
    before: Option<Taken>,
    last: Option<Taken>,
}

#[derive(Clone)]
struct Taken {
    at: Instant,
    scrape: Arc<ResourceMetrics>,
}

impl Kubelets {
    /// Asks through the API, by this client.
    pub fn connect(&self, client: Client) {
        self.connect_by(move |node| {
            let client = client.clone();
            Box::pin(async move {
                let path = format!("/api/v1/nodes/{node}/proxy/metrics/resource");
                let text = client.get(&path).await.map_err(|error| error.to_string())?;
                Ok(String::from_utf8_lossy(&text).into_owned())
            })
        });
    }

    fn connect_by(
        &self,
        ask: impl Fn(String) -> BoxFuture<'static, Result<String, String>> + Send + Sync + 'static,
    ) {
        // Whoever connected first stays: there is one client.
        let _ = self.ask.set(Box::new(ask));
    }

    /// What a node and these pods of it, by namespace and name, used lately.
    pub async fn sample<'a>(
        &self,
        node: &str,
        pods: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<NodeSample, UsageError> {
        let kept = self.kept(node);
        // One at a time asks a node; the others find what it said.
        let mut kept = kept.lock().await;
        let (before, last) = self.window(node, &mut kept).await?;
        let seconds = last.at.duration_since(before.at).as_secs_f64().round().max(1.0);
        let whole = last.scrape.node.since(&before.scrape.node);
        let whole = whole.ok_or_else(|| UsageError::TooEarly { node: node.to_owned() })?;
        Ok(NodeSample {
            taken_seconds: whole.1 / 1_000,
            window_seconds: seconds as u32,
            node: whole.0,
            pods: pods.map(|(namespace, pod)| containers(&before, &last, namespace, pod)).collect(),
        })
    }

    fn kept(&self, node: &str) -> Arc<AsyncMutex<Kept>> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.len() >= MOST_NODES && !nodes.contains_key(node) {
            nodes.clear();
        }
        nodes.entry(node.to_owned()).or_default().clone()
    }

    /// Two scrapes of a node, the later one fresh.
    async fn window(&self, node: &str, kept: &mut Kept) -> Result<(Taken, Taken), UsageError> {
        if let (Some(before), Some(last)) = (&kept.before, &kept.last)
            && last.at.elapsed() < FRESH
        {
            return Ok((before.clone(), last.clone()));
        }
        let before = match kept.last.take().filter(|last| last.at.elapsed() < LONGEST_WINDOW) {
            Some(last) => last,
            None => {
                let first = self.scrape(node).await?;
                tokio::time::sleep(FIRST_WINDOW).await;
                first
            }
        };
        let last = self.scrape(node).await?;
        (kept.before, kept.last) = (Some(before.clone()), Some(last.clone()));
        Ok((before, last))
    }

    async fn scrape(&self, node: &str) -> Result<Taken, UsageError> {
        let failed = |why: String| UsageError::NoAnswer { node: node.to_owned(), why };
        let ask = self.ask.get().ok_or_else(|| failed("the cluster is starting".into()))?;
        let text = ask(node.to_owned()).await.map_err(failed)?;
        let now_millis = jiff::Timestamp::now().as_millisecond();
        Ok(Taken { at: Instant::now(), scrape: Arc::new(ResourceMetrics::parse(&text, now_millis)) })
    }
}

fn containers(before: &Taken, last: &Taken, namespace: &str, pod: &str) -> Vec<ContainerUsage> {
    let known = last.scrape.of_pod(namespace, pod).filter_map(|(key, reading)| {
        let (usage, _) = reading.since(before.scrape.containers.get(key)?)?;
        Some(ContainerUsage { name: key.2.clone(), usage })
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use everynode_model::Usage;

    use super::*;

    /// A node whose container `c` uses half a core, as a clock of the test goes on by a second for each scrape, and
    /// whose container `d` was just started.
    fn kubelets(scrapes: Arc<AtomicI64>) -> Kubelets {
        let kubelets = Kubelets::default();
        kubelets.connect_by(move |node| {
            let seconds = scrapes.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                if node == "down" {
                    return Err("it is down".to_owned());
                }
                let (millis, half, fresh) = (seconds * 1_000, seconds as f64 / 2.0, 100 - seconds);
                Ok(format!(
                    "node_cpu_usage_seconds_total {seconds} {millis}\nnode_memory_working_set_bytes 9\n\
                     container_cpu_usage_seconds_total{{namespace=\"n\",pod=\"p\",container=\"c\"}} {half} {millis}\n\
                     container_memory_working_set_bytes{{namespace=\"n\",pod=\"p\",container=\"c\"}} 7\n\
                     container_cpu_usage_seconds_total{{namespace=\"n\",pod=\"p\",container=\"d\"}} {fresh} {millis}\n\
                     container_memory_working_set_bytes{{namespace=\"n\",pod=\"p\",container=\"d\"}} 7\n"
                ))
            })
        });
        kubelets
    }

    async fn sample(kubelets: &Kubelets, node: &str) -> Result<NodeSample, UsageError> {
        kubelets.sample(node, [("n", "p"), ("n", "other")].into_iter()).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_asked_twice_at_first_then_once_and_not_while_its_answer_is_fresh() {
        let asked = Arc::new(AtomicI64::new(0));
        let kubelets = kubelets(asked.clone());
        let check = async |after_seconds: u64, scrapes: i64, window_seconds: u32| {
            tokio::time::advance(Duration::from_secs(after_seconds)).await;
            let sample = sample(&kubelets, "up").await.unwrap();
            assert_eq!((asked.load(Ordering::Relaxed), sample.window_seconds), (scrapes, window_seconds));
        };
        check(0, 2, 2).await;
        check(9, 2, 2).await;
        check(2, 3, 11).await;
        check(30, 4, 30).await;
        check(60, 6, 2).await;
    }

    #[tokio::test(start_paused = true)]
    async fn cpu_is_an_average_and_a_container_that_was_started_again_has_none_yet() {
        let told = sample(&kubelets(Arc::default()), "up").await.unwrap();
        let half = Usage { cpu_nanocores: 500_000_000, memory_bytes: 7 };
        assert_eq!(told.pods, [vec![ContainerUsage { name: "c".to_owned(), usage: half }], vec![]]);
        assert_eq!(told.node, Usage { cpu_nanocores: 1_000_000_000, memory_bytes: 9 });
        assert_eq!(told.taken_seconds, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_does_not_answer_says_why() {
        let error = sample(&kubelets(Arc::default()), "down").await.unwrap_err();
        assert_eq!(error.to_string(), "node down does not tell what it uses: it is down");
    }
}
