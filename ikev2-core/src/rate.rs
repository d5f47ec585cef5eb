//! How often something may happen: a token bucket, kept as the moment at which it will be full again.

use core::time::Duration;
use ipsec_types::Instant;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A bucket that holds as many tokens as come into it in a second. It begins full.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// How many tokens are in it.
    pub(crate) fn left(&self, now: Instant, per_second: u32) -> u32 {
        let until_full = self.full_at.saturating_since(now).as_nanos();
        let missing = until_full.saturating_mul(per_second.into()).div_ceil(NANOS_PER_SECOND);
        per_second.saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX))
    }

    /// Takes one out, if there is one; nothing changes otherwise.
    pub(crate) fn take(&mut self, now: Instant, per_second: u32) -> bool {
        let granted = self.left(now, per_second) > 0;
        if granted {
            let pause = NANOS_PER_SECOND.checked_div(per_second.into()).unwrap_or(NANOS_PER_SECOND);
            let pause = Duration::from_nanos(u64::try_from(pause).unwrap_or(u64::MAX));
            self.full_at = self.full_at.max(now) + pause;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_at_once_as_come_in_a_second_and_then_one_by_one() {
        let at = Instant::from_millis;
        let mut bucket = Bucket::default();
        assert_eq!(bucket.left(at(0), 2), 2);
        assert!(bucket.take(at(0), 2) && bucket.take(at(100), 2) && !bucket.take(at(499), 2));
        assert!(bucket.take(at(500), 2) && !bucket.take(at(999), 2) && bucket.take(at(1_000), 2));
        assert_eq!((bucket.left(at(1_500), 2), bucket.left(at(2_000), 2)), (1, 2));
        assert_eq!(bucket.left(at(1_000_000), 2), 2);
    }

    #[test]
    fn no_rate_and_no_time_overflow() {
        let mut bucket = Bucket::default();
        assert!(!bucket.take(Instant::MAX, 0));
        assert!(bucket.take(Instant::MAX, 1));
        for rate in [1, 3, 1_000_000_000, u32::MAX] {
            let (mut bucket, now) = (Bucket::default(), Instant::from_millis(5));
            let granted = (0..1_000).filter(|_| bucket.take(now, rate)).count();
            assert_eq!(granted, 1_000.min(rate as usize), "{rate}");
        }
    }
}
