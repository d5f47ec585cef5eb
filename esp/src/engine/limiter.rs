//! A token bucket: what anybody can bring about happens at a bounded rate.

use core::time::Duration;
use ipsec_types::Instant;

/// See the module.
#[derive(Debug)]
pub(super) struct Limiter {
    allowance: u32,
    /// The time up to which the allowance is counted.
    since: Instant,
}

impl Limiter {
    pub(super) const fn new(burst: u32) -> Self {
        Self { allowance: burst, since: Instant::ZERO }
    }

    pub(super) fn admits(&mut self, now: Instant, interval: Duration, burst: u32) -> bool {
        let passed = now.saturating_since(self.since).as_nanos();
        let earned = passed.checked_div(interval.as_nanos()).unwrap_or(u128::MAX);
        if earned >= u128::from(burst.saturating_sub(self.allowance)) {
            (self.allowance, self.since) = (burst, now);
        } else if earned > 0 {
            // Less than the burst was earned, so both fit; what is left over of an interval is kept.
            self.allowance = self.allowance.saturating_add(earned as u32);
            self.since += interval.saturating_mul(earned as u32);
        }
        let admitted = self.allowance > 0;
        self.allowance = self.allowance.saturating_sub(1);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limiter_admits_a_burst_and_then_the_rate() {
        let interval = Duration::from_millis(100);
        let mut limiter = Limiter::new(3);
        let mut admitted =
            |at: u64| (0..10).filter(|_| limiter.admits(Instant::from_millis(at), interval, 3)).count();
        assert_eq!(admitted(0), 3);
        assert_eq!(admitted(99), 0);
        assert_eq!(admitted(150), 1);
        assert_eq!(admitted(199), 0);
        assert_eq!(admitted(200), 1);
        assert_eq!(admitted(10_000), 3);
    }
}
