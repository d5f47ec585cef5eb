//! IKE_SA_INIT as responder, at an IKE SA of ours: which connection answers, and what
//! [`establish::responder`](crate::establish::responder) leaves to whoever uses it.

use super::context::Context;
use super::generation::Generation;
use super::{ClaimInHand, IkeSa, Stage};
use crate::error::{Bound, Rejection};
use crate::establish::responder::{InitRequest, Refusal, ResponderTerms};
use crate::establish::secrets::Secured;
use crate::event::{Handled, IkeSaHandle, Role};
use crate::exchange::exchanges::Received;
use crate::exchange::fragment::Arrival;
use crate::exchange::responses::ResponseWindow;
use crate::stats::count;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ikev2_wire::Message;
use ikev2_wire::codes::ExchangeType;
use ipsec_types::{IkeSpi, Path};

/// Nothing is begun that could not be finished.
pub(super) fn afford_claim(context: &mut Context<'_>, exchange: ExchangeType) -> Result<(), Rejection> {
    let operations =
        if exchange == ExchangeType::IKE_AUTH { AUTH_OPERATIONS } else { INTERMEDIATE_OPERATIONS };
    if !context.affords(operations) {
        count(&mut context.statistics.auth_requests_ignored);
        return Err(Rejection::Limit(Bound::Operations));
    }
    Ok(())
}

/// What an IKE_INTERMEDIATE request costs at most: the shared secret of IKE_SA_INIT, and an additional key exchange.
const INTERMEDIATE_OPERATIONS: u32 = 2;

/// What the largest IKE_AUTH request costs: the shared secret, a signature to check and one to make.
const AUTH_OPERATIONS: u32 = 3;

impl IkeSa {
    /// Makes the half-open IKE SA and sends the answer.
    pub(crate) fn respond(
        context: &mut Context<'_>,
        request: &InitRequest<'_>,
        handle: IkeSaHandle,
        local_spi: IkeSpi,
    ) -> Result<Self, Refusal> {
        let path = *request.path();
        let candidates = context.connections.answering(&path);
        let policies = candidates.map(|c| (c, c.ike_proposals.as_slice()));
        let (connection, choice) = request.choose(policies, request.does_intermediate())?;
        let terms = ResponderTerms {
            crypto: context.config.crypto,
            force_udp_encapsulation: connection.force_udp_encapsulation,
            window: context.config.window,
            fragmentation: connection.fragmentation,
            intermediate: true,
            childless: connection.childless.is_offered(),
        };
        context.spend();
        let half_open = request.answer(context.random, &terms, &choice, local_spi)?;
        if !half_open.owes_key_exchange() {
            count(&mut context.statistics.key_exchanges);
        }
        context.send_plain(path, half_open.answer());
        let (connection, nat) = (Arc::clone(connection), half_open.nat());
        let algorithms = half_open.agreement().algorithms;
        let expires = context.now + context.config.half_open_timeout;
        let stage = Stage::HalfOpen(Box::new(half_open), expires);
        let mut sa = IkeSa::new(context, handle, connection, Role::Responder, local_spi, path, stage);
        sa.nat = nat;
        sa.algorithms = Some(algorithms);
        Ok(sa)
    }

    /// Where repeats of the IKE_SA_INIT request find their answer.
    pub(crate) fn init_responses(&self) -> Option<&ResponseWindow> {
        match (&self.stage, &self.current) {
            (Stage::HalfOpen(half_open, _), _) => Some(half_open.responses()),
            (_, Generation::Keyed(exchanges)) => Some(exchanges.responses()),
            _ => None,
        }
    }

    /// A message for an IKE SA whose initiator has not shown yet that it got our answer.
    pub(super) fn receive_half_open(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        let exchange = message.header().exchange;
        let Stage::HalfOpen(half_open, _) = &mut self.stage else {
            return Err(Rejection::UnexpectedExchange(exchange));
        };
        let request = match half_open.judge(path, message)? {
            Received::Request(request) if half_open.expects(exchange) => request,
            Received::Repeat(answer) => {
                context.transmit_again(path, &answer);
                return Ok(Handled::RepeatAnswered);
            }
            _ => return Err(Rejection::UnexpectedExchange(exchange)),
        };
        if message.protected().is_none() {
            return Err(Rejection::Unprotected);
        }
        half_open.fragmentation().judge(message, &context.reception(path))?;
        afford_claim(context, exchange)?;
        let late = half_open.keys().is_none();
        if half_open.owes_key_exchange() {
            context.spend();
            count(&mut context.statistics.key_exchanges);
        }
        let opened = half_open.open(&context.reception(path), message, scratch);
        if let Some(keys) = half_open.keys().filter(|_| late) {
            context.log_ike_keys(half_open.agreement(), keys);
        }
        if half_open.keys().is_some() {
            context.opened(&path, message, &opened);
        }
        let Arrival::Message(arrived) = opened? else { return Ok(Handled::Fragment) };
        // Only now the peer has shown that it has the keys.
        let placeholder = Stage::Lingering(context.now);
        let Stage::HalfOpen(half_open, expires) = core::mem::replace(&mut self.stage, placeholder) else {
            return Err(Rejection::UnexpectedExchange(exchange));
        };
        let (init, expires) = (*half_open.request(), Some(expires));
        let Some(secured) = half_open.secure() else { return Err(Rejection::Unprotected) };
        let Secured { agreement, keys, exchanges, intermediates, .. } = secured;
        self.current = Generation::Keyed(exchanges);
        let claim = ClaimInHand { agreement, keys, init, intermediates, eap: None, expires };
        self.stage = Stage::Claiming(Box::new(claim));
        self.take_claim(context, request, message, arrived);
        Ok(Handled::Processed)
    }
}
