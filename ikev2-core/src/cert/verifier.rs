//! Who verifies a peer's chain of certificates: somebody at hand, through a trait with a ready implementation
//! ([`X509Verifier`](super::x509::X509Verifier)), or the embedder, later.

use super::authority::AuthorityHash;
use super::error::ChainError;
use crate::identity::Identity;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Debug;
use ipsec_crypto::CryptoProvider;
use ipsec_crypto::signature::PublicKey;
use ipsec_types::UnixTime;

/// A peer's certificates, and what is known besides.
#[derive(Clone, Copy, Debug)]
pub struct ChainQuestion<'a> {
    /// Who the peer says it is, which the end entity's certificate must say too.
    pub peer: &'a Identity,
    /// X.509 certificates in DER. The first is the end entity's, the others stand in any order, and there may be some
    /// of no use among them (RFC 7296 §3.6, RFC 4945 §4.3.3).
    pub certificates: &'a [&'a [u8]],
    /// The time of day, if the embedder said it.
    pub now: Option<UnixTime>,
    /// The algorithms.
    pub crypto: &'a CryptoProvider,
}

/// A chain that reaches a trust anchor and is for who the peer says it is.
#[derive(Clone, Debug)]
pub struct TrustedChain {
    /// The end entity's key.
    pub key: PublicKey,
    /// What the embedder is to be asked before it is taken, if anything.
    pub revocation: Option<Box<RevocationQuestion>>,
}

/// A chain whose certificates may have been revoked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevocationQuestion {
    /// The certificates in DER, the end entity's first, each followed by its issuer's. The trust anchor is not among
    /// them.
    pub path: Vec<Vec<u8>>,
    /// The subject of the trust anchor (RFC 4514).
    pub anchor: String,
    /// The SubjectPublicKeyInfo of the trust anchor in DER.
    pub anchor_key: Vec<u8>,
}

/// Verifies chains at once.
pub trait ChainVerifier: Send + Sync + Debug {
    /// The trust anchors, as CERTREQ names them.
    fn authorities(&self) -> &[AuthorityHash];

    /// The key of the end entity, if a chain of these certificates reaches a trust anchor and is for this peer.
    ///
    /// Nothing must be asked of anybody outside here: the peer is not authenticated yet. What is to be asked about
    /// revocation comes back in [`TrustedChain::revocation`].
    ///
    /// # Errors
    /// [`ChainError`] says which certificate breaks which rule.
    fn verify(&self, question: &ChainQuestion<'_>) -> Result<TrustedChain, ChainError>;
}
