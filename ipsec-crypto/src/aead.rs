//! Combined-mode ciphers in ESP (RFC 4106, RFC 4309, RFC 7634, RFC 8750) and in IKE's SK payload (RFC 5282,
//! RFC 7634): nonce = salt | IV, additional authenticated data = the header. What the cipher itself does is a
//! library's: see [`CombinedMode`].

use crate::cipher::{CipherAlgorithm, CipherError, PacketCipher, PacketNumber, UsageLimits};
use crate::packet::{Parts, Shape, esn_header, high_half};
use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, IntegId};
use zeroize::Zeroize;

/// Octets of the IV, whether it is sent or not. The salt is the rest of the nonce.
const IV_LEN: usize = 8;

/// A library's combined-mode cipher with an expanded key, which is wiped when dropped.
pub(crate) trait CombinedMode: Sized + Send + Sync + 'static {
    /// What the library is called.
    const LIBRARY: &'static str;
    /// Octets of key, without the salt.
    const KEY_LEN: usize;
    /// Octets of the nonce, at most 16.
    const NONCE_LEN: usize;
    /// Octets of the ICV.
    const ICV_LEN: usize;

    /// Expands the key; `None` where it has not [`CombinedMode::KEY_LEN`] octets.
    fn new(key: &[u8]) -> Option<Self>;

    /// See [`PacketCipher::touch`].
    fn touch(&self);

    /// Encrypts the text in place and writes the ICV over it and the additional authenticated data. `None` where the
    /// text is longer than the cipher can do under one nonce.
    fn seal(&self, nonce: Nonce, aad: &[u8], text: &mut [u8], icv: &mut [u8]) -> Option<()>;

    /// Checks the ICV and decrypts the text in place. `None` where it is wrong: the text then is no plain text.
    fn open(&self, nonce: Nonce, aad: &[u8], text: &mut [u8], icv: &[u8]) -> Option<()>;
}

/// A nonce, as the high octets of one number: so it is made in registers.
#[derive(Clone, Copy)]
pub(crate) struct Nonce(u128);

impl Nonce {
    /// The nonce, with zeros behind it.
    #[inline(always)]
    pub(crate) const fn octets(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// A nonce of twelve octets, as two numbers: so it is written by two instructions.
    #[cfg(feature = "aws-lc")]
    #[inline(always)]
    pub(crate) const fn words(self) -> (u64, u32) {
        ((self.0 >> 64) as u64, (self.0 >> 32) as u32)
    }

    /// The nonce of these octets, with zeros behind it.
    #[cfg(test)]
    pub(crate) const fn from_high_octets(octets: u128) -> Self {
        Self(octets)
    }
}

/// Where the IV of eight octets is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Iv {
    /// Between header and text.
    Sent,
    /// Nowhere: it is the packet's number, which ESP's header says (RFC 8750 §3). Not for IKE, whose numbers
    /// repeat (§6).
    Implicit,
}

impl Iv {
    const fn sent_len(self) -> usize {
        match self {
            Self::Sent => IV_LEN,
            Self::Implicit => 0,
        }
    }
}

/// Packets protected by the combined-mode cipher `A`.
///
/// Key, salt and ICV have the lengths that `A` gives them. The IV is the packet's number, which never repeats
/// under a key; it need not be unpredictable (RFC 4106 §3.1, RFC 4309 §3.1, RFC 7634 §2).
pub(crate) struct Aead<A> {
    suite: CipherSuite,
    iv: Iv,
    limits: UsageLimits,
    cipher: PhantomData<fn() -> A>,
}

impl<A> Aead<A> {
    pub(crate) const fn new(encr: EncrId, key_bits: Option<u16>, iv: Iv, limits: UsageLimits) -> Self {
        let suite = CipherSuite { encr, key_bits, integ: IntegId::NONE };
        Self { suite, iv, limits, cipher: PhantomData }
    }
}

impl<A: CombinedMode> fmt::Debug for Aead<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aead({}, {})", self.suite, A::LIBRARY)
    }
}

impl<A: CombinedMode> Aead<A> {
    const SALT_LEN: usize = A::NONCE_LEN - IV_LEN;
}

