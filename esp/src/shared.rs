//! SAs that several threads use at once (feature `std`).
//!
//! What changes from packet to packet lies behind a lock that is never held while the cipher works. Sending takes it
//! once, for a number and all that is counted with it. Receiving takes it twice: it looks at the window before the cipher,
//! and marks it after, looking again, so that of two copies in the cipher at once one passes. Senders and receivers of a
//! pair have nothing in common.
//!
//! ```
//! # use ipsec_esp::{OutboundSa, PacketBuf, SealError, Sealed};
//! # use ipsec_types::Instant;
//! /// Seals packets by two threads on one SA.
//! fn both(sa: OutboundSa, now: Instant, mut one: PacketBuf<'_>, mut other: PacketBuf<'_>) -> OutboundSa {
//!     let shared = sa.into_shared();
//!     std::thread::scope(|threads| {
//!         threads.spawn(|| shared.seal(now, &mut one));
//!         threads.spawn(|| shared.seal(now, &mut other));
//!     });
//!     shared.into_exclusive()
//! }
//! ```

use crate::buffer::PacketBuf;
use crate::ecn::Ecn;
use crate::error::{OpenError, SealError};
use crate::inbound::{InboundSa, Opened, ReceiveTally, esp_in};
use crate::ip::IpHeader;
use crate::lifetime::LifetimeEvent;
use crate::opener::Opener;
use crate::outbound::{OutboundSa, Sealed, SendTally};
use crate::restore::Front;
use crate::sealer::Sealer;
use crate::statistics::Statistics;
use alloc::sync::Arc;
use core::fmt;
use ipsec_types::sa::ChildSa;
use ipsec_types::{EspSpi, Instant, Path};
use std::sync::{Mutex, PoisonError};

/// What lets one thread after the other at what they share. [`StdLock`] is what everybody wants; tests that go through
/// all orders of threads bring their own.
pub trait Lock: 'static {
    /// A lock with what it guards.
    type Of<T>;

    /// Puts something under a lock.
    fn guard<T>(value: T) -> Self::Of<T>;

    /// Does something with what is guarded, alone. It never panics, and leaves the value whole.
    fn with<T, R>(guarded: &Self::Of<T>, work: impl FnOnce(&mut T) -> R) -> R;

    /// What was guarded.
    fn into_inner<T>(guarded: Self::Of<T>) -> T;
}

/// The standard library's mutex.
#[derive(Clone, Copy, Debug)]
pub struct StdLock;

impl Lock for StdLock {
    type Of<T> = Mutex<T>;

    fn guard<T>(value: T) -> Mutex<T> {
        Mutex::new(value)
    }

