//! IKE_SA_INIT as initiator (RFC 7296 §1.2): the request, its repeats with a cookie (§2.6) or another key
//! exchange method (§2.7). What an answer that agrees leads to is in [`answerer`](super::answerer).
//!
//! Nothing in an answer is authentic yet. What is of no use is dropped and the attempt goes on (§2.21.1).

use super::context::Context;
use super::{IkeSa, Purpose, Stage};
use crate::config::Connection;
use crate::contents::Contents;
use crate::error::{Failure, Rejection};
use crate::establish::auth::announced_hashes;
use crate::establish::init::{self, InitMessage};
use crate::establish::nat::{self, Claim, NatHash};
use crate::event::{DownReason, Event, IkeSaHandle, NatStatus, Role};
use crate::exchange::datagram::Datagram;
use crate::identity::IdentityPattern;
use crate::negotiation;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use ikev2_wire::SaPayload;
use ikev2_wire::codes::{ExchangeType, HashAlgorithm, KeMethod, NotifyType, PayloadType};
use ikev2_wire::{Message, NotifyPayload, Proposal};
use ipsec_crypto::PendingKeyExchange;
use ipsec_types::{IkeSpi, Instant, Path};

/// An IKE_SA_INIT request that waits for its answer.
pub(crate) struct InitAttempt {
    pub offered: Vec<Proposal>,
    pub exchange: Box<dyn PendingKeyExchange>,
    pub method: KeMethod,
    pub nonce: Vec<u8>,
    cookie: Option<Vec<u8>>,
    /// How often the peer let us start over.
    retries: u32,
    /// An arbitrary source hash, where one is claimed.
    pub forced_nat: Option<NatHash>,
    pub request: Datagram,
    /// The last unprotected error, and when it will be believed.
    pub hint: Option<(NotifyType, Instant)>,
}

impl fmt::Debug for InitAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitAttempt")
            .field("method", &self.method)
            .field("nonce", &self.nonce)
            .field("cookie", &self.cookie)
            .field("retries", &self.retries)
            .field("request", &self.request)
            .field("hint", &self.hint)
            .finish_non_exhaustive()
    }
}

/// Starts our half of a key exchange.
pub(crate) fn start_exchange(
    context: &mut Context<'_>,
    method: KeMethod,
) -> Result<Box<dyn PendingKeyExchange>, Failure> {
    let algorithm = context.key_exchange(method)?;
    algorithm.start(context.random).map_err(|error| Failure::KeyExchange { method, error })
}

impl IkeSa {
    /// Makes an IKE SA and sends its first message.
    pub(crate) fn initiate(
        context: &mut Context<'_>,
        handle: IkeSaHandle,
        connection: Arc<Connection>,
        local_spi: IkeSpi,
        path: Path,
    ) -> Result<Self, Failure> {
        let offered = negotiation::offer_ike(&connection.ike_proposals, None);
        let method = negotiation::offered_ke(&offered)
            .into_iter()
            .find(|method| context.key_exchange(*method).is_ok())
            .ok_or_else(|| Failure::Algorithm("any key exchange method of the proposals".to_string()))?;
        let attempt = InitAttempt {
            exchange: start_exchange(context, method)?,
            offered,
            method,
            nonce: context.nonce()?,
            cookie: None,
            retries: 0,
            forced_nat: None,
            request: Datagram::finish(Datagram::buffer(0)),
            hint: None,
        };
        let stage = Stage::Initiating(Box::new(attempt));
        let mut sa = Self::new(context, handle, connection, Role::Initiator, local_spi, path, stage);
        let datagram = sa.init_request(context)?;
        if let IdentityPattern::Exactly(peer) = &sa.connection.remote_id {
            let pair = Arc::new((sa.connection.local_id.clone(), peer.clone()));
            sa.list(context, pair);
        }
        sa.current.requests.sent(context.now, datagram, Purpose::Init, &sa.connection.retransmit);
        Ok(sa)
    }

    /// Builds the request of the current attempt, remembers and sends it.
    fn init_request(&mut self, context: &mut Context<'_>) -> Result<Datagram, Failure> {
        let head = self.current.head(ExchangeType::IKE_SA_INIT, 0, false);
        let Stage::Initiating(attempt) = &mut self.stage else { return Err(Failure::NoKeys) };
        let nat = Claim::new(
            self.current.local_spi,
            None,
            &self.path,
            self.connection.force_udp_encapsulation,
            &mut attempt.forced_nat,
            context.random,
        )?;
        let hashes = init::hash_list(&announced_hashes(context.config.crypto));
        let message = InitMessage {
            cookie: attempt.cookie.as_deref(),
            sa: SaPayload::build(&attempt.offered)?,
            method: attempt.method,
            public: attempt.exchange.public(),
            nonce: &attempt.nonce,
            nat: Some(nat),
            hashes: &hashes,
        };
        let payloads = message.payloads()?;
        let datagram = init::plain(&head, &payloads)?;
        attempt.request = datagram.clone();
        context.observe_sent(&self.path, &datagram, &payloads);
        context.transmit(self.path, &datagram);
        self.sent_at = context.now;
        Ok(datagram)
    }

