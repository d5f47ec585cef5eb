//! IKE_AUTH as responder (RFC 7296 §1.2, §2.15, §2.21.2): the peer's proof in, ours out, and the first Child
//! SA if it can be agreed. Where it cannot, the IKE SA lives all the same.

use super::auth_initiate::{id_body, verify};
use super::context::Context;
use super::receive::Request;
use super::respond::AnsweredInit;
use super::{Established, IkeSa, Stage};
use crate::config::{Authentication, Connection, DuplicatePolicy};
use crate::contents::Contents;
use crate::error::{AuthFailure, Failure, Unsupported};
use crate::establish::auth::{self, SignedOctets};
use crate::establish::secrets::Agreement;
use crate::event::{DownReason, Event, Role};
use crate::identity::Identity;
use crate::keys::IkeKeys;
use crate::negotiation::ChildExchange;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ikev2_wire::codes::{NotifyType, PayloadType};
use ikev2_wire::{AuthPayload, IdPayload, NotifyPayload};
use ikev2_wire::{IntegId, Payload, Transform};

/// A peer that proved who it is.
struct Proven {
    connection: Arc<Connection>,
    peer: Identity,
}

impl IkeSa {
    /// The peer's IKE_AUTH request: integrity is good, nothing else is known.
    pub(crate) fn on_auth_request(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        contents: Result<Contents<'_>, Failure>,
    ) {
        let placeholder = Stage::Lingering(context.now);
        let Stage::Answered(answered) = core::mem::replace(&mut self.stage, placeholder) else { return };
        let AnsweredInit { agreement, keys: Some(keys), .. } = *answered else { return };
        let verdict = contents.and_then(|contents| {
            let proven = self.find_peer(context, &agreement, &keys, &contents)?;
            Ok((contents, proven))
        });
        match verdict {
            Ok((contents, proven)) => {
                self.connection = proven.connection;
                self.peer_id = Some(proven.peer);
                // The initiator decides by which ports it goes on (§2.23).
                self.path = request.path;
                let algorithms = agreement.algorithms;
                self.stage = Stage::Established(Established { algorithms, sk_d: keys.d.clone() });
                self.learn_window(&contents);
                self.tell_up(context, &contents);
                if let Err(failure) = self.answer_auth(context, request, &agreement, &keys, &contents) {
                    self.close(context, DownReason::Failed(Box::new(failure)));
                } else {
                    self.pump(context);
                }
            }
            Err(failure) => self.refuse_request(context, request, failure),
        }
    }

    /// Answers a request with the notify of what is wrong with it, and ends the SA: the failures of IKE_AUTH,
    /// and INVALID_SYNTAX later, leave nothing that could live on (§2.21.2, §2.21.3).
    pub(crate) fn refuse_request(&mut self, context: &mut Context<'_>, request: &Request, failure: Failure) {
        self.answer_with(context, request, &failure);
        let reason = DownReason::Failed(Box::new(failure));
        if matches!(self.stage, Stage::Lingering(_)) {
            self.stage = Stage::Closing(super::Closing { reason: Some(reason.clone()) });
        }
        self.close(context, reason);
    }

    /// Answers a request with the notify of what is wrong with it.
    pub(crate) fn answer_with(&mut self, context: &mut Context<'_>, request: &Request, failure: &Failure) {
        let data = failure.notify_data();
        let notify = Payload::Notify(NotifyPayload::new(failure.notify(), &data));
        if let Err(error) = self.send_answer(context, request, &[notify]) {
            // The request stays without an answer, as if it had been lost.
            tracing::debug!(sa = %self.handle, %error, "no answer");
        }
    }

    /// The connection that takes these identities, if the peer's proof fits it.
    fn find_peer(
        &self,
        context: &Context<'_>,
        agreement: &Agreement,
        keys: &IkeKeys,
        contents: &Contents<'_>,
    ) -> Result<Proven, Failure> {
        let id = contents.id_i.as_ref().ok_or(Failure::MissingPayload(PayloadType::ID_I))?;
        let auth = contents.auth.as_ref().ok_or(Failure::Unsupported(Unsupported::Eap))?;
        let peer = Identity { ty: id.ty, data: id.data.to_vec() };
        let us = contents.id_r.as_ref().map(|id| Identity { ty: id.ty, data: id.data.to_vec() });
        let candidates = || {
            context.config.connections.iter().filter(|connection| {
                connection.matches_path(&self.path) && accepts_suite(connection, agreement)
            })
        };
        let connection = candidates().find(|connection| {
            connection.remote_id.matches(&peer)
                && us.as_ref().is_none_or(|us| connection.local_id.is_same(us))
        });
        let Some(connection) = connection else {
            let known = candidates().map(|c| (c.local_id.clone(), c.remote_id.clone())).collect::<Vec<_>>();
            return Err(Failure::Authentication(AuthFailure::UnknownIdentity { peer, us, known }));
        };
        let octets = SignedOctets::of(Role::Initiator, agreement, keys, &id_body(id));
        verify(connection, agreement, &octets, auth, &peer)?;
        let pair = (connection.local_id.clone(), peer.clone());
        let first = contents.notify(NotifyType::INITIAL_CONTACT).is_some();
        let others = !context.peers.between(&pair).is_empty();
        if connection.duplicates == DuplicatePolicy::KeepOld && others && !first {
            let connection = connection.name.clone();
            return Err(Failure::Authentication(AuthFailure::Duplicate { peer, connection }));
        }
        Ok(Proven { connection: Arc::clone(connection), peer })
    }

    fn answer_auth(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        agreement: &Agreement,
        keys: &IkeKeys,
        contents: &Contents<'_>,
    ) -> Result<(), Failure> {
        let connection = Arc::clone(&self.connection);
        let body = connection.local_id.to_body();
        let octets = SignedOctets::of(Role::Responder, agreement, keys, &body);
        let Authentication::SharedKey(secret) = &connection.authentication;
        let proof = auth::shared_key(agreement, &octets, secret);
        let window = context.config.window.to_be_bytes();
        let mut payloads = Vec::with_capacity(6);
        payloads.push(Payload::IdR(IdPayload::new(connection.local_id.ty, &connection.local_id.data)));
        payloads.push(Payload::Auth(AuthPayload::new(connection.authentication.method(), proof.as_slice())));
        let agreed = self.agree_child(context, contents, agreement.nonces(), ChildExchange::IkeAuth);
        let refusal;
        match &agreed {
            Ok(agreed) => agreed.push_answer(&mut payloads, None)?,
            Err(failure) => {
                refusal = failure.notify();
                payloads.push(Payload::Notify(NotifyPayload::new(refusal, &[])));
            }
        }
        if context.config.window > 1 {
            payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::SET_WINDOW_SIZE, &window)));
        }
        self.send_answer(context, request, &payloads)?;
        drop(payloads);
        match agreed {
            Ok(agreed) => self.install(context, agreed),
            Err(failure) => {
                let (sa, failure) = (self.handle, Box::new(failure));
                context.out.event(Event::ChildSaFailed { sa, policy: None, failure });
            }
        }
        Ok(())
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
    })
}
