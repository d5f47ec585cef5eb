//! Traffic selectors (RFC 7296 §3.13.1, RFC 4301 §4.4.1.1) as what they are: sets of packets, each a product
//! of an address range, a protocol, and a range of ports or of ICMP types and codes.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;

/// Why a selector cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// The first address is after the last.
    #[error("the address range starts at {start}, after its end {end}")]
    AddressesReversed {
        /// The first address given.
        start: IpAddr,
        /// The last address given.
        end: IpAddr,
    },
    /// One address is IPv4 and the other IPv6.
    #[error("the address range mixes {start} and {end}")]
    FamiliesMixed {
        /// The first address given.
        start: IpAddr,
        /// The last address given.
        end: IpAddr,
    },
    /// The first port is after the last, and the pair is not the one that means OPAQUE.
    #[error("the port range starts at {start}, after its end {end}")]
    PortsReversed {
        /// The first port given.
        start: u16,
        /// The last port given.
        end: u16,
    },
    /// A prefix longer than its address.
    #[error("a prefix of {prefix} bits is longer than the address {address}")]
    PrefixTooLong {
        /// The address given.
        address: IpAddr,
        /// The prefix length given.
        prefix: u8,
    },
}

/// A range of addresses of one family, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    start: IpAddr,
    end: IpAddr,
}

impl AddressRange {
    /// Every IPv4 address.
    pub const ALL_V4: Self =
        Self { start: IpAddr::V4(Ipv4Addr::UNSPECIFIED), end: IpAddr::V4(Ipv4Addr::BROADCAST) };
    /// Every IPv6 address.
    pub const ALL_V6: Self =
        Self { start: IpAddr::V6(Ipv6Addr::UNSPECIFIED), end: IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)) };

    /// The addresses from `start` to `end`.
    ///
    /// # Errors
    /// [`SelectorError::FamiliesMixed`], [`SelectorError::AddressesReversed`].
    pub fn new(start: IpAddr, end: IpAddr) -> Result<Self, SelectorError> {
        if start.is_ipv4() != end.is_ipv4() {
            return Err(SelectorError::FamiliesMixed { start, end });
        }
        if start > end {
            return Err(SelectorError::AddressesReversed { start, end });
        }
        Ok(Self { start, end })
    }

    /// One address.
    #[must_use]
    pub const fn single(address: IpAddr) -> Self {
        Self { start: address, end: address }
    }

    /// The addresses that share the first `prefix` bits with `address`.
    ///
    /// # Errors
    /// [`SelectorError::PrefixTooLong`].
    pub fn prefix(address: IpAddr, prefix: u8) -> Result<Self, SelectorError> {
        let too_long = SelectorError::PrefixTooLong { address, prefix };
        match address {
            IpAddr::V4(v4) => {
                let host_bits = 32u32.checked_sub(u32::from(prefix)).ok_or(too_long)?;
                let host = u32::MAX.checked_shr(32 - host_bits).filter(|_| host_bits > 0).unwrap_or(0);
                let bits = v4.to_bits();
                Ok(Self {
                    start: Ipv4Addr::from_bits(bits & !host).into(),
                    end: Ipv4Addr::from_bits(bits | host).into(),
                })
            }
            IpAddr::V6(v6) => {
                let host_bits = 128u32.checked_sub(u32::from(prefix)).ok_or(too_long)?;
                let host = u128::MAX.checked_shr(128 - host_bits).filter(|_| host_bits > 0).unwrap_or(0);
                let bits = v6.to_bits();
                Ok(Self {
                    start: Ipv6Addr::from_bits(bits & !host).into(),
                    end: Ipv6Addr::from_bits(bits | host).into(),
                })
            }
        }
    }

    /// The first address.
    #[must_use]
    pub const fn start(&self) -> IpAddr {
        self.start
    }

    /// The last address.
    #[must_use]
    pub const fn end(&self) -> IpAddr {
        self.end
    }

    /// Whether the addresses are IPv4.
    #[must_use]
    pub const fn is_ipv4(&self) -> bool {
        self.start.is_ipv4()
    }

    /// Whether the address is one of them.
    #[must_use]
    #[inline]
    pub const fn contains(&self, address: IpAddr) -> bool {
        match (self.start, address, self.end) {
            (IpAddr::V4(start), IpAddr::V4(address), IpAddr::V4(end)) => {
                let address = address.to_bits();
                start.to_bits() <= address && address <= end.to_bits()
            }
            (IpAddr::V6(start), IpAddr::V6(address), IpAddr::V6(end)) => {
                let address = address.to_bits();
                start.to_bits() <= address && address <= end.to_bits()
            }
            _ => false,
        }
    }

    /// The addresses in both, if any.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
            .ok()
            .filter(|_| self.is_ipv4() == other.is_ipv4())
    }

    /// The prefix length, where the range is exactly one prefix.
    #[must_use]
    pub fn prefix_len(&self) -> Option<u8> {
        let (start, end, width) = match (self.start, self.end) {
            (IpAddr::V4(s), IpAddr::V4(e)) => (u128::from(s.to_bits()), u128::from(e.to_bits()), 32),
            (IpAddr::V6(s), IpAddr::V6(e)) => (s.to_bits(), e.to_bits(), 128),
            _ => return None,
        };
        let host = start ^ end;
        let host_bits = 128 - host.leading_zeros();
        let full = host.checked_add(1).is_none_or(u128::is_power_of_two);
        (full && start & host == 0).then(|| u8::try_from(width - host_bits).unwrap_or(0))
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_len() {
            Some(prefix) => write!(f, "{}/{prefix}", self.start),
            None => write!(f, "{}-{}", self.start, self.end),
        }
    }
}

