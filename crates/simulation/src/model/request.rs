//! What a path and its query ask for.

use everynode_model::Value;
use http::Method;

use crate::model::access::{name, text};
use crate::model::{Kind, Refusal};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
}

impl Verb {
    pub(crate) fn is_write(self) -> bool {
        matches!(self, Verb::Create | Verb::Update | Verb::Patch | Verb::Delete)
    }
}

/// One request, read.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) verb: Verb,
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    pub(crate) selection: Selection,
    pub(crate) resource_version: Option<String>,
    pub(crate) sends_initial_events: bool,
    pub(crate) timeout_seconds: u64,
    pub(crate) limit: usize,
    pub(crate) continue_token: String,
}

/// Which objects of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) namespace: String,
    field: Option<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Name(String),
    Node(String),
    Bound,
}

impl Selection {
    pub(crate) fn takes(&self, object: &Value) -> bool {
        let node = || text(object, "/spec/nodeName");
        let in_namespace = self.namespace.is_empty() || text(object, "/metadata/namespace") == self.namespace;
        in_namespace
            && match &self.field {
                None => true,
                Some(Field::Name(wanted)) => name(object) == wanted,
                Some(Field::Node(wanted)) => node() == wanted,
                Some(Field::Bound) => !node().is_empty(),
            }
    }
}

impl Target {
    /// Reads a request.
    ///
    /// # Errors
    /// 404 for what the model does not serve, 400 for a selector that it does not know.
    pub(crate) fn read(method: &Method, path_and_query: &str) -> Result<Target, Refusal> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let unknown = || Refusal::new(404, "NotFound", format!("the model does not serve {path}"));
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let rest = match segments.as_slice() {
            ["api", "v1", rest @ ..] | ["apis", _, "v1" | "v1alpha1", rest @ ..] => rest,
            _ => return Err(unknown()),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, plural, rest @ ..] if *plural != "status" => {
                (*namespace, [&[*plural], rest].concat())
            }
            rest => ("", rest.to_vec()),
        };
        let (plural, name, subresource) = match rest.as_slice() {
            [plural] => (*plural, "", ""),
            [plural, name] => (*plural, *name, ""),
            [plural, name, subresource] => (*plural, *name, *subresource),
            _ => return Err(unknown()),
        };
        let kind = Kind::ALL.into_iter().find(|kind| kind.plural() == plural).ok_or_else(unknown)?;
        let mut target = Target {
            verb: Verb::Get,
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
            selection: Selection { namespace: namespace.to_owned(), field: None },
            resource_version: None,
            sends_initial_events: false,
            timeout_seconds: 300,
            limit: usize::MAX,
            continue_token: String::new(),
        };
        let is_watch = target.read_query(query)?;
        target.verb = match *method {
            Method::GET if is_watch => Verb::Watch,
            Method::GET if name.is_empty() => Verb::List,
            Method::GET => Verb::Get,
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ => return Err(unknown()),
        };
        Ok(target)
    }

    /// True for a watch.
    fn read_query(&mut self, query: &str) -> Result<bool, Refusal> {
        let mut is_watch = false;
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "watch" => is_watch = value == "1" || value == "true",
                "resourceVersion" => self.resource_version = Some(value.into_owned()),
                "sendInitialEvents" => self.sends_initial_events = value == "true",
                "timeoutSeconds" => self.timeout_seconds = value.parse().unwrap_or(300),
                "limit" => self.limit = value.parse().unwrap_or(usize::MAX),
                "continue" => self.continue_token = value.into_owned(),
                "fieldSelector" => self.selection.field = Some(field(&value)?),
                _ => {}
            }
        }
        Ok(is_watch)
    }

    pub(crate) fn path(&self) -> String {
        let Target { kind, namespace, name, subresource, .. } = self;
        let slash = if subresource.is_empty() { "" } else { "/" };
        format!("{} {namespace}/{name}{slash}{subresource}", kind.plural())
    }
}

fn field(value: &str) -> Result<Field, Refusal> {
    if value == "spec.nodeName!=" {
        return Ok(Field::Bound);
    }
    match value.split_once('=') {
        Some(("spec.nodeName", node)) => Ok(Field::Node(node.to_owned())),
        Some(("metadata.name", name)) => Ok(Field::Name(name.to_owned())),
        _ => Err(Refusal::new(400, "BadRequest", format!("the model does not know the selector {value}"))),
    }
}
