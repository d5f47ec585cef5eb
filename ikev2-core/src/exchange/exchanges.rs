//! The exchanges of one IKE SA: what every message after IKE_SA_INIT needs of it (RFC 7296 §2.1 to §2.3, §2.21).
//! Both SPIs, the role, the keys, and both windows stand together here, so that no message is made or taken
//! without all of them.

use super::fragment::{Fragmentation, Fragments, Opened, Reception};
use super::outgoing::Outgoing;
use super::protect::{MessageHead, Protection};
use super::protections::Protections;
use super::requests::{Due, RequestWindow};
use super::responses::{RequestDigest, ResponseWindow, Standing};
use super::retransmit::RetransmitPolicy;
use crate::error::{FragmentFault, MoveError, Rejection};
use crate::saved::{Restoring, Saving};
use alloc::vec::Vec;
use ikev2_wire::codes::ExchangeType;
use ikev2_wire::{EncodeError, Flags, Message, Payload, Protected};
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

    fn save(&self, w: &mut Saving) {
        let Self { role, initiator_spi, responder_spi } = self;
        w.put_bool(*role == Role::Initiator);
        w.put_ike_spi(*initiator_spi);
        w.put_ike_spi(*responder_spi);
    }

    fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        let role = if r.bool()? { Role::Initiator } else { Role::Responder };
        Ok(Self { role, initiator_spi: r.ike_spi()?, responder_spi: r.ike_spi()? })
    }

    /// The head of a message of ours.
    #[must_use]
    pub fn head(&self, exchange: ExchangeType, message_id: u32, is_response: bool) -> MessageHead {
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
    fragmented: bool,
}

impl Request {
    /// It was whole when its last fragment came, and is known by fragment 1.
    pub fn put_together(&mut self, fragments: Option<&Fragments>) {
        if let Some(fragments) = fragments {
            self.digest = fragments.digest;
        }
    }

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
    /// A repeat of what was answered: send again what [`Exchanges::repeat`] makes of it.
    Repeat(Outgoing),
    /// A fragment 1 that was not seen, of a request that was answered: [`Exchanges::refragmented`] tells whether it
    /// is the peer's.
    Refragmented(Outgoing),
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
        let number = fragment_number(message);
        match responses.judge(id, &digest, number) {
            Standing::New => {
                let fragmented = number.is_some();
                Ok(Self::Request(Request { path, exchange, message_id: id, digest, fragmented }))
            }
            Standing::Repeat(answer) => Ok(Self::Repeat(answer)),
            Standing::Refragmented(answer) => Ok(Self::Refragmented(answer)),
            Standing::LaterFragment => {
                let number = number.unwrap_or_default();
                Err(Rejection::Fragment(FragmentFault::Answered { number }))
            }
            Standing::Altered => Err(Rejection::AlteredRepeat(id)),
            Standing::Old => Err(Rejection::OldMessageId(id)),
            Standing::Ahead => Err(Rejection::MessageIdAhead(id)),
        }
    }
}

/// The Fragment Number of a message that is a fragment.
pub(crate) fn fragment_number(message: &Message<'_>) -> Option<u16> {
    match message.protected() {
        Some(Protected::Skf(fragment)) => Some(fragment.number),
        _ => None,
    }
}

/// A request that was made and does not count yet. [`Exchanges::sent`] gives it out.
#[derive(Debug)]
#[must_use = "it was not sent"]
pub struct SealedRequest {
    message_id: u32,
    message: Outgoing,
}

impl SealedRequest {
    /// The message, to show it.
    #[must_use]
    pub fn message(&self) -> &Outgoing {
        &self.message
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
    protections: Protections,
    fragmentation: Fragmentation,
    requests: RequestWindow<P>,
    responses: ResponseWindow,
}

impl<P> Exchanges<P> {
    /// Those of an SA with these keys. Message IDs go on where the windows stand: both at 0 for an SA that a
    /// rekey makes, and past IKE_SA_INIT for one that began with it (§2.2). A rekey inherits the fragmentation
    /// ([`Fragmentation::inherit`]).
    #[must_use]
    pub fn new(
        ends: Ends,
        protection: Protection,
        fragmentation: Fragmentation,
        requests: RequestWindow<P>,
        responses: ResponseWindow,
    ) -> Self {
        let protections = Protections::new(protection);
        Self { ends, protections, fragmentation, requests, responses }
    }

