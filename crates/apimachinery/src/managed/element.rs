//! One step of a path into an object, as server-side apply names it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use everynode_model::{Value, encode, go_quote};

/// One step: a field of a map, or an element of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathElement {
    /// The field of that name.
    Field(Box<str>),
    /// The element whose keys have these values; sorted by name.
    Key(Box<[(Box<str>, Scalar)]>),
    /// The element of a set that is this value.
    Value(Scalar),
    /// The element at that place.
    Index(i64),
}

/// A value without parts, in the order in which field sets are written.
#[derive(Debug, Clone)]
pub enum Scalar {
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(Box<str>),
    /// A truth value.
    Bool(bool),
    /// Nothing.
    Null,
}

/// A key of a field set that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a field, a key, a value or an index")]
pub struct NoElement;

impl PathElement {
    /// The field of that name.
    pub fn field(name: &str) -> PathElement {
        PathElement::Field(name.into())
    }

    /// The name of a field.
    pub fn field_name(&self) -> Option<&str> {
        match self {
            PathElement::Field(name) => Some(name),
            _ => None,
        }
    }

    /// Reads `f:NAME`, `k:{...}`, `v:VALUE` or `i:NUMBER`. Nothing for kinds of a later version, which are passed over.
    ///
    /// # Errors
    /// It is none of these.
    pub fn read(text: &str) -> Result<Option<PathElement>, NoElement> {
        let (kind, rest) = text.split_once(':').filter(|(kind, _)| kind.len() == 1).ok_or(NoElement)?;
        let json = || serde_json::from_str::<Value>(rest).map_err(|_| NoElement);
        Ok(Some(match kind {
            "f" => PathElement::field(rest),
            "v" => PathElement::Value(Scalar::of(&json()?).ok_or(NoElement)?),
            "i" => PathElement::Index(rest.parse().map_err(|_| NoElement)?),
            "k" => {
                let Value::Object(fields) = json()? else { return Err(NoElement) };
                let keys =
                    fields.iter().map(|(name, value)| Some((name.as_str().into(), Scalar::of(value)?)));
                let mut keys: Vec<_> = keys.collect::<Option<_>>().ok_or(NoElement)?;
                keys.sort();
                PathElement::Key(keys.into())
            }
            _ => return Ok(None),
        }))
    }

    /// Writes what [`PathElement::read`] reads.
    pub fn write(&self, out: &mut String) {
        match self {
            PathElement::Field(name) => {
                out.push_str("f:");
                out.push_str(name);
            }
            PathElement::Value(value) => {
                out.push_str("v:");
                value.write(out);
            }
            PathElement::Index(at) => out.push_str(&format!("i:{at}")),
            PathElement::Key(keys) => {
                out.push_str("k:{");
                for (index, (name, value)) in keys.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    Scalar::Text(name.clone()).write(out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// As conflicts show it: `.name`, `[name="a"]`, `[="a"]`, `[0]`.
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathElement::Field(name) => write!(f, ".{name}"),
            PathElement::Value(value) => write!(f, "[={value}]"),
            PathElement::Index(at) => write!(f, "[{at}]"),
            PathElement::Key(keys) => {
                f.write_str("[")?;
                for (index, (name, value)) in keys.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={value}")?;
                }
                f.write_str("]")
            }
        }
    }
}

impl Scalar {
    /// The scalar that a value is, if it is one.
    pub fn of(value: &Value) -> Option<Scalar> {
        Some(match value {
            Value::Null => Scalar::Null,
            Value::Bool(truth) => Scalar::Bool(*truth),
            Value::String(text) => Scalar::Text(text.as_str().into()),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Scalar::Int(whole),
                // A whole number that is written with a fraction is the same number.
                (None, Some(float)) if float.fract() == 0.0 && float.abs() < 1e15 => {
                    Scalar::Int(float as i64)
                }
                (None, Some(float)) => Scalar::Float(float),
                (None, None) => return None,
            },
            Value::Array(_) | Value::Object(_) => return None,
        })
    }

    fn write(&self, out: &mut String) {
        match self {
            Scalar::Text(text) => out.push_str(&encode::to_text(&Value::String(text.to_string()))),
            Scalar::Int(number) => out.push_str(&number.to_string()),
            Scalar::Float(number) => out.push_str(&number.to_string()),
            Scalar::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Scalar::Null => out.push_str("null"),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Scalar::Int(_) | Scalar::Float(_) => 0,
            Scalar::Text(_) => 1,
            Scalar::Bool(_) => 2,
            Scalar::Null => 3,
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Int(number) => number.fmt(f),
            Scalar::Float(number) => number.fmt(f),
            Scalar::Text(text) => f.write_str(&go_quote(text)),
            Scalar::Bool(truth) => truth.fmt(f),
            Scalar::Null => f.write_str("null"),
        }
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Scalar) -> Ordering {
        use Scalar::{Bool, Float, Int, Text};
        match (self, other) {
            (Int(a), Int(b)) => a.cmp(b),
            (Float(a), Float(b)) => a.total_cmp(b),
            (Int(a), Float(b)) => (*a as f64).total_cmp(b),
            (Float(a), Int(b)) => a.total_cmp(&(*b as f64)),
            (Text(a), Text(b)) => a.cmp(b),
            (Bool(a), Bool(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Scalar) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Scalar) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Scalar::Int(number) => (*number as f64).to_bits().hash(state),
            Scalar::Float(number) => number.to_bits().hash(state),
            Scalar::Text(text) => text.hash(state),
            Scalar::Bool(truth) => truth.hash(state),
            Scalar::Null => {}
        }
    }
}
