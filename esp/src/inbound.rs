//! Receiving: the steps of RFC 4303 §3.4 and RFC 4301 §5.2 over one SA.
//!
//! First the packet is authenticated (length, number, integrity, number again); that alone moves the window.
//! Then its inside is judged (padding, next header, inner packet, ECN, selectors); what fails there is dropped
//! and undoes nothing.

use crate::buffer::{NoRoom, PacketBuf};
use crate::config::InboundConfig;
use crate::ecn::Ecn;
use crate::error::{InstallError, OpenError};
use crate::install;
use crate::ip::IpHeader;
use crate::lifetime::{Bounds, Lifetime, LifetimeEvent};
use crate::opener::{Delivery, Opener};
use crate::outer::OuterPacket;
use crate::replay::{Candidate, ReplayWindow};
use crate::restore::Front;
use crate::resync::Failures;
use crate::statistics::{DropReason, Statistics};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::time::Duration;
use ipsec_crypto::state::{StateError, StateReader, StateWriter};
use ipsec_crypto::{CryptoProvider, PacketCipher};
use ipsec_types::sa::{ChildSa, SaInstall};
use ipsec_types::udp::{Datagram4500, classify};
use ipsec_types::{EspSpi, Instant, SequenceNumbers};

/// What was in an authentic packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// An IP packet for delivery: its header, after the ECN field was settled.
    Packet(IpHeader),
    /// A dummy packet: nothing to deliver (RFC 4303 §2.6).
    Dummy,
}

/// A packet whose integrity check was good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Authentic {
    pub(crate) age: Age,
    /// Where the decrypted text lies in the packet.
    text: Range<usize>,
}

/// Whether a packet's number is the newest so far. It is a word wide: a narrower one is written in part and then moved
/// with what surrounds it, which waits for the write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(crate) enum Age {
    Newest,
    Older,
}

impl Age {
    #[inline(always)]
    const fn of(newest: bool) -> Self {
        if newest { Self::Newest } else { Self::Older }
    }
}

/// What changes from packet to packet of an inbound SA. What each packet changes lies together, but for one block of the
/// window.
#[repr(C)]
pub(crate) struct ReceiveTally {
    window: ReplayWindow,
    failures: Failures,
    lifetime: Lifetime,
    pub(crate) statistics: Statistics,
    /// Opens that failed beside those of dropped packets.
    extra_tries: u64,
}

impl ReceiveTally {
    /// Reads what every packet needs of it.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        self.window.touch() ^ self.lifetime.packets() ^ self.statistics.misaligned
    }

    /// Step 5: what the number is taken for.
    #[inline(always)]
    pub(crate) fn check(&mut self, now: Instant, number: u32) -> Result<Candidate, OpenError> {
        self.lifetime.check(now)?;
        Ok(self.window.check(number)?)
    }

    /// Step 7 for an authentic packet: looks again whether its number is new, and marks it. Whether it is the newest.
    #[inline(always)]
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        candidate: Candidate,
        text_len: usize,
    ) -> Result<bool, OpenError> {
        let newest = self.window.accept(candidate)?;
        self.failures.begin_anew(now);
        self.lifetime.charge(now, text_len as u64)?;
        Ok(newest)
    }

    /// Step 7 for a packet whose integrity check failed.
    #[cold]
    pub(crate) fn refuse(&mut self, candidate: Candidate) -> OpenError {
        self.failures.note_failure();
        self.note_failed_opens(1);
        integrity(candidate)
    }

    /// Counts opens that failed against what the key may do, beside those that drops count.
    fn note_failed_opens(&mut self, more: u64) {
        let dropped = self.statistics.dropped(DropReason::Integrity)
            + self.statistics.dropped(DropReason::IntegrityOrLate);
        self.lifetime.note_failed_opens(dropped.saturating_add(self.extra_tries).saturating_add(more));
    }

    /// Counts what is delivered of an authentic packet.
    #[inline(always)]
    pub(crate) fn count(&mut self, delivery: Delivery) {
        let Delivery { octets, misaligned, unusual_ecn } = delivery;
        let statistics = &mut self.statistics;
        match octets {
            Some(octets) => statistics.count_packet(octets),
            None => statistics.dummies = statistics.dummies.saturating_add(1),
        }
        statistics.misaligned = statistics.misaligned.saturating_add(u64::from(misaligned));
        statistics.unusual_ecn = statistics.unusual_ecn.saturating_add(u64::from(unusual_ecn));
    }

    #[cold]
    pub(crate) fn count_drop(&mut self, error: OpenError) -> OpenError {
        self.statistics.count_drop(error.reason());
        error
    }

    /// What the lifetimes have to say of themselves at this time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let _told_by_its_event = self.lifetime.check(now);
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.lifetime.next_deadline()
    }

    #[inline]
    pub(crate) fn poll_event(&mut self) -> Option<LifetimeEvent> {
        self.lifetime.poll()
    }

    pub(crate) const fn newest_number(&self) -> u64 {
        self.window.top()
    }
}

