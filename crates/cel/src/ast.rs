//! Expressions as trees.

/// The number of a part of an expression, by which is kept what is found out about it.
pub type Id = usize;

/// A part of an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// Its number.
    pub id: Id,
    /// What it is.
    pub node: Node,
}

/// What a part of an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A value as it is written.
    Literal(Literal),
    /// A name.
    Ident(String),
    /// `operand.field`, or with `test` whether there is one.
    Select { operand: Box<Expr>, field: String, test: bool },
    /// A function, an operator by the name that declarations have for it, or a method of a target.
    Call { function: String, target: Option<Box<Expr>>, arguments: Vec<Expr> },
    /// A list; the elements that are marked may be left out.
    List(Vec<(Expr, bool)>),
    /// A map; the entries that are marked may be left out.
    Map(Vec<Entry>),
    /// A loop.
    Fold(Box<Fold>),
}

/// An entry of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its key.
    pub key: Expr,
    /// Its value.
    pub value: Expr,
    /// Whether it is left out where the value is an optional that has none.
    pub optional: bool,
}

/// A loop over a list or a map, by which all macros are carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Fold {
    /// What it goes over.
    pub range: Expr,
    /// The name of the element, or of the key of a map.
    pub variable: String,
    /// With a second one the first is the index or the key, and this the element or the value.
    pub second: Option<String>,
    /// The name of what is worked out.
    pub accumulator: String,
    /// What that is at first.
    pub initial: Expr,
    /// Whether to go on.
    pub condition: Expr,
    /// What it is after an element.
    pub step: Expr,
    /// What the loop comes to.
    pub result: Expr,
}

impl Fold {
    /// Whether it only gives a name to a value.
    pub fn is_binding(&self) -> bool {
        let is_empty = matches!(&self.range.node, Node::List(items) if items.is_empty());
        is_empty
            && self.condition.node == Node::Literal(Literal::Bool(false))
            && self.accumulator != ACCUMULATOR
    }
}

/// A value as it is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// What loops work out, by a name that nobody can write.
pub const ACCUMULATOR: &str = "@result";

impl Expr {
    /// The parts from which this one is made.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.node {
            Node::Literal(_) | Node::Ident(_) => Vec::new(),
            Node::Select { operand, .. } => vec![operand],
            Node::Call { target, arguments, .. } => {
                target.iter().map(|one| &**one).chain(arguments).collect()
            }
            Node::List(items) => items.iter().map(|(item, _)| item).collect(),
            Node::Map(entries) => entries.iter().flat_map(|entry| [&entry.key, &entry.value]).collect(),
            Node::Fold(fold) => {
                vec![&fold.range, &fold.initial, &fold.condition, &fold.step, &fold.result]
            }
        }
    }

    /// The name that a chain of fields spells, such as `a.b.c`.
    pub fn qualified_name(&self) -> Option<String> {
        match &self.node {
            Node::Ident(name) => Some(name.clone()),
            Node::Select { operand, field, test: false } => {
                Some(format!("{}.{field}", operand.qualified_name()?))
            }
            _ => None,
        }
    }
}
