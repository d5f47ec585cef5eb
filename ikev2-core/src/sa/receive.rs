//! Which message goes where (RFC 7296 §2.1 to §2.3, §2.21). Repeats are recognised before anything is
//! decrypted; only what is authentic changes anything.

use super::context::Context;
use super::{IkeSa, Purpose, Stage, Task};
use crate::contents::{Contents, ContentsError};
use crate::error::{Failure, Rejection};
use crate::event::{DownReason, Event, Handled, Role};
use crate::exchange::protect::{OpenError, Plaintext, Protection};
use crate::exchange::responses::{RequestDigest, Standing};
use crate::observe::MessageDirection;
use crate::stats::count;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ikev2_wire::codes::{ExchangeType, NotifyType};
use ikev2_wire::print::Tree;
use ikev2_wire::{Message, Payloads};
use ipsec_types::{Instant, Path, SaCommand};

/// A request of the peer that waits for our answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub path: Path,
    pub exchange: ExchangeType,
    pub message_id: u32,
    pub digest: RequestDigest,
}

impl IkeSa {
    /// A message for this SA.
    pub(crate) fn receive(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        let header = message.header();
        // The peer has the other role, and one SPI for all of its messages.
        let peer_is_initiator = self.current.role == Role::Responder;
        let peer_spi = match self.current.role {
            Role::Initiator => header.responder_spi,
            Role::Responder => Some(header.initiator_spi),
        };
        if header.flags.is_initiator() != peer_is_initiator
            || (self.current.peer_spi.is_some() && self.current.peer_spi != peer_spi)
        {
            return Err(Rejection::Contradictory);
        }
        if header.flags.is_response() {
            self.on_answer(context, path, message, scratch)
        } else {
            self.on_request(context, path, message, scratch)
        }
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        let header = message.header();
        let id = header.message_id;
        if matches!(self.stage, Stage::Authenticating(_)) && header.exchange == ExchangeType::IKE_SA_INIT {
            // Somebody else answers what was answered.
            return self.on_further_init_answer(context, path, message);
        }
        let expected = match self.current.requests.get(id).ok_or(Rejection::Unsolicited(id))? {
            Purpose::Init => ExchangeType::IKE_SA_INIT,
            Purpose::Auth => ExchangeType::IKE_AUTH,
            Purpose::CreateChild(_) => ExchangeType::CREATE_CHILD_SA,
            Purpose::DeleteChildren(_) | Purpose::DeleteIke | Purpose::Liveness => {
                ExchangeType::INFORMATIONAL
            }
        };
        if header.exchange != expected {
            return Err(Rejection::UnexpectedExchange(header.exchange));
        }
        if expected == ExchangeType::IKE_SA_INIT {
            if message.protected().is_some() {
                return Err(Rejection::UnexpectedExchange(header.exchange));
            }
            observe_received(context, &path, message, message.payloads());
            self.on_init_answer(context, path, message)?;
            return Ok(Handled::Processed);
        }
        if expected == ExchangeType::IKE_AUTH {
            self.on_auth_answer(context, path, message, scratch)?;
            return Ok(Handled::Processed);
        }
        let opened = self.open(context, &path, message, scratch)?;
        self.heard(context, path);
        let Some((purpose, sent)) = self.current.requests.answered(id) else {
            return Err(Rejection::Unsolicited(id));
        };
        self.dispatch_answer(context, purpose, opened, sent);
        self.pump(context);
        Ok(Handled::Processed)
    }

    fn on_further_init_answer(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        message: &Message<'_>,
    ) -> Result<Handled, Rejection> {
        let contents = Contents::read(message.payloads())?;
        if message.header().message_id != 0 || message.protected().is_some() || contents.sa.is_none() {
            return Err(Rejection::Unsolicited(message.header().message_id));
        }
        observe_received(context, &path, message, message.payloads());
        self.on_answerer(context, path, message, &contents)?;
        Ok(Handled::Processed)
    }

