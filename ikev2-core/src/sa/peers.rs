//! Which IKE SAs there are between two identities: what INITIAL_CONTACT is about (RFC 7296 §2.4), and the policy
//! for duplicates.

use crate::event::IkeSaHandle;
use crate::identity::Identity;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use ipsec_types::Instant;

/// Us and the peer.
pub(crate) type IdentityPair = (Identity, Identity);

/// An IKE SA with a peer: established, or on its way there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerSa {
    pub handle: IkeSaHandle,
    pub established_at: Option<Instant>,
}

/// The IKE SAs by the identities at their ends; those that are not established only where we know the peer's
/// beforehand.
#[derive(Debug, Default)]
pub(crate) struct Peers(BTreeMap<IdentityPair, Vec<PeerSa>>);

impl Peers {
    /// The IKE SAs between these two.
    pub(crate) fn between(&self, pair: &IdentityPair) -> &[PeerSa] {
        self.0.get(pair).map_or(&[], Vec::as_slice)
    }

    /// Those of them that were established before this moment. SAs that both ends began at once are not older
    /// than each other, so that neither gives way.
    pub(crate) fn older(&self, pair: &IdentityPair, than: Instant) -> impl Iterator<Item = IkeSaHandle> {
        let older = move |sa: &&PeerSa| sa.established_at.is_some_and(|at| at < than);
        self.between(pair).iter().filter(older).map(|sa| sa.handle)
    }

    pub(crate) fn insert(
        &mut self,
        pair: IdentityPair,
        handle: IkeSaHandle,
        established_at: Option<Instant>,
    ) {
        self.0.entry(pair).or_default().push(PeerSa { handle, established_at });
    }

    pub(crate) fn remove(&mut self, pair: &IdentityPair, handle: IkeSaHandle) {
        if let Some(sas) = self.0.get_mut(pair) {
            sas.retain(|other| other.handle != handle);
            if sas.is_empty() {
                self.0.remove(pair);
            }
        }
    }
}
