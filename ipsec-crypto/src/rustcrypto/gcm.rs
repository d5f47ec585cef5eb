//! AES-GCM (NIST SP 800-38D) for packets, upon RustCrypto's AES and POLYVAL.
//!
//! It is what the crate `aes-gcm` computes, in less time: everything of a packet runs inside the one call for which AES
//! chooses its instructions, key stream and all; header, text and lengths are hashed as one row of blocks, four at a time;
//! and a short packet takes no more key stream than it has blocks. GHASH is POLYVAL over octets in reverse order (RFC 8452
//! Appendix A).

use crate::aead::{CombinedMode, Nonce};
use cipher::array::{Array, ArraySize};
use cipher::consts::{U4, U16};
use cipher::typenum::Unsigned;
use cipher::{
    BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit, ParBlocks,
};
use core::hint::black_box;
use core::marker::PhantomData;
use polyval::Polyval;
use polyval::universal_hash::{UhfBackend, UniversalHash};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

const BLOCK: usize = 16;
/// Octets of the longest text under one nonce (SP 800-38D §5.2.1.1).
const MAX_TEXT: u64 = (1 << 36) - 32;
/// What the counter of the block is that masks the ICV (SP 800-38D §7.1). Those of the text follow.
const MASK: u32 = 1;

type Block = Array<u8, U16>;

/// AES-GCM over the block cipher `C` with a nonce of 12 octets and an ICV of `T`.
#[repr(C)] // The key schedule lies at its cipher's beginning.
pub(super) struct Gcm<C, T> {
    cipher: C,
    /// Before the first block.
    hash: Polyval,
    icv: PhantomData<fn() -> T>,
}

impl<C, T> CombinedMode for Gcm<C, T>
where
    C: KeyInit + BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt + ZeroizeOnDrop + Send + Sync + 'static,
    T: ArraySize,
{
    const LIBRARY: &'static str = super::LIBRARY;
    const KEY_LEN: usize = C::KeySize::USIZE;
    const NONCE_LEN: usize = 12;
    const ICV_LEN: usize = T::USIZE;

    fn new(key: &[u8]) -> Option<Self> {
        let cipher = C::new_from_slice(key).ok()?;
        let mut hash_key = Block::default();
        cipher.encrypt_block(&mut hash_key);
        let mut polyval_key = Block::from(times_x(u128::from_be_bytes(hash_key.0)).to_le_bytes());
        let hash = Polyval::new(&polyval_key);
        hash_key.as_mut_slice().zeroize();
        polyval_key.as_mut_slice().zeroize();
        Some(Self { cipher, hash, icv: PhantomData })
    }

    /// The key schedule is read by using it, the hash key by a copy.
    fn touch(&self) {
        let mut block = Block::default();
        self.cipher.encrypt_block(&mut block);
        black_box(&block);
        black_box(&self.hash.clone());
    }

    fn seal(&self, nonce: Nonce, aad: &[u8], text: &mut [u8], icv: &mut [u8]) -> Option<()> {
        self.run(nonce, aad, text, Seal { icv })
    }

    /// Nothing is decrypted before the ICV was found right.
    fn open(&self, nonce: Nonce, aad: &[u8], text: &mut [u8], icv: &[u8]) -> Option<()> {
        self.run(nonce, aad, text, Open { icv })
    }
}

impl<C: BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt, T> Gcm<C, T> {
    #[inline(always)]
    fn run(&self, nonce: Nonce, aad: &[u8], text: &mut [u8], order: impl Order) -> Option<()> {
        if text.len() as u64 > MAX_TEXT {
            return None;
        }
        let mut done = None;
        let packet = Packet { nonce: Counters::of(nonce), hash: &self.hash, aad };
        self.cipher.encrypt_with_backend(Run { packet, text, order, done: &mut done });
        done
    }
}

