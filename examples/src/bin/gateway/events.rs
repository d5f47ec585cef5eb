//! What each event asks for, and the line that tells it.

use crate::gateway::{Child, Gateway};
use ikev2_core::{ChildSaInfo, DownReason, Event, IkeSaHandle, IkeSaInfo, Role};
use ipsec_types::sa::{ChildSaId, PolicyId};
use ipsec_types::{Encapsulation, SaCommand, TrafficSelector};

impl Gateway {
    /// Carries an event out and tells it.
    pub(crate) fn on_event(&mut self, event: Event) {
        match event {
            Event::DataPath(command) => self.on_command(command),
            Event::IkeSaUp { sa, info } => self.on_ike_up(sa, &info),
            Event::InitErrorSeen { notify, .. } => {
                self.log.line(format_args!("somebody answers {notify}; waiting for a better answer"));
            }
            Event::ChildSaUp { sa, info } => self.on_child_up(sa, &info),
            Event::ChildSaFailed { policy, failure, .. } => {
                let name =
                    policy.map_or_else(|| "one that we don't have".into(), |policy| self.name_of(policy));
                self.log.line(format_args!("Child SA failed: {name}: {failure}"));
            }
            Event::ChildSaExpiring { sa, id, reason } => {
                let Some(child) = self.children.get_mut(&id) else { return };
                child.expiring = true;
                let name = child.name.clone();
                self.log.line(format_args!("Child SA expiring: {name}: {reason:?}"));
                self.create_child(sa, &name);
            }
            Event::ChildSaDown { sa, id, reason } => self.on_child_down(sa, id, &reason),
            Event::PeerAlive { round_trip, .. } => {
                self.tell_if_verbose(format_args!("the peer is alive, after {round_trip:?}"));
            }
            Event::PeerMoved { path, .. } => self.log.line(format_args!("the peer moved: now {path}")),
            Event::IkeSaDown { sa, connection, reason } => {
                let again = self.starts.is_down(self.log.now(), sa, &reason);
                let again = again.map(|pause| format!("; again in {pause:?}")).unwrap_or_default();
                self.log.line(format_args!("IKE SA down: {connection}: {reason}{again}"));
            }
            other => self.tell_if_verbose(format_args!("{other:?}")),
        }
    }

    fn on_command(&mut self, command: SaCommand) {
        let now = self.log.now();
        let installed = match &command {
            SaCommand::InstallOutbound(install) => Some(install.child.id),
            _ => None,
        };
        if let Err(error) = self.engine.apply(now, command) {
            self.log.line(format_args!("the ESP engine refuses a command: {error}"));
        }
        let Some(id) = installed else { return };
        let largest = self.engine.outbound(id).and_then(|sa| sa.max_inner(self.path_mtu));
        let fitted = largest.map_or(Ok(()), |largest| self.tun.fit(largest));
        if let Err(error) = fitted {
            self.log.line(format_args!("the TUN device: {error}"));
        }
    }

    fn on_ike_up(&mut self, sa: IkeSaHandle, info: &IkeSaInfo) {
        self.log.line(ike_line(info));
        self.starts.is_up(sa);
        if info.role == Role::Initiator && self.starts.is_ours(sa) {
            let connection = self.config.connections.iter().find(|c| c.name == info.connection);
            // The first one comes with the IKE SA.
            let others = connection.into_iter().flat_map(|c| &c.children).skip(1);
            let names: Vec<String> = others.map(|child| child.name.clone()).collect();
            names.iter().for_each(|name| self.create_child(sa, name));
        }
    }

    fn on_child_up(&mut self, sa: IkeSaHandle, info: &ChildSaInfo) {
        let (id, name) = (info.child.id, self.name_of(info.child.policy));
        self.log.line(child_line(&name, info));
        let takes_place_of = |child: &Child| child.expiring && child.sa == sa && child.name == name;
        let old: Vec<ChildSaId> =
            self.children.iter().filter(|(_, child)| takes_place_of(child)).map(|(id, _)| *id).collect();
        for id in old {
            // If it is gone already, all the better.
            let _ = self.endpoint.delete_child(self.log.now(), sa, id);
        }
        self.children.insert(id, Child { sa, name, expiring: false });
    }

