//! Key exchange methods, two-sided, so that a KEM fits as well as Diffie-Hellman (RFC 7296 §2.14, RFC 9370).

use crate::random::{RandomError, SecureRandom};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::Debug;
use ipsec_types::SecretBytes;
use thiserror::Error;

pub use ikev2_wire::codes::KeMethod;

/// Why a key exchange did not give a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum KxError {
    /// The peer's data has another length than the method's in its role.
    #[error("{got} octets of key exchange data where {expected} are needed")]
    Length {
        /// Octets that the method sends in that role.
        expected: usize,
        /// Octets received.
        got: usize,
    },
    /// The peer's data is no valid public value: not on the curve, out of range, or of small order.
    #[error("the key exchange data is no valid public value")]
    InvalidPublicValue,
    /// The shared secret came out as zero (RFC 7748 §6).
    #[error("the shared secret is zero")]
    ZeroSecret,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// The responder's half, done.
#[derive(Debug)]
pub struct KxResponse {
    /// What goes into KEr.
    pub public: Vec<u8>,
    /// The shared secret.
    pub secret: SecretBytes,
}

/// A key exchange method.
pub trait KeyExchangeMethod: Send + Sync + Debug {
    /// What it is called in negotiation.
    fn method(&self) -> KeMethod;

    /// Octets of the initiator's data.
    fn initiator_len(&self) -> usize;

    /// Octets of the responder's data.
    fn responder_len(&self) -> usize;

    /// Whether the responder's data depends on the initiator's (a KEM), so that the responder's work cannot
    /// be put off until the initiator has shown that it is there.
    fn is_kem(&self) -> bool;

    /// Makes the initiator's half.
    ///
    /// # Errors
    /// [`KxError::Random`].
    fn start(&self, random: &mut dyn SecureRandom) -> Result<Box<dyn PendingKeyExchange>, KxError>;

    /// Does the responder's half at once.
    ///
    /// # Errors
    /// Any [`KxError`].
    fn respond(&self, random: &mut dyn SecureRandom, initiator: &[u8]) -> Result<KxResponse, KxError>;
}

/// The initiator's half, waiting for the responder's data; for a method that is not a KEM also a responder's
/// half whose work is put off. It wipes its secret when dropped.
pub trait PendingKeyExchange: Send + Sync {
    /// What goes into the KE payload.
    fn public(&self) -> &[u8];

    /// Combines both halves.
    ///
    /// # Errors
    /// [`KxError::Length`], [`KxError::InvalidPublicValue`], [`KxError::ZeroSecret`].
    fn finish(&self, peer: &[u8]) -> Result<SecretBytes, KxError>;
}
