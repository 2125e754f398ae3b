//! When controllers heard nothing: cut off, or not running.

/// The times in which some controller heard nothing.
#[derive(Debug, Default)]
pub(super) struct Blind {
    times: Vec<Time>,
}

#[derive(Debug)]
struct Time {
    replica: usize,
    since: u64,
    until: Option<u64>,
}

impl Blind {
    /// A controller hears nothing from now on, or does again.
    pub(super) fn cut_off(&mut self, replica: usize, is_cut_off: bool, now: u64) {
        if is_cut_off {
            self.times.push(Time { replica, since: now, until: None });
        }
        let open = self.times.iter_mut().filter(|time| time.replica == replica && time.until.is_none());
        open.filter(|_| !is_cut_off).for_each(|time| time.until = Some(now));
    }

    /// What is not older than this may not be known yet, where watches are so far behind.
    pub(super) fn horizon(&self, staleness_millis: u64, now: u64) -> u64 {
        let horizon = now.saturating_sub(staleness_millis);
        let is_felt = |time: &&Time| time.until.is_none_or(|until| until >= horizon);
        let felt = self.times.iter().filter(is_felt).map(|time| time.since.saturating_sub(staleness_millis));
        felt.chain([horizon]).min().unwrap_or(horizon)
    }
}
