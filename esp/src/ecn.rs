//! Explicit congestion notification through a tunnel (RFC 6040 §4).

use thiserror::Error;

/// The two low bits of the IPv4 TOS octet or the IPv6 traffic class (RFC 3168 §5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Ecn {
    /// The transport does not use ECN.
    NotEct = 0b00,
    /// ECN-capable transport, codepoint ECT(1).
    Ect1 = 0b01,
    /// ECN-capable transport, codepoint ECT(0).
    Ect0 = 0b10,
    /// Congestion experienced.
    Ce = 0b11,
}

impl Ecn {
    /// The field within a DS octet: TOS of IPv4, traffic class of IPv6.
    #[must_use]
    pub const fn of_ds_field(octet: u8) -> Self {
        match octet & 0b11 {
            0b00 => Self::NotEct,
            0b01 => Self::Ect1,
            0b10 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// The two bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

/// How the ECN field of the outer header is made (RFC 6040 §4.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum EcnEncapsulation {
    /// Copied from the inner header.
    #[default]
    Normal,
    /// Always Not-ECT, for a peer that may not know RFC 6040, RFC 4301 or RFC 3168.
    Compatibility,
}

impl EcnEncapsulation {
    /// The outer field for an inner one.
    #[must_use]
    pub const fn outer(self, inner: Ecn) -> Ecn {
        match self {
            Self::Normal => inner,
            Self::Compatibility => Ecn::NotEct,
        }
    }
}

/// How unusual a pair of inner and outer fields is at decapsulation (RFC 6040 Figure 4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EcnMark {
    /// A combination that occurs.
    Usual,
    /// Currently unused and possibly dangerous: (!) in the figure.
    Suspicious,
    /// Currently unused and always potentially dangerous: (!!!) in the figure.
    Dangerous,
}

/// The outer header says that congestion was met and the inner transport can't be told: the packet must be
/// dropped (RFC 6040 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("congestion was met under way and the inner packet has no ECN to say so")]
pub struct CongestionLost;

/// The inner field after decapsulation (RFC 6040 §4.2, Figure 4).
///
/// # Errors
/// [`CongestionLost`] for Not-ECT inside CE.
pub const fn decapsulate(inner: Ecn, outer: Ecn) -> Result<(Ecn, EcnMark), CongestionLost> {
    Ok(match (inner, outer) {
        (Ecn::NotEct, Ecn::Ce) => return Err(CongestionLost),
        (Ecn::NotEct, Ecn::NotEct) => (Ecn::NotEct, EcnMark::Usual),
        (Ecn::NotEct, Ecn::Ect0 | Ecn::Ect1) => (Ecn::NotEct, EcnMark::Dangerous),
        (Ecn::Ect0, Ecn::Ect1) => (Ecn::Ect1, EcnMark::Usual),
        (Ecn::Ect0 | Ecn::Ect1, Ecn::Ce) => (Ecn::Ce, EcnMark::Usual),
        (Ecn::Ect1, Ecn::Ect0) => (Ecn::Ect1, EcnMark::Suspicious),
        (Ecn::Ect0 | Ecn::Ect1, _) => (inner, EcnMark::Usual),
        (Ecn::Ce, Ecn::Ect1) => (Ecn::Ce, EcnMark::Dangerous),
        (Ecn::Ce, _) => (Ecn::Ce, EcnMark::Usual),
    })
}
