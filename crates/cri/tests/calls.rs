//! Calls that go well, fail, take too long and break, and what their caller is told.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use everynode_cri::messages::*;
use everynode_cri::testing::{Behaviour, Exec, FakeRuntime, Fault, Generation, How, When};
use everynode_cri::{ANSWER_LIMIT_BYTES, Client, CriError, Endpoint, ErrorKind, Fate, Feature, Runtime};
use everynode_testkit::wait::eventually;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_secs(20);

fn runtime() -> FakeRuntime {
    FakeRuntime::new(Generation::New, 1_700_000_000_000_000_000)
}

fn pod(name: &str) -> RunPodSandboxRequest {
    let metadata = PodSandboxMetadata { name: name.to_owned(), ..Default::default() };
    let config = PodSandboxConfig { metadata: Some(metadata), ..Default::default() };
    RunPodSandboxRequest { config: Some(config), ..Default::default() }
}

fn client_of(socket: &Path) -> Client {
    Client::new(socket.to_str().unwrap().parse::<Endpoint>().unwrap())
}

fn kind_and_fate<T>(result: Result<T, CriError>) -> (ErrorKind, Fate) {
    let error = result.map(|_| ()).unwrap_err();
    (error.kind, error.fate)
}

#[tokio::test]
async fn a_fault_leaves_the_world_as_it_says_and_tells_the_caller_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("cri.sock");
    let check = async |fault: Fault, done: usize, kind: ErrorKind, fate: Fate| {
        let runtime = runtime();
        let _listening = runtime.listen(&socket).unwrap();
        let client = client_of(&socket);
        runtime.fail_next::<RunPodSandboxRequest>(fault);
        // A call that hangs costs the whole deadline.
        let deadline = if fault.how == How::Hang { Duration::from_millis(200) } else { DEADLINE };
        let found = client.call(pod("a"), deadline).await;
        assert_eq!(kind_and_fate(found), (kind, fate), "{fault:?}");
        assert_eq!(runtime.sandboxes().len(), done, "{fault:?}");
        client.call(pod("b"), DEADLINE).await.unwrap();
        assert_eq!(runtime.sandboxes().len(), done + 1, "{fault:?}: the next call goes well");
    };
    for (when, done) in [(When::Before, 0), (When::After, 1)] {
        check(Fault { when, how: How::Hang }, done, ErrorKind::DeadlineExceeded, Fate::Unknown).await;
        check(Fault { when, how: How::Disconnect }, done, ErrorKind::Unavailable, Fate::Unknown).await;
        for kind in [
            ErrorKind::Unavailable,
            ErrorKind::DeadlineExceeded,
            ErrorKind::Unimplemented,
            ErrorKind::NotFound,
            ErrorKind::AlreadyExists,
            ErrorKind::InvalidArgument,
            ErrorKind::FailedPrecondition,
            ErrorKind::PermissionDenied,
            ErrorKind::ResourceExhausted,
            ErrorKind::Failed,
        ] {
            check(Fault { when, how: How::Refuse(kind) }, done, kind, Fate::Answered).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline() {
    let runtime = runtime();
    let client = runtime.client();
    runtime.fail_next::<VersionRequest>(Fault { when: When::Before, how: How::Hang });
    let start = Instant::now();
    let error = client.call(VersionRequest::default(), Duration::from_secs(7)).await.unwrap_err();
    assert_eq!((error.kind, error.fate), (ErrorKind::DeadlineExceeded, Fate::Unknown));
    assert_eq!(error.to_string(), "Version took too long: no answer within 7s");
    assert_eq!(start.elapsed().as_secs(), 7);
    client.call(VersionRequest::default(), Duration::MAX).await.unwrap();
}

#[tokio::test]
async fn a_call_is_cancelled_by_dropping_it() {
    let runtime = runtime();
    let client = runtime.client();
    runtime.fail_next::<VersionRequest>(Fault { when: When::Before, how: How::Hang });
    let in_flight = async |count: usize| {
        eventually("calls in flight", DEADLINE, async || match runtime.in_flight() {
            found if found == count => Ok(()),
            found => Err(format!("{found}, not {count}")),
        })
        .await;
    };
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.call(VersionRequest::default(), DEADLINE).await }
    });
    in_flight(1).await;
    client.call(StatusRequest::default(), DEADLINE).await.unwrap();
    assert_eq!(runtime.in_flight(), 1, "a call waits for no other");
    call.abort();
    in_flight(0).await;
}

