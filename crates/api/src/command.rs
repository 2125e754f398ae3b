use serde_json::Value;

/// What people tell a roll-out by an annotation of its policy. The value names the revision that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The next wave may begin: `REVISION/WAVE`.
    Promote,
    /// The revision is given up: `REVISION`, or `REVISION/ATTEMPT`.
    Abort,
    /// Nodes that failed are tried again: `REVISION/ATTEMPT`.
    Retry,
}

impl Command {
    /// All commands.
    pub const ALL: [Command; 3] = [Command::Promote, Command::Abort, Command::Retry];

    /// The key of the annotation.
    pub fn annotation(self) -> &'static str {
        match self {
            Command::Promote => "everynode.dev/promote",
            Command::Abort => "everynode.dev/abort",
            Command::Retry => "everynode.dev/retry",
        }
    }

    /// The commands among annotations, with their values.
    pub fn among(annotations: &Value) -> Vec<(Command, String)> {
        let value = |command: Command| {
            let value = annotations.get(command.annotation())?.as_str()?;
            Some((command, value.to_owned()))
        };
        Command::ALL.into_iter().filter_map(value).collect()
    }
}
