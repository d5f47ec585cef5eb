//! BEET mode (RFC 7402 Appendix B), as the Linux kernel does it: the inner addresses are those of the SA and are not
//! sent; everything else of the inner header travels in the outer one, IPv4 options in a pseudo header.
//!
//! ```text
//! | next header | header length | pad length | reserved | padding: 0 or 4 NOP octets | IPv4 options | payload |
//! ```

use core::net::IpAddr;
use ipsec_types::sa::ChildSa;
use thiserror::Error;

/// The protocol of the pseudo header.
pub(crate) const PSEUDO_HEADER: u8 = 94;
/// The next header, the two lengths and the reserved octet.
const FIXED: usize = 4;
const NOP: u8 = 1;
const MAX_OPTIONS: usize = 40;

/// The addresses of all packets of an SA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InnerPair {
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
}

impl InnerPair {
    /// The one address on either side that the selectors name; `None` where they name more, or two families.
    pub(crate) fn of(child: &ChildSa) -> Option<Self> {
        let single = |selectors: &[ipsec_types::TrafficSelector]| {
            let address = selectors.first()?.addresses.start();
            let same = |selector: &ipsec_types::TrafficSelector| {
                (selector.addresses.start(), selector.addresses.end()) == (address, address)
            };
            selectors.iter().all(same).then_some(address)
        };
        let (local, remote) = (single(&child.local)?, single(&child.remote)?);
        (local.is_ipv4() == remote.is_ipv4()).then_some(Self { local, remote })
    }
}

/// The part of a pseudo header in front of the options.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PseudoHeader {
    /// The protocol of the payload behind the options.
    pub(crate) next: u8,
    /// Octets of IPv4 options, a multiple of 4 from 4 to 40.
    pub(crate) options: usize,
}

impl PseudoHeader {
    /// Octets in front of the options.
    pub(crate) const fn len(&self) -> usize {
        FIXED + self.padding()
    }

    /// What makes the whole a multiple of 8.
    const fn padding(&self) -> usize {
        4 - (self.options & 4)
    }

    /// Writes what stands in front of the options at the start of `room`.
    pub(crate) fn write(&self, room: &mut [u8]) {
        let padding = self.padding();
        // In units of 8 octets, without the first 8.
        let length = (self.options / 8) as u8;
        let front = [self.next, length, padding as u8, 0, NOP, NOP, NOP, NOP];
        for (place, octet) in room.iter_mut().zip(front).take(self.len()) {
            *place = octet;
        }
    }

    /// Reads the pseudo header at the start of a decrypted payload.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, PseudoHeaderError> {
        let &[next, length, padding, _, ref rest @ ..] = payload else {
            return Err(PseudoHeaderError::Truncated { needed: FIXED, got: payload.len() });
        };
        let whole = usize::from(length) * 8 + 8;
        let wrong = PseudoHeaderError::Lengths { length, padding };
        if padding != 0 && padding != 4 {
            return Err(wrong);
        }
        // So the options are a multiple of 4, and the padding is the one that such options have.
        let options = whole.checked_sub(FIXED + usize::from(padding)).ok_or(wrong)?;
        if options > MAX_OPTIONS {
            return Err(wrong);
        }
        if rest.len() < whole - FIXED {
            return Err(PseudoHeaderError::Truncated { needed: whole, got: payload.len() });
        }
        Ok(Self { next, options })
    }
}

/// Why a pseudo header is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PseudoHeaderError {
    /// There are fewer octets than it has.
    #[error("{got} octets where the pseudo header has {needed}")]
    Truncated {
        /// Octets of the pseudo header.
        needed: usize,
        /// Octets there are.
        got: usize,
    },
    /// The padding is neither 0 nor 4 octets, or the options are more than an IPv4 header can hold.
    #[error("a pseudo header of length {length} with {padding} octets of padding")]
    Lengths {
        /// The header length field.
        length: u8,
        /// The pad length field.
        padding: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// RFC 7402 Appendix B.1.7, with the lengths that Linux computes: options, padding, length field, whole.
    #[test]
    fn lengths() {
        for (options, padding, length, whole) in [
            (4, 0, 0, 8),
            (8, 4, 1, 16),
            (12, 0, 1, 16),
            (16, 4, 2, 24),
            (20, 0, 2, 24),
            (36, 0, 4, 40),
            (40, 4, 5, 48),
        ] {
            let header = PseudoHeader { next: 17, options };
            let mut octets = vec![0xEE; whole];
            header.write(&mut octets);
            assert_eq!(octets[..4], [17, length, padding, 0]);
            assert!(octets[4..4 + usize::from(padding)].iter().all(|octet| *octet == 1));
            assert_eq!((header.len() + options, octets[header.len()]), (whole, 0xEE));
            assert_eq!(PseudoHeader::parse(&octets), Ok(header));
            let short = PseudoHeader::parse(&octets[..whole - 1]);
            assert_eq!(short, Err(PseudoHeaderError::Truncated { needed: whole, got: whole - 1 }));
        }
        assert_eq!(
            PseudoHeader::parse(&[17, 0, 4, 0, 1, 1, 1, 1]),
            Ok(PseudoHeader { next: 17, options: 0 })
        );
    }

    #[test]
    fn lengths_that_lie() {
        let parse = |length, padding| {
            let mut octets = vec![0; 3_000];
            octets[1..3].copy_from_slice(&[length, padding]);
            PseudoHeader::parse(&octets)
        };
        for (length, padding) in [(0, 8), (0, 3), (0, 1), (0, 255), (5, 0), (6, 4), (255, 0), (255, 4)] {
            assert_eq!(parse(length, padding), Err(PseudoHeaderError::Lengths { length, padding }));
        }
        for len in 0..4 {
            let short = PseudoHeader::parse(&[0; 3][..len.min(3)]);
            assert_eq!(short, Err(PseudoHeaderError::Truncated { needed: 4, got: len.min(3) }));
        }
    }
}
