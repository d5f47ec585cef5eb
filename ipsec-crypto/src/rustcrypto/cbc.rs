//! AES in CBC mode (RFC 3602).
//!
//! The IV must be unpredictable (RFC 3602 §3, RFC 7296 §3.14). It is the packet's number as one block,
//! encrypted under the same key: the first method of NIST SP 800-38A, Appendix C, which needs no randomness
//! on the data path. The method is sound where nobody can choose the nonce: who could make it equal a block
//! that went into the cipher before would know the IV. A number that only counts is a nonce that nobody
//! chooses, and its 64 leading zeros keep the other blocks, which look random, away from it.

use super::etm::Encryption;
use crate::cipher::UsageLimits;
use crate::limits;
use cipher::array::Array;
use cipher::consts::U16;
use cipher::typenum::Unsigned;
use cipher::{
    BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, BlockSizeUser, InnerIvInit,
    KeyInit,
};
use zeroize::ZeroizeOnDrop;

const BLOCK_LEN: usize = 16;

type Block = Array<u8, U16>;

/// The block cipher `C` in CBC mode.
pub(super) struct Cbc<C>(C);

impl<C> Encryption for Cbc<C>
where
    C: KeyInit
        + BlockSizeUser<BlockSize = U16>
        + BlockCipherEncrypt
        + BlockCipherDecrypt
        + ZeroizeOnDrop
        + Send
        + Sync
        + 'static,
{
    const KEY_LEN: usize = C::KeySize::USIZE;
    const SALT_LEN: usize = 0;
    const IV_LEN: usize = BLOCK_LEN;
    const BLOCK_LEN: usize = BLOCK_LEN;
    const FOR_IKE: bool = true;
    const LIMITS: UsageLimits = limits::AES_BLOCKS;

    fn new(key: &[u8]) -> Option<Self> {
        C::new_from_slice(key).ok().map(Self)
    }

    fn encrypt(&self, number: u64, payload: &mut [u8]) {
        // The number as a block of its own before the text, and zeros before that: what comes out is the
        // encrypted number, then the text encrypted with that as its IV, in one run of the cipher.
        if let Some(block) = payload.first_chunk_mut::<BLOCK_LEN>() {
            *block = u128::from(number).to_be_bytes();
        }
        self.encrypt_after(&Block::default(), payload);
    }

    fn decrypt(&self, payload: &mut [u8]) {
        if let Some((iv, text)) = payload.split_first_chunk_mut::<BLOCK_LEN>() {
            let (blocks, _none) = Block::slice_as_chunks_mut(text);
            cbc::Decryptor::inner_iv_init(&self.0, &Array(*iv)).decrypt_blocks(blocks);
        }
    }
}

impl<C: BlockCipherEncrypt<BlockSize = U16>> Cbc<C> {
    fn encrypt_after(&self, iv: &Block, text: &mut [u8]) {
        let (blocks, _none) = Block::slice_as_chunks_mut(text);
        cbc::Encryptor::inner_iv_init(&self.0, iv).encrypt_blocks(blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_vectors::{json, octets};
    use aes::{Aes128, Aes192, Aes256};
    use hex_literal::hex;

    fn check<C>(key: &[u8], iv: &[u8], plain: &[u8], encrypted: &[u8])
    where
        Cbc<C>: Encryption,
        C: BlockCipherEncrypt<BlockSize = U16>,
    {
        let cipher = Cbc::<C>::new(key).unwrap();
        let mut text = plain.to_vec();
        cipher.encrypt_after(&Block::try_from(iv).unwrap(), &mut text);
        assert_eq!(text, encrypted);
        let mut payload = [iv, encrypted].concat();
        cipher.decrypt(&mut payload);
        assert_eq!(payload, [iv, plain].concat());
    }

    /// RFC 3602 §4, all eight cases; the ESP packets of the last four have no integrity algorithm.
    #[test]
    fn rfc_3602() {
        let file = json(include_str!("../../tests/vectors/rfc3602_aes_cbc.json"));
        let lists = [("aes_cbc", "plaintext"), ("esp", "plaintext_with_trailer")];
        for (list, plain) in lists {
            let cases = file[list].as_array().unwrap();
            assert_eq!(cases.len(), 4);
            for case in cases {
                let [key, iv, plain, encrypted] =
                    ["key", "iv", plain, "ciphertext"].map(|name| octets(case, name));
                check::<Aes128>(&key, &iv, &plain, &encrypted);
            }
        }
    }

    const SP_800_38A_IV: [u8; 16] = hex!("000102030405060708090a0b0c0d0e0f");
    const SP_800_38A_PLAIN: [u8; 64] = hex!(
        "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710"
    );

    /// NIST SP 800-38A F.2.3: CBC-AES192.
    #[test]
    fn sp_800_38a_192() {
        check::<Aes192>(
            &hex!("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b"),
            &SP_800_38A_IV,
            &SP_800_38A_PLAIN,
            &hex!(
                "4f021db243bc633d7178183a9fa071e8 b4d9ada9ad7dedf4e5e738763f69145a"
                "571b242012fb7ae07fa9baac3df102e0 08b0e27988598881d920a9e64f5615cd"
            ),
        );
    }

    /// NIST SP 800-38A F.2.5: CBC-AES256.
    #[test]
    fn sp_800_38a_256() {
        check::<Aes256>(
            &hex!("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
            &SP_800_38A_IV,
            &SP_800_38A_PLAIN,
            &hex!(
                "f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d"
                "39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b"
            ),
        );
    }

    /// The block of zeros under the key of zeros, as the GCM specification's test case 1 prints it (its value
    /// H).
    #[test]
    fn iv_is_the_encrypted_number() {
        let cipher = Cbc::<Aes128>::new(&[0; 16]).unwrap();
        let mut payload = [0xee; 16];
        cipher.encrypt(0, &mut payload);
        assert_eq!(payload, hex!("66e94bd4ef8a2c3b884cfa59ca342b2e"));
    }
}
