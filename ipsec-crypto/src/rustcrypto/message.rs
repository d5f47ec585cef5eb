//! The hash of a message that comes in parts.

use sha2::digest::{Digest, Output};

pub(super) fn digest<D: Digest>(message: &[&[u8]]) -> Output<D> {
    message.iter().fold(D::new(), |hash, part| hash.chain_update(part)).finalize()
}
