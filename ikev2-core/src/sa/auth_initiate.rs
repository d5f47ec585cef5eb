//! IKE_AUTH as initiator (RFC 7296 §1.2, §2.15, Appendix C.2): our proof and the first Child SA out, the
//! peer's proof and its answer in.

use super::answerer::Answerer;
use super::auth::{check_peer, id_body, identity, peer_ends, push_certificates};
use super::child::ChildAttempt;
use super::context::Context;
use super::initiate::InitAttempt;
use super::receive::open;
use super::suspend::Step;
use super::{Closing, Established, IkeSa, Purpose, Stage, Task};
use crate::contents::Contents;
use crate::error::{AuthFailure, Failure, Rejection};
use crate::establish::auth::{self, Proof, ProofOrRequest, SignedOctets, Verdict};
use crate::event::{DownReason, Role};
use crate::exchange::datagram::Datagram;
use crate::exchange::protect::{MessageHead, Plaintext};
use crate::identity::IdentityPattern;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ikev2_wire::{AuthPayload, IdPayload, Message, NotifyPayload, Payload};
use ipsec_types::{IkeSpi, Path};

/// What an initiator holds from the first answer to IKE_SA_INIT to the end of IKE_AUTH.
#[derive(Debug)]
pub(crate) struct AuthAttempt {
    /// For further answers.
    pub init: Box<InitAttempt>,
    pub child: ChildAttempt,
    pub answerers: Vec<Answerer>,
}

impl IkeSa {
    /// Somebody answered IKE_SA_INIT: proves who we are, now or when the embedder has signed.
    pub(crate) fn begin_auth(&mut self, context: &mut Context<'_>, answerer: Answerer) {
        match self.add_answerer(context, answerer) {
            Ok(()) => self.prove_to_next(context),
            Err(failure) => self.close(context, DownReason::Failed(Box::new(failure))),
        }
    }

    /// Proves who we are to the next one that waits for it. One question to the embedder is open at a time.
    pub(crate) fn prove_to_next(&mut self, context: &mut Context<'_>) {
        while self.suspended.is_none() {
            let Stage::Authenticating(attempt) = &self.stage else { return };
            let next = attempt.answerers.iter().find(|answerer| answerer.request.is_none());
            let Some(spi) = next.map(Answerer::spi) else { return };
            match self.prove_to(context, spi) {
                Ok(ProofOrRequest::Ready(proof)) => self.send_auth_request(context, spi, &proof),
                Ok(ProofOrRequest::Sign(form, octets)) => {
                    let step = Step::SignRequest(spi, form);
                    self.suspend_to_sign(context, form, octets, step);
                }
                Err(failure) => self.close(context, DownReason::Failed(Box::new(failure))),
            }
        }
    }

    fn add_answerer(&mut self, context: &mut Context<'_>, answerer: Answerer) -> Result<(), Failure> {
        if let Stage::Authenticating(attempt) = &mut self.stage {
            attempt.answerers.push(answerer);
            return Ok(());
        }
        let config = self.connection.children.first().ok_or(Failure::NoChild)?;
        let child = ChildAttempt::in_auth(context, config, &self.path)?;
        let placeholder = Stage::Lingering(context.now);
        if let Stage::Initiating(init) = core::mem::replace(&mut self.stage, placeholder) {
            self.current.requests.answered(0);
            let answerers = Vec::from([answerer]);
            self.stage = Stage::Authenticating(Box::new(AuthAttempt { init, child, answerers }));
        }
        Ok(())
    }

    fn answerer(&self, spi: IkeSpi) -> Result<&Answerer, Failure> {
        let Stage::Authenticating(attempt) = &self.stage else { return Err(Failure::NoKeys) };
        attempt.answerers.iter().find(|answerer| answerer.spi() == spi).ok_or(Failure::NoKeys)
    }

    fn prove_to(&self, context: &mut Context<'_>, spi: IkeSpi) -> Result<ProofOrRequest, Failure> {
        let Answerer { agreement, keys, .. } = self.answerer(spi)?;
        let connection = &self.connection;
        let id_body = connection.local_id.to_body();
        let octets = SignedOctets::of(Role::Initiator, agreement, keys, &id_body);
        let remote = match &connection.remote_id {
            IdentityPattern::Exactly(peer) => Some(peer),
            _ => None,
        };
        let ends = peer_ends(connection, remote);
        auth::prove(&connection.local_auth, &ends, agreement, &octets, None, context.random)
    }

