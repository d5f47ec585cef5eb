//! SAs that several threads use at once (feature `std`).
//!
//! What changes from packet to packet lies behind a lock that is never held while the cipher works: sending takes a
//! number under it, receiving looks at the window before the cipher and marks it after, looking again, so that of two
//! copies in the cipher at once one passes. Senders and receivers of a pair have nothing in common.
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
use ipsec_types::{EspSpi, Instant};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An [`OutboundSa`] that several threads send by.
pub struct SharedOutboundSa {
    sealer: Sealer,
    tally: Mutex<SendTally>,
}

/// An [`InboundSa`] that several threads receive by.
///
/// It does not look for lost numbers: [`InboundSa::resynchronize`] is for one thread.
pub struct SharedInboundSa {
    opener: Opener,
    tally: Mutex<ReceiveTally>,
}

/// No step under the lock panics, and each leaves the state whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OutboundSa {
    /// The SA for several threads; its numbers and lifetimes go on.
    #[must_use]
    pub fn into_shared(self) -> SharedOutboundSa {
        let (sealer, tally) = self.into_parts();
        SharedOutboundSa { sealer, tally: Mutex::new(tally) }
    }
}

impl InboundSa {
    /// The SA for several threads; its window and lifetimes go on.
    #[must_use]
    pub fn into_shared(self) -> SharedInboundSa {
        let (opener, tally) = self.into_parts();
        SharedInboundSa { opener, tally: Mutex::new(tally) }
    }
}

impl SharedOutboundSa {
    /// The SA for one thread.
    #[must_use]
    pub fn into_exclusive(self) -> OutboundSa {
        let tally = self.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        OutboundSa::from_parts(self.sealer, tally)
    }

    /// As [`OutboundSa::seal`]. No number is given twice, whichever thread asks.
    ///
    /// # Errors
    /// As [`OutboundSa::seal`].
    pub fn seal(&self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Sealed, SealError> {
        let octets = packet.len();
        let sealed = self.try_seal(now, packet);
        locked(&self.tally).count(octets, &sealed);
        sealed
    }

    fn try_seal(&self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Sealed, SealError> {
        let header = IpHeader::parse(packet.as_slice())?;
        Sealer::check_length(packet, &header)?;
        let mut form = self.sealer.form(packet.as_slice(), &header)?;
        {
            let mut tally = locked(&self.tally);
            tally.check(now)?;
            form.around.fields = tally.fit(now, &self.sealer, &header, &form)?;
        }
        let take = |text_len| locked(&self.tally).take(now, text_len);
        let sealed = self.sealer.protect(packet, &form, take)?;
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

    /// What both directions of the pair share.
    #[must_use]
    pub const fn child(&self) -> &Arc<ChildSa> {
        &self.sealer.child
    }

    /// The sequence number given last, 0 before the first packet.
    #[must_use]
    pub fn last_number(&self) -> u64 {
        locked(&self.tally).last_number()
    }

    /// What was sent and dropped until now.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        locked(&self.tally).statistics.clone()
    }

    /// As [`OutboundSa::handle_timeout`].
    pub fn handle_timeout(&self, now: Instant) {
        locked(&self.tally).handle_timeout(now);
    }

    /// As [`OutboundSa::next_deadline`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        locked(&self.tally).next_deadline()
    }

    /// As [`OutboundSa::poll_event`].
    pub fn poll_event(&self) -> Option<LifetimeEvent> {
        locked(&self.tally).poll_event()
    }
}

impl SharedInboundSa {
    /// The SA for one thread.
    #[must_use]
    pub fn into_exclusive(self) -> InboundSa {
        let tally = self.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        InboundSa::from_parts(self.opener, tally)
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
        let outer = esp_in(packet).map_err(|error| locked(&self.tally).count_drop(error))?;
        self.open_behind(now, packet, Some(outer.ecn), || Front::of(&outer))
    }

    fn open_behind(
        &self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        ecn: Option<Ecn>,
        front: impl FnOnce() -> Front,
    ) -> Result<Opened, OpenError> {
        let text = match self.authenticate(now, packet) {
            Ok(text_len) => self.opener.text(text_len),
            Err(error) => return Err(locked(&self.tally).count_drop(error)),
        };
        let count = |delivery| locked(&self.tally).count(delivery);
        self.opener
            .deliver(packet, text, ecn, front, count)
            .map_err(|error| locked(&self.tally).count_drop(error))
    }

    /// The octets of text of an authentic packet.
    fn authenticate(&self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<usize, OpenError> {
        let (text_len, number) = self.opener.examine(packet)?;
        let candidate = locked(&self.tally).check(now, number)?;
        let authentic = self.opener.decrypt(candidate.number(), packet.as_mut_slice());
        let mut tally = locked(&self.tally);
        if !authentic {
            return Err(tally.refuse(candidate));
        }
        tally.accept(now, candidate, text_len)?;
        Ok(text_len)
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
        locked(&self.tally).newest_number()
    }

    /// What was received and dropped until now.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        locked(&self.tally).statistics.clone()
    }

    /// As [`InboundSa::handle_timeout`].
    pub fn handle_timeout(&self, now: Instant) {
        locked(&self.tally).handle_timeout(now);
    }

    /// As [`InboundSa::next_deadline`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        locked(&self.tally).next_deadline()
    }

    /// As [`InboundSa::poll_event`].
    pub fn poll_event(&self) -> Option<LifetimeEvent> {
        locked(&self.tally).poll_event()
    }
}

impl fmt::Debug for SharedOutboundSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedOutboundSa").field("sealer", &self.sealer).finish_non_exhaustive()
    }
}

impl fmt::Debug for SharedInboundSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedInboundSa").field("opener", &self.opener).finish_non_exhaustive()
    }
}
