//! The exchanges of one IKE SA: what every message after IKE_SA_INIT needs of it (RFC 7296 §2.1 to §2.3, §2.21).
//! Both SPIs, the role, the keys, and both windows stand together here, so that no message is made or taken
//! without all of them.

use super::datagram::Datagram;
use super::protect::{MessageHead, Opened, Protection};
use super::requests::{Due, RequestWindow};
use super::responses::{RequestDigest, ResponseWindow, Standing};
use super::retransmit::RetransmitPolicy;
use crate::error::Rejection;
use alloc::vec::Vec;
use ikev2_wire::codes::ExchangeType;
use ikev2_wire::{EncodeError, Flags, Message, Payload};
use ipsec_types::{IkeSpi, Instant, Path};
use thiserror::Error;

/// Which end of the IKE SA began it. The role never changes while the SA lives (RFC 7296 §2.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// We sent the first IKE_SA_INIT request.
    Initiator,
    /// The peer did.
    Responder,
}

/// The names of an IKE SA and which end of it we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// Which end we are.
    pub role: Role,
    /// The original initiator's SPI.
    pub initiator_spi: IkeSpi,
    /// The original responder's SPI.
    pub responder_spi: IkeSpi,
}

impl Ends {
    /// The SPI that we chose.
    #[must_use]
    pub fn local_spi(&self) -> IkeSpi {
        match self.role {
            Role::Initiator => self.initiator_spi,
            Role::Responder => self.responder_spi,
        }
    }

    /// Both SPIs, the initiator's first.
    #[must_use]
    pub fn spis(&self) -> (IkeSpi, Option<IkeSpi>) {
        (self.initiator_spi, Some(self.responder_spi))
    }

    /// Whether a message comes from the other end: its SPIs are these, and its Initiator flag is the peer's. Our
    /// own message, reflected, is not.
    #[must_use]
    pub fn are_those_of(&self, message: &Message<'_>) -> bool {
        let header = message.header();
        header.initiator_spi == self.initiator_spi
            && header.responder_spi == Some(self.responder_spi)
            && header.flags.is_initiator() == (self.role == Role::Responder)
    }

    fn head(&self, exchange: ExchangeType, message_id: u32, is_response: bool) -> MessageHead {
        MessageHead {
            initiator_spi: self.initiator_spi,
            responder_spi: Some(self.responder_spi),
            exchange,
            flags: Flags::new(self.role == Role::Initiator, is_response),
            message_id,
        }
    }
}

/// A request of the peer that waits for our answer. [`Exchanges::judge`] makes it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// By which it came, and by which its answer goes.
    pub path: Path,
    /// Its exchange type.
    pub exchange: ExchangeType,
    message_id: u32,
    digest: RequestDigest,
}

impl Request {
    /// Its Message ID.
    #[must_use]
    pub fn message_id(&self) -> u32 {
        self.message_id
    }

    /// Its octets, to know its repeats while the answer takes time.
    #[must_use]
    pub fn digest(&self) -> &RequestDigest {
        &self.digest
    }
}

/// What a message is by its header and octets, before anything is decrypted: it may be from anyone.
#[derive(Debug)]
pub enum Received {
    /// It would answer our request with this Message ID, which waits.
    Answer(u32),
    /// It would be a request that is new and inside the window.
    Request(Request),
    /// A repeat of what was answered: send this again.
    Repeat(Datagram),
}

impl Received {
    /// What a request is by its Message ID and its octets.
    pub(crate) fn judge(
        path: Path,
        message: &Message<'_>,
        responses: &ResponseWindow,
    ) -> Result<Self, Rejection> {
        let (exchange, id) = (message.header().exchange, message.header().message_id);
        let digest = RequestDigest::of(message.as_bytes());
        match responses.judge(id, &digest) {
            Standing::New => Ok(Self::Request(Request { path, exchange, message_id: id, digest })),
            Standing::Repeat(answer) => Ok(Self::Repeat(answer)),
            Standing::Altered => Err(Rejection::AlteredRepeat(id)),
            Standing::Old => Err(Rejection::OldMessageId(id)),
            Standing::Ahead => Err(Rejection::MessageIdAhead(id)),
        }
    }
}

/// A request that was made and does not count yet. [`Exchanges::sent`] gives it out.
#[derive(Debug)]
#[must_use = "it was not sent"]
pub struct SealedRequest {
    message_id: u32,
    datagram: Datagram,
}

impl SealedRequest {
    /// The message, to show it.
    #[must_use]
    pub fn datagram(&self) -> &Datagram {
        &self.datagram
    }
}

/// Why a message was not made.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SealError {
    /// The peer takes no further request before it has answered one, or the Message IDs are used up (§2.2, §2.3).
    #[error("the window has no room")]
    Window,
    /// The request was answered already.
    #[error("request {0} was answered already")]
    Answered(u32),
    /// It cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// The exchanges of one IKE SA. `P` is what a request is for, kept until its answer comes.
