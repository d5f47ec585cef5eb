//! The lifetimes of one SA (RFC 4301 §4.4.2.1): seconds, octets and packets, the cipher's own limits, and the
//! end of the sequence numbers.
//!
//! What is reached next is kept beside the limits, so that a packet with nothing to tell costs a comparison for each kind
//! of limit. A soft limit is told once and a hard one once: the first that is reached names the reason.

use crate::saved;
use alloc::boxed::Box;
use core::time::Duration;
use ipsec_crypto::cipher::UsageLimits;
use ipsec_crypto::state::{StateError, StateReader, StateWriter};
use ipsec_types::Instant;
use ipsec_types::sa::{ExpiryReason, Lifetimes};
use thiserror::Error;

/// A limit of an SA was reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LifetimeEvent {
    /// Time to replace the SA.
    Soft(ExpiryReason),
    /// The SA carries nothing more.
    Hard(ExpiryReason),
}

/// The SA has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the SA has ended: {0:?}")]
pub struct Expired(pub ExpiryReason);

/// A part of a whole, in percent: when to ask for a replacement before something runs out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Percent(u8);

impl Percent {
    /// Three quarters.
    pub const THREE_QUARTERS: Self = Self(75);

    /// A percentage from 1 to 100.
    #[must_use]
    pub const fn new(percent: u8) -> Option<Self> {
        if percent == 0 || percent > 100 { None } else { Some(Self(percent)) }
    }

    /// The part of `whole`, rounded down.
    #[must_use]
    pub const fn of(self, whole: u64) -> u64 {
        (whole as u128 * self.0 as u128 / 100) as u64
    }
}

impl Default for Percent {
    fn default() -> Self {
        Self::THREE_QUARTERS
    }
}

/// A threshold and what it means to reach it. `u64::MAX` is never.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Threshold {
    at: u64,
    reason: ExpiryReason,
}

impl Threshold {
    const fn new(limit: Option<u64>, reason: ExpiryReason) -> Self {
        Self { at: if let Some(at) = limit { at } else { u64::MAX }, reason }
    }

    const fn or_earlier(self, at: u64, reason: ExpiryReason) -> Self {
        if at < self.at { Self { at, reason } } else { self }
    }
}

/// One row of limits, soft or hard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Limits {
    packets: Threshold,
    octets: Threshold,
    /// Sequence numbers given out.
    number: u64,
    /// Packets whose integrity check failed.
    failed_opens: u64,
    deadline: Instant,
}

impl Limits {
    /// The first limit that these counts have reached.
    fn reached(&self, now: Instant, packets: u64, octets: u64) -> Option<ExpiryReason> {
        if now >= self.deadline && self.deadline != Instant::MAX {
            Some(ExpiryReason::Time)
        } else if packets >= self.packets.at {
            Some(self.packets.reason)
        } else if octets >= self.octets.at {
            Some(self.octets.reason)
        } else {
            None
        }
    }
}

/// While everything counted stays below these, soft and hard limits have nothing to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Next {
    packets: u64,
    octets: u64,
    number: u64,
    deadline: Instant,
}

impl Next {
    /// Whatever happens is told.
    const NOW: Self = Self { packets: 0, octets: 0, number: 0, deadline: Instant::ZERO };

    const fn of(limits: &Limits) -> Self {
        let Limits { packets, octets, number, deadline, .. } = *limits;
        Self { packets: packets.at, octets: octets.at, number, deadline }
    }

    fn or_earlier(self, other: Self) -> Self {
        Self {
            packets: self.packets.min(other.packets),
            octets: self.octets.min(other.octets),
            number: self.number.min(other.number),
            deadline: self.deadline.min(other.deadline),
        }
    }
}

/// What counts against the limits in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bounds {
    /// The last sequence number that there is.
    Outbound { last_number: u64 },
    /// Failed integrity checks.
    Inbound,
}

/// What one SA has carried, and how much it may: first what every packet asks, in one line of the cache.
#[derive(Clone, PartialEq, Eq, Debug)]
#[repr(C)]
pub(crate) struct Lifetime {
    packets: u64,
    octets: u64,
    next: Next,
    soft_told: bool,
    expired: Option<ExpiryReason>,
    pending: [Option<ExpiryReason>; 2],
    limits: Box<Both>,
}

/// Both rows of limits, which few packets ask.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Both {
    soft: Limits,
    hard: Limits,
}

