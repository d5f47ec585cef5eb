//! What becomes of a packet to send (RFC 4301 §5.1): the policy database, the SAs that carry traffic, and the cache of
//! what both said.

use super::flows::{FlowCache, Route};
use super::routes::Routes;
use super::table::Slot;
use crate::icmp;
use crate::ip::IpHeader;
use crate::spd::{Action, Spd};
use alloc::sync::Arc;
use core::fmt;
use ipsec_types::sa::{ChildSa, ChildSaId, Direction, PolicyId, ResourceId};

/// Every change begins with an empty cache.
pub(super) struct Policy {
    spd: Option<Spd>,
    routes: Routes,
    flows: FlowCache,
    /// What sends.
    resource: Option<ResourceId>,
}

/// Why there is no route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NoSa {
    /// The policy that wants one.
    pub(super) policy: Option<PolicyId>,
}

impl Policy {
    /// Without a database: the SAs alone decide.
    pub(super) fn new(flows: usize) -> Self {
        Self { spd: None, routes: Routes::default(), flows: FlowCache::new(flows), resource: None }
    }

    pub(super) fn set(&mut self, spd: Option<Spd>) {
        self.flows.invalidate();
        self.spd = spd;
    }

    pub(super) const fn spd(&self) -> Option<&Spd> {
        self.spd.as_ref()
    }

    /// From now on this resource sends.
    pub(super) const fn set_resource(&mut self, resource: Option<ResourceId>) {
        self.resource = resource;
    }

    /// What sends.
    pub(super) const fn resource(&self) -> Option<ResourceId> {
        self.resource
    }

    /// Lets a new pair carry traffic.
    pub(super) fn add(&mut self, child: &Arc<ChildSa>, slot: Slot, resource: Option<ResourceId>) {
        self.flows.invalidate();
        self.routes.add(child, slot, resource);
    }

    /// Lets a pair carry traffic of this resource alone, or of all.
    pub(super) fn bind(&mut self, id: ChildSaId, resource: Option<ResourceId>) {
        self.flows.invalidate();
        self.routes.bind(id, resource);
    }

    /// Whether a pair carries traffic.
    pub(super) fn carries(&self, id: ChildSaId) -> bool {
        self.routes.have(id)
    }

    /// Lets `to` carry what `from` carried; where it is for no resource, of that which `from` was for. Gives that.
    pub(super) fn switch(
        &mut self,
        from: ChildSaId,
        to: &Arc<ChildSa>,
        slot: Slot,
        resource: Option<ResourceId>,
    ) -> Option<ResourceId> {
        self.flows.invalidate();
        self.routes.switch(from, to, slot, resource)
    }

    /// Lets a pair carry nothing more.
    pub(super) fn remove(&mut self, id: ChildSaId) {
        self.flows.invalidate();
        self.routes.remove(id);
    }

    /// What becomes of a packet to send.
    #[inline]
    pub(super) fn route(&mut self, packet: &IpHeader) -> Result<Route, NoSa> {
        if self.spd.is_none() && self.routes.are_few() {
            return self.search(packet);
        }
        if let Some(route) = self.flows.get(packet, self.resource) {
            return Ok(route);
        }
        let route = self.search(packet)?;
        self.flows.put(packet, self.resource, route);
        Ok(route)
    }

    /// The SA that will carry a packet, as far as the cache knows.
    pub(super) fn known_carrier(&self, packet: &IpHeader) -> Option<Slot> {
        match self.flows.peek(packet, self.resource) {
            Some(Route::By(slot) | Route::ByFallback(slot)) => Some(slot),
            _ => None,
        }
    }

    /// The SA that carries an ICMP error that has no other way: with the packets that would answer the one that it
    /// is about (RFC 4301 §6.2). That depends on more than the cache looks at.
    pub(super) fn carrier_of_answer(&self, packet: &[u8], header: &IpHeader) -> Option<Slot> {
        match self.search(&icmp::answer_to_quoted(packet, header)?) {
            Ok(Route::By(slot) | Route::ByFallback(slot)) => Some(slot),
            _ => None,
        }
    }

    fn search(&self, packet: &IpHeader) -> Result<Route, NoSa> {
        let policy = match self.spd.as_ref().map(|spd| spd.find(packet, Direction::Outbound)) {
            None => None,
            Some(Action::Protect(policy)) => Some(policy),
            Some(Action::Bypass) => return Ok(Route::Bypass),
            Some(Action::Discard) => return Ok(Route::Discard),
        };
        self.routes.find(packet, policy, self.resource).ok_or(NoSa { policy })
    }
}

impl fmt::Debug for Policy {
    /// Without the cache, which says nothing that the rest does not say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").field("spd", &self.spd).field("routes", &self.routes).finish_non_exhaustive()
    }
}