#[derive(Debug)]
pub struct Exchanges<P> {
    ends: Ends,
    protection: Protection,
    requests: RequestWindow<P>,
    responses: ResponseWindow,
}

impl<P> Exchanges<P> {
    /// Those of an SA with these keys. Message IDs go on where the windows stand: both at 0 for an SA that a
    /// rekey makes, and past IKE_SA_INIT for one that began with it (§2.2).
    #[must_use]
    pub fn new(
        ends: Ends,
        protection: Protection,
        requests: RequestWindow<P>,
        responses: ResponseWindow,
    ) -> Self {
        Self { ends, protection, requests, responses }
    }

    /// Its SPIs and our role.
    #[must_use]
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Our requests.
    #[must_use]
    pub fn requests(&self) -> &RequestWindow<P> {
        &self.requests
    }

    /// The peer's.
    #[must_use]
    pub fn responses(&self) -> &ResponseWindow {
        &self.responses
    }

    /// Makes the next request. It does not count before [`Exchanges::sent`].
    ///
    /// # Errors
    /// [`SealError::Window`], [`SealError::Encode`].
    pub fn seal_request(
        &mut self,
        exchange: ExchangeType,
        payloads: &[Payload<'_>],
    ) -> Result<SealedRequest, SealError> {
        if !self.requests.can_send() {
            return Err(SealError::Window);
        }
        let message_id = self.requests.next_id();
        let datagram = self.protection.seal(&self.ends.head(exchange, message_id, false), payloads)?;
        Ok(SealedRequest { message_id, datagram })
    }

    /// Takes a request for sent, and gives what is to be sent; `None` where another one was sent under its Message
    /// ID meanwhile, which must not go out twice with other octets (§2.1).
    pub fn sent(
        &mut self,
        now: Instant,
        request: SealedRequest,
        purpose: P,
        policy: &RetransmitPolicy,
    ) -> Option<Datagram> {
        if request.message_id != self.requests.next_id() {
            return None;
        }
        self.requests.sent(now, request.datagram.clone(), purpose, policy);
        Some(request.datagram)
    }

    /// Makes the answer to a request, keeps it for repeats, and gives what is to be sent.
    ///
    /// # Errors
    /// [`SealError::Answered`], [`SealError::Encode`]; the request then stays as it was.
    pub fn answer(&mut self, request: &Request, payloads: &[Payload<'_>]) -> Result<Datagram, SealError> {
        let Request { exchange, message_id, digest, .. } = *request;
        if self.responses.judge(message_id, &digest) != Standing::New {
            return Err(SealError::Answered(message_id));
        }
        let datagram = self.protection.seal(&self.ends.head(exchange, message_id, true), payloads)?;
        self.responses.answer(message_id, digest, datagram.clone());
        Ok(datagram)
    }

    /// What a message is, before anything is decrypted.
    ///
    /// # Errors
    /// [`Rejection`]: it is none of this SA's, or its Message ID has no place (§2.3). Nothing changed.
    pub fn judge(&self, path: Path, message: &Message<'_>) -> Result<Received, Rejection> {
        if !self.ends.are_those_of(message) {
            return Err(Rejection::Contradictory);
        }
        let id = message.header().message_id;
        if !message.header().flags.is_response() {
            return Received::judge(path, message, &self.responses);
        }
        match self.requests.get(id) {
            Some(_) => Ok(Received::Answer(id)),
            None => Err(Rejection::Unsolicited(id)),
        }
    }

    /// Opens a message with the keys of this SA. `scratch` is overwritten; the plain text borrows from it.
    ///
    /// # Errors
    /// As [`Opened`] says.
    pub fn open<'s>(&self, message: &Message<'_>, scratch: &'s mut Vec<u8>) -> Opened<'s> {
        self.protection.open_sorted(message, scratch)
    }

    /// An authentic answer came: the request is over. Gives what it was for and when it was first sent.
    pub fn answered(&mut self, message_id: u32) -> Option<(P, Instant)> {
        self.requests.answered(message_id)
    }

    /// The peer said how many requests it takes at once (SET_WINDOW_SIZE, §2.3). It may only grow.
    pub fn set_peer_window(&mut self, size: u32) {
        self.requests.set_size(size);
    }

    /// Takes one request whose time has come; call it until it gives `None`.
    pub fn due(&mut self, now: Instant, policy: &RetransmitPolicy) -> Option<Due<P>> {
        self.requests.due(now, policy)
    }

    /// Forgets our requests: the SA ends. Repeats of the peer's are still answered.
    pub fn clear(&mut self) -> impl Iterator<Item = P> + use<P> {
        self.requests.clear()
    }
}