    #[inline(always)]
    fn with<T, R>(guarded: &Mutex<T>, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut guarded.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn into_inner<T>(guarded: Mutex<T>) -> T {
        guarded.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something in lines of the cache that nothing else is in (CPUs fetch two at once): what threads write does not take from
/// the others what all of them read.
#[repr(align(128))]
struct Apart<T>(T);

/// An [`OutboundSa`] that several threads send by.
pub struct SharedOutboundSa<L: Lock = StdLock> {
    sealer: Sealer,
    tally: Apart<L::Of<SendTally>>,
}

/// An [`InboundSa`] that several threads receive by.
///
/// It does not look for lost numbers: [`InboundSa::resynchronize`] is for one thread.
pub struct SharedInboundSa<L: Lock = StdLock> {
    opener: Opener,
    tally: Apart<L::Of<ReceiveTally>>,
}

impl OutboundSa {
    /// The SA for several threads; its numbers and lifetimes go on.
    #[must_use]
    pub fn into_shared(self) -> SharedOutboundSa {
        self.into_shared_by()
    }

    /// [`OutboundSa::into_shared`] with another lock.
    #[must_use]
    pub fn into_shared_by<L: Lock>(self) -> SharedOutboundSa<L> {
        let (sealer, tally) = self.into_parts();
        SharedOutboundSa { sealer, tally: Apart(L::guard(tally)) }
    }
}

impl InboundSa {
    /// The SA for several threads; its window and lifetimes go on.
    #[must_use]
    pub fn into_shared(self) -> SharedInboundSa {
        self.into_shared_by()
    }

    /// [`InboundSa::into_shared`] with another lock.
    #[must_use]
    pub fn into_shared_by<L: Lock>(self) -> SharedInboundSa<L> {
        let (opener, tally) = self.into_parts();
        SharedInboundSa { opener, tally: Apart(L::guard(tally)) }
    }
}

impl<L: Lock> SharedOutboundSa<L> {
    /// The SA for one thread.
    #[must_use]
    pub fn into_exclusive(self) -> OutboundSa {
        OutboundSa::from_parts(self.sealer, L::into_inner(self.tally.0))
    }

    /// As [`OutboundSa::seal`]. No number is given twice, whichever thread asks.
    ///
    /// # Errors
    /// As [`OutboundSa::seal`].
    pub fn seal(&self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Sealed, SealError> {
        let mut counted = None;
        let sealed = self.try_seal(now, packet, &mut counted);
        if let Err(error) = &sealed {
            L::with(&self.tally.0, |tally| match counted {
                Some(octets) => tally.recount(octets, error),
                None => tally.count(0, &sealed),
            });
        }
        sealed
    }

    /// `counted` becomes the packet's octets when it was counted as sent.
    fn try_seal(
        &self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        counted: &mut Option<usize>,
    ) -> Result<Sealed, SealError> {
        let header = IpHeader::parse(packet.as_slice())?;
        Sealer::check_length(packet, &header)?;
        let form = self.sealer.form(packet.as_slice(), &header)?;
        let sealed = self.sealer.protect(packet, form, |text_len, form| {
            L::with(&self.tally.0, |tally| {
                tally.check(now)?;
                form.around.fields = tally.fit(now, &self.sealer, &header, form)?;
                let number = tally.take(now, text_len)?;
                tally.statistics.count_packet(header.length);
                *counted = Some(header.length);
                Ok(number)
            })
        })?;
        self.sealer.preserve(packet, &header);
        Ok(sealed)
    }

    /// Octets of room that are always enough in front of a packet.
    #[must_use]
    pub fn headroom(&self) -> usize {
        self.sealer.headroom()
    }

    /// Octets of room that are always enough behind a packet.
    #[must_use]
    pub const fn tailroom(&self) -> usize {
        self.sealer.tailroom()
    }

    /// The SPI on the wire.
    #[must_use]
    pub const fn spi(&self) -> EspSpi {
        self.sealer.spi
    }

    /// As [`OutboundSa::path_of`].
    #[must_use]
    pub fn path_of(&self, packet: &IpHeader) -> Path {
        self.sealer.path_of(packet)
    }

    /// What both directions of the pair share.
    #[must_use]
    pub const fn child(&self) -> &Arc<ChildSa> {
        &self.sealer.child
    }

    /// The sequence number given last, 0 before the first packet.
    #[must_use]
    pub fn last_number(&self) -> u64 {
        L::with(&self.tally.0, |tally| tally.last_number())
    }

    /// What was sent and dropped until now.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        L::with(&self.tally.0, |tally| tally.statistics.clone())
    }

    /// As [`OutboundSa::handle_timeout`].
    pub fn handle_timeout(&self, now: Instant) {
        L::with(&self.tally.0, |tally| tally.handle_timeout(now));
    }

    /// As [`OutboundSa::next_deadline`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        L::with(&self.tally.0, |tally| tally.next_deadline())
    }

    /// As [`OutboundSa::poll_event`].
    pub fn poll_event(&self) -> Option<LifetimeEvent> {
        L::with(&self.tally.0, |tally| tally.poll_event())
    }
}

impl<L: Lock> SharedInboundSa<L> {
    /// The SA for one thread.
    #[must_use]
    pub fn into_exclusive(self) -> InboundSa {
        InboundSa::from_parts(self.opener, L::into_inner(self.tally.0))
    }

    /// As [`InboundSa::open`]. No packet is delivered twice, whichever threads have it.
    ///
    /// # Errors
    /// As [`InboundSa::open`].
    pub fn open(
        &self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        outer_ecn: Option<Ecn>,
    ) -> Result<Opened, OpenError> {
        self.open_behind(now, packet, outer_ecn, || self.opener.front(outer_ecn))
    }

    /// As [`InboundSa::open_ip`].
    ///
    /// # Errors
    /// As [`InboundSa::open_ip`].
    pub fn open_ip(&self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Opened, OpenError> {
        let outer = esp_in(packet).map_err(|error| self.count_drop(error))?;
        self.open_behind(now, packet, Some(outer.ecn), || Front::of(&outer))
    }

    fn open_behind(
        &self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        ecn: Option<Ecn>,
        front: impl FnOnce() -> Front,
    ) -> Result<Opened, OpenError> {
        self.try_open(now, packet, ecn, front).map_err(|error| self.count_drop(error))
    }

    /// The inside is judged before the window is marked: of copies that are opened at once each is, and the window says
    /// whose judgement counts.
    fn try_open(
        &self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        ecn: Option<Ecn>,
        front: impl FnOnce() -> Front,
    ) -> Result<Opened, OpenError> {
        let (text_len, number) = self.opener.examine(packet)?;
        let candidate = L::with(&self.tally.0, |tally| tally.check(now, number))?;
        if !self.opener.decrypt(candidate.number(), packet.as_mut_slice()) {
            return Err(L::with(&self.tally.0, |tally| tally.refuse(candidate)));
        }
        let mut delivery = None;
        let text = self.opener.text(text_len);
        let mut opened = Opened::Dummy;
        let count = |delivered| delivery = Some(delivered);
        let delivered = self.opener.deliver(packet, text, ecn, front, count, &mut opened);
        L::with(&self.tally.0, |tally| {
            tally.accept(now, candidate, text_len)?;
            if let Some(delivery) = delivery {
                tally.count(delivery);
            }
            delivered
        })?;
        Ok(opened)
    }

    #[cold]
    fn count_drop(&self, error: OpenError) -> OpenError {
        L::with(&self.tally.0, |tally| tally.count_drop(error))
    }

    /// The SPI on the wire.
    #[must_use]
    pub const fn spi(&self) -> EspSpi {
        self.opener.spi
    }

    /// What both directions of the pair share.
    #[must_use]
    pub const fn child(&self) -> &Arc<ChildSa> {
        &self.opener.child
    }

    /// The highest authenticated number, 0 before the first packet.
    #[must_use]
    pub fn newest_number(&self) -> u64 {
        L::with(&self.tally.0, |tally| tally.newest_number())
    }

    /// What was received and dropped until now.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        L::with(&self.tally.0, |tally| tally.statistics.clone())
    }

    /// As [`InboundSa::handle_timeout`].
    pub fn handle_timeout(&self, now: Instant) {
        L::with(&self.tally.0, |tally| tally.handle_timeout(now));
    }

    /// As [`InboundSa::next_deadline`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        L::with(&self.tally.0, |tally| tally.next_deadline())
    }

    /// As [`InboundSa::poll_event`].
    pub fn poll_event(&self) -> Option<LifetimeEvent> {
        L::with(&self.tally.0, |tally| tally.poll_event())
    }
}

impl<L: Lock> fmt::Debug for SharedOutboundSa<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedOutboundSa").field("sealer", &self.sealer).finish_non_exhaustive()
    }
}

impl<L: Lock> fmt::Debug for SharedInboundSa<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedInboundSa").field("opener", &self.opener).finish_non_exhaustive()
    }
}
