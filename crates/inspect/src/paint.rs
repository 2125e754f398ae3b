//! Colours, where they are wanted, and lines that keep to a width.

/// What a text tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// On its way.
    Moving,
    /// Somebody should look.
    Warning,
    /// It does not work.
    Bad,
    /// Beside the matter.
    Quiet,
    /// A heading.
    Strong,
}

/// How text is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paint {
    /// Colours are used.
    pub colour: bool,
    /// Lines are folded to so many columns; `None` leaves them as they are.
    pub width: Option<usize>,
    /// Nothing is left out of lists.
    pub wide: bool,
}

impl Paint {
    /// A text in the colour of a tone.
    pub fn tone(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Moving => "34",
            Tone::Warning => "33",
            Tone::Bad => "31",
            Tone::Quiet => "2",
            Tone::Strong => "1",
        };
        match self.colour && !text.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    /// A text that begins in column `indent` of a line, folded at spaces so that it ends before the width; further
    /// lines begin in the same column.
    pub fn fold(&self, text: &str, indent: usize) -> String {
        let room = match self.width {
            Some(width) => width.saturating_sub(indent).max(20),
            None => return text.to_owned(),
        };
        let mut out = String::new();
        let mut column = 0;
        for word in text.split(' ') {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > room {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                column = 0;
            } else if column > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += length;
        }
        out
    }

    /// `n1, n2, n3 and 17 more`; all of them when nothing is to be left out.
    pub fn some(&self, names: &[impl AsRef<str>]) -> String {
        match self.wide {
            true => names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "),
            false => everynode_plan::some(names),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_at_spaces_and_only_where_there_is_a_width() {
        let narrow = Paint { width: Some(30), ..Paint::default() };
        let text = "one two three four five six seven";
        assert_eq!(narrow.fold(text, 4), "one two three four five\n    six seven");
        assert_eq!(Paint::default().fold(text, 4), text);
        let word = "x".repeat(40);
        assert_eq!(narrow.fold(&word, 4), word);
    }

    #[test]
    fn colours_are_used_only_when_they_are_wanted() {
        assert_eq!(Paint::default().tone(Tone::Bad, "x"), "x");
        assert_eq!(Paint { colour: true, ..Paint::default() }.tone(Tone::Bad, "x"), "\x1b[31mx\x1b[0m");
    }
}
