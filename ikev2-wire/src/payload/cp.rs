//! The Configuration payload (RFC 7296 §3.15).

use crate::codes::{CfgAttribute, CfgType, PayloadType};
use crate::error::{EncodeError, EncodeErrorKind, Field, ParseError};
use crate::reader::Reader;
use crate::writer;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Asks for, gives, pushes or accepts configuration.
///
/// Every length in it has been checked. Whether a value has a length that its type allows is told by
/// [`CpAttribute::has_allowed_length`]: a wrong one costs the attribute, not the message.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CpPayload<'a> {
    ty: CfgType,
    body: Cow<'a, [u8]>,
}

/// One attribute. A value of no octets asks for one, or accepts the one that was pushed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CpAttribute<'a> {
    /// The type, 15 bits; a larger number cannot be encoded. The reserved bit before it is sent as zero and
    /// ignored when received.
    pub ty: CfgAttribute,
    /// The value, in the form of the type.
    pub value: &'a [u8],
}

/// The form of an attribute's value, by its type.
#[derive(Clone, Copy)]
enum Form {
    /// An IPv4 address or mask.
    Address4,
    /// An IPv6 address.
    Address6,
    /// An IPv6 address and a prefix length.
    Prefix6,
    /// An IPv4 address and a mask.
    Subnet4,
    /// An IPv4 address and a port.
    AddressAndPort4,
    /// Attribute types.
    Attributes,
    /// A lifetime, a prefix length and an IPv6 prefix (RFC 5026).
    HomePrefix,
    /// An interface identifier and a link identifier (RFC 5739).
    Link,
    /// An IPv6 address, and an IPv4 address or not.
    HomeAgent,
    /// Two octets.
    KeepaliveTimer,
    /// Four octets.
    Seconds,
    /// Of any length, or not known.
    Other,
}

impl Form {
    const fn of(ty: CfgAttribute) -> Self {
        match ty {
            CfgAttribute::INTERNAL_IP4_ADDRESS
            | CfgAttribute::INTERNAL_IP4_NETMASK
            | CfgAttribute::INTERNAL_IP4_DNS
            | CfgAttribute::INTERNAL_IP4_NBNS
            | CfgAttribute::INTERNAL_IP4_DHCP
            | CfgAttribute::P_CSCF_IP4_ADDRESS => Self::Address4,
            CfgAttribute::INTERNAL_IP6_DNS
            | CfgAttribute::INTERNAL_IP6_DHCP
            | CfgAttribute::P_CSCF_IP6_ADDRESS => Self::Address6,
            CfgAttribute::INTERNAL_IP6_ADDRESS
            | CfgAttribute::INTERNAL_IP6_SUBNET
            | CfgAttribute::INTERNAL_IP6_PREFIX => Self::Prefix6,
            CfgAttribute::INTERNAL_IP4_SUBNET => Self::Subnet4,
            CfgAttribute::EXTERNAL_SOURCE_IP4_NAT_INFO => Self::AddressAndPort4,
            CfgAttribute::SUPPORTED_ATTRIBUTES => Self::Attributes,
            CfgAttribute::MIP6_HOME_PREFIX => Self::HomePrefix,
            CfgAttribute::INTERNAL_IP6_LINK => Self::Link,
            CfgAttribute::HOME_AGENT_ADDRESS => Self::HomeAgent,
            CfgAttribute::FTT_KAT => Self::KeepaliveTimer,
            CfgAttribute::TIMEOUT_PERIOD_FOR_LIVENESS_CHECK => Self::Seconds,
            _ => Self::Other,
        }
    }
}

/// CFG Type and three reserved octets.
const HEADER_LEN: usize = 4;
/// The bit before an attribute's type.
const RESERVED: u16 = 0x8000;

