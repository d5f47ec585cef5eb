//! Anti-replay (RFC 4303 §3.4.3): a window over the newest sequence numbers, and the high half of 64-bit
//! numbers inferred from it (Appendix A2).
//!
//! A packet meets the window twice. [`ReplayWindow::check`] comes before the cipher and changes nothing;
//! [`ReplayWindow::accept`] comes after a good integrity check, looks again and marks the number. What a
//! packet's number is believed to be lives in its [`Candidate`], never in the window, so a forged packet
//! moves nothing however many packets are under way.
//!
//! The bits lie in a ring of 64-bit blocks after the idea of RFC 6479: nothing is ever shifted. The ring is as wide as a
//! power of two that is not less than the window, and what an advancing top overtakes is cleared bit by bit
//! through block masks, so the width is exact to one packet and no spare block is needed.

use alloc::boxed::Box;
use alloc::vec;
use ipsec_crypto::state::{StateError, StateReader, StateWriter};
use ipsec_types::SequenceNumbers;
use thiserror::Error;

const BLOCK_BITS: u64 = 64;

/// How far ahead of the newest number an inferred one may lie and still be more likely new than old.
const HALF_RANGE: u64 = 1 << 31;

/// A number of packets that the anti-replay window covers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WindowSize(u32);

impl WindowSize {
    /// The smallest window, which RFC 4303 §3.4.3 demands of everybody.
    pub const MIN: u32 = 32;
    /// The largest window.
    pub const MAX: u32 = 65_536;
    /// 1,024 packets: room for several queues and cores between sender and receiver.
    pub const DEFAULT: Self = Self(1_024);

    /// A window of this many packets, from [`WindowSize::MIN`] to [`WindowSize::MAX`].
    #[must_use]
    pub const fn new(packets: u32) -> Option<Self> {
        if packets < Self::MIN || packets > Self::MAX { None } else { Some(Self(packets)) }
    }

    /// The packets that it covers.
    #[must_use]
    pub const fn packets(self) -> u32 {
        self.0
    }
}

impl Default for WindowSize {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Whether repeated packets are dropped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AntiReplay {
    /// Each number passes once, and only within this many of the newest. Memory: one bit a packet, rounded
    /// up to a power of two; at least 128 octets, and at most 8 KiB an SA.
    Window(WindowSize),
    /// Nothing is dropped for its number. 64-bit numbers are still inferred, within 2^31 of the newest.
    Off,
}

impl Default for AntiReplay {
    /// [`WindowSize::DEFAULT`].
    fn default() -> Self {
        Self::Window(WindowSize::DEFAULT)
    }
}

/// Why a sequence number was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// Number 0, which no sender may use (RFC 4303 §3.3.3).
    #[error("sequence number 0 is never sent")]
    Zero,
    /// The number is older than the window covers.
    #[error("the sequence number is below the window")]
    BelowWindow,
    /// The number was received before.
    #[error("the sequence number was received before")]
    Replayed,
    /// The low half stands for a number below zero or above 2^64 - 1.
    #[error("the low half stands for no 64-bit sequence number")]
    NoSuchNumber,
}

/// What a packet's sequence number is taken for until its integrity check says more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    number: u64,
    late: bool,
}

impl Candidate {
    /// The whole number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.number
    }

    /// Whether the packet is more likely one from below the window than one that lies ahead: its number was
    /// inferred more than 2^31 ahead of the newest. If its integrity check fails, this and not a forgery is the
    /// likely cause.
    #[must_use]
    pub const fn is_probably_late(self) -> bool {
        self.late
    }
}

/// One bit for each number of a ring; none where the window is off. The number of blocks is a power of two, and not less
/// than the window needs.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Ring {
    /// Beside the SA: a packet needs no other place in memory.
    Here([u64; BLOCKS_HERE]),
    /// For wider windows.
    There(Box<[u64]>),
}

/// Enough for [`WindowSize::DEFAULT`].
const BLOCKS_HERE: usize = 16;

