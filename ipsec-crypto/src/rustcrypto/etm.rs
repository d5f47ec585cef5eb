//! A cipher and an integrity algorithm beside it, in ESP (RFC 4303 §3.3.2) and in IKE's SK payload
//! (RFC 7296 §3.14): first encrypted, then authenticated over header, IV and cipher text.

use crate::cipher::{CipherAlgorithm, CipherError, PacketCipher, PacketNumber, UsageLimits};
use crate::limits;
use crate::packet::{Shape, esn_header, high_half};
use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, IntegId};

/// A cipher that protects no integrity.
pub(super) trait Encryption: Sized + Send + Sync + 'static {
    /// Octets of key material, the salt included.
    const KEY_LEN: usize;
    /// Octets of the salt at its end.
    const SALT_LEN: usize;
    /// Octets of the IV.
    const IV_LEN: usize;
    /// The text's length is a multiple of this.
    const BLOCK_LEN: usize;
    /// Whether IKE may use it (RFC 7296 §3.3.2).
    const FOR_IKE: bool;
    /// How long a key may encrypt.
    const LIMITS: UsageLimits;

    /// Expands the key; `None` where it has not [`Encryption::KEY_LEN`] octets.
    fn new(key: &[u8]) -> Option<Self>;

    /// Makes the packet's IV and encrypts. `payload` is room for the IV, then the text.
    fn encrypt(&self, number: u64, payload: &mut [u8]);

    /// Decrypts. `payload` is the IV, then the text.
    fn decrypt(&self, payload: &mut [u8]);
}

/// A message authentication code, cut to its ICV.
pub(super) trait Integrity: Sized + Send + Sync + 'static {
    /// Octets of key.
    const KEY_LEN: usize;
    /// Octets of the ICV.
    const ICV_LEN: usize;
    /// How long a key may authenticate.
    const LIMITS: UsageLimits;

    /// Expands the key; `None` where it has not [`Integrity::KEY_LEN`] octets.
    fn new(key: &[u8]) -> Option<Self>;

    /// Writes the ICV of the packet and what follows it unsent.
    fn compute(&self, packet: &[u8], unsent: &[u8], icv: &mut [u8]);

    /// Whether the ICV is that of the packet and what follows it unsent; takes constant time.
    fn verify(&self, packet: &[u8], unsent: &[u8], icv: &[u8]) -> bool;
}

/// Packets protected by the cipher `E` and the integrity algorithm `I`.
pub(super) struct EncryptThenMac<E, I> {
    suite: CipherSuite,
    algorithms: PhantomData<fn() -> (E, I)>,
}

impl<E, I> EncryptThenMac<E, I> {
    pub(super) const fn new(encr: EncrId, key_bits: Option<u16>, integ: IntegId) -> Self {
        Self { suite: CipherSuite { encr, key_bits, integ }, algorithms: PhantomData }
    }
}

impl<E, I> fmt::Debug for EncryptThenMac<E, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptThenMac({})", self.suite)
    }
}

impl<E: Encryption, I: Integrity> CipherAlgorithm for EncryptThenMac<E, I> {
    fn suite(&self) -> CipherSuite {
        self.suite
    }

    fn library(&self) -> &'static str {
        super::LIBRARY
    }

    fn encr_key_len(&self) -> usize {
        E::KEY_LEN
    }

    fn salt_len(&self) -> usize {
        E::SALT_LEN
    }

    fn integ_key_len(&self) -> usize {
        I::KEY_LEN
    }

    fn for_ike(&self) -> bool {
        E::FOR_IKE
    }

    fn with_keys(&self, keys: &SaKeys) -> Result<Box<dyn PacketCipher>, CipherError> {
        let encryption = E::new(keys.encr.as_slice())
            .ok_or(CipherError::KeyLength { expected: E::KEY_LEN, got: keys.encr.len() })?;
        let integrity = I::new(keys.integ.as_slice())
            .ok_or(CipherError::KeyLength { expected: I::KEY_LEN, got: keys.integ.len() })?;
        Ok(Box::new(Keyed { encryption, integrity }))
    }
}

/// Both expanded keys.
struct Keyed<E, I> {
    encryption: E,
    integrity: I,
}

impl<E: Encryption, I: Integrity> Keyed<E, I> {
    const SHAPE: Shape = Shape { iv_len: E::IV_LEN, icv_len: I::ICV_LEN, block_len: E::BLOCK_LEN };
}

/// What is authenticated after the cipher text without being sent: the high half of a 64-bit sequence number
/// (RFC 4303 §2.2.1), else nothing. It is a number of ESP's, so it goes with ESP's header.
fn unsent<'a>(header: &[u8], number: PacketNumber, high: &'a [u8; 4]) -> Result<&'a [u8], CipherError> {
    if !number.high_in_icv {
        return Ok(&[]);
    }
    esn_header(header)?;
    Ok(high)
}

impl<E: Encryption, I: Integrity> PacketCipher for Keyed<E, I> {
    fn iv_len(&self) -> usize {
        E::IV_LEN
    }

    fn icv_len(&self) -> usize {
        I::ICV_LEN
    }

    fn block_len(&self) -> usize {
        E::BLOCK_LEN
    }

    fn limits(&self) -> UsageLimits {
        const { limits::both(E::LIMITS, I::LIMITS) }
    }

    fn seal(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        let length = CipherError::PacketLength { got: packet.len() };
        let (packet, icv) = Self::SHAPE.cut_icv(header_len, packet)?;
        let (header, payload) = packet.split_at_mut_checked(header_len).ok_or(length)?;
        let high = high_half(number);
        let unsent = unsent(header, number, &high)?;
        self.encryption.encrypt(number.value, payload);
        self.integrity.compute(packet, unsent, icv);
        Ok(())
    }

    fn open(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        let length = CipherError::PacketLength { got: packet.len() };
        let (packet, icv) = Self::SHAPE.cut_icv(header_len, packet)?;
        let high = high_half(number);
        let unsent = unsent(packet.get(..header_len).ok_or(length)?, number, &high)?;
        if !self.integrity.verify(packet, unsent, icv) {
            return Err(CipherError::IntegrityCheck);
        }
        self.encryption.decrypt(packet.get_mut(header_len..).ok_or(length)?);
        Ok(())
    }
}
