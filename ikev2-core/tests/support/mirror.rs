//! Follows an endpoint by its events alone, as a product would, and asserts on the way that they come in the
//! order that `Event` promises. What it believes must equal what the endpoint says of itself at every step.

use ikev2_core::{ChildSaInfo, Endpoint, Event, IkeSaHandle, IkeSaInfo, IkeSaState, NatStatus};
use ipsec_types::sa::{ChildSa, ChildSaId, SaInstall, SaKeys};
use ipsec_types::{AddressRange, EspSpi, Path, SaCommand, TrafficSelector};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// An established IKE SA.
#[derive(Debug)]
pub struct SaView {
    pub connection: String,
    pub path: Path,
    pub nat: NatStatus,
    pub children: Vec<ChildSaId>,
}

/// One direction in the data path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Half {
    pub spi: EspSpi,
    pub keys: SaKeys,
}

/// A Child SA, from its first command for the data path to its `ChildSaDown`.
#[derive(Debug)]
pub struct ChildView {
    pub sa: Option<IkeSaHandle>,
    pub child: Arc<ChildSa>,
    pub info: Option<ChildSaInfo>,
    pub inbound: Option<Half>,
    pub outbound: Option<Half>,
    /// It carries the traffic, as far as the data path was told.
    pub in_use: bool,
    /// Which one took over from it.
    pub replaced_by: Option<ChildSaId>,
}

#[derive(Debug, Default)]
pub struct Mirror {
    switched: Option<(ChildSaId, ChildSaId)>,
    pub sas: BTreeMap<IkeSaHandle, SaView>,
    pub children: BTreeMap<ChildSaId, ChildView>,
    ended: BTreeSet<IkeSaHandle>,
    /// Child SAs of IKE SAs that left: the data path still has them.
    away: BTreeSet<ChildSaId>,
    past_children: BTreeSet<ChildSaId>,
}

impl Mirror {
    fn alive(&self, sa: IkeSaHandle, event: &Event) {
        assert!(!self.ended.contains(&sa), "an event for an IKE SA after its end: {event:?}");
        assert!(self.sas.contains_key(&sa), "an event for an IKE SA that is not up: {event:?}");
    }

    /// An IKE SA was exported.
    pub fn depart(&mut self, sa: IkeSaHandle) {
        let view = self.sas.remove(&sa).expect("it was not up");
        self.ended.insert(sa);
        self.away.extend(view.children);
    }

    /// Another endpoint takes the place of this one, which has nothing left.
    pub fn restart(&mut self) {
        assert!(self.sas.is_empty(), "{:?}", self.sas);
        self.ended.clear();
    }

    fn imported(&mut self, sa: IkeSaHandle, info: &IkeSaInfo, children: &[ChildSaInfo]) {
        assert!(!self.ended.contains(&sa) && info.remote_id.is_some(), "{info:?}");
        let ids: Vec<_> = children.iter().map(|child| child.child.id).collect();
        assert_eq!(ids, info.children);
        for info in children {
            assert!(self.away.remove(&info.child.id), "it was not away: {info:?}");
            let view = self.children.get_mut(&info.child.id).unwrap();
            let told = view.info.clone().unwrap();
            assert_eq!(*info, ChildSaInfo { child: Arc::clone(&view.child), ..told });
            view.sa = Some(sa);
        }
        let (connection, path, nat) = (info.connection.clone(), info.path, info.nat);
        let before = self.sas.insert(sa, SaView { connection, path, nat, children: ids });
        assert!(before.is_none());
    }

