//! Sending: the steps of RFC 4303 §3.3 over one SA.
//!
//! What the modes do to a packet's header is laid down in a `Form`, by which the `Sealer` makes the packet.

use crate::buffer::PacketBuf;
use crate::config::OutboundConfig;
use crate::error::{InstallError, SealError};
use crate::form::Form;
use crate::icmp::{MIN_MTU_V4, MIN_MTU_V6, TooBigNotice};
use crate::install;
use crate::ip::{IpHeader, IpVersion};
use crate::lifetime::{Bounds, Expired, Lifetime, LifetimeEvent};
use crate::outer::OuterFields;
use crate::path_mtu::PathMtu;
use crate::sealer::Sealer;
use crate::sequence::SequenceCounter;
use crate::statistics::Statistics;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use ipsec_crypto::state::{StateError, StateReader, StateWriter};
use ipsec_crypto::{CryptoProvider, PacketCipher, PacketNumber};
use ipsec_types::sa::{ChildSa, Direction, ExpiryReason, SaInstall};
use ipsec_types::{Encapsulation, EspSpi, Instant, Path, SequenceNumbers};

/// A packet that was sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// Its sequence number, whole.
    pub number: u64,
    /// What stands in the outer header, or should where the operating system makes it.
    pub outer: OuterFields,
}

/// What changes from packet to packet of an outbound SA.
#[repr(C)]
pub(crate) struct SendTally {
    counter: SequenceCounter,
    lifetime: Lifetime,
    path_mtu: PathMtu,
    pub(crate) statistics: Statistics,
}

impl SendTally {
    /// Reads what every packet needs of it.
    #[inline]
    pub(crate) const fn touch(&self) -> u64 {
        self.counter.last() ^ self.lifetime.packets() ^ self.statistics.packets
    }

    /// Whether the SA lives.
    #[inline(always)]
    pub(crate) fn check(&mut self, now: Instant) -> Result<(), SealError> {
        self.lifetime.check(now).map_err(ended)
    }

    /// What the outer header says of fragments where the path takes the packet in its form.
    #[inline(always)]
    pub(crate) fn fit(
        &mut self,
        now: Instant,
        sealer: &Sealer,
        header: &IpHeader,
        form: &Form,
    ) -> Result<OuterFields, SealError> {
        let (total, fields) = (sealer.total(form, header.length), form.around.fields);
        if self.path_mtu.may_be_less_than(total) {
            return self.fit_in_path(now, sealer, header, fields, total);
        }
        Ok(fields)
    }

    /// What is to be done with a packet that is larger than the path seems to take (RFC 4301 §8.2): fragmented
    /// behind the outer header where both may be.
    #[cold]
    fn fit_in_path(
        &mut self,
        now: Instant,
        sealer: &Sealer,
        header: &IpHeader,
        fields: OuterFields,
        total: usize,
    ) -> Result<OuterFields, SealError> {
        let mtu = self.path_mtu.at(now, &sealer.config.path_mtu);
        if total <= mtu {
            return Ok(fields);
        }
        let inner = sealer.max_inner(mtu).unwrap_or(0);
        // No IPv6 source may be told less than what every link takes (RFC 8200 §5), nor an IPv4 one (RFC 791).
        let least = if header.version == IpVersion::V6 { MIN_MTU_V6 } else { MIN_MTU_V4 };
        if header.length <= least {
            return Ok(OuterFields { dont_fragment: false, ..fields });
        }
        if header.dont_fragment || fields.dont_fragment {
            return Err(SealError::TooBig(inner.max(least)));
        }
        Ok(fields)
    }

    /// Takes the number of a packet with so many octets of text.
    #[inline(always)]
    pub(crate) fn take(&mut self, now: Instant, text_len: u64) -> Result<u64, SealError> {
        let Some(number) = self.counter.peek() else { return Err(self.without_number()) };
        self.lifetime.charge(now, text_len).map_err(ended)?;
        self.counter.give(number);
        self.lifetime.note_number(number);
        Ok(number)
    }

    #[cold]
    fn without_number(&self) -> SealError {
        match self.counter.ceiling() {
            Some(_) => SealError::CheckpointDue,
            None => SealError::NumbersExhausted,
        }
    }