/// One direction of a Child SA: what we receive by. With the feature `std` it can be shared by threads:
/// `InboundSa::into_shared`.
#[repr(C)]
pub struct InboundSa {
    opener: Opener,
    tally: ReceiveTally,
}

impl InboundSa {
    /// Makes the SA; its life begins at `now`.
    ///
    /// # Errors
    /// Each [`InstallError`].
    pub fn new(
        provider: &CryptoProvider,
        install: SaInstall,
        config: InboundConfig,
        now: Instant,
    ) -> Result<Self, InstallError> {
        let cipher = install::make_cipher(provider, &install)?;
        Self::with_cipher(cipher, install, config, now)
    }

    /// Makes the SA with an expanded key from elsewhere; the keys of `install` are not used.
    ///
    /// # Errors
    /// Each [`InstallError`] but those of suite and keys.
    pub fn with_cipher(
        cipher: Box<dyn PacketCipher>,
        install: SaInstall,
        config: InboundConfig,
        now: Instant,
    ) -> Result<Self, InstallError> {
        let opener = Opener::new(cipher, install, config)?;
        let (child, limits) = (&opener.child, opener.cipher.limits());
        let tally = ReceiveTally {
            window: ReplayWindow::new(child.sequence_numbers, config.anti_replay),
            failures: Failures::default(),
            lifetime: Lifetime::new(&child.lifetimes, limits, Bounds::Inbound, config.early, now),
            statistics: Statistics::ZERO,
            extra_tries: 0,
        };
        Ok(Self { opener, tally })
    }

