//! The structural schema of a custom resource, as the server works with it.

use std::collections::BTreeMap;

use everynode_cel::Patterns;
use everynode_model::Value;
use everynode_model::access::Read;
use regex::Regex;

use super::exposure::min_object_size;
use super::rule::Rule;

/// Nesting of schemas that is served. Every level is one level of the stack in what walks along a schema.
pub const MAX_DEPTH: usize = 64;

/// Fields that every object of the API has.
pub const ROOT_FIELDS: &[&str] = &["apiVersion", "kind", "metadata"];

/// The schema of one value.
#[derive(Debug, Default)]
pub struct Schema {
    /// Whether the value is the whole object.
    pub is_root: bool,
    /// `object`, `array`, `string`, `integer`, `number` or `boolean`; empty where nothing is said.
    pub kind: String,
    /// `int32`, `date-time`, ...; empty where nothing is said.
    pub format: String,
    /// Whether null is a value.
    pub nullable: bool,
    /// What stands for an absent value.
    pub default: Option<Value>,
    /// The fields of an object.
    pub properties: BTreeMap<String, Schema>,
    /// What fields may stand besides them.
    pub additional: Additional,
    /// The elements of a list.
    pub items: Option<Box<Schema>>,
    /// Whether fields that the schema does not name are kept.
    pub preserve_unknown: bool,
    /// Whether the value is an object of the API with apiVersion, kind and metadata.
    pub embedded: bool,
    /// Whether the value is an integer or a text.
    pub int_or_string: bool,
    /// How the elements of a list are told apart.
    pub list_type: String,
    /// The fields that tell the elements of a `map` list apart.
    pub list_map_keys: Vec<String>,
    /// Whether server-side apply sees the object as a whole.
    pub is_atomic_map: bool,
    /// What the value must be.
    pub limits: Limits,
    /// Schemas that must all hold.
    pub all_of: Vec<Schema>,
    /// Schemas of which one must hold.
    pub any_of: Vec<Schema>,
    /// Schemas of which exactly one must hold.
    pub one_of: Vec<Schema>,
    /// A schema that must not hold.
    pub not: Option<Box<Schema>>,
    /// Rules in the Common Expression Language.
    pub rules: Vec<Rule>,
    /// Whether there are rules here or further in.
    pub has_rules: bool,
    /// The bytes that an object has at least.
    pub min_object_size: u64,
}

/// What fields an object may have besides its properties.
#[derive(Debug, Default)]
pub enum Additional {
    /// Nothing is said.
    #[default]
    Unset,
    /// Anything, or nothing (`false`, which the API treats like an absent word).
    Any(bool),
    /// Values of a schema.
    Of(Box<Schema>),
}

/// What a value must be.
#[derive(Debug, Default)]
pub struct Limits {
    /// Fields that must be there.
    pub required: Vec<String>,
    /// The values that there are.
    pub values: Vec<Value>,
    /// The pattern of a text.
    pub pattern: Option<(String, Regex)>,
    /// The greatest number.
    pub maximum: Option<Value>,
    /// Whether that one itself is too great.
    pub exclusive_maximum: bool,
    /// The least number.
    pub minimum: Option<Value>,
    /// Whether that one itself is too small.
    pub exclusive_minimum: bool,
    /// A number that divides it.
    pub multiple_of: Option<Value>,
    /// Characters of a text.
    pub max_length: Option<usize>,
    /// Characters of a text.
    pub min_length: Option<usize>,
    /// Elements of a list.
    pub max_items: Option<usize>,
    /// Elements of a list.
    pub min_items: Option<usize>,
    /// Entries of an object.
    pub max_properties: Option<usize>,
    /// Entries of an object.
    pub min_properties: Option<usize>,
}

impl Schema {
    /// Reads a schema that has been decoded by its type, of a definition with these patterns.
    ///
    /// # Errors
    /// It is nested too deeply, or a pattern cannot be read.
    pub fn parse(value: &Value, patterns: &mut Patterns) -> Result<Schema, String> {
        parse(value, MAX_DEPTH, patterns)
    }

