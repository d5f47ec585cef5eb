//! IKE_AUTH as responder (RFC 7296 §1.2, §2.15, §2.21.2): the peer's proof in, ours out, and the first Child
//! SA if it can be agreed. Where it cannot, the IKE SA lives all the same.

use super::auth::{check_peer, id_body, identity, peer_ends, push_certificates};
use super::context::Context;
use super::mobike_request::check_no_nats;
use super::suspend::Step;
use super::{ClaimInHand, Established, IkeSa, Stage};
use crate::config::{Connection, DuplicatePolicy};
use crate::contents::Contents;
use crate::credentials::LocalAuth;
use crate::eap::EapPolicy;
use crate::error::{AuthFailure, Failure, Unsupported};
use crate::establish::auth::{self, Proof, ProofOrRequest, SignatureForm, SignedOctets, Verdict};
use crate::establish::secrets::Agreement;
use crate::event::{DownReason, Role};
use crate::exchange::exchanges::Request;
use crate::exchange::protect::Plaintext;
use crate::identity::Identity;
use crate::negotiation::ChildExchange;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ikev2_wire::codes::{AuthMethod, NotifyType, PayloadType, ProtocolId};
use ikev2_wire::{AuthPayload, IdPayload, IntegId, NotifyPayload, Payload, Transform};
use ipsec_crypto::signature::SignatureScheme;
use ipsec_types::EspSpi;

/// What a peer that says who it is has to show for it.
enum Claim {
    Proof(Verdict),
    /// Nothing yet: it wants EAP.
    Eap(EapPolicy),
}

/// How many connections the error names that a stranger causes.
const MAX_KNOWN: usize = 16;

impl IkeSa {
    /// The peer's IKE_AUTH request: integrity is good, nothing else is known.
    pub(crate) fn on_auth_request(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        plaintext: Result<Plaintext<'_>, Failure>,
    ) {
        let plaintext = match plaintext {
            Ok(plaintext) => plaintext,
            Err(failure) => return self.refuse_request(context, request, failure),
        };
        if self.is_in_eap() {
            return self.on_eap_request(context, request, &plaintext);
        }
        match self.check_claim(context, &plaintext) {
            Ok((contents, peer, Claim::Eap(policy))) => {
                let id_body = contents.id_i.as_ref().map(id_body).unwrap_or_default();
                drop(contents);
                self.begin_eap(context, request, plaintext, (peer, id_body), policy);
            }
            Ok((contents, peer, Claim::Proof(Verdict::Proven(used)))) => {
                drop(contents);
                self.on_initiator_verified(context, request, plaintext, peer, used);
            }
            Ok((contents, peer, Claim::Proof(Verdict::Verify(signature)))) => {
                drop(contents);
                let claimed = Some(peer.clone());
                let used = signature.scheme();
                let (request, plaintext) = (*request, plaintext.into_owned());
                let step = Step::VerifyRequest { request, plaintext, peer, used };
                self.suspend_to_verify(context, claimed, *signature, step);
            }
            Err(failure) => self.refuse_request(context, request, failure),
        }
    }