impl Lifetime {
    /// The life of an SA that begins at `installed`. `early` says at which part of the cipher's limits and of
    /// the sequence numbers the soft event comes.
    pub(crate) fn new(
        lifetimes: &Lifetimes,
        cipher: UsageLimits,
        bounds: Bounds,
        early: Percent,
        installed: Instant,
    ) -> Self {
        let deadline =
            |seconds: Option<u64>| seconds.map_or(Instant::MAX, |s| installed + Duration::from_secs(s));
        let (last_number, failed_opens) = match bounds {
            Bounds::Outbound { last_number } => (last_number, u64::MAX),
            Bounds::Inbound => (u64::MAX, cipher.failed_opens),
        };
        let part = |whole: u64| if whole == u64::MAX { whole } else { early.of(whole) };
        let usage = ExpiryReason::CipherUsage;
        let soft = Limits {
            packets: Threshold::new(lifetimes.packets.soft, ExpiryReason::Packets)
                .or_earlier(part(cipher.packets), usage),
            octets: Threshold::new(lifetimes.octets.soft, ExpiryReason::Octets)
                .or_earlier(part(cipher.octets), usage),
            number: early.of(last_number),
            failed_opens: part(failed_opens),
            deadline: deadline(lifetimes.seconds.soft),
        };
        let hard = Limits {
            packets: Threshold::new(lifetimes.packets.hard, ExpiryReason::Packets)
                .or_earlier(cipher.packets, usage),
            octets: Threshold::new(lifetimes.octets.hard, ExpiryReason::Octets)
                .or_earlier(cipher.octets, usage),
            number: last_number,
            failed_opens,
            deadline: deadline(lifetimes.seconds.hard),
        };
        Self {
            packets: 0,
            octets: 0,
            next: Next::of(&soft).or_earlier(Next::of(&hard)),
            soft_told: false,
            expired: None,
            pending: [None; 2],
            limits: Box::new(Both { soft, hard }),
        }
    }

    /// Whether the SA lives at this time. Reaching a deadline raises its event.
    #[inline(always)]
    pub(crate) fn check(&mut self, now: Instant) -> Result<(), Expired> {
        if now < self.next.deadline { Ok(()) } else { self.check_limits(now) }
    }

    #[cold]
    fn check_limits(&mut self, now: Instant) -> Result<(), Expired> {
        if let Some(reason) = self.expired {
            return Err(Expired(reason));
        }
        if now >= self.limits.hard.deadline && self.limits.hard.deadline != Instant::MAX {
            return Err(self.expire(ExpiryReason::Time));
        }
        if !self.soft_told && now >= self.limits.soft.deadline && self.limits.soft.deadline != Instant::MAX {
            self.warn(ExpiryReason::Time);
        }
        Ok(())
    }

    /// Counts one packet of `octets` octets of text, which is refused where it would pass a hard limit. A limit
    /// that it reaches exactly ends the SA after this packet.
    #[inline(always)]
    pub(crate) fn charge(&mut self, now: Instant, octets: u64) -> Result<(), Expired> {
        let packets = self.packets.saturating_add(1);
        let octets = self.octets.saturating_add(octets);
        if packets < self.next.packets && octets < self.next.octets && now < self.next.deadline {
            (self.packets, self.octets) = (packets, octets);
            return Ok(());
        }
        self.charge_at_limit(now, packets, octets)
    }

    #[cold]
    fn charge_at_limit(&mut self, now: Instant, packets: u64, octets: u64) -> Result<(), Expired> {
        if packets > self.limits.hard.packets.at {
            return Err(self.expire(self.limits.hard.packets.reason));
        }
        if octets > self.limits.hard.octets.at {
            return Err(self.expire(self.limits.hard.octets.reason));
        }
        (self.packets, self.octets) = (packets, octets);
        if !self.soft_told
            && let Some(reason) = self.limits.soft.reached(now, packets, octets)
        {
            self.warn(reason);
        }
        if let Some(reason) = self.limits.hard.reached(now, packets, octets) {
            self.expire(reason);
        }
        Ok(())
    }

    /// Notes the sequence number given last.
    #[inline(always)]
    pub(crate) fn note_number(&mut self, number: u64) {
        if number >= self.next.number {
            self.note_number_at_limit(number);
        }
    }

    #[cold]
    fn note_number_at_limit(&mut self, number: u64) {
        if number >= self.limits.soft.number && !self.soft_told {
            self.warn(ExpiryReason::SequenceNumbers);
        }
        if number >= self.limits.hard.number {
            self.expire(ExpiryReason::SequenceNumbers);
        }
    }

