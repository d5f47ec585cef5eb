//! IKEv2 as the protocol of a shell: what its IKE SAs share, and how they are looked after.

use super::policies::Policies;
use crate::config::{Connection, EndpointConfig};
use crate::connections::ConnectionIndex;
use crate::endpoint::{Association, Protocol, Services};
use crate::error::Rejection;
use crate::establish::responder::{InitRequest, Refusal};
use crate::event::{Event, Handled, IkeSaHandle};
use crate::exchange::responses::{RequestDigest, ResponseWindow};
use crate::sa::IkeSa;
use crate::sa::context::{ChildNames, Context};
use crate::sa::leases::Leases;
use crate::sa::peers::Peers;
use crate::trace;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use ikev2_wire::Message;
use ipsec_types::{IkeSpi, Instant, Path};

/// What the IKE SAs of an endpoint share.
pub(super) struct Ike {
    connections: ConnectionIndex,
    /// The established IKE SAs by the policies that they serve.
    pub(super) policies: Policies,
    pub(super) names: ChildNames,
    peers: Peers,
    /// Which peer has which inner address.
    leases: Leases,
    /// Our addresses, as the embedder told them.
    pub(super) local_addresses: Vec<IpAddr>,
}

impl fmt::Debug for Ike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ike")
            .field("policies", &self.policies)
            .field("names", &self.names)
            .field("peers", &self.peers)
            .field("leases", &self.leases)
            .field("local_addresses", &self.local_addresses)
            .finish_non_exhaustive()
    }
}

impl Ike {
    pub(super) fn new(config: &EndpointConfig) -> Self {
        Self {
            connections: ConnectionIndex::new(&config.connections),
            policies: Policies::default(),
            names: ChildNames::default(),
            peers: Peers::default(),
            leases: Leases::default(),
            local_addresses: Vec::new(),
        }
    }

    pub(super) fn set_connections(&mut self, connections: &[Arc<Connection>]) {
        self.connections = ConnectionIndex::new(connections);
    }

    /// The connection of this name.
    pub(super) fn connection(&self, name: &str) -> Option<&Arc<Connection>> {
        self.connections.named(name)
    }

    pub(super) fn context<'a>(&'a mut self, services: &'a mut Services<'_, Event>) -> Context<'a> {
        Context {
            services: services.reborrow(),
            connections: &self.connections,
            names: &mut self.names,
            peers: &mut self.peers,
            leases: &mut self.leases,
            local_addresses: &self.local_addresses,
        }
    }

    /// Lets an IKE SA do something, and keeps the list of policies true to what became of it.
    pub(super) fn lend<T>(
        &mut self,
        services: &mut Services<'_, Event>,
        sa: &mut IkeSa,
        act: impl FnOnce(&mut IkeSa, &mut Context<'_>) -> T,
    ) -> T {
        let _sa = trace::ike_sa(sa);
        let was_established = sa.is_established();
        let result = act(sa, &mut self.context(services));
        if sa.is_established() != was_established {
            // Who was given no inner address serves none.
            let children = if was_established { &sa.connection.children } else { sa.child_configs() };
            self.policies.set(sa.handle, children, !was_established);
        }
        result
    }
}

impl Association for IkeSa {
    fn local_spis(&self) -> impl Iterator<Item = IkeSpi> {
        self.ike_spis()
    }

    fn half_open(&self) -> Option<RequestDigest> {
        self.init_digest()
    }

    fn half_open_octets(&self) -> usize {
        self.initiators_octets()
    }

    fn keeps_its_place(&self) -> bool {
        self.suspended.is_some()
    }

    fn responses(&self) -> Option<&ResponseWindow> {
        self.init_responses()
    }

    fn deadline(&self) -> Option<Instant> {
        self.next_deadline()
    }

    fn is_over(&self, now: Instant) -> bool {
        self.has_lingered(now)
    }
}

impl Protocol for Ike {
    type Sa = IkeSa;
    type Event = Event;

    fn respond(
        &mut self,
        services: &mut Services<'_, Event>,
        request: &InitRequest<'_>,
        handle: IkeSaHandle,
        spi: IkeSpi,
    ) -> Result<IkeSa, Refusal> {
        IkeSa::respond(&mut self.context(services), request, handle, spi)
    }

    fn receive(
        &mut self,
        services: &mut Services<'_, Event>,
        sa: &mut IkeSa,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        self.lend(services, sa, |sa, context| sa.receive(context, path, message, scratch))
    }

    fn on_timeout(&mut self, services: &mut Services<'_, Event>, sa: &mut IkeSa) {
        self.lend(services, sa, IkeSa::on_timeout);
    }

    fn make_room(&mut self, services: &mut Services<'_, Event>, sa: &mut IkeSa) {
        self.lend(services, sa, IkeSa::vanish);
    }

    fn give_way(&mut self, services: &mut Services<'_, Event>, sa: &mut IkeSa) {
        self.lend(services, sa, IkeSa::give_way);
    }
}
