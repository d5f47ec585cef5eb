//! The payloads of RFC 7296 §3, each in its own module, and what is common to them.
//!
//! Payloads borrow their octets. Those that are lists (SA, TS, CP, Delete) hold the encoded body, checked once:
//! read by iterators when received, built from values when sent. Re-encoding what was decoded gives the same
//! octets, with three exceptions that the RFC tells a receiver to ignore: the RESERVED octets of KE, the
//! Protocol ID of a Notify payload without SPI, and the critical and reserved bits of the generic payload header
//! (which [`crate::ChainEncoder::push_raw`] keeps).

pub mod auth;
pub mod cert;
pub mod cp;
pub mod delete;
pub mod eap;
pub mod encrypted;
pub mod id;
pub mod ke;
pub mod nonce;
pub mod notify;
pub mod proposal;
pub mod redirect;
pub mod sa;
pub mod ts;
pub mod vendor;

use crate::chain::RawPayload;
use crate::codes::PayloadType;
use crate::error::{EncodeError, EncodeErrorKind, Field, ParseError};
use crate::writer;
use alloc::vec::Vec;
use auth::AuthPayload;
use cert::{CertPayload, CertReqPayload};
use cp::CpPayload;
use delete::DeletePayload;
use eap::EapPayload;
use id::IdPayload;
use ke::KePayload;
use nonce::NoncePayload;
use notify::NotifyPayload;
use sa::SaPayload;
use ts::TsPayload;
use vendor::VendorIdPayload;