    /// Counts what became of a packet of `octets` octets.
    #[inline]
    pub(crate) fn count(&mut self, octets: usize, sealed: &Result<Sealed, SealError>) {
        match sealed {
            Ok(_) => self.statistics.count_packet(octets),
            Err(error) => self.statistics.count_drop(error.reason()),
        }
    }

    /// Takes back what [`SendTally::count`] said of a packet that was then not sealed.
    #[cfg(feature = "std")]
    #[cold]
    pub(crate) fn recount(&mut self, octets: usize, error: &SealError) {
        self.statistics.uncount_packet(octets);
        self.statistics.count_drop(error.reason());
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

    pub(crate) const fn last_number(&self) -> u64 {
        self.counter.last()
    }
}

/// One direction of a Child SA: what we send by.
///
/// It can't be cloned: a sequence number, and with it a nonce, is used once. With the feature `std` it can be shared
/// by threads: `OutboundSa::into_shared`.
#[repr(C)]
pub struct OutboundSa {
    tally: SendTally,
    sealer: Sealer,
}

impl OutboundSa {
    /// Makes the SA; its life begins at `now`.
    ///
    /// # Errors
    /// Each [`InstallError`].
    pub fn new(
        provider: &CryptoProvider,
        install: SaInstall,
        config: OutboundConfig,
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
        config: OutboundConfig,
        now: Instant,
    ) -> Result<Self, InstallError> {
        let sealer = Sealer::new(cipher, install, config)?;
        let counter = SequenceCounter::new(sealer.child.sequence_numbers);
        let bounds = Bounds::Outbound { last_number: counter.end() };
        let limits = sealer.cipher.limits();
        let tally = SendTally {
            counter,
            lifetime: Lifetime::new(&sealer.child.lifetimes, limits, bounds, config.early, now),
            path_mtu: PathMtu::new(&config.path_mtu),
            statistics: Statistics::ZERO,
        };
        Ok(Self { sealer, tally })
    }

    /// Reads what every packet needs of the SA but the key.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        self.sealer.touch() ^ self.tally.touch()
    }

    /// Reads where the key lies.
    #[inline]
    pub(crate) fn find_key(&self) -> usize {
        self.sealer.cipher.iv_len()
    }

    /// Reads the key.
    #[inline]
    pub(crate) fn touch_key(&self) {
        self.sealer.cipher.touch();
    }

    /// The two halves, for sharing.
    #[cfg(feature = "std")]
    pub(crate) fn into_parts(self) -> (Sealer, SendTally) {
        (self.sealer, self.tally)
    }

    /// The SA of two halves.
    #[cfg(feature = "std")]
    pub(crate) const fn from_parts(sealer: Sealer, tally: SendTally) -> Self {
        Self { sealer, tally }
    }