impl Ring {
    fn new(blocks: usize) -> Self {
        match blocks {
            1..=BLOCKS_HERE => Self::Here([0; BLOCKS_HERE]),
            _ => Self::There(vec![0; blocks].into_boxed_slice()),
        }
    }

    #[inline(always)]
    const fn blocks(&self) -> &[u64] {
        match self {
            Self::Here(blocks) => blocks,
            Self::There(blocks) => blocks,
        }
    }

    #[inline(always)]
    const fn blocks_mut(&mut self) -> &mut [u64] {
        match self {
            Self::Here(blocks) => blocks,
            Self::There(blocks) => blocks,
        }
    }
}

/// The numbers that one inbound SA has received.
#[derive(Clone, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct ReplayWindow {
    ring: Ring,
    /// The highest authenticated number.
    top: u64,
    /// Packets covered; 0 is "off".
    width: u64,
    kind: SequenceNumbers,
}

impl ReplayWindow {
    /// A window before the first packet. Numbers of kind [`SequenceNumbers::Unspecified32`] say nothing about
    /// order or repetition, so for them there is no window whatever is asked.
    #[must_use]
    pub fn new(kind: SequenceNumbers, anti_replay: AntiReplay) -> Self {
        let (width, blocks) = match (kind, anti_replay) {
            (SequenceNumbers::Sequential32 | SequenceNumbers::Sequential64, AntiReplay::Window(size)) => {
                let bits = size.packets().next_power_of_two().max(BLOCK_BITS as u32);
                (u64::from(size.packets()), (bits / BLOCK_BITS as u32) as usize)
            }
            _ => (0, 0),
        };
        Self { ring: Ring::new(blocks), top: 0, width, kind }
    }

    /// The highest authenticated number, 0 before the first.
    #[must_use]
    pub const fn top(&self) -> u64 {
        self.top
    }

