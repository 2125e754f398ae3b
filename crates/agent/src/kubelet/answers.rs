//! Answers of the API that hold for a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// How many are remembered.
const LIMIT: usize = 1_024;

/// Answers by what was asked.
#[derive(Debug)]
pub struct Answers<K, V>(HashMap<K, (V, Instant)>);

impl<K, V> Default for Answers<K, V> {
    fn default() -> Self {
        Answers(HashMap::new())
    }
}

impl<K: Eq + Hash, V: Clone> Answers<K, V> {
    /// The answer, if it still holds.
    pub fn get(&self, question: &K, now: Instant) -> Option<V> {
        self.0.get(question).filter(|(_, until)| *until > now).map(|(answer, _)| answer.clone())
    }

    /// Remembers an answer that holds for so long.
    pub fn keep(&mut self, question: K, answer: V, holds: Duration, now: Instant) {
        if self.0.len() >= LIMIT {
            self.0.retain(|_, (_, until)| *until > now);
        }
        if self.0.len() >= LIMIT {
            // They are asked for again.
            self.0.clear();
        }
        self.0.insert(question, (answer, now + holds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_hold_for_their_time_and_are_not_more_than_the_limit() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut answers = Answers::default();
        answers.keep(0, "yes", second, now);
        assert_eq!(answers.get(&0, now), Some("yes"));
        assert_eq!(answers.get(&0, now + second), None);
        for question in 1..=2 * LIMIT {
            answers.keep(question, "yes", second, now);
            assert!(answers.0.len() <= LIMIT);
            assert_eq!(answers.get(&question, now), Some("yes"));
        }
    }
}
