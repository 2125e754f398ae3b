//! Sets of fields: which parts of an object somebody has.

use std::cmp::Ordering;

use super::element::PathElement;

/// A set of paths into an object, as a tree. A path may be in the set without those below it, and the other way round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet(Vec<Node>);

/// One step of paths in the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The step.
    pub element: PathElement,
    /// Whether the path that ends here is in the set.
    pub is_member: bool,
    /// The paths that go on.
    pub children: FieldSet,
}

/// What becomes of a step that both sets have, or one of them; nothing when no path is left.
type Keep = fn(&Node, Option<&Node>) -> Option<Node>;

impl Node {
    /// A node, if it stands for any path.
    pub fn of(element: PathElement, is_member: bool, children: FieldSet) -> Option<Node> {
        (is_member || !children.is_empty()).then_some(Node { element, is_member, children })
    }
}

impl FieldSet {
    /// No path.
    pub const fn new() -> FieldSet {
        FieldSet(Vec::new())
    }

    /// A set of nodes in any order, no two of the same step.
    pub fn of(mut nodes: Vec<Node>) -> FieldSet {
        if !nodes.is_sorted_by(|a, b| a.element < b.element) {
            nodes.sort_by(|a, b| a.element.cmp(&b.element));
        }
        FieldSet(nodes)
    }

    /// The set of the paths, each of names of fields.
    pub fn of_names(paths: &[&[&str]]) -> FieldSet {
        let mut set = FieldSet::new();
        for path in paths {
            let path: Vec<PathElement> = path.iter().map(|name| PathElement::field(name)).collect();
            set.insert(&path);
        }
        set
    }

    /// The steps that paths begin with, sorted.
    pub fn nodes(&self) -> &[Node] {
        &self.0
    }

    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many paths are in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|node| usize::from(node.is_member) + node.children.len()).sum()
    }

    /// The step, if a path begins with it.
    pub fn get(&self, element: &PathElement) -> Option<&Node> {
        self.0.binary_search_by(|node| node.element.cmp(element)).ok().map(|at| &self.0[at])
    }

    /// Whether the path is in the set.
    pub fn has(&self, path: &[PathElement]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        self.get(first)
            .is_some_and(|node| if rest.is_empty() { node.is_member } else { node.children.has(rest) })
    }

    /// Adds a path.
    pub fn insert(&mut self, path: &[PathElement]) {
        let Some((first, rest)) = path.split_first() else { return };
        let at = match self.0.binary_search_by(|node| node.element.cmp(first)) {
            Ok(at) => at,
            Err(at) => {
                let fresh = Node { element: first.clone(), is_member: false, children: FieldSet::new() };
                self.0.insert(at, fresh);
                at
            }
        };
        match rest {
            [] => self.0[at].is_member = true,
            rest => self.0[at].children.insert(rest),
        }
    }

    /// Adds a node whose step comes behind all others, or anywhere: then what is there already is joined with it.
    pub fn push(&mut self, node: Node) {
        if self.0.last().is_none_or(|last| last.element < node.element) {
            return self.0.push(node);
        }
        match self.0.binary_search_by(|other| other.element.cmp(&node.element)) {
            Ok(at) => {
                self.0[at].is_member |= node.is_member;
                self.0[at].children = self.0[at].children.union(&node.children);
            }
            Err(at) => self.0.insert(at, node),
        }
    }

    /// The paths that are in either set.
    pub fn union(&self, other: &FieldSet) -> FieldSet {
        let mut out = Vec::with_capacity(self.0.len().max(other.0.len()));
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            match a.element.cmp(&b.element) {
                Ordering::Less => out.extend(left.next().cloned()),
                Ordering::Greater => out.extend(right.next().cloned()),
                Ordering::Equal => {
                    out.push(Node {
                        element: a.element.clone(),
                        is_member: a.is_member || b.is_member,
                        children: a.children.union(&b.children),
                    });
                    left.next();
                    right.next();
                }
            }
        }
        out.extend(left.cloned());
        out.extend(right.cloned());
        FieldSet(out)
    }

    /// The paths that are in both sets.
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        self.filtered(other, |a, b| {
            let b = b?;
            Node::of(a.element.clone(), a.is_member && b.is_member, a.children.intersection(&b.children))
        })
    }

    /// The paths that are not in the other set.
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        self.filtered(other, |a, b| {
            let Some(b) = b else { return Some(a.clone()) };
            Node::of(a.element.clone(), a.is_member && !b.is_member, a.children.difference(&b.children))
        })
    }

    /// The paths that are not in the other set, nor below one that is.
    pub fn difference_below(&self, other: &FieldSet) -> FieldSet {
        self.filtered(other, |a, b| match b {
            None => Some(a.clone()),
            Some(b) if b.is_member => None,
            Some(b) => Node::of(a.element.clone(), a.is_member, a.children.difference_below(&b.children)),
        })
    }

    fn filtered(&self, other: &FieldSet, keep: Keep) -> FieldSet {
        let mut theirs = other.0.iter().peekable();
        let kept = self.0.iter().filter_map(|node| {
            while theirs.peek().is_some_and(|their| their.element < node.element) {
                theirs.next();
            }
            keep(node, theirs.peek().filter(|their| their.element == node.element).copied())
        });
        FieldSet(kept.collect())
    }

    /// Whether a path is in both sets.
    pub fn meets(&self, other: &FieldSet) -> bool {
        let mut theirs = other.0.iter().peekable();
        self.0.iter().any(|node| {
            while theirs.peek().is_some_and(|their| their.element < node.element) {
                theirs.next();
            }
            let same = theirs.peek().filter(|their| their.element == node.element);
            same.is_some_and(|their| {
                node.is_member && their.is_member || node.children.meets(&their.children)
            })
        })
    }

    /// Calls with every path of the set, a path before those below it; steps that end a path come before steps that go
    /// on.
    pub fn each(&self, visit: &mut impl FnMut(&[PathElement])) {
        self.each_below(&mut Vec::new(), visit);
    }

    fn each_below(&self, path: &mut Vec<PathElement>, visit: &mut impl FnMut(&[PathElement])) {
        for node in self.0.iter().filter(|node| node.is_member) {
            path.push(node.element.clone());
            visit(path);
            path.pop();
        }
        for node in &self.0 {
            path.push(node.element.clone());
            node.children.each_below(path, visit);
            path.pop();
        }
    }
}
