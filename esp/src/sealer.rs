//! The part of an outbound SA that does not change from packet to packet: how its packets are made.

use crate::beet::InnerPair;
use crate::buffer::PacketBuf;
use crate::config::{Framing, OutboundConfig, TfcPadding};
use crate::error::{InstallError, NotCarried, SealError};
use crate::form::Form;
use crate::install;
use crate::ip::IpHeader;
use crate::outbound::{Sealed, packet_number};
use crate::outer::{
    OuterFields, OuterHeader, PROTOCOL_UDP, ip_header_len, max_outer_packet, outer_header_len,
    write_addresses,
};
use crate::packet::{EspHeader, Layout, NEXT_HEADER_DUMMY, PROTOCOL_ESP, write_trailer};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use ipsec_crypto::PacketCipher;
use ipsec_types::sa::{ChildSa, Direction, SaInstall};
use ipsec_types::{Encapsulation, EspSpi, Mode, Path, SequenceNumbers};

/// See the module. Beside it an SA has what it counts: [`crate::outbound::SendTally`].
///
/// First comes what a packet in tunnel mode needs; the rest, and `child`, lie elsewhere in memory.
#[repr(C)]
pub(crate) struct Sealer {
    pub(crate) cipher: Box<dyn PacketCipher>,
    layout: Layout,
    pub(crate) spi: EspSpi,
    /// Of `child`: tunnel mode, with the SA's own outer addresses.
    plain_tunnel: bool,
    sequence_numbers: SequenceNumbers,
    pub(crate) encapsulation: Encapsulation,
    /// Which outer addresses are the packet's own: source and destination.
    preserves: (bool, bool),
    /// Octets of the outer header, whoever makes it.
    outer_len: usize,
    tfc: TfcPadding,
    pub(crate) config: OutboundConfig,
    pub(crate) path: Path,
    /// Where the whole outer packet is made.
    outer: Option<OuterHeader>,
    /// In BEET mode: the addresses that are not sent.
    inner: Option<InnerPair>,
    pub(crate) child: Arc<ChildSa>,
}

impl Sealer {
    pub(crate) fn new(
        cipher: Box<dyn PacketCipher>,
        install: SaInstall,
        config: OutboundConfig,
    ) -> Result<Self, InstallError> {
        let inner = install::check(&install, Direction::Outbound)?;
        let SaInstall { child, spi, .. } = install;
        let preserves = child.group.map_or((false, false), |g| (g.preserves_source, g.preserves_destination));
        Ok(Self {
            layout: Layout::of(&*cipher),
            cipher,
            spi,
            tfc: if child.tfc_allowed { config.tfc } else { TfcPadding::Off },
            outer: outer_header(&config, &child.path, child.encapsulation)?,
            outer_len: outer_len(&child.path, child.encapsulation),
            path: child.path,
            encapsulation: child.encapsulation,
            inner,
            config,
            preserves,
            plain_tunnel: child.mode == Mode::Tunnel && preserves == (false, false),
            sequence_numbers: child.sequence_numbers,
            child,
        })
    }

