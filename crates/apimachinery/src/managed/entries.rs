//! Who has which fields of an object: `metadata.managedFields`.

use std::cell::OnceCell;

use everynode_model::{Value, encode, time};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::set::FieldSet;
use super::text::{self, NoFieldSet};

/// What a manager did to have its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// It applied a configuration, and has what that says.
    Apply,
    /// It wrote in another way, and has what it changed.
    Update,
}

/// What tells the entries of an object apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manager {
    /// The name, as the client gives it.
    pub name: Box<str>,
    /// What it did.
    pub operation: Operation,
    /// The version of the API in which it did: of updates only, and empty for who applied.
    pub version: Box<str>,
    /// The subresource by which it wrote, or empty.
    pub subresource: Box<str>,
}

/// One entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Whose.
    pub manager: Manager,
    /// The version of the API in which the fields are.
    pub version: Box<str>,
    /// When something was last taken, in Unix time in seconds.
    pub time: Option<i64>,
    fields: Fields,
}

/// The fields of an entry: as text until somebody asks for more, and again as text when they are written.
#[derive(Debug, Clone)]
struct Fields {
    text: OnceCell<Box<str>>,
    set: OnceCell<FieldSet>,
}

/// Entries of one object. Those that applied are not joined as those that update are.
pub const MAX_ENTRIES: usize = 1_000;

/// Bytes of all entries of one object, as text.
pub const MAX_BYTES: usize = 1 << 20;

/// Why entries are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEntries {
    /// They are no list of entries.
    #[error("managedFields is no list of entries")]
    Form,
    /// An entry says of no operation that there is.
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    /// An entry says no version.
    #[error("apiVersion must not be empty")]
    Version,
    /// An entry says fields in another form.
    #[error("fieldsType of a managed fields entry must be FieldsV1")]
    Kind,
    /// There are too many.
    #[error("an object has at most {MAX_ENTRIES} managers")]
    Count,
    /// The fields of an entry cannot be read.
    #[error(transparent)]
    Fields(#[from] NoFieldSet),
}

/// The entries of an object, each manager once.
#[derive(Debug, Clone, Default)]
pub struct ManagedFields(Vec<Entry>);

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Raw<'a> {
    manager: Option<String>,
    operation: Option<String>,
    api_version: Option<String>,
    time: Option<String>,
    fields_type: Option<String>,
    #[serde(borrow)]
    fields_v1: Option<&'a RawValue>,
    subresource: Option<String>,
}

impl Entry {
    /// The fields. Those that cannot be read, which the store never has, are none.
    pub fn set(&self) -> &FieldSet {
        let Fields { text, set } = &self.fields;
        set.get_or_init(|| text.get().and_then(|text| text::read(text).ok()).unwrap_or_default())
    }

    /// Whether it has no field.
    pub(super) fn is_empty(&self) -> bool {
        match (self.fields.set.get(), self.fields.text.get()) {
            (None, Some(text)) if text.len() > "{}".len() => false,
            _ => self.set().is_empty(),
        }
    }

    /// Whether it has a field of a set. Its own are only read when that may be.
    pub(super) fn meets(&self, set: &FieldSet) -> bool {
        if set.is_empty() {
            return false;
        }
        match (self.fields.set.get(), self.fields.text.get()) {
            (None, Some(text)) if !text::may_meet(text, set) => false,
            _ => self.set().meets(set),
        }
    }

    /// Takes fields away.
    pub(super) fn lose(&mut self, set: &FieldSet) {
        if self.meets(set) {
            let left = self.set().difference(set);
            self.put(left);
        }
    }

    /// Adds fields.
    pub(super) fn gain(&mut self, set: FieldSet) {
        let all = self.set().union(&set);
        // The text stays where nothing is new.
        if all != *self.set() {
            self.put(all);
        }
    }

    pub(super) fn of(manager: Manager, version: &str, time: Option<i64>, set: FieldSet) -> Entry {
        Entry {
            manager,
            version: version.into(),
            time,
            fields: Fields { text: OnceCell::new(), set: set.into() },
        }
    }

    pub(super) fn put(&mut self, set: FieldSet) {
        self.fields = Fields { text: OnceCell::new(), set: set.into() };
    }

