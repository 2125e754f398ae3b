//! The last look before an owner is let go. Watches lag behind, so what they show is no proof that nothing depends on
//! the owner: the API is asked, by lists that begin after the owner was marked for deletion.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use everynode_client::{Error, Method, Pages, content_type};
use everynode_model::AnyObject;
use serde::Deserialize;

use super::{Collector, ORPHAN, Ticket, Uid};
use crate::core::Now;

/// Objects per page of a list.
const PAGE_LIMIT: u32 = 500;

/// Owners with the finalizer by which each is kept.
type Owners = BTreeMap<Uid, &'static str>;

/// One survey at a time lists all kinds in one namespace, for all owners of it that asked before: many that go
/// together cost one.
#[derive(Default)]
pub(super) struct Surveys {
    /// Owners that ask for a survey, by namespace.
    asked: BTreeMap<Arc<str>, Owners>,
    current: Option<Survey>,
}

struct Survey {
    owners: Owners,
    /// Those that something still depends on.
    held: BTreeSet<Uid>,
    /// Lists that are not complete.
    open: usize,
    failed: bool,
}

/// The list of one kind, as far as it was read.
pub(super) struct List {
    path: String,
    pages: Pages,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(borrow)]
    items: Vec<AnyObject<'a>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    token: String,
}

impl Collector {
    /// Takes the finalizer out of the owner once the API shows nothing that it waits for.
    pub(super) fn let_go(&mut self, owner: &Uid, finalizer: &'static str) {
        let Some(row) = self.objects.get_mut(owner) else { return };
        row.busy = true;
        self.surveys.asked.entry(row.namespace.clone()).or_default().insert(owner.clone(), finalizer);
    }

    /// Begins the next survey; false when none was asked for, or one is under way.
    pub(super) fn begin_survey(&mut self) -> bool {
        if self.surveys.current.is_some() {
            return false;
        }
        let Some((namespace, owners)) = self.surveys.asked.pop_first() else { return false };
        // An object of the cluster has dependents anywhere, another one in its namespace.
        let kinds = self.kinds.iter().filter(|kind| kind.namespaced || namespace.is_empty());
        let paths: Vec<String> = kinds.map(|kind| kind.path_in(&namespace)).collect();
        self.surveys.current =
            Some(Survey { owners, held: BTreeSet::new(), open: paths.len(), failed: false });
        for path in paths {
            self.read_page(List { path, pages: Pages::default() }, None);
        }
        true
    }

    fn read_page(&mut self, list: List, token: Option<&str>) {
        let path = format!("{}?limit={PAGE_LIMIT}", list.path);
        let path = token.map_or_else(|| path.clone(), |token| format!("{path}&{token}"));
        self.outbox.push(Ticket::Survey(list), Method::GET, path, content_type::JSON, "");
    }

    /// Takes one page.
    pub(super) fn surveyed(&mut self, mut list: List, result: Result<Bytes, Error>, now: Now) {
        let Some(survey) = &mut self.surveys.current else { return };
        match survey.read(&mut list, result) {
            Ok(Some(token)) => return self.read_page(list, Some(&token)),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(list = list.path, error, "cannot tell whether owners have dependents");
                survey.failed = true;
            }
        }
        survey.open -= 1;
        if survey.open == 0
            && let Some(survey) = self.surveys.current.take()
        {
            self.conclude(&survey, now);
        }
    }

    fn conclude(&mut self, survey: &Survey, now: Now) {
        for (owner, finalizer) in &survey.owners {
            if let Some(row) = self.objects.get_mut(owner) {
                row.busy = false;
            }
            match survey.failed || survey.held.contains(owner) {
                // The watches will show by then what the lists did.
                true => self.again(owner, now),
                false => self.remove_finalizer(owner, finalizer),
            }
        }
    }
}

impl Survey {
    /// Notes who is held by the objects of a page, and gives the part of the query for the next one.
    fn read(&mut self, list: &mut List, result: Result<Bytes, Error>) -> Result<Option<String>, String> {
        let body = match result {
            Ok(body) => body,
            // The kind is not served any more, and its objects are gone.
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let page: Page<'_> = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        for reference in page.items.iter().flat_map(|object| &object.metadata.owner_references) {
            if let Some((owner, finalizer)) = self.owners.get_key_value(&*reference.uid)
                && (*finalizer == ORPHAN || reference.block_owner_deletion == Some(true))
            {
                self.held.insert(owner.clone());
            }
        }
        match page.metadata.token.as_str() {
            "" => Ok(None),
            token => list.pages.next(token).map(Some).map_err(|error| error.to_string()),
        }
    }
}
