//! RustCrypto's combined-mode ciphers: AES-CCM, ChaCha20-Poly1305. AES-GCM is our own upon its AES: see
//! [`super::gcm`].

use crate::aead::{CombinedMode, Nonce};
use aead::array::ArraySize;
use aead::array::typenum::Unsigned;
use aead::consts::U11;
use aead::{AeadInOut, KeyInit};
use ccm::Ccm;
use chacha20poly1305::ChaCha20Poly1305;
use cipher::consts::U16;
use cipher::{BlockCipherEncrypt, BlockSizeUser};
use zeroize::ZeroizeOnDrop;

/// A combined-mode cipher whose expanded key is wiped when dropped.
pub(super) trait Wiped: AeadInOut + KeyInit + Send + Sync + 'static {}

/// A CCM holds nothing but its block cipher.
impl<C, M> Wiped for Ccm<C, M, U11>
where
    Self: AeadInOut + KeyInit + Send + Sync + 'static,
    C: BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt + ZeroizeOnDrop,
    M: ArraySize + ccm::TagSize,
{
}

impl Wiped for ChaCha20Poly1305 where Self: ZeroizeOnDrop {}

/// Any of them.
pub(super) struct RustCrypto<A>(A);

/// The nonce in the type that the library wants.
#[inline(always)]
fn nonce_of<A: AeadInOut>(nonce: Nonce) -> Option<aead::Nonce<A>> {
    nonce.octets().get(..A::NonceSize::USIZE)?.try_into().ok()
}

impl<A: Wiped> CombinedMode for RustCrypto<A> {
    const LIBRARY: &'static str = super::LIBRARY;
    const KEY_LEN: usize = A::KeySize::USIZE;
    const NONCE_LEN: usize = A::NonceSize::USIZE;
    const ICV_LEN: usize = A::TagSize::USIZE;

    fn new(key: &[u8]) -> Option<Self> {
        A::new_from_slice(key).ok().map(Self)
    }

    /// The library does not show its keys.
    fn touch(&self) {}

    #[inline(always)]
    fn seal(&self, nonce: Nonce, aad: &[u8], text: &mut [u8], icv: &mut [u8]) -> Option<()> {
        let icv: &mut aead::Tag<A> = icv.try_into().ok()?;
        *icv = self.0.encrypt_inout_detached(&nonce_of::<A>(nonce)?, aad, text.into()).ok()?;
        Some(())
    }

    /// ChaCha20-Poly1305 checks the ICV over the cipher text before it decrypts anything. CCM's ICV is over the plain
    /// text: it decrypts first, and wipes what it got from a forgery.
    #[inline(always)]
    fn open(&self, nonce: Nonce, aad: &[u8], text: &mut [u8], icv: &[u8]) -> Option<()> {
        let icv: &aead::Tag<A> = icv.try_into().ok()?;
        self.0.decrypt_inout_detached(&nonce_of::<A>(nonce)?, aad, text.into(), icv).ok()
    }
}
