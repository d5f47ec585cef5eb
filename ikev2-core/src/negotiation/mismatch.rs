//! Why no proposal could be chosen, told so that a person can mend the configuration: both sides' lists, and for
//! each proposal of the peer what it failed on.

use alloc::vec::Vec;
use core::fmt;
use ikev2_wire::{KeMethod, Proposal, ProtocolId, Transform, TransformType};

/// The most proposals of the peer that a [`Mismatch`] keeps. All their transforms and attributes together are at most
/// what one SA payload holds.
pub const MAX_REPORTED: usize = 16;

/// No proposal of the peer is acceptable.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Mismatch {
    /// What we would accept, by preference, numbered from 1.
    pub allowed: Vec<Proposal>,
    /// What the peer offered, in its order: at most [`MAX_REPORTED`].
    pub offered: Vec<Refused>,
    /// How many more proposals the peer offered.
    pub more: usize,
}

impl Mismatch {
    /// What the first proposal of the peer failed on, if it offered any.
    #[must_use]
    pub fn first(&self) -> Option<&RefusalReason> {
        self.offered.first().map(|refused| &refused.reason)
    }
}

/// A proposal of the peer, and what it failed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The proposal as received.
    pub proposal: Proposal,
    /// What it failed on first.
    pub reason: RefusalReason,
}

/// What a proposal failed on.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RefusalReason {
    /// It is for another protocol than the exchange negotiates.
    Protocol {
        /// The protocol that the exchange negotiates.
        expected: ProtocolId,
    },
    /// Its SPI has another size than the protocol and the exchange ask for (RFC 7296 §3.3.1).
    SpiSize {
        /// The size in octets that it should have.
        expected: usize,
    },
    /// Its SPI is one that no SA may have: 0, or for ESP one of 1 to 255 (RFC 4303 §2.1).
    SpiReserved,
    /// It has a transform type that we do not know for the protocol (RFC 7296 §3.3.6).
    TransformType(TransformType),
    /// It lacks a transform type that the protocol needs (RFC 7296 §3.3.6).
    Missing(TransformType),
    /// The first transform type for which there is nothing in common, with the one of our proposals that came the
    /// furthest.
    Transform {
        /// The transform type.
        ty: TransformType,
        /// What the peer offered of the type, unknown transforms included. Empty where it left the type out.
        offered: Vec<Transform>,
        /// What we would have accepted. Empty where we want the type left out.
        allowed: Vec<Transform>,
    },
    /// What both have in common makes one method serve for more than one key exchange (RFC 9370 §2.2.1).
    SameKeyExchange,
}

/// What a proposal and one of ours lack to be agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lacking {
    /// A transform of this type in common.
    InCommon(TransformType),
    /// A method of its own for each key exchange (RFC 9370 §2.2.1).
    Distinct,
}

/// A proposal of the peer is acceptable, and its KE payload is by another method than we would choose.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct KeMismatch {
    /// The method of the KE payload, if there is one.
    pub sent: Option<KeMethod>,
    /// What N(INVALID_KE_PAYLOAD) names (RFC 7296 §1.2, §1.3).
    pub wanted: KeMethod,
    /// The methods of the peer's proposals, in its order.
    pub offered: Vec<KeMethod>,
    /// What we would accept, by preference.
    pub allowed: Vec<KeMethod>,
}

impl fmt::Display for KeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sent {
            Some(sent) => write!(f, "KE with {sent} where {} is wanted", self.wanted)?,
            None => write!(f, "no KE where {} is wanted", self.wanted)?,
        }
        for (whose, methods) in [("the peer offers", &self.offered), ("we allow", &self.allowed)] {
            write!(f, "; {whose} ")?;
            for (at, method) in methods.iter().enumerate() {
                write!(f, "{}{method}", if at == 0 { "" } else { ", " })?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Mismatch {
    /// A line that says it, then a line for each proposal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offered.as_slice() {
            [only] => write!(f, "no proposal in common: {}", only.reason)?,
            _ => f.write_str("no proposal in common")?,
        }
        f.write_str("\n  the peer offers:")?;
        if self.offered.is_empty() {
            f.write_str(" nothing")?;
        }
        for refused in &self.offered {
            write!(f, "\n    {}\n      {}", refused.proposal, refused.reason)?;
        }
        if self.more > 0 {
            write!(f, "\n    and {} more", self.more)?;
        }
        f.write_str("\n  we allow:")?;
        if self.allowed.is_empty() {
            f.write_str(" nothing")?;
        }
        for proposal in &self.allowed {
            write!(f, "\n    {proposal}")?;
        }
        Ok(())
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol { expected } => write!(f, "not a proposal for {expected}"),
            Self::SpiSize { expected } => write!(f, "its SPI should have {expected} octets"),
            Self::SpiReserved => f.write_str("its SPI is reserved"),
            Self::TransformType(ty) => write!(f, "it has the transform type {ty}, which is not known here"),
            Self::Missing(ty) => write!(f, "it has no {ty} transform"),
            Self::Transform { ty, offered, allowed } => {
                write!(f, "no {ty} in common: offered {}, allowed {}", List(offered), List(allowed))
            }
            Self::SameKeyExchange => {
                f.write_str("what is in common has one method for more than one key exchange")
            }
        }
    }
}

/// Prints transforms of one type without repeating the type.
struct List<'a>(&'a [Transform]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, transform) in self.0.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, transform.name())?;
            if let Some(bits) = transform.key_bits {
                write!(f, "-{bits}")?;
            }
            for attribute in &transform.other_attributes {
                write!(f, "+{}", attribute.ty)?;
            }
        }
        Ok(())
    }
}