#[tokio::test]
async fn many_calls_share_a_connection() {
    let client = runtime().client();
    let calls = (0..1_000).map(|number| client.call(pod(&number.to_string()), DEADLINE));
    for answer in futures::future::join_all(calls).await {
        answer.unwrap();
    }
    let listed = client.call(ListPodSandboxRequest::default(), DEADLINE).await.unwrap();
    assert_eq!(listed.items.len(), 1_000);
}

#[tokio::test]
async fn without_a_runtime_nothing_is_sent_and_the_hint_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("cri.sock");
    let client = client_of(&socket);
    let check = async |hint: &str| {
        let error = client.call(VersionRequest::default(), DEADLINE).await.unwrap_err();
        assert_eq!((error.kind, error.fate), (ErrorKind::Unavailable, Fate::NeverSent));
        let said = format!("Version did not reach the runtime: unix://{}: ", socket.display());
        assert!(error.to_string().starts_with(&said) && error.to_string().ends_with(hint), "{error}");
    };
    check("(no runtime has made this socket: start containerd or CRI-O, or name its socket)").await;
    drop(UnixListener::bind(&socket).unwrap());
    check("(nobody listens there any more: start the runtime again)").await;

    std::fs::remove_file(&socket).unwrap();
    let _listening = runtime().listen(&socket).unwrap();
    client.call(VersionRequest::default(), DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_runtime_that_comes_back_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("cri.sock");
    let runtime = runtime();
    let client = client_of(&socket);
    for name in ["a", "b", "c"] {
        let listening = runtime.listen(&socket).unwrap();
        eventually("a runtime that is back", DEADLINE, async || {
            client.call(pod(name), DEADLINE).await.map_err(|error| error.to_string())
        })
        .await;
        drop(listening);
        // What was open may take one call with it; it was sent, or it was not.
        let error = client.call(StatusRequest::default(), DEADLINE).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }
    assert_eq!(runtime.sandboxes().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_that_ends_takes_no_call_with_it_that_has_not_left() {
    let runtime = runtime();
    let client = runtime.client();
    for number in 0..500 {
        client.call(VersionRequest::default(), DEADLINE).await.unwrap();
        runtime.disconnect();
        let pod = pod(&number.to_string());
        let metadata = pod.config.as_ref().unwrap().metadata.clone();
        let answer = client.call(pod, DEADLINE).await;
        // An earlier one that was not answered may come at any time.
        let is_made = runtime.sandboxes().iter().any(|sandbox| sandbox.metadata == metadata);
        match answer.map_err(|error| (error.kind, error.fate)) {
            Ok(_) => assert!(is_made, "{number}"),
            // It left before the end was known.
            Err((ErrorKind::Unavailable, Fate::Unknown)) => {}
            Err(other) => panic!("{number}: {other:?}"),
        }
        for sandbox in runtime.sandboxes() {
            let request = RemovePodSandboxRequest { pod_sandbox_id: sandbox.id };
            client.call(request, DEADLINE).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_answer_has_a_limit() {
    let runtime = runtime();
    let client = runtime.client();
    runtime.offer_image("i");
    let image = Some(ImageSpec { image: "i".to_owned(), ..Default::default() });
    client.call(PullImageRequest { image: image.clone(), ..Default::default() }, DEADLINE).await.unwrap();
    let pod_sandbox_id = client.call(pod("a"), DEADLINE).await.unwrap().pod_sandbox_id;
    let check = async |name: &str, length: usize, expected: Result<usize, ErrorKind>| {
        let answer = ExecSyncResponse { stdout: vec![b'x'; length], ..Default::default() };
        let exec = Exec { answer, ..Default::default() };
        runtime.set_behaviour(name, Behaviour { exec, ..Default::default() });
        let metadata = Some(ContainerMetadata { name: name.to_owned(), attempt: 0 });
        let config = Some(ContainerConfig { metadata, image: image.clone(), ..Default::default() });
        let request =
            CreateContainerRequest { pod_sandbox_id: pod_sandbox_id.clone(), config, ..Default::default() };
        let container_id = client.call(request, DEADLINE).await.unwrap().container_id;
        client.call(StartContainerRequest { container_id: container_id.clone() }, DEADLINE).await.unwrap();
        let found = client.call(ExecSyncRequest { container_id, ..Default::default() }, DEADLINE).await;
        assert_eq!(found.map(|answer| answer.stdout.len()).map_err(|error| error.kind), expected);
    };
    check("long", ANSWER_LIMIT_BYTES - 100, Ok(ANSWER_LIMIT_BYTES - 100)).await;
    check("too-long", ANSWER_LIMIT_BYTES, Err(ErrorKind::AnswerTooLarge)).await;
}

#[tokio::test]
async fn a_runtime_says_what_it_can_do_or_lacks_it() {
    let check = async |generation, driver, lacked: bool| {
        let runtime = FakeRuntime::new(generation, 0);
        let found = Runtime::ask(&runtime.client(), DEADLINE).await.unwrap();
        assert_eq!((found.cgroup_driver, found.version.runtime_name.as_str()), (driver, "memory"));
        assert!(found.conditions.iter().all(|condition| condition.status));
        let asked = [Feature::UserNamespaces, Feature::StrictSupplementalGroups].into();
        assert_eq!(found.lacks("", &asked), if lacked { asked } else { [].into() });
    };
    check(Generation::Old, None, true).await;
    check(Generation::New, Some(CgroupDriver::Cgroupfs), false).await;

    let runtime = FakeRuntime::new(Generation::New, 0);
    runtime
        .fail_next::<RuntimeConfigRequest>(Fault { when: When::Before, how: How::Refuse(ErrorKind::Failed) });
    let error = Runtime::ask(&runtime.client(), DEADLINE).await.unwrap_err();
    assert_eq!(error.call, "RuntimeConfig", "a failure is not a runtime without the call");
}

/// Serves one connection by a function of the request's path and headers.
async fn serve_one(
    listener: UnixListener,
    answer: impl Fn(&str, &HeaderMap) -> Response<String> + Clone + Send + 'static,
) {
    let (stream, _): (UnixStream, _) = listener.accept().await.unwrap();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let answer = answer(request.uri().path(), request.headers());
        async move { Ok::<_, Infallible>(answer) }
    });
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // The client leaves when it has seen enough.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

#[tokio::test]
async fn the_runtime_is_told_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("cri.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = tokio::spawn(serve_one(listener, |path, headers| {
        let timeout = headers["grpc-timeout"].to_str().unwrap();
        let answer = Response::builder().header("content-type", "application/grpc");
        answer
            .header("grpc-status", "9")
            .header("grpc-message", format!("{path} {timeout}"))
            .body(String::new())
            .unwrap()
    }));
    let client = client_of(&socket);
    let check = async |deadline: Duration, told: &str| {
        let error = client.call(ImageStatusRequest::default(), deadline).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::FailedPrecondition);
        assert_eq!(error.words(), format!("/runtime.v1.ImageService/ImageStatus {told}"));
    };
    check(Duration::from_secs(2), "2000000u").await;
    check(Duration::MAX, "86400000m").await;
    drop(client);
    server.await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_no_runtime_is_told_from_one() {
    let folder = tempfile::tempdir().unwrap();
    let check = async |code: u16, expected: ErrorKind| {
        let socket = folder.path().join(code.to_string());
        let listener = UnixListener::bind(&socket).unwrap();
        let answer =
            move |_: &str, _: &HeaderMap| Response::builder().status(code).body("page".to_owned()).unwrap();
        let server = tokio::spawn(serve_one(listener, answer));
        let client = client_of(&socket);
        let error = client.call(VersionRequest::default(), DEADLINE).await.unwrap_err();
        assert_eq!(error.kind, expected, "{error}");
        drop(client);
        server.await.unwrap();
    };
    check(200, ErrorKind::Failed).await;
    check(404, ErrorKind::Failed).await;
}
