//! What the API answered before, for when it does not answer: containers that end meanwhile are made again from that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use everynode_client::{Client, Error};

/// Answers that are kept in all, and the longest one.
const ANSWERS_LIMIT: usize = 1_024;
const ANSWER_LIMIT_BYTES: usize = 1 << 20;

/// Reads objects of the API, and recalls them where it does not answer. What it refuses is forgotten. Secrets are among
/// them: they are in memory only, and not to be printed.
#[derive(Clone)]
pub struct Recalled {
    client: Client,
    answers: Arc<Mutex<HashMap<String, Bytes>>>,
}

impl std::fmt::Debug for Recalled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recalled").finish_non_exhaustive()
    }
}

impl Recalled {
    /// Of this API.
    pub fn new(client: Client) -> Recalled {
        Recalled { client, answers: Arc::default() }
    }

    /// The answer to a GET, or the one of before where the API is not reached now.
    ///
    /// # Errors
    /// When the API refuses, or is not reached and was never asked.
    pub async fn get(&self, path: &str) -> Result<Bytes, Error> {
        let answer = self.client.get(path).await;
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Err(error) if error.is_transient() => match answers.get(path) {
                Some(before) => {
                    tracing::warn!(path, %error, "what was read before stands in");
                    Ok(before.clone())
                }
                None => Err(error),
            },
            Err(error) => {
                answers.remove(path);
                Err(error)
            }
            Ok(body) => {
                if answers.len() >= ANSWERS_LIMIT {
                    answers.clear();
                }
                if body.len() <= ANSWER_LIMIT_BYTES {
                    answers.insert(path.to_owned(), body.clone());
                }
                Ok(body)
            }
        }
    }
}