    /// An answer to our IKE_SA_INIT request.
    pub(crate) fn on_init_answer(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        message: &Message<'_>,
    ) -> Result<(), Rejection> {
        let contents = Contents::read(message.payloads())?;
        if contents.sa.is_some() {
            return self.on_answerer(context, path, message, &contents);
        }
        // One of an illegal length is as good as none (§2.6).
        if let Some(cookie) = contents.notify(NotifyType::COOKIE).and_then(|notify| notify.cookie()) {
            let cookie = cookie.to_vec();
            return self.start_over(context, |_, attempt| {
                attempt.cookie = Some(cookie);
                Ok(())
            });
        }
        let Some(error) = contents.error() else {
            return Err(Rejection::MissingPayload(PayloadType::SA));
        };
        if error.ty == NotifyType::INVALID_KE_PAYLOAD {
            return self.on_invalid_ke(context, error);
        }
        self.on_init_error(context, error.ty)
    }

    /// INVALID_KE_PAYLOAD (§1.2): the same proposals with the method that the peer names, if we offered it.
    fn on_invalid_ke(
        &mut self,
        context: &mut Context<'_>,
        notify: &NotifyPayload<'_>,
    ) -> Result<(), Rejection> {
        let wanted = notify.ke_method().ok_or(Rejection::MissingPayload(PayloadType::KE))?;
        self.start_over(context, |context, attempt| {
            let offered = negotiation::offered_ke(&attempt.offered);
            // Not offered, or just sent: of no use, and perhaps not from the peer at all.
            if wanted == attempt.method || !offered.contains(&wanted) {
                return Err(Failure::KeMethodWanted { wanted, offered });
            }
            attempt.exchange = start_exchange(context, wanted)?;
            attempt.method = wanted;
            Ok(())
        })
    }

    fn start_over(
        &mut self,
        context: &mut Context<'_>,
        change: impl FnOnce(&mut Context<'_>, &mut InitAttempt) -> Result<(), Failure>,
    ) -> Result<(), Rejection> {
        let useless = |failure| Rejection::UselessAnswer(Box::new(failure));
        let Stage::Initiating(attempt) = &mut self.stage else {
            return Err(Rejection::UnexpectedExchange(ExchangeType::IKE_SA_INIT));
        };
        if attempt.retries >= context.config.max_init_retries {
            return Err(useless(Failure::TooManyRetries(attempt.retries)));
        }
        change(context, attempt).map_err(useless)?;
        attempt.retries = attempt.retries.saturating_add(1);
        match self.init_request(context) {
            Ok(datagram) => {
                self.current.requests.replace(context.now, 0, datagram, &self.connection.retransmit);
                Ok(())
            }
            Err(failure) => {
                self.close(context, DownReason::Failed(Box::new(failure)));
                Ok(())
            }
        }
    }

    /// Any other error is a hint that anyone can send: it is told, and believed after a while.
    fn on_init_error(&mut self, context: &mut Context<'_>, notify: NotifyType) -> Result<(), Rejection> {
        let Stage::Initiating(attempt) = &mut self.stage else {
            return Err(Rejection::UnexpectedExchange(ExchangeType::IKE_SA_INIT));
        };
        if attempt.hint.is_none() {
            attempt.hint = Some((notify, context.now + self.connection.init_error_patience));
            context.out.event(Event::InitErrorSeen { sa: self.handle, notify });
        }
        Ok(())
    }
}

/// The hashes that the peer announced, if we announce any too: a notify that answers nothing means nothing.
pub(crate) fn peer_hashes(context: &Context<'_>, contents: &Contents<'_>) -> Option<Vec<HashAlgorithm>> {
    if context.config.crypto.signatures.is_empty() {
        return None;
    }
    let notify = contents.notify(NotifyType::SIGNATURE_HASH_ALGORITHMS)?;
    Some(notify.hash_algorithms()?.collect())
}

/// What the NAT_DETECTION notifies of a message say, if it has any.
pub(crate) fn detect_nat(
    initiator: IkeSpi,
    responder: Option<IkeSpi>,
    path: &Path,
    contents: &Contents<'_>,
    claimed: bool,
) -> Option<NatStatus> {
    let of = |ty| contents.notifies.iter().filter(move |n| n.ty == ty).map(|n| n.data);
    nat::detect(
        initiator,
        responder,
        path,
        of(NotifyType::NAT_DETECTION_SOURCE_IP),
        of(NotifyType::NAT_DETECTION_DESTINATION_IP).next(),
        claimed,
    )
}
