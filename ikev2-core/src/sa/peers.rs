//! Which IKE SAs there are between two identities: what INITIAL_CONTACT is about (RFC 7296 §2.4), and the policy
//! for duplicates.

use crate::event::IkeSaHandle;
use crate::identity::Identity;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use ipsec_types::Instant;

/// Us and the peer.
pub(crate) type IdentityPair = (Identity, Identity);

/// An IKE SA with a peer: established, or on its way there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct PeerSa {
    pair: Arc<IdentityPair>,
    handle: IkeSaHandle,
}

/// The IKE SAs by the identities at their ends, and when each was established; those that are not established only
/// where we know the peer's beforehand.
#[derive(Debug, Default)]
pub(crate) struct Peers(BTreeMap<PeerSa, Option<Instant>>);

impl Peers {
    fn range(
        &self,
        pair: &Arc<IdentityPair>,
    ) -> impl Iterator<Item = (IkeSaHandle, Option<Instant>)> + use<'_> {
        let with = |handle| PeerSa { pair: Arc::clone(pair), handle };
        let range = with(IkeSaHandle::FIRST)..=with(IkeSaHandle::LAST);
        self.0.range(range).map(|(sa, established_at)| (sa.handle, *established_at))
    }

    /// The IKE SAs between these two.
    pub(crate) fn between(&self, pair: &Arc<IdentityPair>) -> impl Iterator<Item = IkeSaHandle> + use<'_> {
        self.range(pair).map(|(handle, _)| handle)
    }

    /// Those of them that were established before this moment. SAs that both ends began at once are not older
    /// than each other, so that neither gives way.
    pub(crate) fn older(
        &self,
        pair: &Arc<IdentityPair>,
        than: Instant,
    ) -> impl Iterator<Item = IkeSaHandle> + use<'_> {
        let older = move |established: Option<Instant>| established.is_some_and(|at| at < than);
        self.range(pair).filter(move |(_, established)| older(*established)).map(|(handle, _)| handle)
    }

    pub(crate) fn insert(
        &mut self,
        pair: &Arc<IdentityPair>,
        handle: IkeSaHandle,
        established_at: Option<Instant>,
    ) {
        self.0.insert(PeerSa { pair: Arc::clone(pair), handle }, established_at);
    }

    pub(crate) fn remove(&mut self, pair: &Arc<IdentityPair>, handle: IkeSaHandle) {
        self.0.remove(&PeerSa { pair: Arc::clone(pair), handle });
    }
}
