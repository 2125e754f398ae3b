//! The way through a list that comes in pages.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a value of a query does not show as it is: a token may hold any character.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Pages of one list at most: at 500 objects a page, fifty million.
const MAX_PAGES: usize = 100_000;

/// The pages that were asked for so far. A server that is broken, or no API server at all, may send tokens for ever.
#[derive(Debug, Default)]
pub struct Pages {
    asked: usize,
    /// The token of the last page, and one from before it that moves up at each power of two, so that tokens that come
    /// round in a circle meet it.
    last: String,
    remembered: String,
}

/// A list that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PagesError {
    /// The token was there before.
    #[error("the server leads in a circle: it gave the same continue token twice")]
    Repeated,
    /// The end does not come.
    #[error("the server gave {MAX_PAGES} pages of one list, and goes on")]
    TooMany,
}

impl Pages {
    /// Takes the token by which the list is to go on, and gives the part of the query that says so.
    ///
    /// # Errors
    /// The list leads nowhere.
    pub fn next(&mut self, token: &str) -> Result<String, PagesError> {
        if token == self.last || token == self.remembered {
            return Err(PagesError::Repeated);
        }
        self.asked += 1;
        if self.asked >= MAX_PAGES {
            return Err(PagesError::TooMany);
        }
        if self.asked.is_power_of_two() {
            self.remembered = std::mem::take(&mut self.last);
        }
        token.clone_into(&mut self.last);
        Ok(format!("continue={}", utf8_percent_encode(token, ENCODED)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pages are asked for of a server that gives these tokens, and why no more are.
    fn check(token: impl Fn(usize) -> String, expected: PagesError, most: usize) {
        let mut pages = Pages::default();
        let refused = (0..).find_map(|n| pages.next(&token(n)).err().map(|why| (n, why)));
        let (asked, why) = refused.unwrap();
        assert!(why == expected && asked <= most, "{asked} pages, then {why}");
    }

    #[test]
    fn a_list_that_leads_nowhere_is_given_up() {
        check(|_| "same".into(), PagesError::Repeated, 1);
        check(|n| format!("{}", n % 2), PagesError::Repeated, 8);
        check(|n| format!("{}", n % 1_000), PagesError::Repeated, 4_000);
        check(|n| if n < 10 { n.to_string() } else { (n % 7).to_string() }, PagesError::Repeated, 64);
        check(|n| n.to_string(), PagesError::TooMany, MAX_PAGES);
    }

    #[test]
    fn tokens_are_encoded_for_a_query() {
        assert_eq!(Pages::default().next("a-Z_0.~=/+&").unwrap(), "continue=a-Z_0.~%3D%2F%2B%26");
    }
}
