//! The part of an inbound SA that does not change from packet to packet: how packets are opened and judged.

use crate::beet::InnerPair;
use crate::buffer::PacketBuf;
use crate::config::InboundConfig;
use crate::ecn::{Ecn, EcnMark};
use crate::error::{InstallError, OpenError};
use crate::icmp;
use crate::inbound::{Opened, unknown_spi};
use crate::install;
use crate::ip::{IpError, IpHeader};
use crate::outbound::packet_number;
use crate::packet::{ESP_HEADER, EspHeader, Layout, LayoutError, NEXT_HEADER_DUMMY, Trailer, read_trailer};
use crate::restore::{self, Front};
use crate::selectors::{self, Plain};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::net::IpAddr;
use core::ops::Range;
use ipsec_crypto::PacketCipher;
use ipsec_types::sa::{ChildSa, Direction, SaInstall};
use ipsec_types::{EspSpi, Mode, SequenceNumbers};

/// See the module. Beside it an SA has what it counts: [`crate::inbound::ReceiveTally`].
///
/// First comes what a packet in tunnel mode needs; the rest, and `child`, lie elsewhere in memory.
#[repr(C)]
pub(crate) struct Opener {
    pub(crate) cipher: Box<dyn PacketCipher>,
    layout: Layout,
    pub(crate) spi: EspSpi,
    /// Of `child`: tunnel mode, and not to a group.
    plain_tunnel: bool,
    pub(crate) sequence_numbers: SequenceNumbers,
    /// Of `child`.
    selectors: Option<Plain>,
    pub(crate) config: InboundConfig,
    /// In BEET mode: the addresses that are not sent.
    inner: Option<InnerPair>,
    pub(crate) child: Arc<ChildSa>,
}

/// What is counted of a packet that is delivered.
pub(crate) struct Delivery {
    /// Octets of the inner packet; `None` for a dummy.
    pub(crate) octets: Option<usize>,
    pub(crate) misaligned: bool,
    pub(crate) unusual_ecn: bool,
}

impl Opener {
    pub(crate) fn new(
        cipher: Box<dyn PacketCipher>,
        install: SaInstall,
        config: InboundConfig,
    ) -> Result<Self, InstallError> {
        let inner = install::check(&install, Direction::Inbound)?;
        let SaInstall { child, spi, .. } = install;
        let (layout, sequence_numbers) = (Layout::of(&*cipher), child.sequence_numbers);
        let plain_tunnel = child.mode == Mode::Tunnel && child.group.is_none();
        let selectors = Plain::of(&child, Direction::Inbound);
        Ok(Self { cipher, layout, spi, plain_tunnel, sequence_numbers, selectors, config, inner, child })
    }

