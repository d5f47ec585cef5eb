//! The algorithms of IKEv2 and ESP behind one provider.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod cipher;
pub mod kx;
pub mod prf;
pub mod random;

pub use cipher::{CipherAlgorithm, CipherError, PacketCipher, PacketNumber};
pub use kx::{KeyExchangeMethod, KxError, PendingKeyExchange};
pub use prf::PrfAlgorithm;
pub use random::{RandomError, SecureRandom};
