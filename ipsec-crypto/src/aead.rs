//! Combined-mode ciphers in ESP (RFC 4106, RFC 4309, RFC 7634, RFC 8750) and in IKE's SK payload (RFC 5282,
//! RFC 7634): nonce = salt | IV, additional authenticated data = the header.

use super::packet::{Parts, Shape, esn_header, high_half};
use crate::cipher::{CipherAlgorithm, CipherError, PacketCipher, PacketNumber, UsageLimits};
use aead::array::ArraySize;
use aead::array::typenum::Unsigned;
use aead::consts::{U11, U12};
use aead::{AeadInOut, KeyInit, KeySizeUser, Nonce};
use aes_gcm::AesGcm;
use alloc::boxed::Box;
use ccm::Ccm;
use chacha20poly1305::ChaCha20Poly1305;
use cipher::consts::U16;
use cipher::{BlockCipherEncrypt, BlockSizeUser};
use core::fmt;
use core::marker::PhantomData;
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, IntegId};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Octets of the IV, whether it is sent or not. The salt is the rest of the nonce.
const IV_LEN: usize = 8;

/// A combined-mode cipher whose expanded key is wiped when dropped.
pub(super) trait Wiped: AeadInOut + KeyInit + Send + Sync + 'static {}

impl<C, T> Wiped for AesGcm<C, U12, T>
where
    Self: AeadInOut + KeyInit + ZeroizeOnDrop + Send + Sync + 'static,
    T: aes_gcm::TagSize,
{
}

/// A CCM holds nothing but its block cipher.
impl<C, M> Wiped for Ccm<C, M, U11>
where
    Self: AeadInOut + KeyInit + Send + Sync + 'static,
    C: BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt + ZeroizeOnDrop,
    M: ArraySize + ccm::TagSize,
{
}

impl Wiped for ChaCha20Poly1305 where Self: ZeroizeOnDrop {}

/// Where the IV of eight octets is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Iv {
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
pub(super) struct Aead<A> {
    suite: CipherSuite,
    iv: Iv,
    limits: UsageLimits,
    cipher: PhantomData<fn() -> A>,
}

impl<A> Aead<A> {
    pub(super) const fn new(encr: EncrId, key_bits: Option<u16>, iv: Iv, limits: UsageLimits) -> Self {
        let suite = CipherSuite { encr, key_bits, integ: IntegId::NONE };
        Self { suite, iv, limits, cipher: PhantomData }
    }
}

impl<A> fmt::Debug for Aead<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aead({})", self.suite)
    }
}

impl<A: KeySizeUser + AeadInOut> Aead<A> {
    const KEY_LEN: usize = A::KeySize::USIZE;
    const SALT_LEN: usize = A::NonceSize::USIZE - IV_LEN;
}

impl<A: Wiped> CipherAlgorithm for Aead<A> {
    fn suite(&self) -> CipherSuite {
        self.suite
    }

    fn encr_key_len(&self) -> usize {
        Self::KEY_LEN + Self::SALT_LEN
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
        let (key, salt) = keys.encr.as_slice().split_at_checked(Self::KEY_LEN).ok_or(error)?;
        if salt.len() != Self::SALT_LEN {
            return Err(error);
        }
        let aead = A::new_from_slice(key).map_err(|_| error)?;
        let mut nonce = Nonce::<A>::default();
        if let Some(start) = nonce.as_mut_slice().get_mut(..salt.len()) {
            start.copy_from_slice(salt);
        }
        let shape = Shape { iv_len: self.iv.sent_len(), icv_len: A::TagSize::USIZE, block_len: 1 };
        Ok(Box::new(Keyed { aead, nonce, shape, limits: self.limits }))
    }
}

/// An expanded key with its salt.
struct Keyed<A: AeadInOut> {
    aead: A,
    /// The salt, and zeros where the IV goes.
    nonce: Nonce<A>,
    shape: Shape,
    limits: UsageLimits,
}

impl<A: AeadInOut> Drop for Keyed<A> {
    fn drop(&mut self) {
        self.nonce.as_mut_slice().zeroize();
    }
}

impl<A: AeadInOut> Keyed<A> {
    fn nonce(&self, iv: [u8; IV_LEN]) -> Nonce<A> {
        let mut nonce = self.nonce.clone();
        if let Some(end) = nonce.as_mut_slice().last_chunk_mut() {
            *end = iv;
        }
        nonce
    }
}

/// Gives `work` the additional authenticated data: the header, with the high half of a 64-bit sequence number
/// between its two fields (RFC 4106 §5).
fn with_aad<T>(
    header: &[u8],
    number: PacketNumber,
    work: impl FnOnce(&[u8]) -> Result<T, CipherError>,
) -> Result<T, CipherError> {
    if !number.high_in_icv {
        return work(header);
    }
    let [s0, s1, s2, s3, l0, l1, l2, l3] = *esn_header(header)?;
    let [h0, h1, h2, h3] = high_half(number);
    work(&[s0, s1, s2, s3, h0, h1, h2, h3, l0, l1, l2, l3])
}

impl<A: Wiped> PacketCipher for Keyed<A> {
    fn iv_len(&self) -> usize {
        self.shape.iv_len
    }

    fn icv_len(&self) -> usize {
        self.shape.icv_len
    }

    fn block_len(&self) -> usize {
        self.shape.block_len
    }

    fn limits(&self) -> UsageLimits {
        self.limits
    }

    fn seal(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        let too_long = CipherError::PacketLength { got: packet.len() };
        let Parts { header, iv, text, icv } = self.shape.cut(header_len, packet)?;
        let iv_octets = number.value.to_be_bytes();
        let nonce = self.nonce(iv_octets);
        let tag = with_aad(header, number, |aad| {
            self.aead.encrypt_inout_detached(&nonce, aad, text.into()).map_err(|_| too_long)
        })?;
        if !iv.is_empty() {
            iv.copy_from_slice(&iv_octets);
        }
        icv.copy_from_slice(&tag);
        Ok(())
    }

    fn open(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        let length = CipherError::PacketLength { got: packet.len() };
        let Parts { header, iv, text, icv } = self.shape.cut(header_len, packet)?;
        let nonce = if iv.is_empty() {
            self.nonce(number.value.to_be_bytes())
        } else {
            self.nonce(<[u8; IV_LEN]>::try_from(&*iv).map_err(|_| length)?)
        };
        let tag = aead::Tag::<A>::try_from(&*icv).map_err(|_| length)?;
        with_aad(header, number, |aad| {
            // AES-GCM and ChaCha20-Poly1305 check the ICV over the cipher text before they decrypt anything.
            // CCM's ICV is over the plain text: it decrypts first, and wipes what it got from a forgery.
            self.aead
                .decrypt_inout_detached(&nonce, aad, text.into(), &tag)
                .map_err(|_| CipherError::IntegrityCheck)
        })
    }
}
