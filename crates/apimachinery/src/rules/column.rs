//! The columns of tables.

use everynode_model::{Object, Value};

/// One column of `kubectl get`.
#[derive(Debug)]
pub struct Column {
    /// Heading, such as `Node Selector`.
    pub name: &'static str,
    /// OpenAPI type: `string`, `integer`, ...
    pub kind: &'static str,
    /// OpenAPI format, `name` for the name column, else empty.
    pub format: &'static str,
    /// What it means, in one sentence.
    pub description: &'static str,
    /// 0 always shown, 1 only with `-o wide`.
    pub priority: i64,
}

impl Column {
    /// The column as a table shows it.
    pub fn definition(&self) -> Value {
        column_definition(self.name, self.kind, self.format, self.description, self.priority)
    }
}

/// A column as a table shows it.
pub(crate) fn column_definition(
    name: &str,
    kind: &str,
    format: &str,
    description: &str,
    priority: i64,
) -> Value {
    let mut object = Object::new();
    object.insert("name".into(), name.into());
    object.insert("type".into(), kind.into());
    object.insert("format".into(), format.into());
    object.insert("description".into(), description.into());
    object.insert("priority".into(), priority.into());
    Value::Object(object)
}

/// The column of the object's name.
pub const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    description: "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    priority: 0,
};

/// What the API says about the time of creation.
pub const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// Columns of kinds that have none of their own.
pub const NAME_AND_CREATED: &[Column] =
    &[NAME, Column { name: "Created At", kind: "date", format: "", description: CREATED, priority: 0 }];