    /// An answer ended the SA. A peer that refused our request as malformed has dropped it already; one whose
    /// answer is malformed is told.
    fn end_after_answer(&mut self, context: &mut Context<'_>, failure: Failure) {
        let dropped = matches!(failure, Failure::Refused { .. });
        let reason = DownReason::Failed(Box::new(failure));
        if dropped || !self.is_established() {
            self.close(context, reason);
        } else {
            self.start_closing(context, Some(reason), Task::DeleteIke);
        }
    }

    /// A faulty answer is not answered; it ends the SA (§2.21.3).
    fn dispatch_answer(
        &mut self,
        context: &mut Context<'_>,
        purpose: Purpose,
        plaintext: Result<Plaintext<'_>, Failure>,
        sent: Instant,
    ) {
        let contents = match contents_of(&plaintext).and_then(without_fatal) {
            Ok(contents) => contents,
            Err(failure) => {
                if let Purpose::CreateChild(attempt) = &purpose {
                    context.release_spi(attempt.inbound);
                }
                return self.end_after_answer(context, failure);
            }
        };
        match purpose {
            Purpose::CreateChild(attempt) => {
                self.on_create_child_answer(context, *attempt, &contents);
                if !self.awaits_child() {
                    self.deleted_early.clear();
                }
            }
            Purpose::DeleteChildren(ids) => self.on_children_deleted(context, &ids),
            Purpose::DeleteIke => self.on_ike_deleted(context),
            Purpose::Liveness => self.on_alive(context, sent),
            // Their answers go ways of their own.
            Purpose::Init | Purpose::Auth => {}
        }
    }

    fn on_request(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        let header = message.header();
        let id = header.message_id;
        let digest = RequestDigest::of(message.as_bytes());
        match self.current.responses.judge(id, &digest) {
            // IKE_AUTH is Message ID 1, whatever the window (§2.2).
            Standing::New if self.is_half_open() && id != self.current.responses.expected() => {
                return Err(Rejection::MessageIdAhead(id));
            }
            Standing::New => {}
            Standing::Repeat(answer) => {
                context.transmit_again(path, &answer);
                return Ok(Handled::RepeatAnswered);
            }
            Standing::Altered => return Err(Rejection::AlteredRepeat(id)),
            Standing::Old => return Err(Rejection::OldMessageId(id)),
            Standing::Ahead => return Err(Rejection::MessageIdAhead(id)),
        }
        if let Some(in_hand) = self.suspended.as_ref().and_then(|suspended| suspended.request()) {
            return if *in_hand == digest { Ok(Handled::InHand) } else { Err(Rejection::AlteredRepeat(id)) };
        }
        let exchange = header.exchange;
        let fits = match &self.stage {
            Stage::Answered(_) => exchange == ExchangeType::IKE_AUTH,
            Stage::Established(_) | Stage::Closing(_) => {
                matches!(exchange, ExchangeType::CREATE_CHILD_SA | ExchangeType::INFORMATIONAL)
            }
            _ => false,
        };
        if !fits {
            return Err(Rejection::UnexpectedExchange(exchange));
        }
        let request = Request { path, exchange, message_id: id, digest };
        if exchange == ExchangeType::IKE_AUTH {
            return self.on_first_auth(context, &request, message, scratch);
        }
        let opened = self.open(context, &path, message, scratch)?;
        self.heard(context, path);
        match contents_of(&opened) {
            Ok(contents) if exchange == ExchangeType::CREATE_CHILD_SA => {
                self.on_create_child_request(context, &request, &contents);
            }
            Ok(contents) => self.on_informational_request(context, &request, &contents),
            // Known by name alone: the request fails, the SA lives (§2.5).
            Err(failure @ Failure::CriticalPayload(_)) => self.answer_with(context, &request, &failure),
            Err(failure) => self.refuse_request(context, &request, failure),
        }
        self.pump(context);
        Ok(Handled::Processed)
    }

    /// IKE_AUTH: the first message that needs keys, and the first sign that the peer got our answer.
    fn on_first_auth(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        if message.protected().is_none() {
            return Err(Rejection::Unprotected);
        }
        let Stage::Answered(answered) = &mut self.stage else {
            return Err(Rejection::UnexpectedExchange(request.exchange));
        };
        let protection = answered.derive(context)?;
        let opened = open(protection, context, &request.path, message, scratch)?;
        // Only now the peer has shown that it has the keys.
        self.current.protection = answered.take_protection();
        self.heard_at = context.now;
        self.ike_heard_at = context.now;
        self.on_auth_request(context, request, opened);
        Ok(Handled::Processed)
    }

