//! IP headers that are split, edited and made: what transport mode does to the header that stays outside
//! (RFC 4303 §3.1.1, §3.4), and the header for what is received without one.

use crate::checksum::Sum;
use crate::ip::{
    DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, IPV4_HEADER, IPV6_HEADER, IpVersion, MAX_EXTENSION_HEADERS,
    ROUTING,
};
use core::net::IpAddr;

/// The front part of a packet's headers, up to some header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outside {
    /// Octets of it.
    pub(crate) len: usize,
    /// Where the octet lies that names what follows it.
    field_at: usize,
    /// What follows it.
    pub(crate) next: u8,
}

impl Outside {
    /// The part that stays in front of ESP in transport mode: the IPv4 header with its options; IPv6's with
    /// hop-by-hop options, routing and fragment header. Destination options that none of these follows are for
    /// the last destination alone and go inside, where they are protected.
    ///
    /// `None` where the IPv6 extension headers can't be followed to their end.
    pub(crate) fn of_transport(packet: &[u8], version: IpVersion) -> Option<Self> {
        let mut here = Self::fixed(packet, version)?;
        let mut outside = here;
        for _ in 0..=MAX_EXTENSION_HEADERS {
            if version == IpVersion::V4 || !is_extension(here.next) {
                return Some(outside);
            }
            let stays = here.next != DESTINATION_OPTIONS;
            here = here.behind_next(packet)?;
            if stays {
                outside = here;
            }
        }
        None
    }

    /// The headers in front of the ESP packet, or of the UDP header, that lies at `len`.
    pub(crate) fn up_to(packet: &[u8], version: IpVersion, len: usize) -> Option<Self> {
        let mut here = Self::fixed(packet, version)?;
        for _ in 0..=MAX_EXTENSION_HEADERS {
            if here.len == len {
                return Some(here);
            }
            here = here.behind_next(packet)?;
        }
        None
    }

    /// The IP header without extension headers.
    fn fixed(packet: &[u8], version: IpVersion) -> Option<Self> {
        match version {
            IpVersion::V4 => {
                let len = usize::from(packet.first()? & 0x0F) * 4;
                Some(Self { len, field_at: 9, next: *packet.get(9)? })
            }
            IpVersion::V6 => Some(Self { len: IPV6_HEADER, field_at: 6, next: *packet.get(6)? }),
        }
    }

    /// The part that ends behind the IPv6 extension header which follows this one.
    fn behind_next(self, packet: &[u8]) -> Option<Self> {
        let (next, units) = match *packet.get(self.len..)? {
            [next, ..] if self.next == FRAGMENT => (next, 0),
            [next, units, ..] if is_extension(self.next) => (next, usize::from(units)),
            _ => return None,
        };
        let len = self.len + (units + 1) * 8;
        (len <= packet.len()).then_some(Self { len, field_at: self.len, next })
    }

    /// Makes the header say that `next` follows it in a packet that is `packet` as a whole, and mends lengths and
    /// checksum. The caller has seen to it that the length fits its field.
    pub(crate) fn name_next(&self, packet: &mut [u8], next: u8) {
        if let Some(field) = packet.get_mut(self.field_at) {
            *field = next;
        }
        let total = packet.len() as u16;
        let payload = packet.len().saturating_sub(IPV6_HEADER) as u16;
        match packet {
            [first, _, len1, len0, ..] if *first >> 4 == 4 => {
                [*len1, *len0] = total.to_be_bytes();
                if let Some(header) = packet.get_mut(..self.len) {
                    checksum_v4(header);
                }
            }
            [_, _, _, _, len1, len0, ..] => [*len1, *len0] = payload.to_be_bytes(),
            _ => {}
        }
    }
}

const fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS)
}

