//! Which inner addresses are given to whom, over all IKE SAs: an address goes back when the last of its peer's ends.

use crate::identity::Identity;
use alloc::collections::BTreeMap;
use core::net::IpAddr;

/// An address in use.
#[derive(Debug)]
struct Held {
    peer: Identity,
    by: usize,
}

/// All of them. Never more than the IKE SAs ask for.
#[derive(Debug, Default)]
pub(crate) struct Leases(BTreeMap<IpAddr, Held>);

impl Leases {
    /// What a peer holds.
    pub(crate) fn of<'a>(&'a self, peer: &'a Identity) -> impl Iterator<Item = IpAddr> + use<'a> {
        self.0.iter().filter(|(_, held)| held.peer == *peer).map(|(address, _)| *address)
    }

    /// Whether somebody else holds one of these.
    pub(crate) fn is_another(&self, peer: &Identity, mut addresses: impl Iterator<Item = IpAddr>) -> bool {
        addresses.any(|address| self.0.get(&address).is_some_and(|held| held.peer != *peer))
    }

    /// One more IKE SA of this peer's has the address.
    pub(crate) fn hold(&mut self, peer: &Identity, address: IpAddr) {
        let held = self.0.entry(address).or_insert_with(|| Held { peer: peer.clone(), by: 0 });
        held.by = held.by.saturating_add(1);
    }

    /// One less. Gives whether it was the last.
    pub(crate) fn drop_one(&mut self, address: IpAddr) -> bool {
        let Some(held) = self.0.get_mut(&address) else { return false };
        held.by = held.by.saturating_sub(1);
        let last = held.by == 0;
        if last {
            self.0.remove(&address);
        }
        last
    }
}