    /// Notes how many integrity checks have failed in all.
    pub(crate) fn note_failed_opens(&mut self, failed: u64) {
        if failed >= self.limits.soft.failed_opens && !self.soft_told {
            self.warn(ExpiryReason::CipherUsage);
        }
        if failed >= self.limits.hard.failed_opens {
            self.expire(ExpiryReason::CipherUsage);
        }
    }

    /// Packets counted.
    pub(crate) const fn packets(&self) -> u64 {
        self.packets
    }

    /// The next event to tell: the soft one first.
    #[inline]
    pub(crate) fn poll(&mut self) -> Option<LifetimeEvent> {
        if self.pending == [None; 2] { None } else { self.take_pending() }
    }

    #[cold]
    fn take_pending(&mut self) -> Option<LifetimeEvent> {
        let [soft, hard] = &mut self.pending;
        soft.take().map(LifetimeEvent::Soft).or_else(|| hard.take().map(LifetimeEvent::Hard))
    }

    /// When [`Lifetime::check`] has something to say of itself: the soft deadline and the hard one, as far as
    /// they still stand before us.
    #[inline]
    pub(crate) fn deadlines(&self) -> [Option<Instant>; 2] {
        let alive = self.expired.is_none();
        let stands =
            |deadline: Instant, wanted: bool| Some(deadline).filter(|d| wanted && *d != Instant::MAX);
        [
            stands(self.limits.soft.deadline, alive && !self.soft_told),
            stands(self.limits.hard.deadline, alive),
        ]
    }

