//! The SK payload: sealing messages and opening them (RFC 7296 §3.14, RFC 5282).

use super::datagram::Datagram;
use crate::error::{Failure, Rejection};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use ikev2_wire::codes::{ExchangeType, PayloadType};
use ikev2_wire::{
    EncodeError, EncodeErrorKind, Field, Flags, GenericHeader, Header, Message, ParseError, Payload,
    Payloads, Protected, RawPayload, Version,
};
use ipsec_crypto::{CipherAlgorithm, CipherError, PacketCipher, PacketNumber};
use ipsec_types::IkeSpi;
use ipsec_types::sa::SaKeys;
use thiserror::Error;

/// The part of a header that its sender decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageHead {
    /// The original initiator's SPI.
    pub initiator_spi: IkeSpi,
    /// The original responder's; `None` in the first IKE_SA_INIT request.
    pub responder_spi: Option<IkeSpi>,
    /// The exchange type.
    pub exchange: ExchangeType,
    /// Sender and kind.
    pub flags: Flags,
    /// The Message ID.
    pub message_id: u32,
}

impl MessageHead {
    /// The header, before its Next Payload and Length are known.
    #[must_use]
    pub fn header(&self) -> Header {
        Header {
            initiator_spi: self.initiator_spi,
            responder_spi: self.responder_spi,
            next_payload: PayloadType::NONE,
            version: Version::V2,
            exchange: self.exchange,
            flags: self.flags,
            message_id: self.message_id,
            length: 0,
        }
    }
}

/// Why a protected message was not opened.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no SK payload.
    #[error("not protected")]
    Unprotected,
    /// It is too short, or no whole blocks, or its integrity check failed: it may be from anyone.
    #[error(transparent)]
    Cipher(#[from] CipherError),
    /// Its integrity is good and its Pad Length says more than there is.
    #[error("authentic, with {pad} octets of padding in {text} of text")]
    Padding {
        /// What Pad Length says.
        pad: u8,
        /// Octets decrypted.
        text: usize,
    },
    /// Its integrity is good, and outside SK it holds a payload that we do not know and must not skip (§2.5).
    #[error("authentic, with the critical payload {0} outside SK")]
    Critical(PayloadType),
}

impl OpenError {
    /// Whether the message is the peer's all the same.
    ///
    /// # Errors
    /// [`Rejection`] where it is not authentic; nothing may come of it.
    pub fn sort(self) -> Result<Failure, Rejection> {
        match self {
            Self::Unprotected => Err(Rejection::Unprotected),
            Self::Cipher(_) => Err(Rejection::IntegrityCheck),
            Self::Padding { .. } => Ok(Failure::Padding),
            Self::Critical(ty) => Ok(Failure::CriticalPayload(ty)),
        }
    }
}

/// What opening a message came to. The outer error is of a message that may be from anyone, and nothing changed; the
/// inner one of a peer that is authentic and broken.
pub type Opened<'s> = Result<Result<Plaintext<'s>, Failure>, Rejection>;

/// What was in an SK payload: authentic, and not looked into yet.
#[derive(Clone, Debug)]
pub struct Plaintext<'s> {
    pub(super) first: PayloadType,
    pub(super) octets: Cow<'s, [u8]>,
    /// Where it began in the message, for errors.
    offset: usize,
    /// How many payloads it may hold.
    limit: usize,
}

impl Plaintext<'_> {
    /// The payloads in it.
    ///
    /// # Errors
    /// [`ParseError`] where the chain is not whole.
    pub fn payloads(&self) -> Result<Payloads<'_>, ParseError> {
        Payloads::parse_limited(self.first, &self.octets, self.offset, self.limit)
    }

    /// The same, to keep.
    #[must_use]
    pub fn into_owned(self) -> Plaintext<'static> {
        Plaintext { octets: Cow::Owned(self.octets.into_owned()), ..self }
    }
}

/// The keys of an IKE SA's messages, both ways.
pub struct Protection {
    outbound: Box<dyn PacketCipher>,
    inbound: Box<dyn PacketCipher>,
    /// Numbers every message sealed, repeats excluded: they are sent as they were (RFC 5282 §3.1).
    next_number: u64,
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protection(next number {})", self.next_number)
    }
}

impl Protection {
    /// Expands the keys of both directions.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`].
    pub fn new(
        algorithm: &dyn CipherAlgorithm,
        outbound: &SaKeys,
        inbound: &SaKeys,
    ) -> Result<Self, CipherError> {
        Ok(Self {
            outbound: algorithm.with_keys(outbound)?,
            inbound: algorithm.with_keys(inbound)?,
            next_number: 0,
        })
    }

