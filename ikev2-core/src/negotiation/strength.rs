//! How strong a transform is held to be, by its type (RFC 8247, RFC 8221).

use ikev2_wire::{EncrId, IntegId, KeMethod, PrfId, Transform, TransformType};
use ipsec_crypto::requirements::{self, Strength};

/// What the documents say of it. Of kinds of sequence numbers they say nothing, and nothing of what they do not know.
pub(super) fn strength(transform: &Transform) -> Strength {
    match transform.ty {
        TransformType::ENCR => requirements::encryption(EncrId(transform.id)),
        TransformType::PRF => requirements::prf(PrfId(transform.id)),
        // Where it may stand at all, it is the cipher that protects integrity.
        TransformType::INTEG if transform.id == IntegId::NONE.0 => Strength::Acceptable,
        TransformType::INTEG => requirements::integrity(IntegId(transform.id)),
        ty if ty.is_key_exchange() && transform.id == KeMethod::NONE.0 => Strength::Acceptable,
        ty if ty.is_key_exchange() => requirements::key_exchange(KeMethod(transform.id)),
        _ => Strength::Acceptable,
    }
}