    /// Reads what every packet needs of it but the key.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        u64::from(self.spi.get()) ^ self.outer_len as u64 ^ u64::from(self.path.local.port())
    }

    /// Refuses octets that are not the packet's: nothing of them would be delivered.
    #[inline(always)]
    pub(crate) const fn check_length(packet: &PacketBuf<'_>, header: &IpHeader) -> Result<(), SealError> {
        let got = packet.len();
        if header.length == got { Ok(()) } else { Err(SealError::InnerLength { stated: header.length, got }) }
    }

    /// What becomes of the packet.
    #[cfg(feature = "std")]
    pub(crate) fn form(&self, packet: &[u8], header: &IpHeader) -> Result<Form, NotCarried> {
        self.tunnel_form(header).map_or_else(|| self.split_form(packet, header), Ok)
    }

    /// What becomes of the packet in tunnel mode; `None` in the others, and where outer addresses are the packet's own.
    #[inline(always)]
    pub(crate) fn tunnel_form(&self, header: &IpHeader) -> Option<Form> {
        self.plain_tunnel.then(|| self.any_tunnel_form(header))
    }

    #[inline(always)]
    fn any_tunnel_form(&self, header: &IpHeader) -> Form {
        let fields = self.outer_fields(header.ds_field, header.dont_fragment);
        let tfc = self.tfc.octets(header.length);
        Form::tunnel(header.version.next_header(), tfc, fields, self.outer_len)
    }

    /// What becomes of the packet in transport and BEET mode, and where outer addresses are the packet's own (RFC 5374
    /// §3.1).
    pub(crate) fn split_form(&self, packet: &[u8], header: &IpHeader) -> Result<Form, NotCarried> {
        match &self.inner {
            _ if self.child.mode == Mode::Tunnel => {
                let same_version = header.source.is_ipv4() == self.path.remote.is_ipv4();
                same_version.then(|| self.any_tunnel_form(header)).ok_or(NotCarried::OtherVersion)
            }
            Some(pair) => {
                let fields = self.outer_fields(header.ds_field, header.dont_fragment);
                Form::beet(packet, header, pair, fields, self.outer_len)
            }
            None => {
                let between = self.outer_len - ip_header_len(self.path.remote.is_ipv4());
                Form::transport(packet, header, &self.path, between, self.outer.is_some())
            }
        }
    }

    /// Where a packet with this header goes, and from where.
    #[inline]
    pub(crate) fn path_of(&self, header: &IpHeader) -> Path {
        let mut path = self.path;
        let (source, destination) = self.preserves;
        if source {
            path.local.set_ip(header.source);
        }
        if destination {
            path.remote.set_ip(header.destination);
        }
        path
    }

    /// Brings the packet's own addresses into the outer header that was made, where they are to be there.
    pub(crate) fn preserve(&self, packet: &mut PacketBuf<'_>, header: &IpHeader) {
        if self.outer.is_some() && self.preserves != (false, false) {
            let path = self.path_of(header);
            write_addresses(packet.as_mut_slice(), path.local_ip(), path.remote_ip());
        }
    }

    /// Octets of the outer packet around a packet of `len` octets.
    #[inline(always)]
    pub(crate) fn total(&self, form: &Form, len: usize) -> usize {
        let payload = form.before() + len.saturating_sub(form.cut) + form.tfc;
        form.outside + self.layout.packet_len(payload)
    }

    /// A dummy packet (RFC 4303 §2.6).
    pub(crate) fn dummy_form(&self) -> Form {
        Form::tunnel(NEXT_HEADER_DUMMY, 0, self.outer_fields(0, true), self.outer_len)
    }

    /// Makes room around the packet, takes a number (`take` is told the octets that the cipher will process, and may
    /// still change the form's outer fields), and writes the outer packet. On an error the packet is where it was.
    #[inline(always)]
    pub(crate) fn protect(
        &self,
        packet: &mut PacketBuf<'_>,
        mut form: Form,
        take: impl FnOnce(u64, &mut Form) -> Result<u64, SealError>,
    ) -> Result<Sealed, SealError> {
        let inside = packet.len().saturating_sub(form.cut);
        let payload = form.before() + inside + form.tfc;
        let total = self.total(&form, packet.len());
        if total > max_outer_packet(self.path.remote.is_ipv4()) {
            return Err(SealError::TooLarge(total));
        }
        let before = packet.range();
        let written = if self.outer.is_some() { form.outside } else { 0 };
        let front = written + self.layout.payload_offset() + form.before();
        packet.reshape(form.cut, front, form.tfc + self.layout.behind(payload))?;
        // From here on the number is used, whatever happens.
        let sealed = match take(self.layout.text_len(payload) as u64, &mut form) {
            Ok(number) => self.fill(packet.as_mut_slice(), number, inside, written, &form),
            Err(error) => Err(error),
        };
        if sealed.is_err() {
            packet.restore(before);
        }
        sealed
    }

    /// Writes the packet: `datagram` is `outside` octets of header and the ESP packet, in which `inside` octets are
    /// there already.
    #[inline(always)]
    fn fill(
        &self,
        datagram: &mut [u8],
        number: u64,
        inside: usize,
        outside: usize,
        form: &Form,
    ) -> Result<Sealed, SealError> {
        let payload = form.before() + inside + form.tfc;
        let padding = self.layout.padding(payload);
        let icv_at = datagram.len() - self.layout.icv_len();
        let payload_at = outside + self.layout.payload_offset();
        let inside_at = payload_at + form.before();

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
            self.cipher.seal(packet_number(self.sequence_numbers, number), header.to_octets().len(), esp)?;
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

    /// Octets of room that are always enough in front of a packet.
    #[must_use]
    pub(crate) fn headroom(&self) -> usize {
        self.outer.as_ref().map_or(0, OuterHeader::len) + self.layout.payload_offset()
    }

    /// Octets of room that are always enough behind a packet.
    #[must_use]
    pub(crate) const fn tailroom(&self) -> usize {
        self.layout.max_behind() + self.tfc.max_octets()
    }

    /// The largest inner packet whose outer packet, IP and UDP header included, has at most `outer_mtu` octets.
    /// `None` where nothing fits.
    ///
    /// It is exact for the cipher, the padding, TFC padding, the outer family and the encapsulation; in transport
    /// and BEET mode for packets without options and extension headers. IPv6 needs an MTU of at least 1,280 inside; where
    /// this says less, the outer packet must be fragmented (RFC 8200 §5).
    #[must_use]
    pub(crate) fn max_inner(&self, outer_mtu: usize) -> Option<usize> {
        let outer_mtu = outer_mtu.min(max_outer_packet(self.path.remote.is_ipv4()));
        let payload = self.layout.max_payload(outer_mtu.checked_sub(self.outer_len)?)?;
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

    /// Goes on under other outer addresses or another encapsulation.
    pub(crate) fn relocate(&mut self, path: Path, encapsulation: Encapsulation) -> Result<(), InstallError> {
        install::check_move(&self.child, &path, encapsulation)?;
        self.outer = outer_header(&self.config, &path, encapsulation)?;
        self.outer_len = outer_len(&path, encapsulation);
        self.path = path;
        self.encapsulation = encapsulation;
        Ok(())
    }

    #[inline(always)]
    const fn outer_fields(&self, ds_field: u8, dont_fragment: bool) -> OuterFields {
        let OutboundConfig { dscp, ecn, dont_fragment: df, .. } = self.config;
        OuterFields::of(ds_field, dont_fragment, dscp, ecn, df)
    }
}

/// Octets of the outer header of such a path.
const fn outer_len(path: &Path, encapsulation: Encapsulation) -> usize {
    outer_header_len(path.remote.is_ipv4(), matches!(encapsulation, Encapsulation::Udp))
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

impl fmt::Debug for Sealer {
    /// Everything but the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("spi", &self.spi)
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
