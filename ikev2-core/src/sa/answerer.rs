//! Whoever answers our IKE_SA_INIT request (RFC 7296 §1.2, §2.4).
//!
//! Nothing in the answer is authentic, and several may come, of which one is the peer's. Each is followed with
//! an IKE_AUTH request of its own, and who proves to be the peer gets the IKE SA; so a forged answer that comes
//! first does not shut out the genuine one.

use super::context::Context;
use super::initiate::{InitAttempt, detect_nat, peer_hashes};
use super::{IkeSa, Stage};
use crate::contents::Contents;
use crate::error::{Failure, Rejection};
use crate::establish::secrets::{Agreement, IkeAlgorithms};
use crate::event::{NatStatus, Role};
use crate::exchange::datagram::Datagram;
use crate::exchange::protect::Protection;
use crate::keys::IkeKeys;
use crate::negotiation::{self, IkeExchange};
use crate::stats::count;
use alloc::boxed::Box;
use alloc::string::ToString;
use core::net::SocketAddr;
use ikev2_wire::Message;
use ikev2_wire::codes::{ExchangeType, PayloadType};
use ipsec_types::{IkeSpi, Path, PathKind};

/// How many answers are followed at once. Each costs a key exchange and one more request.
pub(crate) const MAX_ANSWERERS: usize = 4;

/// One that answered, and what was agreed with it.
#[derive(Debug)]
pub(crate) struct Answerer {
    pub agreement: Agreement,
    pub keys: IkeKeys,
    /// Taken when the IKE SA is with this one.
    pub protection: Option<Protection>,
    pub nat: NatStatus,
    /// By which IKE_AUTH goes.
    pub path: Path,
    /// Our IKE_AUTH request to it, once it is signed.
    pub request: Option<Datagram>,
}

impl Answerer {
    pub(crate) fn spi(&self) -> IkeSpi {
        self.agreement.responder_spi
    }
}

fn useless(failure: Failure) -> Rejection {
    Rejection::UselessAnswer(Box::new(failure))
}

impl IkeSa {
    /// An answer that agrees: derives the keys and goes on to IKE_AUTH with it.
    pub(crate) fn on_answerer(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        message: &Message<'_>,
        contents: &Contents<'_>,
    ) -> Result<(), Rejection> {
        let init = match &self.stage {
            Stage::Initiating(init) => init,
            Stage::Authenticating(attempt) => {
                let spi = message.header().responder_spi;
                let repeat = attempt.answerers.iter().any(|answerer| Some(answerer.spi()) == spi);
                if repeat || attempt.answerers.len() >= MAX_ANSWERERS {
                    return Err(Rejection::Unsolicited(message.header().message_id));
                }
                &attempt.init
            }
            _ => return Err(Rejection::UnexpectedExchange(ExchangeType::IKE_SA_INIT)),
        };
        let answerer = self.read_answer(context, init, path, message, contents)?;
        self.heard_at = context.now;
        self.ike_heard_at = context.now;
        self.begin_auth(context, answerer);
        Ok(())
    }

    fn read_answer(
        &self,
        context: &mut Context<'_>,
        init: &InitAttempt,
        path: Path,
        message: &Message<'_>,
        contents: &Contents<'_>,
    ) -> Result<Answerer, Rejection> {
        let agreement = self.agreement(context, init, message, contents)?;
        let peer = contents.ke.as_ref().map_or(&[][..], |ke| ke.data);
        count(&mut context.statistics.key_exchanges);
        let shared = init.exchange.finish(peer)?;
        let (keys, protection) = agreement
            .keys(&shared)
            .ok_or_else(|| useless(Failure::Algorithm(agreement.algorithms.cipher.suite().to_string())))?;
        context.log_ike_keys(&agreement, &keys);
        let (spi, claimed) = (Some(agreement.responder_spi), init.forced_nat.is_some());
        let nat = detect_nat(self.current.local_spi, spi, &path, contents, claimed).unwrap_or_default();
        let path = self.path_to_go_on(context, nat);
        let protection = Some(protection);
        Ok(Answerer { agreement, keys, protection, nat, path, request: None })
    }

    fn agreement(
        &self,
        context: &Context<'_>,
        init: &InitAttempt,
        message: &Message<'_>,
        contents: &Contents<'_>,
    ) -> Result<Agreement, Rejection> {
        let responder_spi = message.header().responder_spi.ok_or(Rejection::Contradictory)?;
        let sa = contents.sa.as_ref().ok_or(Rejection::MissingPayload(PayloadType::SA))?;
        let ke = contents.ke.as_ref().ok_or(Rejection::MissingPayload(PayloadType::KE))?;
        let nonce = contents.nonce.as_ref().ok_or(Rejection::MissingPayload(PayloadType::NONCE))?;
        let choice = negotiation::accept_ike(&init.offered, sa, IkeExchange::Initial, init.method)
            .map_err(|fault| useless(Failure::ProposalAnswer(fault)))?;
        if ke.method != init.method {
            return Err(useless(Failure::KeMethod { got: ke.method, wanted: init.method }));
        }
        let algorithms = IkeAlgorithms::find(context.config.crypto, choice.cipher, choice.prf, choice.ke)
            .map_err(|name| useless(Failure::Algorithm(name)))?;
        let mut answer = Datagram::buffer(message.as_bytes().len());
        answer.extend_from_slice(message.as_bytes());
        Ok(Agreement {
            algorithms,
            role: Role::Initiator,
            initiator_spi: self.current.local_spi,
            responder_spi,
            initiator_nonce: init.nonce.clone(),
            responder_nonce: nonce.as_bytes().to_vec(),
            request: init.request.clone(),
            answer: Datagram::finish(answer),
            peer_hashes: peer_hashes(context, contents),
        })
    }

    /// With a NAT between, everything from now on goes by the NAT-T ports (§2.23).
    fn path_to_go_on(&self, context: &Context<'_>, nat: NatStatus) -> Path {
        if nat.any() && self.path.kind == PathKind::Ike {
            Path::nat_t(
                SocketAddr::new(self.path.local_ip(), context.config.local_nat_t_port),
                SocketAddr::new(self.path.remote_ip(), self.connection.remote_nat_t_port),
            )
        } else {
            self.path
        }
    }
}
