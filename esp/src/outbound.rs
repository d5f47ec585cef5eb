//! Sending: the steps of RFC 4303 §3.3 over one SA.
//!
//! What the modes do to a packet's header is laid down in a [`Form`].

use crate::beet::InnerPair;
use crate::buffer::PacketBuf;
use crate::config::{Framing, OutboundConfig, TfcPadding};
use crate::error::{InstallError, SealError};
use crate::form::Form;
use crate::icmp::{MIN_MTU_V4, MIN_MTU_V6, TooBigNotice};
use crate::install;
use crate::ip::{IpHeader, IpVersion};
use crate::lifetime::{Bounds, Expired, Lifetime, LifetimeEvent};
use crate::outer::{
    OuterFields, OuterHeader, PROTOCOL_UDP, ip_header_len, max_outer_packet, outer_header_len,
};
use crate::packet::{EspHeader, Layout, NEXT_HEADER_DUMMY, PROTOCOL_ESP, write_trailer};
use crate::path_mtu::PathMtu;
use crate::sequence::SequenceCounter;
use crate::statistics::Statistics;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use ipsec_crypto::{CryptoProvider, PacketCipher, PacketNumber};
use ipsec_types::sa::{ChildSa, Direction, ExpiryReason, SaInstall};
use ipsec_types::{Encapsulation, EspSpi, Instant, Mode, Path, SequenceNumbers};

/// A packet that was sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// Its sequence number, whole.
    pub number: u64,
    /// What stands in the outer header, or should where the operating system makes it.
    pub outer: OuterFields,
}

