//! IKE_INTERMEDIATE (RFC 9242) at an IKE SA of ours, either way round: one exchange for each additional key exchange that
//! IKE_SA_INIT agreed on, in their order (RFC 9370 §2.2.2), and IKE_AUTH after them.
//!
//! Nobody is authenticated yet. An initiator goes on with each of those that answered IKE_SA_INIT for itself, and a key
//! exchange that fails ends the attempt with that one (§2.2.1).

use super::auth_initiate::Answerer;
use super::context::Context;
use super::respond::afford_claim;
use super::{ClaimInHand, IkeSa, Purpose, Stage};
use crate::contents::Contents;
use crate::error::{Failure, Rejection};
use crate::establish::half::Half;
use crate::establish::intermediate::{Covered, Exchanged};
use crate::event::{DownReason, Handled};
use crate::exchange::exchanges::Request;
use crate::exchange::fragment::{Arrival, Arrived};
use crate::exchange::protect::Plaintext;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use ikev2_wire::codes::{ExchangeType, KeMethod, PayloadType};
use ikev2_wire::{KePayload, Message, Payload};
use ipsec_crypto::{CipherAlgorithm, KxResponse};
use ipsec_types::{IkeSpi, SecretBytes};

/// An IKE_INTERMEDIATE request that waits for its answer.
#[derive(Debug)]
pub(crate) struct IntermediateRequest {
    /// Our half of the key exchange, if there is one.
    half: Option<Half>,
    covered: Covered,
}

impl IkeSa {
    /// As initiator: sends the next request to one that answered.
    pub(super) fn begin_intermediate(
        &mut self,
        context: &mut Context<'_>,
        spi: IkeSpi,
    ) -> Result<(), Failure> {
        let policy = self.connection.retransmit;
        let Stage::Authenticating(attempt) = &mut self.stage else { return Err(Failure::NoKeys) };
        let answerer = attempt.answerer_mut(spi)?;
        let half = match answerer.intermediates.next_method() {
            Some(method) => Some(Half::start(context.config.crypto, context.random, method)?),
            None => None,
        };
        let payloads: Vec<_> = half.iter().map(ke_of).collect();
        let exchange = ExchangeType::IKE_INTERMEDIATE;
        let exchanges = &mut answerer.exchanges;
        let head = exchanges.ends().head(exchange, exchanges.requests().next_id(), false);
        let covered = Covered::sent(&head, &payloads)?;
        let request = exchanges.seal_request(&answerer.path, exchange, &payloads)?;
        context.observe_sent(&answerer.path, request.message(), &payloads);
        drop(payloads);
        let purpose = Purpose::Intermediate(Box::new(IntermediateRequest { half, covered }));
        if let Some(message) = answerer.exchanges.sent(context.now, request, purpose, &policy) {
            context.transmit(answerer.path, &message);
        }
        self.sent_at = context.now;
        Ok(())
    }

    /// As initiator: the answer to one of our requests.
    pub(super) fn on_intermediate_answer(
        &mut self,
        context: &mut Context<'_>,
        spi: IkeSpi,
        request: &IntermediateRequest,
        message: &Message<'_>,
        arrived: Arrived<'_>,
    ) {
        let Stage::Authenticating(attempt) = &mut self.stage else { return };
        let Ok(answerer) = attempt.answerer_mut(spi) else { return };
        match conclude_answer(context, answerer, request, message, arrived) {
            Ok(()) => self.prove_to_next(context),
            Err(failure) => self.give_up_answerer(context, spi, failure),
        }
    }

    /// As initiator: nothing comes of this one, which has not been told who we are.
    fn give_up_answerer(&mut self, context: &mut Context<'_>, spi: IkeSpi, failure: Failure) {
        if matches!(failure, Failure::Refused { .. }) || self.has_other_answerers() {
            self.refuse_answerer(context, spi, failure);
        } else {
            self.close(context, DownReason::Failed(Box::new(failure)));
        }
    }

    /// As responder: whether the peer has shown that it has the keys, and has still to say who it is.
    pub(super) fn awaits_claim(&self) -> bool {
        matches!(&self.stage, Stage::Claiming(claim) if claim.expires.is_some())
    }

    /// As responder: a request of a peer that has the keys and has not said who it is.
    pub(super) fn on_claim(
        &mut self,
        context: &mut Context<'_>,
        request: Request,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        let exchange = request.exchange;
        // Once IKE_AUTH has begun, which EAP makes longer, there is no IKE_INTERMEDIATE any more.
        let in_auth = exchange != ExchangeType::IKE_AUTH && self.is_in_eap();
        let expected = matches!(&self.stage, Stage::Claiming(claim) if claim.intermediates.expects(exchange));
        let Ok(exchanges) = self.current.keyed() else { return Err(Rejection::UnexpectedExchange(exchange)) };
        if !expected || in_auth {
            return Err(Rejection::UnexpectedExchange(exchange));
        }
        if message.protected().is_none() {
            return Err(Rejection::Unprotected);
        }
        let reception = context.reception(request.path);
        exchanges.fragmentation().judge(message, &reception)?;
        afford_claim(context, exchange)?;
        let opened = exchanges.open(&context.reception(request.path), message, scratch);
        context.opened(&request.path, message, &opened);
        let Arrival::Message(arrived) = opened? else { return Ok(Handled::Fragment) };
        self.take_claim(context, request, message, arrived);
        Ok(Handled::Processed)
    }

