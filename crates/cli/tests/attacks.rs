//! What other users of the same machine, and clients that mean no good, can do to `everynode up`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod common;
#[path = "attacks/connections.rs"]
mod connections;
#[path = "attacks/files.rs"]
mod files;
#[path = "attacks/requests.rs"]
mod requests;
#[path = "attacks/terminal.rs"]
mod terminal;
#[path = "attacks/tls.rs"]
mod tls;
