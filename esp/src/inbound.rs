//! Receiving: the steps of RFC 4303 §3.4 and RFC 4301 §5.2 over one SA.
//!
//! First the packet is authenticated (length, number, integrity, number again); that alone moves the window.
//! Then its inside is judged (padding, next header, inner packet, ECN, selectors); what fails there is dropped
//! and undoes nothing.

use crate::beet::InnerPair;
use crate::buffer::{NoRoom, PacketBuf};
use crate::config::InboundConfig;
use crate::ecn::{Ecn, EcnMark};
use crate::error::{InstallError, OpenError};
use crate::install;
use crate::ip::IpHeader;
use crate::lifetime::{Bounds, Lifetime, LifetimeEvent};
use crate::outbound::packet_number;
use crate::outer::OuterPacket;
use crate::packet::{ESP_HEADER, EspHeader, Layout, LayoutError, NEXT_HEADER_DUMMY, read_trailer};
use crate::replay::{Candidate, ReplayWindow};
use crate::restore::{self, Front};
use crate::resync::Failures;
use crate::statistics::{DropReason, Statistics};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use ipsec_crypto::{CryptoProvider, PacketCipher};
use ipsec_types::sa::{ChildSa, Direction, SaInstall};
use ipsec_types::udp::{Datagram4500, classify};
use ipsec_types::{EspSpi, Instant, Mode, SequenceNumbers};

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
    /// Whether its number is the newest so far.
    pub(crate) newest: bool,
    /// Where the decrypted text lies in the packet.
    text: Range<usize>,
}

