//! `everynode completion`: scripts by which shells complete the command line.

use std::process::ExitCode;

use clap::ValueEnum;
use clap_complete::{Shell, generate};

use crate::failure::Failure;
use crate::out::say;

/// Arguments of `completion`.
#[derive(Debug, clap::Args)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: ShellArg,
}

/// Shells with a script.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ShellArg {
    /// source <(everynode completion bash)
    Bash,
    /// everynode completion zsh > "${fpath[1]}/_everynode"
    Zsh,
    /// everynode completion fish > ~/.config/fish/completions/everynode.fish
    Fish,
}

/// Prints the script for a command line.
pub fn run(args: &CompletionArgs, mut command: clap::Command) -> Result<ExitCode, Failure> {
    let shell = match args.shell {
        ShellArg::Bash => Shell::Bash,
        ShellArg::Zsh => Shell::Zsh,
        ShellArg::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut command, "everynode", &mut script);
    say(&String::from_utf8_lossy(&script));
    Ok(ExitCode::SUCCESS)
}