    /// Reads what every packet needs of the SA but the key.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        self.opener.touch() ^ self.tally.touch()
    }

    /// Reads where the key lies.
    #[inline]
    pub(crate) fn find_key(&self) -> usize {
        self.opener.cipher.iv_len()
    }

    /// Reads the key.
    #[inline]
    pub(crate) fn touch_key(&self) {
        self.opener.cipher.touch();
    }

    /// The two halves, for sharing.
    #[cfg(feature = "std")]
    pub(crate) fn into_parts(self) -> (Opener, ReceiveTally) {
        (self.opener, self.tally)
    }

    /// The SA of two halves.
    #[cfg(feature = "std")]
    pub(crate) const fn from_parts(opener: Opener, tally: ReceiveTally) -> Self {
        Self { opener, tally }
    }

    /// Opens the ESP packet in `packet`, which becomes the packet to deliver; the payload stays where it is.
    /// `outer_ecn` is the outer header's ECN field where it is known.
    ///
    /// In transport mode the packet gets a new header, between the addresses of the SA's path, and in BEET mode one
    /// between its inner addresses; for either there must be [`crate::OPEN_HEADROOM`] octets of room in front.
    /// [`InboundSa::open_ip`] takes what it can from the one that came, and is the one to call for an SA to a group that
    /// preserves the source ([`ipsec_types::sa::GroupSa`]) and is for any sender: who sent the packet is not known here,
    /// so that each one is [`OpenError::Preservation`].
    ///
    /// # Errors
    /// Each [`OpenError`] of an ESP packet. The packet's octets are unspecified then.
    pub fn open(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        outer_ecn: Option<Ecn>,
    ) -> Result<Opened, OpenError> {
        let authentic = self.authenticate(now, packet)?;
        self.deliver_alone(packet, authentic, outer_ecn)
    }

    /// Opens a whole received IP packet, with or without UDP around the ESP packet.
    ///
    /// # Errors
    /// Each [`OpenError`]. The packet's octets are unspecified then.
    pub fn open_ip(&mut self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Opened, OpenError> {
        let outer = esp_in(packet).map_err(|error| self.tally.count_drop(error))?;
        let authentic = self.authenticate(now, packet)?;
        let mut opened = Opened::Dummy;
        self.deliver(packet, authentic, Some(outer.ecn), || Front::of(&outer), &mut opened)?;
        Ok(opened)
    }

    /// Steps 3 and 5 to 7 of receiving: what makes a packet authentic, and new.
    #[inline(always)]
    pub(crate) fn authenticate(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
    ) -> Result<Authentic, OpenError> {
        self.try_authenticate(now, packet).map_err(|error| self.tally.count_drop(error))
    }

    #[inline(always)]
    fn try_authenticate(&mut self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Authentic, OpenError> {
        let Self { opener, tally } = self;
        let (text_len, number) = opener.examine(packet)?;
        let candidate = tally.check(now, number)?;
        if !opener.decrypt(candidate.number(), packet.as_mut_slice()) {
            return Err(tally.refuse(candidate));
        }
        let age = Age::of(tally.accept(now, candidate, text_len)?);
        Ok(Authentic { age, text: opener.text(text_len) })
    }

    /// Whether the next packet should be given to [`InboundSa::resynchronize`]: with 64-bit numbers, after as many
    /// failures in a row as [`InboundConfig::resync`] says.
    #[must_use]
    #[inline]
    pub fn wants_resync(&self, now: Instant) -> bool {
        self.opener.sequence_numbers == SequenceNumbers::Sequential64
            && self.opener.config.resync.is_some_and(|config| self.tally.failures.want_attempt(now, &config))
    }

    /// Opens the ESP packet in `packet` by trying one high half of its number after the other (RFC 4303 Appendix
    /// A3). Where one fits, the window begins anew with that number, and older packets are lost.
    ///
    /// `scratch` must be as long as the packet; it holds secret text afterwards.
    ///
    /// # Errors
    /// As [`InboundSa::open`]; [`OpenError::NoRoom`] where `scratch` is too short, and nothing was tried then.
    pub fn resynchronize(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        scratch: &mut [u8],
        outer_ecn: Option<Ecn>,
    ) -> Result<Opened, OpenError> {
        let authentic = self.search(now, packet, scratch)?;
        self.deliver_alone(packet, authentic, outer_ecn)
    }

    /// [`InboundSa::authenticate`] with several high halves.
    pub(crate) fn search(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        scratch: &mut [u8],
    ) -> Result<Authentic, OpenError> {
        self.try_search(now, packet, scratch).map_err(|error| self.tally.count_drop(error))
    }

    fn try_search(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        scratch: &mut [u8],
    ) -> Result<Authentic, OpenError> {
        let Self { opener, tally } = self;
        let (text_len, number) = opener.examine(packet)?;
        let candidate = tally.check(now, number)?;
        let (needed, room) = (packet.len(), scratch.len());
        let Some(copy) = scratch.get_mut(..needed) else {
            let (headroom_needed, headroom) = (0, 0);
            let no_room = NoRoom { headroom_needed, tailroom_needed: needed, headroom, tailroom: room };
            return Err(no_room.into());
        };
        tally.failures.begin_anew(now);
        let tries = opener.config.resync.map_or(0, |config| config.tries);
        // The inferred number itself first: it may be that the packets before were forged and this is not.
        for high in 0..=u64::from(tries) {
            let Some(number) = candidate.number().checked_add(high << 32) else { break };
            copy.copy_from_slice(packet.as_slice());
            if !opener.decrypt(number, copy) {
                continue;
            }
            packet.as_mut_slice().copy_from_slice(copy);
            tally.extra_tries = tally.extra_tries.saturating_add(high);
            tally.note_failed_opens(0);
            let text = opener.text(text_len);
            if high == 0 {
                return Ok(Authentic { age: Age::of(tally.accept(now, candidate, text_len)?), text });
            }
            tally.window.resume_at(number);
            tally.statistics.resyncs = tally.statistics.resyncs.saturating_add(1);
            tally.lifetime.charge(now, text_len as u64)?;
            return Ok(Authentic { age: Age::Newest, text });
        }
        tally.extra_tries = tally.extra_tries.saturating_add(u64::from(tries));
        tally.note_failed_opens(1);
        Err(integrity(candidate))
    }

    /// [`InboundSa::deliver`] for a packet that came without its header.
    #[inline]
    fn deliver_alone(
        &mut self,
        packet: &mut PacketBuf<'_>,
        authentic: Authentic,
        ecn: Option<Ecn>,
    ) -> Result<Opened, OpenError> {
        let mut opened = Opened::Dummy;
        let Self { opener, tally } = self;
        let (front, count) = (|| opener.front(ecn), |delivery| tally.count(delivery));
        let delivered = opener.deliver(packet, authentic.text, ecn, front, count, &mut opened);
        delivered.map_err(|error| tally.count_drop(error))?;
        Ok(opened)
    }

    /// Steps 8 to 12 of receiving: what makes the inside fit for delivery. See [`Opener::deliver`].
    #[inline(always)]
    pub(crate) fn deliver(
        &mut self,
        packet: &mut PacketBuf<'_>,
        authentic: Authentic,
        ecn: Option<Ecn>,
        front: impl FnOnce() -> Front,
        opened: &mut Opened,
    ) -> Result<(), OpenError> {
        let Self { opener, tally } = self;
        let count = |delivery| tally.count(delivery);
        let delivered = opener.deliver(packet, authentic.text, ecn, front, count, opened);
        delivered.map_err(|error| tally.count_drop(error))
    }

    /// What changed since it was made, as fields of a state.
    pub(crate) fn save(&self, now: Instant, closed: bool, w: &mut StateWriter) {
        let ReceiveTally { window, extra_tries, lifetime, statistics, .. } = &self.tally;
        window.save(closed, w);
        w.put_u64(*extra_tries);
        lifetime.save(now, w);
        statistics.save(w);
    }

    /// Goes on from where another one was, `since` ago.
    pub(crate) fn resume(
        &mut self,
        now: Instant,
        since: Duration,
        r: &mut StateReader<'_>,
    ) -> Result<(), StateError> {
        let tally = &mut self.tally;
        tally.window.resume(r)?;
        tally.extra_tries = r.u64()?;
        tally.lifetime.resume(now, since, r)?;
        tally.statistics = Statistics::resume(r)?;
        Ok(())
    }

    /// Goes on from `newest` as the newest number, the only one seen so far.
    pub fn resume_at(&mut self, newest: u64) {
        self.tally.window.resume_at(newest);
    }

    /// What the lifetimes have to say of themselves at this time: see [`InboundSa::next_deadline`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tally.handle_timeout(now);
    }

    /// When [`InboundSa::handle_timeout`] is to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.tally.next_deadline()
    }

    /// The soft and the hard deadline, as far as they still stand before the SA.
    #[inline]
    pub(crate) fn deadlines(&self) -> [Option<Instant>; 2] {
        self.tally.lifetime.deadlines()
    }

    /// The next limit that was reached: one soft and one hard in the SA's life.
    #[inline]
    pub fn poll_event(&mut self) -> Option<LifetimeEvent> {
        self.tally.poll_event()
    }

    /// The SPI on the wire.
    #[must_use]
    pub const fn spi(&self) -> EspSpi {
        self.opener.spi
    }

    /// The highest authenticated number, 0 before the first packet.
    #[must_use]
    pub const fn newest_number(&self) -> u64 {
        self.tally.newest_number()
    }

    /// Authentic packets that were taken, late ones too: it rises with each.
    pub(crate) const fn packets(&self) -> u64 {
        self.tally.lifetime.packets()
    }

    /// What both directions of the pair share, as it was installed.
    #[must_use]
    pub const fn child(&self) -> &Arc<ChildSa> {
        &self.opener.child
    }

    /// What was received and dropped.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.tally.statistics
    }
}

