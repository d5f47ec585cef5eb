//! EAP as responder (RFC 7296 §2.16, RFC 5998): our own proof first, unless the two ends do without; then packets one at a
//! time, and at the end AUTH of both sides by the key that the method made. What the first request asked for is answered
//! then.

use super::auth::{peer_ends, push_certificates};
use super::context::Context;
use super::eap_initiate::key_of;
use super::suspend::Step;
use super::{ClaimInHand, IkeSa, Stage};
use crate::contents::Contents;
use crate::credentials::{LocalAuth, RemoteAuth};
use crate::eap::{EapOutcome, EapPolicy, EapTurn, verdict};
use crate::error::{EapFault, Failure};
use crate::establish::auth::{self, Proof, ProofOrRequest};
use crate::event::{DownReason, Role};
use crate::exchange::exchanges::Request;
use crate::exchange::protect::Plaintext;
use crate::identity::Identity;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ikev2_wire::codes::{AuthMethod, NotifyType, PayloadType};
use ikev2_wire::{AuthPayload, EapCode, EapPayload, IdPayload, Payload};

/// EAP under way with a peer.
#[derive(Debug)]
pub(crate) struct EapClaim {
    /// The request that began it, whose SA and selectors are answered at the end.
    first: Plaintext<'static>,
    peer: Identity,
    /// The body of its ID payload, which its AUTH covers.
    id_body: Vec<u8>,
    /// Whether our own proof is left out (RFC 5998).
    alone: bool,
    /// It, until the first answer takes it along.
    proof: Option<Proof>,
    /// How many packets we sent.
    rounds: u32,
    /// The identifier of the last, once there is one.
    identifier: Option<u8>,
    /// What came of the method, once it has succeeded.
    outcome: Option<EapOutcome>,
}

impl EapClaim {
    /// The octets of the peer's that it keeps.
    pub(super) fn octets(&self) -> usize {
        self.first.len()
    }

    /// Whom the method authenticated.
    pub(super) fn identity(&self) -> Option<&Identity> {
        self.outcome.as_ref()?.identity.as_ref()
    }
}

impl IkeSa {
    fn eap_claim(&mut self) -> Option<&mut EapClaim> {
        match &mut self.stage {
            Stage::Claiming(claim) => claim.eap.as_deref_mut(),
            _ => None,
        }
    }

    /// Whether the peer authenticates by EAP and has begun.
    pub(super) fn is_in_eap(&self) -> bool {
        matches!(&self.stage, Stage::Claiming(claim) if claim.eap.is_some())
    }

    /// How the connection's peers authenticate by EAP, if they do.
    pub(super) fn peers_eap(&self) -> Option<EapPolicy> {
        match self.connection.remote_auth {
            RemoteAuth::Eap(policy) => Some(policy),
            _ => None,
        }
    }

    /// The peer has said who it is and gave no proof: proves who we are, and has the embedder begin.
    pub(super) fn begin_eap(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        plaintext: Plaintext<'_>,
        (peer, id_body): (Identity, Vec<u8>),
        policy: EapPolicy,
    ) {
        let offered = Contents::of(&plaintext)
            .is_ok_and(|contents| contents.notify(NotifyType::EAP_ONLY_AUTHENTICATION).is_some());
        let alone = policy.eap_only && offered;
        let claim = EapClaim {
            first: plaintext.into_owned(),
            peer,
            id_body,
            alone,
            proof: None,
            rounds: 0,
            identifier: None,
            outcome: None,
        };
        let Stage::Claiming(in_hand) = &mut self.stage else { return };
        in_hand.eap = Some(Box::new(claim));
        if alone {
            return self.ask_for_request(context, request, None);
        }
        match self.prove_beside_eap(context) {
            Ok(ProofOrRequest::Ready(proof)) => self.on_proved_beside_eap(context, request, proof),
            Ok(ProofOrRequest::Sign(form, octets)) => {
                let step = Step::SignBesideEap { request: *request, form };
                self.suspend_to_sign(context, form, octets, step);
            }
            Err(failure) => self.refuse_request(context, request, failure),
        }
    }

