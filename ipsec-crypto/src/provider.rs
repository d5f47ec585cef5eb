//! A provider: the lists of algorithms that an IKE or ESP endpoint may use.

use crate::cipher::CipherAlgorithm;
use crate::kx::{KeMethod, KeyExchangeMethod};
use crate::prf::{PrfAlgorithm, PrfId};
use crate::signature::{SignatureAlgorithm, SignatureScheme};
use ipsec_types::algorithm::CipherSuite;

/// Lists of algorithms, each in the order of preference. That one is there means that it can be done, not
/// that it should be offered: that is for a policy to say, with [`requirements`](crate::requirements) to help
/// it.
///
/// It is a plain struct, so that a provider is made of another one by naming what differs:
///
/// ```
/// use ipsec_crypto::{CryptoProvider, rustcrypto};
///
/// static X25519_ONLY: CryptoProvider =
///     CryptoProvider { key_exchanges: &[rustcrypto::X25519], ..rustcrypto::RUSTCRYPTO };
/// assert_eq!(X25519_ONLY.key_exchanges.len(), 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CryptoProvider {
    /// What the provider is called where it is reported.
    pub name: &'static str,
    /// What protects packets.
    pub ciphers: &'static [&'static dyn CipherAlgorithm],
    /// Pseudorandom functions.
    pub prfs: &'static [&'static dyn PrfAlgorithm],
    /// Key exchange methods.
    pub key_exchanges: &'static [&'static dyn KeyExchangeMethod],
    /// What checks the signatures of peers.
    pub signatures: &'static [&'static dyn SignatureAlgorithm],
}

impl CryptoProvider {
    /// The cipher, or pair of cipher and integrity algorithm, of exactly this suite.
    #[must_use]
    pub fn cipher(&self, suite: CipherSuite) -> Option<&'static dyn CipherAlgorithm> {
        self.ciphers.iter().copied().find(|cipher| cipher.suite() == suite)
    }

    /// The PRF of this transform ID.
    #[must_use]
    pub fn prf(&self, id: PrfId) -> Option<&'static dyn PrfAlgorithm> {
        self.prfs.iter().copied().find(|prf| prf.id() == id)
    }

    /// The key exchange method of this transform ID.
    #[must_use]
    pub fn key_exchange(&self, method: KeMethod) -> Option<&'static dyn KeyExchangeMethod> {
        self.key_exchanges.iter().copied().find(|exchange| exchange.method() == method)
    }

    /// What checks signatures of this scheme.
    #[must_use]
    pub fn signature(&self, scheme: SignatureScheme) -> Option<&'static dyn SignatureAlgorithm> {
        self.signatures.iter().copied().find(|algorithm| algorithm.scheme() == scheme)
    }
}
