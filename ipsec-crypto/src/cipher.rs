//! One interface for what protects a packet, in IKE's SK payload (RFC 7296 §3.14, RFC 5282) and in ESP
//! (RFC 4303 and its cipher documents) alike.
//!
//! A packet lies in one buffer:
//!
//! ```text
//! | header | IV | text | ICV |
//! ```
//!
//! The header is what is authenticated and not encrypted: for ESP its SPI and sequence number, for IKE
//! everything up to the SK payload's header. The text is plain before [`PacketCipher::seal`] and cipher
//! text after it, padding included; padding is the caller's, aligned by [`PacketCipher::block_len`].

use alloc::boxed::Box;
use core::fmt::Debug;
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use thiserror::Error;

/// Why a packet was not sealed or opened, or a key not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CipherError {
    /// The key material has another length than the algorithm's.
    #[error("{got} octets of key material where {expected} are needed")]
    KeyLength {
        /// Octets that the algorithm takes.
        expected: usize,
        /// Octets given.
        got: usize,
    },
    /// The buffer is shorter than header, IV and ICV, or the text is no multiple of the block.
    #[error("a packet of {got} octets cannot hold header, IV, whole blocks and ICV")]
    PacketLength {
        /// Octets given.
        got: usize,
    },
    /// The number has a high half that is authenticated without being sent, and the header is not ESP's.
    #[error("a 64-bit sequence number goes with an ESP header of 8 octets, not with one of {got}")]
    EsnHeaderLength {
        /// Octets of header given.
        got: usize,
    },
    /// The ICV is wrong: the packet is forged, damaged, or protected by another key.
    #[error("the integrity check failed")]
    IntegrityCheck,
}

/// The number of a packet under its key, which makes its nonce unique.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacketNumber {
    /// The whole number. For sealing it must never repeat under one key; every explicit IV is made of it. For
    /// opening it matters only where it is not sent: implicit IVs, and the high half below.
    pub value: u64,
    /// Whether the high 32 bits take part in the integrity check without being sent, as ESP's 64-bit sequence
    /// numbers do (RFC 4303 §2.2.1). The header is then ESP's, eight octets.
    pub high_in_icv: bool,
}

impl PacketNumber {
    /// A number of which nothing implicit is authenticated: IKE's messages, ESP with 32-bit numbers.
    #[must_use]
    pub const fn explicit(value: u64) -> Self {
        Self { value, high_in_icv: false }
    }

    /// A 64-bit ESP sequence number whose high half is authenticated but not sent.
    #[must_use]
    pub const fn esn(value: u64) -> Self {
        Self { value, high_in_icv: true }
    }
}

/// How many packets and octets one key may protect. What comes first ends the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UsageLimits {
    /// Packets sealed under one key.
    pub packets: u64,
    /// Octets of text sealed under one key.
    pub octets: u64,
    /// Packets whose integrity check failed under one key.
    pub failed_opens: u64,
}

/// An algorithm, or a pair of algorithms, that protects packets.
pub trait CipherAlgorithm: Send + Sync + Debug {
    /// What it is called in negotiation.
    fn suite(&self) -> CipherSuite;

    /// What the library is called that does it.
    fn library(&self) -> &'static str;

    /// Octets of encryption key material, the salt included.
    fn encr_key_len(&self) -> usize;

    /// Octets of the salt at the end of the encryption key material.
    fn salt_len(&self) -> usize;

    /// Octets of integrity key; 0 for combined-mode ciphers.
    fn integ_key_len(&self) -> usize;

    /// Whether it may protect IKE's messages (RFC 7296 §3.3.2): neither NULL nor AES-GMAC may, which encrypt
    /// nothing, nor implicit IVs (RFC 8750 §6), whose numbers IKE repeats.
    fn for_ike(&self) -> bool;

    /// Expands the keys once for the life of an SA.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`].
    fn with_keys(&self, keys: &SaKeys) -> Result<Box<dyn PacketCipher>, CipherError>;
}

/// An expanded key that seals and opens packets in place, without allocating.
pub trait PacketCipher: Send + Sync {
    /// Octets of the IV between header and text; 0 where it is implicit.
    fn iv_len(&self) -> usize;

    /// Octets of the ICV at the end.
    fn icv_len(&self) -> usize;

    /// The text's length must be a multiple of this; 1 for ciphers without blocks.
    fn block_len(&self) -> usize;

    /// How long the key may be used.
    fn limits(&self) -> UsageLimits;

    /// Reads the expanded key, and does nothing with it. Who has packets of many keys calls it for several of them before
    /// their packets' turn comes, so that the waits for memory overlap. A library that does not show its keys may do
    /// nothing here.
    fn touch(&self) {}

    /// Writes the IV, encrypts the text and writes the ICV. `packet` is header, room for the IV, text, room
    /// for the ICV.
    ///
    /// # Errors
    /// [`CipherError::PacketLength`] and [`CipherError::EsnHeaderLength`]. After either the buffer is
    /// untouched.
    fn seal(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError>;

    /// Checks the ICV and decrypts the text in place. The text lies at `header_len + iv_len` and ends
    /// `icv_len` before the end.
    ///
    /// # Errors
    /// [`CipherError::PacketLength`], [`CipherError::EsnHeaderLength`] and [`CipherError::IntegrityCheck`].
    /// After any the text's octets are unspecified, and none of them is plain text; with NULL and AES-GMAC they
    /// are what they always were.
    fn open(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError>;
}
