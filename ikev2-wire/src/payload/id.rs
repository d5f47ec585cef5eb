//! The Identification payloads, IDi and IDr (RFC 7296 §3.5, RFC 7619 §2.2).

use crate::codes::{IdType, PayloadType};
use crate::error::{EncodeError, EncodeErrorKind, Field, ParseError, ParseErrorKind};
use crate::reader::Reader;
use crate::writer;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who a peer says it is. Not authenticated before AUTH has been verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IdPayload<'a> {
    /// The type of the identity.
    pub ty: IdType,
    /// Three octets to be sent as zero. A receiver ignores them, but they are under AUTH as received
    /// (RFC 7296 §2.15).
    pub reserved: [u8; 3],
    /// The identity. Checked where its type says what it must be: four octets for ID_IPV4_ADDR, sixteen for
    /// ID_IPV6_ADDR, none for ID_NULL, and neither NUL, CR nor LF in ID_FQDN and ID_RFC822_ADDR.
    pub data: &'a [u8],
}

/// What is wrong with the data of an identity.
enum Fault {
    Length(usize),
    Terminator { octet: u8, position: usize },
}

impl<'a> IdPayload<'a> {
    /// An identity, its reserved octets zero.
    #[must_use]
    pub const fn new(ty: IdType, data: &'a [u8]) -> Self {
        Self { ty, reserved: [0; 3], data }
    }

    /// The address of an ID_IPV4_ADDR or ID_IPV6_ADDR.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self.ty {
            IdType::IPV4_ADDR => {
                self.data.try_into().ok().map(|octets: [u8; 4]| Ipv4Addr::from(octets).into())
            }
            IdType::IPV6_ADDR => {
                self.data.try_into().ok().map(|octets: [u8; 16]| Ipv6Addr::from(octets).into())
            }
            _ => None,
        }
    }

    /// Appends the body: type, reserved octets, data. This is RestOfInitIDPayload or RestOfRespIDPayload, the
    /// input of MACedIDForI and MACedIDForR (RFC 7296 §2.15).
    pub fn body(&self, out: &mut Vec<u8>) {
        out.push(self.ty.0);
        out.extend_from_slice(&self.reserved);
        out.extend_from_slice(self.data);
    }

    fn check(&self) -> Result<(), Fault> {
        let length = match self.ty {
            IdType::IPV4_ADDR => 4,
            IdType::IPV6_ADDR => 16,
            IdType::NULL => 0,
            IdType::FQDN | IdType::RFC822_ADDR => {
                let terminator =
                    self.data.iter().zip(0..).find(|(octet, _)| matches!(octet, 0 | b'\r' | b'\n'));
                return match terminator {
                    Some((&octet, position)) => Err(Fault::Terminator { octet, position }),
                    None => Ok(()),
                };
            }
            _ => return Ok(()),
        };
        if self.data.len() == length { Ok(()) } else { Err(Fault::Length(length)) }
    }

    pub(crate) fn parse(mut reader: Reader<'a>) -> Result<Self, ParseError> {
        let [ty, reserved @ ..] = reader.array::<4>(Field::FixedFields)?;
        let id = Self { ty: IdType(ty), reserved, data: reader.rest() };
        match id.check() {
            Ok(()) => Ok(id),
            Err(Fault::Length(length)) => {
                let kind = ParseErrorKind::OutOfRange { value: id.data.len(), min: length, max: length };
                Err(reader.error(Field::Data, kind))
            }
            Err(Fault::Terminator { octet, position }) => {
                reader.take(position, Field::Data)?;
                Err(reader.error(Field::Data, ParseErrorKind::Terminator { octet }))
            }
        }
    }

    pub(crate) fn encode(&self, payload: PayloadType, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let kind = match self.check() {
            Ok(()) => {
                self.body(out);
                return Ok(());
            }
            Err(Fault::Length(length)) => {
                EncodeErrorKind::OutOfRange { value: self.data.len(), min: length, max: length }
            }
            Err(Fault::Terminator { octet, .. }) => EncodeErrorKind::Terminator { octet },
        };
        Err(writer::error(payload, Field::Data, kind))
    }
}