    /// Reads what every packet needs of it but the key.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        u64::from(self.spi.get()) ^ u64::from(self.config.strict_padding)
    }

    #[inline(always)]
    fn admits(&self, packet: &IpHeader) -> bool {
        self.selectors.is_some_and(|selectors| selectors.admits(packet))
            || selectors::admits(&self.child, packet, Direction::Inbound)
    }

    /// What is known of the header of a packet that came without it.
    pub(crate) fn front(&self, ecn: Option<Ecn>) -> Front {
        let path = &self.child.path;
        if let Some(group) = &self.child.group {
            let nobody = if group.group.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
            let source = group.source.unwrap_or(nobody);
            return Front { source, destination: group.group, ecn, in_place: None };
        }
        Front { source: path.remote_ip(), destination: path.local_ip(), ecn, in_place: None }
    }

    /// Step 3: the octets of text, and the number as far as it was sent.
    #[inline(always)]
    pub(crate) fn examine(&self, packet: &PacketBuf<'_>) -> Result<(usize, u32), OpenError> {
        let text_len = self.layout.text_of(packet.len())?;
        let too_short = LayoutError::TooShort { got: packet.len(), minimum: ESP_HEADER };
        let header = EspHeader::parse(packet.as_slice()).ok_or(too_short)?;
        if header.spi != self.spi.get() {
            return Err(unknown_spi(header.spi));
        }
        Ok((text_len, header.sequence_number))
    }

    /// Step 6: whether the packet is authentic under this number. If so, it is decrypted.
    #[inline(always)]
    pub(crate) fn decrypt(&self, number: u64, packet: &mut [u8]) -> bool {
        let number = packet_number(self.sequence_numbers, number);
        self.cipher.open(number, ESP_HEADER, packet).is_ok()
    }

    /// Where the decrypted text lies.
    pub(crate) const fn text(&self, text_len: usize) -> Range<usize> {
        let start = self.layout.payload_offset();
        start..start + text_len
    }

    /// Whether the packet is an ICMP error about packets that the SA is for (RFC 4301 §6.2).
    #[cold]
    fn admits_answer(&self, packet: &[u8], header: &IpHeader) -> bool {
        let answer = icmp::answer_to_quoted(packet, header);
        answer.is_some_and(|answer| self.admits(&answer))
    }

    /// Steps 8 to 12 of receiving: what makes the inside fit for delivery. `ecn` is the outer ECN field, where it is
    /// known; `front` tells of the whole header, which only the modes ask that do not send it inside. `count` hears
    /// what is delivered, and `opened` becomes what it was: where it will stay, since a move of it waits for the octets that
    /// were just written.
    #[inline(always)]
    pub(crate) fn deliver(
        &self,
        packet: &mut PacketBuf<'_>,
        text: Range<usize>,
        ecn: Option<Ecn>,
        front: impl FnOnce() -> Front,
        count: impl FnOnce(Delivery),
        opened: &mut Opened,
    ) -> Result<(), OpenError> {
        let misaligned = !text.end.is_multiple_of(4);
        if misaligned && self.config.strict_alignment {
            return Err(OpenError::Alignment);
        }
        let start = text.start;
        let text = packet.as_mut_slice().get_mut(text).unwrap_or_default();
        let trailer = read_trailer(text, self.config.strict_padding)?;
        if trailer.next_header == NEXT_HEADER_DUMMY {
            count(Delivery { octets: None, misaligned: false, unusual_ecn: false });
            *opened = Opened::Dummy;
            return Ok(());
        }
        let mut mark = EcnMark::Usual;
        let parsed = if self.plain_tunnel {
            mark = restore::tunnel(packet, start, trailer, ecn)?;
            IpHeader::parse(packet.as_slice())
        } else {
            self.restore_header(packet, start, trailer, &front(), &mut mark)?
        };
        // Looked at where it lies: every move of it waits for the octets that were just written.
        let header = match &parsed {
            Ok(header) => header,
            Err(error) => return Err((*error).into()),
        };
        // What is left over is TFC padding.
        let _within = packet.narrow(0..header.length);
        if !self.admits(header) && !self.admits_answer(packet.as_slice(), header) {
            return Err(OpenError::Selectors);
        }
        let unusual_ecn = mark != EcnMark::Usual;
        count(Delivery { octets: Some(header.length), misaligned, unusual_ecn });
        *opened = Opened::Packet(*header);
        Ok(())
    }

    /// The packet of transport and BEET mode, behind the header that it had; and that of a tunnel to a group, whose
    /// addresses the outer header must have.
    #[inline(never)]
    fn restore_header(
        &self,
        packet: &mut PacketBuf<'_>,
        payload_at: usize,
        trailer: Trailer,
        front: &Front,
        mark: &mut EcnMark,
    ) -> Result<Result<IpHeader, IpError>, OpenError> {
        let header = match (&self.inner, &self.child.group) {
            (_, Some(group)) if self.child.mode == Mode::Tunnel => {
                *mark = restore::tunnel(packet, payload_at, trailer, front.ecn)?;
                let header = IpHeader::parse(packet.as_slice())?;
                restore::check_preserved(group, &header, front)?;
                header
            }
            (Some(pair), _) => restore::beet(packet, payload_at, trailer, front, pair)?,
            (None, _) => {
                let original = self.child.original_addresses.as_ref();
                restore::transport(packet, payload_at, trailer, front, original)?
            }
        };
        Ok(Ok(header))
    }
}

impl fmt::Debug for Opener {
    /// Everything but the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("spi", &self.spi)
            .field("layout", &self.layout)
            .field("config", &self.config)
            .field("child", &self.child)
            .finish_non_exhaustive()
    }
}