    fn check_claim<'p>(
        &mut self,
        context: &mut Context<'_>,
        plaintext: &'p Plaintext<'_>,
    ) -> Result<(Contents<'p>, Identity, Claim), Failure> {
        let contents = Contents::of(plaintext)?;
        // It is this connection's attempt from here on, whatever comes of it.
        self.connection = self.connection_for(context, &contents)?;
        let (peer, verdict) = self.check_initiator(context, &contents)?;
        Ok((contents, peer, verdict))
    }

    /// The connection that takes the peer's identities.
    fn connection_for(
        &self,
        context: &Context<'_>,
        contents: &Contents<'_>,
    ) -> Result<Arc<Connection>, Failure> {
        let ClaimInHand { agreement, .. } = self.answered()?;
        let peer = identity(contents.id_i.as_ref().ok_or(Failure::MissingPayload(PayloadType::ID_I))?);
        let us = contents.id_r.as_ref().map(identity);
        // The closest pattern wins, and of equal ones the first.
        let connection = context
            .connections
            .taking(&self.path, &peer)
            .filter(|c| accepts_suite(c, agreement))
            .filter(|c| us.as_ref().is_none_or(|us| c.local_id.is_same(us)))
            .min_by_key(|c| c.remote_id.looseness());
        connection.cloned().ok_or_else(|| {
            let candidates = context.connections.of_path(&self.path).filter(|c| accepts_suite(c, agreement));
            let known =
                candidates.take(MAX_KNOWN).map(|c| (c.local_id.clone(), c.remote_id.clone())).collect();
            Failure::Authentication(AuthFailure::UnknownIdentity { peer, us, known })
        })
    }

    /// Who the peer says it is, and whether its proof fits the connection.
    fn check_initiator(
        &self,
        context: &mut Context<'_>,
        contents: &Contents<'_>,
    ) -> Result<(Identity, Claim), Failure> {
        let id = contents.id_i.as_ref().ok_or(Failure::MissingPayload(PayloadType::ID_I))?;
        let peer = identity(id);
        let claim = match (&contents.auth, self.peers_eap()) {
            (Some(auth), _) => Claim::Proof(self.check_proof(context, contents, id, auth)?),
            (None, Some(policy)) => Claim::Eap(policy),
            (None, None) => return Err(Failure::Unsupported(Unsupported::Eap)),
        };
        if matches!(claim, Claim::Proof(_)) {
            self.check_duplicates(context, contents, &peer)?;
        }
        Ok((peer, claim))
    }

    /// Whether one more IKE SA with this peer is refused.
    pub(super) fn check_duplicates(
        &self,
        context: &Context<'_>,
        contents: &Contents<'_>,
        peer: &Identity,
    ) -> Result<(), Failure> {
        let connection = &self.connection;
        let first = contents.notify(NotifyType::INITIAL_CONTACT).is_some();
        let pair = Arc::new((connection.local_id.clone(), peer.clone()));
        let older = context.peers.older(&pair, self.created_at).next().is_some();
        if connection.duplicates == DuplicatePolicy::KeepOld && older && !first {
            let (peer, connection) = (peer.clone(), connection.name.clone());
            return Err(Failure::Authentication(AuthFailure::Duplicate { peer, connection }));
        }
        Ok(())
    }

    fn check_proof(
        &self,
        context: &mut Context<'_>,
        contents: &Contents<'_>,
        id: &IdPayload<'_>,
        auth: &AuthPayload<'_>,
    ) -> Result<Verdict, Failure> {
        let claim = self.answered()?;
        let (connection, peer) = (&self.connection, identity(id));
        let octets = claim.octets(Role::Initiator, &id_body(id));
        if auth.method != AuthMethod::SHARED_KEY {
            context.spend();
        }
        check_peer(context, connection, &peer, &claim.agreement, &octets, auth, contents)
    }

    /// What a half-open SA has agreed on, and its keys.
    fn answered(&self) -> Result<&ClaimInHand, Failure> {
        match &self.stage {
            Stage::Claiming(claim) => Ok(claim),
            _ => Err(Failure::NoKeys),
        }
    }

    /// The peer proved itself. An inner address for it comes first, then our own proof.
    pub(crate) fn on_initiator_verified(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        plaintext: Plaintext<'_>,
        peer: Identity,
        used: Option<SignatureScheme>,
    ) {
        let contents = match Contents::of(&plaintext) {
            Ok(contents) => contents,
            Err(error) => return self.refuse_request(context, request, error.into()),
        };
        let whom = match &self.eap_identity {
            Some(identity) => Some((**identity).clone()),
            None if self.is_in_eap() => None,
            None => Some(peer.clone()),
        };
        let asked = match whom {
            Some(whom) => self.begin_lease(context, &contents, &whom),
            None => {
                self.lease_to_nobody(&contents);
                None
            }
        };
        if let Some(asked) = asked {
            drop(contents);
            return self.suspend_to_lease(context, request, plaintext, peer, used, asked);
        }
        let waiting = self.prove_to_initiator(context, request, contents, peer, used);
        self.wait_for_signature(context, request, plaintext, waiting);
    }

    /// The peer proved itself: proves who we are. Gives what the embedder has to sign, if it has to.
    fn prove_to_initiator(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        contents: Contents<'_>,
        peer: Identity,
        used: Option<SignatureScheme>,
    ) -> Option<(Identity, SignatureForm, Vec<u8>)> {
        let connection = &self.connection;
        if matches!(connection.local_auth, LocalAuth::Signature(_)) {
            context.spend();
        }
        let proof = self.answered().and_then(|claim| {
            let ClaimInHand { agreement, keys, intermediates, .. } = claim;
            let body = connection.local_id.to_body();
            if let Some(proof) = Self::proof_by_eap(claim, &body) {
                return Ok(ProofOrRequest::Ready(proof));
            }
            let octets = SignedOctets::of(Role::Responder, agreement, keys, &intermediates.int_auth, &body);
            let ends = peer_ends(connection, Some(&peer));
            auth::prove(
                &connection.local_auth,
                &ends,
                agreement,
                &octets,
                used,
                context.config.crypto,
                context.random,
            )
        });
        match proof {
            Ok(ProofOrRequest::Ready(proof)) => {
                self.finish_auth_request(context, request, contents, peer, &proof);
                None
            }
            Ok(ProofOrRequest::Sign(form, octets)) => Some((peer, form, octets)),
            Err(failure) => {
                self.refuse_request(context, request, failure);
                None
            }
        }
    }

    fn wait_for_signature(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        plaintext: Plaintext<'_>,
        waiting: Option<(Identity, SignatureForm, Vec<u8>)>,
    ) {
        if let Some((peer, form, octets)) = waiting {
            let (request, plaintext) = (*request, plaintext.into_owned());
            let step = Step::SignAnswer { request, plaintext, peer, form };
            self.suspend_to_sign(context, form, octets, step);
        }
    }

    /// The embedder has signed for us.
    pub(crate) fn on_answer_signed(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        plaintext: &Plaintext<'_>,
        peer: Identity,
        proof: &Proof,
    ) {
        match Contents::of(plaintext) {
            Ok(contents) => self.finish_auth_request(context, request, contents, peer, proof),
            Err(error) => self.refuse_request(context, request, error.into()),
        }
    }

    /// Both proofs are there: the IKE SA is up, and its first Child SA if it can be agreed.
    fn finish_auth_request(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        contents: Contents<'_>,
        peer: Identity,
        proof: &Proof,
    ) {
        let offered = self.connection.childless.is_offered();
        let childless = self.answered().is_ok_and(|claim| claim.agreement.childless && offered);
        let asks_for_child = match asks_for_child(&contents, childless) {
            Ok(asks) => asks,
            Err(failure) => return self.refuse_request(context, request, failure),
        };
        if let Err(fault) = check_no_nats(&contents, &request.path) {
            return self.refuse_request(context, request, Failure::Addresses(fault));
        }
        let placeholder = Stage::Lingering(context.now);
        let Stage::Claiming(in_hand) = core::mem::replace(&mut self.stage, placeholder) else { return };
        let ClaimInHand { agreement, keys, eap, .. } = *in_hand;
        let by_eap = eap.is_some();
        self.peer_id = Some(peer);
        self.last_auth = request.message_id();
        // The initiator decides by which ports it goes on (§2.23).
        self.path = request.path;
        let algorithms = agreement.algorithms;
        self.stage = Stage::Established(Established { algorithms, sk_d: keys.d });
        self.learn_window(context, &contents);
        self.tell_up(context, &contents);
        if let Err(failure) =
            self.answer_auth(context, request, &agreement, &contents, (proof, by_eap), asks_for_child)
        {
            self.close(context, DownReason::Failed(Box::new(failure)));
        } else {
            self.pump(context);
        }
    }

    fn answer_auth(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        agreement: &Agreement,
        contents: &Contents<'_>,
        (proof, by_eap): (&Proof, bool),
        asks_for_child: bool,
    ) -> Result<(), Failure> {
        let connection = Arc::clone(&self.connection);
        let window = self.current.keyed()?.responses().size();
        let window_octets = window.to_be_bytes();
        let lifetime = self.auth_lifetime().map(u32::to_be_bytes);
        let notices = self.mobike_offer(context);
        let mut payloads = Vec::with_capacity(9);
        let us = &connection.local_id;
        if !by_eap {
            // With EAP both were sent before it.
            payloads.push(Payload::IdR(IdPayload::new(us.ty, &us.data)));
            push_certificates(&mut payloads, &connection.local_auth);
        }
        payloads.push(Payload::Auth(AuthPayload::new(proof.method, &proof.data)));
        payloads.extend(self.config_reply()?.map(Payload::Cp));
        let agreed = asks_for_child.then(|| match self.config_fault() {
            Some(fault) => Err(fault.into()),
            None => self.agree_child(context, contents, agreement.nonces(), ChildExchange::IkeAuth, None),
        });
        let pushed = match &agreed {
            None => Ok(()),
            Some(Ok(agreed)) => agreed.push_answer(&mut payloads, None),
            Some(Err(failure)) => {
                payloads.push(Payload::Notify(NotifyPayload::new(failure.notify(), &[])));
                Ok(())
            }
        };
        if let Some(lifetime) = &lifetime {
            payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::AUTH_LIFETIME, lifetime)));
        }
        if window > 1 {
            payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::SET_WINDOW_SIZE, &window_octets)));
        }
        notices.push_to(&mut payloads);
        let sent = pushed.and_then(|()| self.send_answer(context, request, &payloads));
        drop(payloads);
        match agreed {
            None => {}
            Some(Ok(agreed)) => {
                let inbound = agreed.inbound();
                let done = sent.and_then(|()| self.install(context, agreed));
                return done.inspect_err(|_| context.release_spi(inbound));
            }
            Some(Err(failure)) => {
                self.tell_child_failed(context, None, failure);
            }
        }
        sent
    }

    /// Answers a request with the notify of what is wrong with it, and ends the SA: the failures of IKE_AUTH,
    /// and INVALID_SYNTAX later, leave nothing that could live on (§2.21.2, §2.21.3).
    pub(crate) fn refuse_request(&mut self, context: &mut Context<'_>, request: &Request, failure: Failure) {
        self.answer_with(context, request, &failure);
        self.close(context, DownReason::Failed(Box::new(failure)));
    }

    /// Answers a request with the notify of what is wrong with it.
    pub(crate) fn answer_with(&mut self, context: &mut Context<'_>, request: &Request, failure: &Failure) {
        let data = failure.notify_data();
        let spi = failure.notify_spi().map(EspSpi::to_be_bytes);
        let notify = Payload::Notify(match &spi {
            Some(spi) => NotifyPayload::with_spi(ProtocolId::ESP, spi, failure.notify(), &data),
            None => NotifyPayload::new(failure.notify(), &data),
        });
        if let Err(error) = self.send_answer(context, request, &[notify]) {
            // The request stays without an answer, as if it had been lost.
            tracing::debug!(%error, "no answer");
        }
    }
}

