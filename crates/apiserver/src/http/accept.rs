//! The form in which a client wants its answer.

use everynode_apimachinery::status::Status;
use everynode_apimachinery::table::MetaVersion;

/// The media types that the API speaks, as its refusals list them.
pub const AVAILABLE: &[&str] =
    &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// How objects are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Whole.
    Object,
    /// As rows of a table.
    Table,
    /// Their metadata only.
    Metadata,
}

/// The answer's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// How objects are shown.
    pub view: View,
    /// The version of tables and partial objects.
    pub version: MetaVersion,
    /// The media type of the answer.
    pub content_type: &'static str,
}

impl Form {
    /// Plain JSON objects.
    pub const PLAIN: Form =
        Form { view: View::Object, version: MetaVersion::V1, content_type: "application/json" };

    /// Takes the first clause of an `Accept` header that can be served.
    ///
    /// # Errors
    /// 406
    pub fn negotiate(accept: Option<&str>) -> Result<Form, Status> {
        Form::first(accept, |_| true)
    }

    /// The same for what has neither table nor metadata.
    ///
    /// # Errors
    /// 406
    pub fn negotiate_whole(accept: Option<&str>) -> Result<Form, Status> {
        Form::first(accept, |form| form.view == View::Object)
    }

    fn first(accept: Option<&str>, fits: fn(&Form) -> bool) -> Result<Form, Status> {
        let Some(accept) = accept.filter(|text| !text.trim().is_empty()) else { return Ok(Form::PLAIN) };
        let mut forms = accept.split(',').filter_map(clause);
        let is_known = |text: &str| media_type(text.split(';').next().unwrap_or_default().trim()).is_some();
        forms.find(fits).ok_or_else(|| match accept.split(',').any(is_known) {
            true => Status::no_such_form(AVAILABLE),
            false => Status::not_acceptable(AVAILABLE),
        })
    }
}

/// The media type of the answer to a client that takes this one.
fn media_type(accepted: &str) -> Option<&'static str> {
    match accepted {
        "application/json" | "*/*" | "application/*" => Some("application/json"),
        // Every JSON text is a YAML text.
        "application/yaml" => Some("application/yaml"),
        _ => None,
    }
}

fn clause(text: &str) -> Option<Form> {
    let mut parts = text.split(';').map(str::trim);
    let content_type = media_type(parts.next()?)?;
    let (mut shape, mut version, mut group) = ("", "", "");
    for parameter in parts {
        match parameter.split_once('=') {
            Some(("as", value)) => shape = value,
            Some(("v", value)) => version = value,
            Some(("g", value)) => group = value,
            // `q` and `charset` do not change what is served.
            _ => {}
        }
    }
    if shape.is_empty() {
        return Some(Form { content_type, ..Form::PLAIN });
    }
    let view = match shape {
        "Table" => View::Table,
        "PartialObjectMetadata" | "PartialObjectMetadataList" => View::Metadata,
        _ => return None,
    };
    let version = MetaVersion::parse(version).filter(|_| group == "meta.k8s.io")?;
    Some(Form { view, version, content_type })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expected: Option<View>) {
        assert_eq!(Form::negotiate(Some(accept)).ok().map(|form| form.view), expected, "{accept}");
    }

    #[test]
    fn the_first_clause_that_can_be_served_wins() {
        check("", Some(View::Object));
        check("*/*", Some(View::Object));
        check("application/json", Some(View::Object));
        check("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Some(View::Table));
        check("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Some(View::Table));
        check("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", Some(View::Object));
        check("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", Some(View::Metadata));
        check("application/vnd.kubernetes.protobuf,application/json", Some(View::Object));
        check("application/vnd.kubernetes.protobuf", None);
        check("text/csv", None);
    }

    #[test]
    fn what_has_no_table_is_not_shown_as_one() {
        let check = |accept: &str, is_served: bool| {
            assert_eq!(Form::negotiate_whole(Some(accept)).is_ok(), is_served, "{accept}");
        };
        check("application/json;as=Table;v=v1;g=meta.k8s.io", false);
        check("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", true);
    }
}
