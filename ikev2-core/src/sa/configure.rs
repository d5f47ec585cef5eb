//! The Configuration payload at an IKE SA (RFC 7296 §2.19, §3.15): what we asked for and got as initiator, what we give as
//! responder, and the Child SAs' traffic, which is that of the inner addresses from then on.

use super::IkeSa;
use super::context::Context;
use crate::config::{ChildConfig, Connection};
use crate::config_payload::pool::{AddressSource, LeaseRequest};
use crate::config_payload::{ConfigAttribute, ConfigRequest, Configuration};
use crate::contents::Contents;
use crate::error::{ConfigFault, Failure};
use crate::event::Event;
use crate::identity::Identity;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use ikev2_wire::CpPayload;
use ikev2_wire::codes::{CfgAttribute, CfgType};
use ipsec_crypto::state::{StateError, StateReader, StateWriter};
use ipsec_types::{AddressRange, TrafficSelector};

/// What an IKE SA keeps of it.
#[derive(Debug)]
pub(crate) struct RemoteAccess {
    pub configuration: Arc<Configuration>,
    /// The connection's children, with the inner addresses in place of what they may be.
    children: Vec<Arc<ChildConfig>>,
    /// As responder: whose lease it is; to be given back at the end.
    lease: Option<Identity>,
    /// As responder: why there is none.
    fault: Option<ConfigFault>,
}

/// CFG_REQUEST, if the message has one.
fn request_in<'c>(contents: &'c Contents<'_>) -> Option<&'c CpPayload<'c>> {
    contents.cp.as_ref().filter(|cp| cp.ty() == CfgType::REQUEST)
}

/// What of these selectors is of these addresses.
fn of_addresses(selectors: &[TrafficSelector], addresses: &[IpAddr]) -> Vec<TrafficSelector> {
    let singles = |selector: &TrafficSelector| {
        let selector = *selector;
        let single = |address: &IpAddr| TrafficSelector::addresses(AddressRange::single(*address));
        addresses.iter().filter_map(move |address| selector.intersection(&single(address)))
    };
    selectors.iter().flat_map(singles).collect()
}

impl RemoteAccess {
    /// What our side of the Child SAs is, from the addresses that we got. Children that have nothing to do with them stay as
    /// they are.
    fn of_ours(configuration: Configuration, children: &[Arc<ChildConfig>]) -> Self {
        let addresses: Vec<_> = configuration.addresses().collect();
        let narrowed = |child: &Arc<ChildConfig>| {
            let local = of_addresses(&child.local, &addresses);
            if local.is_empty() {
                return Arc::clone(child);
            }
            Arc::new(ChildConfig { local, ..ChildConfig::clone(child) })
        };
        let children = children.iter().map(narrowed).collect();
        Self { configuration: Arc::new(configuration), children, lease: None, fault: None }
    }

    /// What the peer's side of the Child SAs is, from the addresses that it has: nothing else.
    fn of_peer(configuration: Configuration, children: &[Arc<ChildConfig>], peer: &Identity) -> Self {
        let addresses: Vec<_> = configuration.addresses().collect();
        let narrowed = |child: &Arc<ChildConfig>| {
            let remote = of_addresses(&child.remote, &addresses);
            Arc::new(ChildConfig { remote, ..ChildConfig::clone(child) })
        };
        let children = children.iter().map(narrowed).collect();
        Self { configuration: Arc::new(configuration), children, lease: Some(peer.clone()), fault: None }
    }

    /// For an SA that goes on in another endpoint.
    pub(super) fn save(&self, w: &mut StateWriter) {
        let Self { configuration, children: _, lease, fault } = self;
        w.put_list(&configuration.attributes, |w, attribute| {
            w.put_u16(attribute.ty.0);
            w.put_octets(&attribute.value);
        });
        w.put_bool(lease.is_some());
        w.put_bool(fault.is_some());
    }