    fn on_child_down(&mut self, sa: IkeSaHandle, id: ChildSaId, reason: &DownReason) {
        let name = self.children.remove(&id).map_or_else(|| format!("{id:?}"), |child| child.name);
        self.log.line(format_args!("Child SA down: {name}: {reason}"));
        let another = self.children.values().any(|child| child.sa == sa && child.name == name);
        if matches!(reason, DownReason::Expired(_)) && !another {
            self.create_child(sa, &name);
        }
    }

    /// Asks for a Child SA on an IKE SA that we started; on another one it is the peer's to ask.
    fn create_child(&mut self, sa: IkeSaHandle, name: &str) {
        if !self.starts.is_ours(sa) {
            return;
        }
        if let Err(error) = self.endpoint.create_child(self.log.now(), sa, name) {
            self.log.line(format_args!("Child SA failed: {name}: {error}"));
        }
    }

    fn name_of(&self, policy: PolicyId) -> String {
        let mut children = self.config.connections.iter().flat_map(|connection| &connection.children);
        children.find(|child| child.policy == policy).map_or_else(String::new, |child| child.name.clone())
    }

    /// What was carried and dropped since the start.
    pub(crate) fn tell_statistics(&self) {
        let sum = self.engine.statistics();
        for (direction, carried) in [("in", &sum.inbound), ("out", &sum.outbound)] {
            let dropped: Vec<String> =
                carried.drops().map(|(reason, count)| format!("{reason} {count}")).collect();
            let dropped = if dropped.is_empty() { "none".into() } else { dropped.join(", ") };
            self.log.line(format_args!(
                "packets {direction}: {}, {} octets; dropped: {dropped}",
                carried.packets, carried.octets
            ));
        }
        let ike = self.endpoint.statistics();
        self.log.line(format_args!(
            "IKE datagrams in: {}, of them rejected {}; out: {}, of them repeats {}",
            ike.datagrams_received,
            ike.rejected_in_all(),
            ike.datagrams_sent,
            ike.repeats_sent
        ));
    }
}

/// `IKE SA up: NAME, initiator, us a.example, peer b.example at 10.9.0.2:500, suite, PRF, KE, no NAT`.
fn ike_line(info: &IkeSaInfo) -> String {
    let role = if info.role == Role::Initiator { "initiator" } else { "responder" };
    let remote = info.remote_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let suite: Vec<String> = [
        info.suite.map(|suite| suite.to_string()),
        info.prf.map(|prf| prf.to_string()),
        info.ke.map(|ke| ke.to_string()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let nat = match (info.nat.local, info.nat.remote) {
        (false, false) => "no NAT",
        (true, false) => "we are behind a NAT",
        (false, true) => "the peer is behind a NAT",
        (true, true) => "both are behind NATs",
    };
    format!(
        "IKE SA up: {}, {role}, us {}, peer {remote} at {}, {}, {nat}",
        info.connection,
        info.local_id,
        info.path.remote,
        suite.join("/")
    )
}

/// `Child SA up: NAME, SPIs in c0ffee00 out c0ffee01, 10.1.0.0/24 <-> 10.2.0.0/24, suite, sequence numbers, ESP in UDP`.
fn child_line(name: &str, info: &ChildSaInfo) -> String {
    let child = &info.child;
    let list = |selectors: &[TrafficSelector]| {
        selectors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let ke = info.ke.map(|ke| format!("/{ke}")).unwrap_or_default();
    let encapsulation = if child.encapsulation == Encapsulation::Udp { "ESP in UDP" } else { "raw ESP" };
    format!(
        "Child SA up: {name}, SPIs in {} out {}, {} <-> {}, {}{ke}, {}, {encapsulation}",
        info.inbound,
        info.outbound,
        list(&child.local),
        list(&child.remote),
        child.suite,
        child.sequence_numbers,
    )
}