impl<A: CombinedMode> CipherAlgorithm for Aead<A> {
    fn suite(&self) -> CipherSuite {
        self.suite
    }

    fn library(&self) -> &'static str {
        A::LIBRARY
    }

    fn encr_key_len(&self) -> usize {
        A::KEY_LEN + Self::SALT_LEN
    }

    fn salt_len(&self) -> usize {
        Self::SALT_LEN
    }

    fn integ_key_len(&self) -> usize {
        0
    }

    fn for_ike(&self) -> bool {
        self.iv == Iv::Sent
    }

    fn with_keys(&self, keys: &SaKeys) -> Result<Box<dyn PacketCipher>, CipherError> {
        if !keys.integ.is_empty() {
            return Err(CipherError::KeyLength { expected: 0, got: keys.integ.len() });
        }
        let error = CipherError::KeyLength { expected: self.encr_key_len(), got: keys.encr.len() };
        let (key, salt) = keys.encr.as_slice().split_at_checked(A::KEY_LEN).ok_or(error)?;
        if salt.len() != Self::SALT_LEN {
            return Err(error);
        }
        let aead = A::new(key).ok_or(error)?;
        let salt = salt.iter().rev().fold(0, |salt, octet| salt >> 8 | u128::from(*octet) << 120);
        Ok(Box::new(Keyed { salt, iv: self.iv, aead, limits: self.limits }))
    }
}

/// An expanded key with its salt.
#[repr(C)] // What a packet needs lies together.
struct Keyed<A> {
    /// In the highest octets, as in [`Nonce`].
    salt: u128,
    iv: Iv,
    aead: A,
    limits: UsageLimits,
}

impl<A> Drop for Keyed<A> {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl<A: CombinedMode> Keyed<A> {
    #[inline(always)]
    const fn shape(&self) -> Shape {
        Shape { iv_len: self.iv.sent_len(), icv_len: A::ICV_LEN, block_len: 1 }
    }

    #[inline(always)]
    const fn nonce(&self, iv: u64) -> Nonce {
        Nonce(self.salt | (iv as u128) << (8 * (16 - A::NONCE_LEN)))
    }
}

/// Gives `work` the additional authenticated data: the header, with the high half of a 64-bit sequence number
/// between its two fields (RFC 4106 §5).
#[inline(always)]
fn with_aad(
    header: &[u8],
    number: PacketNumber,
    work: impl FnOnce(&[u8]) -> Option<()>,
    refused: CipherError,
) -> Result<(), CipherError> {
    let worked = if number.high_in_icv {
        let [s0, s1, s2, s3, l0, l1, l2, l3] = *esn_header(header)?;
        let [h0, h1, h2, h3] = high_half(number);
        work(&[s0, s1, s2, s3, h0, h1, h2, h3, l0, l1, l2, l3])
    } else {
        work(header)
    };
    worked.ok_or(refused)
}

impl<A: CombinedMode> PacketCipher for Keyed<A> {
    fn iv_len(&self) -> usize {
        self.iv.sent_len()
    }

    fn icv_len(&self) -> usize {
        A::ICV_LEN
    }

    fn block_len(&self) -> usize {
        self.shape().block_len
    }

    fn limits(&self) -> UsageLimits {
        self.limits
    }

    fn touch(&self) {
        self.aead.touch();
    }

    fn seal(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        let too_long = CipherError::PacketLength { got: packet.len() };
        let Parts { header, iv, text, icv } = self.shape().cut(header_len, packet)?;
        let nonce = self.nonce(number.value);
        with_aad(header, number, |aad| self.aead.seal(nonce, aad, text, icv), too_long)?;
        if let Ok(iv) = <&mut [u8; IV_LEN]>::try_from(iv) {
            *iv = number.value.to_be_bytes();
        }
        Ok(())
    }

    fn open(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        let Parts { header, iv, text, icv } = self.shape().cut(header_len, packet)?;
        let iv = <[u8; IV_LEN]>::try_from(&*iv).map_or(number.value, u64::from_be_bytes);
        let nonce = self.nonce(iv);
        let forged = CipherError::IntegrityCheck;
        with_aad(header, number, |aad| self.aead.open(nonce, aad, text, icv), forged)
    }
}
