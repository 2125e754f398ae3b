//! Logs on standard error, off unless asked for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::args::{LogFormat, LoggingArgs};

/// Starts logging at the level that the command line or `EVERYNODE_LOG` asks for.
pub fn start(args: &LoggingArgs) {
    let level = match args.verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("EVERYNODE_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},kube_client=off")));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => builder.with_ansi(colour).init(),
        LogFormat::Json => builder.json().init(),
    }
}
