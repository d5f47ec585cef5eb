//! Rekeying the IKE SA (RFC 7296 §1.3.2, §2.8, §2.18), either way round and by both ends at once (§2.8.1, §2.25.2).
//!
//! A rekey makes a new [generation](super::generation); everything else lives on, Child SAs first of all. The one
//! before is kept as a [former](super::former) one until it is deleted: by whoever began the rekey (§2.8).
//!
//! | we began | the peer began |
//! |---|---|
//! | [`IkeSa::begin_rekey_ike`], then [`IkeSa::on_rekey_ike_answer`] | [`IkeSa::answer_rekey_ike`] |
//!
//! Where both do, the peer's is served at once, and ours decides when its answer comes: the exchange with the lowest
//! of the four nonces made the one that is left over.

use super::context::Context;
use super::former::{Fate, Former};
use super::generation::Generation;
use super::rekey_child::lower_nonce;
use super::{Closing, Established, IkeSa, Purpose, Stage, Task};
use crate::contents::Contents;
use crate::error::{Busy, Failure};
use crate::establish::half::Half;
use crate::establish::secrets::{self, IkeAlgorithms};
use crate::event::{DownReason, Event, Role};
use crate::exchange::exchanges::{Ends, Exchanges, Request};
use crate::exchange::requests::RequestWindow;
use crate::exchange::responses::ResponseWindow;
use crate::keys::{self, IkeKeys, Nonces};
use crate::negotiation::{self, IkeChoice, IkeExchange, Selection};
use crate::stats::count;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;
use ikev2_wire::codes::{ExchangeType, KeMethod, NotifyType, PayloadType, ProtocolId};
use ikev2_wire::{KePayload, NoncePayload, Payload, Proposal, SaPayload};
use ipsec_types::{IkeSpi, SecretBytes};

/// How long a peer has to delete what it replaced; then we do.
const PEERS_TURN: Duration = Duration::from_secs(180);

/// A rekey that we asked for.
#[derive(Debug)]
pub(crate) struct IkeRekey {
    pub local_spi: IkeSpi,
    pub tries: u32,
    retries: u32,
    offered: Vec<Proposal>,
    half: Half,
    nonce: Vec<u8>,
}

impl IkeRekey {
    /// Ni.
    pub(crate) fn nonce(&self) -> &[u8] {
        &self.nonce
    }
}

/// What a rekey made.
pub(crate) struct Next {
    exchanges: Exchanges<Purpose>,
    established: Established,
}

/// Whether a request is about an IKE SA and not about a Child SA: its proposals say so (§3.3.1).
pub(crate) fn is_about_ike(contents: &Contents<'_>) -> bool {
    let first = contents.sa.as_ref().and_then(|sa| sa.proposals().next().map(|p| p.protocol()));
    first == Some(ProtocolId::IKE)
}

impl IkeSa {
    /// Whether our request to rekey it is out, or waits.
    pub(crate) fn is_rekeying_ike(&self) -> bool {
        let is_rekey = |task: &Task| matches!(task, Task::RekeyIke { .. });
        self.awaits_rekey() || self.waiting_tasks().any(is_rekey)
    }

    /// Whether our request to rekey it is out, under this generation or a former one.
    pub(crate) fn awaits_rekey(&self) -> bool {
        self.current.purposes().any(Purpose::is_ike_rekey) || self.former.iter().any(Former::awaits_rekey)
    }

    /// Sends a request that rekeys the IKE SA; no other request is out.
    pub(crate) fn begin_rekey_ike(&mut self, context: &mut Context<'_>, tries: u32) {
        if !self.is_established() || self.awaits_rekey() {
            return;
        }
        let spi = context.allocate_ike_spi(self.handle).map_err(Failure::from);
        let begun = spi.and_then(|local_spi| {
            let begun = self.prepare_rekey_ike(context, local_spi, tries);
            let sent = begun.and_then(|attempt| self.send_rekey_ike(context, attempt));
            sent.inspect_err(|_| context.release_ike_spi(local_spi))
        });
        if let Err(failure) = begun {
            self.on_rekey_ike_failed(context, tries, failure);
        }
    }