    /// Protects the IP packet in `packet`, which becomes the ESP packet or the whole outer packet as
    /// [`OutboundConfig::framing`] says. The payload stays where it is.
    ///
    /// Whether the SA's selectors admit the packet is the caller's to know; [`OutboundSa::admits`] tells.
    ///
    /// # Errors
    /// Each [`SealError`] but [`SealError::NoSa`]; `packet` then is as it was, but for
    /// [`SealError::Cipher`], after which its octets are unspecified.
    pub fn seal(&mut self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Sealed, SealError> {
        match &IpHeader::parse(packet.as_slice()) {
            Ok(header) => self.seal_parsed(now, packet, header),
            Err(error) => Err(self.count((*error).into())),
        }
    }

    /// [`OutboundSa::seal`] for a packet whose header was read already.
    #[inline]
    pub(crate) fn seal_parsed(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        header: &IpHeader,
    ) -> Result<Sealed, SealError> {
        let sealed = self.try_seal(now, packet, header);
        self.tally.count(header.length, &sealed);
        sealed
    }

    /// Makes a dummy packet (RFC 4303 §2.6), whose payload is whatever lies in `packet`; the receiver drops it
    /// without a look.
    ///
    /// # Errors
    /// As [`OutboundSa::seal`].
    pub fn seal_dummy(&mut self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Sealed, SealError> {
        let Self { sealer, tally } = self;
        let form = sealer.dummy_form();
        let sealed = tally
            .check(now)
            .and_then(|()| sealer.protect(packet, form, |text_len, _| tally.take(now, text_len)));
        match &sealed {
            Ok(_) => tally.statistics.dummies = tally.statistics.dummies.saturating_add(1),
            Err(error) => tally.statistics.count_drop(error.reason()),
        }
        sealed
    }

    #[inline(always)]
    fn try_seal(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        header: &IpHeader,
    ) -> Result<Sealed, SealError> {
        self.tally.check(now)?;
        Sealer::check_length(packet, header)?;
        match self.sealer.tunnel_form(header) {
            Some(form) => self.seal_as(now, packet, header, form),
            None => self.seal_split(now, packet, header),
        }
    }

    /// Transport and BEET mode, and tunnels whose outer addresses are the packet's own.
    #[inline(never)]
    fn seal_split(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        header: &IpHeader,
    ) -> Result<Sealed, SealError> {
        let form = self.sealer.split_form(packet.as_slice(), header)?;
        let sealed = self.seal_as(now, packet, header, form)?;
        self.sealer.preserve(packet, header);
        Ok(sealed)
    }

    #[inline(always)]
    fn seal_as(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        header: &IpHeader,
        mut form: Form,
    ) -> Result<Sealed, SealError> {
        let Self { sealer, tally } = self;
        form.around.fields = tally.fit(now, sealer, header, &form)?;
        sealer.protect(packet, form, |text_len, _| tally.take(now, text_len))
    }

    /// Whether the SA's selectors admit the packet.
    #[must_use]
    pub fn admits(&self, packet: &IpHeader) -> bool {
        crate::selectors::admits(&self.sealer.child, packet, Direction::Outbound)
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

    /// The largest inner packet whose outer packet, IP and UDP header included, has at most `outer_mtu` octets.
    /// `None` where nothing fits.
    ///
    /// It is exact for the cipher, the padding, TFC padding, the outer family and the encapsulation; in transport
    /// and BEET mode for packets without options and extension headers. IPv6 needs an MTU of at least 1,280 inside;
    /// where this says less, the outer packet must be fragmented (RFC 8200 §5).
    #[must_use]
    pub fn max_inner(&self, outer_mtu: usize) -> Option<usize> {
        self.sealer.max_inner(outer_mtu)
    }

    /// Goes on under other outer addresses or another encapsulation; keys and sequence numbers stay.
    ///
    /// # Errors
    /// [`InstallError::FamiliesMixed`], [`InstallError::UnspecifiedAddress`], and for an SA to a group
    /// [`InstallError::Group`]; nothing has changed then.
    pub fn relocate(&mut self, path: Path, encapsulation: Encapsulation) -> Result<(), InstallError> {
        self.sealer.relocate(path, encapsulation)?;
        self.tally.path_mtu = PathMtu::new(&self.sealer.config.path_mtu);
        Ok(())
    }

    /// Octets of the largest outer packet that the path takes, as far as is known.
    pub fn path_mtu(&mut self, now: Instant) -> Option<usize> {
        Some(self.tally.path_mtu.at(now, &self.sealer.config.path_mtu)).filter(|mtu| *mtu < usize::MAX)
    }

    /// Hears what a router says of the path. Gives the new path MTU; `None` where the notice is not believed (it
    /// quotes no packet that was sent lately by this SA), or tells nothing new.
    pub fn learn_path_mtu(&mut self, now: Instant, notice: &TooBigNotice) -> Option<usize> {
        let Sealer { spi, path, child, .. } = &self.sealer;
        let by_packet = child.group.is_some_and(|group| group.preserves_destination);
        let leads_there = by_packet || notice.destination == path.remote_ip();
        if !leads_there || notice.esp.spi != spi.get() || self.sealer.encapsulation != Encapsulation::None {
            return None;
        }
        self.tally.path_mtu.learn(now, &self.sealer.config.path_mtu, notice, self.tally.counter.last())
    }

    /// What changed since it was made, as fields of a state, with the last number of which the other goes on.
    pub(crate) fn save(&self, now: Instant, last: u64, w: &mut StateWriter) {
        let SendTally { counter: _, lifetime, path_mtu, statistics } = &self.tally;
        w.put_u64(last);
        lifetime.save(now, w);
        path_mtu.save(now, w);
        statistics.save(w);
    }

    /// The number so far above the last one, or the last one that there is, or that may be given.
    pub(crate) fn leap(&self, leap: u64, past_the_ceiling: bool) -> u64 {
        let counter = &self.tally.counter;
        let most = counter.ceiling().filter(|_| !past_the_ceiling).unwrap_or(counter.end());
        counter.last().saturating_add(leap).min(most)
    }

    /// Above which number none is given, if there is such a one.
    pub(crate) fn ceiling(&self) -> Option<u64> {
        self.tally.counter.ceiling()
    }

    /// The last number that may be given now.
    pub(crate) fn limit(&self) -> u64 {
        self.tally.counter.ceiling().unwrap_or(self.tally.counter.end())
    }

    /// Gives no number above this one from now on.
    pub(crate) fn hold(&mut self, ceiling: u64) {
        self.tally.counter.hold(ceiling);
    }

    /// Goes on from where another one was, `since` ago.
    pub(crate) fn resume(
        &mut self,
        now: Instant,
        since: Duration,
        r: &mut StateReader<'_>,
    ) -> Result<(), StateError> {
        let at = r.at();
        let last = r.u64()?;
        self.tally.lifetime.resume(now, since, r)?;
        self.tally.path_mtu.resume(now, since, r)?;
        self.tally.statistics = Statistics::resume(r)?;
        let leapt = self.leap_to(last);
        if leapt { Ok(()) } else { Err(StateError::Value { at, what: "sequence number of the SA" }) }
    }

    /// Leaps ahead in the sequence numbers, so that the next one is `last + 1`. `false`, and no change, where
    /// that would be a step back or past the end.
    #[must_use]
    pub fn leap_to(&mut self, last: u64) -> bool {
        let leapt = self.tally.counter.leap_to(last);
        if leapt {
            self.tally.lifetime.note_number(last);
        }
        leapt
    }

    /// What the lifetimes have to say of themselves at this time: see [`OutboundSa::next_deadline`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tally.handle_timeout(now);
    }

    /// When [`OutboundSa::handle_timeout`] is to be called.
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
        self.sealer.spi
    }

    /// The sequence number given last, 0 before the first packet.
    #[must_use]
    pub const fn last_number(&self) -> u64 {
        self.tally.last_number()
    }

    /// The outer addresses.
    #[must_use]
    pub const fn path(&self) -> &Path {
        &self.sealer.path
    }

    /// From where to where a packet with this header goes: the outer addresses, but for those that are the packet's own
    /// ([`ipsec_types::sa::GroupSa`]).
    #[must_use]
    #[inline]
    pub fn path_of(&self, packet: &IpHeader) -> Path {
        self.sealer.path_of(packet)
    }

    /// Raw ESP or UDP.
    #[must_use]
    pub const fn encapsulation(&self) -> Encapsulation {
        self.sealer.encapsulation
    }

    /// What both directions of the pair share, as it was installed.
    #[must_use]
    pub const fn child(&self) -> &Arc<ChildSa> {
        &self.sealer.child
    }

    /// What was sent and dropped.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.tally.statistics
    }

    fn count(&mut self, error: SealError) -> SealError {
        self.tally.statistics.count_drop(error.reason());
        error
    }
}

/// The number of a packet as the cipher takes it.
pub(crate) const fn packet_number(kind: SequenceNumbers, number: u64) -> PacketNumber {
    match kind {
        SequenceNumbers::Sequential64 => PacketNumber::esn(number),
        _ => PacketNumber::explicit(number),
    }
}

/// The end of the sequence numbers has an error of its own.
fn ended(expired: Expired) -> SealError {
    match expired.0 {
        ExpiryReason::SequenceNumbers => SealError::NumbersExhausted,
        _ => expired.into(),
    }
}

impl fmt::Debug for OutboundSa {
    /// The whole state without keys and statistics: what compares equal is equal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundSa")
            .field("sealer", &self.sealer)
            .field("counter", &self.tally.counter)
            .field("lifetime", &self.tally.lifetime)
            .field("path_mtu", &self.tally.path_mtu)
            .finish_non_exhaustive()
    }
}
