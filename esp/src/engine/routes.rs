//! Which outbound SA carries a packet.
//!
//! The SAs that carry traffic are asked in order, the newest first, all of them or those of one policy.

use super::flows::Route;
use super::table::Slot;
use crate::ip::IpHeader;
use crate::selectors::{self, Plain};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ipsec_types::sa::{ChildSa, ChildSaId, Direction, PolicyId, ResourceId};

/// A pair whose outbound SA carries traffic, and where that lies.
#[derive(Debug)]
struct Carrier {
    /// Of `child`.
    selectors: Option<Plain>,
    child: Arc<ChildSa>,
    slot: Slot,
    /// The one that it is for.
    resource: Option<ResourceId>,
}

impl Carrier {
    fn new(child: &Arc<ChildSa>, slot: Slot, resource: Option<ResourceId>) -> Self {
        let selectors = Plain::of(child, Direction::Outbound);
        Self { selectors, child: Arc::clone(child), slot, resource }
    }

    /// Whether both carry the same packets, but for their resources (RFC 9611 §3).
    fn is_like(&self, other: &Self) -> bool {
        let (a, b) = (&*self.child, &*other.child);
        (a.policy, &a.local, &a.remote) == (b.policy, &b.local, &b.remote)
    }

    #[inline]
    fn admits(&self, packet: &IpHeader) -> bool {
        self.selectors.is_some_and(|selectors| selectors.admits(packet))
            || selectors::admits(&self.child, packet, Direction::Outbound)
    }
}

/// The pairs whose outbound SA carries traffic, the newest last.
#[derive(Default, Debug)]
pub(super) struct Routes(Vec<Carrier>);

impl Routes {
    /// The SA that carries the packet, of this policy where one is told: the newest that serves all resources or this one,
    /// but rather one for this resource alone with the same selectors.
    #[inline]
    pub(super) fn find(
        &self,
        packet: &IpHeader,
        policy: Option<PolicyId>,
        resource: Option<ResourceId>,
    ) -> Option<Route> {
        let carries = |carrier: &&Carrier| {
            (carrier.resource.is_none() || carrier.resource == resource)
                && policy.is_none_or(|policy| carrier.child.policy == policy)
                && carrier.admits(packet)
        };
        let newest = self.0.iter().rev().find(carries)?;
        Some(if newest.resource == resource { Route::By(newest.slot) } else { self.rather(newest, resource) })
    }

    fn rather(&self, fallback: &Carrier, resource: Option<ResourceId>) -> Route {
        let is_own = |carrier: &&Carrier| carrier.resource == resource && carrier.is_like(fallback);
        let own = self.0.iter().rev().find(is_own);
        own.map_or(Route::ByFallback(fallback.slot), |own| Route::By(own.slot))
    }

    /// Whether to ask all of them costs no more than to look up an answer.
    pub(super) const fn are_few(&self) -> bool {
        self.0.len() <= 2
    }

    /// Whether a pair carries traffic.
    pub(super) fn have(&self, id: ChildSaId) -> bool {
        self.0.iter().any(|carrier| carrier.child.id == id)
    }

    /// Lets a new pair carry traffic.
    pub(super) fn add(&mut self, child: &Arc<ChildSa>, slot: Slot, resource: Option<ResourceId>) {
        self.0.push(Carrier::new(child, slot, resource));
    }

    /// Lets `to` carry what `from` carried, in its place; as the newest where `from` carries nothing. Where it is for no
    /// resource it is for that of `from` (RFC 9611 §3). Gives its resource.
    pub(super) fn switch(
        &mut self,
        from: ChildSaId,
        to: &Arc<ChildSa>,
        slot: Slot,
        resource: Option<ResourceId>,
    ) -> Option<ResourceId> {
        if from == to.id {
            return resource;
        }
        self.remove(to.id);
        match self.0.iter_mut().find(|carrier| carrier.child.id == from) {
            Some(place) => {
                let resource = resource.or(place.resource);
                *place = Carrier::new(to, slot, resource);
                resource
            }
            None => {
                self.add(to, slot, resource);
                resource
            }
        }
    }

    /// Lets a pair, if it carries traffic, carry that of this resource alone, or that of all.
    pub(super) fn bind(&mut self, id: ChildSaId, resource: Option<ResourceId>) {
        for carrier in self.0.iter_mut().filter(|carrier| carrier.child.id == id) {
            carrier.resource = resource;
        }
    }

    /// Lets a pair carry nothing more.
    pub(super) fn remove(&mut self, id: ChildSaId) {
        self.0.retain(|carrier| carrier.child.id != id);
    }
}
