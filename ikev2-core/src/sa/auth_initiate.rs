//! IKE_AUTH as initiator (RFC 7296 §1.2, §2.15, Appendix C.2): our proof and the first Child SA out, the
//! peer's proof and its answer in.

use super::child::ChildAttempt;
use super::context::Context;
use super::{Closing, Established, IkeSa, Purpose, Stage, Task};
use crate::config::{Authentication, DuplicatePolicy};
use crate::contents::Contents;
use crate::error::{AuthFailure, Failure};
use crate::establish::auth::{self, SignedOctets};
use crate::establish::secrets::Agreement;
use crate::event::{DownReason, Event, Role};
use crate::identity::{Identity, IdentityPattern};
use crate::keys::IkeKeys;
use alloc::boxed::Box;
use alloc::vec::Vec;
use ikev2_wire::Payload;
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ikev2_wire::{AuthPayload, IdPayload, NotifyPayload};

/// An IKE_AUTH request that waits for its answer.
#[derive(Debug)]
pub(crate) struct AuthAttempt {
    pub agreement: Agreement,
    pub keys: IkeKeys,
    pub child: ChildAttempt,
}

impl IkeSa {
    /// Sends the IKE_AUTH request.
    pub(crate) fn begin_auth(&mut self, context: &mut Context<'_>, agreement: Agreement, keys: IkeKeys) {
        if let Err(failure) = self.try_begin_auth(context, agreement, keys) {
            self.close(context, DownReason::Failed(Box::new(failure)));
        }
    }

