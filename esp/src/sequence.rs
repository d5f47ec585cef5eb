//! The numbers of the packets that one SA sends (RFC 4303 §3.3.3).

use ipsec_types::SequenceNumbers;

/// Counts from 1 and ends; no number is given twice.
///
/// For numbers that may roll over ([`SequenceNumbers::Unspecified32`]) the count goes on to 64 bits, of which
/// the packet shows the low half: what IVs are made of never repeats.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct SequenceCounter {
    last: u64,
    limit: u64,
}

impl SequenceCounter {
    pub(crate) const fn new(kind: SequenceNumbers) -> Self {
        let limit = match kind {
            SequenceNumbers::Sequential32 => u32::MAX as u64,
            _ => u64::MAX,
        };
        Self { last: 0, limit }
    }

    /// The next number, or `None` when all are used up.
    pub(crate) fn take(&mut self) -> Option<u64> {
        let next = self.last.checked_add(1).filter(|next| *next <= self.limit)?;
        self.last = next;
        Some(next)
    }

    /// Leaps ahead, so that the next number is `last + 1`. `false`, and no change, for a leap back or past the
    /// end.
    pub(crate) const fn leap_to(&mut self, last: u64) -> bool {
        let forward = last >= self.last && last <= self.limit;
        if forward {
            self.last = last;
        }
        forward
    }

    /// The number given last, 0 before the first.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// The last number that can be given.
    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last number is given once and nothing follows.
    #[test]
    fn numbers_start_at_1_and_end() {
        for (kind, limit) in [
            (SequenceNumbers::Sequential32, u64::from(u32::MAX)),
            (SequenceNumbers::Sequential64, u64::MAX),
            (SequenceNumbers::Unspecified32, u64::MAX),
        ] {
            let mut counter = SequenceCounter::new(kind);
            assert_eq!(counter.take(), Some(1));
            assert!(!counter.leap_to(0));
            assert!(counter.leap_to(limit - 1));
            assert_eq!((counter.take(), counter.take(), counter.take()), (Some(limit), None, None));
            assert_eq!(counter.last(), limit);
        }
        assert!(!SequenceCounter::new(SequenceNumbers::Sequential32).leap_to(1 << 32));
    }
}
