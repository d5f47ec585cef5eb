//! The SK and SKF payloads: sealing messages and opening them (RFC 7296 §3.14, RFC 5282, RFC 7383 §2.5).

use super::datagram::Datagram;
use super::outgoing::Outgoing;
use crate::error::{Failure, MoveError, Rejection};
use crate::saved::{Restoring, Saving};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use ikev2_wire::codes::{ExchangeType, PayloadType};
use ikev2_wire::{
    EncodeError, EncodeErrorKind, Field, Flags, FragmentHeader, GenericHeader, Header, Message, ParseError,
    Payload, Payloads, Protected, RawPayload, Version,
};
use ipsec_crypto::{CipherAlgorithm, CipherError, PacketCipher, PacketNumber};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{IkeSpi, SecretBytes};
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
    /// The head of a message that was made.
    fn of(header: &Header) -> Self {
        Self {
            initiator_spi: header.initiator_spi,
            responder_spi: header.responder_spi,
            exchange: header.exchange,
            flags: header.flags,
            message_id: header.message_id,
        }
    }

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

/// In how many datagrams a message leaves. Sizes are octets of IKE message, the non-ESP marker not counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// In one, whatever its size.
    Whole,
    /// In one if it has at most so many octets, otherwise in fragments that have.
    UpTo(usize),
    /// In fragments of at most so many octets, even if one is enough.
    Fragments(usize),
}

/// Why a protected message was not opened.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no SK payload, or no SKF payload where a fragment is opened.
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

/// What was in an SK payload, or in an SKF payload: authentic, and not looked into yet.
#[derive(Clone, Debug)]
pub struct Plaintext<'s> {
    pub(super) first: PayloadType,
    pub(super) octets: Cow<'s, [u8]>,
    /// Where it began in the message, for errors; of fragments, in the first.
    pub(super) offset: usize,
    /// How many payloads it may hold.
    pub(super) limit: usize,
}

