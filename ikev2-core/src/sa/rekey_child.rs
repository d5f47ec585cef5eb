//! Rekeying Child SAs (RFC 7296 §1.3.3, §2.8), and what happens where both ends do it at once (§2.8.1, §2.25.1).
//!
//! While a Child SA and what replaces it are both there, packets are taken on both. Who began the exchange sends by
//! the new one as soon as it has the answer; the other end as soon as it sees a packet on it, and at the latest
//! when the old one is deleted (§2.8), which the first does.
//!
//! The relation of old and new is kept in the new one: it [awaits](Child::awaits) the old one, or nothing once it
//! carries the traffic. Several may await one.

use super::child::{AskedChild, Child, ChildAttempt};
use super::context::Context;
use super::follow_up::FollowUp;
use super::{IkeSa, Purpose, Task};
use crate::contents::Contents;
use crate::error::{Busy, Failure};
use crate::event::{DownReason, Event};
use alloc::vec::Vec;
use ikev2_wire::NotifyPayload;
use ikev2_wire::codes::{NotifyType, ProtocolId};
use ipsec_types::sa::ChildSaId;
use ipsec_types::{EspSpi, SaCommand};

/// Replacements of one Child SA that a peer may have at once.
const MAX_REPLACEMENTS: usize = 4;

/// The lower of an exchange's two nonces, octet by octet; where one is the beginning of the other, the shorter
/// (§2.8.1).
pub(crate) fn lower_nonce(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.min(b).to_vec()
}

/// Which Child SA a request of the peer's is to replace, by the SPI that we send to (§1.3.3).
fn rekeyed_spi(notify: &NotifyPayload<'_>) -> Result<EspSpi, Failure> {
    let spi: Option<[u8; 4]> = notify.spi.try_into().ok().filter(|_| notify.protocol == ProtocolId::ESP);
    spi.and_then(|octets| EspSpi::new(u32::from_be_bytes(octets)))
        .ok_or(Failure::RekeySaForm { protocol: notify.protocol, spi_len: notify.spi.len() })
}

impl IkeSa {
    pub(crate) fn child(&self, id: ChildSaId) -> Option<&Child> {
        self.children.iter().find(|child| child.sa.id == id)
    }

