//! Which outbound SA carries a packet.
//!
//! The SAs that carry traffic are asked in order, the newest first, all of them or those of one policy.

use super::table::Slot;
use crate::ip::IpHeader;
use crate::selectors::{self, Plain};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ipsec_types::sa::{ChildSa, ChildSaId, Direction, PolicyId};

/// A pair whose outbound SA carries traffic, and where that lies.
#[derive(Debug)]
struct Carrier {
    /// Of `child`.
    selectors: Option<Plain>,
    child: Arc<ChildSa>,
    slot: Slot,
}

impl Carrier {
    fn new(child: &Arc<ChildSa>, slot: Slot) -> Self {
        Self { selectors: Plain::of(child, Direction::Outbound), child: Arc::clone(child), slot }
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
    /// The SA that carries the packet, of this policy where one is told.
    #[inline]
    pub(super) fn find(&self, packet: &IpHeader, policy: Option<PolicyId>) -> Option<Slot> {
        let carries = |carrier: &&Carrier| {
            policy.is_none_or(|policy| carrier.child.policy == policy) && carrier.admits(packet)
        };
        self.0.iter().rev().find(carries).map(|carrier| carrier.slot)
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
    pub(super) fn add(&mut self, child: &Arc<ChildSa>, slot: Slot) {
        self.0.push(Carrier::new(child, slot));
    }

    /// Lets `to` carry what `from` carried, in its place; as the newest where `from` carries nothing.
    pub(super) fn switch(&mut self, from: ChildSaId, to: &Arc<ChildSa>, slot: Slot) {
        if from == to.id {
            return;
        }
        self.remove(to.id);
        match self.0.iter_mut().find(|carrier| carrier.child.id == from) {
            Some(place) => *place = Carrier::new(to, slot),
            None => self.add(to, slot),
        }
    }

    /// Lets a pair carry nothing more.
    pub(super) fn remove(&mut self, id: ChildSaId) {
        self.0.retain(|carrier| carrier.child.id != id);
    }
}
