//! GROUP_AUTH: the proofs of IKE_AUTH (RFC 7296 §2.15) in an exchange of another type, with other payloads.

use crate::ending::Ending;
use crate::group::Settings;
use crate::wire::{self, GROUP_AUTH, KEYS, Keys, NAME, OURS};
use ikev2_core::contents::Contents;
use ikev2_core::endpoint::Services;
use ikev2_core::error::AuthFailure;
use ikev2_core::establish::auth::{self, Ends, Proof, ProofOrRequest, SignedOctets, Verdict};
use ikev2_core::establish::secrets::Secured;
use ikev2_core::exchange::exchanges::Request;
use ikev2_core::exchange::protect::Plaintext;
use ikev2_core::{Failure, Identity, Role};
use ikev2_wire::codes::PayloadType;
use ikev2_wire::{AuthPayload, IdPayload, Payload};

/// What an SA's requests are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// GROUP_AUTH.
    Auth,
    /// GROUP_ASK.
    Ask,
}

/// Proves who we are, to whom we share keys with and do not know yet.
fn prove<E>(
    settings: &Settings,
    services: &mut Services<'_, E>,
    secured: &Secured<Purpose>,
) -> Result<Proof, Failure> {
    let us = &settings.identity;
    let role = secured.agreement.ends.role;
    let int_auth = &secured.intermediates.int_auth;
    let octets = SignedOctets::of(role, &secured.agreement, &secured.keys, int_auth, &us.to_body());
    let ends = Ends { local: us, remote: None, connection: &settings.name, sha1: false };
    match auth::prove(
        &settings.local_auth,
        &ends,
        &secured.agreement,
        &octets,
        None,
        services.config.crypto,
        services.random,
    )? {
        ProofOrRequest::Ready(proof) => Ok(proof),
        ProofOrRequest::Sign(..) => Err(Failure::Authentication(AuthFailure::NotSigned)),
    }
}

/// Checks the peer's proof, and says who it is.
fn check<E>(
    settings: &Settings,
    services: &Services<'_, E>,
    secured: &Secured<Purpose>,
    contents: &Contents<'_>,
) -> Result<Identity, Failure> {
    let (signer, id, ty) = match secured.agreement.ends.role {
        Role::Initiator => (Role::Responder, &contents.id_r, PayloadType::ID_R),
        Role::Responder => (Role::Initiator, &contents.id_i, PayloadType::ID_I),
    };
    let id = id.as_ref().ok_or(Failure::MissingPayload(ty))?;
    let proof = contents.auth.as_ref().ok_or(Failure::MissingPayload(PayloadType::AUTH))?;
    let peer = Identity { ty: id.ty, data: id.data.to_vec() };
    let mut body = Vec::new();
    id.body(&mut body);
    let int_auth = &secured.intermediates.int_auth;
    let octets = SignedOctets::of(signer, &secured.agreement, &secured.keys, int_auth, &body);
    let ends =
        Ends { local: &settings.identity, remote: Some(&peer), connection: &settings.name, sha1: false };
    let provider = services.config.crypto;
    let verdict =
        auth::check(&settings.remote_auth, &ends, &peer, &secured.agreement, &octets, proof, provider)?;
    match verdict {
        Verdict::Proven(_) => Ok(peer),
        Verdict::Verify(_) => Err(Failure::Authentication(AuthFailure::NotVerified)),
    }
}

/// As member: sends GROUP_AUTH to whoever answered IKE_SA_INIT.
///
/// # Errors
/// [`Failure`]: we cannot prove who we are.
pub fn ask<E>(
    settings: &Settings,
    services: &mut Services<'_, E>,
    secured: &mut Secured<Purpose>,
) -> Result<(), Failure> {
    let proof = prove(settings, services, secured)?;
    let us = &settings.identity;
    let payloads = [
        Payload::IdI(IdPayload::new(us.ty, &us.data)),
        Payload::Auth(AuthPayload::new(proof.method, &proof.data)),
        wire::payload(NAME, settings.group.as_bytes()),
    ];
    let path = secured.path;
    let sealed = secured.exchanges.seal_request(&path, GROUP_AUTH, &payloads)?;
    services.observe_sent(&path, sealed.message(), &payloads);
    let sent = secured.exchanges.sent(services.now, sealed, Purpose::Auth, &settings.retransmit);
    if let Some(message) = sent {
        services.transmit(path, &message);
    }
    Ok(())
}

/// As member: the controller's answer.
///
/// # Errors
/// [`Failure`]: it is not the controller, or does not let us in.
pub fn joined<E>(
    settings: &Settings,
    services: &Services<'_, E>,
    secured: &Secured<Purpose>,
    plaintext: &Plaintext<'_>,
) -> Result<(Identity, Keys), Failure> {
    let contents = Contents::with_others(plaintext, &OURS)?;
    if let Some(error) = contents.error() {
        return Err(Failure::Refused { notify: error.ty });
    }
    let peer = check(settings, services, secured, &contents)?;
    let keys = contents.other(KEYS).and_then(Keys::from_body).ok_or(Failure::MissingPayload(KEYS))?;
    Ok((peer, keys))
}

/// As controller: checks a member, and answers with the key of the group.
///
/// # Errors
/// [`Ending`]: it is no member, or not of this group. Nothing was answered.
pub fn admit<E>(
    settings: &Settings,
    services: &mut Services<'_, E>,
    secured: &mut Secured<Purpose>,
    request: &Request,
    plaintext: &Plaintext<'_>,
    keys: &Keys,
) -> Result<Identity, Ending> {
    let contents = Contents::with_others(plaintext, &OURS).map_err(Failure::from)?;
    let peer = check(settings, services, secured, &contents)?;
    let wanted = contents.other(NAME).ok_or(Failure::MissingPayload(NAME))?;
    if wanted != settings.group.as_bytes() {
        let wanted = String::from_utf8_lossy(wanted).into_owned();
        return Err(Ending::OtherGroup { wanted, ours: settings.group.clone() });
    }
    let proof = prove(settings, services, secured)?;
    let (us, keys) = (&settings.identity, keys.to_body());
    let payloads = [
        Payload::IdR(IdPayload::new(us.ty, &us.data)),
        Payload::Auth(AuthPayload::new(proof.method, &proof.data)),
        wire::payload(KEYS, keys.as_slice()),
    ];
    let answer = secured.exchanges.answer(request, &payloads).map_err(Failure::from)?;
    services.observe_sent(&request.path, &answer, &payloads);
    services.transmit(request.path, &answer);
    Ok(peer)
}