/// Whether a request asks for a Child SA. One that does not is malformed where that was not offered (RFC 6023 §3), and
/// makes no IKE SA at all; so is one that asks by halves.
fn asks_for_child(contents: &Contents<'_>, childless: bool) -> Result<bool, Failure> {
    let payloads = [
        (contents.sa.is_some(), PayloadType::SA),
        (contents.ts_i.is_some(), PayloadType::TS_I),
        (contents.ts_r.is_some(), PayloadType::TS_R),
    ];
    if childless && payloads.iter().all(|(there, _)| !there) {
        return Ok(false);
    }
    match payloads.into_iter().find(|(there, _)| !there) {
        Some((_, ty)) => Err(Failure::MissingPayload(ty)),
        None => Ok(true),
    }
}

/// Whether the connection would have chosen what IKE_SA_INIT agreed: the peer was not known then.
fn accepts_suite(connection: &Connection, agreement: &Agreement) -> bool {
    let algorithms = &agreement.algorithms;
    let (cipher, prf, ke) = (algorithms.cipher.suite(), algorithms.prf.id(), algorithms.ke);
    connection.ike_proposals.iter().any(|proposal| {
        let has = |transform| proposal.transforms().contains(&transform);
        has(Transform::encr(cipher.encr, cipher.key_bits))
            && (cipher.integ == IntegId::NONE || has(Transform::integ(cipher.integ)))
            && has(Transform::prf(prf))
            && has(Transform::ke(ke))
            && algorithms.additional.are_in(proposal.transforms())
    })
}
