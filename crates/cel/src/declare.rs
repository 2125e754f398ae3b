//! Which functions there are, and for values of which types.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::LazyLock;

use crate::types::Ty;

/// The names of the types of libraries.
pub const URL: &str = "kubernetes.URL";
pub const IP: &str = "net.IP";
pub const CIDR: &str = "net.CIDR";
pub const QUANTITY: &str = "kubernetes.Quantity";
pub const SEMVER: &str = "kubernetes.Semver";
pub const FORMAT: &str = "kubernetes.NamedFormat";

/// A function for values of certain types.
#[derive(Debug)]
pub struct Overload {
    /// Whether it is called on its first argument.
    pub is_method: bool,
    /// The types of its arguments.
    pub arguments: Vec<Shape>,
    /// The type of what it comes to.
    pub result: Shape,
}

/// A type in a declaration: one letter stands for any type, the same one for the same.
#[derive(Debug, PartialEq)]
pub enum Shape {
    Dyn,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Duration,
    Moment,
    Type(Box<Shape>),
    List(Box<Shape>),
    Map(Box<Shape>, Box<Shape>),
    Optional(Box<Shape>),
    Named(&'static str),
    Any(usize),
}

/// The overloads of a function; none where nobody declares it.
pub fn overloads(name: &str) -> Option<&'static [Overload]> {
    DECLARED.get(name).map(Vec::as_slice)
}

static DECLARED: LazyLock<HashMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut declared: HashMap<&'static str, Vec<Overload>> = HashMap::new();
    for line in DECLARATIONS.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (names, rest) = line.split_once(": ").unwrap_or((line, ""));
        for signature in rest.split("; ") {
            for name in names.split(' ') {
                let overloads = declared.entry(name).or_default();
                for types in expanded(signature) {
                    overloads.extend(overload(&types));
                }
            }
        }
    }
    declared
});

/// Types whose values have an order.
const ORDERED: [&str; 8] = ["int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"];

/// A signature for each type that a word stands for.
fn expanded(signature: &str) -> Vec<String> {
    let (word, types): (_, &[&str]) = match signature {
        text if text.contains("ORDERED") => ("ORDERED", &ORDERED),
        text if text.contains("SUMMED") => ("SUMMED", &["int", "uint", "double", "duration"]),
        text if text.contains("NUMBER") => ("NUMBER", &["double", "int", "uint"]),
        text => return vec![text.to_owned()],
    };
    types.iter().map(|one| signature.replace(word, one)).collect()
}

/// Reads `(a, b) c`, or `.(a, b) c` of a method.
fn overload(text: &str) -> Option<Overload> {
    let is_method = text.starts_with('.');
    let (arguments, result) = text.trim_start_matches('.').strip_prefix('(')?.rsplit_once(") ")?;
    let mut shapes = Vec::new();
    let mut rest = arguments;
    while !rest.is_empty() {
        shapes.push(shape(&mut rest)?);
        rest = rest.trim_start_matches([',', ' ']);
    }
    let mut rest = result;
    Some(Overload { is_method, arguments: shapes, result: shape(&mut rest)? })
}

/// Reads a type off the beginning of a text.
fn shape(rest: &mut &str) -> Option<Shape> {
    let end = rest.find(['<', '>', ',', ' ']).unwrap_or(rest.len());
    let name = &rest[..end];
    *rest = &rest[end..];
    let inner = |rest: &mut &str| -> Option<Box<Shape>> {
        *rest = rest.trim_start_matches(['<', ',', ' ']);
        shape(rest).map(Box::new)
    };
    let made = match name {
        "dyn" => Shape::Dyn,
        "bool" => Shape::Bool,
        "int" => Shape::Int,
        "uint" => Shape::Uint,
        "double" => Shape::Double,
        "string" => Shape::Text,
        "bytes" => Shape::Bytes,
        "duration" => Shape::Duration,
        "timestamp" => Shape::Moment,
        "URL" => Shape::Named(URL),
        "IP" => Shape::Named(IP),
        "CIDR" => Shape::Named(CIDR),
        "Quantity" => Shape::Named(QUANTITY),
        "Semver" => Shape::Named(SEMVER),
        "Format" => Shape::Named(FORMAT),
        "A" => Shape::Any(0),
        "B" => Shape::Any(1),
        "type" => Shape::Type(inner(rest)?),
        "list" => Shape::List(inner(rest)?),
        "optional" => Shape::Optional(inner(rest)?),
        "map" => Shape::Map(inner(rest)?, inner(rest)?),
        _ => return None,
    };
    if let Some(behind) = rest.strip_prefix('>').filter(|_| name.len() > 2) {
        let is_container =
            matches!(made, Shape::Type(_) | Shape::List(_) | Shape::Optional(_) | Shape::Map(..));
        *rest = if is_container { behind } else { rest };
    }
    Some(made)
}

