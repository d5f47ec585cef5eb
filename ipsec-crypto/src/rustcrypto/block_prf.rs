//! PRFs of a MAC over AES-128: AES-XCBC-PRF-128 (RFC 4434) and AES-CMAC-PRF-128 (RFC 4615).

use super::prf::Keyed;
use super::xcbc::Xcbc;
use crate::prf::{KeyedPrf, PrfAlgorithm, PrfId};
use aes::Aes128;
use alloc::boxed::Box;
use cmac::Cmac;
use core::fmt;
use core::marker::PhantomData;
use hmac::digest::consts::U16;
use hmac::digest::{Key, OutputSizeUser};
use hmac::{KeyInit, Mac};
use zeroize::Zeroize;

/// Octets of the MAC's key and of its output.
const KEY_LEN: usize = 16;

/// A MAC whose key has 16 octets, and how a key of another length becomes one.
pub(super) trait BlockMac:
    Mac + KeyInit<KeySize = U16> + OutputSizeUser<OutputSize = U16> + Clone
{
    /// Its transform ID.
    const ID: PrfId;
    /// Whether a key that is too short is filled up with zeros, as a key that is too long is not.
    const FILLS_UP: bool;
}

impl BlockMac for Xcbc {
    const ID: PrfId = PrfId::AES128_XCBC;
    /// RFC 4434 §2.
    const FILLS_UP: bool = true;
}

impl BlockMac for Cmac<Aes128> {
    const ID: PrfId = PrfId::AES128_CMAC;
    /// RFC 4615 §3.
    const FILLS_UP: bool = false;
}

/// The MAC `M` as a PRF.
pub(super) struct BlockPrf<M>(PhantomData<fn() -> M>);

impl<M> BlockPrf<M> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<M: BlockMac> fmt::Debug for BlockPrf<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockPrf({})", M::ID)
    }
}

/// The MAC under a key of any length. One of another length than [`KEY_LEN`] becomes the MAC of itself under
/// a key of zeros, but for one that is filled up.
fn keyed<M: BlockMac>(key: &[u8]) -> M {
    let mut block = Key::<M>::default();
    if key.len() == KEY_LEN || (M::FILLS_UP && key.len() < KEY_LEN) {
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
    } else {
        block = <M as KeyInit>::new(&block).chain_update(key).finalize().into_bytes();
    }
    let mac = <M as KeyInit>::new(&block);
    block.as_mut_slice().zeroize();
    mac
}

impl<M: BlockMac + Send + Sync + 'static> PrfAlgorithm for BlockPrf<M> {
    fn id(&self) -> PrfId {
        M::ID
    }

    fn key_len(&self) -> usize {
        KEY_LEN
    }

    fn output_len(&self) -> usize {
        KEY_LEN
    }

    fn nonce_key_octets(&self) -> Option<usize> {
        Some(8)
    }

    fn with_key(&self, key: &[u8]) -> Box<dyn KeyedPrf> {
        Box::new(Keyed(keyed::<M>(key)))
    }
}
