//! What each event asks for, and the line that tells it.

use crate::gateway::{Child, Gateway};
use ikev2_core::{
    Answer, ChildSaInfo, DownReason, EapTurn, Event, IkeSaHandle, IkeSaInfo, RedirectCourse, Role, Ticket,
};
use ipsec_examples::tell;
use ipsec_types::SaCommand;
use ipsec_types::sa::{ChildSaId, ExpiryReason, PolicyId};
use std::time::Duration;

impl Gateway {
    /// Carries an event out and tells it.
    pub(crate) fn on_event(&mut self, event: Event) {
        match event {
            Event::DataPath(command) => self.on_command(command),
            Event::IkeSaUp { sa, info } => self.on_ike_up(sa, &info),
            Event::IkeSaImported { sa, info, children } => self.on_imported(sa, &info, &children),
            Event::InitErrorSeen { notify, .. } => {
                self.log.line(format_args!("somebody answers {notify}; waiting for a better answer"));
            }
            Event::MessageIncomplete { incomplete, .. } => {
                self.log.line(format_args!("{incomplete}; is the path too narrow for them?"));
            }
            Event::EapNeeded { sa, ticket, turn, .. } => self.on_eap(sa, ticket, &turn),
            Event::ChildSaUp { sa, info } => self.on_child_up(sa, &info),
            Event::ChildSaFailed { sa, policy, failure } => {
                let name = policy.map_or_else(|| "none of ours".into(), |policy| self.name_of(policy));
                let pause = policy.and_then(|_| self.starts.child_is_down(self.log.now(), sa, &name, None));
                self.log.line(format_args!("Child SA failed: {name}: {failure}{}", again(pause)));
            }
            Event::ChildSaExpiring { id, reason, .. } => self.on_expiring(id, reason),
            Event::ChildSaReplaced { old, new, .. } => {
                self.log.line(format_args!("Child SA {} took over from {}", new.0, old.0));
            }
            Event::IkeSaRekeyed { info, .. } => {
                self.log.line(format_args!("IKE SA rekeyed: now {}", info.initiator_spi));
            }
            Event::IkeRekeyFailed { failure, .. } => {
                self.log.line(format_args!("the IKE SA was not rekeyed: {failure}"));
            }
            Event::IkeSaReauthenticating { .. } => self.log.line("time to authenticate anew"),
            Event::IkeSaRedirected { to, course, .. } => match course {
                RedirectCourse::Followed => self.log.line(format_args!("the peer sends us to {to}")),
                RedirectCourse::Named => {
                    self.log.line(format_args!("the peer sends us to {to}, a name that we do not resolve"));
                }
                RedirectCourse::Refused(failure) => self.log.line(format_args!("{failure}")),
            },
            Event::IkeSaNotFollowed { error, .. } => {
                self.log.line(format_args!("the next IKE SA cannot be begun: {error}"));
            }
            Event::ChildSaDown { sa, id, reason } => self.on_child_down(sa, id, &reason),
            Event::PeerAlive { round_trip, .. } => {
                self.tell_if_verbose(format_args!("the peer is alive, after {round_trip:?}"));
            }
            Event::Moved { path, children, .. } => {
                self.log.line(format_args!("moved: now {path}, with {} Child SAs", children.len()));
            }
            Event::MoveFailed { path, failure, .. } => {
                self.log.line(format_args!("not moved to {path}: {failure}"));
            }
            Event::IkeSaDown { sa, connection, reason } => {
                self.conversations.forget(sa);
                let pause = self.starts.is_down(self.log.now(), sa, &reason);
                // What is not there any more need not be taken away.
                let _ = self.tun.set_inner(sa, Vec::new());
                self.log.line(format_args!("IKE SA down: {connection}: {reason}{}", again(pause)));
            }
            other => self.tell_if_verbose(format_args!("{other:?}")),
        }
    }

    fn on_eap(&mut self, sa: IkeSaHandle, ticket: Ticket, turn: &EapTurn) {
        let mut challenge = [0; 16];
        let passwords = self.passwords.get(&turn.connection).cloned().unwrap_or_default();
        let answer = match getrandom::fill(&mut challenge) {
            Ok(()) => self.conversations.answer(sa, turn, &passwords, challenge),
            Err(_) => Answer::Refused,
        };
        if answer == Answer::Refused {
            self.log.line(format_args!("EAP with {} refused", turn.initiator));
        }
        if let Err(error) = self.endpoint.answer(self.log.now(), ticket, answer) {
            self.log.line(format_args!("EAP: {error}"));
        }
    }