    fn try_begin_auth(
        &mut self,
        context: &mut Context<'_>,
        agreement: Agreement,
        keys: IkeKeys,
    ) -> Result<(), Failure> {
        let connection = self.connection.clone();
        let config = connection.children.first().ok_or(Failure::NoChild)?;
        let child = ChildAttempt::in_auth(context, config)?;
        let id_body = connection.local_id.to_body();
        let octets = SignedOctets::of(Role::Initiator, &agreement, &keys, &id_body);
        let Authentication::SharedKey(secret) = &connection.authentication;
        let proof = auth::shared_key(&agreement, &octets, secret);

        let window = context.config.window.to_be_bytes();
        let mut payloads = Vec::with_capacity(8);
        payloads.push(Payload::IdI(IdPayload::new(connection.local_id.ty, &connection.local_id.data)));
        if let IdentityPattern::Exactly(peer) = &connection.remote_id {
            payloads.push(Payload::IdR(IdPayload::new(peer.ty, &peer.data)));
        }
        payloads.push(Payload::Auth(AuthPayload::new(connection.authentication.method(), proof.as_slice())));
        child.push_request(&mut payloads, None)?;
        if self.is_initial_contact(context) {
            payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::INITIAL_CONTACT, &[])));
        }
        if context.config.window > 1 {
            payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::SET_WINDOW_SIZE, &window)));
        }
        let datagram = self.seal_request(context, ExchangeType::IKE_AUTH, &payloads)?;
        self.send_request(context, datagram, Purpose::Auth);
        drop(payloads);
        drop(octets);
        self.stage = Stage::Authenticating(Box::new(AuthAttempt { agreement, keys, child }));
        Ok(())
    }

    /// Whether this is our only IKE SA with a peer whose identity we know beforehand (§2.4).
    fn is_initial_contact(&self, context: &Context<'_>) -> bool {
        match &self.connection.remote_id {
            IdentityPattern::Exactly(peer) => {
                context.peers.between(&(self.connection.local_id.clone(), peer.clone())).is_empty()
            }
            IdentityPattern::Any => false,
        }
    }

    /// The answer to our IKE_AUTH request: integrity is good, nothing else is known.
    pub(crate) fn on_auth_answer(
        &mut self,
        context: &mut Context<'_>,
        contents: Result<Contents<'_>, Failure>,
    ) {
        let placeholder = Stage::Lingering(context.now);
        let Stage::Authenticating(attempt) = core::mem::replace(&mut self.stage, placeholder) else { return };
        let AuthAttempt { agreement, keys, child } = *attempt;
        let verdict = contents.and_then(|contents| {
            let peer = self.check_peer(&agreement, &keys, &contents)?;
            Ok((contents, peer))
        });
        match verdict {
            Ok((contents, peer)) => {
                self.peer_id = Some(peer);
                let algorithms = agreement.algorithms;
                self.stage = Stage::Established(Established { algorithms, sk_d: keys.d });
                self.learn_window(&contents);
                self.tell_up(context, &contents);
                self.finish_child(context, child, &contents, agreement.nonces());
                self.pump(context);
            }
            Err(failure) => {
                context.release_spi(child.inbound);
                self.refuse_peer(context, failure);
            }
        }
    }

    /// Whether the peer is the one that the connection wants.
    fn check_peer(
        &self,
        agreement: &Agreement,
        keys: &IkeKeys,
        contents: &Contents<'_>,
    ) -> Result<Identity, Failure> {
        let connection = &self.connection;
        let (Some(id), Some(auth)) = (&contents.id_r, &contents.auth) else {
            // Without both, an error notify is the answer (§2.21.2).
            return Err(match contents.error() {
                Some(error) => Failure::Refused { notify: error.ty },
                None if contents.id_r.is_none() => Failure::MissingPayload(PayloadType::ID_R),
                None => Failure::MissingPayload(PayloadType::AUTH),
            });
        };
        let peer = Identity { ty: id.ty, data: id.data.to_vec() };
        if !connection.remote_id.matches(&peer) {
            return Err(Failure::Authentication(AuthFailure::WrongIdentity {
                got: peer,
                wanted: connection.remote_id.clone(),
                connection: connection.name.clone(),
            }));
        }
        let octets = SignedOctets::of(Role::Responder, agreement, keys, &id_body(id));
        verify(connection, agreement, &octets, auth, &peer)?;
        Ok(peer)
    }

    /// The peer did not prove itself, or refused us: tell the embedder now, and end the SA. A peer that did
    /// not refuse us believes the SA established, and is told (§2.21.2).
    fn refuse_peer(&mut self, context: &mut Context<'_>, failure: Failure) {
        let refused_us = matches!(failure, Failure::Refused { .. });
        self.tell_down(context, Some(DownReason::Failed(Box::new(failure))));
        self.stage = Stage::Closing(Closing { reason: None });
        if refused_us {
            self.close(context, DownReason::IkeSaEnded);
        } else {
            self.start_closing(context, None, Task::RefuseAuthentication);
        }
    }

    /// The peer is authenticated: tell, and let older IKE SAs with it give way where it must be so.
    pub(crate) fn tell_up(&mut self, context: &mut Context<'_>, contents: &Contents<'_>) {
        self.established_at = Some(context.now);
        if let Some(pair) = self.identities() {
            let forgotten = contents.notify(NotifyType::INITIAL_CONTACT).is_some();
            if forgotten || self.connection.duplicates == DuplicatePolicy::KeepNew {
                context.give_way.extend_from_slice(context.peers.between(&pair));
            }
            context.peers.insert(pair, self.handle);
        }
        context.statistics.ike_sas_established = context.statistics.ike_sas_established.saturating_add(1);
        tracing::debug!(sa = %self.handle, path = %self.path, "IKE SA up");
        context.out.event(Event::IkeSaUp { sa: self.handle, info: Box::new(self.info()) });
    }

    /// SET_WINDOW_SIZE: how many requests the peer takes at once (§2.3).
    pub(crate) fn learn_window(&mut self, contents: &Contents<'_>) {
        if let Some(notify) = contents.notify(NotifyType::SET_WINDOW_SIZE)
            && let Ok(octets) = notify.data.try_into()
        {
            self.requests.set_size(u32::from_be_bytes(octets));
        }
    }
}

/// The body of an ID payload as it came, reserved octets included: what AUTH covers (§2.15).
pub(crate) fn id_body(id: &IdPayload<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(id.data.len().saturating_add(4));
    id.body(&mut body);
    body
}

/// Checks an AUTH payload against the connection's own authentication.
pub(crate) fn verify(
    connection: &crate::config::Connection,
    agreement: &Agreement,
    octets: &SignedOctets<'_>,
    auth: &AuthPayload<'_>,
    peer: &Identity,
) -> Result<(), Failure> {
    let wanted = connection.authentication.method();
    if auth.method != wanted {
        let connection = connection.name.clone();
        return Err(Failure::Authentication(AuthFailure::Method { got: auth.method, wanted, connection }));
    }
    let Authentication::SharedKey(secret) = &connection.authentication;
    if auth::verify_shared_key(agreement, octets, secret, auth.data) {
        return Ok(());
    }
    Err(Failure::Authentication(AuthFailure::WrongSecret {
        peer: peer.clone(),
        connection: connection.name.clone(),
    }))
}
