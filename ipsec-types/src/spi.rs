//! Security Parameter Indexes: eight octets for an IKE SA (RFC 7296 §3.1), four for an ESP SA (RFC 4303 §2.1).

use core::fmt;
use core::num::{NonZeroU32, NonZeroU64};

/// The SPI that one end chose for an IKE SA. Zero is not an SPI: on the wire it stands for "not known yet".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IkeSpi(NonZeroU64);

impl IkeSpi {
    /// The SPI with this value, or `None` for zero.
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        match NonZeroU64::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The value, in host order.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The eight octets on the wire.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

impl fmt::Display for IkeSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for IkeSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The SPI of an ESP SA, chosen by its receiver. Values 1 to 255 are reserved by IANA (RFC 4303 §2.1) and can
/// be represented, since a peer may send them; [`EspSpi::is_reserved`] tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EspSpi(NonZeroU32);

impl EspSpi {
    /// The smallest value that an SA may be given.
    pub const FIRST_ALLOCATABLE: u32 = 256;

    /// The SPI with this value, or `None` for zero, which must never be on the wire.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        match NonZeroU32::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The value, in host order.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The four octets on the wire.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 4] {
        self.0.get().to_be_bytes()
    }

    /// Whether the value is one of those that no SA may be given (1 to 255).
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        self.0.get() < Self::FIRST_ALLOCATABLE
    }
}

impl fmt::Display for EspSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for EspSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
