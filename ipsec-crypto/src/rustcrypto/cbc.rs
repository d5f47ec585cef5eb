//! AES in CBC mode (RFC 3602).
//!
//! The IV must be unpredictable (RFC 3602 §3, RFC 7296 §3.14). It is the packet's number as one block,
//! encrypted under the same key: the first method of NIST SP 800-38A, Appendix C. It needs no randomness on the
//! data path. The method asks for a nonce that an adversary cannot choose; a number that only counts is one.

use super::etm::Encryption;
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

/// The IV of a packet: its number, encrypted.
fn make_iv<C: BlockCipherEncrypt<BlockSize = U16>>(cipher: &C, number: u64) -> Block {
    let mut block = Array(u128::from(number).to_be_bytes());
    cipher.encrypt_block(&mut block);
    block
}

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

    fn new(key: &[u8]) -> Option<Self> {
        C::new_from_slice(key).ok().map(Self)
    }

    fn encrypt(&self, number: u64, iv: &mut [u8], text: &mut [u8]) {
        let block = make_iv(&self.0, number);
        iv.copy_from_slice(&block);
        let (blocks, _none) = Block::slice_as_chunks_mut(text);
        cbc::Encryptor::inner_iv_init(&self.0, &block).encrypt_blocks(blocks);
    }

    fn decrypt(&self, iv: &[u8], text: &mut [u8]) {
        let mut block = Block::default();
        block.copy_from_slice(iv);
        let (blocks, _none) = Block::slice_as_chunks_mut(text);
        cbc::Decryptor::inner_iv_init(&self.0, &block).decrypt_blocks(blocks);
    }
}
