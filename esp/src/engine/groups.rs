//! Inbound SAs to groups, found by more than their SPI (RFC 4301 §4.1, RFC 5374): their SPIs were not chosen here, so
//! one may be that of another group, or of an SA between two peers.

use super::entry::Inbound;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::net::IpAddr;
use ipsec_types::EspSpi;
use ipsec_types::sa::{ChildSaId, GroupSa};

/// What a packet must have for it to be one of the SA's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct GroupKey {
    spi: EspSpi,
    group: IpAddr,
    source: Option<IpAddr>,
}

impl GroupKey {
    pub(super) const fn of(spi: EspSpi, group: &GroupSa) -> Self {
        Self { spi, group: group.group, source: group.source }
    }
}

/// See the module.
#[derive(Default, Debug)]
pub(super) struct Groups {
    sas: BTreeMap<GroupKey, Box<Inbound>>,
    keys: BTreeMap<ChildSaId, GroupKey>,
}

impl Groups {
    pub(super) fn len(&self) -> usize {
        self.sas.len()
    }

    /// The SA of a packet, the longest match first: by SPI, destination and source, then by SPI and destination.
    #[inline]
    pub(super) fn find(
        &mut self,
        spi: EspSpi,
        destination: IpAddr,
        source: IpAddr,
    ) -> Option<&mut Box<Inbound>> {
        if self.sas.is_empty() || !destination.is_multicast() {
            return None;
        }
        let key = GroupKey { spi, group: destination, source: Some(source) };
        let any_source = GroupKey { source: None, ..key };
        let found = if self.sas.contains_key(&key) { key } else { any_source };
        self.sas.get_mut(&found)
    }

    pub(super) fn has_key(&self, key: &GroupKey) -> bool {
        self.sas.contains_key(key)
    }

    pub(super) fn has(&self, id: ChildSaId) -> bool {
        self.keys.contains_key(&id)
    }

    pub(super) fn get(&self, id: ChildSaId) -> Option<&Inbound> {
        self.sas.get(self.keys.get(&id)?).map(|entry| &**entry)
    }

    pub(super) fn get_mut(&mut self, id: ChildSaId) -> Option<&mut Inbound> {
        self.sas.get_mut(self.keys.get(&id)?).map(|entry| &mut **entry)
    }

    pub(super) fn insert(&mut self, key: GroupKey, entry: Inbound) {
        self.keys.insert(entry.sa.child().id, key);
        self.sas.insert(key, Box::new(entry));
    }

    pub(super) fn remove(&mut self, id: ChildSaId) -> Option<Box<Inbound>> {
        self.sas.remove(&self.keys.remove(&id)?)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Inbound> {
        self.sas.values().map(|entry| &**entry)
    }
}