impl Plaintext<'_> {
    /// The payloads in it.
    ///
    /// # Errors
    /// [`ParseError`] where the chain is not whole.
    pub fn payloads(&self) -> Result<Payloads<'_>, ParseError> {
        Payloads::parse_limited(self.first, &self.octets, self.offset, self.limit)
    }

    /// The type of the first payload in it; [`PayloadType::NONE`] where there is none.
    #[must_use]
    pub fn first(&self) -> PayloadType {
        self.first
    }

    /// The payloads' octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets
    }

    /// Its octets.
    pub(crate) fn len(&self) -> usize {
        self.octets.len()
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
    /// What the keys are for.
    suite: CipherSuite,
    /// The keys, for an SA that moves: what is sent first, then what is received; of each that of the cipher first. The
    /// expanded ones above tell no less to who can read them.
    keys: SecretBytes,
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
        let parts = [&outbound.encr, &outbound.integ, &inbound.encr, &inbound.integ];
        let mut keys = SecretBytes::zeroed(parts.iter().map(|part| part.len()).sum());
        let octets = parts.iter().flat_map(|part| part.as_slice());
        keys.as_mut().iter_mut().zip(octets).for_each(|(place, octet)| *place = *octet);
        Ok(Self {
            outbound: algorithm.with_keys(outbound)?,
            inbound: algorithm.with_keys(inbound)?,
            next_number: 0,
            suite: algorithm.suite(),
            keys,
        })
    }

    /// For an SA that moves: no number is used twice by the two that are it.
    pub(super) fn save(&self, w: &mut Saving) {
        let Self { outbound: _, inbound: _, next_number, suite, keys } = self;
        w.put_suite(*suite);
        w.put_octets(keys.as_slice());
        w.put_u64(*next_number);
    }

    pub(super) fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        let cipher = r.cipher()?;
        let at = r.at();
        let (encr, integ) = (cipher.encr_key_len(), cipher.integ_key_len());
        let mut rest = r.octets()?;
        let wrong = r.value(at, "keys of this cipher");
        if rest.len() != 2 * (encr + integ) {
            return Err(wrong);
        }
        let mut take = |length| {
            let (key, others) = rest.split_at_checked(length).unwrap_or_default();
            rest = others;
            SecretBytes::copy_from(key)
        };
        let mut direction = || SaKeys { encr: take(encr), integ: take(integ) };
        let (outbound, inbound) = (direction(), direction());
        let made = Self::new(cipher, &outbound, &inbound).map_err(|_| wrong)?;
        Ok(Self { next_number: r.u64()?, ..made })
    }

    /// Makes a message in one datagram, with all payloads in its SK payload.
    ///
    /// # Errors
    /// [`EncodeError`] where a payload or the message is larger than its length field can say.
    pub fn seal(&mut self, head: &MessageHead, payloads: &[Payload<'_>]) -> Result<Datagram, EncodeError> {
        let (first, buffer) = self.encode(payloads)?;
        self.finish(head, None, first, buffer)
    }

    /// Makes a message in the form that is asked for, with all payloads in its SK payload or SKF payloads.
    ///
    /// # Errors
    /// [`EncodeError`] where a payload or the message is larger than its length field can say, fragmented or not,
    /// or where it takes more fragments than can be numbered.
    pub fn seal_in(
        &mut self,
        head: &MessageHead,
        payloads: &[Payload<'_>],
        form: Form,
    ) -> Result<Outgoing, EncodeError> {
        let (first, buffer) = self.encode(payloads)?;
        let content = buffer.get(self.content_at(None)..).unwrap_or_default();
        let length = self.sealed_len(content.len());
        match form {
            Form::UpTo(room) if length > room => self.fragment(head, first, content, room),
            Form::Fragments(room) => self.fragment(head, first, content, room),
            Form::Whole | Form::UpTo(_) => self.finish(head, None, first, buffer).map(Outgoing::Whole),
        }
    }

    /// Makes smaller fragments of a message that was sealed here, under new packet numbers: what did not pass is
    /// sent in another way (RFC 7383 §2.5.2). `None` where that makes no more fragments than there were, or the
    /// message is none that can be fragmented.
    ///
    /// The message is opened for it, so that its plain text need not be kept.
    pub fn refragment(&mut self, message: &Outgoing, room: usize) -> Option<Outgoing> {
        if message.largest() <= room {
            return None;
        }
        let (mut scratch, mut content) = (Vec::new(), Vec::new());
        let mut origin = None;
        for datagram in message.datagrams() {
            let parsed = Message::parse(datagram.message()).ok()?;
            let protected = parsed.protected()?;
            let part = open(&*self.outbound, &parsed, &protected, &mut scratch).ok()?;
            content.extend_from_slice(&part.octets);
            origin.get_or_insert((MessageHead::of(parsed.header()), part.first));
        }
        let (head, first) = origin?;
        let fragments = self.fragment(&head, first, &content, room).ok()?;
        let before = match message {
            Outgoing::Whole(_) => 0,
            Outgoing::Fragments(datagrams) => datagrams.len(),
        };
        (fragments.datagrams().len() > before).then_some(fragments)
    }

    /// Where the content begins in a buffer.
    fn content_at(&self, fragment: Option<FragmentHeader>) -> usize {
        Datagram::MESSAGE_AT + header_len(fragment) + self.outbound.iv_len()
    }

    /// A chain of payloads with room for a message's header in front of it, and the type of the first.
    fn encode(&self, payloads: &[Payload<'_>]) -> Result<(PayloadType, Vec<u8>), EncodeError> {
        let mut buffer = Datagram::buffer(512);
        buffer.resize(self.content_at(None), 0);
        let first = ikev2_wire::encode_chain(payloads, &mut buffer)?;
        // What is fragmented must be a message without, too.
        let content = buffer.len().saturating_sub(self.content_at(None));
        payload_len(self.sealed_len(content))?;
        Ok((first, buffer))
    }

    /// The octets of a message with so much content in its SK payload.
    fn sealed_len(&self, content: usize) -> usize {
        let text = content.saturating_add(1).next_multiple_of(self.outbound.block_len().max(1));
        header_len(None) + self.outbound.iv_len() + text + self.outbound.icv_len()
    }

    /// Cuts the content into pieces, without regard to payloads, and makes a message of each (RFC 7383 §2.5).
    fn fragment(
        &mut self,
        head: &MessageHead,
        first: PayloadType,
        content: &[u8],
        room: usize,
    ) -> Result<Outgoing, EncodeError> {
        const SMALLEST: usize = 16;
        let any = FragmentHeader { number: 1, total: 1 };
        let around = header_len(Some(any)) + self.outbound.iv_len() + self.outbound.icv_len();
        let text = room.saturating_sub(around);
        let whole_blocks = text - text % self.outbound.block_len().max(1);
        let piece = whole_blocks.saturating_sub(1).max(SMALLEST);
        let count = content.len().div_ceil(piece).max(1);
        let total = u16::try_from(count).map_err(|_| EncodeError {
            kind: EncodeErrorKind::OutOfRange { value: count, min: 1, max: usize::from(u16::MAX) },
            payload: Some(PayloadType::SKF),
            field: Field::TotalFragments,
        })?;
        let mut pieces = content.chunks(piece);
        let mut datagrams = Vec::with_capacity(count);
        for number in 1..=total {
            let fragment = FragmentHeader { number, total };
            let content = pieces.next().unwrap_or_default();
            let mut buffer = Datagram::buffer(self.sealed_len(content.len()) + FragmentHeader::LEN);
            buffer.resize(self.content_at(Some(fragment)), 0);
            buffer.extend_from_slice(content);
            let first = if number == 1 { first } else { PayloadType::NONE };
            datagrams.push(self.finish(head, Some(fragment), first, buffer)?);
        }
        Ok(Outgoing::Fragments(datagrams.into()))
    }

    /// Pads the content, writes what stands in front of it, and seals it.
    fn finish(
        &mut self,
        head: &MessageHead,
        fragment: Option<FragmentHeader>,
        first: PayloadType,
        mut buffer: Vec<u8>,
    ) -> Result<Datagram, EncodeError> {
        let cipher = &self.outbound;
        // Any amount of padding will do (§3.14): the least that makes whole blocks with its length octet.
        let unpadded = buffer.len().saturating_sub(self.content_at(fragment)) + 1;
        let padding = unpadded.next_multiple_of(cipher.block_len().max(1)) - unpadded;
        buffer.resize(buffer.len() + padding, 0);
        buffer.push(u8::try_from(padding).unwrap_or(0));
        buffer.resize(buffer.len() + cipher.icv_len(), 0);

        let length = buffer.len().saturating_sub(Datagram::MESSAGE_AT);
        let generic = GenericHeader { next_payload: first, critical: false, length: payload_len(length)? };
        let mut header = head.header();
        header.next_payload = if fragment.is_some() { PayloadType::SKF } else { PayloadType::SK };
        header.length = u32::try_from(length).unwrap_or(u32::MAX);
        let message = buffer.get_mut(Datagram::MESSAGE_AT..).unwrap_or_default();
        let parts = header.to_bytes().into_iter().chain(generic.to_bytes());
        let parts = parts.chain(fragment.into_iter().flat_map(FragmentHeader::to_bytes));
        message.iter_mut().zip(parts).for_each(|(place, octet)| *place = octet);
        let number = PacketNumber::explicit(self.next_number);
        self.next_number = self.next_number.saturating_add(1);
        // Only lengths can be wrong here, and they were made above.
        cipher.seal(number, header_len(fragment), message).map_err(|_| too_long(length))?;
        Ok(Datagram::finish(buffer))
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
        match message.protected() {
            Some(sk @ Protected::Sk(_)) => {
                let plaintext = open(&*self.inbound, message, &sk, scratch)?;
                nothing_critical(message)?;
                Ok(plaintext)
            }
            _ => Err(OpenError::Unprotected),
        }
    }

    /// Opens the SKF payload of a message: a piece of what is in the whole one, of no use alone (RFC 7383 §2.6).
    /// What stands outside it is not looked at.
    ///
    /// # Errors
    /// As [`Protection::open`].
    pub fn open_fragment<'s>(
        &self,
        message: &Message<'_>,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Plaintext<'s>, OpenError> {
        match message.protected() {
            Some(skf @ Protected::Skf(_)) => open(&*self.inbound, message, &skf, scratch),
            _ => Err(OpenError::Unprotected),
        }
    }
}

/// What stands outside SK is authentic too, and a critical payload there counts (§2.5).
pub(super) fn nothing_critical(message: &Message<'_>) -> Result<(), OpenError> {
    let unknown = |raw: &RawPayload<'_>| raw.critical && matches!(raw.decode(), Ok(Payload::Unknown(_)));
    message.payloads().find(unknown).map_or(Ok(()), |raw| Err(OpenError::Critical(raw.ty)))
}

/// The octets before the IV.
fn header_len(fragment: Option<FragmentHeader>) -> usize {
    Header::LEN + GenericHeader::LEN + fragment.map_or(0, |_| FragmentHeader::LEN)
}

pub(crate) fn too_long(length: usize) -> EncodeError {
    EncodeError {
        kind: EncodeErrorKind::OutOfRange { value: length, min: 0, max: usize::from(u16::MAX) },
        payload: Some(PayloadType::SK),
        field: Field::PayloadLength,
    }
}

/// What the SK or SKF payload of a message of so many octets says of its length.
fn payload_len(length: usize) -> Result<u16, EncodeError> {
    u16::try_from(length.saturating_sub(Header::LEN)).map_err(|_| too_long(length))
}

fn open<'s>(
    cipher: &dyn PacketCipher,
    message: &Message<'_>,
    protected: &Protected<'_>,
    scratch: &'s mut Vec<u8>,
) -> Result<Plaintext<'s>, OpenError> {
    let header_len = protected.header_len();
    scratch.clear();
    scratch.extend_from_slice(message.as_bytes());
    // The number of an IKE message is sent in its IV.
    cipher.open(PacketNumber::explicit(0), header_len, scratch)?;
    let start = header_len.saturating_add(cipher.iv_len());
    let end = scratch.len().saturating_sub(cipher.icv_len());
    let text = scratch.get(start..end).unwrap_or_default();
    let Some((&pad, rest)) = text.split_last() else {
        return Err(OpenError::Padding { pad: 0, text: 0 });
    };
    let Some(inner) = rest.len().checked_sub(usize::from(pad)).and_then(|n| rest.get(..n)) else {
        return Err(OpenError::Padding { pad, text: text.len() });
    };
    let (first, limit) = (protected.first_inner(), message.inner_limit());
    Ok(Plaintext { first, octets: Cow::Borrowed(inner), offset: start, limit })
}
