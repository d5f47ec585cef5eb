//! AES-GMAC in ESP (ENCR 21, RFC 4543): AES-GCM that encrypts nothing. The text stays readable and is
//! authenticated as a part of the additional data.
//!
//! Figure 4 of the RFC draws the IV into the authenticated octets and §7 keeps it out. What other
//! implementations do, and the author's test case in draft-mcgrew-gcm-test-01 shows, is the figure: header
//! with the 64-bit number where there is one, IV, text.

use crate::cipher::{CipherAlgorithm, CipherError, PacketCipher, PacketNumber, UsageLimits};
use crate::packet::{Parts, Shape, esn_header, high_half};
use alloc::boxed::Box;
use cipher::array::Array;
use cipher::consts::U16;
use cipher::typenum::Unsigned;
use cipher::{BlockCipherEncrypt, BlockSizeUser, KeyInit};
use core::fmt;
use core::marker::PhantomData;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, IntegId};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

const SALT_LEN: usize = 4;
const IV_LEN: usize = 8;
const SHAPE: Shape = Shape { iv_len: IV_LEN, icv_len: 16, block_len: 1 };

type Block = Array<u8, U16>;

/// GMAC over the block cipher `C`.
pub(super) struct Gmac<C> {
    suite: CipherSuite,
    limits: UsageLimits,
    cipher: PhantomData<fn() -> C>,
}

impl<C> Gmac<C> {
    pub(super) const fn new(key_bits: u16, limits: UsageLimits) -> Self {
        let encr = EncrId::NULL_AUTH_AES_GMAC;
        let suite = CipherSuite { encr, key_bits: Some(key_bits), integ: IntegId::NONE };
        Self { suite, limits, cipher: PhantomData }
    }
}

impl<C> fmt::Debug for Gmac<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gmac({})", self.suite)
    }
}

impl<C> CipherAlgorithm for Gmac<C>
where
    C: KeyInit + BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt + ZeroizeOnDrop + Send + Sync + 'static,
{
    fn suite(&self) -> CipherSuite {
        self.suite
    }

    fn library(&self) -> &'static str {
        super::LIBRARY
    }

    fn encr_key_len(&self) -> usize {
        C::KeySize::USIZE + SALT_LEN
    }

    fn salt_len(&self) -> usize {
        SALT_LEN
    }

    fn integ_key_len(&self) -> usize {
        0
    }

    fn for_ike(&self) -> bool {
        false
    }

    fn with_keys(&self, keys: &SaKeys) -> Result<Box<dyn PacketCipher>, CipherError> {
        if !keys.integ.is_empty() {
            return Err(CipherError::KeyLength { expected: 0, got: keys.integ.len() });
        }
        let error = CipherError::KeyLength { expected: self.encr_key_len(), got: keys.encr.len() };
        let (key, salt) = keys.encr.as_slice().split_at_checked(C::KeySize::USIZE).ok_or(error)?;
        let salt = salt.try_into().map_err(|_| error)?;
        let cipher = C::new_from_slice(key).map_err(|_| error)?;
        let mut hash_key = Block::default();
        cipher.encrypt_block(&mut hash_key);
        let hash = GHash::new(&hash_key);
        hash_key.as_mut_slice().zeroize();
        Ok(Box::new(Keyed { cipher, hash, salt, limits: self.limits }))
    }
}

struct Keyed<C> {
    cipher: C,
    hash: GHash,
    salt: [u8; SALT_LEN],
    limits: UsageLimits,
}

impl<C> Drop for Keyed<C> {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

/// Octets of IV and text that share two blocks with an ESP header of twelve octets.
const HEAD_PAYLOAD: usize = 2 * 16 - 12;

impl<C: BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt> Keyed<C> {
    /// The ICV of `authenticated`, which is header, IV and text.
    fn tag(
        &self,
        number: PacketNumber,
        header_len: usize,
        authenticated: &[u8],
    ) -> Result<Block, CipherError> {
        let length = CipherError::PacketLength { got: authenticated.len() };
        let (header, payload) = authenticated.split_at_checked(header_len).ok_or(length)?;
        let iv = payload.first_chunk::<IV_LEN>().ok_or(length)?;

        let mut hash = self.hash.clone();
        let mut octets = authenticated.len();
        if number.high_in_icv {
            octets = octets.saturating_add(4);
            let [s0, s1, s2, s3, l0, l1, l2, l3] = *esn_header(header)?;
            let [h0, h1, h2, h3] = high_half(number);
            let (start, rest) = payload.split_at_checked(HEAD_PAYLOAD).unwrap_or((payload, &[]));
            let mut head = [0; 2 * 16];
            let header = [s0, s1, s2, s3, h0, h1, h2, h3, l0, l1, l2, l3];
            for (to, from) in head.iter_mut().zip(header.iter().chain(start)) {
                *to = *from;
            }
            // What is not filled of the two blocks is the padding; a block of padding alone is none.
            hash.update_padded(head.get(..header.len().saturating_add(start.len())).ok_or(length)?);
            hash.update_padded(rest);
        } else {
            hash.update_padded(authenticated);
        }
        // The lengths of additional data and cipher text in bits, of which there is none.
        let bits = u64::try_from(octets).map_err(|_| length)?.saturating_mul(8);
        hash.update(&[Array((u128::from(bits) << 64).to_be_bytes())]);

        let ([s0, s1, s2, s3], [i0, i1, i2, i3, i4, i5, i6, i7]) = (self.salt, *iv);
        let mut mask = Array([s0, s1, s2, s3, i0, i1, i2, i3, i4, i5, i6, i7, 0, 0, 0, 1]);
        self.cipher.encrypt_block(&mut mask);
        let mut tag = hash.finalize();
        for (to, from) in tag.iter_mut().zip(&mask) {
            *to ^= *from;
        }
        Ok(tag)
    }
}

impl<C> PacketCipher for Keyed<C>
where
    C: BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt + Send + Sync,
{
    fn iv_len(&self) -> usize {
        SHAPE.iv_len
    }

    fn icv_len(&self) -> usize {
        SHAPE.icv_len
    }

    fn block_len(&self) -> usize {
        SHAPE.block_len
    }

    fn limits(&self) -> UsageLimits {
        self.limits
    }

    fn seal(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        let Parts { header, iv, .. } = SHAPE.cut(header_len, packet)?;
        if number.high_in_icv {
            esn_header(header)?;
        }
        iv.copy_from_slice(&number.value.to_be_bytes());
        let (authenticated, icv) = SHAPE.cut_icv(header_len, packet)?;
        icv.copy_from_slice(&self.tag(number, header_len, authenticated)?);
        Ok(())
    }

    fn open(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        let (authenticated, icv) = SHAPE.cut_icv(header_len, packet)?;
        let tag = self.tag(number, header_len, authenticated)?;
        if tag.as_slice().ct_eq(icv).into() { Ok(()) } else { Err(CipherError::IntegrityCheck) }
    }
}
