//! What a request does to a resource.

use everynode_apimachinery::status::Status;
use http::Method;

use super::query::Query;
use super::target::Target;

/// A verb of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// POST
    Create,
    /// GET of one object
    Get,
    /// GET of a collection
    List,
    /// GET of a collection with `watch`
    Watch,
    /// PUT
    Update,
    /// PATCH
    Patch,
    /// DELETE of one object
    Delete,
    /// DELETE of a collection
    DeleteCollection,
}

impl Verb {
    /// The verb of a request, if the resource or subresource has it.
    ///
    /// # Errors
    /// 405 where it has not, 404 where there is no such subresource.
    pub fn allowed(method: &Method, target: &Target, query: &Query) -> Result<Verb, Status> {
        let verb = Verb::of(method, target, query).ok_or_else(Status::method_not_allowed)?;
        let verbs = match &target.subresource {
            None => target.resource.verbs,
            Some(name) => target.resource.subresource(name).ok_or_else(Status::unknown_path)?.verbs,
        };
        let creates_named = verb == Verb::Create && target.name.is_some() && target.subresource.is_none();
        // Across all namespaces objects are only read.
        let changes_all =
            matches!(verb, Verb::Create | Verb::DeleteCollection) && target.is_across_namespaces();
        match creates_named || changes_all || !verbs.contains(&verb.name()) {
            true => Err(Status::method_not_allowed()),
            false => Ok(verb),
        }
    }

    /// None when nothing has that method there.
    fn of(method: &Method, target: &Target, query: &Query) -> Option<Verb> {
        let named = target.name.is_some();
        match *method {
            Method::GET | Method::HEAD if named => Some(Verb::Get),
            Method::GET | Method::HEAD if query.truth("watch") => Some(Verb::Watch),
            Method::GET | Method::HEAD => Some(Verb::List),
            Method::POST => Some(Verb::Create),
            Method::PUT if named => Some(Verb::Update),
            Method::PATCH if named => Some(Verb::Patch),
            Method::DELETE if named => Some(Verb::Delete),
            Method::DELETE => Some(Verb::DeleteCollection),
            _ => None,
        }
    }

    /// The name of the verb in figures: that of the method, where the API has no name of its own.
    pub fn metric_name(self) -> &'static str {
        match self {
            Verb::Create => "POST",
            Verb::Get => "GET",
            Verb::List => "LIST",
            Verb::Watch => "WATCH",
            Verb::Update => "PUT",
            Verb::Patch => "PATCH",
            Verb::Delete => "DELETE",
            Verb::DeleteCollection => "DELETECOLLECTION",
        }
    }

    /// The name of the verb in discovery.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }
}
