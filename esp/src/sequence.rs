//! The numbers of the packets that one SA sends (RFC 4303 §3.3.3).

use ipsec_types::SequenceNumbers;

/// Counts from 1 and ends; no number is given twice.
///
/// For numbers that may roll over ([`SequenceNumbers::Unspecified32`]) the count goes on to 64 bits, of which
/// the packet shows the low half: what IVs are made of never repeats.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct SequenceCounter {
    last: u64,
    /// The last number that may be given now.
    limit: u64,
    /// The last number that there is.
    end: u64,
}

impl SequenceCounter {
    pub(crate) const fn new(kind: SequenceNumbers) -> Self {
        let end = match kind {
            SequenceNumbers::Sequential32 => u32::MAX as u64,
            _ => u64::MAX,
        };
        Self { last: 0, limit: end, end }
    }

    /// The next number, or `None` when all are used up. It is not given before [`SequenceCounter::give`].
    pub(crate) fn peek(&self) -> Option<u64> {
        self.last.checked_add(1).filter(|next| *next <= self.limit)
    }

    /// Gives the number that [`SequenceCounter::peek`] told.
    pub(crate) const fn give(&mut self, number: u64) {
        self.last = number;
    }

    /// Gives no number above this one until another is named, which may be lower or higher.
    pub(crate) fn hold(&mut self, ceiling: u64) {
        self.limit = ceiling.min(self.end);
    }

    /// The last number that may be given now, where that is not the last that there is.
    pub(crate) fn ceiling(&self) -> Option<u64> {
        Some(self.limit).filter(|limit| *limit < self.end)
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

    /// The last number that there is.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Under a ceiling no number is given that is above it, and none is leapt to.
    #[test]
    fn numbers_end_at_a_ceiling() {
        let mut counter = SequenceCounter::new(SequenceNumbers::Sequential32);
        counter.hold(2);
        assert_eq!([(); 3].map(|()| take(&mut counter)), [Some(1), Some(2), None]);
        assert!(!counter.leap_to(3) && counter.ceiling() == Some(2));
        counter.hold(3);
        assert_eq!([(); 2].map(|()| take(&mut counter)), [Some(3), None]);
        counter.hold(u64::MAX);
        assert_eq!((counter.ceiling(), take(&mut counter)), (None, Some(4)));
    }

    fn take(counter: &mut SequenceCounter) -> Option<u64> {
        counter.peek().inspect(|number| counter.give(*number))
    }

    /// The last number is given once and nothing follows.
    #[test]
    fn numbers_start_at_1_and_end() {
        for (kind, limit) in [
            (SequenceNumbers::Sequential32, u64::from(u32::MAX)),
            (SequenceNumbers::Sequential64, u64::MAX),
            (SequenceNumbers::Unspecified32, u64::MAX),
        ] {
            let mut counter = SequenceCounter::new(kind);
            assert_eq!(take(&mut counter), Some(1));
            assert!(!counter.leap_to(0));
            assert!(counter.leap_to(limit - 1));
            let given = [(); 3].map(|()| take(&mut counter));
            assert_eq!(given, [Some(limit), None, None]);
            assert_eq!(counter.last(), limit);
        }
        assert!(!SequenceCounter::new(SequenceNumbers::Sequential32).leap_to(1 << 32));
    }
}
