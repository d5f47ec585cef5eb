//! INFORMATIONAL (RFC 7296 §1.4): Delete either way round, liveness checks (§2.4), and errors that end the SA
//! (§2.21).

use super::configure::informational_reply;
use super::context::Context;
use super::mobike_request::Taken;
use super::redirect;
use super::{IkeSa, Purpose, Stage, Task};
use crate::contents::Contents;
use crate::error::{CallError, Failure};
use crate::event::{DownReason, Event, Role};
use crate::exchange::exchanges::Request;
use alloc::boxed::Box;
use alloc::vec::Vec;
use ikev2_wire::Payload;
use ikev2_wire::codes::{ExchangeType, NotifyType, ProtocolId};
use ikev2_wire::{DeletePayload, NotifyPayload};
use ipsec_types::sa::ChildSaId;
use ipsec_types::{EspSpi, Instant};

impl IkeSa {
    /// Begins to delete a Child SA.
    pub(crate) fn delete_child(
        &mut self,
        context: &mut Context<'_>,
        id: ChildSaId,
        reason: DownReason,
    ) -> Result<(), CallError> {
        let child = self.children.iter().find(|c| c.sa.id == id).ok_or(CallError::NoSuchChild)?;
        if child.deleting.is_some() {
            return Ok(());
        }
        self.request(context, Task::DeleteChildren(Vec::from([id])))?;
        if let Some(child) = self.children.iter_mut().find(|c| c.sa.id == id) {
            child.deleting = Some(reason);
        }
        Ok(())
    }

    /// Sends the Delete of Child SAs: the SPIs that we receive by (§1.4.1). What is gone by now is left out.
    pub(crate) fn begin_delete_children(&mut self, context: &mut Context<'_>, ids: &[ChildSaId]) {
        let spis: Vec<EspSpi> =
            self.children.iter().filter(|c| ids.contains(&c.sa.id)).map(|c| c.inbound).collect();
        if !spis.is_empty() {
            self.send_delete(context, &spis, Purpose::DeleteChildren(ids.to_vec()));
        }
    }

    /// Deletes at the peer what it set up and we did not.
    pub(crate) fn begin_delete_unused(&mut self, context: &mut Context<'_>, spi: EspSpi) {
        self.send_delete(context, &[spi], Purpose::DeleteChildren(Vec::new()));
    }

    /// Sends the Delete of the IKE SA; its Child SAs go with it.
    pub(crate) fn begin_delete_ike(&mut self, context: &mut Context<'_>) {
        self.send_informational(context, &[Payload::Delete(DeletePayload::ike())], Purpose::DeleteIke);
    }

    fn send_delete(&mut self, context: &mut Context<'_>, spis: &[EspSpi], purpose: Purpose) {
        match DeletePayload::esp(spis) {
            Ok(delete) => self.send_informational(context, &[Payload::Delete(delete)], purpose),
            Err(error) => self.close(context, DownReason::Failed(Box::new(error.into()))),
        }
    }

    /// Tells the peer that its proof was refused (§2.21.2). It ends the SA there, and so needs no Delete.
    pub(crate) fn begin_refuse_authentication(&mut self, context: &mut Context<'_>) {
        let notify = NotifyPayload::new(NotifyType::AUTHENTICATION_FAILED, &[]);
        self.send_informational(context, &[Payload::Notify(notify)], Purpose::DeleteIke);
    }

    /// An empty request: whoever answers is alive (§2.4). Where NATs may change their mappings, it asks for that too (RFC
    /// 4555 §3.8).
    pub(crate) fn begin_liveness(&mut self, context: &mut Context<'_>) {
        let notices = self.mapping_notices(context);
        let mut payloads = Vec::new();
        notices.push_to(&mut payloads);
        self.send_informational(context, &payloads, Purpose::Liveness);
    }

