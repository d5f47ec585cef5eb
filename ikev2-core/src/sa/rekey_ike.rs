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
use super::follow_up::{FollowUp, Link, Made, Wanted};
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
use crate::negotiation::{self, AdditionalExchanges, IkeChoice, IkeExchange, Selection};
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

/// What we asked for, until it is there or came to nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedIke {
    pub local_spi: IkeSpi,
    pub tries: u32,
}

/// A rekey that we asked for.
#[derive(Debug)]
pub(crate) struct IkeRekey {
    pub asked: AskedIke,
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

/// What both sides agreed on in place of the IKE SA, before there are keys.
#[derive(Debug)]
pub(crate) struct AgreedIke {
    ends: Ends,
    choice: IkeChoice,
    initiator_nonce: Vec<u8>,
    responder_nonce: Vec<u8>,
    /// Of the key exchange of CREATE_CHILD_SA.
    shared: SecretBytes,
    /// As responder: the lower nonce, where our own request is out.
    pub crossed: Option<Vec<u8>>,
}

impl AgreedIke {
    pub(crate) fn additional(&self) -> AdditionalExchanges {
        self.choice.additional
    }

    pub(crate) fn local_spi(&self) -> IkeSpi {
        self.ends.local_spi()
    }

    fn lower_nonce(&self) -> Vec<u8> {
        lower_nonce(&self.initiator_nonce, &self.responder_nonce)
    }
}

/// What a rekey made.
struct Next {
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
        let waits = |follow_up: &FollowUp| matches!(follow_up.wanted, Wanted::Ike(_));
        self.current.purposes().any(Purpose::is_ike_rekey)
            || self.former.iter().any(Former::awaits_rekey)
            || self.waiting_follow_ups().any(waits)
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
        let asked = AskedIke { local_spi, tries };
        Ok(IkeRekey { asked, retries: 0, offered, half, nonce: context.nonce()? })
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
        let asked = attempt.asked;
        if mem::take(&mut self.hangs_on_rekey) && contents.sa.is_none() {
            context.release_ike_spi(asked.local_spi);
            return self.end_with_the_peer(context, DownReason::DeletedByPeer);
        }
        let invalid_ke = contents.notify(NotifyType::INVALID_KE_PAYLOAD);
        if let Some(notify) = invalid_ke.filter(|_| self.is_established()) {
            let wanted = notify.ke_method().unwrap_or(KeMethod::NONE);
            return self.retry_rekey_ike(context, attempt, wanted);
        }
        match check_rekey_ike(context, attempt, contents) {
            Ok(agreed) => self.settle_rekey_ike(context, agreed, asked, contents),
            Err(failure) => self.fail_rekey_ike(context, &asked, failure, contents.sa.is_some()),
        }
    }

    /// Both sides agreed. Where the peer has begun a series of its own meanwhile, the nonces decide between ours and it
    /// (RFC 9370 §2.2.4); what needs no further exchange is there at both ends already, and the peer's series ends.
    fn settle_rekey_ike(
        &mut self,
        context: &mut Context<'_>,
        agreed: AgreedIke,
        asked: AskedIke,
        contents: &Contents<'_>,
    ) {
        let follows = !agreed.additional().is_empty();
        let lost = follows && self.loses_to_peers(None, &agreed.lower_nonce());
        if lost {
            self.relieve(None);
        } else {
            self.drop_rivals(context, None);
        }
        if !follows {
            self.conclude_rekey_ike(context, &agreed, &[], &asked);
        } else if lost || !self.is_established() {
            // The peer waits for nothing more of it, and forgets it.
            context.release_ike_spi(asked.local_spi);
        } else {
            match Link::of(contents) {
                Some(link) => self.follow_up(Wanted::Ike(asked), Made::Ike(Box::new(agreed)), link),
                None => self.fail_rekey_ike(context, &asked, Failure::NoLink, false),
            }
        }
    }

    /// Nothing is missing any more of what we asked for.
    pub(super) fn conclude_rekey_ike(
        &mut self,
        context: &mut Context<'_>,
        agreed: &AgreedIke,
        additional: &[SecretBytes],
        asked: &AskedIke,
    ) {
        match self.established().and_then(|old| self.next(context, old, agreed, additional)) {
            Ok(next) => self.promote(context, next, Fate::ToDelete, None),
            Err(failure) => self.fail_rekey_ike(context, asked, failure, true),
        }
    }