    fn text(&self) -> &str {
        self.fields.text.get_or_init(|| {
            let mut out = Vec::with_capacity(1_024);
            text::write(self.set(), &mut out);
            String::from_utf8_lossy(&out).into()
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Manager { name, operation, subresource, .. } = &self.manager;
        let operation = match operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let time = self.time.map(time::format).unwrap_or_default();
        out.push(b'{');
        for (key, text) in
            [("manager", &**name), ("operation", operation), ("apiVersion", &self.version), ("time", &time)]
        {
            if !text.is_empty() {
                out.extend_from_slice(format!("\"{key}\":").as_bytes());
                encode::write_string(out, text);
                out.push(b',');
            }
        }
        out.extend_from_slice(b"\"fieldsType\":\"FieldsV1\",\"fieldsV1\":");
        out.extend_from_slice(self.text().as_bytes());
        if !subresource.is_empty() {
            out.extend_from_slice(b",\"subresource\":");
            encode::write_string(out, subresource);
        }
        out.push(b'}');
    }

    /// The order in which entries are written.
    fn rank(&self) -> (Operation, i64, &str, &str, &str) {
        let Manager { name, operation, subresource, .. } = &self.manager;
        (*operation, self.time.unwrap_or(0), name, &self.version, subresource)
    }
}

impl Manager {
    /// Who applies.
    pub fn applying(name: &str, subresource: &str) -> Manager {
        Manager {
            name: known(name),
            operation: Operation::Apply,
            version: "".into(),
            subresource: subresource.into(),
        }
    }

    /// Who writes in another way.
    pub fn updating(name: &str, subresource: &str, version: &str) -> Manager {
        Manager {
            name: known(name),
            operation: Operation::Update,
            version: version.into(),
            subresource: subresource.into(),
        }
    }
}

/// Who says no name is called so.
fn known(name: &str) -> Box<str> {
    if name.is_empty() { "unknown".into() } else { name.into() }
}

impl ManagedFields {
    /// Reads the entries of a stored object: what [`ManagedFields::text`] wrote, or nothing.
    pub fn stored(text: &str) -> ManagedFields {
        if text.is_empty() {
            return ManagedFields::default();
        }
        ManagedFields::read_entries(text, false).unwrap_or_default()
    }

    /// Reads the entries that a client sent.
    ///
    /// # Errors
    /// One of them is none.
    pub fn read(value: &Value) -> Result<ManagedFields, BadEntries> {
        ManagedFields::read_entries(&encode::to_text(value), true)
    }

    fn read_entries(text: &str, is_checked: bool) -> Result<ManagedFields, BadEntries> {
        let raws: Vec<Raw<'_>> = serde_json::from_str(text).map_err(|_| BadEntries::Form)?;
        if raws.len() > MAX_ENTRIES {
            return Err(BadEntries::Count);
        }
        let mut managed = ManagedFields(Vec::with_capacity(raws.len() + 1));
        for raw in raws {
            let entry = raw.entry(is_checked)?;
            managed.insert(entry);
        }
        Ok(managed)
    }

    /// The entries as JSON, in their order; empty when there are none.
    pub fn text(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let mut entries: Vec<&Entry> = self.0.iter().collect();
        entries.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let mut out = Vec::with_capacity(entries.len() * 1_024);
        for entry in entries {
            out.push(if out.is_empty() { b'[' } else { b',' });
            entry.write(&mut out);
        }
        out.push(b']');
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The entries, in no particular order.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Whether nobody has anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entry of a manager.
    pub fn get(&self, manager: &Manager) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.manager == *manager)
    }

    pub(super) fn get_mut(&mut self, manager: &Manager) -> Option<&mut Entry> {
        self.0.iter_mut().find(|entry| entry.manager == *manager)
    }

    pub(super) fn entries_mut(&mut self) -> &mut Vec<Entry> {
        &mut self.0
    }

    /// Adds an entry, in the place of one of the same manager.
    pub(super) fn insert(&mut self, entry: Entry) {
        match self.get_mut(&entry.manager) {
            Some(place) => *place = entry,
            None => self.0.push(entry),
        }
    }

    pub(super) fn take(&mut self, manager: &Manager) -> Option<Entry> {
        let at = self.0.iter().position(|entry| entry.manager == *manager)?;
        Some(self.0.swap_remove(at))
    }
}

impl Raw<'_> {
    fn entry(self, is_checked: bool) -> Result<Entry, BadEntries> {
        let text = |field: &Option<String>| Box::<str>::from(field.as_deref().unwrap_or_default());
        let operation = match self.operation.as_deref() {
            Some("Apply") => Operation::Apply,
            Some("Update") => Operation::Update,
            _ => return Err(BadEntries::Operation),
        };
        let version = text(&self.api_version);
        if version.is_empty() {
            return Err(BadEntries::Version);
        }
        if self.fields_type.as_deref() != Some("FieldsV1") {
            return Err(BadEntries::Kind);
        }
        let manager = Manager {
            name: text(&self.manager),
            operation,
            version: if operation == Operation::Apply { "".into() } else { version.clone() },
            subresource: text(&self.subresource),
        };
        let time = self.time.as_deref().and_then(|text| time::parse(text).ok());
        let raw = self.fields_v1.map_or("{}", RawValue::get);
        // What a client sent is written in our own form.
        if is_checked {
            return Ok(Entry::of(manager, &version, time, text::read(raw)?));
        }
        let fields = Fields { text: Box::<str>::from(raw).into(), set: OnceCell::new() };
        Ok(Entry { manager, version, time, fields })
    }
}
