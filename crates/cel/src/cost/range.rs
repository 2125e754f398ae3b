//! Ranges of costs and sizes.

/// The least and the most: of costs, or of the size of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

/// What it costs to look at one character.
pub const PER_CHARACTER: f64 = 0.1;
/// What it costs to look for one character of a pattern.
pub const PER_PATTERN_CHARACTER: f64 = 0.25;
/// What it costs to make a list.
pub const LIST_COST: u64 = 10;

/// Nothing is known.
pub const UNKNOWN: Range = Range { min: 0, max: u64::MAX };
/// Zero.
pub const NOTHING: Range = Range::exactly(0);
/// One.
pub const ONE: Range = Range::exactly(1);

impl Range {
    /// One number.
    pub const fn exactly(number: u64) -> Range {
        Range { min: number, max: number }
    }

    /// Both together.
    pub fn plus(self, other: Range) -> Range {
        Range { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    /// One as often as the other.
    pub fn times(self, other: Range) -> Range {
        Range { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// A multiple, rounded up.
    pub fn scaled(self, factor: f64) -> Range {
        // Conversions to whole numbers end at the greatest there is.
        let scale = |number: u64| (number as f64 * factor).ceil() as u64;
        Range { min: scale(self.min), max: scale(self.max) }
    }

    /// Either of them.
    pub fn or(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// The cost of looking for a pattern.
pub fn pattern_cost(text: Range, pattern: Range) -> Range {
    text.plus(ONE).scaled(PER_CHARACTER).times(pattern.scaled(PER_PATTERN_CHARACTER))
}

/// The cost of a comparison, which ends with the shorter one.
pub fn comparison(one: Range, other: Range) -> Range {
    let max = one.max.min(other.max);
    Range { min: u64::from(max > 0), max }.scaled(PER_CHARACTER)
}

/// The size of a text in which something was replaced.
pub fn replaced(size: Range, old: Range, new: Range) -> Range {
    let most = match (old.min, new.max <= old.min) {
        (0, _) => size.max.saturating_add(1).saturating_mul(new.max).saturating_add(size.max),
        (_, true) => size.max,
        (least, false) => size.max.div_ceil(least).saturating_mul(new.max),
    };
    let least = match (old.max, old.max <= new.min) {
        (0, _) => size.min.saturating_add(1).saturating_mul(new.min).saturating_add(size.min),
        (_, true) => size.min,
        (most, false) => size.min.div_ceil(most).saturating_mul(new.min),
    };
    Range { min: least, max: most }
}
