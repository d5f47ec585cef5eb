//! What each mode makes of a decrypted payload: the packet that was sent, with its header (RFC 4303 §3.4, RFC 4301
//! §5.2, RFC 7402 Appendix B).

use crate::beet::{InnerPair, PSEUDO_HEADER, PseudoHeader};
use crate::buffer::PacketBuf;
use crate::ecn::{self, Ecn, EcnMark};
use crate::error::OpenError;
use crate::header::{Made, Outside};
use crate::ip::{self, FRAGMENT, HOP_BY_HOP, IpError, IpHeader, IpVersion, ROUTING};
use crate::nat;
use crate::outer::{OuterPacket, max_outer_packet};
use crate::packet::Trailer;
use core::net::IpAddr;
use ipsec_types::sa::{GroupSa, OriginalAddresses};

/// The header that a received ESP packet came behind, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Front {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ecn: Option<Ecn>,
    /// Where the header itself lies in front of the ESP packet: see [`InPlace`].
    pub(crate) in_place: Option<InPlace>,
}

/// A header that lies in the buffer, in front of the ESP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InPlace {
    /// Octets of it.
    len: usize,
    /// Octets from its start to the ESP packet's: a UDP header may be between.
    to_esp: usize,
}

impl Front {
    pub(crate) const fn of(outer: &OuterPacket) -> Self {
        let in_place = InPlace { len: outer.header_len, to_esp: outer.payload.start };
        Self {
            source: outer.source,
            destination: outer.destination,
            ecn: Some(outer.ecn),
            in_place: Some(in_place),
        }
    }

    /// The header between these addresses that is made where none came.
    const fn made(&self, source: IpAddr, destination: IpAddr) -> Made {
        let ds_field = match self.ecn {
            Some(ecn) => ecn.bits(),
            None => 0,
        };
        Made::new(source, destination, ds_field)
    }
}

/// Tunnel mode: the inner packet is all that is left, with its TFC padding, and with the congestion that it met on the
/// way (RFC 6040 §4.2).
#[inline(always)]
pub(crate) fn tunnel(
    packet: &mut PacketBuf<'_>,
    payload_at: usize,
    trailer: Trailer,
    outer_ecn: Option<Ecn>,
) -> Result<EcnMark, OpenError> {
    let Trailer { payload_len, next_header } = trailer;
    let version = match next_header {
        4 => 4,
        41 => 6,
        other => return Err(OpenError::NextHeader(other)),
    };
    let _within = packet.narrow(payload_at..payload_at + payload_len);
    let payload = packet.as_mut_slice();
    if let Some(&first) = payload.first()
        && first >> 4 != version
    {
        return Err(OpenError::VersionMismatch { next_header, version: first >> 4 });
    }
    let (Some(inner), Some(outer)) = (ip::ecn_of(payload), outer_ecn) else { return Ok(EcnMark::Usual) };
    let (settled, mark) = ecn::decapsulate(inner, outer)?;
    if settled != inner {
        ip::set_ecn(payload, settled);
    }
    Ok(mark)
}

/// Tunnel mode to a group: whether the outer addresses are the inner ones where they must be (RFC 5374 §5.2).
pub(crate) fn check_preserved(group: &GroupSa, header: &IpHeader, front: &Front) -> Result<(), OpenError> {
    let source = !group.preserves_source || header.source == front.source;
    let destination = !group.preserves_destination || header.destination == front.destination;
    if source && destination { Ok(()) } else { Err(OpenError::Preservation) }
}