/// Writes the header checksum of an IPv4 header with its options.
fn checksum_v4(header: &mut [u8]) {
    if let Some(field) = header.get_mut(10..12) {
        field.fill(0);
    }
    let sum = Sum::default().octets(header).finish();
    if let Some([high, low]) = header.get_mut(10..12) {
        [*high, *low] = sum.to_be_bytes();
    }
}

/// What an IP header says that is made anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Made {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ds_field: u8,
    pub(crate) hop_limit: u8,
    /// Of IPv4, with the DF bit.
    pub(crate) identification: u16,
    pub(crate) dont_fragment: bool,
    /// Of IPv6.
    pub(crate) flow_label: u32,
}

impl Made {
    /// A header that nothing is known of but its addresses and its DS field. IPv4: DF and identification 0, for it
    /// will not be fragmented (RFC 6864 §4.1).
    pub(crate) const fn new(source: IpAddr, destination: IpAddr, ds_field: u8) -> Self {
        let (hop_limit, identification, dont_fragment) = (64, 0, true);
        Self { source, destination, ds_field, hop_limit, identification, dont_fragment, flow_label: 0 }
    }

    /// All that the header of another packet says beside its addresses. What one version has and the other has
    /// not is as [`Made::new`] sets it.
    pub(crate) fn like(header: &[u8], source: IpAddr, destination: IpAddr) -> Self {
        let made = Self::new(source, destination, 0);
        match *header {
            [0x40..=0x4F, ds_field, _, _, id1, id0, flags, _, hop_limit, ..] => Self {
                ds_field,
                hop_limit,
                identification: u16::from_be_bytes([id1, id0]),
                dont_fragment: flags & 0x40 != 0,
                ..made
            },
            [first, second, label1, label0, _, _, _, hop_limit, ..] => Self {
                ds_field: first << 4 | second >> 4,
                hop_limit,
                flow_label: u32::from_be_bytes([0, second & 0x0F, label1, label0]),
                ..made
            },
            _ => made,
        }
    }

    /// Octets of the header without options; `None` for addresses of two families.
    pub(crate) const fn len(&self) -> Option<usize> {
        match (self.source, self.destination) {
            (IpAddr::V4(_), IpAddr::V4(_)) => Some(IPV4_HEADER),
            (IpAddr::V6(_), IpAddr::V6(_)) => Some(IPV6_HEADER),
            _ => None,
        }
    }

    /// Writes the header at the start of `packet`, in front of `options` octets of IPv4 options, without lengths
    /// and what follows it, which [`Outside::name_next`] fills in.
    pub(crate) fn write(&self, packet: &mut [u8], options: usize) -> Option<Outside> {
        let Self { ds_field, hop_limit, .. } = *self;
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let (fixed, addresses) =
                    packet.first_chunk_mut::<IPV4_HEADER>()?.split_first_chunk_mut::<12>()?;
                let [id1, id0] = self.identification.to_be_bytes();
                let flags = if self.dont_fragment { 0x40 } else { 0 };
                let first = 0x45 + (options / 4) as u8;
                *fixed = [first, ds_field, 0, 0, id1, id0, flags, 0, hop_limit, 0, 0, 0];
                let (first, second) = addresses.split_first_chunk_mut::<4>()?;
                *first = source.octets();
                second.copy_from_slice(&destination.octets());
                Some(Outside { len: IPV4_HEADER + options, field_at: 9, next: 0 })
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (fixed, addresses) =
                    packet.first_chunk_mut::<IPV6_HEADER>()?.split_first_chunk_mut::<8>()?;
                let [_, label2, label1, label0] = self.flow_label.to_be_bytes();
                let second = ds_field << 4 | label2 & 0x0F;
                *fixed = [0x60 | ds_field >> 4, second, label1, label0, 0, 0, 0, hop_limit];
                let (first, second) = addresses.split_first_chunk_mut::<16>()?;
                *first = source.octets();
                second.copy_from_slice(&destination.octets());
                Some(Outside { len: IPV6_HEADER, field_at: 6, next: 0 })
            }
            _ => None,
        }
    }
}
