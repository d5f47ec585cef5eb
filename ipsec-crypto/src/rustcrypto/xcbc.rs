//! AES-XCBC-MAC (RFC 3566 §4), of which AUTH_AES_XCBC_96 takes the first 96 bits and PRF_AES128_XCBC all.

use aead::{KeyInit, KeySizeUser};
use aes::Aes128;
use cipher::BlockCipherEncrypt;
use cipher::array::Array;
use cipher::consts::U16;
use hmac::digest::{FixedOutput, Key, MacMarker, Output, OutputSizeUser, Update};
use zeroize::Zeroize;

const BLOCK_LEN: usize = 16;

type Block = Array<u8, U16>;

/// AES-XCBC-MAC in the middle of a message.
#[derive(Clone)]
pub(super) struct Xcbc {
    /// AES under K1.
    cipher: Aes128,
    /// K2, for a last block that is full.
    full: Block,
    /// K3, for one that is padded.
    padded: Block,
    /// The chain so far.
    chain: Block,
    /// What came last: a whole block waits too, for it may be the last one.
    waiting: Block,
    /// Octets that wait.
    filled: usize,
}

impl Drop for Xcbc {
    fn drop(&mut self) {
        for block in [&mut self.full, &mut self.padded, &mut self.chain, &mut self.waiting] {
            block.as_mut_slice().zeroize();
        }
    }
}

fn xor(to: &mut Block, from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to ^= *from;
    }
}

impl KeySizeUser for Xcbc {
    type KeySize = U16;
}

impl KeyInit for Xcbc {
    fn new(key: &Key<Self>) -> Self {
        let master = Aes128::new(key);
        let [mut first, full, padded] = [1, 2, 3].map(|number| {
            let mut block = Array([number; BLOCK_LEN]);
            master.encrypt_block(&mut block);
            block
        });
        let cipher = Aes128::new(&first);
        first.as_mut_slice().zeroize();
        Self { cipher, full, padded, chain: Block::default(), waiting: Block::default(), filled: 0 }
    }
}

impl Xcbc {
    fn absorb(&mut self, block: &[u8]) {
        xor(&mut self.chain, block);
        self.cipher.encrypt_block(&mut self.chain);
    }

    /// Lets as much wait as fits.
    fn wait_for<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let room = self.waiting.get_mut(self.filled..).unwrap_or_default();
        let taken = room.len().min(data.len());
        for (to, from) in room.iter_mut().zip(data) {
            *to = *from;
        }
        self.filled = self.filled.saturating_add(taken);
        data.get(taken..).unwrap_or_default()
    }
}

impl Update for Xcbc {
    fn update(&mut self, data: &[u8]) {
        let mut rest = self.wait_for(data);
        if rest.is_empty() {
            return;
        }
        // More follows, so what waits is not the last block; neither are those before the end of the rest.
        let waiting = self.waiting;
        self.absorb(&waiting);
        while let Some((block, after)) = rest.split_first_chunk::<BLOCK_LEN>() {
            if after.is_empty() {
                break;
            }
            self.absorb(block);
            rest = after;
        }
        self.filled = 0;
        self.wait_for(rest);
    }
}

impl OutputSizeUser for Xcbc {
    type OutputSize = U16;
}

impl FixedOutput for Xcbc {
    fn finalize_into(mut self, out: &mut Output<Self>) {
        let key = match self.waiting.get_mut(self.filled..) {
            Some([first, others @ ..]) => {
                *first = 0x80;
                others.fill(0);
                self.padded
            }
            _ => self.full,
        };
        let mut last = self.waiting;
        xor(&mut last, &key);
        self.absorb(&last);
        out.copy_from_slice(&self.chain);
    }
}

impl MacMarker for Xcbc {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_vectors::{json, octets};
    use hmac::Mac;

    /// RFC 3566 §4.6, all seven cases, with the message in two parts of every length.
    #[test]
    fn rfc_3566() {
        let file = json(include_str!("../../tests/vectors/rfc3566_aes_xcbc_mac_96.json"));
        let cases = file["vectors"].as_array().unwrap();
        assert_eq!(cases.len(), 7);
        for case in cases {
            let [key, message, expected] = ["key", "message", "mac"].map(|name| octets(case, name));
            for middle in (0..=message.len()).filter(|middle| *middle < 100 || middle % 97 == 0) {
                let (head, tail) = message.split_at(middle);
                let mac = <Xcbc as KeyInit>::new_from_slice(&key).unwrap();
                let full = mac.chain_update(head).chain_update(tail).finalize();
                assert_eq!(full.as_bytes().as_slice(), expected, "{} at {middle}", case["id"]);
            }
        }
    }
}
