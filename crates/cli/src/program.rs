//! The name by which the program was started: as a plugin of kubectl it is `kubectl everynode`.

use std::ffi::OsStr;
use std::path::Path;

use clap::{CommandFactory, FromArgMatches};

use crate::args::Args;

/// The file name of the plugin.
const PLUGIN: &str = "kubectl-everynode";

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
    match is_plugin(program) {
        true => Args::command().bin_name("kubectl everynode"),
        false => Args::command(),
    }
}

fn is_plugin(program: Option<&OsStr>) -> bool {
    let name = program.and_then(|program| Path::new(program).file_stem());
    name.is_some_and(|name| name == PLUGIN)
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
