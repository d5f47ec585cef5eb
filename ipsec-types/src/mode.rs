//! How a Child SA carries packets: its mode (RFC 4301 §3.2), its encapsulation (RFC 3948), and the kind of
//! its sequence numbers (RFC 9827).

use core::fmt;

/// What an SA does with the IP header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Mode {
    /// The whole packet is protected, behind a new outer header (RFC 4301 §3.2).
    Tunnel,
    /// The packet's own header stays outside (RFC 4301 §3.2).
    Transport,
    /// Bound end-to-end tunnel: the inner addresses are fixed by the SA and not sent.
    Beet,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tunnel => "tunnel",
            Self::Transport => "transport",
            Self::Beet => "BEET",
        })
    }
}

/// How ESP packets of an SA lie in the datagrams of the path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Encapsulation {
    /// IP protocol 50.
    #[default]
    None,
    /// UDP with the ports of the path (RFC 3948).
    Udp,
}

/// The kind of sequence numbers: transform type 5, SN (RFC 9827).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum SequenceNumbers {
    /// 32-bit Sequential Numbers: value 0.
    #[default]
    Sequential32,
    /// Partially Transmitted 64-bit Sequential Numbers: value 1, formerly "extended sequence numbers".
    Sequential64,
    /// 32-bit Unspecified Numbers: value 2. No replay protection is possible.
    Unspecified32,
}

impl SequenceNumbers {
    /// The transform ID on the wire.
    #[must_use]
    pub const fn transform_id(self) -> u16 {
        match self {
            Self::Sequential32 => 0,
            Self::Sequential64 => 1,
            Self::Unspecified32 => 2,
        }
    }

    /// The kind with this transform ID, if it is registered.
    #[must_use]
    pub const fn from_transform_id(id: u16) -> Option<Self> {
        match id {
            0 => Some(Self::Sequential32),
            1 => Some(Self::Sequential64),
            2 => Some(Self::Unspecified32),
            _ => None,
        }
    }
}

impl fmt::Display for SequenceNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sequential32 => "32-bit Sequential Numbers",
            Self::Sequential64 => "Partially Transmitted 64-bit Sequential Numbers",
            Self::Unspecified32 => "32-bit Unspecified Numbers",
        })
    }
}
