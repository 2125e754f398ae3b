//! Splitting a body that arrives in frames into lines, without copying lines that lie within one frame.

use bytes::{Bytes, BytesMut};

/// Collects frames and gives out whole lines.
#[derive(Debug)]
pub struct LineSplitter {
    frame: Bytes,
    partial: BytesMut,
    limit_bytes: usize,
}

/// A line is longer than the limit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {0} bytes")]
pub struct LineTooLong(pub usize);

impl LineSplitter {
    /// A splitter that refuses lines longer than `limit_bytes`.
    pub fn new(limit_bytes: usize) -> LineSplitter {
        LineSplitter { frame: Bytes::new(), partial: BytesMut::new(), limit_bytes }
    }

    /// Takes the next frame. All lines of the previous frame must have been taken out with
    /// [`next_line`](Self::next_line) before.
    pub fn push(&mut self, frame: Bytes) {
        debug_assert!(self.frame.is_empty(), "lines of the previous frame are still there");
        self.frame = frame;
    }

    /// The next whole line, without its line end; `None` when another frame is needed. Empty lines are
    /// skipped.
    ///
    /// # Errors
    /// `LineTooLong` when the limit is passed; the splitter must not be used after that.
    pub fn next_line(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        while let Some(end) = memchr::memchr(b'\n', &self.frame) {
            let tail = self.frame.split_to(end + 1).slice(..end);
            if self.partial.len() + tail.len() > self.limit_bytes {
                return Err(LineTooLong(self.limit_bytes));
            }
            let line = match self.partial.is_empty() {
                true => tail,
                false => {
                    self.partial.extend_from_slice(&tail);
                    self.partial.split().freeze()
                }
            };
            let line = match line.last() {
                Some(b'\r') => line.slice(..line.len() - 1),
                _ => line,
            };
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
        if self.partial.len() + self.frame.len() > self.limit_bytes {
            return Err(LineTooLong(self.limit_bytes));
        }
        self.partial.extend_from_slice(&self.frame);
        self.frame.clear();
        Ok(None)
    }

    /// The last line when the body ends without a line end.
    pub fn finish(&mut self) -> Option<Bytes> {
        (!self.partial.is_empty()).then(|| self.partial.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(frames: &[&'static str], limit_bytes: usize) -> Result<Vec<String>, LineTooLong> {
        let mut splitter = LineSplitter::new(limit_bytes);
        let mut lines = Vec::new();
        for frame in frames {
            splitter.push(Bytes::from_static(frame.as_bytes()));
            while let Some(line) = splitter.next_line()? {
                lines.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        lines.extend(splitter.finish().map(|line| String::from_utf8(line.to_vec()).unwrap()));
        Ok(lines)
    }

    #[test]
    fn lines_come_out_whole_however_the_frames_are_cut() {
        for frames in [&["a\nbb\nccc\n"][..], &["a", "\nb", "b\ncc", "c\n"], &["a\r\n\n\nbb\n", "ccc"]] {
            assert_eq!(split(frames, 100).unwrap(), ["a", "bb", "ccc"], "{frames:?}");
        }
    }

    #[test]
    fn a_line_within_one_frame_is_not_copied() {
        let frame = Bytes::from_static(b"one\ntwo\n");
        let mut splitter = LineSplitter::new(100);
        splitter.push(frame.clone());
        let line = splitter.next_line().unwrap().unwrap();
        assert_eq!(line.as_ptr(), frame.as_ptr());
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_limit() {
        assert_eq!(split(&["abc", "def", "ghi"], 8), Err(LineTooLong(8)));
        assert_eq!(split(&["abcdefghi\n"], 8), Err(LineTooLong(8)));
        assert_eq!(split(&["abcdefgh\n"], 8).unwrap(), ["abcdefgh"]);
    }
}