    pub(super) fn send_informational(
        &mut self,
        context: &mut Context<'_>,
        payloads: &[Payload<'_>],
        purpose: Purpose,
    ) {
        match self.seal_request(context, ExchangeType::INFORMATIONAL, payloads) {
            Ok(datagram) => self.send_request(context, datagram, purpose),
            Err(failure) => self.close(context, DownReason::Failed(Box::new(failure))),
        }
    }

    /// Our Delete of Child SAs was answered: both halves go now (§1.4.1).
    pub(crate) fn on_children_deleted(&mut self, context: &mut Context<'_>, ids: &[ChildSaId]) {
        for id in ids {
            self.remove_child(context, *id, DownReason::Requested);
        }
    }

    /// A liveness check was answered.
    pub(crate) fn on_alive(&mut self, context: &mut Context<'_>, sent: Instant) {
        if self.has_ended() {
            return;
        }
        let round_trip = context.now.saturating_since(sent);
        context.event(Event::PeerAlive { sa: self.handle, round_trip });
    }

    /// The peer's INFORMATIONAL request. Every one is answered, an empty one too.
    pub(crate) fn on_informational_request(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        contents: &Contents<'_>,
    ) {
        let first = self.generation == 0 && request.message_id() == self.first_after_auth();
        let fatal = contents.notifies.iter().map(|notify| notify.ty).find(|ty| is_fatal(*ty, first));
        let deletes_ike = contents.deletes.iter().any(|d| d.protocol() == ProtocolId::IKE);
        let spis = if deletes_ike || fatal.is_some() {
            Vec::new()
        } else {
            self.delete_at_peers_wish(context, contents)
        };
        let taken = match self.current.exchanges().map(|exchanges| *exchanges.ends()) {
            Some(ends) => self.take_addresses(context, request, contents, &ends),
            None => Taken::default(),
        };
        let answered = deletes(&spis).and_then(|mut payloads| {
            taken.notices.push_to(&mut payloads);
            payloads.extend(informational_reply(&self.connection, contents).map(Payload::Cp));
            self.send_answer(context, request, &payloads)
        });
        if let Err(failure) = answered {
            return self.close(context, DownReason::Failed(Box::new(failure)));
        }
        if let Some(notify) = fatal {
            self.close(context, DownReason::Failed(Box::new(Failure::Refused { notify })));
        } else if deletes_ike {
            if !self.fall_back(context) {
                self.close(context, DownReason::DeletedByPeer);
            }
        } else {
            self.follow_addresses(context, taken);
            self.heed(context, contents);
        }
    }

    /// What the peer says of the time to come: how long the authentication lasts, and where else to go.
    pub(super) fn heed(&mut self, context: &mut Context<'_>, contents: &Contents<'_>) {
        self.learn_auth_lifetime(context, contents);
        if let Some(to) = redirect::gateway(contents) {
            self.on_redirect_in_session(context, to);
        }
    }

    /// Removes the Child SAs whose outbound SPIs the peer names, and gives the inbound SPIs to name in return.
    ///
    /// Where our own Delete of the same pair is on its way, only the outbound half goes now, and nothing is
    /// named in return: the answer to ours takes the rest (§1.4.1).
    pub(super) fn delete_at_peers_wish(
        &mut self,
        context: &mut Context<'_>,
        contents: &Contents<'_>,
    ) -> Vec<EspSpi> {
        let mut answer = Vec::new();
        let deletes = contents.deletes.iter().filter(|d| d.protocol() == ProtocolId::ESP);
        for spi in deletes.flat_map(|delete| delete.esp_spis()) {
            let Some(child) = self.children.iter().find(|c| c.outbound == spi) else {
                self.remember_deleted(spi);
                continue;
            };
            let (id, inbound) = (child.sa.id, child.inbound);
            if self.is_delete_in_flight(id) {
                self.hand_over(context, id);
                if let Some(child) = self.child_mut(id) {
                    child.remove_outbound(context);
                }
            } else {
                answer.push(inbound);
                self.remove_child(context, id, DownReason::DeletedByPeer);
            }
        }
        answer
    }

    /// The Message ID of the peer's first request after IKE_AUTH.
    fn first_after_auth(&self) -> u32 {
        match self.current.role() {
            Role::Initiator => 0,
            Role::Responder => self.last_auth.saturating_add(1),
        }
    }

    /// A Delete may overtake the answer that made its Child SA.
    fn remember_deleted(&mut self, spi: EspSpi) {
        const REMEMBERED: usize = 16;
        if self.awaits_child() && self.deleted_early.len() < REMEMBERED {
            self.deleted_early.push(spi);
        }
    }

    fn is_delete_in_flight(&self, id: ChildSaId) -> bool {
        self.purposes().any(|purpose| match purpose {
            Purpose::DeleteChildren(ids) => ids.contains(&id),
            _ => false,
        })
    }

    /// The answer to the Delete of the IKE SA.
    pub(crate) fn on_ike_deleted(&mut self, context: &mut Context<'_>) {
        if matches!(self.stage, Stage::Closing(_)) {
            self.close(context, DownReason::Requested);
        }
    }
}

/// What an answer names of the Child SAs that its request deleted: nothing, or one payload for all.
pub(super) fn deletes<'a>(spis: &[EspSpi]) -> Result<Vec<Payload<'a>>, Failure> {
    if spis.is_empty() {
        return Ok(Vec::new());
    }
    Ok(Vec::from([Payload::Delete(DeletePayload::esp(spis)?)]))
}

/// The errors that end an IKE SA without a Delete; the last one only right after IKE_AUTH (§2.21.2, §2.21.3).
pub(super) fn is_fatal(notify: NotifyType, first_after_auth: bool) -> bool {
    match notify {
        NotifyType::AUTHENTICATION_FAILED | NotifyType::INVALID_SYNTAX => true,
        NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD => first_after_auth,
        _ => false,
    }
}
