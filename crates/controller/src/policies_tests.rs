use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use everynode_client::{SystemClock, Transport};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;

use super::*;

/// An object by its name and the last digit of its uid.
fn object(text: &str) -> bytes::Bytes {
    let (name, uid) = text.split_once(' ').unwrap_or((text, "1"));
    format!(
        r#"{{"metadata":{{"namespace":"n","name":"{name}","uid":"00000000-0000-0000-0000-00000000000{uid}"}},"spec":{{}}}}"#
    )
    .into()
}

/// What is sent after each event; `-` for nothing.
fn check(events: Vec<Event>, expected: &[&str]) {
    let mut set = Set::default();
    let sent: Vec<String> = events
        .into_iter()
        .map(|event| match set.take(event) {
            true => set.all().iter().map(|one| one.key.name.as_str()).collect::<Vec<_>>().join(" "),
            false => "-".to_owned(),
        })
        .collect();
    assert_eq!(sent, expected);
}

#[test]
fn the_set_is_sent_when_a_list_is_complete_and_after_each_change() {
    let (done, first) = (|| Event::InitialDone("1".into()), |text| Event::InitialObject(object(text)));
    let (applied, deleted) = (|text| Event::Applied(object(text)), |text| Event::Deleted(object(text)));
    check(vec![Event::Restarted, done()], &["-", ""]);
    check(
        vec![Event::Restarted, first("b"), first("a"), done(), applied("c"), deleted("b"), applied("a")],
        &["-", "-", "-", "a b", "a b c", "a c", "a c"],
    );
    // A list that is made anew is sent when it is complete, and what it does not have is gone.
    check(
        vec![
            Event::Restarted,
            first("a"),
            done(),
            Event::Restarted,
            first("b"),
            first("c"),
            deleted("c"),
            done(),
        ],
        &["-", "-", "a", "-", "-", "-", "-", "b"],
    );
    // Another object of the same name is another policy.
    check(
        vec![
            Event::Restarted,
            first("a 1"),
            done(),
            deleted("a 1"),
            applied("a 2"),
            Event::Bookmark("9".into()),
        ],
        &["-", "-", "a", "", "a", "-"],
    );
    let unreadable = Event::Applied(bytes::Bytes::from_static(b"{}"));
    check(vec![Event::Restarted, first("a"), done(), unreadable], &["-", "-", "a", "a"]);
}

/// A server that gives these answers in turn, and the last one for ever.
fn scripted(answers: &[(u16, String)]) -> Client {
    let left = Arc::new(Mutex::new(VecDeque::from(answers.to_vec())));
    let answer = move |_: Request<Full<Bytes>>| {
        let left = left.clone();
        async move {
            let mut left = left.lock().unwrap();
            let (code, body) = if left.len() > 1 { left.pop_front().unwrap() } else { left[0].clone() };
            let body = Full::from(body).map_err(|never| match never {}).boxed_unsync();
            Ok(Response::builder().status(code).body(body).unwrap())
        }
    };
    Client::over(Transport::new(tower::service_fn(answer)), Arc::new(SystemClock), "http://scripted")
}

fn refusal(code: u16) -> (u16, String) {
    (code, format!(r#"{{"kind":"Status","status":"Failure","code":{code},"message":"no"}}"#))
}

/// Streamed lists are refused, so that a list in one page follows.
fn list(names: &[&str]) -> Vec<(u16, String)> {
    let items: Vec<String> =
        names.iter().map(|name| String::from_utf8(object(name).to_vec()).unwrap()).collect();
    let page = format!(r#"{{"metadata":{{"resourceVersion":"7"}},"items":[{}]}}"#, items.join(","));
    vec![refusal(400), (200, page), refusal(500)]
}

/// The sets of policies that come from a server with these answers, each with the seconds from the start, by a clock
/// that runs ahead when there is nothing to do.
async fn sent(answers: &[(u16, String)], count: usize) -> Vec<(String, u64)> {
    let (sender, mut receiver) = mpsc::channel(1);
    let (cancel, begun) = (CancellationToken::new(), Instant::now());
    let list = ListWatch::new(everynode_api::rollout_policy::collection(None)).seed(1);
    tokio::spawn(follow(list, scripted(answers), Metrics::new(), sender, cancel.clone()));
    let mut all = Vec::new();
    while all.len() < count {
        let policies = receiver.recv().await.expect("there is more to send");
        let names: Vec<&str> = policies.iter().map(|one| one.key.name.as_str()).collect();
        all.push((names.join(" "), begun.elapsed().as_secs()));
    }
    cancel.cancel();
    all
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_served_has_no_objects_and_is_asked_for_again() {
    let answers = [vec![refusal(404), refusal(404)], list(&["a", "b"])].concat();
    let expected = [("", 0), ("", 60), ("a b", 120)];
    assert_eq!(sent(&answers, 3).await, expected.map(|(names, at)| (names.to_owned(), at)));
}

#[tokio::test(start_paused = true)]
async fn policies_go_with_their_kind() {
    let answers = [list(&["a"]), vec![refusal(404)]].concat();
    let sent: Vec<String> = sent(&answers, 2).await.into_iter().map(|(names, _)| names).collect();
    assert_eq!(sent, ["a", ""]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_nothing_about_policies_and_is_waited_out() {
    for code in [401, 403, 500, 503] {
        let answers = [vec![refusal(code); 5], list(&["a"])].concat();
        let sent = sent(&answers, 1).await;
        assert_eq!(sent[0].0, "a", "{code}: nothing is sent before the list");
        assert!(sent[0].1 >= 1, "{code}: {sent:?}");
    }
}
