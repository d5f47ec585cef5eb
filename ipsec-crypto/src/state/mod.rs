//! State that leaves the process, as when live SAs move to another one: sealed by a key of the embedder, in one container
//! for everything that can move.
//!
//! What is inside is keys and counters, so a container must be secret and whole, and it must stay so whatever the
//! embedder's randomness is worth: a virtual machine that is restored twice draws the same numbers twice. So no
//! randomness is drawn at all. Each container has a cipher key of its own, made of a synthetic IV over all that is in it,
//! after the idea of RFC 5297: the same state twice gives the same container, and that is all that can be told.
//!
//! ```text
//! octet 0         version, 1
//! octet 1         kind of state
//! octets 2, 3     zero
//! octets 4..36    SIV = prf(K1, octets 0..4 | state)
//! then            the state, sealed by AES-GCM-16 with a 256-bit key: IV (8), text, ICV (16); octets 0..36 are its header
//!
//! prf  PRF_HMAC_SHA2_256      K1 | K2 = prf+(key, "IPsec sealed state")      GCM's key | salt = prf+(K2, SIV)
//! ```
//!
//! [`StateWriter`] and [`StateReader`] are for what is inside: numbers in network order, addresses, octets behind their
//! length, and the values that IKE and ESP both speak of.
//!
//! ```
//! use ipsec_crypto::rustcrypto::RUSTCRYPTO;
//! use ipsec_crypto::state::{StateKey, StateKind, StateReader, StateWriter};
//!
//! # fn main() -> Result<(), ipsec_crypto::state::StateError> {
//! let key = StateKey::new(&RUSTCRYPTO, &[7; 32])?;
//! let mut writer = StateWriter::new();
//! writer.put_u64(42);
//! writer.put_octets(b"secret");
//! let sealed = key.seal(StateKind::CHILD_SA, writer.as_slice())?;
//!
//! let state = key.open(StateKind::CHILD_SA, &sealed)?;
//! let mut reader = StateReader::new(state.as_slice());
//! assert_eq!((reader.u64()?, reader.octets()?), (42, &b"secret"[..]));
//! reader.finish()?;
//! # Ok(())
//! # }
//! ```

mod fields;
mod values;

pub use self::fields::{StateReader, StateWriter};

use crate::cipher::{CipherAlgorithm, CipherError, PacketNumber};
use crate::prf::{PrfAlgorithm, PrfError, PrfId, prf_plus};
use crate::provider::CryptoProvider;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, IntegId, SecretBytes};
use subtle::ConstantTimeEq;
use thiserror::Error;

const VERSION: u8 = 1;
/// Version, kind, and what is zero.
const PREFIX: usize = 4;
const SIV: usize = 32;
const HEADER: usize = PREFIX + SIV;
const SUITE: CipherSuite =
    CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(256), integ: IntegId::NONE };
/// Each key of the cipher seals one text.
const NUMBER: PacketNumber = PacketNumber::explicit(1);

/// What a container holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StateKind(pub u8);

impl StateKind {
    /// A pair of ESP SAs.
    pub const CHILD_SA: Self = Self(1);
    /// An IKE SA.
    pub const IKE_SA: Self = Self(2);
}

/// What a container is known by, which is no secret: its synthetic IV. Equal names are of the same state sealed by the same
/// key. `None` where it is too short for a container.
#[must_use]
pub fn name_of(sealed: &[u8]) -> Option<[u8; 32]> {
    sealed.get(PREFIX..)?.first_chunk::<SIV>().copied()
}

