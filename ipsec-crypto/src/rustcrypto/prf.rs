//! HMAC as a PRF (RFC 4868 §2.1.2, RFC 7296 §2.13).

use crate::prf::{KeyedPrf, PrfAlgorithm, PrfId};
use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;
use hmac::digest::typenum::Unsigned;
use hmac::digest::{Key, OutputSizeUser};
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// HMAC with the hash `H`. Its preferred key has the length of its output (RFC 4868 §2.1.2).
pub(super) struct HmacPrf<H> {
    id: PrfId,
    hash: PhantomData<fn() -> H>,
}

impl<H> HmacPrf<H> {
    pub(super) const fn new(id: PrfId) -> Self {
        Self { id, hash: PhantomData }
    }
}

impl<H> fmt::Debug for HmacPrf<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HmacPrf({})", self.id)
    }
}

/// HMAC under a key of any length, by RFC 2104 §2: a short one is filled up with zeros, a long one hashed
/// first.
fn keyed<H: EagerHash>(key: &[u8]) -> Hmac<H> {
    let mut block = Key::<Hmac<H>>::default();
    if key.len() <= block.len() {
        copy(key, &mut block);
    } else {
        let mut hash = H::digest(key);
        copy(&hash, &mut block);
        hash.as_mut_slice().zeroize();
    }
    let mac = Hmac::new(&block);
    block.as_mut_slice().zeroize();
    mac
}

/// Copies as much as fits.
fn copy(from: &[u8], to: &mut [u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

impl<H> PrfAlgorithm for HmacPrf<H>
where
    H: EagerHash + ZeroizeOnDrop + 'static,
    Hmac<H>: Clone + Send + Sync,
{
    fn id(&self) -> PrfId {
        self.id
    }

    fn key_len(&self) -> usize {
        self.output_len()
    }

    fn output_len(&self) -> usize {
        <Hmac<H> as OutputSizeUser>::OutputSize::USIZE
    }

    fn with_key(&self, key: &[u8]) -> Box<dyn KeyedPrf> {
        Box::new(Keyed(keyed::<H>(key)))
    }
}

/// A MAC as a PRF under a key.
pub(super) struct Keyed<M>(pub(super) M);

impl<M: Mac + Clone + Send + Sync> KeyedPrf for Keyed<M> {
    fn compute(&self, parts: &[&[u8]], output: &mut [u8]) {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        copy(mac.finalize().as_bytes(), output);
    }
}