/// The hash key in POLYVAL's field: GHASH's, octets reversed, times x (RFC 8452 Appendix A). Without a branch.
const fn times_x(element: u128) -> u128 {
    let carry = element >> 127;
    (element << 1) ^ carry ^ (carry << 127) ^ (carry << 126) ^ (carry << 121)
}

/// What a packet is hashed with.
struct Packet<'a> {
    nonce: Counters,
    hash: &'a Polyval,
    aad: &'a [u8],
}

/// The counter blocks of one nonce.
#[derive(Clone, Copy)]
struct Counters(Block);

impl Counters {
    #[inline(always)]
    const fn of(nonce: Nonce) -> Self {
        Self(Array(nonce.octets()))
    }

    #[inline(always)]
    fn block(self, count: u32) -> Block {
        let mut block = self.0;
        if let Some(place) = block.last_chunk_mut() {
            *place = count.to_be_bytes();
        }
        block
    }
}

/// Sealing or opening: in which order text is encrypted and hashed, and what is done with the ICV.
trait Order {
    fn carry_out<B: BlockCipherEncBackend<BlockSize = U16>>(
        self,
        backend: &B,
        packet: &Packet<'_>,
        text: &mut [u8],
    ) -> Option<()>;
}

struct Seal<'a> {
    icv: &'a mut [u8],
}

struct Open<'a> {
    icv: &'a [u8],
}

impl Order for Seal<'_> {
    #[inline(always)]
    fn carry_out<B: BlockCipherEncBackend<BlockSize = U16>>(
        self,
        backend: &B,
        packet: &Packet<'_>,
        text: &mut [u8],
    ) -> Option<()> {
        let mask = key_block(backend, packet.nonce.block(MASK));
        apply_key_stream(backend, packet.nonce, text);
        let tag = tag(packet, text, &mask);
        self.icv.copy_from_slice(tag.get(..self.icv.len())?);
        Some(())
    }
}

impl Order for Open<'_> {
    #[inline(always)]
    fn carry_out<B: BlockCipherEncBackend<BlockSize = U16>>(
        self,
        backend: &B,
        packet: &Packet<'_>,
        text: &mut [u8],
    ) -> Option<()> {
        let mask = key_block(backend, packet.nonce.block(MASK));
        let tag = tag(packet, text, &mask);
        let is_right = tag.get(..self.icv.len())?.ct_eq(self.icv);
        bool::from(is_right).then(|| apply_key_stream(backend, packet.nonce, text))
    }
}

/// All of one packet, inside the code that was compiled for the CPU's AES instructions: what is inlined into it may use
/// them, and the wide registers that go with them.
struct Run<'a, O> {
    packet: Packet<'a>,
    text: &'a mut [u8],
    order: O,
    done: &'a mut Option<()>,
}

impl<O> BlockSizeUser for Run<'_, O> {
    type BlockSize = U16;
}

impl<O: Order> BlockCipherEncClosure for Run<'_, O> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        *self.done = self.order.carry_out(backend, &self.packet, self.text);
    }
}

#[inline(always)]
fn key_block<B: BlockCipherEncBackend<BlockSize = U16>>(backend: &B, counter: Block) -> Block {
    let mut key = Block::default();
    backend.encrypt_block((&counter, &mut key).into());
    key
}

/// Octet by octet, which the compiler makes one operation of. (Loops, here and below: the closures of iterators would be
/// compiled without the instructions that [`Run`] is about.)
#[inline(always)]
fn xor(text: &mut [u8], key: &Block) {
    for (octet, key) in text.iter_mut().zip(key) {
        *octet ^= *key;
    }
}

