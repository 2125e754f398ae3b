//! Whether the rules of a schema make sense, and what they cost at most.

use everynode_model::Value;
use everynode_model::access::Read;

use super::exposure::{MAX_REQUEST_BYTES, min_size};
use super::json_path::JsonPath;
use super::rule::Rule;
use super::schema::{Additional, Schema};
use crate::status::FieldError;
use crate::validate::{Errors, Path, Report};

/// What one rule may cost for all values that one object may have of its schema.
const RULE_COST: u64 = 10_000_000;

/// What all rules of a schema may cost.
const SCHEMA_COST: u64 = 100_000_000;

/// Rules that are named when all together cost too much: each has at least a hundredth of what they may.
const NAMED_RULES: usize = 4;

/// Checks the rules of a schema; `schema` is what `parsed` was made of.
pub fn programs(schema: &Value, parsed: &Schema, path: &Path<'_>, errors: &mut Errors) {
    let mut costs = Costs::default();
    let at = At { cardinality: Some(1), uncorrelated: None };
    costs.visit(schema, parsed, &at, path, errors);
    if costs.total <= SCHEMA_COST {
        return;
    }
    costs.largest.sort_by(|(one, _), (other, _)| other.cmp(one));
    for (_, place) in costs.largest.iter().take(NAMED_RULES) {
        let why = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        errors.push(FieldError::forbidden(place.as_str(), why));
    }
    let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
    errors.forbidden(path, &exceeds(what, costs.total, SCHEMA_COST));
}

#[derive(Default)]
struct Costs {
    total: u64,
    largest: Vec<(u64, String)>,
}

/// Where a schema stands.
struct At {
    /// How many values of it one object may have; none where nothing limits that.
    cardinality: Option<u64>,
    /// The outermost list or map whose elements cannot be found in the object as it was.
    uncorrelated: Option<String>,
}

impl At {
    /// Within a list or a map.
    fn within(&self, most: Option<u64>, is_correlated: bool, path: &Path<'_>) -> At {
        let here = || (!is_correlated).then(|| path.to_string());
        At {
            cardinality: self.cardinality.zip(most).map(|(one, most)| one.saturating_mul(most)),
            uncorrelated: self.uncorrelated.clone().or_else(here),
        }
    }
}

impl Costs {
    fn visit(&mut self, schema: &Value, parsed: &Schema, at: &At, path: &Path<'_>, errors: &mut Errors) {
        if !parsed.has_rules {
            return;
        }
        let most = |limit: Option<usize>| limit.map(|limit| limit as u64);
        let is_map = parsed.kind == "object" && !matches!(parsed.additional, Additional::Unset);
        let of_object = if is_map { most(parsed.limits.max_properties) } else { Some(1) };
        let inside = at.within(of_object, !parsed.is_atomic_map, path);
        let properties = path.child("properties");
        for (name, one) in &parsed.properties {
            let Some(raw) = schema.get("properties").and_then(|all| all.get(name)) else { continue };
            self.visit(raw, one, &inside, &properties.key(name), errors);
        }
        if let (Some(raw), Some(one)) = (schema.at("additionalProperties"), parsed.additional_schema()) {
            self.visit(raw, one, &inside, &path.child("additionalProperties"), errors);
        }
        if let (Some(raw), Some(one)) = (schema.at("items"), &parsed.items) {
            let is_correlated = parsed.list_type == "map";
            let inside = at.within(most(parsed.limits.max_items), is_correlated, path);
            self.visit(raw, one, &inside, &path.child("items"), errors);
        }
        let list = path.child("x-kubernetes-validations");
        let raw = schema.items("x-kubernetes-validations").iter();
        for (place, (rule, raw)) in parsed.rules.iter().zip(raw).enumerate() {
            self.rule((rule, raw), parsed, at, &list.index(place), errors);
        }
    }

    fn rule(
        &mut self,
        (rule, raw): (&Rule, &Value),
        schema: &Schema,
        at: &At,
        path: &Path<'_>,
        errors: &mut Errors,
    ) {
        if !points_at(&rule.field_path, schema) {
            errors.invalid(path.child("fieldPath"), raw.text("fieldPath"), "must be a valid path");
        }
        let place = path.child("rule");
        match &rule.program {
            Err(why) => errors.invalid(place, shown_rule(raw), why),
            Ok(program) => {
                let unlimited = MAX_REQUEST_BYTES / (min_size(schema) + 1);
                let cost = program.max_cost.saturating_mul(at.cardinality.unwrap_or(unlimited));
                self.count("estimated rule cost", cost, &place, errors);
            }
        }
        let place = path.child("messageExpression");
        match &rule.message_program {
            Some(Err(why)) => errors.invalid(place, shown_rule(raw), why),
            Some(Ok(program)) => {
                self.count("estimated messageExpression cost", program.max_cost, &place, errors);
            }
            None => {}
        }
        let uses_old = rule.program.as_ref().is_ok_and(|program| program.uses_old);
        old(uses_old, raw, at, path, errors);
    }

    fn count(&mut self, what: &str, cost: u64, place: &Path<'_>, errors: &mut Errors) {
        self.total = self.total.saturating_add(cost);
        if cost >= SCHEMA_COST / 100 {
            self.largest.push((cost, place.to_string()));
        }
        if cost > RULE_COST {
            errors.forbidden(place, &exceeds(what, cost, RULE_COST));
        }
    }
}

/// The value as it was can only be asked for where it can be found.
fn old(uses_old: bool, raw: &Value, at: &At, path: &Path<'_>, errors: &mut Errors) {
    match (uses_old, &at.uncorrelated) {
        (true, Some(within)) => {
            let why =
                format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {within}");
            errors.invalid(path.child("rule"), raw.text("rule"), &why);
        }
        (false, _) if raw.at("optionalOldSelf").is_some() => {
            let why = "may not be set if oldSelf is not used in rule";
            errors.invalid(path.child("optionalOldSelf"), raw.flag("optionalOldSelf"), why);
        }
        _ => {}
    }
}

fn exceeds(what: &str, cost: u64, limit: u64) -> String {
    let times = cost as f64 / limit as f64;
    let factor = match times {
        many if many > 100.0 => "more than 100x".to_owned(),
        few if few < 1.5 => format!("{few:.6}x"),
        some => format!("{some:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, \
         and maxLength where arrays, maps, and strings are declared)"
    )
}

/// Whether a field path is empty or leads to a field of the schema.
fn points_at(field_path: &str, schema: &Schema) -> bool {
    if field_path.is_empty() {
        return true;
    }
    let Ok(path) = JsonPath::parse(field_path) else { return false };
    let Some(fields) = path.fields() else { return false };
    fields.iter().try_fold(schema, |schema, name| schema.field(name)).is_some()
}

/// A rule as the API shows it in a refusal.
fn shown_rule(rule: &Value) -> Value {
    let mut out = everynode_model::Object::new();
    for (name, field) in
        [("Rule", "rule"), ("Message", "message"), ("MessageExpression", "messageExpression")]
    {
        out.insert(name.into(), rule.text(field).into());
    }
    out.insert("Reason".into(), rule.at("reason").cloned().unwrap_or_default());
    out.insert("FieldPath".into(), rule.text("fieldPath").into());
    out.insert("OptionalOldSelf".into(), rule.at("optionalOldSelf").cloned().unwrap_or_default());
    Value::Object(out)
}