    /// The same of an SA that came. Its peer is whom the lease is for.
    pub(super) fn restore(
        r: &mut StateReader<'_>,
        connection: &Connection,
        peer: Option<&Identity>,
    ) -> Result<Self, StateError> {
        let attributes = r.list(|r| {
            let ty = CfgAttribute(r.u16()?);
            Ok(ConfigAttribute::new(ty, r.octets()?))
        })?;
        let (configuration, leased) = (Configuration::new(attributes), r.bool()?);
        if r.bool()? {
            return Ok(Self::refused(ConfigFault::NoAddress { asked: Vec::new() }));
        }
        Ok(match peer.filter(|_| leased) {
            Some(peer) => Self::of_peer(configuration, &connection.children, peer),
            None => Self::of_ours(configuration, &connection.children),
        })
    }

    fn refused(fault: ConfigFault) -> Self {
        let configuration = Arc::default();
        Self { configuration, children: Vec::new(), lease: None, fault: Some(fault) }
    }
}

impl IkeSa {
    /// What Child SAs it may have: those of the connection, for the inner addresses where there are any.
    pub(crate) fn child_configs(&self) -> &[Arc<ChildConfig>] {
        match &self.access {
            Some(access) => &access.children,
            None => &self.connection.children,
        }
    }

    /// The same child for the inner addresses; `None` where there are none for its peer, who gets no Child SA then.
    pub(crate) fn for_inner_addresses(&self, config: Arc<ChildConfig>) -> Option<Arc<ChildConfig>> {
        match &self.access {
            Some(access) => access.children.iter().find(|child| child.policy == config.policy).cloned(),
            None => Some(config),
        }
    }

    /// As responder: EAP has named nobody whom an inner address could be given to (RFC 7296 §2.16).
    pub(super) fn lease_to_nobody(&mut self, contents: &Contents<'_>) {
        let policy = self.connection.addresses.as_ref();
        if policy.is_some_and(|policy| policy.required || request_in(contents).is_some()) {
            self.access = Some(Box::new(RemoteAccess::refused(ConfigFault::Unidentified)));
        }
    }

    /// The inner addresses: ours where we began, else the peer's.
    pub(crate) fn inner_addresses(&self) -> Vec<IpAddr> {
        self.access.iter().flat_map(|access| access.configuration.addresses()).collect()
    }

    /// What was given, by either end to the other.
    pub(super) fn configuration(&self) -> Option<Arc<Configuration>> {
        let access = self.access.as_ref().filter(|access| access.fault.is_none())?;
        Some(Arc::clone(&access.configuration))
    }