    fn open<'s>(
        &self,
        context: &mut Context<'_>,
        path: &Path,
        message: &Message<'_>,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Result<Plaintext<'s>, Failure>, Rejection> {
        let protection = self.current.protection.as_ref().ok_or(Rejection::Unprotected)?;
        open(protection, context, path, message, scratch)
    }

    /// An authentic message that is no repeat came from here (§2.4, §2.23).
    ///
    /// A peer behind a NAT may turn up at another address or port: the IKE SA and its Child SAs move in one
    /// step. A host behind a NAT itself does not follow, and a message on the other of the two sockets is
    /// answered there and moves nothing.
    fn heard(&mut self, context: &mut Context<'_>, path: Path) {
        self.heard_at = context.now;
        self.ike_heard_at = context.now;
        self.follow(context, path);
    }

    /// The peer's newest authentic message or packet came from here.
    pub(crate) fn follow(&mut self, context: &mut Context<'_>, path: Path) {
        let may_move = self.nat.remote && !self.nat.local && self.is_established();
        if may_move && path.kind == self.path.kind && path != self.path {
            self.move_to(context, path);
        }
    }

    /// Moves the IKE SA and all Child SAs.
    pub(crate) fn move_to(&mut self, context: &mut Context<'_>, path: Path) {
        self.path = path;
        let mut children = Vec::with_capacity(self.children.len());
        for child in &mut self.children {
            let sa = Arc::make_mut(&mut child.sa);
            sa.path = path;
            children.push(sa.id);
            let command = SaCommand::Move { id: sa.id, path, encapsulation: sa.encapsulation };
            context.out.event(Event::DataPath(command));
        }
        context.out.event(Event::PeerMoved { sa: self.handle, path, children });
    }
}

/// What an authentic message holds, if it can be read.
fn contents_of<'a>(opened: &'a Result<Plaintext<'_>, Failure>) -> Result<Contents<'a>, Failure> {
    let plaintext = opened.as_ref().map_err(Failure::clone)?;
    Ok(Contents::of(plaintext)?)
}

/// Refuses an answer that says INVALID_SYNTAX: the peer has dropped the SA (§2.21.3).
fn without_fatal(contents: Contents<'_>) -> Result<Contents<'_>, Failure> {
    match contents.error().map(|error| error.ty) {
        Some(notify @ NotifyType::INVALID_SYNTAX) => Err(Failure::Refused { notify }),
        _ => Ok(contents),
    }
}

/// Opens a message. The outer error is of a message that may be from anyone; the inner one of a peer that is
/// authentic and broken.
pub(super) fn open<'s>(
    protection: &Protection,
    context: &mut Context<'_>,
    path: &Path,
    message: &Message<'_>,
    scratch: &'s mut Vec<u8>,
) -> Result<Result<Plaintext<'s>, Failure>, Rejection> {
    count(&mut context.statistics.decryptions);
    match protection.open(message, scratch) {
        Ok(plaintext) => {
            if let Ok(payloads) = plaintext.payloads() {
                observe_received(context, path, message, payloads);
            }
            // What stands outside SK is authentic too, and a critical payload there counts (§2.5).
            match Contents::read(message.payloads()) {
                Err(error @ ContentsError::Critical(_)) => Ok(Err(error.into())),
                _ => Ok(Ok(plaintext)),
            }
        }
        Err(OpenError::Unprotected) => Err(Rejection::Unprotected),
        Err(OpenError::Cipher(_)) => Err(Rejection::IntegrityCheck),
        Err(OpenError::Padding { .. }) => Ok(Err(Failure::Padding)),
    }
}

/// Shows a received message to the observer, if there is one.
pub(crate) fn observe_received(
    context: &Context<'_>,
    path: &Path,
    message: &Message<'_>,
    payloads: Payloads<'_>,
) {
    if context.config.hooks.observer.is_some() {
        let octets = message.as_bytes();
        context.observe(MessageDirection::Received, path, octets, &Tree::new(payloads));
    }
}
