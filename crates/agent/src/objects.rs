//! The objects of the API that a pod refers to, read when they are needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use everynode_client::Client;
use everynode_model::Value;
use serde::Deserialize;
use serde_json::json;

use crate::env::{Data, Objects};
use crate::pod_spec::{
    Container, EnvVarSource, Pod, ProjectedSource, TokenSource, VolumeSource, bounded_seconds,
};
use crate::recalled::Recalled;
use crate::volumes::Tokens;

/// Names of the objects that something refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// Secrets.
    pub secrets: BTreeSet<String>,
}

impl References {
    /// Those of a container's environment.
    pub fn of_container(container: &Container) -> References {
        let mut found = References::default();
        for source in &container.env_from {
            found.config_maps.extend(source.config_map_ref.iter().map(|one| one.name.clone()));
            found.secrets.extend(source.secret_ref.iter().map(|one| one.name.clone()));
        }
        for source in container.env.iter().filter_map(|variable| variable.value_from.as_ref()) {
            let EnvVarSource { config_map_key_ref, secret_key_ref, .. } = source;
            found.config_maps.extend(config_map_key_ref.iter().map(|one| one.name.clone()));
            found.secrets.extend(secret_key_ref.iter().map(|one| one.name.clone()));
        }
        found
    }

    /// Those of a volume.
    pub fn of_volume(source: &VolumeSource) -> References {
        let mut found = References::default();
        match source {
            VolumeSource::ConfigMap(map) => found.config_maps.extend([map.name.clone()]),
            VolumeSource::Secret(secret) => found.secrets.extend([secret.secret().to_owned()]),
            VolumeSource::Projected(projected) => {
                for part in &projected.sources {
                    match part {
                        ProjectedSource::ConfigMap(map) => found.config_maps.extend([map.name.clone()]),
                        ProjectedSource::Secret(secret) => found.secrets.extend([secret.secret().to_owned()]),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        found
    }
}

/// A ConfigMap or a Secret, as far as it is data.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Holder {
    #[serde(rename = "type")]
    kind: String,
    data: BTreeMap<String, String>,
    binary_data: BTreeMap<String, String>,
}

/// Reads objects of a namespace. What is not there is left out: whether that is right is for who asks to say.
///
/// # Errors
/// When the API does not answer, or refuses.
pub async fn read(
    api: &Recalled,
    namespace: &str,
    wanted: &References,
) -> Result<Objects, everynode_client::Error> {
    let mut objects = Objects::default();
    for name in &wanted.config_maps {
        if let Some(holder) = get(api, namespace, "configmaps", name).await? {
            let texts = holder.data.into_iter().map(|(key, text)| (key, text.into_bytes()));
            objects.config_maps.insert(name.clone(), texts.chain(decoded(holder.binary_data)).collect());
        }
    }
    for name in &wanted.secrets {
        if let Some(holder) = get(api, namespace, "secrets", name).await? {
            objects.secrets.insert(name.clone(), decoded(holder.data).collect());
        }
    }
    Ok(objects)
}

fn decoded(data: BTreeMap<String, String>) -> impl Iterator<Item = (String, Vec<u8>)> {
    data.into_iter().filter_map(|(key, text)| Some((key, STANDARD.decode(text).ok()?)))
}

async fn get(
    api: &Recalled,
    namespace: &str,
    plural: &str,
    name: &str,
) -> Result<Option<Holder>, everynode_client::Error> {
    match api.get(&format!("/api/v1/namespaces/{namespace}/{plural}/{name}")).await {
        Ok(body) => Ok(serde_json::from_slice(&body).ok()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Credentials of registries, from the pod's secrets: user name and password by registry.
///
/// # Errors
/// When the API does not answer, or refuses.
pub async fn registry_credentials(
    api: &Recalled,
    pod: &Pod,
) -> Result<Vec<(String, String, String)>, everynode_client::Error> {
    let mut found = Vec::new();
    for secret in &pod.spec.image_pull_secrets {
        if let Some(holder) = get(api, &pod.metadata.namespace, "secrets", &secret.name).await? {
            let kind = holder.kind.clone();
            let data: Data = decoded(holder.data).collect();
            found.extend(credentials(&kind, &data));
        }
    }
    Ok(found)
}

fn credentials(kind: &str, data: &Data) -> Vec<(String, String, String)> {
    let (key, pointer) = match kind {
        "kubernetes.io/dockerconfigjson" => (".dockerconfigjson", "/auths"),
        "kubernetes.io/dockercfg" => (".dockercfg", ""),
        _ => return Vec::new(),
    };
    let config: Value =
        data.get(key).and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
    let auths = config.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default();
    let one = |(registry, auth): (String, Value)| {
        let text = |key: &str| auth[key].as_str().map(str::to_owned);
        let pair = text("auth").and_then(|encoded| STANDARD.decode(encoded).ok());
        let pair = pair.and_then(|bytes| String::from_utf8(bytes).ok());
        let (user, password) = match (pair.as_deref().and_then(|pair| pair.split_once(':')), text("username"))
        {
            (Some((user, password)), _) => (user.to_owned(), password.to_owned()),
            (None, Some(user)) => (user, text("password").unwrap_or_default()),
            (None, None) => return None,
        };
        Some((registry, user, password))
    };
    auths.into_iter().filter_map(one).collect()
}

/// A Service, as far as variables tell of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Services {
    items: Vec<Service>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Service {
    metadata: crate::pod_spec::Metadata,
    spec: ServiceSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    ports: Vec<ServicePort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServicePort {
    name: String,
    port: u16,
    protocol: String,
}

/// Variables that say where Services are: that of the API for every pod, those of its namespace unless it says no.
///
/// # Errors
/// When the API does not answer, or refuses.
pub async fn service_variables(
    api: &Recalled,
    pod: &Pod,
) -> Result<Vec<(String, String)>, everynode_client::Error> {
    let namespace = &pod.metadata.namespace;
    let mut services = Vec::new();
    let field = "fieldSelector=metadata.name%3Dkubernetes";
    let of_api = api.get(&format!("/api/v1/namespaces/default/services?{field}")).await?;
    services.extend(serde_json::from_slice::<Services>(&of_api).unwrap_or_default().items);
    if pod.spec.enable_service_links != Some(false) {
        let own = api.get(&format!("/api/v1/namespaces/{namespace}/services")).await?;
        let own = serde_json::from_slice::<Services>(&own).unwrap_or_default().items;
        services.extend(
            own.into_iter().filter(|one| one.metadata.name != "kubernetes" || namespace != "default"),
        );
    }
    Ok(services.iter().flat_map(variables).collect())
}

/// As links of Docker had them, which images still read.
fn variables(service: &Service) -> Vec<(String, String)> {
    let ip = &service.spec.cluster_ip;
    let Some(first) = service.spec.ports.first().filter(|_| !ip.is_empty() && ip != "None") else {
        return Vec::new();
    };
    let word = |text: &str| text.replace('-', "_").to_uppercase();
    let name = word(&service.metadata.name);
    let protocol =
        |port: &ServicePort| if port.protocol.is_empty() { "TCP".to_owned() } else { port.protocol.clone() };
    let url = |port: &ServicePort| format!("{}://{}", protocol(port).to_lowercase(), address(ip, port.port));
    let mut found = vec![
        (format!("{name}_SERVICE_HOST"), ip.clone()),
        (format!("{name}_SERVICE_PORT"), first.port.to_string()),
    ];
    for port in service.spec.ports.iter().filter(|port| !port.name.is_empty()) {
        found.push((format!("{name}_SERVICE_PORT_{}", word(&port.name)), port.port.to_string()));
    }
    found.push((format!("{name}_PORT"), url(first)));
    for port in &service.spec.ports {
        let prefix = format!("{name}_PORT_{}_{}", port.port, protocol(port));
        found.extend([
            (prefix.clone(), url(port)),
            (format!("{prefix}_PROTO"), protocol(port).to_lowercase()),
            (format!("{prefix}_PORT"), port.port.to_string()),
            (format!("{prefix}_ADDR"), ip.clone()),
        ]);
    }
    found
}

fn address(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// The tokens that the pod's volumes ask for.
pub fn tokens_of(pod: &Pod) -> impl Iterator<Item = &TokenSource> {
    let projected = pod.spec.volumes.iter().filter_map(|volume| match &volume.source {
        VolumeSource::Projected(projected) => Some(&projected.sources),
        _ => None,
    });
    projected.flatten().filter_map(|part| match part {
        ProjectedSource::Token(token) => Some(token),
        _ => None,
    })
}

/// Tokens of pods, and when each is to be asked for anew.
#[derive(Default)]
pub struct TokenCache(Mutex<BTreeMap<String, Renewals>>);

/// Tokens by audience and term, with the time from which a new one is asked for, in milliseconds.
type Renewals = BTreeMap<(String, i64), (String, u64)>;

/// A token that holds for longer is asked for anew after a day all the same.
const TOKEN_AGE_LIMIT_SECONDS: i64 = 24 * 60 * 60;

impl TokenCache {
    /// The tokens that a pod's volumes ask for, each bound to the pod. One is asked for anew when four fifths of its
    /// term are over.
    ///
    /// # Errors
    /// When the API does not answer, or refuses.
    pub async fn of(
        &self,
        client: &Client,
        pod: &Pod,
        now_millis: u64,
    ) -> Result<Tokens, everynode_client::Error> {
        let mut tokens = Tokens::new();
        for wanted in tokens_of(pod) {
            let key = (wanted.audience.clone(), wanted.seconds());
            let held = self.lock().get(&pod.metadata.uid).and_then(|of_pod| of_pod.get(&key).cloned());
            let token = match held.filter(|(_, renew_at)| *renew_at > now_millis) {
                Some((token, _)) => token,
                None => {
                    let token = request_token(client, pod, wanted).await?;
                    let age_seconds = (wanted.seconds() / 5 * 4).clamp(1, TOKEN_AGE_LIMIT_SECONDS);
                    let age_millis = u64::from(bounded_seconds(age_seconds)) * 1_000;
                    let entry = (token.clone(), now_millis.saturating_add(age_millis));
                    self.lock().entry(pod.metadata.uid.clone()).or_default().insert(key.clone(), entry);
                    token
                }
            };
            tokens.insert(key, token);
        }
        Ok(tokens)
    }

    /// The pod is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Renewals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCache").finish_non_exhaustive()
    }
}

async fn request_token(
    client: &Client,
    pod: &Pod,
    wanted: &TokenSource,
) -> Result<String, everynode_client::Error> {
    let (metadata, account) = (&pod.metadata, &pod.spec.service_account_name);
    let account = if account.is_empty() { "default" } else { account };
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", metadata.namespace);
    let audiences: Vec<&str> = [wanted.audience.as_str()].into_iter().filter(|one| !one.is_empty()).collect();
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": audiences,
            "expirationSeconds": wanted.seconds(),
            "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": metadata.name, "uid": metadata.uid },
        },
    });
    let answer = client.post(&path, request.to_string()).await?;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    Ok(answer["status"]["token"].as_str().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_say_where_a_service_is() {
        let service: Service = serde_json::from_str(
            r#"{"metadata":{"name":"my-dns"},"spec":{"clusterIP":"10.96.0.10","ports":[{"name":"dns","port":53,"protocol":"UDP"}]}}"#,
        )
        .unwrap();
        let found: Vec<String> =
            variables(&service).iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = "MY_DNS_SERVICE_HOST=10.96.0.10 MY_DNS_SERVICE_PORT=53 MY_DNS_SERVICE_PORT_DNS=53 \
            MY_DNS_PORT=udp://10.96.0.10:53 MY_DNS_PORT_53_UDP=udp://10.96.0.10:53 MY_DNS_PORT_53_UDP_PROTO=udp \
            MY_DNS_PORT_53_UDP_PORT=53 MY_DNS_PORT_53_UDP_ADDR=10.96.0.10";
        assert_eq!(found.join(" "), expected);
        let headless = Service { spec: ServiceSpec { cluster_ip: "None".into(), ..service.spec }, ..service };
        assert!(variables(&headless).is_empty());
    }

    #[test]
    fn a_secret_of_registries_gives_names_and_passwords() {
        let check = |kind: &str, key: &str, text: &str, expected: &[(&str, &str, &str)]| {
            let data: Data = [(key.to_owned(), text.as_bytes().to_vec())].into();
            let found = credentials(kind, &data);
            let found: Vec<(&str, &str, &str)> = found.iter().map(|(a, b, c)| (&**a, &**b, &**c)).collect();
            assert_eq!(found, expected, "{text}");
        };
        let (kind, key) = ("kubernetes.io/dockerconfigjson", ".dockerconfigjson");
        check(kind, key, r#"{"auths":{"r.example":{"auth":"dTpwOng="}}}"#, &[("r.example", "u", "p:x")]);
        check(kind, key, r#"{"auths":{"r":{"username":"u","password":"p"}}}"#, &[("r", "u", "p")]);
        check(kind, key, r#"{"auths":{"r":{}}}"#, &[]);
        check(kind, key, "not json", &[]);
        check("kubernetes.io/dockercfg", ".dockercfg", r#"{"r":{"auth":"dTpw"}}"#, &[("r", "u", "p")]);
        check("Opaque", key, r#"{"auths":{"r":{"auth":"dTpw"}}}"#, &[]);
    }
}