    /// As responder: what such a request holds, which is authentic and whole.
    pub(super) fn take_claim(
        &mut self,
        context: &mut Context<'_>,
        mut request: Request,
        message: &Message<'_>,
        arrived: Arrived<'_>,
    ) {
        self.heard_at = context.now;
        self.ike_heard_at = context.now;
        request.put_together(arrived.fragments.as_ref());
        if request.exchange == ExchangeType::IKE_INTERMEDIATE {
            if let Err(failure) = self.answer_intermediate(context, &request, message, arrived) {
                self.refuse_request(context, &request, failure);
            }
            return;
        }
        if let Stage::Claiming(claim) = &mut self.stage {
            claim.expires = None;
        }
        self.on_auth_request(context, &request, arrived.plaintext);
    }

    fn answer_intermediate(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        message: &Message<'_>,
        arrived: Arrived<'_>,
    ) -> Result<(), Failure> {
        let Stage::Claiming(claim) = &self.stage else { return Err(Failure::NoKeys) };
        let (plaintext, covered) = cover(message, arrived)?;
        let contents = Contents::of(&plaintext)?;
        let next = claim.intermediates.next_method();
        let response = match &contents.ke {
            None if !claim.intermediates.may_be_empty() => {
                return Err(Failure::MissingPayload(PayloadType::KE));
            }
            None => None,
            Some(ke) => Some(answer_ke(context, next, ke)?),
        };
        let public = response.as_ref().map(|(method, response)| (*method, &*response.public));
        let payloads: Vec<_> = public.iter().map(|(method, data)| ke(*method, data)).collect();
        let head = self.current.keyed()?.ends().head(request.exchange, request.message_id(), true);
        let answer = Covered::sent(&head, &payloads)?;
        self.send_answer(context, request, &payloads)?;
        let (Stage::Claiming(claim), Ok(exchanges)) = (&mut self.stage, self.current.keyed()) else {
            return Err(Failure::NoKeys);
        };
        let ClaimInHand { agreement, keys, intermediates, .. } = &mut **claim;
        let secret = response.as_ref().map(|(_, response)| &response.secret);
        let exchanged = Exchanged { request: &covered, answer: &answer, secret };
        let concluded = intermediates.conclude(agreement, keys, exchanges, &exchanged);
        concluded.ok_or_else(|| lengths_differ(agreement.algorithms.cipher))?;
        if secret.is_some() {
            context.log_ike_keys(agreement, keys);
        }
        Ok(())
    }
}

/// What an authentic message holds, and what IntAuth makes of it.
fn cover<'s>(message: &Message<'_>, arrived: Arrived<'s>) -> Result<(Plaintext<'s>, Covered), Failure> {
    let plaintext = arrived.plaintext?;
    let covered = Covered::received(message, arrived.fragments.as_ref(), &plaintext);
    Ok((plaintext, covered.ok_or(Failure::MissingPayload(PayloadType::SK))?))
}

fn conclude_answer(
    context: &mut Context<'_>,
    answerer: &mut Answerer,
    request: &IntermediateRequest,
    message: &Message<'_>,
    arrived: Arrived<'_>,
) -> Result<(), Failure> {
    let (plaintext, covered) = cover(message, arrived)?;
    let contents = Contents::of(&plaintext)?;
    if let Some(error) = contents.error() {
        return Err(Failure::Refused { notify: error.ty });
    }
    let secret = match &request.half {
        Some(half) => {
            let ke = contents.ke.as_ref().ok_or(Failure::MissingPayload(PayloadType::KE))?;
            if ke.method != half.method {
                return Err(Failure::AdditionalKe { got: ke.method, wanted: Some(half.method) });
            }
            Some(context.finish(half, ke.data)?)
        }
        None => None,
    };
    let Answerer { agreement, keys, exchanges, intermediates, .. } = answerer;
    let secret: Option<&SecretBytes> = secret.as_ref();
    let exchanged = Exchanged { request: &request.covered, answer: &covered, secret };
    let concluded = intermediates.conclude(agreement, keys, exchanges, &exchanged);
    concluded.ok_or_else(|| lengths_differ(agreement.algorithms.cipher))?;
    if secret.is_some() {
        context.log_ike_keys(agreement, keys);
    }
    Ok(())
}

/// Our answer to the peer's half of the additional key exchange that is next.
pub(super) fn answer_ke(
    context: &mut Context<'_>,
    next: Option<KeMethod>,
    ke: &KePayload<'_>,
) -> Result<(KeMethod, KxResponse), Failure> {
    if next != Some(ke.method) {
        return Err(Failure::AdditionalKe { got: ke.method, wanted: next });
    }
    context.spend();
    context.respond(ke.method, ke.data).map(|response| (ke.method, response))
}

fn ke(method: KeMethod, data: &[u8]) -> Payload<'_> {
    Payload::Ke(KePayload { method, data })
}

fn ke_of(half: &Half) -> Payload<'_> {
    ke(half.method, half.pending.public())
}

/// Provider and algorithm disagree about lengths.
fn lengths_differ(cipher: &dyn CipherAlgorithm) -> Failure {
    Failure::Algorithm(cipher.suite().to_string())
}