    /// As initiator: what we ask for.
    pub(super) fn config_request(&self) -> Result<Option<CpPayload<'static>>, Failure> {
        let Some(request) = &self.connection.config_request else { return Ok(None) };
        Ok(Some(request.payload(&self.held)?))
    }

    /// As initiator: what we got.
    pub(super) fn learn_configuration(&mut self, context: &Context<'_>, contents: &Contents<'_>) {
        let reply = contents.cp.as_ref().filter(|cp| cp.ty() == CfgType::REPLY);
        if let (Some(_), Some(reply)) = (&self.connection.config_request, reply) {
            let mut configuration = Configuration::read(reply, context.config.max_config_octets);
            configuration.attributes.retain(|attribute| !attribute.value.is_empty());
            self.access = Some(Box::new(RemoteAccess::of_ours(configuration, &self.connection.children)));
        }
    }

    /// As initiator: whether what we need was not given.
    pub(super) fn lacks_address(&self) -> Result<(), Failure> {
        let required = self.connection.config_request.as_ref().filter(|request| request.required);
        match required {
            Some(ConfigRequest { addresses, .. }) if self.inner_addresses().is_empty() => {
                Err(ConfigFault::NotGiven { asked: addresses.clone() }.into())
            }
            _ => Ok(()),
        }
    }

    /// As responder: takes an address for the peer, which has proved who it is, or gives what the embedder is to be asked.
    pub(super) fn begin_lease(
        &mut self,
        context: &mut Context<'_>,
        contents: &Contents<'_>,
        peer: &Identity,
    ) -> Option<LeaseRequest> {
        let connection = Arc::clone(&self.connection);
        let policy = connection.addresses.as_ref().filter(|_| self.access.is_none())?;
        let Some(asked) = request_in(contents) else {
            if policy.required {
                self.access = Some(Box::new(RemoteAccess::refused(ConfigFault::NotAsked)));
            }
            return None;
        };
        let asked = Configuration::read(asked, context.config.max_config_octets);
        let held = context.leases.of(peer).collect();
        let name = connection.name.clone();
        let request =
            LeaseRequest { connection: name, peer: peer.clone(), attributes: asked.attributes, held };
        match &policy.source {
            AddressSource::Embedder => Some(request),
            AddressSource::Pool(pool) => {
                let given = pool.lease(&request);
                self.take_lease(context, &request, given);
                None
            }
        }
    }

    /// As responder: what the pool or the embedder gives.
    pub(super) fn take_lease(
        &mut self,
        context: &mut Context<'_>,
        request: &LeaseRequest,
        given: Option<Configuration>,
    ) {
        let access = match given {
            Some(mut configuration) if configuration.addresses().next().is_some() => {
                let twice = configuration
                    .addresses()
                    .find(|address| context.leases.is_another(&request.peer, [*address].into_iter()));
                if let Some(address) = twice {
                    RemoteAccess::refused(ConfigFault::GivenTwice(address))
                } else {
                    let asked = Configuration::new(request.attributes.clone());
                    configuration.restrict_to(&asked);
                    configuration.addresses().for_each(|address| context.leases.hold(&request.peer, address));
                    RemoteAccess::of_peer(configuration, &self.connection.children, &request.peer)
                }
            }
            _ => {
                let asked = request.addresses().collect();
                RemoteAccess::refused(ConfigFault::NoAddress { asked })
            }
        };
        self.access = Some(Box::new(access));
    }

    /// As responder: why the first Child SA cannot be.
    pub(super) fn config_fault(&self) -> Option<ConfigFault> {
        self.access.as_ref()?.fault.clone()
    }

    /// As responder: what the peer is given.
    pub(super) fn config_reply(&self) -> Result<Option<CpPayload<'static>>, Failure> {
        let Some(configuration) = self.configuration() else { return Ok(None) };
        Ok(Some(configuration.payload(CfgType::REPLY)?))
    }

    /// It came from another endpoint with what the peer holds.
    pub(super) fn adopt_lease(&mut self, context: &mut Context<'_>) {
        let Some(access) = self.access.as_deref() else { return };
        let Some(peer) = &access.lease else { return };
        for address in access.configuration.addresses() {
            context.leases.hold(peer, address);
            if let Some(AddressSource::Pool(pool)) =
                self.connection.addresses.as_ref().map(|policy| &policy.source)
            {
                pool.adopt(peer, address);
            }
        }
    }

    /// It goes on in another endpoint, and so does the lease.
    pub(super) fn leave_lease(&mut self, context: &mut Context<'_>) {
        let Some(access) = self.access.as_deref_mut() else { return };
        if access.lease.take().is_some() {
            for address in access.configuration.addresses() {
                context.leases.drop_one(address);
            }
        }
    }

    /// It ended: what the peer held by it alone goes back.
    pub(super) fn release_lease(&mut self, context: &mut Context<'_>) {
        let Some(access) = self.access.as_deref_mut() else { return };
        let Some(peer) = access.lease.take() else { return };
        let configuration = Arc::clone(&access.configuration);
        let source = self.connection.addresses.as_ref().map(|policy| &policy.source);
        for address in configuration.addresses().filter(|address| context.leases.drop_one(*address)) {
            match source {
                Some(AddressSource::Pool(pool)) => pool.release(&peer, address),
                _ => {
                    let (connection, peer) = (self.connection.name.clone(), peer.clone());
                    let released = Box::new(crate::event::Released { connection, peer, address });
                    context.services.event(Event::AddressReleased { released });
                }
            }
        }
    }
}

/// What an INFORMATIONAL request with a Configuration payload is answered where the connection does configuration at all:
/// nothing is told there, and nothing that is pushed is taken (RFC 7296 §2.20, §3.15).
pub(super) fn informational_reply(
    connection: &Connection,
    contents: &Contents<'_>,
) -> Option<CpPayload<'static>> {
    if connection.config_request.is_none() && connection.addresses.is_none() {
        return None;
    }
    let ty = match contents.cp.as_ref()?.ty() {
        CfgType::REQUEST => CfgType::REPLY,
        CfgType::SET => CfgType::ACK,
        _ => return None,
    };
    CpPayload::build(ty, &[]).ok()
}
