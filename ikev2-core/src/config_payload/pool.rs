//! Where a responder takes inner addresses from: it asks the embedder by an event, or a pool at once.
//!
//! An identity keeps what it has while any IKE SA of it lives: reauthentication, rekeys and moves change nothing, and
//! when the last one ends the address is given back.

use super::{ConfigAttribute, Configuration};
use crate::identity::Identity;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// What a peer asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseRequest {
    /// The connection's name.
    pub connection: String,
    /// Who the peer has proved to be.
    pub peer: Identity,
    /// All that it asks for, in order: attributes without a value as a rule.
    pub attributes: Vec<ConfigAttribute>,
    /// What it holds by another IKE SA: whoever gives it the same again does nothing wrong.
    pub held: Vec<IpAddr>,
}

impl LeaseRequest {
    /// The inner addresses that it asks for: the unspecified one of a version of IP for any.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        use core::net::{Ipv4Addr, Ipv6Addr};
        use ikev2_wire::codes::CfgAttribute as Attribute;
        self.attributes.iter().filter_map(|attribute| match attribute.ty {
            Attribute::INTERNAL_IP4_ADDRESS => {
                let octets = <[u8; 4]>::try_from(&attribute.value[..]).ok();
                Some(octets.map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from).into())
            }
            Attribute::INTERNAL_IP6_ADDRESS => {
                let octets = attribute.value.first_chunk::<16>();
                Some(octets.map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets)).into())
            }
            _ => None,
        })
    }
}

/// Gives inner addresses at once.
pub trait AddressPool: fmt::Debug + Send + Sync {
    /// What this peer gets: its addresses, and whatever else it is to know. `None` where there is no address for it now
    /// (INTERNAL_ADDRESS_FAILURE).
    fn lease(&self, request: &LeaseRequest) -> Option<Configuration>;

    /// An IKE SA came from another endpoint, whose peer has this address.
    fn adopt(&self, peer: &Identity, address: IpAddr);

    /// The last IKE SA of this peer with this address has ended.
    fn release(&self, peer: &Identity, address: IpAddr);
}

/// Who is asked.
#[derive(Clone, Debug)]
pub enum AddressSource {
    /// The embedder, by [`Event::AddressNeeded`](crate::Event::AddressNeeded); it is told of the end by
    /// [`Event::AddressReleased`](crate::Event::AddressReleased).
    Embedder,
    /// A pool, which answers at once.
    Pool(Arc<dyn AddressPool>),
}

#[cfg(feature = "std")]
pub use ranges::RangePool;

#[cfg(feature = "std")]
mod ranges {
    use super::{AddressPool, ConfigAttribute, Configuration, LeaseRequest};
    use crate::identity::Identity;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use ipsec_types::AddressRange;
    use std::sync::{Mutex, PoisonError};

    /// A pool of ranges: the lowest free address of the version of IP that is asked for. An identity that comes again gets
    /// what it has, and one that names a free address gets that.
    #[derive(Debug)]
    pub struct RangePool {
        ranges: Vec<AddressRange>,
        attributes: Vec<ConfigAttribute>,
        leased: Mutex<BTreeMap<IpAddr, Identity>>,
    }

    impl RangePool {
        /// Addresses of these ranges, and these attributes for every peer.
        #[must_use]
        pub fn new(ranges: Vec<AddressRange>, attributes: Vec<ConfigAttribute>) -> Self {
            Self { ranges, attributes, leased: Mutex::default() }
        }

        /// Who has which address.
        #[must_use]
        pub fn leases(&self) -> Vec<(IpAddr, Identity)> {
            let leased = self.leased.lock().unwrap_or_else(PoisonError::into_inner);
            leased.iter().map(|(address, peer)| (*address, peer.clone())).collect()
        }

        fn find(
            &self,
            leased: &BTreeMap<IpAddr, Identity>,
            wanted: IpAddr,
            request: &LeaseRequest,
            given: &[IpAddr],
        ) -> Option<IpAddr> {
            let is_ours = |address: IpAddr| self.ranges.iter().any(|range| range.contains(address));
            let is_free = |address: IpAddr| leased.get(&address).is_none_or(|owner| *owner == request.peer);
            let version =
                |address: &&IpAddr| address.is_ipv4() == wanted.is_ipv4() && !given.contains(address);
            if !wanted.is_unspecified() && is_ours(wanted) && is_free(wanted) && !given.contains(&wanted) {
                return Some(wanted);
            }
            if let Some(held) = request.held.iter().filter(version).find(|address| is_free(**address)) {
                return Some(*held);
            }
            let fitting = self.ranges.iter().filter(|range| range.is_ipv4() == wanted.is_ipv4());
            // As many as are leased may lie before the first that is free.
            fitting
                .flat_map(|range| from(*range).take(leased.len().saturating_add(1)))
                .find(|address| !leased.contains_key(address) && !given.contains(address))
        }
    }

    /// The addresses of a range, the lowest first.
    fn from(range: AddressRange) -> impl Iterator<Item = IpAddr> {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(u32::from(v4)),
            IpAddr::V6(v6) => u128::from(v6),
        };
        let v4 = range.is_ipv4();
        (bits(range.start())..=bits(range.end())).map(move |bits| match u32::try_from(bits) {
            Ok(bits) if v4 => Ipv4Addr::from(bits).into(),
            _ => Ipv6Addr::from(bits).into(),
        })
    }

    impl AddressPool for RangePool {
        fn lease(&self, request: &LeaseRequest) -> Option<Configuration> {
            let mut leased = self.leased.lock().unwrap_or_else(PoisonError::into_inner);
            let mut given = Vec::new();
            for wanted in request.addresses() {
                if let Some(address) = self.find(&leased, wanted, request, &given) {
                    given.push(address);
                }
            }
            if given.is_empty() {
                return None;
            }
            let mut attributes: Vec<_> =
                given.iter().map(|address| ConfigAttribute::address(*address)).collect();
            attributes.extend(self.attributes.iter().cloned());
            leased.extend(given.into_iter().map(|address| (address, request.peer.clone())));
            Some(Configuration::new(attributes))
        }

        fn adopt(&self, peer: &Identity, address: IpAddr) {
            let mut leased = self.leased.lock().unwrap_or_else(PoisonError::into_inner);
            leased.insert(address, peer.clone());
        }

        fn release(&self, peer: &Identity, address: IpAddr) {
            let mut leased = self.leased.lock().unwrap_or_else(PoisonError::into_inner);
            if leased.get(&address) == Some(peer) {
                leased.remove(&address);
            }
        }
    }
}