impl fmt::Debug for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A range of ports, or of ICMP types and codes as `type * 256 + code`, or of MH types in the high octet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    start: u16,
    end: u16,
}

impl PortRange {
    /// Every value, and packets that have none or hide it.
    pub const ANY: Self = Self { start: 0, end: 65_535 };
    /// Only packets whose port is missing or hidden (RFC 4301 §4.4.1.1): start 65535, end 0 on the wire.
    pub const OPAQUE: Self = Self { start: 65_535, end: 0 };

    /// The ports from `start` to `end`; 65535 to 0 is [`PortRange::OPAQUE`].
    ///
    /// # Errors
    /// [`SelectorError::PortsReversed`].
    pub const fn new(start: u16, end: u16) -> Result<Self, SelectorError> {
        if start > end && !(start == 65_535 && end == 0) {
            return Err(SelectorError::PortsReversed { start, end });
        }
        Ok(Self { start, end })
    }

    /// One port.
    #[must_use]
    pub const fn single(port: u16) -> Self {
        Self { start: port, end: port }
    }

    /// The first value; 65535 for OPAQUE.
    #[must_use]
    pub const fn start(&self) -> u16 {
        self.start
    }

    /// The last value; 0 for OPAQUE.
    #[must_use]
    pub const fn end(&self) -> u16 {
        self.end
    }

    /// Whether this is [`PortRange::ANY`].
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.start == 0 && self.end == 65_535
    }

    /// Whether this is [`PortRange::OPAQUE`].
    #[must_use]
    pub const fn is_opaque(&self) -> bool {
        self.start > self.end
    }

    /// Whether a packet matches whose port is `port`, or has none to be seen (`None`).
    #[must_use]
    #[inline]
    pub const fn matches(&self, port: Option<u16>) -> bool {
        match port {
            Some(port) => self.start <= port && port <= self.end,
            None => self.is_any() || self.is_opaque(),
        }
    }

    /// The packets that match both, if any.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        match (self.is_any(), other.is_any()) {
            (true, _) => Some(*other),
            (_, true) => Some(*self),
            _ if self.is_opaque() || other.is_opaque() => (self == other).then_some(*self),
            _ => {
                let (start, end) = (self.start.max(other.start), self.end.min(other.end));
                (start <= end).then_some(Self { start, end })
            }
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            f.write_str("any")
        } else if self.is_opaque() {
            f.write_str("opaque")
        } else if self.start == self.end {
            write!(f, "{}", self.start)
        } else {
            write!(f, "{}-{}", self.start, self.end)
        }
    }
}

impl fmt::Debug for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One traffic selector: the packets of a protocol with an address and a port in range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrafficSelector {
    /// The addresses.
    pub addresses: AddressRange,
    /// The next layer protocol; 0 for any.
    pub protocol: u8,
    /// The ports, or ICMP types and codes.
    pub ports: PortRange,
}

impl TrafficSelector {
    /// The protocol value that stands for any.
    pub const ANY_PROTOCOL: u8 = 0;
    /// All IPv4 packets.
    pub const ALL_V4: Self = Self::addresses(AddressRange::ALL_V4);
    /// All IPv6 packets.
    pub const ALL_V6: Self = Self::addresses(AddressRange::ALL_V6);

    /// All packets with these addresses.
    #[must_use]
    pub const fn addresses(addresses: AddressRange) -> Self {
        Self { addresses, protocol: Self::ANY_PROTOCOL, ports: PortRange::ANY }
    }

    /// Whether a packet matches: its address, its protocol, and its port if it has one to be seen.
    #[must_use]
    #[inline]
    pub fn matches(&self, address: IpAddr, protocol: u8, port: Option<u16>) -> bool {
        self.addresses.contains(address)
            && (self.protocol == Self::ANY_PROTOCOL || self.protocol == protocol)
            && self.ports.matches(port)
    }

