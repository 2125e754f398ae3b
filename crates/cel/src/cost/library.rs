//! What functions of libraries cost at most.

use super::range::{
    LIST_COST, ONE, PER_CHARACTER, PER_PATTERN_CHARACTER, Range, UNKNOWN, pattern_cost, replaced,
};
use super::{Call, Estimate, element_of, size_at};
use crate::ast::{Expr, Literal, Node};
use crate::declare::{self, Shape};
use crate::types::Ty;

impl Estimate<'_, '_> {
    /// What Kubernetes says of functions of its libraries.
    pub(super) fn of_library(&mut self, call: &Call<'_>) -> Option<(Range, Option<Range>)> {
        let first = call.arguments.first();
        let looked_at = |size: Range| (size.scaled(PER_CHARACTER), None);
        Some(match (call.function, call.target, first) {
            ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(target), _) => {
                let count = self.size_or_unknown(target);
                match self.element_size(target) {
                    Some(None) => (count, None),
                    Some(Some(text)) => (count.times(ONE.plus(text.scaled(PER_CHARACTER))), None),
                    None => looked_at(count),
                }
            }
            ("url", _, Some(first)) => {
                let size = self.size_or_unknown(first);
                (size.scaled(PER_CHARACTER), Some(size))
            }
            ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(target), _) => {
                let size = self.size_or_unknown(target);
                (size.scaled(PER_CHARACTER), Some(size))
            }
            ("replace", Some(target), Some(_)) if call.arguments.len() >= 2 => {
                let size = self.size_or_unknown(target);
                let (old, new) =
                    (self.size_or_unknown(&call.arguments[0]), self.size_or_unknown(&call.arguments[1]));
                (size.scaled(2.0 * PER_CHARACTER), Some(replaced(size, old, new)))
            }
            ("split", Some(target), _) => {
                let size = self.size_or_unknown(target);
                let parts = match call.arguments.get(1).map(|one| &one.node) {
                    Some(Node::Literal(Literal::Int(most))) => *most as u64,
                    _ => size.max,
                };
                (size.scaled(2.0 * PER_CHARACTER), Some(Range { min: 0, max: parts }))
            }
            ("join", Some(target), _) => {
                let size = self.joined_size(target, first);
                (size.scaled(PER_CHARACTER), Some(size))
            }
            ("find" | "findAll", Some(target), Some(pattern)) => {
                let (size, pattern) = (self.size_or_unknown(target), self.size_or_unknown(pattern));
                (pattern_cost(size, pattern), Some(Range { min: 0, max: size.max }))
            }
            ("ip", Some(_), _) => (ONE, None),
            ("ip.isCanonical", _, Some(first)) => {
                (self.size_or_unknown(first).scaled(2.0 * PER_CHARACTER), None)
            }
            (
                "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver",
                _,
                Some(first),
            ) => looked_at(self.size_or_unknown(first)),
            ("containsIP" | "containsCIDR", _, Some(first)) => {
                let address = Range { min: 4, max: 16 };
                let mut cost = address.plus(address).scaled(PER_CHARACTER);
                if call.function == "containsCIDR" {
                    cost = cost.plus(address.scaled(PER_CHARACTER)).plus(ONE);
                }
                if call.takes(1, &Shape::Text) {
                    cost = cost.plus(self.size_or_unknown(first).scaled(PER_CHARACTER));
                }
                (cost, None)
            }
            ("validate", _, Some(first)) => {
                let cost = self.size_or_unknown(first).scaled(PER_CHARACTER);
                (cost.scaled(128.0 * PER_PATTERN_CHARACTER), None)
            }
            ("_==_", ..) => (self.named_equality(call)?, None),
            ("sets.contains" | "sets.intersects" | "sets.equivalent", None, Some(first)) => {
                let other = call.arguments.get(1).map_or(UNKNOWN, |other| self.size_or_unknown(other));
                let times = if call.function == "sets.equivalent" { 2.0 } else { 1.0 };
                (self.size_or_unknown(first).times(other).scaled(times).plus(ONE), None)
            }
            _ => return self.new_list(call),
        })
    }

    /// The cost of comparing two values of one type of a library.
    fn named_equality(&mut self, call: &Call<'_>) -> Option<Range> {
        let [left, right] = call.arguments else { return None };
        let (Ty::Named(one), Ty::Named(other)) = (self.ty(left), self.ty(right)) else { return None };
        if one != other {
            return None;
        }
        Some(match one {
            declare::URL => {
                let size = self.size(right).map_or(1, |size| size.max);
                Range { min: 1, max: size }.scaled(PER_CHARACTER)
            }
            declare::FORMAT => Range { min: 1, max: 64 }.scaled(PER_CHARACTER),
            _ => ONE,
        })
    }

    /// Of the elements of a list: none where it is no list, and within, the size of texts.
    fn element_size(&mut self, list: &Expr) -> Option<Option<Range>> {
        let Ty::List(element) = self.ty(list) else { return None };
        if !matches!(*element, Ty::Text | Ty::Bytes) {
            return Some(None);
        }
        Some(Some(self.place(list).map(element_of).and_then(size_at).unwrap_or(UNKNOWN)))
    }

    fn joined_size(&mut self, list: &Expr, between: Option<&Expr>) -> Range {
        let count = self.size_or_unknown(list);
        let of_elements = self.place(list).map(element_of).and_then(size_at).unwrap_or(UNKNOWN);
        let size = count.times(of_elements);
        let Some(between) = between else { return size };
        let gaps = Range { min: count.min.saturating_sub(1), max: count.max.saturating_sub(1) };
        size.plus(self.size_or_unknown(between).times(gaps))
    }

    /// The cost of functions that make a list.
    fn new_list(&mut self, call: &Call<'_>) -> Option<(Range, Option<Range>)> {
        let number = |expr: Option<&Expr>, unknown: u64| match expr.map(|expr| &expr.node) {
            Some(Node::Literal(Literal::Int(number))) => u64::try_from(*number).unwrap_or_default(),
            _ => unknown,
        };
        let (first, second) = (call.arguments.first(), call.arguments.get(1));
        let squared = |size: Range| size.times(size);
        let is_text = |shape: Option<&Shape>| matches!(shape, Some(Shape::List(of)) if matches!(**of, Shape::Text | Shape::Bytes));
        let of_order = |shape| if is_text(shape) { 2.0 + PER_CHARACTER } else { 2.0 };
        let (factor, size) = match (call.function, call.target) {
            ("slice", Some(target)) => {
                let size = self.size_or_unknown(target);
                let (from, to) = (number(first, size.min), number(second, size.max));
                // Where the end lies before the beginning, Kubernetes counts from the other end of the numbers.
                (1.0, Range::exactly(to.wrapping_sub(from)))
            }
            ("flatten", Some(target)) => {
                let depth = if first.is_some() { number(first, u64::MAX) } else { 1 };
                (depth as f64, self.size_or_unknown(target))
            }
            ("lists.range", None) => (1.0, Range::exactly(number(first, u64::MAX))),
            ("reverse", Some(target)) => (1.0, self.size_or_unknown(target)),
            ("distinct", Some(target)) => (2.0, squared(self.size_or_unknown(target))),
            ("sort", Some(target)) => {
                (of_order(call.overload.arguments.first()), squared(self.size_or_unknown(target)))
            }
            ("@sortByAssociatedKeys", Some(_)) => {
                let keys = first.map_or(UNKNOWN, |keys| self.size_or_unknown(keys));
                (of_order(call.overload.arguments.get(1)), squared(keys))
            }
            _ => return None,
        };
        Some((size.scaled(factor).plus(ONE).plus(Range::exactly(LIST_COST)), Some(size)))
    }
}
