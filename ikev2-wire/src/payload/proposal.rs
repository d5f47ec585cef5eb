//! Proposals and transforms as owned values, to be built by policy and compared by negotiation (RFC 7296
//! §3.3.1, §3.3.2). On the wire they are the body of an SA payload, [`super::sa`].

use crate::codes::{
    EncrId, IntegId, KeMethod, PrfId, ProtocolId, SequenceNumbersId, TransformAttribute, TransformName,
    TransformType,
};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

/// One proposal of an SA payload: algorithms for one protocol, all that an SA needs.
///
/// Transforms of one type are alternatives, and one of each type is needed (RFC 7296 §3.3).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Proposal {
    /// The label of the proposal, repeated in the answer. Senders count from 1; a receiver gains nothing
    /// from insisting.
    pub number: u8,
    /// The protocol.
    pub protocol: ProtocolId,
    /// The sender's SPI: empty for the initial IKE SA, eight octets when an IKE SA is rekeyed, four for ESP
    /// and AH. At most 255 octets can be encoded.
    pub spi: Vec<u8>,
    /// The transforms in the sender's order of preference. At most 255 can be encoded.
    pub transforms: Vec<Transform>,
}

impl Proposal {
    /// The transforms of one type, in order.
    pub fn of_type(&self, ty: TransformType) -> impl Iterator<Item = &Transform> + '_ {
        self.transforms.iter().filter(move |transform| transform.ty == ty)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.protocol)?;
        let mut separator = ": ";
        for transform in &self.transforms {
            write!(f, "{separator}{transform}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// One algorithm of a proposal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Transform {
    /// What kind of algorithm it is.
    pub ty: TransformType,
    /// Which one, by the registry that the type names.
    pub id: u16,
    /// The Key Length attribute in bits, where there is one (RFC 7296 §3.3.5). Encoded before the others.
    pub key_bits: Option<u16>,
    /// Every attribute that is not the first well-formed Key Length: unknown ones, and a Key Length given
    /// twice or in the long format. A transform that has any is not one that this document knows, and is to
    /// be passed over (RFC 7296 §3.3.6).
    pub other_attributes: Vec<Attribute<'static>>,
}

impl Transform {
    /// A transform without attributes.
    #[must_use]
    pub const fn new(ty: TransformType, id: u16) -> Self {
        Self { ty, id, key_bits: None, other_attributes: Vec::new() }
    }

    /// An encryption algorithm. `key_bits` is required for ciphers with keys of several lengths and forbidden
    /// for the others (RFC 7296 §3.3.5).
    #[must_use]
    pub const fn encr(id: EncrId, key_bits: Option<u16>) -> Self {
        Self { ty: TransformType::ENCR, id: id.0, key_bits, other_attributes: Vec::new() }
    }

    /// A pseudorandom function.
    #[must_use]
    pub const fn prf(id: PrfId) -> Self {
        Self::new(TransformType::PRF, id.0)
    }

    /// An integrity algorithm.
    #[must_use]
    pub const fn integ(id: IntegId) -> Self {
        Self::new(TransformType::INTEG, id.0)
    }

    /// A key exchange method.
    #[must_use]
    pub const fn ke(method: KeMethod) -> Self {
        Self::new(TransformType::KE, method.0)
    }

    /// A kind of sequence numbers: an [`ipsec_types::SequenceNumbers`], or any transform ID.
    #[must_use]
    pub fn sn(kind: impl Into<SequenceNumbersId>) -> Self {
        Self::new(TransformType::SN, kind.into().0)
    }

    /// The name of the transform ID.
    #[must_use]
    pub const fn name(&self) -> TransformName {
        TransformName { ty: self.ty, id: self.id }
    }
}

impl fmt::Display for Transform {
    /// The name, after the type's where the name alone does not tell it; then `-` and the key length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt_with(f, self.key_bits, self.other_attributes.iter().map(|attribute| attribute.ty))
    }
}

/// An attribute of a transform (RFC 7296 §3.3.5).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Attribute<'a> {
    /// The type, 15 bits; a larger number cannot be encoded.
    pub ty: TransformAttribute,
    /// The value.
    pub value: AttributeValue<'a>,
}

/// The value of an attribute, by its format.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AttributeValue<'a> {
    /// Type and value (TV): two octets.
    Short(u16),
    /// Type, length and value (TLV): at most 65,535 octets.
    Long(Cow<'a, [u8]>),
}

impl Attribute<'_> {
    /// A Key Length in bits.
    #[must_use]
    pub const fn key_length(bits: u16) -> Attribute<'static> {
        Attribute { ty: TransformAttribute::KEY_LENGTH, value: AttributeValue::Short(bits) }
    }

    /// The bits of a Key Length in the short format, the only one it may have.
    #[must_use]
    pub const fn as_key_length(&self) -> Option<u16> {
        match (self.ty, &self.value) {
            (TransformAttribute::KEY_LENGTH, AttributeValue::Short(bits)) => Some(*bits),
            _ => None,
        }
    }

    /// The same attribute, owning its octets.
    #[must_use]
    pub fn into_owned(self) -> Attribute<'static> {
        let value = match self.value {
            AttributeValue::Short(value) => AttributeValue::Short(value),
            AttributeValue::Long(value) => AttributeValue::Long(Cow::Owned(value.into_owned())),
        };
        Attribute { ty: self.ty, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use ipsec_types::SequenceNumbers;

    #[test]
    fn display_names_what_is_meant() {
        let proposal = Proposal {
            number: 2,
            protocol: ProtocolId::IKE,
            spi: Vec::new(),
            transforms: vec![
                Transform::encr(EncrId::AES_CBC, Some(256)),
                Transform::prf(PrfId::HMAC_SHA2_256),
                Transform::integ(IntegId::NONE),
                Transform::integ(IntegId::HMAC_SHA2_256_128),
                Transform::ke(KeMethod::CURVE25519),
                Transform::new(TransformType::ADDKE1, KeMethod::ML_KEM_768.0),
                Transform::sn(SequenceNumbers::Sequential32),
                Transform::new(TransformType(77), 5),
            ],
        };
        assert_eq!(
            proposal.to_string(),
            "2 IKE: ENCR_AES_CBC-256, PRF_HMAC_SHA2_256, INTEG=NONE, AUTH_HMAC_SHA2_256_128, KE=Curve25519, \
             ADDKE1=ml-kem-768, SN=32-bit Sequential Numbers, TransformType(77)=5"
        );
        assert_eq!(Transform::encr(EncrId(77), None).to_string(), "ENCR=EncrId(77)");
    }
}
