//! Resource quantities: `100m`, `1.5Gi`, `2e3`. Exact decimal arithmetic, never floating point.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

/// Why a text is no quantity, in the API's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text does not have the form number and suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number cannot be read.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// The suffix is none of those known.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// The family of suffixes that a quantity was written with, kept when it is written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `e3`
    DecimalExponent,
    /// `Ki`, `Mi`, ...
    BinarySi,
    /// `m`, `k`, `M`, ...
    DecimalSi,
}

/// An amount of a resource: `mantissa * 10^exponent`, exact to the nano.
#[derive(Debug, Clone)]
pub struct Quantity {
    mantissa: i128,
    exponent: i32,
    format: Format,
    /// The text that it was read from where that is kept as it is.
    text: Option<Box<str>>,
}

const DECIMAL_SUFFIXES: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY_SUFFIXES: [(&str, u32); 7] =
    [("", 0), ("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const NANO: i32 = -9;

/// The parts of a quantity's text.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
    /// Whether there is a digit, be it a leading zero.
    any_digit: bool,
}

fn split(text: &str) -> Result<Parts<'_>, QuantityError> {
    if text.is_empty() {
        return Err(QuantityError::Format);
    }
    let negative = text.starts_with('-');
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let any_digit = rest.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit());
    let rest = rest.trim_start_matches('0');
    let digits_end = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = rest.split_at(digits_end(rest));
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits_end(rest)),
        None => ("", rest),
    };
    let exponent = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if !exponent.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(QuantityError::Format);
    }
    Ok(Parts { negative, whole, fraction, suffix, any_digit })
}

/// Base (10 or 2), exponent and format of a suffix.
fn interpret(suffix: &str) -> Result<(u32, i32, Format), QuantityError> {
    if let Some((_, exponent)) = DECIMAL_SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        return Ok((10, *exponent, Format::DecimalSi));
    }
    if let Some((_, exponent)) = BINARY_SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        return Ok((2, *exponent as i32, Format::BinarySi));
    }
    let number = suffix.strip_prefix(['e', 'E']).filter(|number| !number.is_empty());
    let exponent = number.and_then(|number| number.parse::<i32>().ok()).ok_or(QuantityError::Suffix)?;
    Ok((10, exponent, Format::DecimalExponent))
}

fn power_of_ten(exponent: u32) -> Option<i128> {
    10i128.checked_pow(exponent)
}

/// Divides by a power of ten, away from zero.
fn divide_up(mantissa: i128, power: u32) -> i128 {
    match power_of_ten(power) {
        Some(divisor) => mantissa / divisor + if mantissa % divisor == 0 { 0 } else { mantissa.signum() },
        None => mantissa.signum(),
    }
}

impl Quantity {
    /// The amount 0.
    pub const ZERO: Quantity = Quantity { mantissa: 0, exponent: 0, format: Format::DecimalSi, text: None };

    /// Reads a quantity.
    ///
    /// # Errors
    /// As the API words them; numbers of more than 38 digits, or binary ones of too many places, are refused too.
    pub fn parse(text: &str) -> Result<Quantity, QuantityError> {
        let parts = split(text)?;
        let (base, suffix_exponent, format) = interpret(parts.suffix)?;
        let digits: String =
            [if parts.whole.is_empty() { "0" } else { parts.whole }, parts.fraction].concat();
        let unsigned: i128 = digits.parse().map_err(|_| QuantityError::Number)?;
        let mantissa = if parts.negative { -unsigned } else { unsigned };
        let places = i32::try_from(parts.fraction.len()).map_err(|_| QuantityError::Number)?;
        let (mantissa, exponent) = match base {
            2 => binary_amount(mantissa, places, 1i128 << suffix_exponent)?,
            _ => (mantissa, suffix_exponent.saturating_sub(places)),
        };
        let precise = reads_fast(&parts, &digits, suffix_exponent, exponent, format);
        if !precise && !parts.any_digit {
            return Err(QuantityError::Number);
        }
        let mut quantity = Quantity { mantissa, exponent, format, text: None };
        if precise && keeps_text(&digits, unsigned, exponent, format) {
            quantity.text = Some(text.into());
        } else {
            quantity.bound();
        }
        Ok(quantity)
    }