/// Encrypts or decrypts the text: as many blocks at once as AES takes, where these are not far more than there are.
#[inline(always)]
fn apply_key_stream<B: BlockCipherEncBackend<BlockSize = U16>>(
    backend: &B,
    nonce: Counters,
    text: &mut [u8],
) {
    let at_once = B::ParBlocksSize::USIZE;
    let (mut blocks, tail) = text.as_chunks_mut::<BLOCK>();
    let mut count = MASK;
    while blocks.len() > at_once / 4 {
        let (now, later) = blocks.split_at_mut(at_once.min(blocks.len()));
        let mut keys = ParBlocks::<B>::default();
        for (key, ahead) in keys.iter_mut().zip(1..) {
            *key = nonce.block(count.wrapping_add(ahead));
        }
        backend.encrypt_par_blocks((&mut keys).into());
        for (block, key) in now.iter_mut().zip(&keys) {
            xor(block, key);
        }
        count = count.wrapping_add(now.len() as u32);
        blocks = later;
    }
    for block in blocks {
        count = count.wrapping_add(1);
        xor(block, &key_block(backend, nonce.block(count)));
    }
    if !tail.is_empty() {
        xor(tail, &key_block(backend, nonce.block(count.wrapping_add(1))));
    }
}

/// The tag over additional data and cipher text.
#[inline(always)]
fn tag(packet: &Packet<'_>, text: &[u8], mask: &Block) -> Block {
    let aad = packet.aad;
    let (aad_blocks, aad_tail) = aad.as_chunks::<BLOCK>();
    let (text_blocks, text_tail) = text.as_chunks::<BLOCK>();
    let blocks = aad.len().div_ceil(BLOCK) + text.len().div_ceil(BLOCK) + 1;
    let mut hash = Row::new(packet.hash, blocks);
    for block in aad_blocks {
        hash.push(block);
    }
    hash.push_tail(aad_tail);
    let mut text_blocks = text_blocks.iter();
    while !hash.is_at_start()
        && let Some(block) = text_blocks.next()
    {
        hash.push(block);
    }
    let (fours, rest) = text_blocks.as_slice().as_chunks();
    for four in fours {
        hash.push_four(four);
    }
    for block in rest {
        hash.push(block);
    }
    hash.push_tail(text_tail);
    let bits = |octets: &[u8]| u128::from(octets.len() as u64) * 8;
    hash.push(&(bits(aad) << 64 | bits(text)).to_be_bytes());
    let mut tag = reversed(&hash.polyval.finalize().0);
    xor(&mut tag, mask);
    tag
}

#[inline(always)]
fn reversed(block: &[u8; BLOCK]) -> Block {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *block;
    Array([p, o, n, m, l, k, j, i, h, g, f, e, d, c, b, a])
}

/// Blocks on their way into POLYVAL, which takes four in little more time than one. What the row is short of a multiple of
/// four stands at its beginning as zeros, which change nothing.
struct Row {
    polyval: Polyval,
    four: Array<Block, U4>,
    /// Blocks of `four` that are there.
    at: usize,
}

impl Row {
    #[inline(always)]
    fn new(polyval: &Polyval, blocks: usize) -> Self {
        Self { polyval: polyval.clone(), four: Array::default(), at: blocks.wrapping_neg() % 4 }
    }

    const fn is_at_start(&self) -> bool {
        self.at == 0
    }

    #[inline(always)]
    fn push(&mut self, block: &[u8; BLOCK]) {
        if let Some(place) = self.four.get_mut(self.at) {
            *place = reversed(block);
        }
        self.at += 1;
        if self.at == 4 {
            self.polyval.proc_par_blocks(&self.four);
            self.at = 0;
        }
    }

    /// Part of a block, if there is any.
    #[inline(always)]
    fn push_tail(&mut self, tail: &[u8]) {
        if !tail.is_empty() {
            let mut block = [0; BLOCK];
            for (to, from) in block.iter_mut().zip(tail) {
                *to = *from;
            }
            self.push(&block);
        }
    }

