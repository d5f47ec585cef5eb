//! IKE_SA_INIT as responder (RFC 7296 §1.2, §2.6): what is wrong is answered without keeping anything, what is
//! right becomes a half-open IKE SA.

use super::context::Context;
use super::initiate::{detect_nat, peer_hashes};
use super::{IkeSa, Stage};
use crate::config::{Connection, CookiePolicy};
use crate::contents::Contents;
use crate::error::Rejection;
use crate::establish::auth::announced_hashes;
use crate::establish::cookie::{Cookie, CookieJar, Initiator};
use crate::establish::init::{self, InitMessage};
use crate::establish::nat::Claim;
use crate::establish::secrets::{Agreement, IkeAlgorithms, ResponderSecret};
use crate::event::{IkeSaHandle, NatStatus, Role};
use crate::exchange::datagram::Datagram;
use crate::exchange::protect::{MessageHead, Protection};
use crate::exchange::responses::RequestDigest;
use crate::keys::IkeKeys;
use crate::negotiation::{self, IkeChoice, IkeExchange, Selection};
use crate::stats::count;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use ikev2_wire::codes::{KeMethod, NotifyType, PayloadType};
use ikev2_wire::{Flags, Header, Message};
use ikev2_wire::{KePayload, SaPayload};
use ipsec_crypto::KxError;
use ipsec_types::{IkeSpi, Instant, Path};

/// A half-open IKE SA's own.
#[derive(Debug)]
pub(crate) struct AnsweredInit {
    pub agreement: Agreement,
    /// Derived when IKE_AUTH asks for them.
    pub keys: LateKeys,
    /// The request that it answers, to know its repeats.
    pub request: RequestDigest,
    /// When it is given up.
    pub expires: Instant,
}

/// The keys of a half-open IKE SA, derived once, by whatever message asks first. That is work saved and no
/// state: it looks the same before and after.
pub(crate) enum LateKeys {
    Secret(ResponderSecret),
    Derived(Box<IkeKeys>, Option<Protection>),
    /// The peer's data gives no secret; nobody will ever authenticate here.
    Failed(KxError),
}

impl fmt::Debug for LateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LateKeys")
    }
}

impl AnsweredInit {
    /// What opens the peer's IKE_AUTH request.
    pub(crate) fn derive(&mut self, context: &mut Context<'_>) -> Result<&Protection, Rejection> {
        if matches!(self.keys, LateKeys::Secret(_)) {
            let pending = core::mem::replace(&mut self.keys, LateKeys::Failed(KxError::InvalidPublicValue));
            if let LateKeys::Secret(secret) = pending {
                self.keys = derive(context, &self.agreement, secret);
            }
        }
        match &self.keys {
            LateKeys::Derived(_, Some(protection)) => Ok(protection),
            LateKeys::Failed(error) => Err(Rejection::KeyExchange(*error)),
            _ => Err(Rejection::Unprotected),
        }
    }

    /// The message protection, for the IKE SA to keep.
    pub(crate) fn take_protection(&mut self) -> Option<Protection> {
        match &mut self.keys {
            LateKeys::Derived(_, protection) => protection.take(),
            _ => None,
        }
    }
}

fn derive(context: &mut Context<'_>, agreement: &Agreement, secret: ResponderSecret) -> LateKeys {
    if secret.is_postponed() {
        count(&mut context.statistics.key_exchanges);
    }
    match secret.compute().map(|shared| agreement.keys(&shared)) {
        Ok(Some((keys, protection))) => {
            context.log_ike_keys(agreement, &keys);
            LateKeys::Derived(Box::new(keys), Some(protection))
        }
        Ok(None) => LateKeys::Failed(KxError::ZeroSecret),
        Err(error) => LateKeys::Failed(error),
    }
}

/// An IKE_SA_INIT request that is not known yet.
pub(crate) struct InitRequest<'a> {
    pub path: Path,
    pub message: &'a Message<'a>,
    pub contents: &'a Contents<'a>,
    pub digest: RequestDigest,
}

/// What to answer to a request that made no IKE SA.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub rejection: Rejection,
    /// The notify and its data; `None` for no answer at all.
    pub notify: Option<(NotifyType, Vec<u8>)>,
}

impl Refusal {
    pub(crate) fn silent(rejection: Rejection) -> Self {
        Self { rejection, notify: None }
    }

