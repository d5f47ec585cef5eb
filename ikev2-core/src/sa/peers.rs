//! Which IKE SAs there are between two authenticated identities: what INITIAL_CONTACT is about (RFC 7296 §2.4),
//! and the policy for duplicates.

use crate::event::IkeSaHandle;
use crate::identity::Identity;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Us and the peer.
pub(crate) type IdentityPair = (Identity, Identity);

/// The established IKE SAs by the identities at their ends.
#[derive(Debug, Default)]
pub(crate) struct Peers(BTreeMap<IdentityPair, Vec<IkeSaHandle>>);

impl Peers {
    /// The IKE SAs between these two, the oldest first.
    pub(crate) fn between(&self, pair: &IdentityPair) -> &[IkeSaHandle] {
        self.0.get(pair).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn insert(&mut self, pair: IdentityPair, sa: IkeSaHandle) {
        self.0.entry(pair).or_default().push(sa);
    }

    pub(crate) fn remove(&mut self, pair: &IdentityPair, sa: IkeSaHandle) {
        if let Some(sas) = self.0.get_mut(pair) {
            sas.retain(|other| *other != sa);
            if sas.is_empty() {
                self.0.remove(pair);
            }
        }
    }
}
