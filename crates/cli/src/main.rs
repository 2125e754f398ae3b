//! The everynode command: reads the command line and starts what the other crates hold.

mod agent;
mod args;
mod completion;
mod controller;
mod coverage;
mod dashboard;
mod failure;
mod image;
mod install;
mod logging;
mod nodes;
mod out;
mod outliers;
mod plain;
mod plan;
mod program;
mod rollout;
mod shared;
mod signals;
mod snapshot;
mod source;
mod status;
mod up;
mod view;
mod why;

use std::process::ExitCode;

use args::Command;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn main() -> ExitCode {
    if let Some(words) = program::words_to_complete() {
        return completion::for_kubectl(program::command(), &words);
    }
    let args = match program::parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    end_on_panic();
    logging::start(&args.logging, matches!(args.command, Command::Controller(_)));
    raise_file_limit();
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    if matches!(args.command, Command::Controller(_)) {
        // The engine has one owner, and handing events between threads costs more than what they bring to do. The
        // election runs on the main thread, so that nothing keeps it from its Lease.
        threads.worker_threads(1);
    }
    let runtime = match threads.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::report(&format!("cannot start threads: {error}"), None),
    };
    let colour = args.color;
    let result = runtime.block_on(async {
        match args.command {
            Command::Up(args) => up::run(args).await,
            Command::Nodes(args) => nodes::run(args).await,
            Command::Agent(args) => agent::run(args).await,
            Command::RealNode => agent::run_in_namespaces().await,
            Command::Image(args) => image::run(args).await,
            Command::Controller(args) => controller::run(args).await,
            Command::Snapshot(args) => snapshot::run(args).await,
            Command::Plan(given) => plan::run(given, colour).await,
            Command::Why(given) => why::run(given, colour).await,
            Command::Status(given) => status::run(given, colour).await,
            Command::Coverage(given) => coverage::run(given, colour).await,
            Command::Outliers(given) => outliers::run(given, colour).await,
            Command::Dashboard(args) => dashboard::run(args).await,
            Command::Rollout(given) => rollout::run(given, colour).await,
            Command::Completion(given) => completion::run(&given, program::command()),
            Command::Install(args) => install::run(args).await,
            Command::Uninstall(args) => install::remove(args).await,
        }
    });
    // The work has ended. A connection that is dropped with the runtime may just be looking at the time, and would
    // panic; the process takes it along without a word.
    std::mem::forget(runtime);
    match result {
        Ok(code) => code,
        Err(failure) => failure::report(&failure.message, failure.hint.as_deref()),
    }
}

/// Connections are files, and the limit that shells set is low for the sake of programs of long ago: as many as we may
/// have are ours.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Help goes to standard output with status 0, what is wrong with a command line to standard error with status 2. Of
/// `plan` that is 1, as its status 2 has another meaning.
fn usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell when standard error is closed.
    let _ = error.print();
    let known = program::command();
    let command = std::env::args().skip(1).find(|argument| known.find_subcommand(argument).is_some());
    match command.as_deref() {
        Some("plan") if error.use_stderr() => ExitCode::FAILURE,
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1)),
    }
}

/// A panic is a bug: no part goes on without the one that failed. What was acknowledged is on disk. The embedded server
/// keeps panics of its requests from this hook: what a client sends ends no process.
fn end_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        view::restore_terminal();
        print(info);
        std::process::abort();
    }));
}
