//! The writer against servers that behave badly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use everynode_client::Client;
use everynode_engine::{DaemonSetRef, PodRef, Uid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// How a server treats a request, given the number of those before it.
#[derive(Clone, Copy)]
enum Answer {
    /// With these bytes, and then the end of the connection.
    Bytes(fn(usize) -> &'static str),
    /// Not at all.
    Silence,
}

const DONE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
const BUSY: &str =
    "HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy";

struct World {
    writer: Writer,
    metrics: Metrics,
    requests: Arc<AtomicUsize>,
    outcomes: mpsc::Receiver<Finished>,
}

async fn world(answer: Answer) -> World {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    tokio::spawn(serve(listener, requests.clone(), answer));
    world_at(&format!("http://{address}"), requests).await
}

async fn world_at(url: &str, requests: Arc<AtomicUsize>) -> World {
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "users": [{"name": "c", "user": {}}],
    });
    let client = Client::from_kubeconfig_text(&kubeconfig.to_string()).await.unwrap();
    let metrics = Metrics::new();
    let api = Api::new(client);
    let (recorder, _) = Recorder::new(api.clone(), Arc::new(everynode_client::SystemClock), metrics.clone());
    let (outcomes_in, outcomes) = mpsc::channel(64);
    let mut writer = Writer::new(api, Served::default(), recorder, metrics.clone(), 2, outcomes_in);
    writer.grace = Duration::from_millis(20);
    World { writer, metrics, requests, outcomes }
}

async fn serve(listener: TcpListener, requests: Arc<AtomicUsize>, answer: Answer) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer_one(stream, requests.clone(), answer));
    }
}

async fn answer_one(mut stream: TcpStream, requests: Arc<AtomicUsize>, answer: Answer) {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    // The bodies of these tests end in a brace.
    while !request.ends_with(b"}") {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(count) => request.extend_from_slice(&part[..count]),
        }
    }
    let before = requests.fetch_add(1, Ordering::SeqCst);
    match answer {
        Answer::Bytes(bytes) => drop(stream.write_all(bytes(before).as_bytes()).await),
        Answer::Silence => std::future::pending().await,
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

#[tokio::test]
async fn a_write_that_the_server_turns_away_for_its_load_is_made_later() {
    let world = world(Answer::Bytes(|before| if before < 3 { BUSY } else { DONE })).await;
    let (requests, metrics) = (world.requests.clone(), world.metrics.clone());
    assert_eq!(outcomes(world, 4).await, ["Done"; 4]);
    assert_eq!(requests.load(Ordering::SeqCst), 7);
    assert!(
        metrics.encode().contains(r#"workqueue_retries_total{name="daemonset"} 3"#),
        "{}",
        metrics.encode()
    );
}

#[tokio::test]
async fn a_server_that_is_always_busy_is_not_asked_for_ever() {
    let world = world(Answer::Bytes(|_| BUSY)).await;
    let requests = world.requests.clone();
    assert_eq!(outcomes(world, 1).await, ["Refused"]);
    assert_eq!(requests.load(Ordering::SeqCst), 1 + PUT_BACK_LIMIT as usize);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_outcome_unknown_and_a_lost_server_does_not() {
    let world = world(Answer::Bytes(|_| "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")).await;
    assert_eq!(outcomes(world, 2).await, ["Unknown"; 2]);

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let world = world_at(&format!("http://{closed}"), Arc::default()).await;
    assert_eq!(outcomes(world, 2).await, ["Refused"; 2], "no connection, no write");
}

#[tokio::test]
async fn cancellation_leaves_no_action_without_an_outcome() {
    let mut world = world(Answer::Silence).await;
    let (decided, intake) = mpsc::channel(64);
    for id in 0..5 {
        decided.send(deletion(id)).await.unwrap();
    }
    let cancel = CancellationToken::new();
    let writer = tokio::spawn(world.writer.run(intake, cancel.clone()));
    while world.requests.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    cancel.cancel();
    writer.await.unwrap();
    let all = collect(&mut world.outcomes).await;
    assert_eq!(all, ["Unknown", "Unknown", "Refused", "Refused", "Refused"]);
}
