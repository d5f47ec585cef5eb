//! The Internet checksum: computed (RFC 1071) and updated (RFC 1624).

use core::net::IpAddr;

/// A ones' complement sum under way, its carries not yet folded in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds one 16-bit word.
    pub(crate) const fn word(self, word: u16) -> Self {
        Self(self.0 + word as u64)
    }

    /// Adds octets as big-endian words, the last one padded with zero. At most 2^48 octets in one sum.
    pub(crate) fn octets(self, octets: &[u8]) -> Self {
        let words = octets.chunks_exact(2);
        let odd = words.remainder().first().map_or(0, |&last| u64::from(last) << 8);
        let sum = words.fold(0, |sum, pair| match pair {
            &[high, low] => sum + u64::from(u16::from_be_bytes([high, low])),
            _ => sum,
        });
        Self(self.0 + sum + odd)
    }

    /// Adds an address, as pseudo headers have it.
    pub(crate) fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.octets(&address.octets()),
            IpAddr::V6(address) => self.octets(&address.octets()),
        }
    }

    /// The checksum: the complement of the folded sum.
    pub(crate) const fn finish(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xFFFF {
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        !(sum as u16)
    }
}

/// The checksum after one of the words under it changed (RFC 1624 §3, equation 3).
pub(crate) const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    Sum(0).word(!checksum).word(!old).word(new).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1071 §3.
    #[test]
    fn rfc1071_example() {
        let octets = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().octets(&octets).finish(), !0xddf2);
        assert_eq!(Sum::default().octets(&[0xAB]).finish(), !0xAB00);
        // Folding the carries in gives a carry once more.
        assert_eq!(Sum::default().octets(&[0xFF, 0xFF, 0xFF, 0xFF, 0, 1]).finish(), !1);
    }

    /// The example of RFC 1624 §4: the update that RFC 1141 got wrong.
    #[test]
    fn rfc1624_example() {
        assert_eq!(update(0xDD2F, 0x5555, 0x3285), 0x0000);
    }
}
