//! What is known of a request whose connection broke.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::client;
use everynode_client::Error;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

fn check(error: &Error, expected: bool) {
    assert!(
        matches!(error, Error::Transport { may_have_arrived, .. } if *may_have_arrived == expected),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_request_without_a_connection_has_not_arrived() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    check(&client(address).await.post("/x", "{}").await.unwrap_err(), false);
}

#[tokio::test]
async fn a_request_that_was_read_may_have_been_carried_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap()).await;
    let server = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        while connection.read_u8().await.unwrap() != b'}' {}
    };
    let (answer, ()) = tokio::join!(client.post("/x", "{}"), server);
    check(&answer.unwrap_err(), true);
}
