//! Answers that come later: whoever signs and verifies for an endpoint, soon, late or never.

use super::setup::{Setup, seeded};
use ikev2_core::{Answer, Event, LocalAuth, RemoteAuth, Signer, SigningIdentity, Ticket, TrustedKeys};
use ipsec_crypto::rustcrypto::{PrivateKey, RUSTCRYPTO};
use ipsec_crypto::signature::SigningKey;
use ipsec_types::Instant;
use std::sync::Arc;

/// An Ed25519 key that OpenSSL made, for the tests of `ipsec-crypto`.
pub fn ed25519() -> Arc<PrivateKey> {
    let pem = include_str!("../../../ipsec-crypto/tests/vectors/keys/ed25519.pem");
    Arc::new(PrivateKey::from_pem(pem).unwrap())
}

/// Lets an endpoint ask its embedder for signatures.
pub fn sign_later(setup: &mut Setup, key: &Arc<PrivateKey>) {
    let (schemes, key) = (key.schemes().to_vec(), key.public_key().key_type());
    let signer = Signer::Later { key, schemes };
    setup.connection.local_auth = LocalAuth::Signature(SigningIdentity { certificates: Vec::new(), signer });
}

/// Signs at once.
pub fn sign_now(setup: &mut Setup, key: &Arc<PrivateKey>) {
    let signer = Signer::Key(key.clone());
    setup.connection.local_auth = LocalAuth::Signature(SigningIdentity { certificates: Vec::new(), signer });
}

/// Lets an endpoint ask its embedder whether signatures are good.
pub fn verify_later(setup: &mut Setup) {
    setup.connection.remote_auth = RemoteAuth::Signature(TrustedKeys::Later);
}

/// Verifies at once.
pub fn verify_now(setup: &mut Setup, key: &Arc<PrivateKey>) {
    setup.connection.remote_auth = RemoteAuth::Signature(TrustedKeys::Pinned(vec![key.public_key().clone()]));
}

/// Answers what an endpoint asks for.
#[derive(Clone, Debug)]
pub struct Clerk {
    /// Signs with it, and trusts it.
    pub key: Arc<PrivateKey>,
    /// The least and the most milliseconds that an answer takes.
    pub delay: (u64, u64),
    /// In so many of a thousand cases there is no answer.
    pub never: u64,
}

impl Clerk {
    pub fn new(key: &Arc<PrivateKey>) -> Self {
        Self { key: key.clone(), delay: (0, 0), never: 0 }
    }

    /// The ticket and its deadline, and the right answer.
    pub fn answer(&self, event: &Event) -> Option<(Ticket, Instant, Answer)> {
        match event {
            Event::SignatureNeeded { ticket, deadline, request } => {
                let octets: &[&[u8]] = &[&request.octets];
                let signed = self.key.sign(request.scheme, request.encoding, octets, &mut *seeded(1));
                Some((*ticket, *deadline, Answer::Signature(signed.unwrap())))
            }
            Event::VerificationNeeded { ticket, deadline, request } => {
                let signature = &request.signature;
                let octets: &[&[u8]] = &[&signature.octets];
                let good = signature.forms.iter().any(|form| {
                    let algorithm = RUSTCRYPTO.signature(form.scheme).unwrap();
                    let key = self.key.public_key();
                    algorithm.verify(key, form.encoding, octets, &signature.signature).is_ok()
                });
                Some((*ticket, *deadline, if good { Answer::Verified } else { Answer::Refused }))
            }
            _ => None,
        }
    }
}
