//! The name by which the program was started: as a plugin of kubectl it is `kubectl everynode`, and kubectl has the
//! plugin's command line completed by a program of a name of its own.

use std::ffi::OsStr;
use std::path::Path;

use clap::{CommandFactory, FromArgMatches};

use crate::args::Args;

/// The file name of the plugin.
const PLUGIN: &str = "kubectl-everynode";
/// The file name of the program that kubectl asks how the plugin's command line goes on.
const COMPLETES_PLUGIN: &str = "kubectl_complete-everynode";

/// Reads the command line.
pub fn parse() -> Result<Args, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Args::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// The description of the command line, under the name by which the program was started.
pub fn command() -> clap::Command {
    named(std::env::args_os().next().as_deref())
}

fn named(program: Option<&OsStr>) -> clap::Command {
    match is(program, PLUGIN) {
        true => Args::command().bin_name("kubectl everynode"),
        false => Args::command(),
    }
}

/// The words that kubectl wants to have completed, when it started the program for that.
pub fn words_to_complete() -> Option<Vec<String>> {
    let mut words = std::env::args_os();
    let program = words.next();
    is(program.as_deref(), COMPLETES_PLUGIN)
        .then(|| words.map(|word| word.to_string_lossy().into_owned()).collect())
}

fn is(program: Option<&OsStr>, wanted: &str) -> bool {
    let name = program.and_then(|program| Path::new(program).file_stem());
    name.is_some_and(|name| name == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_texts_name_the_program_as_it_was_started() {
        let check = |program: &str, expected: &str| {
            let usage = named(Some(OsStr::new(program))).render_usage().to_string();
            assert!(usage.contains(expected), "{program}: {usage}");
        };
        check("/usr/local/bin/kubectl-everynode", "Usage: kubectl everynode ");
        check("everynode", "Usage: everynode ");
    }
}
