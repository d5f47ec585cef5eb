//! ML-KEM in IKEv2 (draft-ietf-ipsecme-ikev2-mlkem, FIPS 203): the initiator sends an encapsulation key, the responder a
//! ciphertext, both as FIPS 203 encodes them, and the shared secret is used as it is.
//!
//! A ciphertext that was tampered with gives another secret and no error (FIPS 203 §6.3, implicit rejection): the next
//! message's ICV shows it.

use crate::kx::{KeMethod, KeyExchangeMethod, KxError, KxResponse, PendingKeyExchange};
use crate::random::SecureRandom;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use ipsec_types::SecretBytes;
use ml_kem::{B32, Decapsulate, KeyExport, Seed, TryKeyInit};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// A parameter set (FIPS 203 §8).
pub(super) trait ParameterSet: 'static {
    /// What it is called in negotiation.
    const METHOD: KeMethod;
    /// Octets of an encapsulation key.
    const KEY_LEN: usize;
    /// Octets of a ciphertext.
    const CIPHERTEXT_LEN: usize;
    /// A decapsulation key, used once.
    type Secret: ZeroizeOnDrop + Send + Sync;

    /// The key pair of a seed, with the encapsulation key as it travels.
    fn key_pair(seed: &[u8; 64]) -> (Self::Secret, Vec<u8>);

    /// The ciphertext and the shared secret; `None` where the key fails the checks of FIPS 203 §7.2.
    fn encapsulate(key: &[u8], message: &[u8; 32]) -> Option<(Vec<u8>, SecretBytes)>;

    /// The shared secret; `None` where the ciphertext has another length (FIPS 203 §7.3).
    fn decapsulate(secret: &Self::Secret, ciphertext: &[u8]) -> Option<SecretBytes>;
}

/// Each set has types of its own, and they share no trait that says all of this.
macro_rules! parameter_set {
    ($name:ident, $method:ident, $module:ident, $key:literal, $ciphertext:literal) => {
        #[doc = concat!("ML-KEM with the parameters of `", stringify!($module), "`.")]
        pub(super) struct $name;

        impl ParameterSet for $name {
            const METHOD: KeMethod = KeMethod::$method;
            const KEY_LEN: usize = $key;
            const CIPHERTEXT_LEN: usize = $ciphertext;
            type Secret = ml_kem::$module::DecapsulationKey;

            fn key_pair(seed: &[u8; 64]) -> (Self::Secret, Vec<u8>) {
                let seed = Zeroizing::new(Seed::from(*seed));
                let secret = Self::Secret::from_seed(*seed);
                let public = secret.encapsulation_key().to_bytes().to_vec();
                (secret, public)
            }

            fn encapsulate(key: &[u8], message: &[u8; 32]) -> Option<(Vec<u8>, SecretBytes)> {
                let key = ml_kem::$module::EncapsulationKey::new_from_slice(key).ok()?;
                let message = Zeroizing::new(B32::from(*message));
                let (ciphertext, shared) = key.encapsulate_deterministic(&message);
                let shared = Zeroizing::new(shared);
                Some((ciphertext.to_vec(), SecretBytes::copy_from(shared.as_slice())))
            }

            fn decapsulate(secret: &Self::Secret, ciphertext: &[u8]) -> Option<SecretBytes> {
                let shared = Zeroizing::new(secret.decapsulate(ciphertext.try_into().ok()?));
                Some(SecretBytes::copy_from(shared.as_slice()))
            }
        }
    };
}

parameter_set!(MlKem512, ML_KEM_512, ml_kem_512, 800, 768);
parameter_set!(MlKem768, ML_KEM_768, ml_kem_768, 1_184, 1_088);
parameter_set!(MlKem1024, ML_KEM_1024, ml_kem_1024, 1_568, 1_568);

/// ML-KEM with the parameter set `P`.
pub(super) struct MlKem<P>(PhantomData<fn() -> P>);

impl<P> MlKem<P> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<P: ParameterSet> fmt::Debug for MlKem<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MlKem({})", P::METHOD)
    }
}

fn check_length(octets: &[u8], expected: usize) -> Result<(), KxError> {
    if octets.len() == expected { Ok(()) } else { Err(KxError::Length { expected, got: octets.len() }) }
}

impl<P: ParameterSet> KeyExchangeMethod for MlKem<P> {
    fn method(&self) -> KeMethod {
        P::METHOD
    }

    fn initiator_len(&self) -> usize {
        P::KEY_LEN
    }

    fn responder_len(&self) -> usize {
        P::CIPHERTEXT_LEN
    }

    fn is_kem(&self) -> bool {
        true
    }

    fn start(&self, random: &mut dyn SecureRandom) -> Result<Box<dyn PendingKeyExchange>, KxError> {
        let mut seed = Zeroizing::new([0; 64]);
        random.fill(&mut *seed)?;
        let (secret, public) = P::key_pair(&seed);
        Ok(Box::new(Pending::<P> { secret, public }))
    }

    fn respond(&self, random: &mut dyn SecureRandom, initiator: &[u8]) -> Result<KxResponse, KxError> {
        check_length(initiator, P::KEY_LEN)?;
        let mut message = Zeroizing::new([0; 32]);
        random.fill(&mut *message)?;
        let (public, secret) = P::encapsulate(initiator, &message).ok_or(KxError::InvalidPublicValue)?;
        Ok(KxResponse { public, secret })
    }
}

struct Pending<P: ParameterSet> {
    secret: P::Secret,
    public: Vec<u8>,
}

impl<P: ParameterSet> PendingKeyExchange for Pending<P> {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn finish(&self, peer: &[u8]) -> Result<SecretBytes, KxError> {
        check_length(peer, P::CIPHERTEXT_LEN)?;
        P::decapsulate(&self.secret, peer).ok_or(KxError::InvalidPublicValue)
    }
}
