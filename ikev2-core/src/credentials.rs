//! What both ends prove who they are with: shared secrets and signatures, ours and what we trust of the peer's.
//!
//! Each has a form for who has it at hand, and one for who looks it up by identity or asks elsewhere.

use crate::eap::EapPolicy;
use crate::identity::{Identity, IdentityPattern};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;
use ikev2_wire::codes::AuthMethod;
use ipsec_crypto::signature::{KeyType, PublicKey, SignatureScheme, SigningKey};
use ipsec_types::SecretBytes;

/// How we prove who we are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LocalAuth {
    /// By a secret that both sides hold (RFC 7296 §2.15).
    SharedKey(SharedKeys),
    /// By a signature (RFC 7427, RFC 8420, RFC 7296 §3.8).
    Signature(SigningIdentity),
    /// By EAP, as initiator (RFC 7296 §2.16): the embedder runs the method. As responder it is no proof.
    Eap(EapPolicy),
}

/// What proof of the peer's we take.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RemoteAuth {
    /// A secret that both sides hold (RFC 7296 §2.15).
    SharedKey(SharedKeys),
    /// A signature by a key that we trust.
    Signature(TrustedKeys),
    /// EAP, as responder (RFC 7296 §2.16): the embedder runs the method. Our own proof is a signature then, or none (RFC
    /// 5998).
    Eap(EapPolicy),
}

impl RemoteAuth {
    /// The methods that AUTH may name, where both ends announced hashes or not (RFC 7427 §3).
    #[must_use]
    pub fn methods(&self, hashes_announced: bool) -> Vec<AuthMethod> {
        match self {
            Self::SharedKey(_) => Vec::from([AuthMethod::SHARED_KEY]),
            // In its time, by the key that EAP made.
            Self::Eap(_) => Vec::new(),
            Self::Signature(_) if hashes_announced => Vec::from([AuthMethod::DIGITAL_SIGNATURE]),
            Self::Signature(_) => Vec::from([
                AuthMethod::RSA_SIGNATURE,
                AuthMethod::ECDSA_SHA256_P256,
                AuthMethod::ECDSA_SHA384_P384,
                AuthMethod::ECDSA_SHA512_P521,
            ]),
        }
    }
}

/// Shared secrets.
#[derive(Clone, Debug)]
pub enum SharedKeys {
    /// One for the connection.
    One(SecretBytes),
    /// Looked up by the identities of both ends.
    ByIdentity(Arc<dyn SharedKeyStore>),
}

impl SharedKeys {
    /// The secret between these two. `remote` is not known to an initiator that takes anyone.
    #[must_use]
    pub fn find(&self, local: &Identity, remote: Option<&Identity>) -> Option<SecretBytes> {
        match self {
            Self::One(secret) => Some(secret.clone()),
            Self::ByIdentity(store) => store.shared_key(local, remote),
        }
    }
}

/// Finds shared secrets at once. [`SharedKeyTable`] is one.
pub trait SharedKeyStore: Send + Sync + Debug {
    /// The secret between these two, if there is one.
    fn shared_key(&self, local: &Identity, remote: Option<&Identity>) -> Option<SecretBytes>;
}

/// A list of shared secrets, searched from the front.
#[derive(Clone, Debug, Default)]
pub struct SharedKeyTable(Vec<(IdentityPattern, IdentityPattern, SecretBytes)>);

impl SharedKeyTable {
    /// Appends the secret between our identities and the peer's.
    pub fn add(&mut self, local: IdentityPattern, remote: IdentityPattern, secret: SecretBytes) {
        self.0.push((local, remote, secret));
    }
}

impl SharedKeyStore for SharedKeyTable {
    fn shared_key(&self, local: &Identity, remote: Option<&Identity>) -> Option<SecretBytes> {
        let fits = |ours: &IdentityPattern, theirs: &IdentityPattern| {
            ours.matches(local)
                && match remote {
                    Some(remote) => theirs.matches(remote),
                    None => *theirs == IdentityPattern::Any,
                }
        };
        self.0.iter().find(|(ours, theirs, _)| fits(ours, theirs)).map(|(_, _, secret)| secret.clone())
    }
}

/// The key that we sign with, and what says that it is ours.
#[derive(Clone, Debug)]
pub struct SigningIdentity {
    /// X.509 certificates in DER, the one of the key first. They are sent to the peer as they are; none are
    /// sent where the list is empty.
    pub certificates: Vec<Vec<u8>>,
    /// Who signs.
    pub signer: Signer,
}

/// Who signs.
#[derive(Clone, Debug)]
pub enum Signer {
    /// A key at hand.
    Key(Arc<dyn SigningKey>),
    /// The embedder, later: [`Event::SignatureNeeded`](crate::Event::SignatureNeeded) asks, and
    /// [`Endpoint::answer`](crate::Endpoint::answer) brings it.
    Later {
        /// The type of its key.
        key: KeyType,
        /// What it can sign with, in order of preference.
        schemes: Vec<SignatureScheme>,
    },
}

impl Signer {
    /// What it can sign with, in order of preference.
    #[must_use]
    pub fn schemes(&self) -> &[SignatureScheme] {
        match self {
            Self::Key(key) => key.schemes(),
            Self::Later { schemes, .. } => schemes,
        }
    }

    /// The type of its key.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        match self {
            Self::Key(key) => key.public_key().key_type(),
            Self::Later { key, .. } => *key,
        }
    }
}

/// The public keys that we take a peer's signature by.
#[derive(Clone, Debug)]
pub enum TrustedKeys {
    /// These, for whatever identity the connection takes.
    Pinned(Vec<PublicKey>),
    /// Looked up by the peer's identity.
    ByIdentity(Arc<dyn TrustedKeyStore>),
    /// The embedder says, later: [`Event::VerificationNeeded`](crate::Event::VerificationNeeded) asks, and
    /// [`Endpoint::answer`](crate::Endpoint::answer) brings the verdict.
    Later,
}

/// Finds trusted keys at once.
pub trait TrustedKeyStore: Send + Sync + Debug {
    /// The keys that this identity may sign with.
    fn trusted_keys(&self, remote: &Identity) -> Vec<PublicKey>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_secret() {
        let id = |name| Identity::fqdn(name);
        let exactly = |name| IdentityPattern::Exactly(id(name));
        let secret = |text: &str| SecretBytes::copy_from(text.as_bytes());
        let mut table = SharedKeyTable::default();
        table.add(exactly("us"), exactly("a"), secret("for a"));
        table.add(IdentityPattern::Any, IdentityPattern::Any, secret("for all"));
        assert_eq!(table.shared_key(&id("us"), Some(&id("A"))), Some(secret("for a")));
        assert_eq!(table.shared_key(&id("us"), Some(&id("b"))), Some(secret("for all")));
        assert_eq!(table.shared_key(&id("us"), None), Some(secret("for all")));
        assert_eq!(SharedKeyTable::default().shared_key(&id("us"), None), None);
    }
}