    /// The earlier of [`Lifetime::deadlines`].
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines().into_iter().flatten().min()
    }

    /// What it has used up, as fields of a state.
    pub(crate) fn save(&self, now: Instant, w: &mut StateWriter) {
        w.put_u64(self.packets);
        w.put_u64(self.octets);
        w.put_bool(self.soft_told);
        let [soft, hard] = self.pending;
        for reason in [self.expired, soft, hard] {
            w.put_option(reason, saved::put_reason);
        }
        for deadline in [self.limits.soft.deadline, self.limits.hard.deadline] {
            let left = (deadline != Instant::MAX).then(|| deadline.saturating_since(now));
            w.put_option(left, StateWriter::put_duration);
        }
    }

    /// Goes on from what was used up elsewhere, `since` ago.
    pub(crate) fn resume(
        &mut self,
        now: Instant,
        since: Duration,
        r: &mut StateReader<'_>,
    ) -> Result<(), StateError> {
        (self.packets, self.octets, self.soft_told) = (r.u64()?, r.u64()?, r.bool()?);
        let [soft, hard] = &mut self.pending;
        for reason in [&mut self.expired, soft, hard] {
            *reason = r.option(saved::reason)?;
        }
        let Both { soft, hard } = &mut *self.limits;
        for deadline in [&mut soft.deadline, &mut hard.deadline] {
            let left = r.option(StateReader::duration)?;
            *deadline = left.map_or(Instant::MAX, |left| now.saturating_add(left.saturating_sub(since)));
        }
        self.next = match (self.expired, self.soft_told) {
            (Some(_), _) => Next::NOW,
            (None, true) => Next::of(&self.limits.hard),
            (None, false) => Next::of(&self.limits.soft).or_earlier(Next::of(&self.limits.hard)),
        };
        Ok(())
    }

    fn warn(&mut self, reason: ExpiryReason) {
        self.soft_told = true;
        let [soft, _] = &mut self.pending;
        *soft = Some(reason);
        if self.expired.is_none() {
            self.next = Next::of(&self.limits.hard);
        }
    }

    fn expire(&mut self, reason: ExpiryReason) -> Expired {
        if self.expired.is_none() {
            self.expired = Some(reason);
            let [_, hard] = &mut self.pending;
            *hard = Some(reason);
            self.next = Next::NOW;
        }
        Expired(self.expired.unwrap_or(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LifetimeEvent::{Hard, Soft};
    use ipsec_types::sa::Limit;

    const NO_LIMITS: UsageLimits =
        UsageLimits { packets: u64::MAX, octets: u64::MAX, failed_opens: u64::MAX };

    fn lifetime(lifetimes: Lifetimes, cipher: UsageLimits, bounds: Bounds) -> Lifetime {
        Lifetime::new(&lifetimes, cipher, bounds, Percent::THREE_QUARTERS, Instant::ZERO)
    }

    fn limit(soft: u64, hard: u64) -> Limit {
        Limit { soft: Some(soft), hard: Some(hard) }
    }

    #[test]
    fn packets_soft_then_hard_once_each() {
        let lifetimes = Lifetimes { packets: limit(2, 4), ..Lifetimes::default() };
        let mut life = lifetime(lifetimes, NO_LIMITS, Bounds::Inbound);
        let mut events = alloc::vec::Vec::new();
        for _ in 0..4 {
            life.check(Instant::ZERO).unwrap();
            life.charge(Instant::ZERO, 10).unwrap();
            events.push(life.poll());
        }
        assert_eq!(
            events,
            [None, Some(Soft(ExpiryReason::Packets)), None, Some(Hard(ExpiryReason::Packets))]
        );
        assert_eq!(life.check(Instant::ZERO), Err(Expired(ExpiryReason::Packets)));
        assert_eq!(life.charge(Instant::ZERO, 1), Err(Expired(ExpiryReason::Packets)));
        assert_eq!(life.poll(), None);
    }

    #[test]
    fn octets_never_pass_the_hard_limit() {
        let lifetimes = Lifetimes { octets: limit(50, 100), ..Lifetimes::default() };
        let mut life = lifetime(lifetimes, NO_LIMITS, Bounds::Inbound);
        life.charge(Instant::ZERO, 99).unwrap();
        assert_eq!(life.poll(), Some(Soft(ExpiryReason::Octets)));
        assert_eq!(life.charge(Instant::ZERO, 2), Err(Expired(ExpiryReason::Octets)));
        assert_eq!((life.octets, life.packets), (99, 1));
        assert_eq!(life.poll(), Some(Hard(ExpiryReason::Octets)));
        // Once ended it stays so, even for a packet that would have fitted.
        assert_eq!(life.check(Instant::ZERO), Err(Expired(ExpiryReason::Octets)));
    }

    #[test]
    fn time_is_told_at_its_deadlines() {
        let lifetimes = Lifetimes { seconds: limit(10, 20), ..Lifetimes::default() };
        let mut life = lifetime(lifetimes, NO_LIMITS, Bounds::Inbound);
        assert_eq!(life.next_deadline(), Some(Instant::from_millis(10_000)));
        life.check(Instant::from_millis(9_999)).unwrap();
        assert_eq!(life.poll(), None);
        life.check(Instant::from_millis(10_000)).unwrap();
        assert_eq!(life.poll(), Some(Soft(ExpiryReason::Time)));
        assert_eq!(life.next_deadline(), Some(Instant::from_millis(20_000)));
        assert!(life.check(Instant::from_millis(20_000)).is_err());
        assert_eq!(life.poll(), Some(Hard(ExpiryReason::Time)));
        assert_eq!(life.next_deadline(), None);
    }

    #[test]
    fn cipher_limits_count_too() {
        let cipher = UsageLimits { packets: 8, octets: u64::MAX, failed_opens: 4 };
        let mut life = lifetime(Lifetimes::default(), cipher, Bounds::Inbound);
        for _ in 0..6 {
            life.charge(Instant::ZERO, 1).unwrap();
        }
        assert_eq!(life.poll(), Some(Soft(ExpiryReason::CipherUsage)));
        life.note_failed_opens(4);
        assert_eq!(life.poll(), Some(Hard(ExpiryReason::CipherUsage)));
        // Failed opens are the receiver's.
        let mut sender = lifetime(Lifetimes::default(), cipher, Bounds::Outbound { last_number: 100 });
        sender.note_failed_opens(u64::MAX - 1);
        assert_eq!(sender.poll(), None);
    }

    #[test]
    fn sequence_numbers_are_told_early_and_at_their_end() {
        let mut life =
            lifetime(Lifetimes::default(), NO_LIMITS, Bounds::Outbound { last_number: u64::from(u32::MAX) });
        life.note_number(0xBFFF_FFFE);
        assert_eq!(life.poll(), None);
        life.note_number(0xBFFF_FFFF);
        assert_eq!(life.poll(), Some(Soft(ExpiryReason::SequenceNumbers)));
        life.note_number(u64::from(u32::MAX));
        assert_eq!(life.poll(), Some(Hard(ExpiryReason::SequenceNumbers)));
        assert_eq!(Percent::new(0), None);
        assert_eq!(Percent::THREE_QUARTERS.of(u64::MAX), 0xBFFF_FFFF_FFFF_FFFF);
    }
}