    /// What we asked for came to nothing. Where the peer goes on by a new one alone, that is the end.
    pub(super) fn fail_rekey_ike(
        &mut self,
        context: &mut Context<'_>,
        asked: &AskedIke,
        failure: Failure,
        known_to_peer: bool,
    ) {
        context.release_ike_spi(asked.local_spi);
        if known_to_peer {
            self.end_with_the_peer(context, DownReason::Failed(Box::new(failure)));
        } else {
            self.on_rekey_ike_failed(context, asked.tries, failure);
        }
    }

    /// What keys are made from, also while the IKE SA is on its way out.
    fn established(&self) -> Result<&Established, Failure> {
        match &self.stage {
            Stage::Established(old) | Stage::Closing(Closing { established: Some(old), .. }) => Ok(old),
            _ => Err(Failure::NoKeys),
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
        let spi = attempt.asked.local_spi;
        let rival = former.crossed.take();
        let made = match (&former.established, self.has_keys()) {
            (Some(old), true) => check_rekey_ike(context, attempt, contents).and_then(|agreed| {
                if !agreed.additional().is_empty() {
                    // The peer has gone on by its own, and waits for nothing more of this one.
                    return Err(Failure::NoLink);
                }
                Ok((self.next(context, old, &agreed, &[])?, agreed.lower_nonce()))
            }),
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

    /// SKEYSEED by the old PRF, the keys by the new one; all Message IDs at 0 (§2.18). Fragmentation is inherited.
    fn next(
        &self,
        context: &Context<'_>,
        old: &Established,
        agreed: &AgreedIke,
        additional: &[SecretBytes],
    ) -> Result<Next, Failure> {
        let AgreedIke { ends, choice, initiator_nonce, responder_nonce, shared, .. } = agreed;
        let algorithms = IkeAlgorithms::of(context.config.crypto, choice).map_err(Failure::Algorithm)?;
        let IkeAlgorithms { cipher, prf, .. } = algorithms;
        let nonces = Nonces { initiator: initiator_nonce, responder: responder_nonce };
        let seed = keys::rekey_skeyseed(old.algorithms.prf, &old.sk_d, shared, nonces, additional);
        let Ends { role, initiator_spi, responder_spi } = *ends;
        let made = IkeKeys::derive(prf, cipher, &seed, nonces, initiator_spi, responder_spi)
            .and_then(|keys| Some((secrets::protection(cipher, &keys, role)?, keys)));
        let (protection, keys) = made.ok_or_else(|| Failure::Algorithm(choice.cipher.to_string()))?;
        context.log_keys_of(*ends, choice.cipher, &keys);
        let window = ResponseWindow::new(context.config.window);
        let fragmentation = self.current.exchanges().map(|exchanges| exchanges.fragmentation().inherit());
        let fragmentation = fragmentation.unwrap_or_default();
        let exchanges = Exchanges::new(*ends, protection, fragmentation, RequestWindow::default(), window);
        Ok(Next { exchanges, established: Established { algorithms, sk_d: keys.d } })
    }

    /// Everything goes on by the new generation.
    fn promote(&mut self, context: &mut Context<'_>, next: Next, fate: Fate, crossed: Option<Vec<u8>>) {
        let Next { exchanges, established } = next;
        self.drop_peers_series(context);
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
        let AskedIke { local_spi: spi, tries } = attempt.asked;
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
        // The peer's own, which is on its way, does as well.
        if !self.is_established() || self.relieve(None) {
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
        if !self.is_established() {
            return Err(Failure::Busy(Busy::IkeSaClosing));
        }
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
        find_algorithms(context, &choice)?;
        let response = context.respond(choice.ke, ke.data)?;
        let nonce = context.nonce()?;
        let spi = context.allocate_ike_spi(self.handle)?;
        let agreed = AgreedIke {
            ends: Ends { role: Role::Responder, initiator_spi: peer_spi, responder_spi: spi },
            choice,
            initiator_nonce: peer_nonce.to_vec(),
            responder_nonce: nonce,
            shared: response.secret,
            crossed: self.awaits_rekey().then(Vec::new),
        };
        let crossed = agreed.crossed.is_some().then(|| agreed.lower_nonce());
        let agreed = AgreedIke { crossed, ..agreed };
        let link = self.next_link(agreed.additional());
        let answered = self.answer_agreed(context, request, &agreed, &response.public, link.as_ref());
        answered.inspect_err(|_| context.release_ike_spi(spi))?;
        match link {
            Some(link) => self.await_follow_up(context, Made::Ike(Box::new(agreed)), link),
            None => self.conclude_peers_rekey(context, agreed, &[]),
        }
        Ok(())
    }

    /// SA, Nr, KEr (§1.3.2), and what the next exchange is called if more must follow (RFC 9370 §2.2.4).
    fn answer_agreed(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        agreed: &AgreedIke,
        public: &[u8],
        link: Option<&Link>,
    ) -> Result<(), Failure> {
        let AgreedIke { choice, responder_nonce, .. } = agreed;
        let mut payloads = Vec::with_capacity(4);
        payloads.push(Payload::Sa(SaPayload::build(&[choice.reply(Some(agreed.local_spi()))])?));
        payloads.push(Payload::Nonce(NoncePayload::new(responder_nonce)?));
        payloads.push(Payload::Ke(KePayload { method: choice.ke, data: public }));
        payloads.extend(link.map(Link::notify));
        self.send_answer(context, request, &payloads)
    }

    /// Nothing is missing any more of what the peer asked for.
    pub(super) fn conclude_peers_rekey(
        &mut self,
        context: &mut Context<'_>,
        agreed: AgreedIke,
        additional: &[SecretBytes],
    ) {
        match self.established().and_then(|old| self.next(context, old, &agreed, additional)) {
            Ok(next) => {
                let fate = Fate::PeerDeletes(context.now + PEERS_TURN);
                self.promote(context, next, fate, agreed.crossed);
            }
            // The peer goes on by it alone.
            Err(failure) => {
                context.release_ike_spi(agreed.local_spi());
                self.end_with_the_peer(context, DownReason::Failed(Box::new(failure)));
            }
        }
    }

    /// What a rekey of the peer's has to wait for (§2.25.2).
    fn check_room_for_rekey(&self) -> Result<(), Failure> {
        const MOST: usize = 3;
        let deletes = |purpose: &Purpose| matches!(purpose, Purpose::DeleteChildren(_));
        let peers_child = self.peers_series.iter().any(|series| series.child().is_some());
        if self.awaits_child() || self.purposes().any(deletes) || peers_child {
            return Err(Failure::Busy(Busy::ChildExchange));
        }
        // A series counts as a rekey that is under way, whoever began it (RFC 9370 §2.2.4).
        let ours = self.current.purposes().any(|purpose| matches!(purpose, Purpose::FollowUp(_)));
        let waits = self.waiting_follow_ups().next().is_some();
        if self.former.iter().any(Former::awaits_rekey) || ours || waits || self.peer_rekeys_ike() {
            return Err(Failure::Busy(Busy::IkeSaRekeying));
        }
        if self.former.iter().filter(|former| former.lives()).count() >= MOST {
            return Err(Failure::Busy(Busy::Replacements));
        }
        Ok(())
    }
}

/// The peer's answer to our rekey.
fn check_rekey_ike(
    context: &mut Context<'_>,
    attempt: IkeRekey,
    contents: &Contents<'_>,
) -> Result<AgreedIke, Failure> {
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
    find_algorithms(context, &choice)?;
    let shared = context.finish(&attempt.half, ke.data)?;
    let peer_spi = choice.peer_spi.ok_or(Failure::IkeSpi)?;
    let initiator_spi = attempt.asked.local_spi;
    Ok(AgreedIke {
        ends: Ends { role: Role::Initiator, initiator_spi, responder_spi: peer_spi },
        choice,
        initiator_nonce: attempt.nonce,
        responder_nonce: nonce.to_vec(),
        shared,
        crossed: None,
    })
}

/// Whether the provider has all that was chosen.
fn find_algorithms(context: &Context<'_>, choice: &IkeChoice) -> Result<(), Failure> {
    IkeAlgorithms::of(context.config.crypto, choice).map(|_| ()).map_err(Failure::Algorithm)
}
