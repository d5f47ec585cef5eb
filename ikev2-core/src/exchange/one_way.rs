//! One-way protected messages: one sender, any number of receivers, no answer and no window, such as the
//! pseudo-exchange of RFC 9838 §2.4.1. Their keys come from elsewhere, and both ends of all receivers have the same.
//!
//! The Message ID of one SA only grows. A sender counters loss by sending the same octets again, and a receiver
//! drops what is not newer than all that it took.
//!
//! Each is one SK payload in one datagram: fragments of one-way messages (RFC 9838 §2.4.1.2) are neither made nor
//! taken.

use super::datagram::Datagram;
use super::exchanges::SealError;
use super::protect::{MessageHead, OpenError, Plaintext, Protection};
use crate::error::{Failure, Rejection};
use alloc::vec::Vec;
use core::fmt;
use ikev2_wire::codes::{ExchangeType, PayloadType};
use ikev2_wire::{EncodeError, EncodeErrorKind, Field, Flags, GenericHeader, Header, Message, Payload};
use ipsec_crypto::{CipherAlgorithm, CipherError};
use ipsec_types::IkeSpi;
use ipsec_types::sa::SaKeys;

/// The name of a one-way SA: its exchange type, and both SPI fields of the header, which are one SPI of 16 octets
/// that its sender chose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OneWayId {
    /// The exchange type of its messages.
    pub exchange: ExchangeType,
    /// The first half of the SPI.
    pub first: IkeSpi,
    /// The second half.
    pub second: IkeSpi,
}

impl OneWayId {
    /// The name in a message of an exchange without answers; `None` where it has no second half, or answers.
    #[must_use]
    pub fn of(header: &Header) -> Option<Self> {
        let second = header.responder_spi.filter(|_| !header.flags.is_response())?;
        Some(Self { exchange: header.exchange, first: header.initiator_spi, second })
    }

    fn head(&self, message_id: u32) -> MessageHead {
        MessageHead {
            initiator_spi: self.first,
            responder_spi: Some(self.second),
            exchange: self.exchange,
            flags: Flags::new(true, false),
            message_id,
        }
    }
}

/// The one that sends. It counts both Message IDs and nonces, so that there must be one for the life of the keys:
/// whoever starts anew makes new ones.
#[derive(Debug)]
pub struct OneWaySender {
    id: OneWayId,
    protection: Protection,
    next_id: u32,
}

impl OneWaySender {
    /// A sender whose first message has Message ID 0.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`].
    pub fn new(id: OneWayId, algorithm: &dyn CipherAlgorithm, keys: &SaKeys) -> Result<Self, CipherError> {
        Ok(Self { id, protection: Protection::new(algorithm, keys, keys)?, next_id: 0 })
    }

    /// The Message ID of the next message: from which on a receiver that comes now takes messages.
    #[must_use]
    pub fn next_id(&self) -> u32 {
        self.next_id
    }

    /// The octets that a signature inside the next message covers: header, SK header and payloads as if nothing
    /// were encrypted, with lengths that fit (RFC 9838 §2.4.1.1, after RFC 9242 §3.3.2).
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn octets_to_sign(&self, payloads: &[Payload<'_>]) -> Result<Vec<u8>, EncodeError> {
        let mut inner = Vec::new();
        let first = ikev2_wire::encode_chain(payloads, &mut inner)?;
        in_clear(self.id.head(self.next_id).header(), first, &inner)
    }

    /// Makes the next message. Repeats of it are the same octets.
    ///
    /// # Errors
    /// [`SealError::Window`] where the Message IDs are used up, [`SealError::Encode`].
    pub fn seal(&mut self, payloads: &[Payload<'_>]) -> Result<Datagram, SealError> {
        let after = self.next_id.checked_add(1).ok_or(SealError::Window)?;
        let datagram = self.protection.seal(&self.id.head(self.next_id), payloads)?;
        self.next_id = after;
        Ok(datagram)
    }
}

/// One of those that receive.
#[derive(Debug)]
pub struct OneWayReceiver {
    id: OneWayId,
    protection: Protection,
    expected: u32,
}

/// A message that was opened and is not taken yet: whoever has the keys could have made it.
pub struct OneWayMessage<'s> {
    header: Header,
    plaintext: Plaintext<'s>,
}

impl fmt::Debug for OneWayMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OneWayMessage({})", self.header.message_id)
    }
}