    fn with(notify: NotifyType, rejection: Rejection) -> Self {
        Self { rejection, notify: Some((notify, Vec::new())) }
    }

    /// The configuration names what the provider lacks.
    fn lacking(algorithm: String) -> Self {
        Self::with(NotifyType::NO_PROPOSAL_CHOSEN, Rejection::Algorithm(algorithm))
    }

    pub(crate) fn critical(ty: PayloadType) -> Self {
        let notify = Some((NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, Vec::from([ty.0])));
        Self { rejection: Rejection::CriticalPayload(ty), notify }
    }
}

/// The three payloads that every request has.
struct Required<'a> {
    sa: &'a SaPayload<'a>,
    ke: &'a KePayload<'a>,
    nonce: &'a [u8],
}

impl<'a> InitRequest<'a> {
    fn required(&self) -> Result<Required<'a>, Refusal> {
        let missing = |ty| Refusal::with(NotifyType::INVALID_SYNTAX, Rejection::MissingPayload(ty));
        let contents = self.contents;
        Ok(Required {
            sa: contents.sa.as_ref().ok_or_else(|| missing(PayloadType::SA))?,
            ke: contents.ke.as_ref().ok_or_else(|| missing(PayloadType::KE))?,
            nonce: contents.nonce.as_ref().ok_or_else(|| missing(PayloadType::NONCE))?.as_bytes(),
        })
    }

    /// The head of an answer that belongs to no SA: the request's SPIs and Message ID (§2.21, §2.6).
    pub(crate) fn stateless_head(header: &Header) -> MessageHead {
        MessageHead {
            initiator_spi: header.initiator_spi,
            responder_spi: header.responder_spi,
            exchange: header.exchange,
            flags: Flags::new(false, true),
            message_id: header.message_id,
        }
    }

    /// The cookie to ask for, unless the request brings it or none is needed.
    pub(crate) fn cookie_wanted(
        &self,
        context: &mut Context<'_>,
        jar: &mut CookieJar,
        half_open: usize,
    ) -> Result<Option<Cookie>, Refusal> {
        let needed = match context.config.cookies {
            CookiePolicy::Never => false,
            CookiePolicy::WhenHalfOpen(threshold) => half_open >= threshold,
            CookiePolicy::Always => true,
        };
        if !needed {
            return Ok(None);
        }
        let nonce = self.required()?.nonce;
        let header = self.message.header();
        let initiator = Initiator { address: self.path.remote_ip(), spi: header.initiator_spi, nonce };
        let brought = self.contents.notify(NotifyType::COOKIE).map_or(&[][..], |n| n.data);
        if jar.check(context.now, &initiator, brought) {
            return Ok(None);
        }
        jar.make(context.now, context.random, &initiator)
            .map(Some)
            .map_err(|error| Refusal::silent(error.into()))
    }

    /// Makes the half-open IKE SA and sends the answer.
    pub(crate) fn answer(
        &self,
        context: &mut Context<'_>,
        handle: IkeSaHandle,
        local_spi: IkeSpi,
    ) -> Result<IkeSa, Refusal> {
        let required = self.required()?;
        let method = required.ke.method;
        let (connection, choice) = self.choose(context, &required)?;
        let algorithms = IkeAlgorithms::find(context.config.crypto, choice.cipher, choice.prf, method)
            .map_err(Refusal::lacking)?;
        let (public, secret) = respond(context, method, required.ke.data)?;
        let silent = |error| Refusal::silent(Rejection::Encode(error));
        let nonce = context.nonce().map_err(|e| Refusal::silent(e.into()))?;
        let initiator_spi = self.message.header().initiator_spi;
        let (nat, claim) = self.nat(context, &connection, initiator_spi, local_spi)?;
        let head =
            MessageHead { responder_spi: Some(local_spi), ..Self::stateless_head(self.message.header()) };
        let peer_hashes = peer_hashes(context, self.contents);
        let hashes = match peer_hashes {
            Some(_) => init::hash_list(&announced_hashes(context.config.crypto)),
            None => Vec::new(),
        };
        let answer = InitMessage {
            cookie: None,
            sa: SaPayload::build(&[choice.reply(None)]).map_err(silent)?,
            method,
            public: &public,
            nonce: &nonce,
            nat: claim,
            hashes: &hashes,
        };
        let payloads = answer.payloads().map_err(silent)?;
        let datagram = init::plain(&head, &payloads).map_err(silent)?;
        context.observe_sent(&self.path, &datagram, &payloads);
        context.transmit(self.path, &datagram);

        let mut request = Datagram::buffer(self.message.as_bytes().len());
        request.extend_from_slice(self.message.as_bytes());
        let agreement = Agreement {
            algorithms,
            role: Role::Responder,
            initiator_spi,
            responder_spi: local_spi,
            initiator_nonce: required.nonce.to_vec(),
            responder_nonce: nonce.clone(),
            request: Datagram::finish(request),
            answer: datagram.clone(),
            peer_hashes,
        };
        let stage = Stage::Answered(Box::new(AnsweredInit {
            agreement,
            keys: LateKeys::Secret(secret),
            request: self.digest,
            expires: context.now + context.config.half_open_timeout,
        }));
        let mut sa = IkeSa::new(context, handle, connection, Role::Responder, local_spi, self.path, stage);
        sa.current.peer_spi = Some(initiator_spi);
        sa.nat = nat;
        sa.algorithms = Some(algorithms);
        sa.current.responses.answer(0, self.digest, datagram);
        Ok(sa)
    }

    /// The first connection of these addresses that accepts one of the proposals.
    fn choose(
        &self,
        context: &Context<'_>,
        required: &Required<'_>,
    ) -> Result<(Arc<Connection>, IkeChoice), Refusal> {
        let mut refusal = Refusal::with(NotifyType::NO_PROPOSAL_CHOSEN, Rejection::NoConnection);
        for connection in context.connections.answering(&self.path) {
            let policy = &connection.ike_proposals;
            let got = required.ke.method;
            match negotiation::choose_ike(policy, required.sa, IkeExchange::Initial, got) {
                Ok(Selection::Chosen(choice)) => return Ok((Arc::clone(connection), choice)),
                Ok(Selection::InvalidKe(wanted)) => {
                    let notify = (NotifyType::INVALID_KE_PAYLOAD, wanted.0.to_be_bytes().to_vec());
                    let rejection = Rejection::KeMethod { got, wanted };
                    refusal = Refusal { rejection, notify: Some(notify) };
                }
                Err(mismatch) => {
                    if refusal.rejection == Rejection::NoConnection {
                        refusal.rejection = Rejection::NoProposalChosen(mismatch);
                    }
                }
            }
        }
        Err(refusal)
    }

    /// What NAT detection finds, and what we say of the path; only if the peer says anything of it.
    fn nat(
        &self,
        context: &mut Context<'_>,
        connection: &Connection,
        initiator: IkeSpi,
        responder: IkeSpi,
    ) -> Result<(NatStatus, Option<Claim>), Refusal> {
        let force = connection.force_udp_encapsulation;
        let Some(nat) = detect_nat(initiator, None, &self.path, self.contents, force) else {
            return Ok((NatStatus::default(), None));
        };
        let mut forced = None;
        let claim = Claim::new(initiator, Some(responder), &self.path, force, &mut forced, context.random)
            .map_err(|error| Refusal::silent(error.into()))?;
        Ok((NatStatus { local: nat.local || forced.is_some(), ..nat }, Some(claim)))
    }
}

