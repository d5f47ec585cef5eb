//! X25519 in IKEv2 (RFC 8031, RFC 7748).

use super::dh::Group;
use crate::kx::KeMethod;
use crate::random::{RandomError, SecureRandom};
use alloc::vec::Vec;
use ipsec_types::SecretBytes;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// The function X25519 on its base point.
pub(super) struct Curve25519;

impl Group for Curve25519 {
    const METHOD: KeMethod = KeMethod::CURVE25519;
    const PUBLIC_LEN: usize = 32;
    type Secret = StaticSecret;
    type Peer = PublicKey;

    fn generate(random: &mut dyn SecureRandom) -> Result<StaticSecret, RandomError> {
        let mut octets = Zeroizing::new([0; 32]);
        random.fill(&mut *octets)?;
        // Clamped where it is used (RFC 7748 §5).
        Ok(StaticSecret::from(*octets))
    }

    fn public(secret: &StaticSecret) -> Vec<u8> {
        PublicKey::from(secret).as_bytes().to_vec()
    }

    /// Every 32 octets are a value: the most significant bit is ignored and a value not below the prime
    /// accepted (RFC 8031 §3.2).
    fn parse(octets: &[u8]) -> Option<PublicKey> {
        <[u8; 32]>::try_from(octets).ok().map(PublicKey::from)
    }

    /// A peer whose point is of small order would know the secret without its share in it (RFC 7748 §6.1);
    /// the check takes constant time.
    fn agree(secret: &StaticSecret, peer: &PublicKey) -> Option<SecretBytes> {
        let shared = secret.diffie_hellman(peer);
        shared.was_contributory().then(|| SecretBytes::copy_from(shared.as_bytes()))
    }
}
