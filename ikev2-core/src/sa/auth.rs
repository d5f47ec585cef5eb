//! What both sides of IKE_AUTH share (RFC 7296 §1.2, §2.15).

use super::IkeSa;
use super::context::Context;
use crate::config::{Connection, DuplicatePolicy};
use crate::contents::Contents;
use crate::credentials::LocalAuth;
use crate::error::Failure;
use crate::establish::auth::{self, Ends, SignedOctets, Verdict};
use crate::establish::secrets::Agreement;
use crate::event::{Event, Role};
use crate::identity::Identity;
use crate::stats::count;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ikev2_wire::codes::{CertEncoding, NotifyType};
use ikev2_wire::{AuthPayload, CertPayload, IdPayload, Payload};

/// The identity in an ID payload.
pub(crate) fn identity(id: &IdPayload<'_>) -> Identity {
    Identity { ty: id.ty, data: id.data.to_vec() }
}

/// The body of an ID payload as it came, reserved octets included: what AUTH covers (§2.15).
pub(crate) fn id_body(id: &IdPayload<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(id.data.len().saturating_add(4));
    id.body(&mut body);
    body
}

pub(crate) fn peer_ends<'a>(connection: &'a Connection, remote: Option<&'a Identity>) -> Ends<'a> {
    let sha1 = connection.sha1_signatures;
    Ends { local: &connection.local_id, remote, connection: &connection.name, sha1 }
}

/// Our certificates, if we have any (§3.6).
pub(crate) fn push_certificates<'a>(payloads: &mut Vec<Payload<'a>>, local: &'a LocalAuth) {
    if let LocalAuth::Signature(identity) = local {
        payloads.extend(identity.certificates.iter().map(|certificate| {
            Payload::Cert(CertPayload { encoding: CertEncoding::X509_SIGNATURE, data: certificate })
        }));
    }
}

/// Checks the peer's AUTH payload against the connection.
pub(crate) fn check_peer(
    context: &Context<'_>,
    connection: &Connection,
    peer: &Identity,
    agreement: &Agreement,
    octets: &SignedOctets<'_>,
    payload: &AuthPayload<'_>,
    contents: &Contents<'_>,
) -> Result<Verdict, Failure> {
    let ends = peer_ends(connection, Some(peer));
    let provider = context.config.crypto;
    let verdict = auth::check(&connection.remote_auth, &ends, peer, agreement, octets, payload, provider)?;
    Ok(match verdict {
        Verdict::Verify(mut signature) => {
            let x509 = contents.certs.iter().filter(|c| c.encoding == CertEncoding::X509_SIGNATURE);
            signature.certificates = x509.map(|certificate| certificate.data.to_vec()).collect();
            Verdict::Verify(signature)
        }
        proven => proven,
    })
}

impl IkeSa {
    /// The peer is authenticated: tell, and let older IKE SAs with it give way where it must be so.
    pub(crate) fn tell_up(&mut self, context: &mut Context<'_>, contents: &Contents<'_>) {
        self.established_at = Some(context.now);
        self.set_rekey_time(context);
        self.learn_mobike(context, contents);
        self.start_authentication_time(context, contents);
        if let Some(peer) = self.proven_peer().cloned() {
            let pair = Arc::new((self.connection.local_id.clone(), peer));
            let forgotten = contents.notify(NotifyType::INITIAL_CONTACT).is_some();
            if forgotten || self.connection.duplicates == DuplicatePolicy::KeepNew {
                let kept = self.authentication.predecessor;
                for older in context.peers.older(&pair, self.created_at).filter(|older| Some(*older) != kept)
                {
                    context.services.end_other(older);
                }
            }
            self.list(context, pair);
        }
        count(&mut context.statistics.ike_sas_established);
        tracing::debug!(path = %self.path, "IKE SA up");
        context.event(Event::IkeSaUp { sa: self.handle, info: Box::new(self.info()) });
    }

    /// Whom the peer has proved to be: what policy goes by. That is what EAP calls it where it authenticates so, if EAP
    /// calls it anything, and never what it said in IDi (RFC 7296 §2.16).
    pub(crate) fn proven_peer(&self) -> Option<&Identity> {
        match &self.eap_identity {
            Some(identity) => Some(identity),
            None if self.origin == Role::Responder && self.peers_eap().is_some() => None,
            None => self.peer_id.as_ref(),
        }
    }

    /// SET_WINDOW_SIZE: how many requests the peer takes at once (§2.3); we use no more of it than may wait.
    pub(crate) fn learn_window(&mut self, context: &Context<'_>, contents: &Contents<'_>) {
        if let Some(size) = contents.notify(NotifyType::SET_WINDOW_SIZE).and_then(|n| n.window_size()) {
            let ours = u32::try_from(context.config.max_queued_requests).unwrap_or(u32::MAX);
            if let Ok(exchanges) = self.current.keyed() {
                exchanges.set_peer_window(size.min(ours));
            }
        }
    }
}
