//! Logs on standard error: errors only unless more is asked for, and none while the live view has the terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::shared::EVERYWHERE;

static SILENT: AtomicBool = AtomicBool::new(false);

/// Logs go to standard error.
#[derive(Debug, clap::Args)]
pub struct LoggingArgs {
    /// Log more: -v for what is done, -vv for why; EVERYNODE_LOG takes filters
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = EVERYWHERE)]
    pub verbose: u8,
    /// Format of the log lines
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT", help_heading = EVERYWHERE)]
    pub log_format: LogFormat,
}

/// Formats of log lines.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

/// Starts logging at the level that the command line or `EVERYNODE_LOG` asks for. What runs unattended has nothing
/// but its log to speak with, so it begins one level further.
pub fn start(args: &LoggingArgs, unattended: bool) {
    // Whoever lets kubelets show any certificate need not be told so with each connection.
    let level = match args.verbose.saturating_add(unattended.into()) {
        0 => "error",
        1 => "info,kube_client::client::tls=error",
        2 => "debug,kube_client::client::tls=error",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("EVERYNODE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let colour =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match args.log_format {
        LogFormat::Text => builder.with_ansi(colour).init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// Drops log lines that would land in the live view; those that go to a file are kept.
pub fn silence_terminal(silent: bool) {
    SILENT.store(silent && io::stderr().is_terminal(), Ordering::Relaxed);
}

fn writer() -> Box<dyn Write> {
    match SILENT.load(Ordering::Relaxed) {
        true => Box::new(io::sink()),
        false => Box::new(io::stderr()),
    }
}
