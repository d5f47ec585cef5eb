//! Finding the numbers again after 2^32 and more lost packets in a row (RFC 4303 Appendix A3).
//!
//! Then every packet is tried with a wrong high half and fails its integrity check, as a forgery does. After many
//! failures in a row, and at most so often, one packet is tried with the next high halves. What that costs is bounded,
//! so that floods of forgeries buy little; while good packets come, nothing is tried at all.

use core::time::Duration;
use ipsec_types::Instant;

/// When, and how far, an inbound SA with 64-bit numbers looks for its numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Resync {
    /// Integrity checks that must have failed in a row; default 1,024.
    pub failures: u32,
    /// High halves that are tried; default 8. Each costs a whole open, of one packet.
    pub tries: u32,
    /// The shortest time between two attempts, and from a good packet to an attempt; default 1 s.
    pub interval: Duration,
}

impl Default for Resync {
    fn default() -> Self {
        Self { failures: 1_024, tries: 8, interval: Duration::from_secs(1) }
    }
}

/// What one SA remembers for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Failures {
    in_a_row: u32,
    /// When the last good packet came or the last attempt was made.
    since: Option<Instant>,
}

impl Failures {
    pub(crate) const fn note_failure(&mut self) {
        self.in_a_row = self.in_a_row.saturating_add(1);
    }

    /// A good packet, or an attempt: counting begins anew.
    pub(crate) const fn begin_anew(&mut self, now: Instant) {
        *self = Self { in_a_row: 0, since: Some(now) };
    }

    pub(crate) fn want_attempt(&self, now: Instant, config: &Resync) -> bool {
        let quiet = |since: Instant| now.saturating_since(since) >= config.interval;
        self.in_a_row >= config.failures.max(1) && self.since.is_none_or(quiet)
    }
}