    /// Sends the IKE_AUTH request to one that answered. All of them are one request of the window: only one can
    /// be the peer.
    pub(crate) fn send_auth_request(&mut self, context: &mut Context<'_>, spi: IkeSpi, proof: &Proof) {
        match self.seal_auth_request(context, spi, proof) {
            Ok((path, datagram)) => {
                context.transmit(path, &datagram);
                self.sent_at = context.now;
                if self.current.requests.is_idle() {
                    self.current.requests.sent(
                        context.now,
                        datagram,
                        Purpose::Auth,
                        &self.connection.retransmit,
                    );
                }
            }
            Err(failure) => self.close(context, DownReason::Failed(Box::new(failure))),
        }
    }

    fn seal_auth_request(
        &mut self,
        context: &Context<'_>,
        spi: IkeSpi,
        proof: &Proof,
    ) -> Result<(Path, Datagram), Failure> {
        let head =
            MessageHead { responder_spi: Some(spi), ..self.current.head(ExchangeType::IKE_AUTH, 1, false) };
        let initial_contact = self.is_initial_contact(context);
        let connection = &self.connection;
        let Stage::Authenticating(attempt) = &mut self.stage else { return Err(Failure::NoKeys) };
        let found = attempt.answerers.iter_mut().find(|answerer| answerer.spi() == spi);
        let answerer = found.ok_or(Failure::NoKeys)?;

        let window = self.current.responses.size().to_be_bytes();
        let mut payloads = Vec::with_capacity(10);
        let us = &connection.local_id;
        payloads.push(Payload::IdI(IdPayload::new(us.ty, &us.data)));
        push_certificates(&mut payloads, &connection.local_auth);
        if initial_contact {
            payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::INITIAL_CONTACT, &[])));
        }
        if let IdentityPattern::Exactly(peer) = &connection.remote_id {
            payloads.push(Payload::IdR(IdPayload::new(peer.ty, &peer.data)));
        }
        payloads.push(Payload::Auth(AuthPayload::new(proof.method, &proof.data)));
        attempt.child.push_request(&mut payloads, None)?;
        if self.current.responses.size() > 1 {
            payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::SET_WINDOW_SIZE, &window)));
        }
        let protection = answerer.protection.as_mut().ok_or(Failure::NoKeys)?;
        let datagram = protection.seal(&head, &payloads)?;
        context.observe_sent(&answerer.path, &datagram, &payloads);
        answerer.request = Some(datagram.clone());
        Ok((answerer.path, datagram))
    }

    /// Sends every IKE_AUTH request once more.
    pub(crate) fn repeat_auth(&mut self, context: &mut Context<'_>) {
        if let Stage::Authenticating(attempt) = &self.stage {
            for answerer in &attempt.answerers {
                if let Some(datagram) = &answerer.request {
                    context.transmit_again(answerer.path, datagram);
                }
            }
        }
    }

    /// Whether this is our only IKE SA with a peer whose identity we know beforehand (§2.4).
    fn is_initial_contact(&self, context: &Context<'_>) -> bool {
        match &self.connection.remote_id {
            IdentityPattern::Exactly(peer) => {
                let pair = Arc::new((self.connection.local_id.clone(), peer.clone()));
                context.peers.between(&pair).all(|other| other == self.handle)
            }
            _ => false,
        }
    }

    /// An answer to our IKE_AUTH request.
    pub(crate) fn on_auth_answer(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), Rejection> {
        let spi = message.header().responder_spi.ok_or(Rejection::Contradictory)?;
        let answerer = self.answerer(spi).map_err(|_| Rejection::Contradictory)?;
        if self.suspended.as_ref().is_some_and(|suspended| suspended.verifies()) {
            // One at a time; our request is repeated, and its answer with it.
            return Err(Rejection::Unsolicited(message.header().message_id));
        }
        let protection = answerer.protection.as_ref().ok_or(Rejection::Contradictory)?;
        let opened = open(protection, context, &path, message, scratch)?;
        let checked = opened.and_then(|plaintext| {
            let verdict = self.check_responder(context, spi, &plaintext)?;
            Ok((plaintext, verdict))
        });
        match checked {
            Ok((plaintext, Verdict::Proven(_))) => {
                self.adopt(context, spi);
                self.finish_auth(context, &plaintext);
            }
            Ok((plaintext, Verdict::Verify(signature))) => {
                let peer = match Contents::of(&plaintext) {
                    Ok(contents) => contents.id_r.as_ref().map(identity),
                    Err(_) => None,
                };
                let step = Step::VerifyAnswer(spi, plaintext.into_owned());
                self.suspend_to_verify(context, peer, *signature, step);
            }
            Err(failure) => self.refuse_answerer(context, spi, failure),
        }
        Ok(())
    }

    /// One that answered is not the peer. Where another one may be, the attempt goes on.
    pub(crate) fn refuse_answerer(&mut self, context: &mut Context<'_>, spi: IkeSpi, failure: Failure) {
        if self.has_other_answerers() {
            tracing::debug!(%failure, %spi, "an answerer was not the peer");
            self.drop_answerer(spi);
            self.prove_to_next(context);
        } else {
            self.adopt(context, spi);
            self.refuse_peer(context, failure);
        }
    }

    fn has_other_answerers(&self) -> bool {
        matches!(&self.stage, Stage::Authenticating(attempt) if attempt.answerers.len() > 1)
    }

    fn drop_answerer(&mut self, spi: IkeSpi) {
        if let Stage::Authenticating(attempt) = &mut self.stage {
            attempt.answerers.retain(|answerer| answerer.spi() != spi);
        }
    }

    /// This one is the peer, or the last that could be: the IKE SA is with it.
    pub(crate) fn adopt(&mut self, context: &Context<'_>, spi: IkeSpi) {
        let Stage::Authenticating(attempt) = &mut self.stage else { return };
        attempt.answerers.retain(|answerer| answerer.spi() == spi);
        let Some(Answerer { agreement, protection, nat, path, .. }) = attempt.answerers.first_mut() else {
            return;
        };
        self.current.peer_spi = Some(spi);
        self.current.protection = protection.take();
        self.algorithms = Some(agreement.algorithms);
        self.nat = *nat;
        self.path = *path;
        self.heard_at = context.now;
        self.ike_heard_at = context.now;
        self.current.requests.answered(1);
    }

    /// Whether the peer is the one that the connection wants.
    fn check_responder(
        &self,
        context: &Context<'_>,
        spi: IkeSpi,
        plaintext: &Plaintext<'_>,
    ) -> Result<Verdict, Failure> {
        let Answerer { agreement, keys, .. } = self.answerer(spi)?;
        let contents = Contents::of(plaintext)?;
        let connection = &self.connection;
        let (Some(id), Some(auth)) = (&contents.id_r, &contents.auth) else {
            // Without both, an error notify is the answer (§2.21.2).
            return Err(match contents.error() {
                Some(error) => Failure::Refused { notify: error.ty },
                None if contents.id_r.is_none() => Failure::MissingPayload(PayloadType::ID_R),
                None => Failure::MissingPayload(PayloadType::AUTH),
            });
        };
        let peer = identity(id);
        if !connection.remote_id.matches(&peer) {
            return Err(Failure::Authentication(AuthFailure::WrongIdentity {
                got: peer,
                wanted: connection.remote_id.clone(),
                connection: connection.name.clone(),
            }));
        }
        let body = id_body(id);
        let octets = SignedOctets::of(Role::Responder, agreement, keys, &body);
        check_peer(context, connection, &peer, agreement, &octets, auth, &contents)
    }

    /// The peer is authenticated: the IKE SA is up, and its first Child SA if the peer agreed.
    pub(crate) fn finish_auth(&mut self, context: &mut Context<'_>, plaintext: &Plaintext<'_>) {
        let Ok(contents) = Contents::of(plaintext) else { return };
        let placeholder = Stage::Lingering(context.now);
        let Stage::Authenticating(attempt) = core::mem::replace(&mut self.stage, placeholder) else { return };
        let AuthAttempt { child, answerers, .. } = *attempt;
        let Some(Answerer { agreement, keys, .. }) = answerers.into_iter().next() else { return };
        self.peer_id = contents.id_r.as_ref().map(identity);
        let algorithms = agreement.algorithms;
        self.stage = Stage::Established(Established { algorithms, sk_d: keys.d });
        self.learn_window(context, &contents);
        self.tell_up(context, &contents);
        self.finish_child(context, child, &contents, agreement.nonces());
        self.pump(context);
    }

    /// The peer did not prove itself, or refused us: tell the embedder now, and end the SA. A peer that did
    /// not refuse us believes the SA established, and is told (§2.21.2).
    pub(crate) fn refuse_peer(&mut self, context: &mut Context<'_>, failure: Failure) {
        if let Stage::Authenticating(attempt) = &self.stage {
            context.release_spi(attempt.child.inbound);
        }
        let refused_us = matches!(failure, Failure::Refused { .. });
        self.tell_down(context, Some(DownReason::Failed(Box::new(failure))));
        self.stage = Stage::Closing(Closing { reason: None });
        if refused_us {
            self.close(context, DownReason::IkeSaEnded);
        } else {
            self.start_closing(context, None, Task::RefuseAuthentication);
        }
    }
}