impl OneWayMessage<'_> {
    /// What it holds, to check it.
    #[must_use]
    pub fn plaintext(&self) -> &Plaintext<'_> {
        &self.plaintext
    }

    /// The octets that a signature inside covers, the signature itself as it came
    /// ([`OneWaySender::octets_to_sign`]).
    ///
    /// # Errors
    /// [`EncodeError`], for none that was received.
    pub fn signed_octets(&self) -> Result<Vec<u8>, EncodeError> {
        let Plaintext { first, octets, .. } = &self.plaintext;
        in_clear(self.header, *first, octets)
    }
}

impl OneWayReceiver {
    /// A receiver that takes messages from this Message ID on.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`].
    pub fn new(
        id: OneWayId,
        algorithm: &dyn CipherAlgorithm,
        keys: &SaKeys,
        expected: u32,
    ) -> Result<Self, CipherError> {
        Ok(Self { id, protection: Protection::new(algorithm, keys, keys)?, expected })
    }

    /// The lowest Message ID that is still taken.
    #[must_use]
    pub fn expected(&self) -> u32 {
        self.expected
    }

    /// The sender says from which Message ID on messages are new. It never goes back.
    pub fn expect(&mut self, message_id: u32) {
        self.expected = self.expected.max(message_id);
    }

    /// Opens a message that is newer than all that were taken; nothing changes before
    /// [`OneWayReceiver::accept`]. `scratch` is overwritten; the plain text borrows from it.
    ///
    /// The outer error is of a message that may be from anyone; the inner one of who has the keys and is broken.
    ///
    /// # Errors
    /// [`Rejection::Contradictory`] where it is not of this SA, [`Rejection::OldMessageId`],
    /// [`Rejection::Unprotected`], [`Rejection::IntegrityCheck`].
    pub fn open<'s>(
        &self,
        message: &Message<'_>,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Result<OneWayMessage<'s>, Failure>, Rejection> {
        let header = *message.header();
        if OneWayId::of(&header) != Some(self.id) {
            return Err(Rejection::Contradictory);
        }
        // The last ID is never used, so that the one after each exists.
        if header.message_id < self.expected || header.message_id == u32::MAX {
            return Err(Rejection::OldMessageId(header.message_id));
        }
        match self.protection.open(message, scratch) {
            Ok(plaintext) => Ok(Ok(OneWayMessage { header, plaintext })),
            Err(error) => OpenError::sort(error).map(Err),
        }
    }

    /// Takes a message: it and all before it are old from now on. `None` where another one made it old meanwhile.
    #[must_use]
    pub fn accept<'s>(&mut self, message: OneWayMessage<'s>) -> Option<Plaintext<'s>> {
        let id = message.header.message_id;
        if OneWayId::of(&message.header) != Some(self.id) || id < self.expected {
            return None;
        }
        self.expected = id.saturating_add(1);
        Some(message.plaintext)
    }
}

fn in_clear(mut header: Header, first: PayloadType, inner: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let error = |value| EncodeError {
        kind: EncodeErrorKind::OutOfRange { value, min: 0, max: usize::from(u16::MAX) },
        payload: Some(PayloadType::SK),
        field: Field::PayloadLength,
    };
    let sk_length = inner.len().saturating_add(GenericHeader::LEN);
    let length = u16::try_from(sk_length).map_err(|_| error(sk_length))?;
    header.next_payload = PayloadType::SK;
    header.length = u32::from(length).saturating_add(Header::LEN as u32);
    let sk = GenericHeader { next_payload: first, critical: false, length };
    Ok([header.to_bytes().as_slice(), &sk.to_bytes(), inner].concat())
}
