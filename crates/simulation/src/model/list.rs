//! Lists.

use bytes::Bytes;

use crate::model::store::encode;
use crate::model::{Refusal, Store, Target};

impl Store {
    /// A page of a list, consistent as of the version of the first page.
    ///
    /// # Errors
    /// 410 when a later page is asked for and something has changed: the model keeps no old lists.
    pub(crate) fn list(&self, target: &Target, page_limit: usize) -> Result<Bytes, Refusal> {
        let (version, skip) = match target.continue_token.split_once('.') {
            Some((version, skip)) => (version.parse().unwrap_or(0), skip.parse().unwrap_or(0)),
            None => (self.version(), 0_usize),
        };
        let changed = self.since(version).iter().any(|change| change.key.kind == target.kind);
        if changed {
            return Err(Refusal::expired("The provided continue parameter is too old"));
        }
        // Who asks for no pages gets none.
        let limit = if target.limit == usize::MAX { usize::MAX } else { target.limit.min(page_limit) };
        let selected = self.all(target.kind).filter(|object| target.selection.takes(object));
        let mut items: Vec<String> = Vec::new();
        let mut more = false;
        for object in selected.skip(skip) {
            more = items.len() == limit;
            if more {
                break;
            }
            items.push(String::from_utf8_lossy(&encode(object)).into_owned());
        }
        let token = if more { format!("{version}.{}", skip + items.len()) } else { String::new() };
        let body = format!(
            r#"{{"kind":"{}List","apiVersion":"{}","metadata":{{"resourceVersion":"{version}","continue":"{token}"}},"items":[{}]}}"#,
            target.kind.name(),
            target.kind.api_version(),
            items.join(",")
        );
        Ok(Bytes::from(body))
    }
}