/// One direction of a Child SA: what we receive by.
pub struct InboundSa {
    cipher: Box<dyn PacketCipher>,
    layout: Layout,
    spi: EspSpi,
    window: ReplayWindow,
    failures: Failures,
    /// Opens that failed beside those of dropped packets.
    extra_tries: u64,
    lifetime: Lifetime,
    /// In BEET mode: the addresses that are not sent.
    inner: Option<InnerPair>,
    config: InboundConfig,
    child: Arc<ChildSa>,
    statistics: Statistics,
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
        let inner = install::check(&install)?;
        let SaInstall { child, spi, .. } = install;
        Ok(Self {
            layout: Layout::of(&*cipher),
            lifetime: Lifetime::new(&child.lifetimes, cipher.limits(), Bounds::Inbound, config.early, now),
            window: ReplayWindow::new(child.sequence_numbers, config.anti_replay),
            failures: Failures::default(),
            extra_tries: 0,
            cipher,
            spi,
            inner,
            config,
            child,
            statistics: Statistics::ZERO,
        })
    }

    /// Opens the ESP packet in `packet`, which becomes the packet to deliver; the payload stays where it is.
    /// `outer_ecn` is the outer header's ECN field where it is known.
    ///
    /// In transport mode the packet gets a new header, between the addresses of the SA's path, and in BEET mode one
    /// between its inner addresses; for either there must be [`crate::OPEN_HEADROOM`] octets of room in front.
    /// [`InboundSa::open_ip`] takes what it can from the one that came.
    ///
    /// # Errors
    /// Each [`OpenError`] of an ESP packet. The packet's octets are unspecified then.
    pub fn open(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        outer_ecn: Option<Ecn>,
    ) -> Result<Opened, OpenError> {
        let front = self.front(outer_ecn);
        let authentic = self.authenticate(now, packet)?;
        self.deliver(packet, &authentic, &front)
    }

    /// What is known of the header of a packet that came without it.
    fn front(&self, ecn: Option<Ecn>) -> Front {
        let path = &self.child.path;
        Front { source: path.remote_ip(), destination: path.local_ip(), ecn, in_place: None }
    }

    /// Opens a whole received IP packet, with or without UDP around the ESP packet.
    ///
    /// # Errors
    /// Each [`OpenError`]. The packet's octets are unspecified then.
    pub fn open_ip(&mut self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Opened, OpenError> {
        let outer = esp_in(packet).map_err(|error| self.count(error))?;
        let authentic = self.authenticate(now, packet)?;
        self.deliver(packet, &authentic, &Front::of(&outer))
    }

    /// Steps 3 and 5 to 7 of receiving: what makes a packet authentic, and new.
    pub(crate) fn authenticate(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
    ) -> Result<Authentic, OpenError> {
        self.try_authenticate(now, packet).map_err(|error| self.count(error))
    }

    fn try_authenticate(&mut self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Authentic, OpenError> {
        let (text_len, candidate) = self.examine(now, packet)?;
        let number = packet_number(self.child.sequence_numbers, candidate.number());
        if self.cipher.open(number, ESP_HEADER, packet.as_mut_slice()).is_err() {
            self.failures.note_failure();
            self.note_failed_opens(1);
            return Err(integrity(candidate));
        }
        let newest = self.window.accept(candidate)?;
        self.failures.begin_anew(now);
        self.authentic(now, text_len, newest)
    }

    /// A packet whose integrity and number are good.
    fn authentic(&mut self, now: Instant, text_len: usize, newest: bool) -> Result<Authentic, OpenError> {
        self.lifetime.charge(now, text_len as u64)?;
        let start = self.layout.payload_offset();
        Ok(Authentic { newest, text: start..start + text_len })
    }

    /// Counts opens that failed against what the key may do, beside those that drops count.
    fn note_failed_opens(&mut self, more: u64) {
        let dropped = self.statistics.dropped(DropReason::Integrity)
            + self.statistics.dropped(DropReason::IntegrityOrLate);
        self.lifetime.note_failed_opens(dropped.saturating_add(self.extra_tries).saturating_add(more));
    }

    /// Whether the next packet should be given to [`InboundSa::resynchronize`]: with 64-bit numbers, after as many
    /// failures in a row as [`InboundConfig::resync`] says.
    #[must_use]
    #[inline]
    pub fn wants_resync(&self, now: Instant) -> bool {
        self.child.sequence_numbers == SequenceNumbers::Sequential64
            && self.config.resync.is_some_and(|config| self.failures.want_attempt(now, &config))
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
        let front = self.front(outer_ecn);
        let authentic = self.search(now, packet, scratch)?;
        self.deliver(packet, &authentic, &front)
    }

    /// [`InboundSa::authenticate`] with several high halves.
    pub(crate) fn search(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        scratch: &mut [u8],
    ) -> Result<Authentic, OpenError> {
        self.try_search(now, packet, scratch).map_err(|error| self.count(error))
    }

    fn try_search(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        scratch: &mut [u8],
    ) -> Result<Authentic, OpenError> {
        let (text_len, candidate) = self.examine(now, packet)?;
        let (needed, room) = (packet.len(), scratch.len());
        let Some(copy) = scratch.get_mut(..needed) else {
            let (headroom_needed, headroom) = (0, 0);
            let no_room = NoRoom { headroom_needed, tailroom_needed: needed, headroom, tailroom: room };
            return Err(no_room.into());
        };
        self.failures.begin_anew(now);
        let tries = self.config.resync.map_or(0, |config| config.tries);
        // The inferred number itself first: it may be that the packets before were forged and this is not.
        for high in 0..=u64::from(tries) {
            let Some(number) = candidate.number().checked_add(high << 32) else { break };
            copy.copy_from_slice(packet.as_slice());
            if self.cipher.open(packet_number(self.child.sequence_numbers, number), ESP_HEADER, copy).is_err()
            {
                continue;
            }
            packet.as_mut_slice().copy_from_slice(copy);
            self.extra_tries = self.extra_tries.saturating_add(high);
            self.note_failed_opens(0);
            let newest = match high {
                0 => self.window.accept(candidate)?,
                _ => {
                    self.window.resume_at(number);
                    self.statistics.resyncs = self.statistics.resyncs.saturating_add(1);
                    true
                }
            };
            return self.authentic(now, text_len, newest);
        }
        self.extra_tries = self.extra_tries.saturating_add(u64::from(tries));
        self.note_failed_opens(1);
        Err(integrity(candidate))
    }

    /// Steps 3 and 5: the octets of text, and what the number is taken for.
    fn examine(&mut self, now: Instant, packet: &PacketBuf<'_>) -> Result<(usize, Candidate), OpenError> {
        let text_len = self.layout.text_of(packet.len())?;
        let too_short = LayoutError::TooShort { got: packet.len(), minimum: ESP_HEADER };
        let header = EspHeader::parse(packet.as_slice()).ok_or(too_short)?;
        if header.spi != self.spi.get() {
            return Err(unknown_spi(header.spi));
        }
        self.lifetime.check(now)?;
        Ok((text_len, self.window.check(header.sequence_number)?))
    }

    /// Steps 8 to 12 of receiving: what makes the inside fit for delivery.
    pub(crate) fn deliver(
        &mut self,
        packet: &mut PacketBuf<'_>,
        authentic: &Authentic,
        front: &Front,
    ) -> Result<Opened, OpenError> {
        let delivered = self.try_deliver(packet, authentic.text.clone(), front);
        match &delivered {
            Ok(Opened::Packet(header)) => self.statistics.count_packet(header.length),
            Ok(Opened::Dummy) => self.statistics.dummies = self.statistics.dummies.saturating_add(1),
            Err(error) => self.statistics.count_drop(error.reason()),
        }
        delivered
    }

    fn try_deliver(
        &mut self,
        packet: &mut PacketBuf<'_>,
        text: Range<usize>,
        front: &Front,
    ) -> Result<Opened, OpenError> {
        let aligned = text.end.is_multiple_of(4);
        if !aligned && self.config.strict_alignment {
            return Err(OpenError::Alignment);
        }
        let start = text.start;
        let text = packet.as_mut_slice().get_mut(text).unwrap_or_default();
        let trailer = read_trailer(text, self.config.strict_padding)?;
        if trailer.next_header == NEXT_HEADER_DUMMY {
            return Ok(Opened::Dummy);
        }
        let (header, mark) = match (self.child.mode, &self.inner) {
            (Mode::Transport, _) => {
                let original = self.child.original_addresses.as_ref();
                (restore::transport(packet, start, trailer, front, original)?, EcnMark::Usual)
            }
            (Mode::Beet, Some(pair)) => (restore::beet(packet, start, trailer, front, pair)?, EcnMark::Usual),
            _ => restore::tunnel(packet, start, trailer, front.ecn)?,
        };
        if !crate::selectors::admits(&self.child, &header, Direction::Inbound) {
            return Err(OpenError::Selectors);
        }
        self.statistics.misaligned = self.statistics.misaligned.saturating_add(u64::from(!aligned));
        let unusual = u64::from(mark != EcnMark::Usual);
        self.statistics.unusual_ecn = self.statistics.unusual_ecn.saturating_add(unusual);
        Ok(Opened::Packet(header))
    }

    /// Goes on from `newest` as the newest number, the only one seen so far.
    pub fn resume_at(&mut self, newest: u64) {
        self.window.resume_at(newest);
    }

    /// What the lifetimes have to say of themselves at this time: see [`InboundSa::next_deadline`].
    pub fn handle_timeout(&mut self, now: Instant) {
        let _told_by_its_event = self.lifetime.check(now);
    }

    /// When [`InboundSa::handle_timeout`] is to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.lifetime.next_deadline()
    }

    /// The soft and the hard deadline, as far as they still stand before the SA.
    #[inline]
    pub(crate) fn deadlines(&self) -> [Option<Instant>; 2] {
        self.lifetime.deadlines()
    }

    /// The next limit that was reached: one soft and one hard in the SA's life.
    #[inline]
    pub fn poll_event(&mut self) -> Option<LifetimeEvent> {
        self.lifetime.poll()
    }

    /// The SPI on the wire.
    #[must_use]
    pub const fn spi(&self) -> EspSpi {
        self.spi
    }

    /// The highest authenticated number, 0 before the first packet.
    #[must_use]
    pub const fn newest_number(&self) -> u64 {
        self.window.top()
    }

    /// What both directions of the pair share, as it was installed.
    #[must_use]
    pub const fn child(&self) -> &Arc<ChildSa> {
        &self.child
    }

    /// What was received and dropped.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn count(&mut self, error: OpenError) -> OpenError {
        self.statistics.count_drop(error.reason());
        error
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
            .field("spi", &self.spi)
            .field("window", &self.window)
            .field("lifetime", &self.lifetime)
            .field("layout", &self.layout)
            .field("config", &self.config)
            .field("child", &self.child)
            .finish_non_exhaustive()
    }
}
