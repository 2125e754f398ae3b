//! Reading and filling JSON values by field name, without unwrapping at every step.

use crate::{Object, Value};

/// Reading: a missing field gives the zero value of what is asked for.
pub trait Read {
    /// The value behind a dotted path such as `spec.template`.
    fn at(&self, path: &str) -> Option<&Value>;

    /// Text, empty when missing.
    fn text(&self, path: &str) -> &str;

    /// A number, 0 when missing.
    fn number(&self, path: &str) -> i64;

    /// A number, none when missing.
    fn number_opt(&self, path: &str) -> Option<i64>;

    /// A flag, false when missing.
    fn flag(&self, path: &str) -> bool;

    /// The elements of a list, none when missing.
    fn items(&self, path: &str) -> &[Value];

    /// The entries of an object.
    fn entries<'a>(&'a self, path: &str) -> Box<dyn Iterator<Item = (&'a str, &'a Value)> + 'a>;

    /// Whether the field is there, even when empty.
    fn has(&self, path: &str) -> bool {
        self.at(path).is_some()
    }
}

impl Read for Value {
    fn at(&self, path: &str) -> Option<&Value> {
        let found = path.split('.').try_fold(self, |value, key| value.get(key))?;
        (!found.is_null()).then_some(found)
    }

    fn text(&self, path: &str) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, path: &str) -> i64 {
        self.number_opt(path).unwrap_or_default()
    }

    fn number_opt(&self, path: &str) -> Option<i64> {
        self.at(path).and_then(Value::as_i64)
    }

    fn flag(&self, path: &str) -> bool {
        self.at(path).and_then(Value::as_bool).unwrap_or_default()
    }

    fn items(&self, path: &str) -> &[Value] {
        self.at(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn entries<'a>(&'a self, path: &str) -> Box<dyn Iterator<Item = (&'a str, &'a Value)> + 'a> {
        match self.at(path) {
            Some(Value::Object(object)) => Box::new(object.iter().map(|(key, value)| (key.as_str(), value))),
            _ => Box::new(std::iter::empty()),
        }
    }
}

/// Filling in.
pub trait Fill {
    /// Sets the field when it is missing or null.
    fn fill(&mut self, key: &str, value: impl Into<Value>);

    /// Sets the field.
    fn put(&mut self, key: &str, value: impl Into<Value>);

    /// Takes the field out.
    fn take_out(&mut self, key: &str) -> Option<Value>;

    /// The object in that field, made when missing; none when something else is there.
    fn make(&mut self, key: &str) -> Option<&mut Value>;

    /// The value behind a dotted path.
    fn at_mut(&mut self, path: &str) -> Option<&mut Value>;

    /// The elements of a list.
    fn items_mut(&mut self, path: &str) -> &mut [Value];
}

impl Fill for Value {
    fn fill(&mut self, key: &str, value: impl Into<Value>) {
        if let Some(object) = self.as_object_mut()
            && object.get(key).is_none_or(Value::is_null)
        {
            object.insert(key.into(), value.into());
        }
    }

    fn put(&mut self, key: &str, value: impl Into<Value>) {
        if let Some(object) = self.as_object_mut() {
            object.insert(key.into(), value.into());
        }
    }

    fn take_out(&mut self, key: &str) -> Option<Value> {
        self.as_object_mut()?.shift_remove(key)
    }

    fn make(&mut self, key: &str) -> Option<&mut Value> {
        self.fill(key, Value::Object(Object::new()));
        self.get_mut(key).filter(|value| value.is_object())
    }

    fn at_mut(&mut self, path: &str) -> Option<&mut Value> {
        path.split('.').try_fold(self, |value, key| value.get_mut(key))
    }

    fn items_mut(&mut self, path: &str) -> &mut [Value] {
        self.at_mut(path).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
    }
}