    /// Takes the next event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::DataPath(command) => self.command(command),
            Event::IkeSaUp { sa, info } => {
                assert!(!self.ended.contains(sa), "up after its end: {event:?}");
                let view = SaView {
                    connection: info.connection.clone(),
                    path: info.path,
                    nat: info.nat,
                    children: Vec::new(),
                };
                assert!(self.sas.insert(*sa, view).is_none(), "up twice: {event:?}");
                assert!(info.children.is_empty() && info.remote_id.is_some(), "{event:?}");
            }
            Event::IkeSaImported { sa, info, children } => self.imported(*sa, info, children),
            Event::InitErrorSeen { sa, .. } => {
                assert!(!self.ended.contains(sa) && !self.sas.contains_key(sa), "{event:?}");
            }
            Event::ChildSaUp { sa, info } => self.child_up(*sa, info, event),
            Event::ChildSaDown { sa, id, .. } => {
                self.alive(*sa, event);
                let child = self.children.remove(id).unwrap_or_else(|| panic!("never up: {event:?}"));
                assert_eq!(child.sa, Some(*sa), "{event:?}");
                assert!(
                    child.inbound.is_none() && child.outbound.is_none(),
                    "down before the data path was told: {event:?}"
                );
                self.past_children.insert(*id);
                self.sas.get_mut(sa).unwrap().children.retain(|child| child != id);
            }
            Event::ChildSaExpiring { sa, id, .. } => {
                self.alive(*sa, event);
                assert_eq!(self.children.get(id).and_then(|c| c.sa), Some(*sa), "{event:?}");
            }
            Event::ChildSaReplaced { sa, old, new } => {
                self.alive(*sa, event);
                assert_eq!(self.switched.take(), Some((*old, *new)), "the data path was not told: {event:?}");
                let view = self.children.get_mut(old).unwrap_or_else(|| panic!("gone before: {event:?}"));
                assert_eq!((view.sa, view.replaced_by), (Some(*sa), None), "replaced twice: {event:?}");
                view.replaced_by = Some(*new);
            }
            Event::IkeSaRekeyed { sa, info } => {
                self.alive(*sa, event);
                let view = &self.sas[sa];
                assert_eq!((&view.connection, view.path, view.nat), (&info.connection, info.path, info.nat));
                assert_eq!(as_set(&view.children), as_set(&info.children), "{event:?}");
                assert!(info.remote_id.is_some() && info.established_at.is_some(), "{event:?}");
            }
            Event::IkeRekeyFailed { sa, .. }
            | Event::IkeSaReauthenticating { sa }
            | Event::IkeSaRedirected { sa, .. } => self.alive(*sa, event),
            Event::IkeSaNotFollowed { connection, predecessor, .. } => {
                if let Some(view) = self.sas.get(predecessor) {
                    assert_eq!(view.connection, *connection, "{event:?}");
                }
            }
            Event::Moved { sa, path, nat, children } => {
                self.alive(*sa, event);
                let view = self.sas.get_mut(sa).unwrap();
                (view.path, view.nat) = (*path, *nat);
                assert_eq!(as_set(children), as_set(&view.children), "{event:?}");
                for id in children {
                    assert_eq!(self.children[id].child.path, *path, "moved after the event: {event:?}");
                }
            }
            Event::ChildSaFailed { sa, .. }
            | Event::MoveFailed { sa, .. }
            | Event::PeerAddresses { sa, .. }
            | Event::PeerAlive { sa, .. } => self.alive(*sa, event),
            Event::IkeSaDown { sa, .. } => {
                assert!(self.ended.insert(*sa), "down twice: {event:?}");
                if let Some(view) = self.sas.remove(sa) {
                    assert!(view.children.is_empty(), "down before its Child SAs: {event:?}");
                }
            }
            _ => {}
        }
    }

    fn child_up(&mut self, sa: IkeSaHandle, info: &ChildSaInfo, event: &Event) {
        self.alive(sa, event);
        let id = info.child.id;
        let child = self.children.get_mut(&id).unwrap_or_else(|| panic!("not in the data path: {event:?}"));
        assert!(child.sa.is_none(), "up twice: {event:?}");
        assert_eq!(child.inbound.as_ref().map(|half| half.spi), Some(info.inbound), "{event:?}");
        assert_eq!(child.outbound.as_ref().map(|half| half.spi), Some(info.outbound), "{event:?}");
        assert_eq!(child.child, info.child, "{event:?}");
        child.sa = Some(sa);
        child.info = Some(info.clone());
        self.sas.get_mut(&sa).unwrap().children.push(id);
    }

    fn command(&mut self, command: &SaCommand) {
        match command {
            SaCommand::InstallInbound(install) => {
                let SaInstall { child, spi, keys } = &**install;
                assert!(!self.past_children.contains(&child.id), "a name is used again: {command:?}");
                let taken = self.children.values().any(|c| c.inbound.as_ref().is_some_and(|h| h.spi == *spi));
                assert!(!taken && !spi.is_reserved(), "{command:?}");
                let view = ChildView {
                    sa: None,
                    child: Arc::clone(child),
                    info: None,
                    inbound: Some(Half { spi: *spi, keys: keys.clone() }),
                    outbound: None,
                    in_use: false,
                    replaced_by: None,
                };
                assert!(self.children.insert(child.id, view).is_none(), "installed twice: {command:?}");
            }
            SaCommand::InstallOutbound(install) => {
                let SaInstall { child, spi, keys } = &**install;
                let view = self.children.get_mut(&child.id).expect("outbound before inbound");
                assert_eq!(view.child, *child, "{command:?}");
                let before = view.outbound.replace(Half { spi: *spi, keys: keys.clone() });
                assert!(before.is_none(), "installed twice: {command:?}");
                view.in_use = child.replaces.is_none();
                if let Some(old) = child.replaces {
                    assert!(self.children.contains_key(&old), "it replaces nothing: {command:?}");
                }
            }
            SaCommand::SwitchOutbound { from, to } => {
                assert_eq!(self.switched.replace((*from, *to)), None, "not told of: {command:?}");
                let old = &self.children[from];
                // Where both ends delete it at once its outbound half goes first.
                assert!(old.in_use, "it carries nothing: {command:?}");
                self.children.get_mut(from).unwrap().in_use = false;
                let new = self.children.get_mut(to).unwrap();
                assert!(new.outbound.is_some() && !new.in_use, "{command:?}");
                new.in_use = true;
            }
            SaCommand::Move { id, path, encapsulation } => {
                let view = self.children.get_mut(id).unwrap_or_else(|| panic!("{command:?}"));
                let child = Arc::make_mut(&mut view.child);
                (child.path, child.encapsulation) = (*path, *encapsulation);
            }
            SaCommand::Remove { id, inbound, outbound } => {
                let view = self.children.get_mut(id).unwrap_or_else(|| panic!("{command:?}"));
                assert!(*inbound || *outbound, "{command:?}");
                assert!(!inbound || view.inbound.take().is_some(), "inbound removed twice: {command:?}");
                assert!(!outbound || view.outbound.take().is_some(), "outbound removed twice: {command:?}");
            }
            _ => panic!("not known here: {command:?}"),
        }
    }

    /// Asserts that the endpoint's own table says the same.
    pub fn check(&self, endpoint: &Endpoint) {
        let mut seen = 0;
        for (handle, info) in endpoint.ike_sas() {
            assert!(!self.ended.contains(&handle), "{handle} has ended by its events: {info:?}");
            if info.remote_id.is_none() {
                assert!(!self.sas.contains_key(&handle) && info.children.is_empty(), "{handle}: {info:?}");
                assert!(info.state < IkeSaState::Established, "{handle}: {info:?}");
                continue;
            }
            seen += 1;
            let view =
                self.sas.get(&handle).unwrap_or_else(|| panic!("{handle} was never told of: {info:?}"));
            assert_eq!(view.connection, info.connection, "{handle}");
            assert_eq!(view.path, info.path, "{handle}");
            assert_eq!(view.nat, info.nat, "{handle}");
            assert_eq!(as_set(&view.children), as_set(&info.children), "{handle}");
            let known = info.suite.is_some() && info.prf.is_some() && info.ke.is_some();
            assert!(known || info.state != IkeSaState::Established, "{handle}: {info:?}");
            let told: BTreeMap<_, _> = endpoint.child_sas(handle).map(|c| (c.child.id, c)).collect();
            assert_eq!(told.len(), view.children.len(), "{handle}");
            for id in &view.children {
                let child = &self.children[id];
                let info = child.info.as_ref().unwrap();
                let expected = ChildSaInfo { child: Arc::clone(&child.child), ..info.clone() };
                assert_eq!(told[id], expected, "{handle}");
            }
        }
        assert_eq!(seen, self.sas.len(), "IKE SAs ended without an event: {:?}", self.sas.keys());
    }

    /// The Child SAs that are up, as (SPI in, SPI out).
    pub fn spi_pairs(&self) -> BTreeSet<(EspSpi, EspSpi)> {
        let up = self.children.values().filter_map(|child| child.info.as_ref());
        up.map(|info| (info.inbound, info.outbound)).collect()
    }
}