/// Transport mode: brings the header back to what it stood in front of, mends its fields, and the checksum that NATs
/// made wrong (RFC 4303 §3.4, RFC 3948 §3.1.2).
pub(crate) fn transport(
    packet: &mut PacketBuf<'_>,
    payload_at: usize,
    trailer: Trailer,
    front: &Front,
    original: Option<&OriginalAddresses>,
) -> Result<IpHeader, OpenError> {
    let Trailer { payload_len, next_header } = trailer;
    // These stand in front of ESP, and a fragment is not for transport mode.
    if !front.source.is_ipv4() && matches!(next_header, HOP_BY_HOP | ROUTING | FRAGMENT) {
        return Err(OpenError::NextHeader(next_header));
    }
    let payload_end = payload_at + payload_len;
    let outside = match front.in_place {
        Some(in_place) => bring_back(packet, in_place, payload_at, payload_end)?,
        None => {
            let made = front.made(front.source, front.destination);
            let _within = packet.narrow(0..payload_end);
            make(packet, &made, payload_at, 0)?
        }
    };
    let header = finish(packet, &outside, next_header)?;
    if let Some(original) = original {
        nat::repair_checksum(packet.as_mut_slice(), &header, original);
    }
    Ok(header)
}

/// BEET mode: a header with the SA's inner addresses and what the outer header says beside its own, with IPv4 options
/// from the pseudo header (RFC 7402 Appendix B.1.4, B.1.7).
pub(crate) fn beet(
    packet: &mut PacketBuf<'_>,
    payload_at: usize,
    trailer: Trailer,
    front: &Front,
    pair: &InnerPair,
) -> Result<IpHeader, OpenError> {
    let (source, destination) = (pair.remote, pair.local);
    let made = match front.in_place {
        Some(in_place) => packet.before(in_place.to_esp).map(|outer| Made::like(outer, source, destination)),
        None => None,
    };
    let made = made.unwrap_or_else(|| front.made(source, destination));
    let _within = packet.narrow(0..payload_at + trailer.payload_len);
    let (cut, options, next) = if trailer.next_header == PSEUDO_HEADER && source.is_ipv4() {
        let payload = packet.as_slice().get(payload_at..).unwrap_or_default();
        let pseudo_header = PseudoHeader::parse(payload)?;
        (payload_at + pseudo_header.len(), pseudo_header.options, pseudo_header.next)
    } else {
        (payload_at, 0, trailer.next_header)
    };
    let outside = make(packet, &made, cut, options)?;
    finish(packet, &outside, next)
}

/// Moves the header that the ESP packet came behind to the payload, which stays where it is.
fn bring_back(
    packet: &mut PacketBuf<'_>,
    in_place: InPlace,
    payload_at: usize,
    payload_end: usize,
) -> Result<Outside, OpenError> {
    let InPlace { len, to_esp } = in_place;
    packet.grow(to_esp, 0)?;
    let start = to_esp + payload_at - len;
    packet.as_mut_slice().copy_within(..len, start);
    let _within = packet.narrow(start..to_esp + payload_end);
    let octets = packet.as_slice();
    let version =
        if octets.first().is_some_and(|first| first >> 4 == 4) { IpVersion::V4 } else { IpVersion::V6 };
    Outside::up_to(octets, version, len).ok_or(OpenError::UnknownAddress)
}

/// Makes a header in front of what follows the packet's first `cut` octets: `options` octets of IPv4 options, then the
/// next layer.
fn make(packet: &mut PacketBuf<'_>, made: &Made, cut: usize, options: usize) -> Result<Outside, OpenError> {
    if made.source.is_unspecified() || made.destination.is_unspecified() {
        return Err(OpenError::UnknownAddress);
    }
    let len = made.len().ok_or(OpenError::UnknownAddress)?;
    packet.reshape(cut, len, 0)?;
    made.write(packet.as_mut_slice(), options).ok_or(OpenError::UnknownAddress)
}

/// Lets the packet's header name what follows it, and reads it.
fn finish(packet: &mut PacketBuf<'_>, outside: &Outside, next: u8) -> Result<IpHeader, OpenError> {
    let octets = packet.as_mut_slice();
    let is_ipv4 = octets.first().is_some_and(|first| first >> 4 == 4);
    if octets.len() > max_outer_packet(is_ipv4) {
        return Err(IpError::TooLong(octets.len()).into());
    }
    outside.name_next(octets, next);
    Ok(IpHeader::parse(octets)?)
}