    fn prepare_rekey_ike(
        &self,
        context: &mut Context<'_>,
        local_spi: IkeSpi,
        tries: u32,
    ) -> Result<IkeRekey, Failure> {
        let offered = negotiation::offer_ike(&self.connection.ike_proposals, Some(local_spi));
        let half = Half::required(context.config.crypto, context.random, &offered)?;
        Ok(IkeRekey { local_spi, tries, retries: 0, offered, half, nonce: context.nonce()? })
    }

    /// SA, Ni, KEi (§1.3.2).
    fn send_rekey_ike(&mut self, context: &mut Context<'_>, attempt: IkeRekey) -> Result<(), Failure> {
        let ke = KePayload { method: attempt.half.method, data: attempt.half.pending.public() };
        let payloads = [
            Payload::Sa(SaPayload::build(&attempt.offered)?),
            Payload::Nonce(NoncePayload::new(&attempt.nonce)?),
            Payload::Ke(ke),
        ];
        let request = self.seal_request(context, ExchangeType::CREATE_CHILD_SA, &payloads)?;
        drop(payloads);
        self.send_request(context, request, Purpose::RekeyIke(Box::new(attempt)));
        Ok(())
    }

    /// The answer to our rekey, under the generation that it is to replace.
    pub(crate) fn on_rekey_ike_answer(
        &mut self,
        context: &mut Context<'_>,
        attempt: IkeRekey,
        contents: &Contents<'_>,
    ) {
        if mem::take(&mut self.hangs_on_rekey) && contents.sa.is_none() {
            context.release_ike_spi(attempt.local_spi);
            return self.end_with_the_peer(context, DownReason::DeletedByPeer);
        }
        let invalid_ke = contents.notify(NotifyType::INVALID_KE_PAYLOAD);
        if let Some(notify) = invalid_ke.filter(|_| self.is_established()) {
            let wanted = notify.ke_method().unwrap_or(KeMethod::NONE);
            return self.retry_rekey_ike(context, attempt, wanted);
        }
        let (spi, tries) = (attempt.local_spi, attempt.tries);
        let made = match &self.stage {
            Stage::Established(old) | Stage::Closing(Closing { established: Some(old), .. }) => {
                self.check_rekey_ike(context, attempt, contents, old)
            }
            _ => Err(Failure::NoKeys),
        };
        match made {
            Ok((next, _)) => self.promote(context, next, Fate::ToDelete, None),
            Err(failure) => {
                context.release_ike_spi(spi);
                if contents.sa.is_some() {
                    // It goes on by the new one alone.
                    self.end_with_the_peer(context, DownReason::Failed(Box::new(failure)));
                } else {
                    self.on_rekey_ike_failed(context, tries, failure);
                }
            }
        }
    }

    /// The peer has nothing to go on by, or something that we have not: here is nothing left either.
    pub(super) fn end_with_the_peer(&mut self, context: &mut Context<'_>, reason: DownReason) {
        if self.is_established() {
            self.start_closing(context, Some(reason), Task::DeleteIke);
        }
    }

    /// The same, where the peer's rekey of that generation was served meanwhile: the nonces decide which of the two
    /// new ones is left over, and whoever began its exchange deletes it (§2.8.1).
    pub(crate) fn on_crossed_rekey_answer(
        &mut self,
        context: &mut Context<'_>,
        former: &mut Former,
        attempt: IkeRekey,
        contents: &Contents<'_>,
    ) {
        let spi = attempt.local_spi;
        let rival = former.crossed.take();
        let made = match (&former.established, self.has_keys()) {
            (Some(old), true) => self.check_rekey_ike(context, attempt, contents, old),
            _ => Err(Failure::NoKeys),
        };
        match (made, rival) {
            (Ok((next, lower)), Some(rival)) if lower < rival => {
                // Ours is left over: it is deleted as soon as it is made.
                self.former.push(Former::new(next.exchanges, None, Fate::ToDelete));
            }
            (Ok((next, _)), _) => {
                former.fate = Fate::ToDelete;
                self.promote(context, next, Fate::PeerDeletes(context.now + PEERS_TURN), None);
            }
            // What the peer made stays.
            (Err(failure), _) => {
                tracing::debug!(%failure, "a rekey of the IKE SA that crossed the peer's came to nothing");
                context.release_ike_spi(spi);
            }
        }
    }