impl<'a> CpPayload<'a> {
    /// A payload with these attributes.
    ///
    /// # Errors
    /// [`EncodeErrorKind::OutOfRange`] for an attribute type of more than 15 bits or a value of more than 65,535
    /// octets.
    pub fn build(ty: CfgType, attributes: &[CpAttribute<'_>]) -> Result<CpPayload<'static>, EncodeError> {
        let mut body = alloc::vec![ty.0, 0, 0, 0];
        for attribute in attributes {
            attribute.encode(&mut body)?;
        }
        Ok(CpPayload { ty, body: Cow::Owned(body) })
    }

    /// What the payload is for.
    #[must_use]
    pub const fn ty(&self) -> CfgType {
        self.ty
    }

    /// The attributes, in order.
    #[must_use]
    pub fn attributes(&self) -> CpAttributes<'_> {
        CpAttributes { reader: Reader::checked(self.body.get(HEADER_LEN..).unwrap_or_default()) }
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn parse(mut reader: Reader<'a>) -> Result<Self, ParseError> {
        let body = reader.rest();
        let [ty, ..] = reader.array::<HEADER_LEN>(Field::FixedFields)?;
        while !reader.is_empty() {
            CpAttribute::read(&mut reader)?;
        }
        Ok(Self { ty: CfgType(ty), body: Cow::Borrowed(body) })
    }
}

/// The attributes of a Configuration payload.
#[derive(Clone, Debug)]
pub struct CpAttributes<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for CpAttributes<'a> {
    type Item = CpAttribute<'a>;

    fn next(&mut self) -> Option<CpAttribute<'a>> {
        CpAttribute::read(&mut self.reader).ok()
    }
}

impl<'a> CpAttribute<'a> {
    /// An attribute with this value.
    #[must_use]
    pub const fn new(ty: CfgAttribute, value: &'a [u8]) -> Self {
        Self { ty, value }
    }

    /// Whether the registry allows a value of this length. No octets are always allowed: they ask for a value
    /// or accept one. For types that are not registered every length is.
    #[must_use]
    pub const fn has_allowed_length(&self) -> bool {
        match (self.value.len(), Form::of(self.ty)) {
            (0, _) | (_, Form::Other) => true,
            (length, Form::Address4 | Form::Seconds) => length == 4,
            (length, Form::Address6) => length == 16,
            (length, Form::Prefix6) => length == 17,
            (length, Form::Subnet4) => length == 8,
            (length, Form::Attributes) => length.is_multiple_of(2),
            (length, Form::HomePrefix) => length == 21,
            (length, Form::Link) => length >= 8,
            (length, Form::HomeAgent) => matches!(length, 16 | 20),
            (length, Form::KeepaliveTimer) => length == 2,
            (length, Form::AddressAndPort4) => length == 6,
        }
    }

    /// The address of an attribute that is one address, with the prefix length of INTERNAL_IP6_ADDRESS,
    /// INTERNAL_IP6_SUBNET and INTERNAL_IP6_PREFIX; `None` for other types, for wrong lengths and without a
    /// value.
    #[must_use]
    pub fn address(&self) -> Option<(IpAddr, Option<u8>)> {
        match Form::of(self.ty) {
            Form::Address4 => {
                let octets: [u8; 4] = self.value.try_into().ok()?;
                Some((Ipv4Addr::from(octets).into(), None))
            }
            Form::Address6 => {
                let octets: [u8; 16] = self.value.try_into().ok()?;
                Some((Ipv6Addr::from(octets).into(), None))
            }
            Form::Prefix6 => match self.value.split_first_chunk::<16>()? {
                (octets, [prefix]) => Some((Ipv6Addr::from(*octets).into(), Some(*prefix))),
                _ => None,
            },
            _ => None,
        }
    }

    /// Address and mask of INTERNAL_IP4_SUBNET; `None` for other types, for wrong lengths and without a value.
    #[must_use]
    pub fn subnet4(&self) -> Option<(Ipv4Addr, Ipv4Addr)> {
        if self.ty != CfgAttribute::INTERNAL_IP4_SUBNET {
            return None;
        }
        let octets: [u8; 8] = self.value.try_into().ok()?;
        let [a, b, c, d, mask @ ..] = octets;
        Some((Ipv4Addr::new(a, b, c, d), Ipv4Addr::from(mask)))
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, ParseError> {
        let start = *reader;
        let [a, b, c, d] = reader.array(Field::Attribute)?;
        let (ty, length) = (u16::from_be_bytes([a, b]), usize::from(u16::from_be_bytes([c, d])));
        let Some(value) = reader.split(length) else {
            return Err(start.error(Field::Attribute, reader.truncated(length)));
        };
        Ok(Self { ty: CfgAttribute(ty & !RESERVED), value: value.rest() })
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.ty.0 & RESERVED != 0 {
            let kind =
                EncodeErrorKind::OutOfRange { value: self.ty.0.into(), min: 0, max: (!RESERVED).into() };
            return Err(writer::error(PayloadType::CP, Field::AttributeType, kind));
        }
        let length = writer::to_u16(self.value.len(), PayloadType::CP, Field::Attribute)?;
        out.extend_from_slice(&self.ty.0.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(self.value);
        Ok(())
    }
}
