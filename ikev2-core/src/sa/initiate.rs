//! IKE_SA_INIT as initiator, at an IKE SA of ours: what [`establish::initiator`](crate::establish::initiator) leaves
//! to whoever uses it.

use super::context::Context;
use super::{IkeSa, Stage};
use crate::config::{Childless, Connection};
use crate::error::{Failure, Rejection};
use crate::establish::init::PASSES_EVERYWHERE;
use crate::establish::initiator::{InitAnswer, Initiator, InitiatorTerms};
use crate::event::{Event, Handled, IkeSaHandle, Role};
use crate::identity::IdentityPattern;
use crate::redirect::{RedirectSupport, Redirected};
use alloc::boxed::Box;
use alloc::sync::Arc;
use ikev2_wire::Message;
use ikev2_wire::codes::ExchangeType;
use ipsec_types::{IkeSpi, Path};

impl IkeSa {
    /// Makes an IKE SA and sends its first message.
    pub(crate) fn initiate(
        context: &mut Context<'_>,
        handle: IkeSaHandle,
        connection: Arc<Connection>,
        local_spi: IkeSpi,
        path: Path,
        redirected: Option<Redirected>,
    ) -> Result<Self, Failure> {
        let terms = InitiatorTerms {
            crypto: context.config.crypto,
            force_udp_encapsulation: connection.force_udp_encapsulation,
            nat_t_ports: (context.config.local_nat_t_port, connection.remote_nat_t_port),
            always_nat_t: connection.mobike.is_some(),
            retransmit: connection.retransmit,
            error_patience: connection.init_error_patience,
            max_restarts: context.config.max_init_retries,
            window: context.config.window,
            fragmentation: connection.fragmentation,
            redirects: match (connection.redirects, &redirected) {
                (None, _) => RedirectSupport::None,
                (Some(_), None) => RedirectSupport::Supported,
                (Some(_), Some(redirected)) => RedirectSupport::From(redirected.from),
            },
            intermediate: connection.intermediate.is_announced(&connection.ike_proposals),
            childless_only: connection.childless == Childless::Required,
        };
        let proposals = &connection.ike_proposals;
        let initiator = Initiator::start(context.now, context.random, terms, proposals, local_spi, path)?;
        let octets = initiator.request().message().len();
        if octets > PASSES_EVERYWHERE {
            tracing::warn!(connection = %connection.name, octets, "IKE_SA_INIT is too large for some paths");
        }
        context.send_plain(path, initiator.request());
        let stage = Stage::Initiating(Box::new(initiator));
        let mut sa = Self::new(context, handle, connection, Role::Initiator, local_spi, path, stage);
        sa.redirected = redirected.map(Box::new);
        if let IdentityPattern::Exactly(peer) = &sa.connection.remote_id {
            let pair = Arc::new((sa.connection.local_id.clone(), peer.clone()));
            sa.list(context, pair);
        }
        Ok(sa)
    }

    /// An answer to our IKE_SA_INIT request, the first or one more.
    pub(super) fn on_init_answer(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        message: &Message<'_>,
    ) -> Result<Handled, Rejection> {
        let initiator = match &mut self.stage {
            Stage::Initiating(initiator) => initiator,
            // EAP goes on with the one that began it, and nobody else comes in between.
            Stage::Authenticating(attempt) if attempt.eap.is_some() => {
                return Err(Rejection::Unsolicited(message.header().message_id));
            }
            Stage::Authenticating(attempt) => &mut attempt.initiator,
            _ => return Err(Rejection::UnexpectedExchange(ExchangeType::IKE_SA_INIT)),
        };
        context.observe_plain(path, message);
        let answer = initiator.receive(context.now, context.random, path, message);
        context.count_key_exchange(&answer);
        match answer? {
            InitAnswer::StartOver => {
                context.send_plain(self.path, initiator.request());
                self.sent_at = context.now;
            }
            InitAnswer::Error(notify) => context.event(Event::InitErrorSeen { sa: self.handle, notify }),
            InitAnswer::FurtherError => {}
            InitAnswer::Redirect(gateway) => self.on_redirect_in_init(context, gateway),
            InitAnswer::Secured(secured) => {
                self.heard_at = context.now;
                self.ike_heard_at = context.now;
                context.log_ike_keys(&secured.agreement, &secured.keys);
                self.begin_auth(context, *secured);
            }
        }
        Ok(Handled::Processed)
    }
}