    fn on_command(&mut self, command: SaCommand) {
        let now = self.log.now();
        let changed = match &command {
            SaCommand::InstallOutbound(install) => Some(install.child.id),
            SaCommand::Move { id, .. } => Some(*id),
            _ => None,
        };
        if let Err(error) = self.engine.apply(now, command) {
            self.log.line(format_args!("the ESP engine refuses a command: {error}"));
        }
        if changed.is_some() {
            self.fit_tun(changed);
        }
    }

    /// No packet is larger than what the narrowest of the Child SAs takes, this one among them.
    pub(crate) fn fit_tun(&mut self, id: Option<ChildSaId>) {
        let sas = self.children.keys().chain(&id).filter_map(|id| self.engine.outbound(*id));
        let largest = sas.filter_map(|sa| sa.max_inner(self.path_mtu)).min();
        if let Some(Err(error)) = largest.map(|largest| self.tun.fit(largest)) {
            self.log.line(format_args!("the TUN device: {error}"));
        }
    }

    fn on_ike_up(&mut self, sa: IkeSaHandle, info: &IkeSaInfo) {
        self.log.line(format_args!("IKE SA up: {}", tell::ike_sa(info)));
        self.conversations.forget(sa);
        if let Some(identity) = &info.eap_identity {
            self.log.line(format_args!("by EAP the peer is {identity}"));
        }
        if let Some(configuration) = &info.configuration {
            self.log.line(format_args!("inner addresses: {}", tell::configuration(configuration)));
            if info.role == Role::Initiator {
                let result = self.tun.set_inner(sa, configuration.addresses().collect());
                result.unwrap_or_else(|error| self.log.line(format_args!("the TUN device: {error}")));
            }
        }
        if let Some(old) = info.replaces {
            // It gets the Child SAs of the one whose place it takes.
            if self.starts.is_ours(old) {
                self.starts.began(&info.connection, sa);
            }
        } else if info.role == Role::Initiator && self.starts.is_ours(sa) {
            let connection = self.config.connections.iter().find(|c| c.name == info.connection);
            // The first one comes with the IKE SA.
            let others = connection.into_iter().flat_map(|c| &c.children).skip(1);
            let names: Vec<String> = others.map(|child| child.name.clone()).collect();
            names.iter().for_each(|name| self.create_child(sa, name));
        }
    }

    fn on_child_up(&mut self, sa: IkeSaHandle, info: &ChildSaInfo) {
        let (id, name) = (info.child.id, self.name_of(info.child.policy));
        self.log.line(format_args!("Child SA up: {}", tell::child_sa(&name, info)));
        self.starts.is_up(sa);
        self.children.insert(id, Child { sa, name, expiring: false });
    }

    /// Told for each direction, and by each limit: the first one counts.
    fn on_expiring(&mut self, id: ChildSaId, reason: ExpiryReason) {
        let Some(child) = self.children.get_mut(&id).filter(|child| !child.expiring) else { return };
        child.expiring = true;
        self.log.line(format_args!("Child SA expiring: {}: {reason:?}", child.name));
    }

    fn on_child_down(&mut self, sa: IkeSaHandle, id: ChildSaId, reason: &DownReason) {
        let name = self.children.remove(&id).map_or_else(|| format!("{id:?}"), |child| child.name);
        let replaced = self.children.values().any(|child| child.sa == sa && child.name == name);
        let pause =
            if replaced { None } else { self.starts.child_is_down(self.log.now(), sa, &name, Some(reason)) };
        self.log.line(format_args!("Child SA down: {name}: {reason}{}", again(pause)));
    }

    /// Asks for a Child SA on an IKE SA that we started; on another one it is the peer's to ask.
    pub(crate) fn create_child(&mut self, sa: IkeSaHandle, name: &str) {
        if !self.starts.is_ours(sa) {
            return;
        }
        if let Err(error) = self.endpoint.create_child(self.log.now(), sa, name) {
            self.log.line(format_args!("Child SA failed: {name}: {error}"));
        }
    }

    pub(crate) fn name_of(&self, policy: PolicyId) -> String {
        let mut children = self.config.connections.iter().flat_map(|connection| &connection.children);
        children.find(|child| child.policy == policy).map_or_else(String::new, |child| child.name.clone())
    }
}

fn again(pause: Option<Duration>) -> String {
    pause.map(|pause| format!("; again in {pause:?}")).unwrap_or_default()
}