    /// Our own proof, by a signature (§2.16).
    fn prove_beside_eap(&mut self, context: &mut Context<'_>) -> Result<ProofOrRequest, Failure> {
        let connection = Arc::clone(&self.connection);
        if !matches!(connection.local_auth, LocalAuth::Signature(_)) {
            return Err(EapFault::ResponderBySecret.into());
        }
        context.spend();
        let Stage::Claiming(claim) = &self.stage else { return Err(Failure::NoKeys) };
        let body = connection.local_id.to_body();
        let octets = claim.octets(Role::Responder, &body);
        let peer = claim.eap.as_ref().map(|eap| &eap.peer);
        auth::prove(
            &connection.local_auth,
            &peer_ends(&connection, peer),
            &claim.agreement,
            &octets,
            None,
            context.config.crypto,
            context.random,
        )
    }

    /// Our proof is there, at once or from the embedder.
    pub(super) fn on_proved_beside_eap(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        proof: Proof,
    ) {
        if let Some(eap) = self.eap_claim() {
            eap.proof = Some(proof);
        }
        self.ask_for_request(context, request, None);
    }

    /// Asks the embedder for the next packet.
    fn ask_for_request(&mut self, context: &mut Context<'_>, request: &Request, received: Option<Vec<u8>>) {
        let most = self.peers_eap().map_or(0, |policy| policy.max_rounds);
        let connection = Arc::clone(&self.connection);
        let Some(eap) = self.eap_claim() else { return };
        if eap.rounds >= most {
            let fault = EapFault::TooManyRounds(eap.rounds);
            return self.fail_eap(context, request, fault.into());
        }
        let turn = EapTurn {
            connection: connection.name.clone(),
            role: Role::Responder,
            initiator: eap.peer.clone(),
            responder: Some(connection.local_id.clone()),
            responder_proven: !eap.alone,
            received,
            round: eap.rounds,
        };
        let first = eap.identifier.is_none();
        self.suspend_for_eap(context, turn, Step::EapRequest { request: *request, first });
    }

    /// One more IKE_AUTH request of a peer that has begun EAP.
    pub(super) fn on_eap_request(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        plaintext: &Plaintext<'_>,
    ) {
        let read = Contents::of(plaintext).map_err(Failure::from);
        match read.and_then(|contents| self.read_eap_request(&contents)) {
            Ok(Some(packet)) => self.ask_for_request(context, request, Some(packet)),
            Ok(None) => self.finish_eap(context, request),
            Err(failure) => self.refuse_request(context, request, failure),
        }
    }

    /// The next packet; `None` where it is the peer's AUTH, and good.
    fn read_eap_request(&self, contents: &Contents<'_>) -> Result<Option<Vec<u8>>, Failure> {
        let Stage::Claiming(claim) = &self.stage else { return Err(Failure::NoKeys) };
        let eap = claim.eap.as_deref().ok_or(Failure::NoKeys)?;
        if let Some(outcome) = &eap.outcome {
            let auth = contents.auth.as_ref().ok_or(Failure::MissingPayload(PayloadType::AUTH))?;
            let octets = claim.octets(Role::Initiator, &eap.id_body);
            let key = key_of(outcome, &claim.keys, Role::Initiator);
            let good = auth.method == AuthMethod::SHARED_KEY
                && auth::verify_shared_key(&claim.agreement, &octets, key, auth.data);
            return if good { Ok(None) } else { Err(EapFault::WrongKey.into()) };
        }
        let packet = contents.eap.as_ref().ok_or(Failure::MissingPayload(PayloadType::EAP))?;
        let (got, identifier) = (packet.code(), packet.identifier());
        if got != EapCode::RESPONSE || Some(identifier) != eap.identifier {
            let wanted = "a Response to our last Request";
            return Err(EapFault::OutOfTurn { got, identifier, wanted }.into());
        }
        Ok(Some(packet.message().to_vec()))
    }

