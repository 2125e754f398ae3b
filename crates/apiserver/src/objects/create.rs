//! Creating objects.

use std::borrow::Cow;
use std::sync::Arc;

use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::Value;
use everynode_model::time;

use super::managers::{self, Writer};
use super::{draft, refusal};
use crate::admission;
use crate::admission::quota::{self, Charged};
use crate::meta;
use crate::state::State;
use crate::store::{Action, Expect, Store, Stored, Write, WriteError};

/// Names that are tried for one `generateName`.
const NAME_ATTEMPTS: usize = 8;

/// An object that was created, or would have been.
pub enum Created {
    /// It is stored.
    Stored(Arc<Stored>),
    /// It was a dry run.
    Dry(Value),
}

/// Who manages the fields of a new object.
#[derive(Debug, Clone, Copy)]
pub enum Managed<'a> {
    /// Who writes it, all that it says.
    By(Writer<'a>),
    /// This is known already, as text.
    As(&'a str),
}

/// Admits, completes, checks and stores an object that has its defaults and its namespace.
pub async fn create(
    state: &State,
    resource: &Resource,
    mut object: Value,
    managed: Managed<'_>,
    dry_run: bool,
    warnings: &mut Vec<String>,
) -> Result<Created, Status> {
    if meta::has(&object, "resourceVersion") {
        return Err(Status::unclassified("resourceVersion should not be set on objects to be created"));
    }
    let sent = managers::take(&mut object);
    let managed = match managed {
        Managed::As(managed) => Cow::Borrowed(managed),
        Managed::By(writer) => {
            let states = (&managers::nothing(resource), &object);
            managers::updated(state, resource, writer, states, None, sent.as_ref())
        }
    };
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        meta::set(&mut object, field, Value::Null);
    }
    let base = meta::text(&object, "generateName").to_owned();
    let generated = meta::text(&object, "name").is_empty() && !base.is_empty();
    let now = time::format(state.now());
    admission::create(state, resource, &mut object, |object| {
        if generated {
            meta::set(object, "name", meta::generated_name(&base));
        }
        meta::set(object, "uid", meta::random_uid());
        meta::set(object, "creationTimestamp", now);
    })?;
    let charged = match admission::is_pod(resource) {
        true => quota::charge(state, resource, &object)?,
        false => None,
    };
    warnings.extend(resource.rules.warnings(&object, None));
    for attempt in 1.. {
        match store(state, resource, (&mut object, &managed), dry_run, charged.as_ref()).await {
            Err(WriteError::Exists) if generated && attempt < NAME_ATTEMPTS => {
                meta::set(&mut object, "name", meta::generated_name(&base));
            }
            Err(error) => {
                return Err(refusal(resource, meta::text(&object, "name"), error));
            }
            Ok(created) => return Ok(created),
        }
    }
    Err(Status::internal("no name was tried"))
}

async fn store(
    state: &State,
    resource: &Resource,
    (object, managed): (&mut Value, &str),
    dry_run: bool,
    charged: Option<&Arc<Charged>>,
) -> Result<Created, WriteError> {
    let table = state.catalog.table(resource).ok_or(WriteError::Missing)?;
    let (namespace, name) = (meta::text(object, "namespace"), meta::text(object, "name"));
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    let draft = draft(&state.catalog, resource, object, managed).ok_or(WriteError::Missing)?;
    if dry_run {
        if state.store.get(table, &namespace, &name).is_some() {
            return Err(WriteError::Exists);
        }
        meta::set(object, "resourceVersion", Value::Null);
        managers::put(object, managed);
        return Ok(Created::Dry(object.clone()));
    }
    let write = Write { table, namespace, name, expect: Expect::Absent, action: Action::Put(draft) };
    match charged {
        None => state.store.write(write).await.map(Created::Stored),
        Some(charged) => store_charged(state.store.clone(), write, charged.clone()).await,
    }
}

/// Stores a pod that quotas count. It is waited for though nobody may ask any more: it may be stored all the same, and
/// counts until that is known.
async fn store_charged(store: Store, write: Write, charged: Arc<Charged>) -> Result<Created, WriteError> {
    let stored = tokio::spawn(async move {
        let stored = store.write(write).await;
        drop(charged);
        stored
    });
    stored.await.map_err(|_| WriteError::Closed)?.map(Created::Stored)
}