/// Our half of the key exchange. With Diffie-Hellman it does not depend on the peer's data, so that the
/// second half of the work waits until the peer has shown that it is there.
fn respond(
    context: &mut Context<'_>,
    method: KeMethod,
    peer: &[u8],
) -> Result<(Vec<u8>, ResponderSecret), Refusal> {
    let refuse = |error: KxError| {
        let notify = match error {
            KxError::Random(_) => None,
            _ => Some((NotifyType::INVALID_SYNTAX, Vec::new())),
        };
        Refusal { rejection: Rejection::KeyExchange(error), notify }
    };
    let algorithm =
        context.config.crypto.key_exchange(method).ok_or_else(|| Refusal::lacking(method.to_string()))?;
    if peer.len() != algorithm.initiator_len() {
        return Err(refuse(KxError::Length { expected: algorithm.initiator_len(), got: peer.len() }));
    }
    if algorithm.is_kem() {
        count(&mut context.statistics.key_exchanges);
        let response = algorithm.respond(context.random, peer).map_err(refuse)?;
        return Ok((response.public, ResponderSecret::Ready(response.secret)));
    }
    let exchange = algorithm.start(context.random).map_err(refuse)?;
    let public = exchange.public().to_vec();
    Ok((public, ResponderSecret::Postponed { exchange, peer: peer.to_vec() }))
}
