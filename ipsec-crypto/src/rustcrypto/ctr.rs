//! AES in counter mode (RFC 3686; in IKE RFC 5930): counter block = nonce | IV | number of the block from 1.
//! The RFC's nonce is what is called salt here. The IV need not be unpredictable, and is the packet's number.

use super::etm::Encryption;
use crate::cipher::UsageLimits;
use crate::limits;
use cipher::consts::U16;
use cipher::typenum::Unsigned;
use cipher::{
    BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper,
};
use ctr::CtrCore;
use ctr::flavors::Ctr32BE;
use zeroize::{Zeroize, ZeroizeOnDrop};

const SALT_LEN: usize = 4;
const IV_LEN: usize = 8;

/// The block cipher `C` in counter mode.
pub(super) struct Ctr<C> {
    cipher: C,
    salt: [u8; SALT_LEN],
}

impl<C> Drop for Ctr<C> {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl<C> Encryption for Ctr<C>
where
    C: KeyInit + BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt + ZeroizeOnDrop + Send + Sync + 'static,
{
    const KEY_LEN: usize = C::KeySize::USIZE + SALT_LEN;
    const SALT_LEN: usize = SALT_LEN;
    const IV_LEN: usize = IV_LEN;
    const BLOCK_LEN: usize = 1;
    const FOR_IKE: bool = true;
    const LIMITS: UsageLimits = limits::AES_BLOCKS;

    fn new(key: &[u8]) -> Option<Self> {
        let (key, salt) = key.split_at_checked(C::KeySize::USIZE)?;
        let salt = salt.try_into().ok()?;
        Some(Self { cipher: C::new_from_slice(key).ok()?, salt })
    }

    fn encrypt(&self, number: u64, payload: &mut [u8]) {
        if let Some(iv) = payload.first_chunk_mut() {
            *iv = number.to_be_bytes();
        }
        self.decrypt(payload);
    }

    fn decrypt(&self, payload: &mut [u8]) {
        let [s0, s1, s2, s3] = self.salt;
        if let Some((&mut [i0, i1, i2, i3, i4, i5, i6, i7], text)) = payload.split_first_chunk_mut() {
            let counter = [s0, s1, s2, s3, i0, i1, i2, i3, i4, i5, i6, i7, 0, 0, 0, 1];
            let core = CtrCore::<&C, Ctr32BE>::inner_iv_init(&self.cipher, &counter.into());
            // No packet is as long as the key stream, 2^36 octets.
            StreamCipherCoreWrapper::from_core(core).apply_keystream(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_vectors::{json, octets};
    use aes::{Aes128, Aes192, Aes256};

    fn check<C>(case: &serde_json::Value)
    where
        Ctr<C>: Encryption,
    {
        let [key, nonce, iv, plain, encrypted] =
            ["key", "nonce", "iv", "plaintext", "ciphertext"].map(|name| octets(case, name));
        let cipher = Ctr::<C>::new(&[key, nonce].concat()).unwrap();
        let number = u64::from_be_bytes(iv.as_slice().try_into().unwrap());
        let mut payload = [&[0xee; 8], &*plain].concat();
        cipher.encrypt(number, &mut payload);
        assert_eq!(payload, [&*iv, &encrypted].concat(), "{}", case["id"]);
        cipher.decrypt(&mut payload);
        assert_eq!(payload, [&*iv, &plain].concat(), "{}", case["id"]);
    }

    /// RFC 3686 §6, all nine cases.
    #[test]
    fn rfc_3686() {
        let file = json(include_str!("../../tests/vectors/rfc3686_aes_ctr.json"));
        let cases = file["vectors"].as_array().unwrap();
        assert_eq!(cases.len(), 9);
        for case in cases {
            match octets(case, "key").len() {
                16 => check::<Aes128>(case),
                24 => check::<Aes192>(case),
                32 => check::<Aes256>(case),
                other => panic!("{other}"),
            }
        }
    }
}