/// One direction of a Child SA: what we send by.
///
/// It can't be cloned: a sequence number, and with it a nonce, is used once.
pub struct OutboundSa {
    cipher: Box<dyn PacketCipher>,
    layout: Layout,
    spi: EspSpi,
    counter: SequenceCounter,
    lifetime: Lifetime,
    tfc: TfcPadding,
    /// Where the whole outer packet is made.
    outer: Option<OuterHeader>,
    path: Path,
    path_mtu: PathMtu,
    encapsulation: Encapsulation,
    /// In BEET mode: the addresses that are not sent.
    inner: Option<InnerPair>,
    config: OutboundConfig,
    child: Arc<ChildSa>,
    statistics: Statistics,
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
        let inner = install::check(&install)?;
        let SaInstall { child, spi, .. } = install;
        let outer = outer_header(&config, &child.path, child.encapsulation)?;
        let counter = SequenceCounter::new(child.sequence_numbers);
        let bounds = Bounds::Outbound { last_number: counter.limit() };
        Ok(Self {
            layout: Layout::of(&*cipher),
            lifetime: Lifetime::new(&child.lifetimes, cipher.limits(), bounds, config.early, now),
            cipher,
            spi,
            counter,
            tfc: if child.tfc_allowed { config.tfc } else { TfcPadding::Off },
            outer,
            path: child.path,
            path_mtu: PathMtu::new(&config.path_mtu),
            encapsulation: child.encapsulation,
            inner,
            config,
            child,
            statistics: Statistics::ZERO,
        })
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
        match IpHeader::parse(packet.as_slice()) {
            Ok(header) => self.seal_parsed(now, packet, &header),
            Err(error) => Err(self.count(error.into())),
        }
    }

    /// [`OutboundSa::seal`] for a packet whose header was read already.
    pub(crate) fn seal_parsed(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        header: &IpHeader,
    ) -> Result<Sealed, SealError> {
        match self.try_seal(now, packet, header) {
            Ok(sealed) => {
                self.statistics.count_packet(header.length);
                Ok(sealed)
            }
            Err(error) => Err(self.count(error)),
        }
    }

    /// Makes a dummy packet (RFC 4303 §2.6), whose payload is whatever lies in `packet`; the receiver drops it
    /// without a look.
    ///
    /// # Errors
    /// As [`OutboundSa::seal`].
    pub fn seal_dummy(&mut self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Sealed, SealError> {
        let form = Form::tunnel(NEXT_HEADER_DUMMY, 0, self.outer_fields(0, true), self.outer_len());
        match self.lifetime.check(now).map_err(ended).and_then(|()| self.protect(now, packet, &form)) {
            Ok(sealed) => {
                self.statistics.dummies = self.statistics.dummies.saturating_add(1);
                Ok(sealed)
            }
            Err(error) => Err(self.count(error)),
        }
    }

    fn try_seal(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        header: &IpHeader,
    ) -> Result<Sealed, SealError> {
        let got = packet.len();
        if header.length != got {
            return Err(SealError::InnerLength { stated: header.length, got });
        }
        self.lifetime.check(now).map_err(ended)?;
        let mut form = self.form(packet.as_slice(), header)?;
        let total = self.total(&form, got);
        if self.path_mtu.may_be_less_than(total) {
            self.fit(now, header, &mut form, total)?;
        }
        self.protect(now, packet, &form)
    }

    /// Octets of the outer packet around a packet of `len` octets.
    fn total(&self, form: &Form, len: usize) -> usize {
        let payload = form.before() + len.saturating_sub(form.cut) + form.tfc;
        form.outside + self.layout.packet_len(payload)
    }

    /// What is to be done with a packet that is larger than the path seems to take (RFC 4301 §8.2): fragmented
    /// behind the outer header where both may be.
    #[cold]
    fn fit(
        &mut self,
        now: Instant,
        header: &IpHeader,
        form: &mut Form,
        total: usize,
    ) -> Result<(), SealError> {
        let mtu = self.path_mtu.at(now, &self.config.path_mtu);
        if total <= mtu {
            return Ok(());
        }
        let inner = self.max_inner(mtu).unwrap_or(0);
        // No IPv6 source may be told less than what every link takes (RFC 8200 §5), nor an IPv4 one (RFC 791).
        let least = if header.version == IpVersion::V6 { MIN_MTU_V6 } else { MIN_MTU_V4 };
        if header.length <= least {
            form.around.fields.dont_fragment = false;
        } else if header.dont_fragment || form.around.fields.dont_fragment {
            return Err(SealError::TooBig(inner.max(least)));
        }
        Ok(())
    }

    fn form(&self, packet: &[u8], header: &IpHeader) -> Result<Form, SealError> {
        let outside = self.outer_len();
        let fields = self.outer_fields(header.ds_field, header.dont_fragment);
        Ok(match (self.child.mode, &self.inner) {
            (Mode::Transport, _) => {
                let between = outside - ip_header_len(self.path.remote.is_ipv4());
                Form::transport(packet, header, &self.path, between, self.outer.is_some())?
            }
            (Mode::Beet, Some(pair)) => Form::beet(packet, header, pair, fields, outside)?,
            _ => Form::tunnel(header.version.next_header(), self.tfc.octets(header.length), fields, outside),
        })
    }

    fn protect(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        form: &Form,
    ) -> Result<Sealed, SealError> {
        let inside = packet.len().saturating_sub(form.cut);
        let payload = form.before() + inside + form.tfc;
        let total = self.total(form, packet.len());
        if total > max_outer_packet(self.path.remote.is_ipv4()) {
            return Err(SealError::TooLarge(total));
        }
        let before = packet.range();
        let written = if self.outer.is_some() { form.outside } else { 0 };
        let front = written + self.layout.payload_offset() + form.before();
        packet.reshape(form.cut, front, form.tfc + self.layout.behind(payload))?;
        let sealed = self.fill(now, packet.as_mut_slice(), inside, written, form);
        if sealed.is_err() {
            packet.restore(before);
        }
        sealed
    }

    /// Writes the packet: `datagram` is `outside` octets of header and the ESP packet, in which `inside` octets are
    /// there already.
    fn fill(
        &mut self,
        now: Instant,
        datagram: &mut [u8],
        inside: usize,
        outside: usize,
        form: &Form,
    ) -> Result<Sealed, SealError> {
        let payload = form.before() + inside + form.tfc;
        let padding = self.layout.padding(payload);
        let icv_at = datagram.len() - self.cipher.icv_len();
        let payload_at = outside + self.layout.payload_offset();
        let inside_at = payload_at + form.before();
        let text_len = self.layout.text_len(payload) as u64;
        self.lifetime.charge(now, text_len).map_err(ended)?;
        // From here on the number is used, whatever happens.
        let number = self.counter.take().ok_or(SealError::NumbersExhausted)?;
        self.lifetime.note_number(number);

        if let Some(kept) = form.kept.filter(|_| outside > 0) {
            // To the datagram's start, before ESP's header is written over its end.
            datagram.copy_within(inside_at - kept.len..inside_at, 0);
        }
        if let Some(pseudo_header) = &form.pseudo_header {
            pseudo_header.write(datagram.get_mut(payload_at..).unwrap_or_default());
        }
        if let Some(trailer) = datagram.get_mut(inside_at + inside..icv_at) {
            write_trailer(trailer, padding as u8, form.next_header);
        }
        let header = EspHeader { spi: self.spi.get(), sequence_number: number as u32 };
        if let Some(esp) = datagram.get_mut(outside..) {
            if let Some(start) = esp.first_chunk_mut() {
                *start = header.to_octets();
            }
            self.cipher.seal(packet_number(self.kind(), number), header.to_octets().len(), esp)?;
        }
        match (&self.outer, &form.kept) {
            (Some(outer), Some(kept)) => {
                let next = if outer.has_udp() { PROTOCOL_UDP } else { PROTOCOL_ESP };
                kept.name_next(datagram, next);
                outer.write_udp(datagram.get_mut(kept.len..).unwrap_or_default());
            }
            // The low half of the number tells fragments apart for 2^16 packets, as any counter would.
            (Some(outer), None) => outer.write(datagram, &form.around, number as u16),
            (None, _) => {}
        }
        Ok(Sealed { number, outer: form.around.fields })
    }

    /// Whether the SA's selectors admit the packet.
    #[must_use]
    pub fn admits(&self, packet: &IpHeader) -> bool {
        crate::selectors::admits(&self.child, packet, Direction::Outbound)
    }

    /// Octets of room that are always enough in front of a packet.
    #[must_use]
    pub fn headroom(&self) -> usize {
        self.outer.as_ref().map_or(0, OuterHeader::len) + self.layout.payload_offset()
    }

    /// Octets of room that are always enough behind a packet.
    #[must_use]
    pub const fn tailroom(&self) -> usize {
        self.layout.max_behind() + self.tfc.max_octets()
    }

    /// The largest inner packet whose outer packet, IP and UDP header included, has at most `outer_mtu` octets.
    /// `None` where nothing fits.
    ///
    /// It is exact for the cipher, the padding, TFC padding, the outer family and the encapsulation; in transport
    /// and BEET mode for packets without options and extension headers. IPv6 needs an MTU of at least 1,280 inside; where
    /// this says less, the outer packet must be fragmented (RFC 8200 §5).
    #[must_use]
    pub fn max_inner(&self, outer_mtu: usize) -> Option<usize> {
        let outer_mtu = outer_mtu.min(max_outer_packet(self.path.remote.is_ipv4()));
        let payload = self.layout.max_payload(outer_mtu.checked_sub(self.outer_len())?)?;
        let kept_or_made = match (self.child.mode, &self.inner) {
            (Mode::Transport, _) => Some(self.path.remote.is_ipv4()),
            (_, inner) => inner.map(|pair| pair.local.is_ipv4()),
        };
        if let Some(is_ipv4) = kept_or_made {
            return Some(ip_header_len(is_ipv4) + payload);
        }
        match self.tfc {
            TfcPadding::Off | TfcPadding::ToMultiple(0 | 1) => Some(payload),
            TfcPadding::ToLength(to) => (payload >= usize::from(to)).then_some(payload),
            TfcPadding::ToMultiple(of) => Some(payload / usize::from(of) * usize::from(of)),
        }
    }

    /// Goes on under other outer addresses or another encapsulation; keys and sequence numbers stay.
    ///
    /// # Errors
    /// [`InstallError::FamiliesMixed`], [`InstallError::UnspecifiedAddress`]; nothing has changed then.
    pub fn relocate(&mut self, path: Path, encapsulation: Encapsulation) -> Result<(), InstallError> {
        self.outer = outer_header(&self.config, &path, encapsulation)?;
        self.path_mtu = PathMtu::new(&self.config.path_mtu);
        self.path = path;
        self.encapsulation = encapsulation;
        Ok(())
    }

    /// Octets of the largest outer packet that the path takes, as far as is known.
    pub fn path_mtu(&mut self, now: Instant) -> Option<usize> {
        Some(self.path_mtu.at(now, &self.config.path_mtu)).filter(|mtu| *mtu < usize::MAX)
    }

    /// Hears what a router says of the path. Gives the new path MTU; `None` where the notice is not believed (it
    /// quotes no packet that was sent lately by this SA), or tells nothing new.
    pub fn learn_path_mtu(&mut self, now: Instant, notice: &TooBigNotice) -> Option<usize> {
        let ours = notice.destination == self.path.remote_ip() && notice.esp.spi == self.spi.get();
        if !ours || self.encapsulation != Encapsulation::None {
            return None;
        }
        self.path_mtu.learn(now, &self.config.path_mtu, notice, self.counter.last())
    }

    /// Leaps ahead in the sequence numbers, so that the next one is `last + 1`. `false`, and no change, where
    /// that would be a step back or past the end.
    #[must_use]
    pub fn leap_to(&mut self, last: u64) -> bool {
        let leapt = self.counter.leap_to(last);
        if leapt {
            self.lifetime.note_number(last);
        }
        leapt
    }

    /// What the lifetimes have to say of themselves at this time: see [`OutboundSa::next_deadline`].
    pub fn handle_timeout(&mut self, now: Instant) {
        let _told_by_its_event = self.lifetime.check(now);
    }

    /// When [`OutboundSa::handle_timeout`] is to be called.
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

    /// The sequence number given last, 0 before the first packet.
    #[must_use]
    pub const fn last_number(&self) -> u64 {
        self.counter.last()
    }

    /// The outer addresses.
    #[must_use]
    pub const fn path(&self) -> &Path {
        &self.path
    }

    /// Raw ESP or UDP.
    #[must_use]
    pub const fn encapsulation(&self) -> Encapsulation {
        self.encapsulation
    }

    /// What both directions of the pair share, as it was installed.
    #[must_use]
    pub const fn child(&self) -> &Arc<ChildSa> {
        &self.child
    }

    /// What was sent and dropped.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn kind(&self) -> SequenceNumbers {
        self.child.sequence_numbers
    }

    const fn outer_fields(&self, ds_field: u8, dont_fragment: bool) -> OuterFields {
        let OutboundConfig { dscp, ecn, dont_fragment: df, .. } = self.config;
        OuterFields::of(ds_field, dont_fragment, dscp, ecn, df)
    }

    /// Octets of the outer header, whoever makes it.
    fn outer_len(&self) -> usize {
        outer_header_len(self.path.remote.is_ipv4(), self.encapsulation == Encapsulation::Udp)
    }

    fn count(&mut self, error: SealError) -> SealError {
        self.statistics.count_drop(error.reason());
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

/// The outer header to write, where we write it.
fn outer_header(
    config: &OutboundConfig,
    path: &Path,
    encapsulation: Encapsulation,
) -> Result<Option<OuterHeader>, InstallError> {
    if config.framing == Framing::EspPacket {
        return Ok(None);
    }
    let (source, destination) = (path.local_ip(), path.remote_ip());
    if source.is_unspecified() || destination.is_unspecified() {
        return Err(InstallError::UnspecifiedAddress);
    }
    let ports = (encapsulation == Encapsulation::Udp).then(|| (path.local.port(), path.remote.port()));
    Ok(Some(OuterHeader::new(source, destination, ports, config.hop_limit)?))
}

impl fmt::Debug for OutboundSa {
    /// The whole state without keys and statistics: what compares equal is equal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundSa")
            .field("spi", &self.spi)
            .field("counter", &self.counter)
            .field("lifetime", &self.lifetime)
            .field("layout", &self.layout)
            .field("tfc", &self.tfc)
            .field("outer", &self.outer)
            .field("path", &self.path)
            .field("encapsulation", &self.encapsulation)
            .field("config", &self.config)
            .field("child", &self.child)
            .finish_non_exhaustive()
    }
}
