//! Values of ESP alone as fields of a state that moves: see [`ipsec_crypto::state`], which has those that IKE speaks of too.
//! Where something was added since, the version in front of a pair says so.

use ipsec_crypto::state::{StateError, StateReader, StateWriter};
use ipsec_types::sa::ExpiryReason;

const REASONS: [ExpiryReason; 5] = [
    ExpiryReason::Time,
    ExpiryReason::Octets,
    ExpiryReason::Packets,
    ExpiryReason::SequenceNumbers,
    ExpiryReason::CipherUsage,
];

pub(crate) fn put_reason(w: &mut StateWriter, reason: ExpiryReason) {
    w.put_one_of(&REASONS, &reason);
}

pub(crate) fn reason(r: &mut StateReader<'_>) -> Result<ExpiryReason, StateError> {
    r.one_of(&REASONS, "limit of an SA")
}
