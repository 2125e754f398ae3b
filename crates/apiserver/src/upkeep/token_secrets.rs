//! Secrets of the type `kubernetes.io/service-account-token` get the token of the service account that they name, and
//! go with it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::access::Read as _;
use everynode_model::{Object, Value, encode};
use tokio::sync::watch;

use crate::authn::service_account_name;
use crate::catalog::Entry;
use crate::meta;
use crate::objects::change::{self, Change};
use crate::objects::delete::{self, DeleteOptions};
use crate::state::State;
use crate::store::TableId;
use crate::tokens::{self, Kind, SECRET_ISSUER, SECRET_TYPE, SecretClaims};

/// The annotation by which a secret names its service account.
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

/// The annotation that holds the UID of the account whose token it has.
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// How long changes are gathered before secrets are looked at again.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks after such secrets until the server stops.
pub async fn run(state: Arc<State>, mut stop: watch::Receiver<bool>) {
    let registry = state.catalog.registry();
    let Some(Entry { resource, table: Some(secrets) }) = registry.find("", "v1", "secrets") else { return };
    let Some(accounts) = state.catalog.table_named("", "v1", "serviceaccounts") else { return };
    loop {
        // The watches begin before the look, so that nothing falls in between.
        let from = state.store.revision();
        let (Ok(mut of_secrets), Ok(mut of_accounts)) =
            (state.store.watch(*secrets, from), state.store.watch(accounts, from))
        else {
            continue;
        };
        let is_any = settle(&state, resource, *secrets).await;
        tokio::select! {
            () = of_secrets.ready() => {}
            () = of_accounts.ready(), if is_any => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
        if tokio::time::timeout(PAUSE, stop.wait_for(|stopped| *stopped)).await.is_ok() {
            return;
        }
    }
}

/// Brings all such secrets into line; false when there are none.
async fn settle(state: &State, resource: &Resource, table: TableId) -> bool {
    let mut is_any = false;
    // The type can be selected by, so that other secrets need not be read.
    let at = resource.selectable_fields.iter().position(|field| field == "type");
    for (key, stored) in state.store.list(table, None).items {
        if at.and_then(|at| stored.facts.fields.get(at)).is_some_and(|kind| **kind != *SECRET_TYPE) {
            continue;
        }
        let secret = stored.value();
        if secret.text("type") != SECRET_TYPE || meta::has(&secret, "deletionTimestamp") {
            continue;
        }
        is_any = true;
        match settle_one(state, resource, table, &secret).await {
            Ok(()) => {}
            Err(error) if error.code() == 404 => {}
            Err(error) => {
                tracing::warn!(secret = &*key.1, error = error.message, "a secret got no token");
            }
        }
    }
    is_any
}

async fn settle_one(
    state: &State,
    resource: &Resource,
    table: TableId,
    secret: &Value,
) -> Result<(), Status> {
    let (namespace, name) = (meta::text(secret, "namespace"), meta::text(secret, "name"));
    let account_name = annotation(secret, ACCOUNT_NAME);
    let account = tokens::find(state, Kind::ServiceAccount, namespace, account_name);
    let known = annotation(secret, ACCOUNT_UID);
    let account = account.filter(|account| known.is_empty() || known == meta::text(account, "uid"));
    let Some(account) = account else {
        let uid = Some(meta::text(secret, "uid").to_owned());
        let options = DeleteOptions { uid, ..DeleteOptions::default() };
        return delete::delete(state, resource, namespace, name, &options).await.map(drop);
    };
    let wanted = complete(state, secret, &account)?;
    if wanted == *secret {
        return Ok(());
    }
    let mut completed = |now: &Value| complete(state, now, &account);
    let how = Change::of(resource, table, namespace, name);
    change::apply(state, &how, &mut completed, &mut Vec::new()).await.map(drop)
}

fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    let found = object.at("metadata.annotations").and_then(|annotations| annotations.get(name));
    found.and_then(Value::as_str).unwrap_or_default()
}

/// The secret with everything that it lacks.
fn complete(state: &State, secret: &Value, account: &Value) -> Result<Value, Status> {
    let mut secret = secret.clone();
    let uid = meta::text(account, "uid");
    if let Some(annotations) = secret.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert(ACCOUNT_UID.to_owned(), uid.into());
    }
    let token = match secret.text("data.token") {
        "" => STANDARD.encode(token(state, &secret, account)?),
        present => present.to_owned(),
    };
    let namespace = STANDARD.encode(meta::text(&secret, "namespace"));
    let authority = STANDARD.encode(&state.credentials.authority.certificate);
    let Some(top) = secret.as_object_mut() else { return Ok(secret) };
    let data = top.entry("data").or_insert_with(|| Value::Object(Object::new()));
    if data.is_null() {
        *data = Value::Object(Object::new());
    }
    if let Some(data) = data.as_object_mut() {
        data.insert("ca.crt".into(), authority.into());
        data.insert("namespace".into(), namespace.into());
        data.insert("token".into(), token.into());
        data.sort_keys();
    }
    Ok(secret)
}

fn token(state: &State, secret: &Value, account: &Value) -> Result<String, Status> {
    let (namespace, account_name) = (meta::text(secret, "namespace"), meta::text(account, "name"));
    let claims = SecretClaims {
        iss: SECRET_ISSUER.to_owned(),
        namespace: namespace.to_owned(),
        secret: meta::text(secret, "name").to_owned(),
        account: account_name.to_owned(),
        account_uid: meta::text(account, "uid").to_owned(),
        sub: service_account_name(namespace, account_name),
    };
    let content = serde_json::to_value(claims).map_err(Status::internal)?;
    state.credentials.key.sign(&encode::to_vec(&content)).map_err(Status::internal)
}