    /// Whether repeats are dropped.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.width != 0
    }

    /// Goes on from `top` as the newest number, the only one seen: what remains known after a jump
    /// (RFC 4303 Appendix A3).
    pub fn resume_at(&mut self, top: u64) {
        self.ring.blocks_mut().fill(0);
        self.top = top;
        self.mark(top);
    }

    /// Width, highest number, and which of the numbers that are covered were received, the highest first, as fields of
    /// a state. With `closed` none of them is received any more.
    pub(crate) fn save(&self, closed: bool, w: &mut StateWriter) {
        w.put_u32(self.width as u32);
        w.put_u64(self.top);
        let received =
            |back: u64| self.top.checked_sub(back).is_some_and(|number| closed || self.is_marked(number));
        for first in (0..self.width).step_by(8) {
            let covered = (0..8).filter(|bit| first + bit < self.width && received(first + bit));
            w.put_u8(covered.fold(0, |octet, bit| octet | 1 << bit));
        }
    }

    /// Goes on from another window, which need not be as wide. What that one did not cover was received or is too old:
    /// nobody knows, so it is not received again.
    pub(crate) fn resume(&mut self, r: &mut StateReader<'_>) -> Result<(), StateError> {
        let at = r.at();
        let width = u64::from(r.u32()?);
        if width > u64::from(WindowSize::MAX) {
            return Err(StateError::Value { at, what: "width of a window" });
        }
        self.ring.blocks_mut().fill(0);
        self.top = r.u64()?;
        for first in (0..width).step_by(8) {
            let octet = r.u8()?;
            (0..8).filter(|bit| octet & 1 << bit != 0).for_each(|bit| self.mark_back(first + bit));
        }
        (width..self.width).for_each(|back| self.mark_back(back));
        Ok(())
    }

    /// What number a packet has whose header says `low`, if it may be received. Changes nothing.
    ///
    /// # Errors
    /// Each [`ReplayError`]. With the window off there is none for 32-bit numbers.
    #[inline]
    pub fn check(&self, low: u32) -> Result<Candidate, ReplayError> {
        if !self.is_on() {
            return Ok(self.nearest(low));
        }
        let candidate = match self.kind {
            SequenceNumbers::Sequential64 => self.infer(low)?,
            _ => Candidate { number: u64::from(low), late: false },
        };
        self.look(candidate.number)?;
        Ok(candidate)
    }

    /// Marks the number of a packet whose integrity check was good. `true` says that it is the newest so far.
    ///
    /// # Errors
    /// As [`ReplayWindow::check`], where another packet with this number, or many newer ones, came in between.
    #[inline]
    pub fn accept(&mut self, candidate: Candidate) -> Result<bool, ReplayError> {
        let number = candidate.number;
        let newest = number > self.top;
        if self.is_on() {
            self.look(number)?;
            if newest {
                self.forget_between(self.top, number);
            }
            self.mark(number);
        }
        if newest {
            self.top = number;
        }
        Ok(newest)
    }

    /// The only number with this low half in the 2^32 that begin at the window's bottom: RFC 4303 Appendix
    /// A2.2 and A2.3 in one formula.
    fn infer(&self, low: u32) -> Result<Candidate, ReplayError> {
        let below_top = self.width - 1;
        // The bottom may lie below zero; modulo 2^32 that makes no difference.
        let bottom = self.top.wrapping_sub(below_top);
        let offset = u64::from(low.wrapping_sub(bottom as u32));
        let number = if self.top >= below_top {
            bottom.checked_add(offset)
        } else {
            offset.checked_sub(below_top - self.top)
        }
        .ok_or(ReplayError::NoSuchNumber)?;
        let late = number > 1 << 32 && number.saturating_sub(self.top) > HALF_RANGE;
        Ok(Candidate { number, late })
    }

    /// Without a window: the number itself, or where only its low half is known the nearest number to the
    /// newest that exists. 32-bit numbers that may roll over are followed too, to tell which is newest.
    fn nearest(&self, low: u32) -> Candidate {
        let number = match self.kind {
            SequenceNumbers::Sequential32 => u64::from(low),
            _ => {
                let ahead = low.wrapping_sub(self.top as u32);
                if u64::from(ahead) <= HALF_RANGE {
                    let behind = (1 << 32) - u64::from(ahead);
                    self.top.checked_add(u64::from(ahead)).unwrap_or(self.top.wrapping_sub(behind))
                } else {
                    let behind = u64::from(ahead.wrapping_neg());
                    self.top.checked_sub(behind).unwrap_or(self.top.wrapping_add(u64::from(ahead)))
                }
            }
        };
        Candidate { number, late: false }
    }

    /// Reads what marking the next number will read and write.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        self.ring.blocks().get(self.block_of(self.top)).map_or(0, |block| block ^ self.width)
    }

    fn look(&self, number: u64) -> Result<(), ReplayError> {
        if number == 0 {
            return Err(ReplayError::Zero);
        }
        if number > self.top {
            return Ok(());
        }
        if self.top - number >= self.width {
            return Err(ReplayError::BelowWindow);
        }
        if self.is_marked(number) { Err(ReplayError::Replayed) } else { Ok(()) }
    }

    fn block_of(&self, number: u64) -> usize {
        (number / BLOCK_BITS) as usize & self.ring.blocks().len().wrapping_sub(1)
    }

    fn is_marked(&self, number: u64) -> bool {
        self.ring
            .blocks()
            .get(self.block_of(number))
            .is_some_and(|block| block & (1 << (number % BLOCK_BITS)) != 0)
    }

    fn mark(&mut self, number: u64) {
        let at = self.block_of(number);
        if let Some(block) = self.ring.blocks_mut().get_mut(at) {
            *block |= 1 << (number % BLOCK_BITS);
        }
    }

    /// Marks the number so far below the highest, where there is one and it is covered.
    fn mark_back(&mut self, back: u64) {
        if let Some(number) = self.top.checked_sub(back).filter(|_| back < self.width) {
            self.mark(number);
        }
    }

    /// Clears the bits of the numbers after `old_top` up to `new_top`, whose places held older numbers.
    fn forget_between(&mut self, old_top: u64, new_top: u64) {
        let bits = self.ring.blocks().len() as u64 * BLOCK_BITS;
        if new_top - old_top >= bits {
            self.ring.blocks_mut().fill(0);
            return;
        }
        let mut next = old_top + 1;
        while next <= new_top {
            let last_of_block = next | (BLOCK_BITS - 1);
            let last = last_of_block.min(new_top);
            let count = last - next + 1;
            let mask = (u64::MAX >> (BLOCK_BITS - count)) << (next % BLOCK_BITS);
            let at = self.block_of(next);
            if let Some(block) = self.ring.blocks_mut().get_mut(at) {
                *block &= !mask;
            }
            match last.checked_add(1) {
                Some(after) => next = after,
                None => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(kind: SequenceNumbers, packets: u32) -> ReplayWindow {
        ReplayWindow::new(kind, AntiReplay::Window(WindowSize::new(packets).unwrap()))
    }

    fn receive(window: &mut ReplayWindow, low: u32) -> Result<u64, ReplayError> {
        let candidate = window.check(low)?;
        window.accept(candidate)?;
        Ok(candidate.number())
    }

    #[test]
    fn sizes_are_bounded_and_off_is_not_a_size() {
        assert!(WindowSize::new(0).is_none() && WindowSize::new(31).is_none());
        assert!(WindowSize::new(65_537).is_none());
        assert_eq!(WindowSize::new(65_536).unwrap().packets(), 65_536);
        assert_eq!(AntiReplay::default(), AntiReplay::Window(WindowSize(1_024)));
        assert_eq!(window(SequenceNumbers::Sequential32, 1_024).ring.blocks().len() * 8, 128);
        assert_eq!(window(SequenceNumbers::Sequential32, 32).ring.blocks().len() * 8, 128);
    }

    /// The second look: two copies of one packet are in the cipher at once.
    #[test]
    fn duplicate_in_flight_passes_once() {
        let mut w = window(SequenceNumbers::Sequential32, 64);
        let first = w.check(7).unwrap();
        let second = w.check(7).unwrap();
        assert_eq!(w.accept(first), Ok(true));
        assert_eq!(w.accept(second), Err(ReplayError::Replayed));
        let old = w.check(8).unwrap();
        assert_eq!(receive(&mut w, 8 + 64), Ok(72));
        assert_eq!(w.accept(old), Err(ReplayError::BelowWindow));
    }

    /// The upper end of RFC 4303 Appendix A2.3: Th = 2^32 - 1 and Seql below the window would be 2^64.
    #[test]
    fn numbers_end_at_two_to_the_64() {
        let mut w = window(SequenceNumbers::Sequential64, 64);
        w.resume_at(u64::MAX - 2);
        assert_eq!(receive(&mut w, u32::MAX), Ok(u64::MAX));
        assert_eq!(receive(&mut w, u32::MAX), Err(ReplayError::Replayed));
        assert_eq!(w.check(5), Err(ReplayError::NoSuchNumber));
        assert_eq!(receive(&mut w, u32::MAX - 1), Ok(u64::MAX - 1));
        assert_eq!(receive(&mut w, u32::MAX - 63), Ok(u64::MAX - 63));
        assert_eq!(w.check(u32::MAX - 64), Err(ReplayError::NoSuchNumber));
    }

    /// T at the last 32-bit number; only older ones may still come.
    #[test]
    fn window_of_a_finished_32_bit_sender_stays_usable() {
        let mut w = window(SequenceNumbers::Sequential32, 64);
        assert_eq!(receive(&mut w, u32::MAX), Ok(u64::from(u32::MAX)));
        assert_eq!(receive(&mut w, u32::MAX - 63), Ok(u64::from(u32::MAX - 63)));
        assert_eq!(w.check(u32::MAX - 64), Err(ReplayError::BelowWindow));
        assert_eq!(w.check(1), Err(ReplayError::BelowWindow));
        assert_eq!(w.check(0), Err(ReplayError::Zero));
    }

    /// Edge case 8: the largest jump that 64-bit numbers allow is 2^32 - W.
    #[test]
    fn jump_of_two_to_the_32_minus_width_is_followed() {
        let mut w = window(SequenceNumbers::Sequential64, 64);
        w.resume_at(1_000);
        let far = 1_000 + (1u64 << 32) - 64;
        assert_eq!(w.check(far as u32).unwrap().number(), far);
        assert_ne!(w.check((far + 1) as u32).map(Candidate::number), Ok(far + 1));
    }

    /// Edge case 10: the first packet is lost, the second has low half 2; a low half of 2^32 - 1 at the start
    /// would be number -1.
    #[test]
    fn start_of_64_bit_numbers() {
        let mut w = window(SequenceNumbers::Sequential64, 1_024);
        assert_eq!(w.check(u32::MAX), Err(ReplayError::NoSuchNumber));
        assert_eq!(receive(&mut w, 2), Ok(2));
        assert_eq!(receive(&mut w, 1), Ok(1));
        assert_eq!(w.check(0), Err(ReplayError::Zero));
    }

    #[test]
    fn without_a_window_nothing_is_dropped_for_its_number() {
        for kind in [SequenceNumbers::Sequential32, SequenceNumbers::Unspecified32] {
            let mut w = ReplayWindow::new(kind, AntiReplay::Off);
            for low in [5, 5, 0, u32::MAX, 1, 5] {
                assert!(receive(&mut w, low).is_ok(), "{kind:?} {low}");
            }
        }
        let asked = ReplayWindow::new(SequenceNumbers::Unspecified32, AntiReplay::default());
        assert!(!asked.is_on());
    }

    /// With the window off the high half is still followed, over 2^32 and with one swap.
    #[test]
    fn high_half_is_inferred_without_a_window() {
        let mut w = ReplayWindow::new(SequenceNumbers::Sequential64, AntiReplay::Off);
        w.resume_at((1 << 32) - 3);
        for number in [(1u64 << 32) - 2, 1 << 32, (1 << 32) - 1, (1 << 32) + 1, (1 << 32) + 2] {
            assert_eq!(receive(&mut w, number as u32), Ok(number));
        }
        assert_eq!(w.top(), (1 << 32) + 2);
        // At both ends of the range the nearest number that exists is taken.
        let mut start = ReplayWindow::new(SequenceNumbers::Sequential64, AntiReplay::Off);
        assert_eq!(start.check(0xF000_0000).unwrap().number(), 0xF000_0000);
        start.resume_at(u64::MAX - 1);
        assert_eq!(start.check(5).unwrap().number(), 0xFFFF_FFFF_0000_0005);
    }

    /// Candidates live per packet; a forged one (never accepted) moves nothing.
    #[test]
    fn forged_candidate_in_a_batch_moves_nothing() {
        let mut w = window(SequenceNumbers::Sequential64, 64);
        w.resume_at((1 << 32) - 3);
        let batch: alloc::vec::Vec<_> = [0, u32::MAX, 5].map(|low| w.check(low).unwrap()).into();
        assert_eq!(
            batch.iter().map(|c| c.number()).collect::<alloc::vec::Vec<_>>(),
            [1 << 32, (1 << 32) - 1, (1 << 32) + 5]
        );
        w.accept(batch[0]).unwrap();
        w.accept(batch[1]).unwrap();
        assert_eq!(w.top(), 1 << 32);
        assert_eq!(receive(&mut w, 1), Ok((1 << 32) + 1));
    }

    /// With 64-bit numbers a packet from below the window is taken for one far ahead; the candidate
    /// says so.
    #[test]
    fn late_packets_are_told_from_new_ones() {
        let mut w = window(SequenceNumbers::Sequential64, 64);
        w.resume_at((3 << 32) + 500);
        let late = w.check(500 - 64).unwrap();
        assert_eq!((late.number(), late.is_probably_late()), ((4 << 32) + 436, true));
        assert!(!w.check(500 - 63).unwrap().is_probably_late());
        assert!(!w.check(100_000).unwrap().is_probably_late());
    }
}
