//! Answers that come later: a signature to make or to verify, or an inner address, that the embedder was asked for. Meanwhile the
//! IKE SA stands still: repeats of the request in hand are dropped, and it ends when the answer does not come
//! in time.

use super::IkeSa;
use super::context::Context;
use crate::config_payload::pool::LeaseRequest;
use crate::contents::Contents;
use crate::eap::{EapAnswer, EapTurn, head_of};
use crate::error::{AuthFailure, CallError, Failure};
use crate::establish::auth::{Proof, SignatureForm, SignatureToVerify};
use crate::event::{Answer, DownReason, Event, SignatureRequest, Ticket, VerificationRequest};
use crate::exchange::exchanges::Request;
use crate::exchange::protect::Plaintext;
use crate::exchange::responses::RequestDigest;
use crate::identity::Identity;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ikev2_wire::EapCode;
use ipsec_crypto::signature::SignatureScheme;
use ipsec_types::{IkeSpi, Instant};

/// What waits for an answer of the embedder's. One at most for an IKE SA.
#[derive(Debug)]
pub(crate) struct Suspended {
    ticket: Ticket,
    pub deadline: Instant,
    step: Step,
}

/// Where to go on.
#[derive(Debug)]
pub(crate) enum Step {
    /// As initiator: our signature is missing.
    SignRequest(IkeSpi, SignatureForm),
    /// As initiator: the peer's signature is to be verified.
    VerifyAnswer(IkeSpi, Plaintext<'static>),
    /// As responder: the peer's signature is to be verified.
    VerifyRequest {
        request: Request,
        plaintext: Plaintext<'static>,
        peer: Identity,
        used: Option<SignatureScheme>,
    },
    /// As initiator: what follows this packet of EAP.
    EapResponse { spi: IkeSpi, code: EapCode, identifier: u8 },
    /// As responder: our next packet of EAP.
    EapRequest { request: Request, first: bool },
    /// As responder: our signature beside EAP is missing.
    SignBesideEap { request: Request, form: SignatureForm },
    /// As responder: an inner address for the peer is missing, which has proved who it is.
    Lease {
        request: Request,
        plaintext: Plaintext<'static>,
        peer: Identity,
        used: Option<SignatureScheme>,
        asked: Box<LeaseRequest>,
    },
    /// As responder: our signature is missing.
    SignAnswer { request: Request, plaintext: Plaintext<'static>, peer: Identity, form: SignatureForm },
}

impl Suspended {
    /// Whether the peer's proof is in hand.
    pub(crate) fn verifies(&self) -> bool {
        matches!(self.step, Step::VerifyAnswer(..) | Step::VerifyRequest { .. })
    }

    /// The octets of the peer's message that is in hand.
    pub(crate) fn octets(&self) -> usize {
        match &self.step {
            Step::VerifyRequest { plaintext, .. }
            | Step::Lease { plaintext, .. }
            | Step::SignAnswer { plaintext, .. }
            | Step::VerifyAnswer(_, plaintext) => plaintext.len(),
            Step::SignRequest(..)
            | Step::EapResponse { .. }
            | Step::EapRequest { .. }
            | Step::SignBesideEap { .. } => 0,
        }
    }

    /// The request that is in hand, to know its repeats.
    pub(crate) fn request(&self) -> Option<&RequestDigest> {
        match &self.step {
            Step::VerifyRequest { request, .. }
            | Step::Lease { request, .. }
            | Step::EapRequest { request, .. }
            | Step::SignBesideEap { request, .. }
            | Step::SignAnswer { request, .. } => Some(request.digest()),
            Step::SignRequest(..) | Step::VerifyAnswer(..) | Step::EapResponse { .. } => None,
        }
    }
}

impl IkeSa {
    fn suspend(&mut self, context: &Context<'_>, step: Step) -> (Ticket, Instant) {
        let deadline = context.now + self.connection.answer_timeout;
        self.tickets = self.tickets.saturating_add(1);
        let ticket = Ticket { sa: self.handle, number: self.tickets };
        self.suspended = Some(Box::new(Suspended { ticket, deadline, step }));
        (ticket, deadline)
    }

    /// Asks the embedder for a signature.
    pub(crate) fn suspend_to_sign(
        &mut self,
        context: &mut Context<'_>,
        form: SignatureForm,
        octets: Vec<u8>,
        step: Step,
    ) {
        let connection = Arc::clone(&self.connection);
        let (ticket, deadline) = self.suspend(context, step);
        let request = Box::new(SignatureRequest {
            connection: connection.name.clone(),
            identity: connection.local_id.clone(),
            scheme: form.scheme,
            encoding: form.encoding,
            octets,
        });
        context.event(Event::SignatureNeeded { ticket, deadline, request });
    }

    /// Asks the embedder whether a signature is good.
    pub(crate) fn suspend_to_verify(
        &mut self,
        context: &mut Context<'_>,
        peer: Option<Identity>,
        signature: SignatureToVerify,
        step: Step,
    ) {
        let connection = self.connection.name.clone();
        let (ticket, deadline) = self.suspend(context, step);
        let request = Box::new(VerificationRequest { connection, peer, signature });
        context.event(Event::VerificationNeeded { ticket, deadline, request });
    }

    /// Lets the embedder go on with EAP.
    pub(crate) fn suspend_for_eap(&mut self, context: &mut Context<'_>, turn: EapTurn, step: Step) {
        let (ticket, deadline) = self.suspend(context, step);
        let sa = self.handle;
        context.event(Event::EapNeeded { sa, ticket, deadline, turn: Box::new(turn) });
    }

    /// Asks the embedder for an inner address.
    pub(crate) fn suspend_to_lease(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        plaintext: Plaintext<'_>,
        peer: Identity,
        used: Option<SignatureScheme>,
        asked: LeaseRequest,
    ) {
        let (request, plaintext, told) = (*request, plaintext.into_owned(), Box::new(asked.clone()));
        let step = Step::Lease { request, plaintext, peer, used, asked: Box::new(asked) };
        let (ticket, deadline) = self.suspend(context, step);
        context.event(Event::AddressNeeded { ticket, deadline, request: told });
    }

    /// The embedder answers.
    pub(crate) fn resume(
        &mut self,
        context: &mut Context<'_>,
        ticket: Ticket,
        answer: Answer,
    ) -> Result<(), CallError> {
        let Some(suspended) = self.suspended.take_if(|suspended| suspended.ticket == ticket) else {
            return Err(CallError::NoSuchTicket);
        };
        let (ticket, deadline) = (suspended.ticket, suspended.deadline);
        let signs = matches!(
            suspended.step,
            Step::SignRequest(..) | Step::SignAnswer { .. } | Step::SignBesideEap { .. }
        );
        match (answer, suspended.step) {
            (Answer::Signature(signature), Step::SignRequest(spi, form)) => {
                match Proof::from_signature(form, signature) {
                    Ok(proof) => {
                        self.send_auth_request(context, spi, Some(&proof));
                        self.prove_to_next(context);
                    }
                    Err(failure) => self.close(context, DownReason::Failed(Box::new(failure))),
                }
            }
            (Answer::Signature(signature), Step::SignAnswer { request, plaintext, peer, form }) => {
                match Proof::from_signature(form, signature) {
                    Ok(proof) => {
                        self.on_answer_signed(context, &request, &plaintext, peer, &proof);
                    }
                    Err(failure) => self.refuse_request(context, &request, failure),
                }
            }
            (Answer::Verified, Step::VerifyAnswer(spi, plaintext)) => {
                if let Ok(contents) = Contents::of(&plaintext) {
                    match self.own_eap() {
                        Some(policy) => self.on_eap_responder_verified(context, spi, &contents, policy),
                        None => self.finish_auth(context, spi, &contents),
                    }
                }
            }
            (Answer::Verified, Step::VerifyRequest { request, plaintext, peer, used }) => {
                self.on_initiator_verified(context, &request, plaintext, peer, used);
            }
            (Answer::Eap(answer), step) => return self.resume_eap(context, answer, step, (ticket, deadline)),
            (Answer::Signature(signature), Step::SignBesideEap { request, form }) => {
                match Proof::from_signature(form, signature) {
                    Ok(proof) => self.on_proved_beside_eap(context, &request, proof),
                    Err(failure) => self.refuse_request(context, &request, failure),
                }
            }
            (Answer::Refused, Step::EapResponse { spi, .. }) => self.give_up_eap(context, spi, None),
            (Answer::Refused, Step::EapRequest { request, .. }) => self.refuse_eap(context, &request, None),
            (Answer::Leased(given), Step::Lease { request, plaintext, peer, used, asked }) => {
                self.take_lease(context, &asked, Some(given));
                self.on_initiator_verified(context, &request, plaintext, peer, used);
            }
            (Answer::Refused, step) => {
                let failure = if signs { AuthFailure::NotSigned } else { AuthFailure::NotVerified };
                self.give_up(context, step, Failure::Authentication(failure));
            }
            // The ticket stays open for the right kind of answer.
            (_, step) => {
                self.suspended = Some(Box::new(Suspended { ticket, deadline, step }));
                return Err(CallError::WrongAnswer);
            }
        }
        Ok(())
    }

    /// The embedder's packet, or what came of the method: only what may follow.
    fn resume_eap(
        &mut self,
        context: &mut Context<'_>,
        answer: EapAnswer,
        step: Step,
        (ticket, deadline): (Ticket, Instant),
    ) -> Result<(), CallError> {
        match (answer, step) {
            (EapAnswer::Send(packet), Step::EapResponse { spi, code: EapCode::REQUEST, identifier })
                if head_of(&packet) == Some((EapCode::RESPONSE, identifier)) =>
            {
                self.send_eap_response(context, spi, &packet);
            }
            (EapAnswer::Done(outcome), Step::EapResponse { spi, code: EapCode::SUCCESS, .. }) => {
                self.prove_by_eap(context, spi, outcome);
            }
            (EapAnswer::Send(packet), Step::EapRequest { request, .. })
                if head_of(&packet).is_some_and(|(code, _)| code == EapCode::REQUEST) =>
            {
                self.send_eap_request(context, &request, &packet);
            }
            (EapAnswer::Done(outcome), Step::EapRequest { request, first: false }) => {
                self.succeed_eap(context, &request, outcome);
            }
            (_, step) => {
                self.suspended = Some(Box::new(Suspended { ticket, deadline, step }));
                return Err(CallError::WrongAnswer);
            }
        }
        Ok(())
    }

    /// No answer came in time.
    pub(crate) fn on_answer_timeout(&mut self, context: &mut Context<'_>) {
        if let Some(suspended) = self.suspended.take_if(|s| s.deadline <= context.now) {
            self.give_up(context, suspended.step, Failure::Authentication(AuthFailure::NotAnswered));
        }
    }

    fn give_up(&mut self, context: &mut Context<'_>, step: Step, failure: Failure) {
        match step {
            Step::SignRequest(..) => self.close(context, DownReason::Failed(Box::new(failure))),
            Step::VerifyAnswer(spi, _) => self.refuse_answerer(context, spi, failure),
            Step::EapResponse { spi, .. } => self.give_up_eap(context, spi, Some(failure)),
            Step::EapRequest { request, .. } => self.refuse_eap(context, &request, Some(failure)),
            Step::SignBesideEap { request, .. } => self.refuse_request(context, &request, failure),
            // The IKE SA does without.
            Step::Lease { request, plaintext, peer, used, asked } => {
                self.take_lease(context, &asked, None);
                self.on_initiator_verified(context, &request, plaintext, peer, used);
            }
            Step::VerifyRequest { request, .. } | Step::SignAnswer { request, .. } => {
                self.refuse_request(context, &request, failure);
            }
        }
    }
}