impl Shape {
    /// The type, with these for the letters.
    pub fn with<'a>(&self, letters: &[Ty<'a>; 2]) -> Ty<'a> {
        match self {
            Shape::Dyn => Ty::Dyn,
            Shape::Bool => Ty::Bool,
            Shape::Int => Ty::Int,
            Shape::Uint => Ty::Uint,
            Shape::Double => Ty::Double,
            Shape::Text => Ty::Text,
            Shape::Bytes => Ty::Bytes,
            Shape::Duration => Ty::Duration,
            Shape::Moment => Ty::Moment,
            Shape::Type(inner) => Ty::Type(Rc::new(inner.with(letters))),
            Shape::List(inner) => Ty::List(Rc::new(inner.with(letters))),
            Shape::Map(key, value) => Ty::Map(Rc::new(key.with(letters)), Rc::new(value.with(letters))),
            Shape::Optional(inner) => Ty::Optional(Rc::new(inner.with(letters))),
            Shape::Named(name) => Ty::Named(name),
            Shape::Any(letter) => letters.get(*letter).cloned().unwrap_or(Ty::Dyn),
        }
    }
}

/// The type that a name stands for, where it is the name of one.
pub fn type_named<'a>(name: &str) -> Option<Ty<'a>> {
    let dynamic = || Rc::new(Ty::Dyn);
    Some(match name {
        "bool" => Ty::Bool,
        "int" => Ty::Int,
        "uint" => Ty::Uint,
        "double" => Ty::Double,
        "string" => Ty::Text,
        "bytes" => Ty::Bytes,
        "null_type" => Ty::Null,
        "type" => Ty::Type(dynamic()),
        "list" => Ty::List(dynamic()),
        "map" => Ty::Map(dynamic(), dynamic()),
        "optional_type" => Ty::Optional(dynamic()),
        "google.protobuf.Duration" => Ty::Duration,
        "google.protobuf.Timestamp" => Ty::Moment,
        _ => Ty::Named([URL, IP, CIDR, QUANTITY, SEMVER, FORMAT].into_iter().find(|known| *known == name)?),
    })
}

