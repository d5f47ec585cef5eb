//! How often and how long a request is repeated (RFC 7296 §2.4): exponentially growing pauses, and an end
//! after minutes.

use core::time::Duration;

/// The pauses between the repeats of a request.
///
/// The n-th pause is `initial * growth^n`, at most `longest`. With the defaults a request is sent nine times
/// over 195 seconds before the peer is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetransmitPolicy {
    /// The pause after the first transmission. Default: 1 s.
    pub initial: Duration,
    /// What a pause grows by, in thousandths. Default: 1,800. Values below 1,000 count as 1,000: pauses never
    /// shrink.
    pub growth_permille: u32,
    /// The longest pause. Default: 60 s.
    pub longest: Duration,
    /// How often a request is repeated before its exchange has failed. Default: 8.
    pub repeats: u32,
}

impl Default for RetransmitPolicy {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            growth_permille: 1_800,
            longest: Duration::from_secs(60),
            repeats: 8,
        }
    }
}

impl RetransmitPolicy {
    /// For what a busy peer refused (§2.25): 5 s, 10 s, 20 s, 40 s, and twice 60 s.
    #[must_use]
    pub fn when_busy() -> Self {
        Self {
            initial: Duration::from_secs(5),
            growth_permille: 2_000,
            longest: Duration::from_secs(60),
            repeats: 6,
        }
    }

    /// The pause after transmission number `transmission`, counted from 0. Never zero, so that a repeat
    /// always lies in the future; all arithmetic saturates at [`RetransmitPolicy::longest`].
    #[must_use]
    pub fn pause(&self, transmission: u32) -> Duration {
        const SHORTEST: Duration = Duration::from_millis(1);
        let longest = self.longest.max(SHORTEST).as_nanos();
        let growth = u128::from(self.growth_permille.max(1_000));
        let mut pause = self.initial.max(SHORTEST).as_nanos().min(longest);
        // A pause that has reached the longest stays there, so the loop ends early whatever the number.
        for _ in 0..transmission {
            let grown = (pause.saturating_mul(growth) / 1_000).min(longest);
            if grown == pause {
                break;
            }
            pause = grown;
        }
        Duration::from_nanos(u64::try_from(pause).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// Exponential back-off that overflows turns a pause into a burst.
    #[test]
    fn pauses_never_shrink_and_never_overflow() {
        for growth_permille in [0, 1_000, 1_800, 10_000, u32::MAX] {
            for longest in [Duration::ZERO, Duration::from_secs(60), Duration::MAX] {
                let policy = RetransmitPolicy { growth_permille, longest, ..RetransmitPolicy::default() };
                let mut last = Duration::ZERO;
                for transmission in 0..200 {
                    let pause = policy.pause(transmission);
                    assert!(pause >= last && !pause.is_zero(), "{growth_permille} {transmission}");
                    last = pause;
                }
                assert_eq!(policy.pause(u32::MAX), policy.pause(u32::MAX - 1));
            }
        }
    }

    #[test]
    fn a_busy_peer_is_asked_for_minutes() {
        let policy = RetransmitPolicy::when_busy();
        let pauses: Vec<u64> = (0..policy.repeats).map(|n| policy.pause(n).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn the_defaults_last_for_what_their_doc_says() {
        let policy = RetransmitPolicy::default();
        let total: Duration = (0..=policy.repeats).map(|n| policy.pause(n)).sum();
        assert_eq!(total.as_secs(), 195);
    }
}
