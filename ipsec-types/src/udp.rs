//! What a datagram on UDP port 4500 is (RFC 3948 §2, RFC 7296 §2.23).

/// The four octets in front of an IKE message on port 4500.
pub const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// The one octet of a NAT keepalive.
pub const NAT_KEEPALIVE: [u8; 1] = [0xFF];

/// One datagram of port 4500, told apart by its first octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Datagram4500<'a> {
    /// An IKE message: what follows the marker.
    Ike(&'a [u8]),
    /// An ESP packet: the whole datagram, at least eight octets with an SPI that is not zero.
    Esp(&'a [u8]),
    /// A NAT keepalive: to be ignored, and no proof that the peer is alive.
    Keepalive,
    /// Nothing that RFC 3948 knows: shorter than ESP's header, or one octet that is not 0xFF.
    Invalid,
}

/// Tells what a datagram received on port 4500 is.
///
/// ```
/// use ipsec_types::udp::{Datagram4500, classify};
/// assert_eq!(classify(&[0xFF]), Datagram4500::Keepalive);
/// assert_eq!(classify(&[0, 0, 0, 0, 7]), Datagram4500::Ike(&[7]));
/// assert_eq!(classify(&[0, 0, 1, 0, 0, 0, 0, 1]), Datagram4500::Esp(&[0, 0, 1, 0, 0, 0, 0, 1]));
/// assert_eq!(classify(&[0, 0, 1, 0, 0, 0, 0]), Datagram4500::Invalid);
/// ```
#[must_use]
pub fn classify(datagram: &[u8]) -> Datagram4500<'_> {
    match datagram {
        [0xFF] => Datagram4500::Keepalive,
        [0, 0, 0, 0, message @ ..] => Datagram4500::Ike(message),
        esp if esp.len() >= 8 => Datagram4500::Esp(esp),
        _ => Datagram4500::Invalid,
    }
}
