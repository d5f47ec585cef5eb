//! CREATE_CHILD_SA (RFC 7296 §1.3), either way round: for a new Child SA (§1.3.1), and what rekeys have in common
//! with it. The rest of them is in [`rekey_child`](super::rekey_child) and [`rekey_ike`](super::rekey_ike).

use super::child::{ChildAttempt, is_fatal};
use super::context::Context;
use super::follow_up::{Link, Made};
use super::rekey_ike::is_about_ike;
use super::{IkeSa, Purpose};
use crate::config::ChildConfig;
use crate::contents::Contents;
use crate::error::{Busy, Failure};
use crate::event::Event;
use crate::exchange::exchanges::Request;
use crate::keys::Nonces;
use crate::negotiation::ChildExchange;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ikev2_wire::codes::{ExchangeType, KeMethod, NotifyType, PayloadType};
use ipsec_types::sa::PacketSelectors;

impl IkeSa {
    /// Sends a request for a Child SA; the window has room.
    pub(crate) fn begin_create_child(
        &mut self,
        context: &mut Context<'_>,
        config: &Arc<ChildConfig>,
        packet: Option<&PacketSelectors>,
        tries: u32,
    ) {
        let policy = config.policy;
        let begun = ChildAttempt::in_create_child(context, config, &self.path, packet, tries)
            .and_then(|attempt| self.send_create_child(context, attempt));
        if let Err(failure) = begun {
            self.tell_child_failed(context, Some(policy), failure);
        }
    }

    pub(crate) fn send_create_child(
        &mut self,
        context: &mut Context<'_>,
        attempt: ChildAttempt,
    ) -> Result<(), Failure> {
        let mut payloads = Vec::with_capacity(5);
        let sealed = attempt
            .push_request(&mut payloads, Some(&attempt.nonce))
            .and_then(|()| self.seal_request(context, ExchangeType::CREATE_CHILD_SA, &payloads));
        drop(payloads);
        match sealed {
            Ok(datagram) => {
                self.send_request(context, datagram, Purpose::CreateChild(Box::new(attempt)));
                Ok(())
            }
            Err(failure) => {
                context.release_spi(attempt.asked.inbound);
                Err(failure)
            }
        }
    }

    /// The answer to our request for a Child SA.
    pub(crate) fn on_create_child_answer(
        &mut self,
        context: &mut Context<'_>,
        attempt: ChildAttempt,
        contents: &Contents<'_>,
    ) {
        if !self.is_established() {
            // The Delete of the IKE SA, which comes next, takes what the peer set up with it (§2.25.2).
            context.release_spi(attempt.asked.inbound);
            return;
        }
        if let Some(notify) = contents.notify(NotifyType::INVALID_KE_PAYLOAD) {
            let wanted = notify.ke_method().unwrap_or(KeMethod::NONE);
            return self.retry_create_child(context, attempt, wanted);
        }
        let initiator = attempt.nonce.clone();
        let responder = contents.nonce.as_ref().map(|nonce| nonce.as_bytes());
        if responder.is_none() && contents.sa.is_some() {
            let failure = Failure::MissingPayload(PayloadType::NONCE);
            return self.fail_child(context, attempt.asked, failure, true);
        }
        let nonces = Nonces { initiator: &initiator, responder: responder.unwrap_or_default() };
        self.finish_child(context, attempt, contents, nonces);
    }

    /// INVALID_KE_PAYLOAD (§1.3): the same proposals with the method that the peer names, if we offered it.
    fn retry_create_child(&mut self, context: &mut Context<'_>, mut attempt: ChildAttempt, wanted: KeMethod) {
        let asked = attempt.asked.clone();
        let again = match attempt.start_over(context, wanted) {
            Ok(()) => self.send_create_child(context, attempt),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = again {
            self.fail_child(context, asked, failure, false);
        }
    }

    /// The peer asks for a Child SA, new or in place of another, or for an IKE SA in place of this one.
    pub(crate) fn on_create_child_request(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        contents: &Contents<'_>,
    ) {
        match self.try_answer_create_child(context, request, contents) {
            Ok(()) => {}
            Err(failure) if is_fatal(&failure) => self.refuse_request(context, request, failure),
            Err(failure) => {
                self.answer_with(context, request, &failure);
                // Who is busy says so and is asked again. Otherwise the embedder knows that the SA ends, or was told
                // that it has.
                if !self.is_established() || matches!(failure, Failure::Busy(_)) {
                    return;
                }
                if is_about_ike(contents) {
                    let (sa, failure) = (self.handle, Box::new(failure));
                    context.event(Event::IkeRekeyFailed { sa, failure });
                } else {
                    self.tell_child_failed(context, None, failure);
                }
            }
        }
    }

    fn try_answer_create_child(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        contents: &Contents<'_>,
    ) -> Result<(), Failure> {
        if !self.is_established() {
            return Err(Failure::Busy(Busy::IkeSaClosing));
        }
        if self.authentication.renewing {
            return Err(Failure::Busy(Busy::Reauthenticating));
        }
        if is_about_ike(contents) {
            return self.answer_rekey_ike(context, request, contents);
        }
        if self.awaits_rekey() || self.peer_rekeys_ike() {
            return Err(Failure::Busy(Busy::IkeSaRekeying));
        }
        let replaces = self.child_to_rekey(contents)?;
        let peer_nonce =
            contents.nonce.as_ref().ok_or(Failure::MissingPayload(PayloadType::NONCE))?.as_bytes();
        let nonce = context.nonce()?;
        let nonces = Nonces { initiator: peer_nonce, responder: &nonce };
        let ke_sent = contents.ke.as_ref().map(|ke| ke.method);
        let exchange = ChildExchange::CreateChildSa { ke_sent };
        let agreed = self.agree_child(context, contents, nonces, exchange, replaces)?;
        let link = self.next_link(agreed.choice.additional);
        let mut payloads = Vec::with_capacity(6);
        let answered = agreed.push_answer(&mut payloads, Some(&nonce)).and_then(|()| {
            payloads.extend(link.as_ref().map(Link::notify));
            self.send_answer(context, request, &payloads)
        });
        drop(payloads);
        let inbound = agreed.inbound();
        let done = answered.and_then(|()| match link {
            Some(link) => {
                self.await_follow_up(context, Made::Child(Box::new(agreed)), link);
                Ok(())
            }
            None => self.install(context, agreed),
        });
        done.inspect_err(|_| context.release_spi(inbound))
    }
}