    pub(crate) fn child_mut(&mut self, id: ChildSaId) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.sa.id == id)
    }

    /// Whether a rekey of this one is out or waits.
    pub(crate) fn is_rekeying(&self, id: ChildSaId) -> bool {
        let out = self.asked_children().any(|asked| asked.rekeys == Some(id));
        let is_rekey = |task: &Task| matches!(task, Task::RekeyChild { id: other, .. } if *other == id);
        out || self.waiting_tasks().any(is_rekey)
    }

    fn is_awaited(&self, id: ChildSaId) -> bool {
        self.children.iter().any(|child| child.awaits == Some(id))
    }

    /// Sends a request that rekeys a Child SA; the window has room. One that is gone by now, is on its way out, or
    /// that the peer has replaced needs none.
    pub(crate) fn begin_rekey_child(&mut self, context: &mut Context<'_>, id: ChildSaId, tries: u32) {
        let Some(child) = self.child(id) else { return };
        if child.deleting.is_some() || child.replaced || self.is_awaited(id) {
            return;
        }
        let policy = child.sa.policy;
        let begun = ChildAttempt::to_rekey(context, child, &self.path, tries)
            .and_then(|attempt| self.send_create_child(context, attempt));
        if let Err(failure) = begun {
            self.tell_child_failed(context, Some(policy), failure);
        }
    }

    /// As responder: the Child SA that a request is to replace, if it names one and it can be replaced now.
    pub(crate) fn child_to_rekey(&self, contents: &Contents<'_>) -> Result<Option<ChildSaId>, Failure> {
        let Some(notify) = contents.notify(NotifyType::REKEY_SA) else { return Ok(None) };
        let spi = rekeyed_spi(notify)?;
        let found = self.children.iter().find(|child| child.outbound == spi);
        let Some(child) = found else {
            // It may be the one whose answer has not come yet: saying that it is not there would cost it.
            let busy = Failure::Busy(Busy::ChildExchange);
            return Err(if self.awaits_child() { busy } else { Failure::ChildSaNotFound { spi } });
        };
        if child.deleting.is_some() {
            return Err(Failure::Busy(Busy::ChildSaClosing));
        }
        let id = child.sa.id;
        if self.follows_up(id) || self.peer_rekeys_child(id) {
            // A series that is under way, which nothing crosses any more (RFC 9370 §2.2.4).
            return Err(Failure::Busy(Busy::ChildExchange));
        }
        if self.children.iter().filter(|other| other.awaits == Some(id)).count() >= MAX_REPLACEMENTS {
            return Err(Failure::Busy(Busy::Replacements));
        }
        Ok(Some(id))
    }

    /// Whether additional key exchanges of our own rekey of this one are under way.
    pub(super) fn follows_up(&self, id: ChildSaId) -> bool {
        self.asked_children().any(|asked| asked.rekeys == Some(id)) && !self.crosses_ours(id)
    }

    /// As responder: whether our own request to rekey the same one is out, so that the nonces will decide.
    pub(crate) fn crosses_ours(&self, id: ChildSaId) -> bool {
        self.current.purposes().any(|purpose| match purpose {
            Purpose::CreateChild(attempt) => attempt.asked.rekeys == Some(id),
            _ => false,
        })
    }

    /// What the peer made in place of a Child SA while our own request to rekey it was out.
    pub(super) fn rivals(&self, id: ChildSaId) -> impl Iterator<Item = (ChildSaId, &[u8])> {
        let of_this = self.children.iter().filter(move |child| child.sa.replaces == Some(id));
        of_this.filter_map(|child| Some((child.sa.id, child.rival_nonce.as_deref()?)))
    }

    /// Whether there was any, even if it is gone or replaced by now.
    pub(super) fn forget_rivalry(&mut self, id: ChildSaId) -> bool {
        let before = self.crossed.len();
        self.crossed.retain(|crossed| *crossed != id);
        self.forget_rival_series(id);
        for child in self.children.iter_mut().filter(|child| child.sa.replaces == Some(id)) {
            child.rival_nonce = None;
        }
        if self.crossed.is_empty() {
            // Nothing crosses most of the time, and thousands of SAs are kept.
            self.crossed = Vec::new();
        }
        before != self.crossed.len()
    }

    /// What carries the traffic of a Child SA that we asked to rekey: itself, or what the peer has put in its place
    /// meanwhile.
    pub(crate) fn carrier_of(&self, id: ChildSaId) -> Option<ChildSaId> {
        let itself = self.child(id).map(|child| child.sa.id);
        itself.or_else(|| self.rivals(id).map(|(rival, _)| rival).max())
    }

    /// As initiator: what replaces `old` is installed. The nonces decide which of those made at once is left over,
    /// and whoever began its exchange deletes it (§2.8.1).
    pub(crate) fn settle_rekey(
        &mut self,
        context: &mut Context<'_>,
        old: ChildSaId,
        new: ChildSaId,
        nonce: &[u8],
    ) {
        let Some(carrier) = self.carrier_of(old) else {
            // What the peer had put in its place was replaced in its turn: that carries the traffic.
            if self.forget_rivalry(old) {
                self.start_deleting(new, DownReason::Redundant);
            }
            return;
        };
        let unwanted = self.child(old).is_some_and(|child| child.deleting == Some(DownReason::Requested));
        let lost = self.loses_to_peers(Some(old), nonce);
        if lost {
            self.relieve(Some(old));
        } else {
            self.drop_rivals(context, Some(old));
        }
        self.forget_rivalry(old);
        if lost {
            return self.start_deleting(new, DownReason::Redundant);
        }
        self.take_over(context, carrier, new);
        if carrier == old {
            self.start_deleting(old, DownReason::Rekeyed);
        }
        if unwanted {
            // It was to be deleted while the request was out, and so is what came of it.
            self.start_deleting(new, DownReason::Requested);
        }
    }

    /// Queues the Delete of a Child SA of our own accord.
    pub(crate) fn start_deleting(&mut self, id: ChildSaId, reason: DownReason) {
        if let Some(child) = self.child_mut(id).filter(|child| child.deleting.is_none()) {
            child.deleting = Some(reason);
            self.queue.push_back(Task::DeleteChildren(Vec::from([id])));
        }
    }

    /// `new` has the place of `old`: traffic goes by it from now on, or once what `old` itself awaits is gone.
    pub(crate) fn take_over(&mut self, context: &mut Context<'_>, old: ChildSaId, new: ChildSaId) {
        let awaited = self.child(old).and_then(|child| child.awaits);
        let heir = awaited.unwrap_or(new);
        for child in self.children.iter_mut().filter(|child| child.awaits == Some(old)) {
            child.awaits = Some(heir);
        }
        if let Some(child) = self.child_mut(new) {
            child.awaits = awaited;
        }
        if let Some(child) = self.child_mut(old) {
            child.replaced = true;
        }
        if awaited.is_none() {
            let switch = SaCommand::SwitchOutbound { from: old, to: new };
            context.event(Event::DataPath(switch));
            context.event(Event::ChildSaReplaced { sa: self.handle, old, new });
        }
    }

    /// A packet came in by this one: the peer uses it, and so may we (§2.8). While our own rekey of the same one is
    /// out, it may be the one that is left over, and the old one serves.
    pub(crate) fn on_child_used(&mut self, context: &mut Context<'_>, id: ChildSaId) {
        let awaited = |id| self.child(id).filter(|child| child.deleting.is_none()).and_then(|c| c.awaits);
        let Some(first) = awaited(id) else { return };
        if self.child(id).is_some_and(|child| child.rival_nonce.is_some()) {
            return;
        }
        // What it awaits may itself await another one, which carries the traffic.
        let carrier = core::iter::successors(Some(first), |id| self.child(*id)?.awaits).last();
        self.take_over(context, carrier.unwrap_or(first), id);
    }

    /// The outbound half of this one is about to go: the newest that awaits it takes over, if there is one. One that is
    /// on its way out itself does where there is no other: until it is deleted it carries traffic, and its own rekey
    /// may be out.
    pub(crate) fn hand_over(&mut self, context: &mut Context<'_>, id: ChildSaId) {
        if self.child(id).is_none_or(|child| child.replaced) {
            return;
        }
        let heirs = self.children.iter().filter(|child| child.awaits == Some(id) && !child.outbound_gone);
        if let Some(heir) = heirs.max_by_key(|child| (child.deleting.is_none(), child.sa.id)) {
            self.take_over(context, id, heir.sa.id);
        }
    }

    /// Removes a Child SA; what awaits it takes over before.
    pub(crate) fn remove_child(&mut self, context: &mut Context<'_>, id: ChildSaId, reason: DownReason) {
        self.hand_over(context, id);
        for child in self.children.iter_mut().filter(|child| child.awaits == Some(id)) {
            child.awaits = None;
        }
        if let Some(at) = self.children.iter().position(|child| child.sa.id == id) {
            let child = self.children.swap_remove(at);
            child.remove(context, self.handle, reason);
        }
    }

    /// As initiator: the request came to nothing, and what the peer made instead is not lost with it (§2.25.1).
    pub(crate) fn on_rekey_failed(
        &mut self,
        context: &mut Context<'_>,
        id: ChildSaId,
        tries: u32,
        failure: Failure,
    ) {
        self.forget_rivalry(id);
        // Its end was told, or its replacement was.
        let Some(child) = self.child(id).filter(|child| child.deleting.is_none() && !child.replaced) else {
            return;
        };
        let (policy, config) = (child.sa.policy, child.config.clone());
        // What the peer makes in its place, or has made, does as well.
        if self.is_awaited(id) || self.relieve(Some(id)) {
            return;
        }
        if matches!(failure, Failure::Refused { notify: NotifyType::CHILD_SA_NOT_FOUND }) {
            // The peer lost it: so do we, and begin anew (§2.25).
            self.remove_child(context, id, DownReason::Failed(failure.into()));
            self.queue.push_back(Task::CreateChild { config, packet: None, tries: 0 });
            return;
        }
        self.renew_if_not_rekeyed(context, &failure);
        self.try_again_later(context, Task::RekeyChild { id, tries }, &failure);
        self.tell_child_failed(context, Some(policy), failure);
    }

    /// The Child SAs that we asked for, whose exchanges are not over.
    pub(crate) fn asked_children(&self) -> impl Iterator<Item = &AskedChild> {
        let out = self.current.purposes().filter_map(|purpose| match purpose {
            Purpose::CreateChild(attempt) => Some(&attempt.asked),
            Purpose::FollowUp(follow_up) => follow_up.child(),
            _ => None,
        });
        out.chain(self.waiting_follow_ups().filter_map(FollowUp::child))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "If they are equal so far and one ends, the shorter is lower": RFC 7296 §2.8.1.
    #[test]
    fn nonces_compare_octet_by_octet_and_the_shorter_first() {
        assert_eq!(lower_nonce(&[1, 2, 3], &[1, 2, 2, 9]), [1, 2, 2, 9]);
        assert_eq!(lower_nonce(&[1, 2, 3], &[1, 2, 3, 0]), [1, 2, 3]);
        assert_eq!(lower_nonce(&[0xff], &[0x7f, 0xff]), [0x7f, 0xff]);
    }
}
