//! Label and field selectors over stored objects.

use everynode_apimachinery::field_selector::{FieldSelector, FieldTerm};
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::LabelSelector;
use everynode_model::Value;

use crate::catalog::{Catalog, text_at};
use crate::http::query::Query;
use crate::store::Stored;

/// What a list, watch or deletion of a collection is limited to.
#[derive(Debug)]
pub struct Selection {
    labels: LabelSelector,
    fields: Vec<(Place, FieldTerm)>,
}

/// Where the value of a field is found.
#[derive(Debug, Clone, Copy)]
enum Place {
    Name,
    Namespace,
    /// In the list of the selectable fields.
    Listed(usize),
    /// In the object: custom resources.
    Inside,
}

impl Selection {
    /// Reads the selectors of a request.
    pub fn parse(query: &Query, resource: &Resource, catalog: &Catalog) -> Result<Selection, Status> {
        let labels = LabelSelector::parse(query.get("labelSelector").unwrap_or(""))?;
        let fields = FieldSelector::parse(query.get("fieldSelector").unwrap_or(""))?;
        let selectable: Vec<&str> = resource.selectable_fields.iter().map(|field| &**field).collect();
        fields.check_fields(&selectable)?;
        let registry = catalog.registry();
        let stored = &registry.stored_form(resource).selectable_fields;
        let place = |term: &FieldTerm| match term.field.as_str() {
            "metadata.name" => Some(Place::Name),
            "metadata.namespace" => Some(Place::Namespace),
            _ if resource.custom.is_some() => Some(Place::Inside),
            field => {
                let field = stored_field(field);
                stored.iter().position(|known| *known == field).map(Place::Listed)
            }
        };
        let fields = fields.terms().iter().filter_map(|term| Some((place(term)?, term.clone()))).collect();
        Ok(Selection { labels, fields })
    }

    /// Whether everything matches.
    pub fn is_everything(&self) -> bool {
        self.labels == LabelSelector::Everything && self.fields.is_empty()
    }

    /// Whether an object matches.
    pub fn matches(&self, stored: &Stored) -> bool {
        let facts = &stored.facts;
        let mut object = None;
        let mut holds = |(place, term): &(Place, FieldTerm)| {
            let inside;
            let value: &str = match place {
                Place::Name => &facts.name,
                Place::Namespace => &facts.namespace,
                Place::Listed(at) => facts.fields.get(*at).map_or("", |value| value),
                Place::Inside => {
                    inside = text_at(object.get_or_insert_with(|| stored.value()), &term.field);
                    &inside
                }
            };
            (value == term.value) == term.equals
        };
        self.fields.iter().all(&mut holds) && self.labels.selects(|key| facts.label(key))
    }
}

/// The name of a selectable field in the stored form of its object, where the two differ: events.
fn stored_field(field: &str) -> String {
    match field.strip_prefix("regarding.") {
        Some(rest) => format!("involvedObject.{rest}"),
        None if field == "reportingController" => "reportingComponent".into(),
        None => field.to_owned(),
    }
}

/// Whether a label selector object selects an object; an absent one selects nothing.
pub fn selects(selector: &Value, object: &Value) -> Result<bool, Status> {
    if selector.is_null() {
        return Ok(false);
    }
    let selector = LabelSelector::from_object(selector)?;
    Ok(selector.selects_labels(object.pointer("/metadata/labels").unwrap_or(&Value::Null)))
}