/// The error for a packet whose integrity check failed.
const fn integrity(candidate: Candidate) -> OpenError {
    if candidate.is_probably_late() { OpenError::IntegrityOrLate } else { OpenError::Integrity }
}

/// The error for an SPI that no SA of ours has.
pub(crate) const fn unknown_spi(spi: u32) -> OpenError {
    match EspSpi::new(spi) {
        Some(spi) if !spi.is_reserved() => OpenError::UnknownSpi(spi),
        _ => OpenError::ReservedSpi(spi),
    }
}

/// Reads the outer header of a whole packet, which becomes the ESP packet in it.
pub(crate) fn esp_in(packet: &mut PacketBuf<'_>) -> Result<OuterPacket, OpenError> {
    let outer = OuterPacket::parse(packet.as_slice())?;
    let payload = packet.as_slice().get(outer.payload.clone()).unwrap_or_default();
    if outer.ports.is_some() && !matches!(classify(payload), Datagram4500::Esp(_)) {
        return Err(OpenError::NotEsp);
    }
    let _within = packet.narrow(outer.payload.clone());
    Ok(outer)
}

impl fmt::Debug for InboundSa {
    /// The whole state without keys and statistics: what compares equal is equal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundSa")
            .field("opener", &self.opener)
            .field("window", &self.tally.window)
            .field("lifetime", &self.tally.lifetime)
            .finish_non_exhaustive()
    }
}