    /// The schema of fields that are no properties.
    pub fn additional_schema(&self) -> Option<&Schema> {
        match &self.additional {
            Additional::Of(schema) => Some(schema),
            _ => None,
        }
    }

    /// The schema of a field; none where the schema says nothing about it.
    pub fn field(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or_else(|| self.additional_schema())
    }
}

fn parse(value: &Value, depth: usize, patterns: &mut Patterns) -> Result<Schema, String> {
    let depth =
        depth.checked_sub(1).ok_or_else(|| format!("must not be nested deeper than {MAX_DEPTH} levels"))?;
    let limits = limits(value, patterns)?;
    let mut inner = |value: &Value| parse(value, depth, patterns);
    let properties = value.entries("properties").map(|(name, one)| Ok((name.to_owned(), inner(one)?)));
    let properties = properties.collect::<Result<_, String>>()?;
    let additional = match value.at("additionalProperties") {
        None => Additional::Unset,
        Some(Value::Bool(allowed)) => Additional::Any(*allowed),
        Some(schema) => Additional::Of(Box::new(inner(schema)?)),
    };
    let mut boxed = |name: &str| value.at(name).filter(|one| one.is_object()).map(&mut inner).transpose();
    let (items, not) = (boxed("items")?.map(Box::new), boxed("not")?.map(Box::new));
    let mut list = |name: &str| value.items(name).iter().map(&mut inner).collect::<Result<Vec<_>, _>>();
    let (all_of, any_of, one_of) = (list("allOf")?, list("anyOf")?, list("oneOf")?);
    let mut schema = Schema {
        is_root: depth + 1 == MAX_DEPTH,
        kind: value.text("type").into(),
        format: value.text("format").into(),
        nullable: value.flag("nullable"),
        default: value.at("default").cloned(),
        properties,
        additional,
        items,
        preserve_unknown: value.flag("x-kubernetes-preserve-unknown-fields"),
        embedded: value.flag("x-kubernetes-embedded-resource"),
        int_or_string: value.flag("x-kubernetes-int-or-string"),
        list_type: value.text("x-kubernetes-list-type").into(),
        list_map_keys: texts(value, "x-kubernetes-list-map-keys"),
        is_atomic_map: value.text("x-kubernetes-map-type") == "atomic",
        limits,
        all_of,
        any_of,
        one_of,
        not,
        rules: Vec::new(),
        has_rules: false,
        min_object_size: 0,
    };
    schema.min_object_size = min_object_size(&schema);
    let rules = value.items("x-kubernetes-validations").iter();
    let rules: Vec<Rule> = rules.map(|rule| Rule::new(rule, &schema, patterns)).collect();
    let inside = schema.properties.values().chain(schema.items.as_deref()).chain(schema.additional_schema());
    schema.has_rules = !rules.is_empty() || inside.into_iter().any(|schema| schema.has_rules);
    schema.rules = rules;
    Ok(schema)
}

fn limits(value: &Value, patterns: &mut Patterns) -> Result<Limits, String> {
    let count = |name: &str| value.number_opt(name).and_then(|count| usize::try_from(count).ok());
    let number = |name: &str| value.at(name).cloned();
    let pattern = match value.text("pattern") {
        "" => None,
        text => Some((text.to_owned(), patterns.make(text).map_err(|why| why.to_string())?)),
    };
    Ok(Limits {
        required: texts(value, "required"),
        values: value.items("enum").to_vec(),
        pattern,
        maximum: number("maximum"),
        exclusive_maximum: value.flag("exclusiveMaximum"),
        minimum: number("minimum"),
        exclusive_minimum: value.flag("exclusiveMinimum"),
        multiple_of: number("multipleOf"),
        max_length: count("maxLength"),
        min_length: count("minLength"),
        max_items: count("maxItems"),
        min_items: count("minItems"),
        max_properties: count("maxProperties"),
        min_properties: count("minProperties"),
    })
}

fn texts(value: &Value, name: &str) -> Vec<String> {
    value.items(name).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
