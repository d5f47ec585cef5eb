//! What each mode does to a packet's header when the packet is sealed (RFC 4303 §3.1, RFC 4301 §5.1.2, RFC 7402
//! Appendix B). From there on all modes go the same way.

use crate::beet::{InnerPair, PSEUDO_HEADER, PseudoHeader};
use crate::error::NotCarried;
use crate::header::Outside;
use crate::ip::{IPV4_HEADER, IPV6_HEADER, IpHeader, IpVersion};
use crate::outer::{Around, OuterFields, ip_header_len};
use crate::packet::NEXT_HEADER_DUMMY;
use ipsec_types::Path;

/// What becomes of a packet in its SA's mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Form {
    /// The next header in the ESP trailer.
    pub(crate) next_header: u8,
    /// Octets of TFC padding.
    pub(crate) tfc: usize,
    /// What the header in front of ESP says.
    pub(crate) around: Around,
    /// Octets in front of ESP, whoever makes them.
    pub(crate) outside: usize,
    /// Octets at the packet's start that do not go inside.
    pub(crate) cut: usize,
    /// Those of them that stay outside, in front of ESP.
    pub(crate) kept: Option<Outside>,
    /// What goes inside before the rest of the packet.
    pub(crate) pseudo_header: Option<PseudoHeader>,
}

impl Form {
    /// The whole packet goes inside, behind a new header of `outside` octets.
    #[inline(always)]
    pub(crate) const fn tunnel(next_header: u8, tfc: usize, fields: OuterFields, outside: usize) -> Self {
        let around = Around::new(fields);
        Self { next_header, tfc, around, outside, cut: 0, kept: None, pseudo_header: None }
    }

    /// The packet's own header stays outside (RFC 4303 §3.1.1), with `between` octets from it to ESP; `made` says
    /// whether we write that part. There is no TFC padding: what goes inside does not tell its own length.
    #[inline(never)]
    pub(crate) fn transport(
        packet: &[u8],
        header: &IpHeader,
        path: &Path,
        between: usize,
        made: bool,
    ) -> Result<Self, NotCarried> {
        if header.is_fragment {
            return Err(NotCarried::Fragment);
        }
        let (local, remote) = (path.local_ip(), path.remote_ip());
        if header.destination != remote || header.source != local && !local.is_unspecified() {
            return Err(NotCarried::Addresses);
        }
        let kept = Outside::of_transport(packet, header.version).ok_or(NotCarried::ExtensionHeaders)?;
        if kept.next == NEXT_HEADER_DUMMY {
            return Err(NotCarried::NextHeader(kept.next));
        }
        if !made && kept.len != ip_header_len(remote.is_ipv4()) {
            return Err(NotCarried::HeadersOutside);
        }
        let fields = OuterFields { ds_field: header.ds_field, dont_fragment: header.dont_fragment };
        Ok(Self {
            next_header: kept.next,
            tfc: 0,
            around: Around::new(fields),
            outside: kept.len + between,
            cut: kept.len,
            kept: Some(kept),
            pseudo_header: None,
        })
    }

    /// The inner header is not sent; what it says beside its addresses goes into a new one of `outside` octets.
    ///
    /// IPv4 options go into the pseudo header, IPv6 extension headers inside as they are. An IPv4 fragment can't
    /// be carried: its fields would be the outer packet's.
    #[inline(never)]
    pub(crate) fn beet(
        packet: &[u8],
        header: &IpHeader,
        pair: &InnerPair,
        fields: OuterFields,
        outside: usize,
    ) -> Result<Self, NotCarried> {
        if (header.source, header.destination) != (pair.local, pair.remote) {
            return Err(NotCarried::Addresses);
        }
        let octet = |at: usize| packet.get(at).copied().unwrap_or_default();
        let (cut, next, hop_limit, options) = match header.version {
            IpVersion::V4 if header.is_fragment => return Err(NotCarried::Fragment),
            IpVersion::V4 => (IPV4_HEADER, octet(9), octet(8), header.upper_offset - IPV4_HEADER),
            IpVersion::V6 => (IPV6_HEADER, octet(6), octet(7), 0),
        };
        let pseudo_header = (options > 0).then_some(PseudoHeader { next, options });
        let next_header = if pseudo_header.is_some() { PSEUDO_HEADER } else { next };
        let means_the_pseudo_header =
            header.version == IpVersion::V4 && next == PSEUDO_HEADER && pseudo_header.is_none();
        if next_header == NEXT_HEADER_DUMMY || means_the_pseudo_header {
            return Err(NotCarried::NextHeader(next));
        }
        let (identification, flow_label) = match header.version {
            IpVersion::V4 => (u16::from_be_bytes([octet(4), octet(5)]), 0),
            IpVersion::V6 => (0, u32::from_be_bytes([0, octet(1) & 0x0F, octet(2), octet(3)])),
        };
        let around =
            Around { fields, hop_limit: Some(hop_limit), identification: Some(identification), flow_label };
        Ok(Self { next_header, tfc: 0, around, outside, cut, kept: None, pseudo_header })
    }

    /// Octets that go inside before the rest of the packet.
    #[inline]
    pub(crate) fn before(&self) -> usize {
        self.pseudo_header.map_or(0, |pseudo_header| pseudo_header.len())
    }
}
