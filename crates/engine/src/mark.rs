//! What an assignment counts as. Each bit is either counted or has a queue.

/// The node should run a pod ([I1](crate::spec#i1)).
pub const DESIRED: u32 = 1 << 0;
/// ... and has one ([I1](crate::spec#i1)).
pub const CURRENT: u32 = 1 << 1;
/// ... whose first is ready ([I1](crate::spec#i1)).
pub const READY: u32 = 1 << 2;
/// ... and available ([I1](crate::spec#i1)).
pub const AVAILABLE: u32 = 1 << 3;
/// ... or updated ([I1](crate::spec#i1)).
pub const UPDATED: u32 = 1 << 4;
/// The node should not run a pod and has one ([I2](crate::spec#i2)).
pub const MISSCHEDULED: u32 = 1 << 5;
/// Counts against maxUnavailable ([F4](crate::spec#f4)).
pub const UNAVAILABLE: u32 = 1 << 6;
/// Counts as available during a surge ([F8](crate::spec#f8)).
pub const ROLL_AVAILABLE: u32 = 1 << 7;
/// Counts against maxSurge ([F8](crate::spec#f8), [F11](crate::spec#f11)).
pub const SURGING: u32 = 1 << 8;
/// An old pod sits on a node that is gone, which stops a surge ([F10](crate::spec#f10)).
pub const MISSING_OLD: u32 = 1 << 9;
/// How many of the bits are counted.
pub const COUNTED: u32 = 10;

/// The marks by which pods are created.
pub const CREATES: u32 = CREATE | SURGE_NOW | SURGE_CANDIDATE;
/// A pod is to be created ([D3](crate::spec#d3), [D10](crate::spec#d10)).
pub const CREATE: u32 = 1 << 10;
/// Pods are to be deleted ([D5](crate::spec#d5) to [D13](crate::spec#d13)).
pub const DELETE: u32 = 1 << 11;
/// An old pod is not available and goes at once ([F5](crate::spec#f5)).
pub const REPLACE: u32 = 1 << 12;
/// An old pod is available and goes within the budget ([F5](crate::spec#f5)).
pub const CANDIDATE: u32 = 1 << 13;
/// A new pod beside an unavailable old one, outside the budget ([F10](crate::spec#f10)).
pub const SURGE_NOW: u32 = 1 << 14;
/// A new pod beside an available old one, within the budget ([F10](crate::spec#f10)).
pub const SURGE_CANDIDATE: u32 = 1 << 15;
/// An old pod goes because the new one is there, or because the node should not run it
/// ([F10](crate::spec#f10), [F11](crate::spec#f11)).
pub const SURGE_DELETE: u32 = 1 << 16;
/// An available old pod on a node that should not run it ([F10](crate::spec#f10),
/// [F13](crate::spec#f13)).
pub const SUNSET: u32 = 1 << 17;
/// How many of the bits have a queue.
pub const QUEUED: u32 = 8;
