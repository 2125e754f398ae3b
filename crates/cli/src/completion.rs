//! `everynode completion`: scripts by which shells complete the command line, and what kubectl asks for when it
//! completes that of its plugin.

use std::process::ExitCode;

use clap::ValueEnum;
use clap_complete::{Shell, generate};

use crate::failure::Failure;
use crate::out::say_raw;

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
    /// To be written where zsh looks for functions.
    #[value(help = r#"everynode completion zsh > "${fpath[1]}/_everynode""#)]
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
    say_raw(&String::from_utf8_lossy(&script));
    Ok(ExitCode::SUCCESS)
}

/// What kubectl's completion does with the candidates: the numbers are those of its library.
const NO_FILES: u8 = 4;
const FILES: u8 = 0;

/// Answers kubectl, which runs `kubectl_complete-everynode` with the words after `kubectl everynode`, the last of them
/// unfinished: a candidate per line with its description after a tab, and in the last line what else may come.
pub fn for_kubectl(mut command: clap::Command, words: &[String]) -> ExitCode {
    command.build();
    let (candidates, directive) = candidates(&command, words);
    let line = |(name, about): &(String, String)| format!("{name}\t{about}\n");
    let lines: String = candidates.iter().map(line).collect();
    say_raw(&format!("{lines}:{directive}\n"));
    ExitCode::SUCCESS
}

fn candidates(command: &clap::Command, words: &[String]) -> (Vec<(String, String)>, u8) {
    let (last, before) = words.split_last().map_or(("", words), |(last, before)| (last.as_str(), before));
    let inner = |at, word: &String| clap::Command::find_subcommand(at, word).unwrap_or(at);
    let at = before.iter().fold(command, inner);
    let text = |about: Option<&clap::builder::StyledStr>| {
        about.map(|about| about.to_string().lines().next().unwrap_or_default().to_owned()).unwrap_or_default()
    };
    let values = |arg: &clap::Arg| -> Vec<(String, String)> {
        let values = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
        values.map(|value| (value.get_name().to_owned(), text(value.get_help()))).collect()
    };
    let is_named = |arg: &&clap::Arg, word: &str| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| word == format!("-{short}")),
    };
    let option = before.last().and_then(|word| at.get_arguments().find(|arg| is_named(arg, word)));
    let mut found = match option.filter(|arg| arg.get_action().takes_values()) {
        Some(option) if values(option).is_empty() => return (Vec::new(), FILES),
        Some(option) => values(option),
        None if last.starts_with('-') => {
            let flags = at.get_arguments().filter(|arg| !arg.is_hide_set());
            flags.filter_map(|arg| Some((format!("--{}", arg.get_long()?), text(arg.get_help())))).collect()
        }
        None => {
            let commands = at.get_subcommands().filter(|one| !one.is_hide_set());
            let commands = commands.map(|one| (one.get_name().to_owned(), text(one.get_about())));
            commands.chain(at.get_positionals().flat_map(values)).collect()
        }
    };
    found.retain(|(name, _)| name.starts_with(last));
    (found, NO_FILES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_gets_commands_flags_and_values() {
        let mut command = crate::program::command();
        command.build();
        let check = |line: &str, expected: &[&str], directive: u8| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let (found, told) = candidates(&command, &words);
            let found: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!((found.as_slice(), told), (expected, directive), "{line:?}");
        };
        check("sta", &["status"], NO_FILES);
        check("rollout p", &["pause", "promote"], NO_FILES);
        check("rollout status --wa", &["--watch"], NO_FILES);
        check("rollout -n x status -o j", &["json"], NO_FILES);
        check("status --color ", &["auto", "always", "never"], NO_FILES);
        check("status --kubeconfig ", &[], FILES);
        check("completion z", &["zsh"], NO_FILES);
        check("why ds/a", &[], NO_FILES);
    }
}
