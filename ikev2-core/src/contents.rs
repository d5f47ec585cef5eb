//! What a message holds, sorted by payload, with the rules that every exchange shares: unknown payloads are
//! skipped unless critical (RFC 7296 §2.5), order means nothing, and what may stand once stands once.

use crate::error::{Failure, Rejection};
use crate::exchange::protect::Plaintext;
use alloc::vec::Vec;
use ikev2_wire::codes::{NotifyType, PayloadType};
use ikev2_wire::{
    AuthPayload, CertPayload, CertReqPayload, CpPayload, DeletePayload, EapPayload, IdPayload, KePayload,
    NoncePayload, NotifyPayload, SaPayload, TsPayload, VendorIdPayload,
};
use ikev2_wire::{ParseError, Payload, Payloads, UnknownPayload};
use thiserror::Error;

/// Why a message cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ContentsError {
    /// A payload is malformed.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// An unknown payload must not be skipped.
    #[error("the critical payload {0} is unknown")]
    Critical(PayloadType),
    /// A payload stands there twice.
    #[error("the {0} payload is there twice")]
    Duplicate(PayloadType),
}

impl From<ContentsError> for Rejection {
    fn from(error: ContentsError) -> Self {
        match error {
            ContentsError::Malformed(error) => Self::Malformed(error),
            ContentsError::Critical(ty) => Self::CriticalPayload(ty),
            ContentsError::Duplicate(ty) => Self::DuplicatePayload(ty),
        }
    }
}

impl From<ContentsError> for Failure {
    fn from(error: ContentsError) -> Self {
        match error {
            ContentsError::Malformed(error) => Self::Malformed(error),
            ContentsError::Critical(ty) => Self::CriticalPayload(ty),
            ContentsError::Duplicate(ty) => Self::DuplicatePayload(ty),
        }
    }
}

/// The payloads of one message.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "each is the payload of its name")]
pub struct Contents<'a> {
    pub sa: Option<SaPayload<'a>>,
    pub ke: Option<KePayload<'a>>,
    pub id_i: Option<IdPayload<'a>>,
    pub id_r: Option<IdPayload<'a>>,
    pub auth: Option<AuthPayload<'a>>,
    pub nonce: Option<NoncePayload<'a>>,
    pub ts_i: Option<TsPayload<'a>>,
    pub ts_r: Option<TsPayload<'a>>,
    pub cp: Option<CpPayload<'a>>,
    pub eap: Option<EapPayload<'a>>,
    pub notifies: Vec<NotifyPayload<'a>>,
    pub deletes: Vec<DeletePayload<'a>>,
    pub certs: Vec<CertPayload<'a>>,
    pub cert_reqs: Vec<CertReqPayload<'a>>,
    pub vendor_ids: Vec<VendorIdPayload<'a>>,
    /// Those of other types that the reader asked for.
    pub others: Vec<UnknownPayload<'a>>,
}

fn once<T>(slot: &mut Option<T>, payload: T, ty: PayloadType) -> Result<(), ContentsError> {
    match slot.replace(payload) {
        None => Ok(()),
        Some(_) => Err(ContentsError::Duplicate(ty)),
    }
}

impl<'a> Contents<'a> {
    /// Decodes and sorts what was in an SK payload.
    ///
    /// # Errors
    /// [`ContentsError`].
    pub fn of(plaintext: &'a Plaintext<'_>) -> Result<Self, ContentsError> {
        Self::read(plaintext.payloads()?)
    }

    /// The same for a protocol that has payloads of these types beside: they are kept in [`Contents::others`], and
    /// may be critical.
    ///
    /// # Errors
    /// [`ContentsError`].
    pub fn with_others(plaintext: &'a Plaintext<'_>, known: &[PayloadType]) -> Result<Self, ContentsError> {
        Self::sort(plaintext.payloads()?, known)
    }

    /// Decodes and sorts the payloads.
    ///
    /// # Errors
    /// [`ContentsError`].
    pub fn read(payloads: Payloads<'a>) -> Result<Self, ContentsError> {
        Self::sort(payloads, &[])
    }

    fn sort(payloads: Payloads<'a>, known: &[PayloadType]) -> Result<Self, ContentsError> {
        let mut contents = Self::default();
        for raw in payloads {
            let ty = raw.ty;
            match raw.decode()? {
                Payload::Sa(sa) => once(&mut contents.sa, sa, ty)?,
                Payload::Ke(ke) => once(&mut contents.ke, ke, ty)?,
                Payload::IdI(id) => once(&mut contents.id_i, id, ty)?,
                Payload::IdR(id) => once(&mut contents.id_r, id, ty)?,
                Payload::Auth(auth) => once(&mut contents.auth, auth, ty)?,
                Payload::Nonce(nonce) => once(&mut contents.nonce, nonce, ty)?,
                Payload::TsI(ts) => once(&mut contents.ts_i, ts, ty)?,
                Payload::TsR(ts) => once(&mut contents.ts_r, ts, ty)?,
                Payload::Cp(cp) => once(&mut contents.cp, cp, ty)?,
                Payload::Eap(eap) => once(&mut contents.eap, eap, ty)?,
                Payload::Notify(notify) => contents.notifies.push(notify),
                Payload::Delete(delete) => contents.deletes.push(delete),
                Payload::Cert(cert) => contents.certs.push(cert),
                Payload::CertReq(request) => contents.cert_reqs.push(request),
                Payload::VendorId(vendor) => contents.vendor_ids.push(vendor),
                Payload::Unknown(unknown) if known.contains(&ty) => contents.others.push(unknown),
                _ if raw.critical => return Err(ContentsError::Critical(ty)),
                _ => {}
            }
        }
        Ok(contents)
    }

    /// The body of the first payload of one of those types.
    #[must_use]
    pub fn other(&self, ty: PayloadType) -> Option<&'a [u8]> {
        self.others.iter().find(|payload| payload.ty == ty).map(|payload| payload.body)
    }

    /// The first notify of this type.
    #[must_use]
    pub fn notify(&self, ty: NotifyType) -> Option<&NotifyPayload<'a>> {
        self.notifies.iter().find(|n| n.ty == ty)
    }

    /// Why an answer has no SA payload.
    #[must_use]
    pub(crate) fn refusal(&self) -> Failure {
        match self.error() {
            Some(error) => Failure::Refused { notify: error.ty },
            None => Failure::NoAnswer,
        }
    }

    /// The first notify that reports an error.
    #[must_use]
    pub fn error(&self) -> Option<&NotifyPayload<'a>> {
        self.notifies.iter().find(|n| n.ty.is_error())
    }
}