/// One or more functions on a line, with their signatures. One that begins with a dot is that of a method.
const DECLARATIONS: &str = "
    _?_:_: (bool, A, A) A
    _&&_ _||_: (bool, bool) bool
    !_ @not_strictly_false: (bool) bool
    _==_ _!=_: (A, A) bool
    _+_: (bytes, bytes) bytes; (double, double) double; (duration, duration) duration
    _+_: (duration, timestamp) timestamp; (timestamp, duration) timestamp; (int, int) int
    _+_: (list<A>, list<A>) list<A>; (string, string) string; (uint, uint) uint
    _-_: (double, double) double; (duration, duration) duration; (int, int) int; (uint, uint) uint
    _-_: (timestamp, duration) timestamp; (timestamp, timestamp) duration
    _*_ _/_: (NUMBER, NUMBER) NUMBER
    _%_: (int, int) int; (uint, uint) uint
    -_: (double) double; (int) int
    _<_ _<=_ _>_ _>=_: (ORDERED, ORDERED) bool; (int, NUMBER) bool; (uint, NUMBER) bool; (double, NUMBER) bool
    _[_]: (list<A>, int) A; (map<A, B>, A) B; (optional<list<A>>, int) optional<A>
    _[_]: (optional<map<A, B>>, A) optional<B>
    _[?_]: (list<A>, int) optional<A>; (optional<list<A>>, int) optional<A>
    _[?_]: (map<A, B>, A) optional<B>; (optional<map<A, B>>, A) optional<B>
    @in: (A, list<A>) bool; (A, map<A, B>) bool
    size: (bytes) int; .(bytes) int; (list<A>) int; .(list<A>) int
    size: (map<A, B>) int; .(map<A, B>) int; (string) int; .(string) int
    type: (A) type<A>
    dyn: (A) dyn
    bool: (bool) bool; (string) bool
    bytes: (bytes) bytes; (string) bytes
    double: (double) double; (int) double; (string) double; (uint) double
    duration: (duration) duration; (int) duration; (string) duration
    int: (int) int; (double) int; (duration) int; (string) int; (timestamp) int; (uint) int
    uint: (uint) uint; (double) uint; (int) uint; (string) uint
    string: (string) string; (bool) string; (bytes) string; (double) string; (duration) string; (int) string
    string: (timestamp) string; (uint) string; (IP) string; (CIDR) string
    timestamp: (timestamp) timestamp; (int) timestamp; (string) timestamp
    contains startsWith endsWith: .(string, string) bool
    matches: (string, string) bool; .(string, string) bool
    getFullYear getMonth getDayOfYear getDayOfMonth getDate getDayOfWeek: .(timestamp) int; .(timestamp, string) int
    getHours getMinutes getSeconds getMilliseconds: .(timestamp) int; .(timestamp, string) int; .(duration) int
    charAt: .(string, int) string
    indexOf lastIndexOf: .(string, string) int; .(string, string, int) int; .(list<A>, A) int
    lowerAscii upperAscii trim: .(string) string
    replace: .(string, string, string) string; .(string, string, string, int) string
    split: .(string, string) list<string>; .(string, string, int) list<string>
    substring: .(string, int) string; .(string, int, int) string
    format: .(string, list<dyn>) string
    strings.quote: (string) string
    join: .(list<string>) string; .(list<string>, string) string
    find: .(string, string) string
    findAll: .(string, string) list<string>; .(string, string, int) list<string>
    isSorted: .(list<ORDERED>) bool
    sum: .(list<SUMMED>) SUMMED
    min max: .(list<ORDERED>) ORDERED
    slice: .(list<A>, int, int) list<A>
    flatten: .(list<list<A>>) list<A>; .(list<dyn>, int) list<dyn>
    sort: .(list<ORDERED>) list<ORDERED>
    @sortByAssociatedKeys: .(list<A>, list<ORDERED>) list<A>
    lists.range: (int) list<int>
    reverse distinct: .(list<A>) list<A>
    sets.contains sets.equivalent sets.intersects: (list<A>, list<A>) bool
    cel.@mapInsert: (map<A, B>, A, B) map<A, B>; (map<A, B>, map<A, B>) map<A, B>
    optional.of optional.ofNonZeroValue: (A) optional<A>
    optional.none: () optional<A>
    value: .(optional<A>) A
    hasValue: .(optional<A>) bool
    or: .(optional<A>, optional<A>) optional<A>
    orValue: .(optional<A>, A) A
    first last: .(list<A>) optional<A>
    optional.unwrap: (list<optional<A>>) list<A>
    unwrapOpt: .(list<optional<A>>) list<A>
    url: (string) URL
    isURL: (string) bool
    getScheme getHost getHostname getPort getEscapedPath: .(URL) string
    getQuery: .(URL) map<string, list<string>>
    ip: (string) IP; .(CIDR) IP
    isIP ip.isCanonical: (string) bool
    family: .(IP) int
    isUnspecified isLoopback isLinkLocalMulticast isLinkLocalUnicast isGlobalUnicast: .(IP) bool
    cidr: (string) CIDR
    isCIDR: (string) bool
    containsIP: .(CIDR, string) bool; .(CIDR, IP) bool
    containsCIDR: .(CIDR, string) bool; .(CIDR, CIDR) bool
    prefixLength: .(CIDR) int
    masked: .(CIDR) CIDR
    quantity: (string) Quantity
    isQuantity: (string) bool
    sign: (Quantity) int
    isGreaterThan isLessThan: .(Quantity, Quantity) bool; .(Semver, Semver) bool
    compareTo: .(Quantity, Quantity) int; .(Semver, Semver) int
    asApproximateFloat: .(Quantity) double
    asInteger: .(Quantity) int
    isInteger: .(Quantity) bool
    add sub: .(Quantity, Quantity) Quantity; .(Quantity, int) Quantity
    semver: (string) Semver; (string, bool) Semver
    isSemver: (string) bool; (string, bool) bool
    major minor patch: .(Semver) int
    format.dns1123Label format.dns1123Subdomain format.dns1035Label format.qualifiedName: () Format
    format.dns1123LabelPrefix format.dns1123SubdomainPrefix format.dns1035LabelPrefix: () Format
    format.labelValue format.uri format.uuid format.byte format.date format.datetime: () Format
    format.named: (string) optional<Format>
    validate: .(Format, string) optional<list<string>>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declaration_is_read() {
        let signatures = DECLARATIONS.lines().filter(|line| !line.trim().is_empty()).flat_map(|line| {
            line.trim().split_once(": ").map(|(_, rest)| rest).unwrap_or_default().split("; ")
        });
        for signature in signatures.flat_map(expanded) {
            let read = overload(&signature);
            assert!(read.is_some(), "{signature}");
        }
        let of_index = overloads("_[_]").unwrap();
        assert_eq!(of_index.len(), 4);
        let Shape::Optional(inner) = &of_index[3].arguments[0] else { panic!("{of_index:?}") };
        assert!(matches!(&**inner, Shape::Map(..)), "{of_index:?}");
        assert_eq!(overloads("sum").unwrap().len(), 4);
        assert!(overloads("getQuery").unwrap()[0].is_method);
        assert!(overloads("nothing").is_none());
    }
}
