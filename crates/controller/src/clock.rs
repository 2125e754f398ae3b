//! The one place that reads the clock on the wall.

use everynode_engine::Time;

/// Now, as the engine counts time.
pub(crate) fn now() -> Time {
    Time(jiff::Timestamp::now().as_millisecond())
}
