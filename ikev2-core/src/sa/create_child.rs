//! CREATE_CHILD_SA for a new Child SA (RFC 7296 §1.3.1), either way round. Requests that rekey are refused with
//! NO_ADDITIONAL_SAS, as §4 lets an implementation do that does not rekey.

use super::child::{ChildAttempt, ChildExchangeHalf, is_fatal};
use super::context::Context;
use super::{IkeSa, Purpose};
use crate::config::ChildConfig;
use crate::contents::Contents;
use crate::error::{Failure, Unsupported};
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
    ) {
        let policy = config.policy;
        let begun = ChildAttempt::in_create_child(context, config, &self.path, packet)
            .and_then(|attempt| self.send_create_child(context, attempt));
        if let Err(failure) = begun {
            self.tell_child_failed(context, Some(policy), failure);
        }
    }

    fn send_create_child(&mut self, context: &mut Context<'_>, attempt: ChildAttempt) -> Result<(), Failure> {
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
                context.release_spi(attempt.inbound);
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
            context.release_spi(attempt.inbound);
            return;
        }
        if let Some(notify) = contents.notify(NotifyType::INVALID_KE_PAYLOAD) {
            let wanted = notify.ke_method().unwrap_or(KeMethod::NONE);
            return self.retry_create_child(context, attempt, wanted);
        }
        let initiator = attempt.nonce.clone();
        let responder = contents.nonce.as_ref().map(|nonce| nonce.as_bytes());
        match (responder, contents.sa.is_some()) {
            (None, true) => {
                let failure = Failure::MissingPayload(PayloadType::NONCE);
                context.release_spi(attempt.inbound);
                self.fail_child(context, attempt.config.policy, failure, Some(attempt.inbound));
            }
            (responder, _) => {
                let responder = responder.unwrap_or_default();
                let nonces = Nonces { initiator: &initiator, responder };
                self.finish_child(context, attempt, contents, nonces);
            }
        }
    }

    /// INVALID_KE_PAYLOAD (§1.3): the same proposals with the method that the peer names, if we offered it.
    fn retry_create_child(&mut self, context: &mut Context<'_>, mut attempt: ChildAttempt, wanted: KeMethod) {
        let offered = attempt.methods();
        let sent = attempt.ke.as_ref().map(|half| half.method);
        let prepared = if attempt.retries >= context.config.max_init_retries {
            Err(Failure::TooManyRetries(attempt.retries))
        } else if sent == Some(wanted) || !offered.contains(&wanted) {
            Err(Failure::KeMethodWanted { wanted, offered })
        } else {
            ChildExchangeHalf::start(context, wanted)
        };
        let policy = attempt.config.policy;
        let again = match prepared {
            Ok(half) => {
                attempt.use_exchange(Some(half));
                attempt.retries = attempt.retries.saturating_add(1);
                self.send_create_child(context, attempt)
            }
            Err(failure) => {
                context.release_spi(attempt.inbound);
                Err(failure)
            }
        };
        if let Err(failure) = again {
            self.fail_child(context, policy, failure, None);
        }
    }

    /// The peer asks for a Child SA.
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
                // Otherwise the embedder knows that the SA ends, or was told that it has.
                if self.is_established() {
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
            // We are closing the IKE SA (§2.25.2).
            return Err(Failure::Unsupported(Unsupported::WhileClosing));
        }
        if contents.notify(NotifyType::REKEY_SA).is_some() {
            return Err(Failure::Unsupported(Unsupported::ChildRekey));
        }
        if contents.ts_i.is_none() && contents.ts_r.is_none() {
            return Err(Failure::Unsupported(Unsupported::IkeRekey));
        }
        let peer_nonce =
            contents.nonce.as_ref().ok_or(Failure::MissingPayload(PayloadType::NONCE))?.as_bytes();
        let nonce = context.nonce()?;
        let nonces = Nonces { initiator: peer_nonce, responder: &nonce };
        let ke_sent = contents.ke.as_ref().map(|ke| ke.method);
        let exchange = ChildExchange::CreateChildSa { ke_sent };
        let agreed = self.agree_child(context, contents, nonces, exchange)?;
        let mut payloads = Vec::with_capacity(5);
        let answered = agreed
            .push_answer(&mut payloads, Some(&nonce))
            .and_then(|()| self.send_answer(context, request, &payloads));
        drop(payloads);
        match answered {
            Ok(()) => self.install(context, agreed),
            Err(_) => context.release_spi(agreed.inbound()),
        }
        answered
    }
}