/// Why a container was not made or not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The provider lacks AES-GCM-16 with a 256-bit key, or PRF_HMAC_SHA2_256.
    #[error("the provider {0} has not what states are sealed by")]
    Unsupported(&'static str),
    /// The embedder's key is too short.
    #[error("a key of {got} octets, of at least {needed}")]
    KeyLength {
        /// Octets given.
        got: usize,
        /// Octets that it needs.
        needed: usize,
    },
    /// A key could not be derived.
    #[error(transparent)]
    Prf(#[from] PrfError),
    /// The container was forged or damaged, or sealed by another key; or the state is too long for the cipher.
    #[error(transparent)]
    Cipher(#[from] CipherError),
    /// Too short for a container.
    #[error("{got} octets are no container, which has at least {needed}")]
    TooShort {
        /// Octets given.
        got: usize,
        /// Octets of the shortest.
        needed: usize,
    },
    /// Of another version.
    #[error("a container of version {0}")]
    Version(u8),
    /// Of another kind.
    #[error("a container of kind {0:?}")]
    Kind(StateKind),
    /// The state ends in the middle of a field.
    #[error("the state ends within the field at octet {at}")]
    Truncated {
        /// Where the field begins.
        at: usize,
    },
    /// A field says what it can't.
    #[error("the field at octet {at} is no {what}")]
    Value {
        /// Where the field begins.
        at: usize,
        /// What it should be.
        what: &'static str,
    },
    /// The state goes on behind its last field.
    #[error("the state goes on at octet {at}, behind its last field")]
    Surplus {
        /// Where the last field ends.
        at: usize,
    },
}

/// A key of the embedder for what leaves the process. It is wiped when dropped.
pub struct StateKey {
    prf: &'static dyn PrfAlgorithm,
    cipher: &'static dyn CipherAlgorithm,
    /// K1: of synthetic IVs.
    siv: SecretBytes,
    /// K2: of the cipher's keys.
    encr: SecretBytes,
}

impl StateKey {
    /// Octets of the shortest key.
    pub const MIN_LEN: usize = 32;

    /// Takes the embedder's key: at least [`StateKey::MIN_LEN`] octets that nobody can guess. It can seal as many states
    /// as there will ever be.
    ///
    /// # Errors
    /// [`StateError::KeyLength`], [`StateError::Unsupported`].
    pub fn new(provider: &CryptoProvider, key: &[u8]) -> Result<Self, StateError> {
        let (got, needed) = (key.len(), Self::MIN_LEN);
        if got < needed {
            return Err(StateError::KeyLength { got, needed });
        }
        let unsupported = StateError::Unsupported(provider.name);
        let prf = provider.prf(PrfId::HMAC_SHA2_256).ok_or(unsupported)?;
        let cipher = provider.cipher(SUITE).ok_or(unsupported)?;
        let mut keys = SecretBytes::zeroed(2 * SIV);
        prf_plus(prf, key, &[b"IPsec sealed state"], keys.as_mut())?;
        let (siv, encr) = keys.as_slice().split_at(SIV);
        Ok(Self { prf, cipher, siv: SecretBytes::copy_from(siv), encr: SecretBytes::copy_from(encr) })
    }

    /// Seals a state of this kind.
    ///
    /// # Errors
    /// [`StateError::Cipher`] for more octets than AES-GCM takes.
    pub fn seal(&self, kind: StateKind, state: &[u8]) -> Result<Vec<u8>, StateError> {
        let prefix = [VERSION, kind.0, 0, 0];
        let siv = self.siv_of(&prefix, state);
        let cipher = self.cipher.with_keys(&self.keys_of(&siv)?)?;
        let mut sealed = Vec::with_capacity(HEADER + cipher.iv_len() + state.len() + cipher.icv_len());
        sealed.extend_from_slice(&prefix);
        sealed.extend_from_slice(&siv);
        sealed.extend_from_slice(&vec![0; cipher.iv_len()]);
        sealed.extend_from_slice(state);
        sealed.extend_from_slice(&vec![0; cipher.icv_len()]);
        cipher.seal(NUMBER, HEADER, &mut sealed)?;
        Ok(sealed)
    }

    /// Opens a container of this kind.
    ///
    /// # Errors
    /// [`StateError::TooShort`], [`StateError::Version`], [`StateError::Kind`], [`StateError::Cipher`].
    pub fn open(&self, kind: StateKind, sealed: &[u8]) -> Result<SecretBytes, StateError> {
        let too_short = |needed| StateError::TooShort { got: sealed.len(), needed };
        let (&prefix, rest) = sealed.split_first_chunk::<PREFIX>().ok_or(too_short(HEADER))?;
        let (siv, _) = rest.split_first_chunk::<SIV>().ok_or(too_short(HEADER))?;
        let [version, of_kind, _, _] = prefix;
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        if of_kind != kind.0 {
            return Err(StateError::Kind(StateKind(of_kind)));
        }
        let cipher = self.cipher.with_keys(&self.keys_of(siv)?)?;
        let (text_at, around) = (HEADER + cipher.iv_len(), HEADER + cipher.iv_len() + cipher.icv_len());
        let len = sealed.len().checked_sub(around).ok_or(too_short(around))?;
        let mut packet = SecretBytes::copy_from(sealed);
        cipher.open(NUMBER, HEADER, packet.as_mut())?;
        let state = packet.as_slice().get(text_at..text_at + len).unwrap_or_default();
        // The IV is of this state, or the container is none of ours; what AES-GCM says of its key is not enough.
        if !bool::from(self.siv_of(&prefix, state).ct_eq(siv)) {
            return Err(CipherError::IntegrityCheck.into());
        }
        Ok(SecretBytes::copy_from(state))
    }

    fn siv_of(&self, prefix: &[u8; PREFIX], state: &[u8]) -> [u8; SIV] {
        let mut siv = [0; SIV];
        self.prf.compute(self.siv.as_slice(), &[prefix, state], &mut siv);
        siv
    }

    fn keys_of(&self, siv: &[u8; SIV]) -> Result<SaKeys, StateError> {
        let mut encr = SecretBytes::zeroed(self.cipher.encr_key_len());
        prf_plus(self.prf, self.encr.as_slice(), &[siv], encr.as_mut())?;
        Ok(SaKeys { encr, integ: SecretBytes::zeroed(0) })
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateKey").finish_non_exhaustive()
    }
}