    /// The packets that match both, if any.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let protocol = match (self.protocol, other.protocol) {
            (Self::ANY_PROTOCOL, protocol) | (protocol, Self::ANY_PROTOCOL) => protocol,
            (a, b) if a == b => a,
            _ => return None,
        };
        Some(Self {
            addresses: self.addresses.intersection(&other.addresses)?,
            protocol,
            ports: self.ports.intersection(&other.ports)?,
        })
    }

    /// Whether every packet of `other` is one of `self`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.intersection(other) == Some(*other)
    }
}

impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.addresses)?;
        match self.protocol {
            Self::ANY_PROTOCOL if self.ports.is_any() => return Ok(()),
            Self::ANY_PROTOCOL => f.write_str("[any")?,
            1 => f.write_str("[icmp")?,
            6 => f.write_str("[tcp")?,
            17 => f.write_str("[udp")?,
            58 => f.write_str("[icmpv6")?,
            protocol => write!(f, "[{protocol}")?,
        }
        if !self.ports.is_any() {
            write!(f, "/{}", self.ports)?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn v4(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_of_every_length() {
        assert_eq!(AddressRange::prefix(v4("10.1.2.3"), 0).unwrap(), AddressRange::ALL_V4);
        let slash24 = AddressRange::prefix(v4("10.1.2.3"), 24).unwrap();
        assert_eq!((slash24.start(), slash24.end()), (v4("10.1.2.0"), v4("10.1.2.255")));
        assert_eq!(AddressRange::prefix(v4("10.1.2.3"), 32).unwrap(), AddressRange::single(v4("10.1.2.3")));
        assert!(AddressRange::prefix(v4("10.1.2.3"), 33).is_err());
        assert_eq!(AddressRange::prefix(v4("::5"), 0).unwrap(), AddressRange::ALL_V6);
        assert_eq!(AddressRange::prefix(v4("2001:db8::1"), 64).unwrap().to_string(), "2001:db8::/64");
        for bits in 0..=32 {
            assert_eq!(AddressRange::prefix(v4("255.255.255.255"), bits).unwrap().prefix_len(), Some(bits));
        }
        for bits in 0..=128 {
            assert_eq!(AddressRange::prefix(v4("ffff::"), bits).unwrap().prefix_len(), Some(bits));
        }
    }

    #[test]
    fn display_names_what_is_meant() {
        let tcp = TrafficSelector {
            addresses: AddressRange::prefix(v4("10.0.0.0"), 8).unwrap(),
            protocol: 6,
            ports: PortRange::single(443),
        };
        assert_eq!(tcp.to_string(), "10.0.0.0/8[tcp/443]");
        assert_eq!(TrafficSelector { ports: PortRange::ANY, ..tcp }.to_string(), "10.0.0.0/8[tcp]");
        assert_eq!(TrafficSelector::ALL_V6.to_string(), "::/0");
        let range = AddressRange::new(v4("10.0.0.1"), v4("10.0.0.2")).unwrap();
        assert_eq!(TrafficSelector::addresses(range).to_string(), "10.0.0.1-10.0.0.2");
    }

    #[test]
    fn opaque_matches_only_what_has_no_port() {
        assert!(PortRange::OPAQUE.matches(None) && !PortRange::OPAQUE.matches(Some(0)));
        assert!(!PortRange::OPAQUE.matches(Some(65_535)));
        assert!(PortRange::ANY.matches(None) && PortRange::ANY.matches(Some(7)));
        assert!(!PortRange::single(7).matches(None));
        assert_eq!(PortRange::new(65_535, 0), Ok(PortRange::OPAQUE));
        assert!(PortRange::new(2, 1).is_err());
    }

    fn selector() -> impl Strategy<Value = TrafficSelector> {
        let ports = prop_oneof![
            Just(PortRange::ANY),
            Just(PortRange::OPAQUE),
            (0u16..6, 0u16..6).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap()),
        ];
        (0u8..8, 0u8..8, 0u8..3, ports).prop_map(|(a, b, protocol, ports)| TrafficSelector {
            addresses: AddressRange::new(
                Ipv4Addr::new(10, 0, 0, a.min(b)).into(),
                Ipv4Addr::new(10, 0, 0, a.max(b)).into(),
            )
            .unwrap(),
            protocol,
            ports,
        })
    }

    proptest! {
        #[test]
        fn intersection_is_set_intersection(a in selector(), b in selector()) {
            let both = a.intersection(&b);
            for host in 0u8..8 {
                for protocol in 1u8..3 {
                    for port in [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(5), Some(9)] {
                        let address = Ipv4Addr::new(10, 0, 0, host).into();
                        let in_both = a.matches(address, protocol, port) && b.matches(address, protocol, port);
                        let in_result = both.is_some_and(|s| s.matches(address, protocol, port));
                        prop_assert_eq!(in_both, in_result);
                    }
                }
            }
        }
    }
}