    fn check_rekey_ike(
        &self,
        context: &mut Context<'_>,
        attempt: IkeRekey,
        contents: &Contents<'_>,
        old: &Established,
    ) -> Result<(Next, Vec<u8>), Failure> {
        let Some(sa) = &contents.sa else {
            return Err(contents.refusal());
        };
        let missing = |ty| Failure::MissingPayload(ty);
        let nonce = contents.nonce.as_ref().ok_or(missing(PayloadType::NONCE))?.as_bytes();
        let ke = contents.ke.as_ref().ok_or(missing(PayloadType::KE))?;
        let wanted = attempt.half.method;
        let choice = negotiation::accept_ike(&attempt.offered, sa, IkeExchange::Rekey, wanted)
            .map_err(Failure::ProposalAnswer)?;
        if ke.method != wanted {
            return Err(Failure::KeMethod { got: ke.method, wanted });
        }
        let shared = context.finish(&attempt.half, ke.data)?;
        let peer_spi = choice.peer_spi.ok_or(Failure::IkeSpi)?;
        let ends = Ends { role: Role::Initiator, initiator_spi: attempt.local_spi, responder_spi: peer_spi };
        let nonces = Nonces { initiator: &attempt.nonce, responder: nonce };
        let next = self.next(context, old, ends, &choice, nonces, &shared)?;
        Ok((next, lower_nonce(&attempt.nonce, nonce)))
    }

    /// SKEYSEED by the old PRF, the keys by the new one; all Message IDs at 0 (§2.18). Fragmentation is inherited.
    fn next(
        &self,
        context: &Context<'_>,
        old: &Established,
        ends: Ends,
        choice: &IkeChoice,
        nonces: Nonces<'_>,
        shared: &SecretBytes,
    ) -> Result<Next, Failure> {
        let algorithms = IkeAlgorithms::of(context.config.crypto, choice).map_err(Failure::Algorithm)?;
        let IkeAlgorithms { cipher, prf, .. } = algorithms;
        let seed = keys::rekey_skeyseed(old.algorithms.prf, &old.sk_d, shared, nonces, &[]);
        let Ends { role, initiator_spi, responder_spi } = ends;
        let made = IkeKeys::derive(prf, cipher, &seed, nonces, initiator_spi, responder_spi)
            .and_then(|keys| Some((secrets::protection(cipher, &keys, role)?, keys)));
        let (protection, keys) = made.ok_or_else(|| Failure::Algorithm(choice.cipher.to_string()))?;
        context.log_keys_of(ends, choice.cipher, &keys);
        let window = ResponseWindow::new(context.config.window);
        let fragmentation = self.current.exchanges().map(|exchanges| exchanges.fragmentation().inherit());
        let fragmentation = fragmentation.unwrap_or_default();
        let exchanges = Exchanges::new(ends, protection, fragmentation, RequestWindow::default(), window);
        Ok(Next { exchanges, established: Established { algorithms, sk_d: keys.d } })
    }

    /// Everything goes on by the new generation.
    fn promote(&mut self, context: &mut Context<'_>, next: Next, fate: Fate, crossed: Option<Vec<u8>>) {
        let Next { exchanges, established } = next;
        self.algorithms = Some(established.algorithms);
        let old = mem::replace(&mut self.current, Generation::Keyed(exchanges));
        let replaced = self.replace_keys(established).filter(|_| crossed.is_some());
        if let Generation::Keyed(exchanges) = old {
            self.former.push(Former { crossed, ..Former::new(exchanges, replaced, fate) });
        }
        self.generation = self.generation.saturating_add(1);
        if !self.is_established() {
            // It is deleted next.
            return;
        }
        self.set_rekey_time(context);
        count(&mut context.statistics.ike_sas_rekeyed);
        context.event(Event::IkeSaRekeyed { sa: self.handle, info: Box::new(self.info()) });
    }

    fn has_keys(&self) -> bool {
        matches!(self.stage, Stage::Established(_) | Stage::Closing(_))
    }

    /// Puts others in place of what keys are made from, whether the IKE SA stays or is being deleted.
    pub(super) fn replace_keys(&mut self, established: Established) -> Option<Established> {
        match &mut self.stage {
            Stage::Established(old) => Some(mem::replace(old, established)),
            Stage::Closing(closing) => closing.established.replace(established),
            _ => None,
        }
    }