    /// Rounds to the nano, away from zero, and caps binary amounts as the API does.
    fn bound(&mut self) {
        if self.exponent < NANO {
            let excess = NANO.abs_diff(self.exponent);
            self.mantissa = divide_up(self.mantissa, excess);
            self.exponent = NANO;
        }
        if self.format == Format::BinarySi {
            let largest = Quantity { mantissa: i64::MAX.into(), exponent: 0, ..Quantity::ZERO };
            if self.abs() > largest {
                (self.mantissa, self.exponent) = (self.mantissa.signum() * i128::from(i64::MAX), 0);
            }
            let one = Quantity { mantissa: 1, exponent: 0, ..Quantity::ZERO };
            if self.abs() < one && self.mantissa != 0 {
                self.format = Format::DecimalSi;
            }
        }
    }

    fn abs(&self) -> Quantity {
        Quantity { mantissa: self.mantissa.abs(), exponent: self.exponent, ..Quantity::ZERO }
    }

    /// A whole number of units.
    pub fn from_units(units: i64, format: Format) -> Quantity {
        Quantity { mantissa: units.into(), exponent: 0, format, text: None }
    }

    /// A number of thousandths, as CPU is counted.
    pub fn from_millis(millis: i64) -> Quantity {
        Quantity { mantissa: millis.into(), exponent: -3, format: Format::DecimalSi, text: None }
    }

    /// Whole units, rounded away from zero; capped at the ends of `i64`.
    pub fn value(&self) -> i64 {
        self.scaled(0)
    }

    /// Thousandths, rounded away from zero; capped at the ends of `i64`.
    pub fn millis(&self) -> i64 {
        self.scaled(-3)
    }

    /// Billionths, rounded away from zero; capped at the ends of `i64`.
    pub fn nanos(&self) -> i64 {
        self.scaled(NANO)
    }

