//! The writer against servers that behave badly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use everynode_client::{Client, SystemClock, Transport};
use everynode_engine::{DaemonSetRef, PodRef, Uid};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// For how long a server that is busy asks to wait.
const BUSY: Duration = Duration::from_secs(7);

struct World {
    writer: Writer,
    metrics: Metrics,
    requests: Arc<AtomicUsize>,
    outcomes: mpsc::Receiver<Finished>,
}

/// A server that answers with a code, given the number of requests before this one, or never.
fn world(answer: fn(usize) -> Option<u16>) -> World {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let service = move |_: Request<Full<Bytes>>| {
        let code = answer(counted.fetch_add(1, Ordering::SeqCst));
        async move {
            let Some(code) = code else { return std::future::pending().await };
            let body = Full::from("{}").map_err(|never| match never {}).boxed_unsync();
            Ok(Response::builder().status(code).header("retry-after", BUSY.as_secs()).body(body).unwrap())
        }
    };
    let transport = Transport::new(tower::service_fn(service));
    world_of(Client::over(transport, Arc::new(SystemClock), "http://played"), requests)
}

async fn world_at(url: &str) -> World {
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "users": [{"name": "c", "user": {}}],
    });
    world_of(Client::from_kubeconfig_text(&kubeconfig.to_string()).await.unwrap(), Arc::default())
}

fn world_of(client: Client, requests: Arc<AtomicUsize>) -> World {
    let metrics = Metrics::new();
    let api = Api::new(client);
    let (recorder, _) = Recorder::new(api.clone(), Arc::new(SystemClock), metrics.clone());
    let (outcomes_in, outcomes) = mpsc::channel(64);
    let writer = Writer::new(api, Served::default(), recorder, metrics.clone(), 2, outcomes_in);
    World { writer, metrics, requests, outcomes }
}

/// Reads each request and breaks the connection in the middle of the answer.
async fn serve_halves(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        // The bodies of these tests end in a brace.
        while stream.read_u8().await.is_ok_and(|byte| byte != b'}') {}
        // The client may be gone.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await;
    }
}

fn deletion(id: u64) -> Decided {
    let daemonset = DaemonSetRef { namespace: "ns".to_owned(), name: "ds".to_owned(), uid: Uid(1) };
    let work = Work::DeletePod(PodRef { name: "p".into(), uid: Uid(2) });
    (Action { id: ActionId(id), daemonset: Arc::new(daemonset), work }, Instant::now())
}

/// Hands in these deletions, and gives all outcomes once the writer has ended, by id.
async fn outcomes(mut world: World, count: u64) -> Vec<String> {
    let (decided, intake) = mpsc::channel(64);
    for id in 0..count {
        decided.send(deletion(id)).await.unwrap();
    }
    drop(decided);
    world.writer.run(intake, CancellationToken::new()).await;
    collect(&mut world.outcomes).await
}

async fn collect(outcomes: &mut mpsc::Receiver<Finished>) -> Vec<String> {
    let mut all = Vec::new();
    while let Some((id, outcome)) = outcomes.recv().await {
        let text = match outcome {
            Outcome::Failed { failure, .. } => format!("{failure:?}"),
            other => format!("{other:?}"),
        };
        all.push((id, text));
    }
    all.sort();
    let ids: Vec<u64> = all.iter().map(|(id, _)| id.0).collect();
    assert_eq!(ids, (0..all.len() as u64).collect::<Vec<_>>(), "each action is reported once");
    all.into_iter().map(|(_, text)| text).collect()
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_server_turns_away_for_its_load_is_made_later() {
    let world = world(|before| Some(if before < 3 { 429 } else { 200 }));
    let (requests, metrics, begun) = (world.requests.clone(), world.metrics.clone(), Instant::now());
    assert_eq!(outcomes(world, 4).await, ["Done"; 4]);
    assert_eq!(requests.load(Ordering::SeqCst), 7);
    assert!(begun.elapsed() >= BUSY, "{:?}", begun.elapsed());
    assert!(
        metrics.encode().contains(r#"workqueue_retries_total{name="daemonset"} 3"#),
        "{}",
        metrics.encode()
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_always_busy_is_not_asked_for_ever() {
    let world = world(|_| Some(429));
    let requests = world.requests.clone();
    assert_eq!(outcomes(world, 1).await, ["Refused"]);
    assert_eq!(requests.load(Ordering::SeqCst), 1 + PUT_BACK_LIMIT as usize);
}

// In real time, because what breaks is a socket; nothing waits for a time.
#[tokio::test]
async fn a_lost_answer_leaves_the_outcome_unknown_and_a_lost_server_does_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = world_at(&format!("http://{}", listener.local_addr().unwrap())).await;
    tokio::spawn(serve_halves(listener));
    assert_eq!(outcomes(world, 2).await, ["Unknown"; 2]);

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let world = world_at(&format!("http://{closed}")).await;
    assert_eq!(outcomes(world, 2).await, ["Refused"; 2], "no connection, no write");
}

#[tokio::test(start_paused = true)]
async fn cancellation_leaves_no_action_without_an_outcome() {
    let mut world = world(|_| None);
    let (decided, intake) = mpsc::channel(64);
    for id in 0..5 {
        decided.send(deletion(id)).await.unwrap();
    }
    let cancel = CancellationToken::new();
    let writer = tokio::spawn(world.writer.run(intake, cancel.clone()));
    while world.requests.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    cancel.cancel();
    writer.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), GRACE.as_secs());
    let all = collect(&mut world.outcomes).await;
    assert_eq!(all, ["Unknown", "Unknown", "Refused", "Refused", "Refused"]);
}