    /// Makes a message whose payloads are all in its SK payload.
    ///
    /// # Errors
    /// [`EncodeError`] where a payload or the message is larger than its length field can say.
    pub fn seal(&mut self, head: &MessageHead, payloads: &[Payload<'_>]) -> Result<Datagram, EncodeError> {
        const TEXT_AT: usize = Header::LEN + GenericHeader::LEN;
        let cipher = &self.outbound;
        let mut buffer = Datagram::buffer(512);
        let start = buffer.len();
        buffer.resize(start + TEXT_AT + cipher.iv_len(), 0);
        let text = buffer.len();
        let next_payload = ikev2_wire::encode_chain(payloads, &mut buffer)?;
        // Any amount of padding will do (§3.14): the least that makes whole blocks with its length octet.
        let unpadded = buffer.len() - text + 1;
        let padding = unpadded.next_multiple_of(cipher.block_len().max(1)) - unpadded;
        buffer.resize(buffer.len() + padding, 0);
        buffer.push(u8::try_from(padding).unwrap_or(0));
        buffer.resize(buffer.len() + cipher.icv_len(), 0);

        let length = buffer.len() - start;
        let too_long = EncodeError {
            kind: EncodeErrorKind::OutOfRange { value: length, min: 0, max: usize::from(u16::MAX) },
            payload: Some(PayloadType::SK),
            field: Field::PayloadLength,
        };
        let sk_length = u16::try_from(length - Header::LEN).map_err(|_| too_long)?;
        let sk = GenericHeader { next_payload, critical: false, length: sk_length };
        let mut header = head.header();
        header.next_payload = PayloadType::SK;
        header.length = u32::try_from(length).map_err(|_| too_long)?;
        let message = buffer.get_mut(start..).unwrap_or_default();
        if let Some((into, rest)) = message.split_first_chunk_mut() {
            *into = header.to_bytes();
            if let Some(into) = rest.first_chunk_mut() {
                *into = sk.to_bytes();
            }
        }
        let number = PacketNumber::explicit(self.next_number);
        self.next_number = self.next_number.saturating_add(1);
        // Only lengths can be wrong here, and they were made above.
        cipher.seal(number, TEXT_AT, message).map_err(|_| too_long)?;
        Ok(Datagram::finish(buffer))
    }

    /// Opens the SK payload of a message, and sorts what may go wrong with it.
    ///
    /// # Errors
    /// As [`Opened`] says.
    pub fn open_sorted<'s>(&self, message: &Message<'_>, scratch: &'s mut Vec<u8>) -> Opened<'s> {
        self.open(message, scratch).map_or_else(|error| error.sort().map(Err), |plaintext| Ok(Ok(plaintext)))
    }

    /// Opens the SK payload of a message. `scratch` is overwritten; the plain text borrows from it.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::sort`] tells which of them are of an authentic message.
    pub fn open<'s>(
        &self,
        message: &Message<'_>,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Plaintext<'s>, OpenError> {
        let Some(Protected::Sk(sk)) = message.protected() else { return Err(OpenError::Unprotected) };
        scratch.clear();
        scratch.extend_from_slice(message.as_bytes());
        // The number of an IKE message is sent in its IV.
        self.inbound.open(PacketNumber::explicit(0), sk.header_len, scratch)?;
        let start = sk.header_len.saturating_add(self.inbound.iv_len());
        let end = scratch.len().saturating_sub(self.inbound.icv_len());
        let text = scratch.get(start..end).unwrap_or_default();
        let Some((&pad, rest)) = text.split_last() else {
            return Err(OpenError::Padding { pad: 0, text: 0 });
        };
        let Some(inner) = rest.len().checked_sub(usize::from(pad)).and_then(|n| rest.get(..n)) else {
            return Err(OpenError::Padding { pad, text: text.len() });
        };
        let unknown = |raw: &RawPayload<'_>| raw.critical && matches!(raw.decode(), Ok(Payload::Unknown(_)));
        if let Some(critical) = message.payloads().find(unknown) {
            return Err(OpenError::Critical(critical.ty));
        }
        let (first, limit) = (sk.first_inner, message.inner_limit());
        Ok(Plaintext { first, octets: Cow::Borrowed(inner), offset: start, limit })
    }
}