    fn scaled(&self, exponent: i32) -> i64 {
        let shift = self.exponent.saturating_sub(exponent);
        let exact = if shift < 0 {
            divide_up(self.mantissa, shift.unsigned_abs())
        } else {
            let product = power_of_ten(shift.unsigned_abs()).and_then(|ten| self.mantissa.checked_mul(ten));
            product.unwrap_or(self.mantissa.signum() * i128::MAX)
        };
        i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether the amount is 0.
    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    /// Whether the amount is below 0.
    pub fn is_negative(&self) -> bool {
        self.mantissa < 0
    }

    /// The sum, in this quantity's format (in the other's where this is 0). Capped where it cannot be held.
    #[must_use]
    pub fn add(&self, other: &Quantity) -> Quantity {
        self.combine(other, i128::saturating_add)
    }

    /// The difference, with the rules of [`Quantity::add`].
    #[must_use]
    pub fn subtract(&self, other: &Quantity) -> Quantity {
        self.combine(other, i128::saturating_sub)
    }

    fn combine(&self, other: &Quantity, operation: fn(i128, i128) -> i128) -> Quantity {
        let exponent = self.exponent.min(other.exponent);
        let format = if self.is_zero() { other.format } else { self.format };
        let mantissa = operation(self.aligned(exponent), other.aligned(exponent));
        Quantity { mantissa, exponent, format, text: None }
    }

    /// The mantissa for a smaller exponent, capped where it cannot be held.
    fn aligned(&self, exponent: i32) -> i128 {
        let ten = power_of_ten(self.exponent.abs_diff(exponent));
        match ten.and_then(|ten| self.mantissa.checked_mul(ten)) {
            Some(mantissa) => mantissa,
            None if self.mantissa == 0 => 0,
            None => self.mantissa.signum() * i128::MAX,
        }
    }

    fn fmt_decimal(&self, f: &mut fmt::Formatter<'_>, format: Format) -> fmt::Result {
        let (mut mantissa, mut exponent) = (self.mantissa, self.exponent);
        while mantissa % 10 == 0 {
            mantissa /= 10;
            exponent = exponent.saturating_add(1);
        }
        let largest = if format == Format::DecimalSi { 18 } else { i32::MAX };
        while exponent.rem_euclid(3) != 0 || exponent > largest {
            let Some(wider) = mantissa.checked_mul(10) else { break };
            mantissa = wider;
            exponent -= 1;
        }
        match DECIMAL_SUFFIXES.iter().find(|(_, power)| *power == exponent) {
            _ if exponent == 0 => write!(f, "{mantissa}"),
            Some((suffix, _)) if format == Format::DecimalSi => write!(f, "{mantissa}{suffix}"),
            _ => write!(f, "{mantissa}e{exponent}"),
        }
    }

    fn fmt_binary(&self, f: &mut fmt::Formatter<'_>, units: i128) -> fmt::Result {
        let mut units = units;
        let mut power = 0;
        while units % 1024 == 0 && power < BINARY_SUFFIXES.len() - 1 {
            units /= 1024;
            power += 1;
        }
        write!(f, "{units}{}", BINARY_SUFFIXES[power].0)
    }

    /// The amount in whole units, where it is whole.
    fn whole_units(&self) -> Option<i128> {
        if self.exponent >= 0 {
            return power_of_ten(self.exponent.unsigned_abs()).and_then(|ten| self.mantissa.checked_mul(ten));
        }
        let ten = power_of_ten(self.exponent.unsigned_abs())?;
        (self.mantissa % ten == 0).then(|| self.mantissa / ten)
    }
}

/// The amount of a binary suffix's number. What is above the cap of binary amounts even without its fraction is cut
/// to it; what is below and has too many places to be exact is refused.
fn binary_amount(mantissa: i128, places: i32, factor: i128) -> Result<(i128, i32), QuantityError> {
    if let Some(mantissa) = mantissa.checked_mul(factor) {
        return Ok((mantissa, -places));
    }
    let whole = power_of_ten(places.unsigned_abs()).map_or(0, |ten| mantissa / ten);
    match whole.checked_mul(factor) {
        Some(units) if units.abs() <= i64::MAX.into() => Err(QuantityError::Number),
        _ => Ok((mantissa.signum() * i128::from(i64::MAX), 0)),
    }
}

/// Whether the API reads the number as one of 64 bits. What is read in the long way needs a digit (`Pi` has none,
/// and is refused, where `Ki` is 0), and its text is never kept.
fn reads_fast(parts: &Parts<'_>, digits: &str, suffix_exponent: i32, exponent: i32, format: Format) -> bool {
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    if format == Format::BinarySi {
        // One Mi has about six decimal digits: what is left of the fifteen that surely fit.
        return parts.fraction.is_empty() && 15 - length - suffix_exponent * 3 / 10 > 0;
    }
    length <= 18 && exponent >= NANO
}

/// Whether the API keeps the text as it was written. It does where a quick look finds it canonical, and that
/// look misses some cases: `1.500` stays `1.500`.
fn keeps_text(digits: &str, value: i128, exponent: i32, format: Format) -> bool {
    if format == Format::BinarySi {
        return value & 7 != 0;
    }
    exponent % 3 == 0 && !digits.ends_with("000") && !digits.starts_with('0')
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        if self.mantissa == 0 {
            return f.write_str("0");
        }
        match (self.format, self.whole_units()) {
            (Format::BinarySi, Some(units)) if units.abs() >= 1024 => self.fmt_binary(f, units),
            (Format::BinarySi, _) => self.fmt_decimal(f, Format::DecimalSi),
            (format, _) => self.fmt_decimal(f, format),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        let exponent = self.exponent.min(other.exponent);
        self.aligned(exponent).cmp(&other.aligned(exponent))
    }
}

impl serde::Serialize for Quantity {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Quantity {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Quantity, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        Quantity::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Reads a quantity as the API serves it, or as a bare number.
pub fn read(amount: &Value) -> Option<Quantity> {
    match amount {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// The text as the API writes it back.
///
/// # Errors
/// As [`Quantity::parse`].
pub fn canonical(text: &str) -> Result<String, QuantityError> {
    Quantity::parse(text).map(|quantity| quantity.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
    }

    #[test]
    fn quantities_are_written_back_in_canonical_form() {
        for (text, expected) in [
            ("0", "0"),
            ("0m", "0"),
            ("00", "0"),
            ("-0", "0"),
            ("1", "1"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.5", "1500m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.1Gi", "107374182400m"),
            ("1e3", "1e3"),
            ("1E3", "1E3"),
            ("1.5e3", "1500"),
            ("100M", "100M"),
            ("1000M", "1G"),
            ("8Gi", "8Gi"),
            ("100Ki", "100Ki"),
            ("1024", "1024"),
            ("1000", "1k"),
            ("2000", "2k"),
            ("1200", "1200"),
            ("0.1m", "100u"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("1.500", "1.500"),
            ("+5", "+5"),
            ("-1500m", "-1500m"),
            ("0.5Ki", "512"),
            ("0.0001Ki", "102400u"),
            ("1000Ei", "9223372036854775807"),
            ("1Ei", "1Ei"),
            ("1E", "1E"),
            ("10e6", "10e6"),
            ("12e1", "120"),
            ("500Gi", "500Gi"),
            ("16Ki", "16Ki"),
            ("2048Ki", "2Mi"),
            ("1000000000", "1G"),
            ("256Gi", "256Gi"),
            ("62.5Ki", "64000"),
            ("64000", "64k"),
            ("Ki", "0"),
            ("0Pi", "0"),
            ("303713902.200200111101Ei", "9223372036854775807"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_in_the_words_of_the_api() {
        for text in ["", "1x", "x", "1 ", "1.2.3", "1m2x"] {
            assert_eq!(canonical(text), Err(QuantityError::Format), "{text:?}");
        }
        for text in ["1mm", "1ki", "1e", "1Kim", "1e+"] {
            assert_eq!(canonical(text), Err(QuantityError::Suffix), "{text:?}");
        }
        for text in ["Pi", "+Ei", "e-10", "-.e-10"] {
            assert_eq!(canonical(text), Err(QuantityError::Number), "{text:?}");
        }
    }

    #[test]
    fn amounts_compare_and_add_exactly() {
        let q = |text: &str| Quantity::parse(text).expect("a quantity");
        assert_eq!(q("1000m"), q("1"));
        assert!(q("1Gi") > q("1G"));
        assert!(q("-1") < q("0"));
        assert_eq!(q("100m").add(&q("0.9")).to_string(), "1");
        assert_eq!(q("0").add(&q("512Mi")).add(&q("512Mi")).to_string(), "1Gi");
        assert_eq!(q("1").subtract(&q("100m")).to_string(), "900m");
        assert_eq!((q("1500m").value(), q("1500m").millis()), (2, 1500));
        assert_eq!(q("0.1Gi").value(), 107_374_183);
        assert_eq!(q("1e30").value(), i64::MAX);
        assert_eq!(q("1e999999999").millis(), i64::MAX);
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_the_same_amount_and_settles(text in "[+-]?[0-9]{0,12}(\\.[0-9]{0,6})?(n|u|m|k|M|G|T|Ki|Mi|Gi|Ti|e[0-9]|E-[0-9])?") {
            // `62.5Ki` is written `64000`, which is read as a decimal and written `64k`.
            if let Ok(once) = canonical(&text) {
                let twice = canonical(&once).expect("what was written");
                let settled = canonical(&twice);
                prop_assert_eq!(settled.as_ref(), Ok(&twice));
                for written in [once, twice] {
                    prop_assert_eq!(Quantity::parse(&text).ok(), Quantity::parse(&written).ok());
                }
            }
        }

        #[test]
        fn no_text_breaks_the_reader(text in "\\PC*") {
            let _ = canonical(&text);
        }
    }
}