    /// INVALID_KE_PAYLOAD (§1.3): the same proposals with the method that the peer names, if we offered it.
    fn retry_rekey_ike(&mut self, context: &mut Context<'_>, mut attempt: IkeRekey, wanted: KeMethod) {
        let (spi, tries) = (attempt.local_spi, attempt.tries);
        let sent = Some(attempt.half.method);
        let half = context.other_half(&attempt.offered, sent, wanted, &mut attempt.retries);
        let again = half.and_then(|half| {
            attempt.half = half;
            self.send_rekey_ike(context, attempt)
        });
        if let Err(failure) = again {
            context.release_ike_spi(spi);
            self.on_rekey_ike_failed(context, tries, failure);
        }
    }

    fn on_rekey_ike_failed(&mut self, context: &mut Context<'_>, tries: u32, failure: Failure) {
        if !self.is_established() {
            return;
        }
        self.renew_if_not_rekeyed(context, &failure);
        self.try_again_later(context, Task::RekeyIke { tries }, &failure);
        if self.is_established() {
            let (sa, failure) = (self.handle, Box::new(failure));
            context.event(Event::IkeRekeyFailed { sa, failure });
        }
    }

    /// The peer asks for a rekey of the IKE SA.
    pub(crate) fn answer_rekey_ike(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        contents: &Contents<'_>,
    ) -> Result<(), Failure> {
        self.check_room_for_rekey()?;
        let Stage::Established(old) = &self.stage else { return Err(Failure::Busy(Busy::IkeSaClosing)) };
        let missing = |ty| Failure::MissingPayload(ty);
        let sa = contents.sa.as_ref().ok_or(missing(PayloadType::SA))?;
        let ke = contents.ke.as_ref().ok_or(missing(PayloadType::KE))?;
        let peer_nonce = contents.nonce.as_ref().ok_or(missing(PayloadType::NONCE))?.as_bytes();
        let policy = &self.connection.ike_proposals;
        let choice = match negotiation::choose_ike(policy, sa, IkeExchange::Rekey, ke.method) {
            Ok(Selection::Chosen(choice)) => choice,
            Ok(Selection::InvalidKe(mismatch)) => return Err(Failure::InvalidKe(mismatch)),
            Err(mismatch) => return Err(Failure::NoProposalChosen(mismatch)),
        };
        let peer_spi = choice.peer_spi.ok_or(Failure::IkeSpi)?;
        let response = context.respond(choice.ke, ke.data)?;
        let nonce = context.nonce()?;
        let nonces = Nonces { initiator: peer_nonce, responder: &nonce };
        let spi = context.allocate_ike_spi(self.handle)?;
        let ends = Ends { role: Role::Responder, initiator_spi: peer_spi, responder_spi: spi };
        let next = self.next(context, old, ends, &choice, nonces, &response.secret);
        let crossed = self.awaits_rekey().then(|| lower_nonce(peer_nonce, &nonce));
        let answered = next.and_then(|next| {
            let payloads = [
                Payload::Sa(SaPayload::build(&[choice.reply(Some(spi))])?),
                Payload::Nonce(NoncePayload::new(&nonce)?),
                Payload::Ke(KePayload { method: choice.ke, data: &response.public }),
            ];
            self.send_answer(context, request, &payloads)?;
            Ok(next)
        });
        let next = answered.inspect_err(|_| context.release_ike_spi(spi))?;
        self.promote(context, next, Fate::PeerDeletes(context.now + PEERS_TURN), crossed);
        Ok(())
    }

    /// What a rekey of the peer's has to wait for (§2.25.2).
    fn check_room_for_rekey(&self) -> Result<(), Failure> {
        const MOST: usize = 3;
        let is_of_child =
            |purpose: &Purpose| matches!(purpose, Purpose::CreateChild(_) | Purpose::DeleteChildren(_));
        if self.purposes().any(is_of_child) {
            return Err(Failure::Busy(Busy::ChildExchange));
        }
        if self.former.iter().any(Former::awaits_rekey) {
            return Err(Failure::Busy(Busy::IkeSaRekeying));
        }
        if self.former.iter().filter(|former| former.lives()).count() >= MOST {
            return Err(Failure::Busy(Busy::Replacements));
        }
        Ok(())
    }
}
