//! Checksums that were made over other addresses than a packet has (RFC 3948 §3.1.2).

use crate::checksum::Sum;
use crate::ip::{DCCP, ICMPV6, IpHeader, IpVersion, TCP, UDP, UDP_LITE};
use ipsec_types::sa::OriginalAddresses;

/// Mends the checksum in the next layer of a received packet whose header was parsed: takes out the addresses
/// that the peer computed it with and brings in those that the packet has.
///
/// What has no checksum over addresses is left alone, and so are fragments, and packets too short to hold one.
pub(crate) fn repair_checksum(packet: &mut [u8], header: &IpHeader, original: &OriginalAddresses) {
    let at = match (header.protocol, header.version) {
        (Some(TCP), _) => 16,
        (Some(UDP | UDP_LITE | DCCP), _) => 6,
        (Some(ICMPV6), IpVersion::V6) => 2,
        _ => return,
    };
    if header.is_fragment {
        return;
    }
    let at = header.upper_offset + at;
    let Some([high, low]) = packet.get_mut(at..at + 2) else { return };
    let checksum = u16::from_be_bytes([*high, *low]);
    let udp = header.protocol == Some(UDP);
    if udp && checksum == 0 {
        return;
    }
    let old = Sum::default().address(original.remote).address(original.local).finish();
    let new = !Sum::default().address(header.source).address(header.destination).finish();
    // `old` is complemented already: RFC 1624, equation 3.
    let mended = Sum::default().word(!checksum).word(old).word(new).finish();
    [*high, *low] = if udp && mended == 0 { [0xFF, 0xFF] } else { mended.to_be_bytes() };
}
