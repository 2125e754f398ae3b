//! Certificates on request (`certificates.k8s.io/v1`): what is checked of a request, which signers there are here, and what
//! they sign.

mod request;
mod sign;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::{FieldError, Status};
use everynode_model::Value;
use everynode_model::access::Read as _;

pub use request::Request;
pub use sign::sign;

use crate::authn::{MASTERS, NODE_PREFIX, NODES, User};
use crate::authz::{self, Decision};
use crate::http::attributes::{Attributes, Resource as Asked};
use crate::objects::change::Part;
use crate::state::State;

/// Where requests for certificates are.
pub const GROUP: &str = "certificates.k8s.io";
/// Their plural name.
pub const PLURAL: &str = "certificatesigningrequests";

/// Bytes of a request at most.
const REQUEST_BYTES: usize = 64 << 10;

/// A signer of this cluster: what it signs, all by the cluster's one authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// Client certificates of anybody.
    Client,
    /// Client certificates of kubelets.
    KubeletClient,
    /// Serving certificates of kubelets.
    KubeletServing,
}

impl Signer {
    /// The signer of that name.
    pub fn named(name: &str) -> Option<Signer> {
        match name {
            "kubernetes.io/kube-apiserver-client" => Some(Signer::Client),
            "kubernetes.io/kube-apiserver-client-kubelet" => Some(Signer::KubeletClient),
            "kubernetes.io/kubelet-serving" => Some(Signer::KubeletServing),
            _ => None,
        }
    }

    /// Checks that a request is one that the signer signs.
    ///
    /// # Errors
    /// Why not, in the words of the API.
    pub fn check(self, request: &Request, usages: &[&str]) -> Result<(), String> {
        match self {
            Signer::Client => client_usages(usages),
            Signer::KubeletClient => {
                is_of_node(request)?;
                if request.names.has_any() {
                    return Err("subjectAltNames are not allowed".into());
                }
                kubelet_usages(usages, "client auth")
            }
            Signer::KubeletServing => {
                is_of_node(request)?;
                if request.names.dns.is_empty() && request.names.addresses == 0 {
                    return Err("DNS or IP subjectAltName is required".into());
                }
                if request.names.others > 0 {
                    return Err("only DNS and IP subjectAltNames are allowed".into());
                }
                kubelet_usages(usages, "server auth")
            }
        }
    }
}

fn is_of_node(request: &Request) -> Result<(), String> {
    if request.subject.organizations != [NODES] {
        return Err("subject organization is not system:nodes".into());
    }
    match request.subject.common_name.starts_with(NODE_PREFIX) {
        true => Ok(()),
        false => Err("subject common name does not begin with system:node:".into()),
    }
}

fn client_usages(usages: &[&str]) -> Result<(), String> {
    let known = ["digital signature", "key encipherment", "client auth"];
    if let Some(other) = usages.iter().find(|usage| !known.contains(usage)) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    match usages.contains(&"client auth") {
        true => Ok(()),
        false => Err("missing required usage for client certificate: client auth".into()),
    }
}

fn kubelet_usages(usages: &[&str], needed: &str) -> Result<(), String> {
    let is_known = |usage: &&str| [needed, "digital signature", "key encipherment"].contains(usage);
    match usages.iter().all(is_known) && [needed, "digital signature"].iter().all(|one| usages.contains(one))
    {
        true => Ok(()),
        false => Err(format!("usages did not match [{needed} digital signature key encipherment]")),
    }
}

/// The request in an object, checked: it has been signed by the key that it is about.
///
/// # Errors
/// Why it is none.
pub fn request_of(object: &Value) -> Result<Request, String> {
    let pem = STANDARD.decode(object.text("spec.request")).map_err(|error| error.to_string())?;
    if pem.len() > REQUEST_BYTES {
        return Err(format!("it is longer than {REQUEST_BYTES} bytes"));
    }
    Request::read(&pem).map_err(|error| error.to_string())
}

/// Reads a request in DER, and a certificate, as the server does. For fuzzing.
pub fn read_certificate_request(der: &[u8]) {
    let _ = Request::read_der(der);
    let _ = everynode_x509::subject_of_certificate(der);
}

/// What the request asks to be used for.
pub fn usages_of(object: &Value) -> Vec<&str> {
    object.items("spec.usages").iter().filter_map(Value::as_str).collect()
}

/// Notes who asks for a certificate, and refuses what is no request. Objects of other kinds are left as they are.
///
/// # Errors
/// The refusal.
pub fn prepare(user: &User, resource: &Resource, object: &mut Value) -> Result<(), Status> {
    if !is_request(resource) {
        return Ok(());
    }
    let request = request_of(object).map_err(|why| {
        let error = FieldError::invalid("spec.request", object.text("spec.request"), &why);
        Status::invalid(GROUP, &resource.kind, object.text("metadata.name"), &[error])
    })?;
    let is_client = Signer::named(object.text("spec.signerName")) == Some(Signer::Client);
    if is_client && request.subject.organizations.iter().any(|one| one == MASTERS) {
        let why =
            "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
        return Err(Status::forbidden(GROUP, PLURAL, object.text("metadata.name"), why));
    }
    let spec = &mut object["spec"];
    spec["username"] = user.name.clone().into();
    spec["uid"] = user.uid.clone().into();
    spec["groups"] = user.groups.clone().into();
    spec["extra"] = serde_json::to_value(&user.extra).unwrap_or_default();
    Ok(())
}

fn is_request(resource: &Resource) -> bool {
    resource.group == GROUP && resource.plural == PLURAL
}

/// What somebody has to be allowed of a signer who changes this part of an object; nothing where it is no request.
pub fn right_for(resource: &Resource, part: Part) -> Option<&'static str> {
    match part {
        Part::Approval => Some("approve"),
        Part::Status => Some("sign"),
        Part::Main | Part::Finalize | Part::Resize | Part::EphemeralContainers | Part::Anything => None,
    }
    .filter(|_| is_request(resource))
}

/// Refuses who may not `approve` or `sign` what a signer is asked for.
///
/// # Errors
/// The refusal.
pub fn check_signer(state: &State, user: &User, verb: &str, object: &Value) -> Result<(), Status> {
    let signer = object.text("spec.signerName");
    let domain = signer.split_once('/').map_or("", |(domain, _)| domain);
    let may = |name: String| {
        let asked = Asked { group: GROUP.into(), resource: "signers".into(), name, ..Asked::default() };
        let asked = Attributes { verb: verb.into(), path: String::new(), resource: Some(asked) };
        matches!(authz::decide(state, user, &asked), Decision::Allowed(_))
    };
    if may(signer.to_owned()) || may(format!("{domain}/*")) {
        return Ok(());
    }
    let why = format!(
        "user not permitted to {verb} requests with signerName {}",
        everynode_model::go_quote(signer)
    );
    Err(Status::forbidden(GROUP, PLURAL, object.text("metadata.name"), &why))
}
