//! The algorithms of IKEv2 and ESP behind one provider.
//!
//! IKE's SK payload and ESP protect packets with the same ciphers, so they share them here: a
//! [`PacketCipher`] seals and opens a packet in place in the buffer where it lies, without allocating, and
//! knows by itself how nonce, IV, additional authenticated data and ICV are made (RFC 4303, RFC 7296 §3.14,
//! RFC 5282). Beside them stand the pseudorandom functions with [`prf_plus`] (RFC 7296 §2.13) and the key
//! exchange methods (RFC 7296 §2.14).
//!
//! ```
//! use ipsec_crypto::{CipherError, PacketNumber, rustcrypto::RUSTCRYPTO};
//! use ipsec_types::algorithm::CipherSuite;
//! use ipsec_types::sa::SaKeys;
//! use ipsec_types::{EncrId, IntegId, SecretBytes};
//!
//! # fn main() -> Result<(), CipherError> {
//! // What a negotiation agreed on, and the key material that it left: 16 octets of key and 4 of salt.
//! let suite = CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(128), integ: IntegId::NONE };
//! let algorithm = RUSTCRYPTO.cipher(suite).expect("the provider has AES-GCM");
//! let keys = SaKeys { encr: SecretBytes::copy_from(&[7; 20]), integ: SecretBytes::zeroed(0) };
//! assert_eq!(algorithm.encr_key_len(), keys.encr.len());
//! let cipher = algorithm.with_keys(&keys)?;
//!
//! // One buffer: header, room for the IV, text, room for the ICV.
//! let header = [0, 0, 1, 0, 0, 0, 0, 1];
//! let text = *b"attack at dawn\x00\x3b";
//! let text_at = header.len() + cipher.iv_len();
//! let icv_at = text_at + text.len();
//! let mut packet = vec![0; icv_at + cipher.icv_len()];
//! packet[..header.len()].copy_from_slice(&header);
//! packet[text_at..icv_at].copy_from_slice(&text);
//!
//! // A number is used once. Here it is ESP's sequence number.
//! let number = PacketNumber::explicit(1);
//! cipher.seal(number, header.len(), &mut packet)?;
//! assert_ne!(packet[text_at..icv_at], text);
//!
//! let mut forged = packet.clone();
//! forged[3] ^= 1;
//! assert_eq!(cipher.open(number, header.len(), &mut forged), Err(CipherError::IntegrityCheck));
//!
//! cipher.open(number, header.len(), &mut packet)?;
//! assert_eq!(packet[text_at..icv_at], text);
//! # Ok(())
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod cipher;
pub mod kx;
pub mod prf;
pub mod provider;
pub mod random;
pub mod rustcrypto;
#[cfg(test)]
mod test_vectors;

pub use cipher::{CipherAlgorithm, CipherError, PacketCipher, PacketNumber, UsageLimits};
pub use kx::{KeMethod, KeyExchangeMethod, KxError, KxResponse, PendingKeyExchange};
pub use prf::{PrfAlgorithm, PrfError, PrfId, prf_plus};
pub use provider::CryptoProvider;
pub use random::{RandomError, SecureRandom};