fn as_set(ids: &[ChildSaId]) -> BTreeSet<ChildSaId> {
    let set: BTreeSet<_> = ids.iter().copied().collect();
    assert_eq!(set.len(), ids.len(), "a Child SA is there twice: {ids:?}");
    set
}

fn with_address(list: &[TrafficSelector], address: IpAddr) -> Vec<TrafficSelector> {
    list.iter().map(|s| TrafficSelector { addresses: AddressRange::single(address), ..*s }).collect()
}

/// Asserts that both ends of a Child SA hold the same of it, crosswise.
pub fn assert_same(ours: &ChildView, theirs: &ChildView) {
    assert_eq!(ours.outbound, theirs.inbound);
    assert_eq!(ours.inbound, theirs.outbound);
    let (x, y) = (&ours.child, &theirs.child);
    // Through NATs each side sees other addresses, and holds those of the other's view.
    assert_eq!(x.original_addresses.is_some(), y.original_addresses.is_some());
    match x.original_addresses {
        None => assert_eq!((&x.local, &x.remote), (&y.remote, &y.local)),
        Some(seen) => {
            assert_eq!(y.remote, with_address(&x.local, seen.local));
            assert_eq!(y.local, with_address(&x.remote, seen.remote));
        }
    }
    assert_eq!((x.suite, x.mode, x.sequence_numbers), (y.suite, y.mode, y.sequence_numbers));
    assert_eq!(x.encapsulation, y.encapsulation);
    let halves = [ours.inbound.as_ref().unwrap(), ours.outbound.as_ref().unwrap()];
    assert_ne!(halves[0].keys, halves[1].keys, "both directions have one key");
}

/// Asserts that two endpoints have the same Child SAs, crosswise, with the same keys.
pub fn assert_crosswise(a: &Mirror, b: &Mirror) {
    let crossed: BTreeSet<_> =
        b.spi_pairs().into_iter().map(|(inbound, outbound)| (outbound, inbound)).collect();
    assert_eq!(a.spi_pairs(), crossed, "the two sides have other Child SAs");
    for ours in a.children.values() {
        let outbound = ours.outbound.as_ref().expect("a half of a Child SA is left");
        let theirs = b.children.values().find(|c| c.inbound.as_ref().is_some_and(|h| h.spi == outbound.spi));
        assert_same(ours, theirs.unwrap());
    }
}
