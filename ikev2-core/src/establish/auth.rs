//! Authentication of the IKE SA (RFC 7296 §2.15): the octets that AUTH covers, and the proof by a shared key.
//! No Child SA stands here.

use super::secrets::Agreement;
use crate::event::Role;
use crate::keys::{self, IkeKeys};
use ipsec_types::SecretBytes;
use subtle::ConstantTimeEq;

/// The octets under one end's AUTH: `RealMessage | nonce of the other end | prf(SK_p, ID')`.
#[derive(Debug)]
pub struct SignedOctets<'a> {
    real_message: &'a [u8],
    peer_nonce: &'a [u8],
    maced_id: SecretBytes,
}

impl<'a> SignedOctets<'a> {
    /// Those of the end with this role, whose ID payload has this body.
    #[must_use]
    pub fn of(signer: Role, agreement: &'a Agreement, keys: &IkeKeys, id_body: &[u8]) -> Self {
        let prf = agreement.algorithms.prf;
        match signer {
            Role::Initiator => Self {
                real_message: agreement.request.message(),
                peer_nonce: &agreement.responder_nonce,
                maced_id: keys::maced_id(prf, &keys.pi, id_body),
            },
            Role::Responder => Self {
                real_message: agreement.answer.message(),
                peer_nonce: &agreement.initiator_nonce,
                maced_id: keys::maced_id(prf, &keys.pr, id_body),
            },
        }
    }

    /// The octets, in three parts.
    #[must_use]
    pub fn parts(&self) -> [&[u8]; 3] {
        [self.real_message, self.peer_nonce, self.maced_id.as_slice()]
    }
}

/// AUTH by a shared secret (method 2).
#[must_use]
pub fn shared_key(agreement: &Agreement, octets: &SignedOctets<'_>, secret: &SecretBytes) -> SecretBytes {
    keys::shared_key_auth(agreement.algorithms.prf, secret, &octets.parts())
}

/// Whether the peer's AUTH by a shared secret is right; in constant time.
#[must_use]
pub fn verify_shared_key(
    agreement: &Agreement,
    octets: &SignedOctets<'_>,
    secret: &SecretBytes,
    auth: &[u8],
) -> bool {
    shared_key(agreement, octets, secret).as_slice().ct_eq(auth).into()
}