    /// The embedder's packet goes out, the first with who we are.
    pub(super) fn send_eap_request(&mut self, context: &mut Context<'_>, request: &Request, packet: &[u8]) {
        let connection = Arc::clone(&self.connection);
        let Some(eap) = self.eap_claim() else { return };
        let proof = eap.proof.take();
        let first = eap.identifier.is_none();
        eap.rounds = eap.rounds.saturating_add(1);
        eap.identifier = crate::eap::head_of(packet).map(|(_, identifier)| identifier);
        let mut payloads = Vec::with_capacity(4);
        if first {
            let us = &connection.local_id;
            payloads.push(Payload::IdR(IdPayload::new(us.ty, &us.data)));
        }
        if let Some(proof) = &proof {
            push_certificates(&mut payloads, &connection.local_auth);
            payloads.push(Payload::Auth(AuthPayload::new(proof.method, &proof.data)));
        }
        let sent = EapPayload::new(packet).map_err(Failure::from).and_then(|packet| {
            payloads.push(Payload::Eap(packet));
            self.send_answer(context, request, &payloads)
        });
        self.await_next(context, sent);
    }

    /// The method has succeeded: the peer is told, and has to prove that it has the key.
    pub(super) fn succeed_eap(&mut self, context: &mut Context<'_>, request: &Request, outcome: EapOutcome) {
        let Some(eap) = self.eap_claim() else { return };
        if eap.alone && !(outcome.safe_alone && outcome.msk.is_some()) {
            let fault = EapFault::ResponderUnproven { offered: true };
            return self.fail_eap(context, request, fault.into());
        }
        let success = verdict(EapCode::SUCCESS, eap.identifier.unwrap_or_default());
        eap.outcome = Some(outcome);
        let sent = EapPayload::new(&success).map_err(Failure::from);
        let sent = sent.and_then(|packet| self.send_answer(context, request, &[Payload::Eap(packet)]));
        self.await_next(context, sent);
    }

    fn await_next(&mut self, context: &mut Context<'_>, sent: Result<(), Failure>) {
        let by = context.now + context.config.half_open_timeout;
        match (&mut self.stage, sent) {
            (Stage::Claiming(claim), Ok(())) => claim.expires = Some(by),
            (_, Err(failure)) => self.close(context, DownReason::Failed(Box::new(failure))),
            _ => {}
        }
    }

    /// The method has failed, or the embedder does not go on: EAP Failure ends it, where there was a Response to answer
    /// (§2.21.2).
    pub(super) fn fail_eap(&mut self, context: &mut Context<'_>, request: &Request, failure: Failure) {
        let identifier = self.eap_claim().and_then(|eap| eap.identifier);
        let Some(identifier) = identifier else { return self.refuse_request(context, request, failure) };
        let packet = verdict(EapCode::FAILURE, identifier);
        if let Ok(packet) = EapPayload::new(&packet)
            && let Err(error) = self.send_answer(context, request, &[Payload::Eap(packet)])
        {
            // The request stays without an answer, as if it had been lost.
            tracing::debug!(%error, "no answer");
        }
        self.close(context, DownReason::Failed(Box::new(failure)));
    }

    /// The embedder does not go on.
    pub(super) fn refuse_eap(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        failure: Option<Failure>,
    ) {
        let rounds = self.eap_claim().map_or(0, |eap| eap.rounds);
        let failure = failure.unwrap_or(EapFault::Refused { rounds }.into());
        self.fail_eap(context, request, failure);
    }

    /// Both ends have the key: what the first request asked for is answered.
    fn finish_eap(&mut self, context: &mut Context<'_>, request: &Request) {
        let Some(eap) = self.eap_claim() else { return };
        let (peer, first) = (eap.peer.clone(), eap.first.clone());
        let named = eap.identity().cloned();
        let checked = match (&named, Contents::of(&first)) {
            (Some(named), Ok(contents)) => self.check_duplicates(context, &contents, named),
            (_, Err(error)) => Err(error.into()),
            (None, Ok(_)) => Ok(()),
        };
        if let Err(failure) = checked {
            return self.refuse_request(context, request, failure);
        }
        self.eap_identity = named.map(Box::new);
        self.on_initiator_verified(context, request, first, peer, None);
    }

    /// As responder: our AUTH by the key of EAP, where there was EAP.
    pub(super) fn proof_by_eap(claim: &ClaimInHand, body: &[u8]) -> Option<Proof> {
        let outcome = claim.eap.as_ref()?.outcome.as_ref()?;
        let octets = claim.octets(Role::Responder, body);
        let key = key_of(outcome, &claim.keys, Role::Responder);
        let data = auth::shared_key(&claim.agreement, &octets, key).as_slice().to_vec();
        Some(Proof { method: AuthMethod::SHARED_KEY, data })
    }
}
