//! The policies of a cluster, read once, and followed.

use everynode_api::rollout_policy::collection;
use everynode_client::{Client, Error, Event, ListWatch};
use futures::stream::{BoxStream, StreamExt};
use serde_json::Value;

use super::{Policies, Policy};

/// Why there are no policies to be had.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesError {
    /// The definition of RolloutPolicy is not there.
    #[error("this cluster does not know RolloutPolicy")]
    NotServed,
    /// The API refuses, or is not there.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Policies {
    /// Reads the policies of a namespace, or of all.
    ///
    /// # Errors
    /// [`PoliciesError`].
    pub async fn read(client: &Client, namespace: Option<&str>) -> Result<Policies, PoliciesError> {
        let list = match client.get(&collection(namespace)).await {
            Ok(list) => list,
            Err(error) if error.is_not_found() => return Err(PoliciesError::NotServed),
            Err(error) => return Err(error.into()),
        };
        let list: Value = serde_json::from_slice(&list).map_err(|error| Error::Decode(error.to_string()))?;
        let items = list["items"].as_array().into_iter().flatten();
        Ok(Policies { namespace: namespace.map(str::to_owned), policies: items.map(Policy::of).collect() })
    }
}

/// The policies of a namespace, or of all, while they change.
pub struct Following {
    client: Client,
    namespace: Option<String>,
    events: BoxStream<'static, Event>,
}

impl Following {
    /// Begins to follow them.
    pub fn new(client: &Client, namespace: Option<&str>) -> Following {
        let events = ListWatch::new(collection(namespace)).run(client.clone()).boxed();
        Following { client: client.clone(), namespace: namespace.map(str::to_owned), events }
    }

    /// Waits until they are worth a look: all are listed, one has changed, or nothing is heard of them.
    ///
    /// # Errors
    /// [`PoliciesError`] when the cluster no longer serves them.
    pub async fn changed(&mut self) -> Result<(), PoliciesError> {
        loop {
            match self.events.next().await {
                Some(Event::Restarted | Event::InitialObject(_) | Event::Bookmark(_)) => {}
                Some(Event::Interrupted(error)) if error.is_not_found() => {
                    Policies::read(&self.client, self.namespace.as_deref()).await?;
                    return Ok(());
                }
                Some(_) => return Ok(()),
                None => std::future::pending().await,
            }
        }
    }
}
