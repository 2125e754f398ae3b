//! What the network, the server and the clocks do to those who depend on them, drawn from a seed.

use std::time::Duration;

/// Probabilities are per request or per watch; times are the longest ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// When it ends, in milliseconds since the world began.
    pub(crate) ends_millis: u64,
    /// A request or an answer takes up to this long.
    pub(crate) latency_millis: u64,
    /// The server turns a request away: 429, 500, 503.
    pub(crate) refused: f64,
    /// A conflict that is none.
    pub(crate) conflict: f64,
    /// The connection breaks before the server has the request.
    pub(crate) lost_before: f64,
    /// The write is made, and no answer comes: a reset, a 504, a proxy's 502, or silence.
    pub(crate) lost_after: f64,
    /// The connection breaks, and the write is made later.
    pub(crate) late: f64,
    /// How much later. Below the 30 s after which a controller looks for a write that was not answered.
    pub(crate) late_millis: u64,
    /// Watches may lag by so much.
    pub(crate) lag_millis: u64,
    /// Watches break after such a time; 0 for never.
    pub(crate) cut_millis: u64,
    /// A watch falls silent.
    pub(crate) stalled: f64,
    /// For so long.
    pub(crate) stall_millis: u64,
    /// An event is sent twice.
    pub(crate) duplicated: f64,
    /// The server refuses to stream lists: 1 when it is asked, 2 within the stream.
    pub(crate) refuses_streamed_lists: u8,
    /// Objects per page.
    pub(crate) page_limit: usize,
    /// The time of day is stepped.
    pub(crate) steps_clocks: bool,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Served,
    Refused(u16),
    LostBefore,
    LostAfter(Silence),
    Late(Duration),
}

/// How an answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    Reset,
    GatewayTimeout,
    BadGateway,
    Forever,
}

impl Faults {
    /// Nothing ever goes wrong.
    pub(crate) fn calm() -> Faults {
        Faults { page_limit: usize::MAX, ..Faults::default() }
    }

    /// Each kind of trouble is there or not, more or less of it. One world in four has next to none, where the checker
    /// can be strict.
    pub(crate) fn draw(random: &mut fastrand::Rng) -> Faults {
        if random.u8(..4) == 0 {
            let ends_millis = random.u64(40_000..180_000);
            return Faults { ends_millis, latency_millis: 50, lag_millis: 500, ..Faults::calm() };
        }
        let often =
            |random: &mut fastrand::Rng, most: f64| if random.bool() { random.f64() * most } else { 0.0 };
        let long =
            |random: &mut fastrand::Rng, most: u64| if random.bool() { random.u64(1..=most) } else { 0 };
        Faults {
            ends_millis: random.u64(40_000..180_000),
            latency_millis: random.choice([2, 5, 50, 500, 2_000]).unwrap_or(5),
            refused: often(random, 0.2),
            conflict: often(random, 0.2),
            lost_before: often(random, 0.1),
            lost_after: often(random, 0.15),
            late: often(random, 0.08),
            late_millis: 25_000,
            lag_millis: long(random, 8_000),
            cut_millis: long(random, 60_000),
            stalled: often(random, 0.15),
            stall_millis: random.choice([10_000, 60_000, 200_000]).unwrap_or(10_000),
            duplicated: often(random, 0.1),
            refuses_streamed_lists: random.choice([0, 0, 0, 1, 2]).unwrap_or(0),
            page_limit: random.choice([1, 3, 500]).unwrap_or(500),
            steps_clocks: random.u8(..4) == 0,
        }
    }

    /// As after a storm: what was drawn about the server itself stays, faults do not.
    pub(crate) fn is_over(&self, now_millis: u64) -> bool {
        now_millis >= self.ends_millis
    }

    /// How old at most is what a controller goes by: the lag of watches and the life of a request, when all that is
    /// drawn comes together.
    pub(crate) fn staleness_millis(&self) -> u64 {
        let stall = if self.stalled > 0.0 { 200_000 } else { 0 };
        let cut = if self.cut_millis > 0 { 35_000 } else { 0 };
        let faults = self.refused + self.lost_before + self.lost_after + self.late + self.conflict;
        let retries = if faults > 0.0 { 130_000 } else { 2_000 };
        self.lag_millis + stall + cut + retries + 4 * self.latency_millis
    }

    pub(crate) fn latency(&self, random: &mut fastrand::Rng, now_millis: u64) -> Duration {
        let most = if self.is_over(now_millis) { 2 } else { self.latency_millis.max(1) };
        // Most are quick.
        let most = if random.u8(..4) == 0 { most } else { most.min(3) };
        Duration::from_millis(random.u64(1..=most))
    }

    /// Draws what becomes of a request; those of kubelets and loops meet only what they are made for.
    pub(crate) fn fate(
        &self,
        random: &mut fastrand::Rng,
        now_millis: u64,
        is_controllers: bool,
        is_write: bool,
    ) -> Fate {
        if self.is_over(now_millis) {
            return Fate::Served;
        }
        let scale = if is_controllers { 1.0 } else { 0.3 };
        let mut dice = random.f64() / scale;
        let mut falls = |chance: f64| {
            dice -= chance;
            dice < 0.0
        };
        if falls(self.refused) {
            return Fate::Refused(random.choice([429, 500, 503]).unwrap_or(500));
        }
        if is_controllers && is_write && falls(self.conflict) {
            return Fate::Refused(409);
        }
        if falls(self.lost_before) {
            return Fate::LostBefore;
        }
        if falls(self.lost_after) {
            let ways = [Silence::Reset, Silence::GatewayTimeout, Silence::BadGateway, Silence::Forever];
            return Fate::LostAfter(random.choice(ways).unwrap_or(Silence::Reset));
        }
        if is_write && falls(self.late) {
            return Fate::Late(Duration::from_millis(random.u64(1..=self.late_millis.max(1))));
        }
        Fate::Served
    }
}
