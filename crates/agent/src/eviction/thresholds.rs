//! From when on a node is short of something.

use std::collections::BTreeMap;
use std::str::FromStr;

use everynode_model::quantity::{Format, Quantity};

use crate::readings::{Readings, Signal};

/// What has to be left of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds(BTreeMap<Signal, Least>);

/// How much has to be left of something.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Least {
    /// So many bytes, inodes or numbers.
    Amount(u64),
    /// A part of all.
    Percent(f64),
}

impl Least {
    fn of(self, capacity: u64) -> u64 {
        match self {
            Least::Amount(amount) => amount,
            Least::Percent(percent) => (capacity as f64 * percent / 100.0) as u64,
        }
    }
}

/// Something of which there is too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// What.
    pub signal: Signal,
    /// How much has to be left.
    pub least: u64,
    /// How much is.
    pub available: u64,
}

impl Shortage {
    /// The sentence for pods that go because of it, as the kubelet has it.
    pub fn message(self) -> String {
        let (resource, format) = match self.signal {
            Signal::MemoryAvailable => ("memory", Format::BinarySi),
            Signal::NodeFsAvailable | Signal::ImageFsAvailable => ("ephemeral-storage", Format::BinarySi),
            Signal::NodeFsInodesFree | Signal::ImageFsInodesFree => ("inodes", Format::DecimalSi),
            Signal::PidAvailable => ("pids", Format::DecimalSi),
        };
        let amount = |units: u64| Quantity::from_units(i64::try_from(units).unwrap_or(i64::MAX), format);
        format!(
            "The node was low on resource: {resource}. Threshold quantity: {}, available: {}. ",
            amount(self.least),
            amount(self.available)
        )
    }
}

/// Why a text names no thresholds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// One is written in another way.
    #[error("{0:?} is no threshold; write for example memory.available<100Mi or nodefs.available<10%")]
    Form(String),
    /// There is no such signal.
    #[error("there is no signal {0:?}; there are {names}", names = Signal::ALL.map(Signal::name).join(", "))]
    Signal(String),
    /// The amount is none.
    #[error("{0:?} is neither an amount nor a percentage from 0% to 100%")]
    Amount(String),
}

impl Default for Thresholds {
    /// Those of the kubelet.
    fn default() -> Thresholds {
        let of_kubelet = [
            (Signal::MemoryAvailable, Least::Amount(100 << 20)),
            (Signal::NodeFsAvailable, Least::Percent(10.0)),
            (Signal::NodeFsInodesFree, Least::Percent(5.0)),
            (Signal::ImageFsAvailable, Least::Percent(15.0)),
            (Signal::ImageFsInodesFree, Least::Percent(5.0)),
        ];
        Thresholds(of_kubelet.into())
    }
}

impl Thresholds {
    /// Where others see to it.
    pub fn none() -> Thresholds {
        Thresholds(BTreeMap::new())
    }

    /// What the machine is short of.
    pub(super) fn short(&self, readings: &Readings) -> Vec<Shortage> {
        let short = self.0.iter().filter_map(|(signal, least)| {
            let room = readings.get(signal)?;
            let least = least.of(room.capacity);
            let shortage = Shortage { signal: *signal, least, available: room.available };
            (room.available < least).then_some(shortage)
        });
        short.collect()
    }
}

impl FromStr for Thresholds {
    type Err = ThresholdError;

    /// As the kubelet's `--eviction-hard` is written: `SIGNAL<AMOUNT`, with commas between. What is not named has none.
    fn from_str(text: &str) -> Result<Thresholds, ThresholdError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let parts = parts.map(|part| {
            let (name, amount) = part.split_once('<').ok_or_else(|| ThresholdError::Form(part.to_owned()))?;
            let signal = Signal::ALL.into_iter().find(|signal| signal.name() == name);
            let signal = signal.ok_or_else(|| ThresholdError::Signal(name.to_owned()))?;
            Ok((signal, least(amount).ok_or_else(|| ThresholdError::Amount(amount.to_owned()))?))
        });
        parts.collect::<Result<_, _>>().map(Thresholds)
    }
}

fn least(text: &str) -> Option<Least> {
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent = percent.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))?;
            Some(Least::Percent(percent))
        }
        None => {
            let amount = Quantity::parse(text).ok().filter(|amount| !amount.is_negative())?;
            Some(Least::Amount(u64::try_from(amount.value()).ok()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::Room;

    #[test]
    fn thresholds_are_read_as_the_kubelet_writes_them() {
        let read = |text: &str| text.parse::<Thresholds>();
        assert_eq!(
            read(
                "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,imagefs.inodesFree<5%"
            ),
            Ok(Thresholds::default())
        );
        assert_eq!(read(""), Ok(Thresholds::none()));
        for wrong in
            ["memory.available", "memory.free<1", "pid.available<101%", "pid.available<-1", "pid.available<x"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn less_than_the_threshold_is_too_little() {
        let check = |thresholds: &str, available: u64, expected: &[u64]| {
            let readings = [(Signal::PidAvailable, Room { capacity: 200, available })].into();
            let short = thresholds.parse::<Thresholds>().unwrap().short(&readings);
            let least: Vec<u64> = short.iter().map(|one| one.least).collect();
            assert_eq!(least, expected, "{thresholds} {available}");
        };
        check("pid.available<10%", 20, &[]);
        check("pid.available<10%", 19, &[20]);
        check("pid.available<7.5%", 14, &[15]);
        check("pid.available<30", 29, &[30]);
        // What is not known is not short.
        check("memory.available<1Gi", 0, &[]);
    }
}
