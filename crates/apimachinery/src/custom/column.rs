//! The columns of tables of custom resources.

use everynode_model::access::Read;
use everynode_model::{Value, time};

use super::json_path::{JsonPath, text_of};
use crate::rules::{CREATED, column_definition};

/// One column.
#[derive(Debug)]
pub struct PrinterColumn {
    kind: String,
    path: Option<JsonPath>,
    /// The column as a table shows it.
    pub definition: Value,
}

/// The columns of a version behind that of the name.
pub fn columns(version: &Value) -> Vec<PrinterColumn> {
    let own = version.items("additionalPrinterColumns");
    if own.is_empty() {
        return vec![PrinterColumn {
            kind: "date".into(),
            path: JsonPath::parse(".metadata.creationTimestamp").ok(),
            definition: column_definition("Age", "date", "", CREATED, 0),
        }];
    }
    own.iter().filter_map(column).collect()
}

/// A column; none where its path cannot be read.
fn column(column: &Value) -> Option<PrinterColumn> {
    let (kind, path) = (column.text("type"), column.text("jsonPath"));
    // A dot at the end, or what stands behind a field, leads nowhere.
    let leads_nowhere = path.ends_with('.') || path.contains(' ') && !path.contains('[');
    let found = if leads_nowhere { None } else { Some(JsonPath::parse(path).ok()?) };
    let description = match column.text("description") {
        "" => format!("Custom resource definition column (in JSONPath format): {path}"),
        text => text.to_owned(),
    };
    let definition = column_definition(
        column.text("name"),
        kind,
        column.text("format"),
        &description,
        column.number("priority"),
    );
    Some(PrinterColumn { kind: kind.to_owned(), path: found, definition })
}

impl PrinterColumn {
    /// The cell of an object. `now` is Unix time in seconds.
    pub fn cell(&self, object: &Value, now: i64) -> Value {
        let found = self.path.as_ref().map(|path| path.find(object)).unwrap_or_default();
        let Some(first) = found.first() else { return Value::Null };
        match (self.kind.as_str(), first) {
            // Of several values the API shows the first.
            ("string", Value::Null) => "<no value>".into(),
            ("string", first) => text_of(first).into(),
            ("integer", Value::Number(number)) => {
                number.as_i64().or(number.as_f64().map(|float| float as i64)).into()
            }
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => (*first).clone(),
            ("date", Value::String(text)) => match time::parse(text) {
                Ok(then) => time::human_duration(now.saturating_sub(then)).into(),
                Err(_) => "<invalid>".into(),
            },
            _ => Value::Null,
        }
    }
}