/// A payload of known form, or an unknown one with its body.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Payload<'a> {
    /// Security Association (RFC 7296 §3.3).
    Sa(SaPayload<'a>),
    /// Key Exchange (RFC 7296 §3.4).
    Ke(KePayload<'a>),
    /// Identification of the initiator (RFC 7296 §3.5).
    IdI(IdPayload<'a>),
    /// Identification of the responder (RFC 7296 §3.5).
    IdR(IdPayload<'a>),
    /// Certificate (RFC 7296 §3.6).
    Cert(CertPayload<'a>),
    /// Certificate Request (RFC 7296 §3.7).
    CertReq(CertReqPayload<'a>),
    /// Authentication (RFC 7296 §3.8).
    Auth(AuthPayload<'a>),
    /// Nonce (RFC 7296 §3.9).
    Nonce(NoncePayload<'a>),
    /// Notify (RFC 7296 §3.10).
    Notify(NotifyPayload<'a>),
    /// Delete (RFC 7296 §3.11).
    Delete(DeletePayload<'a>),
    /// Vendor ID (RFC 7296 §3.12).
    VendorId(VendorIdPayload<'a>),
    /// Traffic Selectors of the initiator (RFC 7296 §3.13).
    TsI(TsPayload<'a>),
    /// Traffic Selectors of the responder (RFC 7296 §3.13).
    TsR(TsPayload<'a>),
    /// Configuration (RFC 7296 §3.15).
    Cp(CpPayload<'a>),
    /// Extensible Authentication (RFC 7296 §3.16).
    Eap(EapPayload<'a>),
    /// Any other type, of other documents or of none.
    Unknown(UnknownPayload<'a>),
}

/// A payload of a type that this crate has no form for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UnknownPayload<'a> {
    /// The type.
    pub ty: PayloadType,
    /// Whether a receiver that does not know the type must reject the whole message (RFC 7296 §2.5).
    pub critical: bool,
    /// What follows the generic payload header.
    pub body: &'a [u8],
}

impl<'a> Payload<'a> {
    /// The payload's type.
    #[must_use]
    pub const fn ty(&self) -> PayloadType {
        match self {
            Self::Sa(_) => PayloadType::SA,
            Self::Ke(_) => PayloadType::KE,
            Self::IdI(_) => PayloadType::ID_I,
            Self::IdR(_) => PayloadType::ID_R,
            Self::Cert(_) => PayloadType::CERT,
            Self::CertReq(_) => PayloadType::CERTREQ,
            Self::Auth(_) => PayloadType::AUTH,
            Self::Nonce(_) => PayloadType::NONCE,
            Self::Notify(_) => PayloadType::NOTIFY,
            Self::Delete(_) => PayloadType::DELETE,
            Self::VendorId(_) => PayloadType::VENDOR_ID,
            Self::TsI(_) => PayloadType::TS_I,
            Self::TsR(_) => PayloadType::TS_R,
            Self::Cp(_) => PayloadType::CP,
            Self::Eap(_) => PayloadType::EAP,
            Self::Unknown(unknown) => unknown.ty,
        }
    }

    /// Looks into the body of a payload.
    pub(crate) fn decode(raw: &RawPayload<'a>) -> Result<Self, ParseError> {
        let reader = raw.reader();
        Ok(match raw.ty {
            PayloadType::SA => Self::Sa(SaPayload::parse(reader)?),
            PayloadType::KE => Self::Ke(KePayload::parse(reader)?),
            PayloadType::ID_I => Self::IdI(IdPayload::parse(reader)?),
            PayloadType::ID_R => Self::IdR(IdPayload::parse(reader)?),
            PayloadType::CERT => Self::Cert(CertPayload::parse(reader)?),
            PayloadType::CERTREQ => Self::CertReq(CertReqPayload::parse(reader)?),
            PayloadType::AUTH => Self::Auth(AuthPayload::parse(reader)?),
            PayloadType::NONCE => Self::Nonce(NoncePayload::parse(reader)?),
            PayloadType::NOTIFY => Self::Notify(NotifyPayload::parse(reader)?),
            PayloadType::DELETE => Self::Delete(DeletePayload::parse(reader)?),
            PayloadType::VENDOR_ID => Self::VendorId(VendorIdPayload(raw.body)),
            PayloadType::TS_I => Self::TsI(TsPayload::parse(reader)?),
            PayloadType::TS_R => Self::TsR(TsPayload::parse(reader)?),
            PayloadType::CP => Self::Cp(CpPayload::parse(reader)?),
            PayloadType::EAP => Self::Eap(EapPayload::parse(reader)?),
            ty => Self::Unknown(UnknownPayload { ty, critical: raw.critical, body: raw.body }),
        })
    }

    /// Appends what follows the generic payload header.
    ///
    /// # Errors
    /// What cannot be encoded; `out` may then hold a part of it.
    pub fn encode_body(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Sa(sa) => out.extend_from_slice(sa.body()),
            Self::Ke(ke) => ke.encode(out),
            Self::IdI(id) | Self::IdR(id) => id.encode(self.ty(), out)?,
            Self::Cert(cert) => cert.encode(out),
            Self::CertReq(request) => request.encode(out),
            Self::Auth(auth) => auth.encode(out),
            Self::Nonce(nonce) => out.extend_from_slice(nonce.as_bytes()),
            Self::Notify(notify) => notify.encode(out)?,
            Self::Delete(delete) => out.extend_from_slice(delete.body()),
            Self::VendorId(vendor) => out.extend_from_slice(vendor.0),
            Self::TsI(ts) | Self::TsR(ts) => out.extend_from_slice(ts.body()),
            Self::Cp(cp) => out.extend_from_slice(cp.body()),
            Self::Eap(eap) => out.extend_from_slice(eap.message()),
            Self::Unknown(unknown) => unknown.encode(out)?,
        }
        Ok(())
    }
}

impl UnknownPayload<'_> {
    /// Refuses the types that a receiver would read as something else: those of known form, SK, SKF, none.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if matches!(self.ty.0, 0 | 33..=48 | 53) {
            let kind = EncodeErrorKind::Type { ty: self.ty.0.into() };
            return Err(writer::error(self.ty, Field::PayloadType, kind));
        }
        out.extend_from_slice(self.body);
        Ok(())
    }
}
