//! Which outbound SA carries a packet: the place of the security policy database.
//!
//! Until there is one (RFC 4301 §4.4.1), the SAs that carry traffic are asked in order, the newest first; what
//! none admits is not sent. A policy database answers the same question, [`Routes::find`], from its entries.

use crate::ip::IpHeader;
use crate::selectors;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ipsec_types::sa::{ChildSa, ChildSaId, Direction};

/// The pairs whose outbound SA carries traffic, the newest last.
#[derive(Default, Debug)]
pub(super) struct Routes(Vec<Arc<ChildSa>>);

impl Routes {
    /// The pair whose SA carries the packet.
    #[inline]
    pub(super) fn find(&self, packet: &IpHeader) -> Option<ChildSaId> {
        let admits = |child: &&Arc<ChildSa>| selectors::admits(child, packet, Direction::Outbound);
        self.0.iter().rev().find(admits).map(|child| child.id)
    }

    /// Lets a new pair carry traffic.
    pub(super) fn add(&mut self, child: &Arc<ChildSa>) {
        self.0.push(Arc::clone(child));
    }

    /// Lets `to` carry what `from` carried, in its place; as the newest where `from` carries nothing.
    pub(super) fn switch(&mut self, from: ChildSaId, to: &Arc<ChildSa>) {
        if from == to.id {
            return;
        }
        self.remove(to.id);
        match self.0.iter_mut().find(|child| child.id == from) {
            Some(place) => *place = Arc::clone(to),
            None => self.add(to),
        }
    }

    /// Lets a pair carry nothing more.
    pub(super) fn remove(&mut self, id: ChildSaId) {
        self.0.retain(|child| child.id != id);
    }
}