    /// What was agreed of fragments, and the peer's that are not whole.
    #[must_use]
    pub fn fragmentation(&self) -> &Fragmentation {
        &self.fragmentation
    }

    /// The same, to give up what is not whole.
    pub fn fragmentation_mut(&mut self) -> &mut Fragmentation {
        &mut self.fragmentation
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

    /// Makes the next request, in fragments if it is too large for this path. It does not count before
    /// [`Exchanges::sent`].
    ///
    /// # Errors
    /// [`SealError::Window`], [`SealError::Encode`].
    pub fn seal_request(
        &mut self,
        path: &Path,
        exchange: ExchangeType,
        payloads: &[Payload<'_>],
    ) -> Result<SealedRequest, SealError> {
        if !self.requests.can_send() {
            return Err(SealError::Window);
        }
        let message_id = self.requests.next_id();
        let form = self.fragmentation.form(path, false);
        let head = self.ends.head(exchange, message_id, false);
        let message = self.protections.current_mut().seal_in(&head, payloads, form)?;
        Ok(SealedRequest { message_id, message })
    }

    /// Takes a request for sent, and gives what is to be sent; `None` where another one was sent under its Message
    /// ID meanwhile, which must not go out twice with other octets (§2.1).
    pub fn sent(
        &mut self,
        now: Instant,
        request: SealedRequest,
        purpose: P,
        policy: &RetransmitPolicy,
    ) -> Option<Outgoing> {
        if request.message_id != self.requests.next_id() {
            return None;
        }
        self.requests.sent(now, request.message.clone(), purpose, policy);
        Some(request.message)
    }

    /// Makes the answer to a request, keeps it for repeats, and gives what is to be sent.
    ///
    /// # Errors
    /// [`SealError::Answered`], [`SealError::Encode`]; the request then stays as it was.
    pub fn answer(&mut self, request: &Request, payloads: &[Payload<'_>]) -> Result<Outgoing, SealError> {
        let Request { path, exchange, message_id, digest, fragmented } = *request;
        if self.responses.judge(message_id, &digest, None) != Standing::New {
            return Err(SealError::Answered(message_id));
        }
        let form = self.fragmentation.form(&path, fragmented);
        let head = self.ends.head(exchange, message_id, true);
        let message = self.protections.current_mut().seal_in(&head, payloads, form)?;
        self.responses.answer(message_id, digest, message.clone());
        Ok(message)
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

    /// All messages from here on have these keys (RFC 9370 §2.2.2). `last` is the answer, if any, that the peer may
    /// still ask for under those of before.
    pub fn change_keys(&mut self, next: Protection, last: Option<u32>) {
        self.protections.change(next, last);
    }

    /// Opens a message with the keys of this SA, or a fragment of one. `scratch` is overwritten; the plain text may
    /// borrow from it.
    ///
    /// # Errors
    /// As [`Opened`] says.
    pub fn open<'s>(
        &mut self,
        reception: &Reception<'_>,
        message: &Message<'_>,
        scratch: &'s mut Vec<u8>,
    ) -> Opened<'s> {
        let opened = self.fragmentation.open(self.protections.current(), reception, message, scratch);
        if opened.is_ok() {
            self.protections.confirm();
        }
        opened
    }

    /// A request came again whose answer is kept: gives what to send. An answer that is asked for again and again did
    /// not arrive, and is tried in smaller fragments (RFC 7383 §2.4).
    pub fn repeat(&mut self, path: &Path, message_id: u32, answer: Outgoing) -> Outgoing {
        if !self.fragmentation.can_shrink(path, answer.largest())
            || !self.fragmentation.gives_up_after(self.responses.repeated(message_id))
        {
            return answer;
        }
        let protection = self.protections.of_answer(message_id);
        let smaller = protection.and_then(|p| self.fragmentation.shrink(p, path, &answer));
        match smaller {
            Some(smaller) => self.replace_answer(message_id, smaller),
            None => answer,
        }
    }

    /// The answer leaves in this form from now on, for the first time in a moment.
    fn replace_answer(&mut self, message_id: u32, answer: Outgoing) -> Outgoing {
        self.responses.replace(message_id, answer.clone());
        self.responses.repeated(message_id);
        answer
    }

    /// A fragment 1 came that was not seen before, of a request that was answered. If it is authentic, its sender
    /// tries smaller fragments, and gets the answer in fragments that are no larger (RFC 7383 §2.5.1, §2.6.1): gives
    /// what to send.
    ///
    /// # Errors
    /// [`Rejection::AlteredRepeat`]: it is not the peer's. Nothing changed.
    pub fn refragmented(
        &mut self,
        path: &Path,
        message: &Message<'_>,
        answer: Outgoing,
        scratch: &mut Vec<u8>,
    ) -> Result<Outgoing, Rejection> {
        let id = message.header().message_id;
        let agreed = self.fragmentation.is_agreed();
        let protection = self.protections.of_answer(id).ok_or(Rejection::AlteredRepeat(id))?;
        if !agreed || protection.open_fragment(message, scratch).is_err() {
            return Err(Rejection::AlteredRepeat(id));
        }
        self.responses.refragmented(id, RequestDigest::of(message.as_bytes()));
        self.fragmentation.follow(path, message.as_bytes().len());
        let size = self.fragmentation.size(path).unwrap_or(u16::MAX);
        let room = Fragmentation::room(path, size);
        match self.protections.of_answer(id).and_then(|protection| protection.refragment(&answer, room)) {
            Some(smaller) => Ok(self.replace_answer(id, smaller)),
            None => Ok(self.repeat(path, id, answer)),
        }
    }

    /// An authentic answer came: the request is over. Gives what it was for and when it was first sent.
    pub fn answered(&mut self, message_id: u32) -> Option<(P, Instant)> {
        self.requests.answered(message_id)
    }

    /// The peer said how many requests it takes at once (SET_WINDOW_SIZE, §2.3). It may only grow.
    pub fn set_peer_window(&mut self, size: u32) {
        self.requests.set_size(size);
    }

    /// Takes one request whose time has come; call it until it gives `None`. One that was sent by this path for some
    /// time without an answer is tried in smaller fragments, and its pauses begin anew (RFC 7383 §2.5.2).
    pub fn due(&mut self, now: Instant, path: &Path, policy: &RetransmitPolicy) -> Option<Due<P>> {
        let due = self.requests.due(now, policy)?;
        let Due::Repeat { message_id, message, transmissions } = due else { return Some(due) };
        let message = if self.fragmentation.gives_up_after(transmissions)
            && let Some(smaller) = self.fragmentation.shrink(self.protections.current_mut(), path, &message)
        {
            self.requests.replace(now, message_id, smaller.clone(), policy);
            smaller
        } else {
            message
        };
        Some(Due::Repeat { message_id, message, transmissions })
    }

    /// For an SA that moves. None of our requests is out; fragments of the peer's come again.
    pub(crate) fn save(&self, w: &mut Saving) {
        let Self { ends, protections, fragmentation, requests, responses } = self;
        ends.save(w);
        protections.save(w);
        fragmentation.save(w);
        requests.save(w);
        responses.save(w);
    }

    /// The same of an SA that came.
    pub(crate) fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        Ok(Self {
            ends: Ends::restore(r)?,
            protections: Protections::restore(r)?,
            fragmentation: Fragmentation::restore(r)?,
            requests: RequestWindow::restore(r)?,
            responses: ResponseWindow::restore(r)?,
        })
    }

    /// Our requests go by another path from now on: those that wait for an answer are due at once (RFC 4555 §3.5).
    pub fn hasten(&mut self, now: Instant) {
        self.requests.hasten(now);
    }

    /// Forgets our requests: the SA ends. Repeats of the peer's are still answered.
    pub fn clear(&mut self) -> impl Iterator<Item = P> + use<P> {
        self.requests.clear()
    }
}