    /// Four blocks where none is waiting.
    #[inline(always)]
    fn push_four(&mut self, blocks: &[[u8; BLOCK]; 4]) {
        for (to, from) in self.four.iter_mut().zip(blocks) {
            *to = reversed(from);
        }
        self.polyval.proc_par_blocks(&self.four);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::aead::{AeadInOut, KeyInit};
    use aes::{Aes128, Aes128Enc, Aes192, Aes192Enc, Aes256, Aes256Enc};
    use aes_gcm::AesGcm;
    use cipher::consts::{U8, U12};
    use proptest::prelude::*;
    use std::vec::Vec;

    type Sealed = (Vec<u8>, Vec<u8>);

    fn oracle<C, T>(key: &[u8], nonce: [u8; 12], aad: &[u8], text: &[u8]) -> Sealed
    where
        AesGcm<C, U12, T>: AeadInOut<NonceSize = U12, TagSize = T> + KeyInit,
        T: aes_gcm::TagSize,
    {
        let gcm = AesGcm::<C, U12, T>::new_from_slice(key).unwrap();
        let mut text = text.to_vec();
        let tag = gcm.encrypt_inout_detached(&nonce.into(), aad, (&mut text[..]).into()).unwrap();
        (text, tag.to_vec())
    }

    fn check<G: CombinedMode>(
        key: &[u8],
        nonce: [u8; 12],
        aad: &[u8],
        text: &[u8],
        expected: &Sealed,
        bit: usize,
    ) {
        let gcm = G::new(key).unwrap();
        let number = nonce.iter().fold(0, |number, octet| number << 8 | u128::from(*octet)) << 32;
        let nonce = Nonce::from_high_octets(number);
        let (mut sealed, mut icv) = (text.to_vec(), std::vec![0; G::ICV_LEN]);
        gcm.seal(nonce, aad, &mut sealed, &mut icv).unwrap();
        assert_eq!((&sealed, &icv), (&expected.0, &expected.1), "{} octets", text.len());
        let mut opened = sealed.clone();
        gcm.open(nonce, aad, &mut opened, &icv).unwrap();
        assert_eq!(opened, text);
        // A wrong bit anywhere, and the text stays as it came.
        let all = aad.len() + text.len() + icv.len();
        let (at, mask) = (bit / 8 % all, 1 << (bit % 8));
        let (mut aad, mut forged) = (aad.to_vec(), sealed);
        aad.iter_mut().chain(&mut forged).chain(&mut icv).enumerate().for_each(|(n, octet)| {
            *octet ^= if n == at { mask } else { 0 };
        });
        let mut tried = forged.clone();
        assert_eq!(gcm.open(nonce, &aad, &mut tried, &icv), None);
        assert_eq!(tried, forged);
    }

    fn check_all(key: &[u8; 32], nonce: [u8; 12], aad: &[u8], text: &[u8], bit: usize) {
        let (short, middle) = (&key[..16], &key[..24]);
        let sealed = oracle::<Aes128, U16>(short, nonce, aad, text);
        check::<Gcm<Aes128Enc, U16>>(short, nonce, aad, text, &sealed, bit);
        let sealed = oracle::<Aes192, U12>(middle, nonce, aad, text);
        check::<Gcm<Aes192Enc, U12>>(middle, nonce, aad, text, &sealed, bit);
        let sealed = oracle::<Aes256, U8>(key, nonce, aad, text);
        check::<Gcm<Aes256Enc, U8>>(key, nonce, aad, text, &sealed, bit);
    }

    /// Every length up to some batches of key stream, with the additional data of ESP: each place where what is done in
    /// one piece ends.
    #[test]
    fn every_length_is_as_by_aes_gcm() {
        let text: Vec<u8> = (0..2_200u32).map(|n| (n * 7 % 251) as u8).collect();
        for len in 0..text.len() {
            for aad in [8, 12] {
                check_all(&[3; 32], [len as u8; 12], &text[..aad], &text[..len], len * 5);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn random_packets_are_as_by_aes_gcm(
            key: [u8; 32],
            nonce: [u8; 12],
            aad in prop::collection::vec(any::<u8>(), 0..80),
            text in prop::collection::vec(any::<u8>(), 0..9_100),
            bit: usize,
        ) {
            check_all(&key, nonce, &aad, &text, bit);
        }
    }
}
