//! Diffie-Hellman in any group as a key exchange method (RFC 7296 §2.14): both sides send a public value made
//! of a fresh secret of their own.

use crate::kx::{KeMethod, KeyExchangeMethod, KxError, KxResponse, PendingKeyExchange};
use crate::random::{RandomError, SecureRandom};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use ipsec_types::SecretBytes;
use zeroize::ZeroizeOnDrop;

/// A group, and how its elements travel.
pub(super) trait Group: 'static {
    /// What it is called in negotiation.
    const METHOD: KeMethod;
    /// Octets of a public value.
    const PUBLIC_LEN: usize;
    /// A secret, used once.
    type Secret: ZeroizeOnDrop + Send + Sync;
    /// The peer's public value.
    type Peer;

    /// Draws a secret.
    ///
    /// # Errors
    /// [`RandomError`].
    fn generate(random: &mut dyn SecureRandom) -> Result<Self::Secret, RandomError>;

    /// The public value, of [`Group::PUBLIC_LEN`] octets.
    fn public(secret: &Self::Secret) -> Vec<u8>;

    /// Reads and checks the peer's public value; `None` where it is none.
    fn parse(octets: &[u8]) -> Option<Self::Peer>;

    /// The shared secret; `None` where it is zero.
    fn agree(secret: &Self::Secret, peer: &Self::Peer) -> Option<SecretBytes>;
}

/// Diffie-Hellman in the group `G`.
pub(super) struct DiffieHellman<G>(PhantomData<fn() -> G>);

impl<G> DiffieHellman<G> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<G: Group> fmt::Debug for DiffieHellman<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiffieHellman({})", G::METHOD)
    }
}

/// Reads the peer's public value: first its length, then what it says.
fn parse<G: Group>(octets: &[u8]) -> Result<G::Peer, KxError> {
    if octets.len() != G::PUBLIC_LEN {
        return Err(KxError::Length { expected: G::PUBLIC_LEN, got: octets.len() });
    }
    G::parse(octets).ok_or(KxError::InvalidPublicValue)
}

impl<G: Group> KeyExchangeMethod for DiffieHellman<G> {
    fn method(&self) -> KeMethod {
        G::METHOD
    }

    fn initiator_len(&self) -> usize {
        G::PUBLIC_LEN
    }

    fn responder_len(&self) -> usize {
        G::PUBLIC_LEN
    }

    fn is_kem(&self) -> bool {
        false
    }

    fn start(&self, random: &mut dyn SecureRandom) -> Result<Box<dyn PendingKeyExchange>, KxError> {
        let secret = G::generate(random)?;
        let public = G::public(&secret);
        Ok(Box::new(Pending::<G> { secret, public }))
    }

    fn respond(&self, random: &mut dyn SecureRandom, initiator: &[u8]) -> Result<KxResponse, KxError> {
        // What is no public value costs neither randomness nor a multiplication.
        let peer = parse::<G>(initiator)?;
        let own = G::generate(random)?;
        let secret = G::agree(&own, &peer).ok_or(KxError::ZeroSecret)?;
        Ok(KxResponse { public: G::public(&own), secret })
    }
}

struct Pending<G: Group> {
    secret: G::Secret,
    public: Vec<u8>,
}

impl<G: Group> PendingKeyExchange for Pending<G> {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn finish(&self, peer: &[u8]) -> Result<SecretBytes, KxError> {
        let peer = parse::<G>(peer)?;
        G::agree(&self.secret, &peer).ok_or(KxError::ZeroSecret)
    }
}
