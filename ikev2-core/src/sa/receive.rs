//! Which message goes where (RFC 7296 §2.1 to §2.3, §2.21). Repeats are recognised before anything is
//! decrypted; only what is authentic changes anything.

use super::context::Context;
use super::respond::AnsweredInit;
use super::{IkeSa, Purpose, Stage};
use crate::contents::Contents;
use crate::error::{Failure, Rejection};
use crate::event::{DownReason, Event, Handled, Role};
use crate::exchange::protect::OpenError;
use crate::exchange::responses::{RequestDigest, Standing};
use crate::keys::IkeKeys;
use crate::observe::MessageDirection;
use alloc::boxed::Box;
use alloc::vec::Vec;
use ikev2_wire::codes::ExchangeType;
use ikev2_wire::print::Tree;
use ikev2_wire::{Message, Payloads};
use ipsec_types::{Path, SaCommand};

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
        let peer_is_initiator = self.role == Role::Responder;
        let peer_spi = match self.role {
            Role::Initiator => header.responder_spi,
            Role::Responder => Some(header.initiator_spi),
        };
        if header.flags.is_initiator() != peer_is_initiator
            || (self.peer_spi.is_some() && self.peer_spi != peer_spi)
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
        let expected = match self.requests.get(id).ok_or(Rejection::Unsolicited(id))? {
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
        let opened = self.open(context, message, scratch)?;
        if let Ok(payloads) = &opened {
            observe_received(context, &path, message, payloads.clone());
        }
        self.heard(context, path);
        let Some((purpose, sent)) = self.requests.answered(id) else {
            return Err(Rejection::Unsolicited(id));
        };
        let contents = opened.and_then(|payloads| Contents::read(payloads).map_err(Failure::from));
        self.dispatch_answer(context, purpose, contents, sent);
        self.pump(context);
        Ok(Handled::Processed)
    }

    /// A faulty answer is not answered; what it was for has failed (§2.21.3).
    fn dispatch_answer(
        &mut self,
        context: &mut Context<'_>,
        purpose: Purpose,
        contents: Result<Contents<'_>, Failure>,
        sent: ipsec_types::Instant,
    ) {
        match (purpose, contents) {
            (Purpose::Auth, contents) => self.on_auth_answer(context, contents),
            (Purpose::CreateChild(attempt), Ok(contents)) => {
                self.on_create_child_answer(context, *attempt, &contents);
            }
            (Purpose::CreateChild(attempt), Err(failure)) => {
                context.release_spi(attempt.inbound);
                self.fail_child(context, attempt.config.policy, failure, Some(attempt.inbound));
            }
            (Purpose::DeleteChildren(ids), _) => self.on_children_deleted(context, &ids),
            (Purpose::DeleteIke, _) => self.on_ike_deleted(context),
            (Purpose::Liveness, _) => self.on_alive(context, sent),
            (Purpose::Init, _) => {}
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
        match self.responses.judge(id, &digest) {
            Standing::New => {}
            Standing::Repeat(answer) => {
                context.transmit_again(path, &answer);
                return Ok(Handled::RepeatAnswered);
            }
            Standing::Altered => return Err(Rejection::AlteredRepeat(id)),
            Standing::Old => return Err(Rejection::OldMessageId(id)),
            Standing::Ahead => return Err(Rejection::MessageIdAhead(id)),
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
        let opened = self.open(context, message, scratch)?;
        if let Ok(payloads) = &opened {
            observe_received(context, &path, message, payloads.clone());
        }
        self.heard(context, path);
        match opened.and_then(|payloads| Contents::read(payloads).map_err(Failure::from)) {
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
        if let Some(secret) = answered.secret.take() {
            let derived = derive(context, answered, secret);
            match derived {
                Ok((keys, protection)) => {
                    answered.keys = Some(keys);
                    self.protection = Some(protection);
                }
                Err(failure) => {
                    self.close(context, DownReason::Failed(Box::new(failure)));
                    return Ok(Handled::Processed);
                }
            }
        }
        let opened = self.open(context, message, scratch)?;
        if let Ok(payloads) = &opened {
            observe_received(context, &request.path, message, payloads.clone());
        }
        self.heard_at = context.now;
        let contents = opened.and_then(|payloads| Contents::read(payloads).map_err(Failure::from));
        self.on_auth_request(context, request, contents);
        Ok(Handled::Processed)
    }

    /// Opens a message. The outer error is of a message that may be from anyone; the inner one of a peer that
    /// is authentic and broken.
    fn open<'s>(
        &self,
        context: &mut Context<'_>,
        message: &Message<'_>,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Result<Payloads<'s>, Failure>, Rejection> {
        let Some(protection) = &self.protection else { return Err(Rejection::Unprotected) };
        context.statistics.decryptions = context.statistics.decryptions.saturating_add(1);
        match protection.open(message, scratch) {
            Ok(payloads) => Ok(Ok(payloads)),
            Err(OpenError::Unprotected) => Err(Rejection::Unprotected),
            Err(OpenError::Cipher(_)) => Err(Rejection::IntegrityCheck),
            Err(OpenError::Malformed(error)) => Ok(Err(Failure::Malformed(error))),
            Err(OpenError::Padding { .. }) => Ok(Err(Failure::Padding)),
        }
    }

    /// An authentic message that is no repeat came from here (§2.4, §2.23).
    ///
    /// A peer behind a NAT may turn up at another address or port: the IKE SA and its Child SAs move in one
    /// step. A host behind a NAT itself does not follow, and a message on the other of the two sockets is
    /// answered there and moves nothing.
    pub(crate) fn heard(&mut self, context: &mut Context<'_>, path: Path) {
        self.heard_at = context.now;
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
            let sa = alloc::sync::Arc::make_mut(&mut child.sa);
            sa.path = path;
            children.push(sa.id);
            let command = SaCommand::Move { id: sa.id, path, encapsulation: sa.encapsulation };
            context.out.event(Event::DataPath(command));
        }
        context.out.event(Event::PeerMoved { sa: self.handle, path, children });
    }
}

/// The keys of a half-open SA. The work is done once, whatever comes.
fn derive(
    context: &mut Context<'_>,
    answered: &AnsweredInit,
    secret: crate::establish::secrets::ResponderSecret,
) -> Result<(IkeKeys, crate::exchange::protect::Protection), Failure> {
    let agreement = &answered.agreement;
    let method = agreement.algorithms.ke;
    if secret.is_postponed() {
        context.statistics.key_exchanges = context.statistics.key_exchanges.saturating_add(1);
    }
    let shared = secret.compute().map_err(|error| Failure::KeyExchange { method, error })?;
    let keyed = agreement.keys(&shared);
    let (keys, protection) = keyed.ok_or_else(|| {
        Failure::Algorithm(alloc::string::ToString::to_string(&agreement.algorithms.cipher.suite()))
    })?;
    context.log_ike_keys(agreement, &keys);
    Ok((keys, protection))
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
