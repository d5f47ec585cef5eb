//! A Child SA, whichever exchange agrees it (RFC 7296 §1.2, §1.3, §2.9, §2.17).
//!
//! | from the initiator's side | from the responder's side |
//! |---|---|
//! | [`ChildAttempt`]: what was asked for | [`AgreedChild`]: what is granted |
//! | [`IkeSa::finish_child`]: check the answer, install | [`IkeSa::agree_child`], then [`IkeSa::install`] |

use super::context::Context;
use super::mode::{self, Asked, Fit};
use super::rekey_child::lower_nonce;
use super::{Established, IkeSa, Stage, Task};
use crate::config::ChildConfig;
use crate::contents::Contents;
use crate::error::{Bound, Failure};
use crate::establish::half::Half;
use crate::event::{ChildSaInfo, DownReason, Event, IkeSaHandle};
use crate::keys::{self, ChildKeys, Nonces};
use crate::negotiation::{self, AdditionalExchanges, ChildExchange, EspChoice, SelectorLists, SelectorPair};
use crate::stats::count;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ikev2_wire::codes::{KeMethod, NotifyType, PayloadType, ProtocolId};
use ikev2_wire::{KePayload, NoncePayload, NotifyPayload, SaPayload, TsPayload};
use ikev2_wire::{Payload, Proposal};
use ipsec_crypto::{CipherAlgorithm, KxError};
use ipsec_types::sa::{ChildSa, ChildSaId, OriginalAddresses, PacketSelectors, PolicyId, SaInstall, SaKeys};
use ipsec_types::{EspSpi, Mode, Path, SaCommand, SecretBytes, TrafficSelector};

/// An installed Child SA.
#[derive(Debug)]
pub(crate) struct Child {
    pub sa: Arc<ChildSa>,
    pub ke: Option<KeMethod>,
    pub additional: AdditionalExchanges,
    pub narrowed: bool,
    pub inbound: EspSpi,
    pub outbound: EspSpi,
    /// The peer's Delete took this half while ours is on its way.
    pub outbound_gone: bool,
    /// Our Delete for it is out or waits for the window.
    pub deleting: Option<DownReason>,
    /// What it was agreed for.
    pub config: Arc<ChildConfig>,
    /// The one that it replaces, as long as that one carries the traffic.
    pub awaits: Option<ChildSaId>,
    /// Another one carries its traffic.
    pub replaced: bool,
    /// The lower nonce of the exchange by which the peer made it, while our own request to rekey the same Child SA
    /// is out (§2.8.1).
    pub rival_nonce: Option<Vec<u8>>,
}

impl Child {
    /// What can be shown of it.
    pub(crate) fn info(&self) -> ChildSaInfo {
        let Self { ref sa, inbound, outbound, ke, additional, narrowed, .. } = *self;
        ChildSaInfo { child: Arc::clone(sa), inbound, outbound, ke, additional, narrowed }
    }

    /// What it carries.
    pub(crate) fn selectors(&self) -> SelectorPair<'_> {
        SelectorPair { local: &self.sa.local, remote: &self.sa.remote }
    }

    /// Takes the outbound half from the data path, once.
    pub(crate) fn remove_outbound(&mut self, context: &mut Context<'_>) {
        if !self.outbound_gone {
            self.outbound_gone = true;
            let remove = SaCommand::Remove { id: self.sa.id, inbound: false, outbound: true };
            context.event(Event::DataPath(remove));
        }
    }

    /// Takes it from the data path and tells the embedder.
    pub(crate) fn remove(self, context: &mut Context<'_>, sa: IkeSaHandle, reason: DownReason) {
        let id = self.sa.id;
        context.release_spi(self.inbound);
        context.names.disown(id);
        let outbound = !self.outbound_gone;
        context.event(Event::DataPath(SaCommand::Remove { id, inbound: true, outbound }));
        // Whoever began to delete it knows why it ends.
        let reason = self.deleting.unwrap_or(match reason {
            DownReason::DeletedByPeer if self.replaced => DownReason::Rekeyed,
            DownReason::DeletedByPeer if self.awaits.is_some() => DownReason::Redundant,
            reason => reason,
        });
        context.event(Event::ChildSaDown { sa, id, reason });
    }
}

/// A Child SA that we asked for.
#[derive(Debug)]
pub(crate) struct ChildAttempt {
    pub asked: AskedChild,
    id: ChildSaId,
    pub exchange: ChildExchange,
    pub ke: Option<Half>,
    /// Ni of CREATE_CHILD_SA; in IKE_AUTH that of IKE_SA_INIT serves.
    pub nonce: Vec<u8>,
    /// How often the peer let us start over with another method.
    pub retries: u32,
    /// The SPI by which the Child SA to replace is named.
    rekey_spi: [u8; 4],
    offered: Vec<Proposal>,
    mode: Mode,
    selectors: SelectorLists,
}

impl ChildAttempt {
    /// For the IKE_AUTH request: no key exchange and no nonce of its own; with the packet that asked for it first,
    /// if one did.
    pub(crate) fn in_auth(
        context: &mut Context<'_>,
        config: &Arc<ChildConfig>,
        path: &Path,
        packet: Option<&PacketSelectors>,
    ) -> Result<Self, Failure> {
        let proposed = mode::propose(config, path, packet)?;
        Self::new(context, config, proposed, ChildExchange::IkeAuth)
    }

    /// For CREATE_CHILD_SA: with a key exchange if the proposals have one, and the packet that asked for it
    /// first, if one did.
    pub(crate) fn in_create_child(
        context: &mut Context<'_>,
        config: &Arc<ChildConfig>,
        path: &Path,
        packet: Option<&PacketSelectors>,
        tries: u32,
    ) -> Result<Self, Failure> {
        let exchange = ChildExchange::CreateChildSa { ke_sent: None };
        let proposed = mode::propose(config, path, packet)?;
        let mut attempt = Self::new(context, config, proposed, exchange)?;
        attempt.asked.tries = tries;
        attempt.prepared(context)
    }

    /// For CREATE_CHILD_SA: to replace this one (§1.3.3).
    pub(crate) fn to_rekey(
        context: &mut Context<'_>,
        child: &Child,
        path: &Path,
        tries: u32,
    ) -> Result<Self, Failure> {
        let exchange = ChildExchange::CreateChildSa { ke_sent: None };
        let proposed = mode::propose_again(&child.config, child.sa.mode, path)?;
        let mut attempt = Self::new(context, &child.config, proposed, exchange)?;
        (attempt.asked.tries, attempt.asked.rekeys) = (tries, Some(child.sa.id));
        attempt.rekey_spi = child.inbound.to_be_bytes();
        attempt.prepared(context)
    }

    /// With a nonce, and the half of a key exchange.
    fn prepared(mut self, context: &mut Context<'_>) -> Result<Self, Failure> {
        let nonce = context.nonce().map_err(Failure::from).and_then(|nonce| {
            let ke = context.half(&self.offered)?;
            Ok((nonce, ke))
        });
        match nonce {
            Ok((nonce, ke)) => {
                self.nonce = nonce;
                self.use_exchange(ke);
                Ok(self)
            }
            Err(failure) => {
                context.release_spi(self.asked.inbound);
                Err(failure)
            }
        }
    }

    fn new(
        context: &mut Context<'_>,
        config: &Arc<ChildConfig>,
        (mode, selectors): (Mode, SelectorLists),
        exchange: ChildExchange,
    ) -> Result<Self, Failure> {
        let (id, inbound) = context.names.allocate(context.services.random)?;
        Ok(Self {
            asked: AskedChild { config: Arc::clone(config), inbound, rekeys: None, tries: 0 },
            id,
            exchange,
            ke: None,
            nonce: Vec::new(),
            retries: 0,
            rekey_spi: [0; 4],
            offered: negotiation::offer_esp(&config.proposals, inbound, exchange),
            mode,
            selectors,
        })
    }

    /// By the method that the peer names, if we offered it and may start over once more.
    pub(crate) fn start_over(&mut self, context: &mut Context<'_>, wanted: KeMethod) -> Result<(), Failure> {
        let sent = self.ke.as_ref().map(|half| half.method);
        let half = context.other_half(&self.offered, sent, wanted, &mut self.retries)?;
        self.use_exchange(Some(half));
        Ok(())
    }

    /// Uses this half, or none.
    fn use_exchange(&mut self, ke: Option<Half>) {
        self.exchange = ChildExchange::CreateChildSa { ke_sent: ke.as_ref().map(|half| half.method) };
        self.ke = ke;
    }

    /// What is to be replaced, the mode and SA, then Nonce and KE in CREATE_CHILD_SA, then TSi and TSr (Appendix
    /// C.2, C.4, C.5).
    pub(crate) fn push_request<'a>(
        &'a self,
        payloads: &mut Vec<Payload<'a>>,
        nonce: Option<&'a [u8]>,
    ) -> Result<(), Failure> {
        if self.asked.rekeys.is_some() {
            let (protocol, ty) = (ProtocolId::ESP, NotifyType::REKEY_SA);
            payloads.push(Payload::Notify(NotifyPayload::with_spi(protocol, &self.rekey_spi, ty, &[])));
        }
        mode::push(payloads, self.mode);
        payloads.push(Payload::Sa(SaPayload::build(&self.offered)?));
        if let Some(nonce) = nonce {
            payloads.push(Payload::Nonce(NoncePayload::new(nonce)?));
        }
        if let Some(half) = &self.ke {
            payloads.push(Payload::Ke(KePayload { method: half.method, data: half.pending.public() }));
        }
        payloads.push(Payload::TsI(TsPayload::build(&self.selectors.local)?));
        payloads.push(Payload::TsR(TsPayload::build(&self.selectors.remote)?));
        Ok(())
    }
}

/// What Child SA we asked for, until it is there or came to nothing.
#[derive(Clone, Debug)]
pub(crate) struct AskedChild {
    pub config: Arc<ChildConfig>,
    pub inbound: EspSpi,
    /// The Child SA to replace.
    pub rekeys: Option<ChildSaId>,
    /// How often the whole of it was tried before.
    pub tries: u32,
}

/// A Child SA that both sides agreed on, not yet installed.
#[derive(Debug)]
pub(crate) struct AgreedChild {
    pub config: Arc<ChildConfig>,
    pub choice: EspChoice,
    pub id: ChildSaId,
    inbound: EspSpi,
    local: Vec<TrafficSelector>,
    remote: Vec<TrafficSelector>,
    narrowed: bool,
    mode: Mode,
    original_addresses: Option<OriginalAddresses>,
    /// Whether the peer takes TFC padding.
    tfc_allowed: bool,
    pub secrets: ChildSecrets,
    /// As responder: our half of the key exchange, where there is one.
    ke: Option<AnsweredExchange>,
    /// What it replaces.
    pub replaces: Option<ChildSaId>,
    /// As responder: the lower nonce, where our own request to rekey the same one is out.
    pub rival_nonce: Option<Vec<u8>>,
}

/// What the keys of a Child SA come of, beside SK_d (§2.17, RFC 9370 §2.2.4).
#[derive(Debug)]
pub(crate) struct ChildSecrets {
    we_began: bool,
    initiator_nonce: Vec<u8>,
    responder_nonce: Vec<u8>,
    /// Of the key exchange of CREATE_CHILD_SA.
    shared: Option<SecretBytes>,
    /// Of those after it.
    pub additional: Vec<SecretBytes>,
}

impl ChildSecrets {
    fn new(we_began: bool, nonces: Nonces<'_>, shared: Option<SecretBytes>) -> Self {
        let (initiator_nonce, responder_nonce) = (nonces.initiator.to_vec(), nonces.responder.to_vec());
        Self { we_began, initiator_nonce, responder_nonce, shared, additional: Vec::new() }
    }

    /// The lower nonce of its exchange, which decides what is left over of two (§2.8.1).
    pub(super) fn lower_nonce(&self) -> Vec<u8> {
        lower_nonce(&self.initiator_nonce, &self.responder_nonce)
    }

    /// The keys of both directions as we use them.
    fn keys(&self, established: &Established, cipher: &dyn CipherAlgorithm) -> Result<DirectedKeys, Failure> {
        let nonces = Nonces { initiator: &self.initiator_nonce, responder: &self.responder_nonce };
        let (prf, sk_d) = (established.algorithms.prf, &established.sk_d);
        keys::child_keys(prf, cipher, sk_d, self.shared.as_ref(), nonces, &self.additional)
            .map(|keys| DirectedKeys::of(keys, self.we_began))
            .ok_or_else(|| Failure::Algorithm(cipher.suite().to_string()))
    }
}

/// A responder's half of a key exchange, done.
#[derive(Debug)]
struct AnsweredExchange {
    method: KeMethod,
    public: Vec<u8>,
}

/// The keys of both directions as we use them.
struct DirectedKeys {
    inbound: SaKeys,
    outbound: SaKeys,
}

impl DirectedKeys {
    /// Of the side that began the exchange, or of the one that answered.
    fn of(keys: ChildKeys, we_began: bool) -> Self {
        let ChildKeys { initiator_to_responder: i2r, responder_to_initiator: r2i } = keys;
        if we_began { Self { inbound: r2i, outbound: i2r } } else { Self { inbound: i2r, outbound: r2i } }
    }
}

impl AgreedChild {
    /// The mode and SA, then Nonce and KE in CREATE_CHILD_SA, then TSi and TSr: the same as in the request.
    pub(crate) fn push_answer<'a>(
        &'a self,
        payloads: &mut Vec<Payload<'a>>,
        nonce: Option<&'a [u8]>,
    ) -> Result<(), Failure> {
        mode::push(payloads, self.mode);
        payloads.push(Payload::Sa(SaPayload::build(&[self.choice.reply(self.inbound)])?));
        if let Some(nonce) = nonce {
            payloads.push(Payload::Nonce(NoncePayload::new(nonce)?));
        }
        if let Some(ke) = &self.ke {
            payloads.push(Payload::Ke(KePayload { method: ke.method, data: &ke.public }));
        }
        // The peer began: TSi is its side, TSr ours.
        payloads.push(Payload::TsI(TsPayload::build(&self.remote)?));
        payloads.push(Payload::TsR(TsPayload::build(&self.local)?));
        Ok(())
    }

    pub(crate) fn inbound(&self) -> EspSpi {
        self.inbound
    }
}

/// Whether the provider has all that was chosen.
fn find_algorithms(context: &Context<'_>, choice: &EspChoice) -> Result<(), Failure> {
    find_cipher(context, choice)?;
    choice.additional.methods().try_for_each(|method| context.key_exchange(method).map(|_| ()))
}

fn find_cipher(context: &Context<'_>, choice: &EspChoice) -> Result<&'static dyn CipherAlgorithm, Failure> {
    let suite = choice.cipher;
    context.config.crypto.cipher(suite).ok_or_else(|| Failure::Algorithm(suite.to_string()))
}

impl IkeSa {
    /// The Child SAs, with those that were asked for.
    pub(crate) fn child_count(&self) -> usize {
        let asked =
            self.asked_children().count() + self.peers_series.iter().filter(|s| s.child().is_some()).count();
        let waiting = self.waiting_tasks().filter(|t| matches!(t, Task::CreateChild { .. })).count();
        self.children.len().saturating_add(asked).saturating_add(waiting)
    }

    /// Whether a request for a Child SA is out.
    pub(crate) fn awaits_child(&self) -> bool {
        self.asked_children().next().is_some()
    }

    /// Whether any Child SA was asked for and not answered yet, or will be.
    pub(crate) fn asks_for_children(&self) -> bool {
        self.awaits_child() || self.waiting_tasks().any(|task| matches!(task, Task::CreateChild { .. }))
    }

    /// The policies of the Child SAs that are there, asked for, or will be asked for; one for each.
    pub(crate) fn policies_in_use(&self) -> impl Iterator<Item = PolicyId> {
        let there = self.children.iter().filter(|child| child.deleting.is_none() && !child.replaced);
        let asked = self.asked_children().filter(|asked| asked.rekeys.is_none());
        let waiting = self.waiting_tasks().filter_map(|task| match task {
            Task::CreateChild { config, .. } => Some(config.policy),
            _ => None,
        });
        there.map(|child| child.sa.policy).chain(asked.map(|asked| asked.config.policy)).chain(waiting)
    }

    /// Whether a Child SA for this policy was asked for and not answered yet.
    pub(crate) fn is_asked_for(&self, policy: PolicyId) -> bool {
        let asked = self.asked_children().any(|asked| asked.config.policy == policy);
        let waits = |task: &Task| matches!(task, Task::CreateChild { config, .. } if config.policy == policy);
        asked || self.waiting_tasks().any(waits)
    }

    /// As responder: what the peer asks for, against all our children, without installing anything.
    pub(crate) fn agree_child(
        &self,
        context: &mut Context<'_>,
        contents: &Contents<'_>,
        nonces: Nonces<'_>,
        exchange: ChildExchange,
        replaces: Option<ChildSaId>,
    ) -> Result<AgreedChild, Failure> {
        if replaces.is_none() && self.child_count() >= context.config.max_children {
            return Err(Failure::Limit(Bound::Children));
        }
        let missing = |ty| Failure::MissingPayload(ty);
        let sa = contents.sa.as_ref().ok_or(missing(PayloadType::SA))?;
        let ts_i = contents.ts_i.as_ref().ok_or(missing(PayloadType::TS_I))?;
        let ts_r = contents.ts_r.as_ref().ok_or(missing(PayloadType::TS_R))?;
        let asked = Asked::by(contents, ts_r, ts_i, self.path, self.nat);
        let (config, fit) = match replaces.and_then(|id| self.child(id)) {
            Some(old) => (Arc::clone(&old.config), asked.fits_rekey(old, sa, exchange)?),
            None => self.match_child(sa, &asked, exchange)?,
        };
        let Fit { narrowed, choice, mode, original } = fit;
        find_algorithms(context, &choice)?;
        let (ke, shared) = answer_exchange(context, &choice, contents)?.unzip();
        let secrets = ChildSecrets::new(false, nonces, shared);
        let crossed = replaces.is_some_and(|id| self.crosses_ours(id));
        let rival_nonce = crossed.then(|| lower_nonce(nonces.initiator, nonces.responder));
        let (id, inbound) = context.names.allocate(context.services.random)?;
        Ok(AgreedChild {
            config,
            choice,
            id,
            inbound,
            local: narrowed.local,
            remote: narrowed.remote,
            narrowed: narrowed.narrowed,
            mode,
            original_addresses: original,
            tfc_allowed: takes_tfc(contents),
            secrets,
            ke,
            replaces,
            rival_nonce,
        })
    }

    /// The first of our children whose traffic, mode and proposals fit. What does not fit is told of the one that
    /// came nearest: its traffic fits and its proposals do not.
    fn match_child(
        &self,
        sa: &SaPayload<'_>,
        asked: &Asked,
        exchange: ChildExchange,
    ) -> Result<(Arc<ChildConfig>, Fit), Failure> {
        let mut nearest = None;
        for mode in asked.modes().iter().copied() {
            for config in self.child_configs().iter().filter(|config| config.mode.tries(mode)) {
                match asked.fits(config, mode, sa, exchange) {
                    Ok(fit) => return Ok((Arc::clone(config), fit)),
                    Err(failure) => {
                        if matches!(nearest, None | Some(Failure::TsUnacceptable(_))) {
                            nearest = Some(failure);
                        }
                    }
                }
            }
        }
        Err(nearest.unwrap_or(Failure::NoChild))
    }

    /// As initiator: the answer to what we asked for. Installs the Child SA, or tells why there is none.
    pub(crate) fn finish_child(
        &mut self,
        context: &mut Context<'_>,
        attempt: ChildAttempt,
        contents: &Contents<'_>,
        nonces: Nonces<'_>,
    ) {
        let asked = attempt.asked.clone();
        match self.check_child(context, attempt, contents, nonces) {
            Ok(agreed) if agreed.choice.additional.is_empty() => self.conclude_child(context, agreed, asked),
            Ok(agreed) => self.follow_up_child(context, agreed, asked, contents),
            Err(failure) if is_of_kem(context, &failure) => {
                context.release_spi(asked.inbound);
                self.end_with_the_peer(context, DownReason::Failed(Box::new(failure)));
            }
            Err(failure) => {
                let known_to_peer = contents.sa.is_some() && failure != Failure::DeletedEarly;
                self.fail_child(context, asked, failure, known_to_peer);
            }
        }
    }

    /// As initiator: nothing is missing any more of what we asked for.
    pub(super) fn conclude_child(
        &mut self,
        context: &mut Context<'_>,
        mut agreed: AgreedChild,
        asked: AskedChild,
    ) {
        agreed.replaces = asked.rekeys.and_then(|id| self.carrier_of(id));
        let (id, lower) = (agreed.id, agreed.secrets.lower_nonce());
        let early = self.deleted_early.contains(&agreed.choice.peer_spi);
        let installed = if early { Err(Failure::DeletedEarly) } else { self.install(context, agreed) };
        match (installed, asked.rekeys) {
            (Ok(()), Some(old)) => self.settle_rekey(context, old, id, &lower),
            (Ok(()), None) => {}
            (Err(failure), _) => self.fail_child(context, asked, failure, !early),
        }
    }

    /// Tells of a Child SA that came to nothing.
    pub(crate) fn tell_child_failed(
        &self,
        context: &mut Context<'_>,
        policy: Option<PolicyId>,
        failure: Failure,
    ) {
        let (sa, failure) = (self.handle, Box::new(failure));
        context.event(Event::ChildSaFailed { sa, policy, failure });
    }

    /// A request for a Child SA came to nothing; what the peer has set up is deleted there (§2.21.3).
    pub(crate) fn fail_child(
        &mut self,
        context: &mut Context<'_>,
        asked: AskedChild,
        failure: Failure,
        known_to_peer: bool,
    ) {
        let AskedChild { config, inbound, rekeys, tries } = asked;
        context.release_spi(inbound);
        if known_to_peer {
            self.queue.push_back(Task::DeleteUnused(inbound));
        }
        if let Some(id) = rekeys {
            return self.on_rekey_failed(context, id, tries, failure);
        }
        let policy = config.policy;
        if matches!(failure, Failure::Refused { notify: NotifyType::TEMPORARY_FAILURE }) {
            self.try_again_later(context, Task::CreateChild { config, packet: None, tries }, &failure);
        }
        self.tell_child_failed(context, Some(policy), failure);
    }

    fn check_child(
        &self,
        context: &mut Context<'_>,
        attempt: ChildAttempt,
        contents: &Contents<'_>,
        nonces: Nonces<'_>,
    ) -> Result<AgreedChild, Failure> {
        let Some(sa) = &contents.sa else {
            return Err(match contents.error() {
                Some(error) => Failure::refused(error.ty, &attempt.offered, Some(&attempt.selectors)),
                None => Failure::NoAnswer,
            });
        };
        let AskedChild { config, inbound, rekeys, .. } = attempt.asked;
        let replaces = rekeys.and_then(|id| self.carrier_of(id));
        let old = replaces.and_then(|id| self.child(id));
        let mode = mode::of_answer(&config, attempt.mode, contents)?;
        if let Some(wanted) = old.map(|old| old.sa.mode).filter(|wanted| *wanted != mode) {
            return Err(Failure::Mode { got: mode, wanted });
        }
        let missing = |ty| Failure::MissingPayload(ty);
        let ts_i = contents.ts_i.as_ref().ok_or(missing(PayloadType::TS_I))?;
        let ts_r = contents.ts_r.as_ref().ok_or(missing(PayloadType::TS_R))?;
        let seen = match mode {
            Mode::Transport => mode::ends(&self.path, self.nat).seen_answer(ts_i, ts_r),
            _ => None,
        };
        let (ts_i, ts_r, original_addresses) = match &seen {
            Some((local, remote, original)) => (local, remote, *original),
            None => (ts_i, ts_r, None),
        };
        let requested = attempt.selectors.pair();
        let answered = match old {
            Some(old) => negotiation::verify_rekey_answer(old.selectors(), requested, ts_i, ts_r),
            None => negotiation::verify_answer(requested, ts_i, ts_r),
        };
        let answered = answered.map_err(Failure::TsAnswer)?;
        let choice = negotiation::accept_esp(&attempt.offered, sa, attempt.exchange)
            .map_err(Failure::ProposalAnswer)?;
        find_algorithms(context, &choice)?;
        let shared = finish_exchange(context, attempt.ke, choice.ke, contents)?;
        let secrets = ChildSecrets::new(true, nonces, shared);
        let narrowed = !answered.pair().covers(requested);
        Ok(AgreedChild {
            config,
            choice,
            id: attempt.id,
            inbound,
            local: answered.local,
            remote: answered.remote,
            narrowed,
            mode,
            original_addresses,
            tfc_allowed: takes_tfc(contents),
            secrets,
            ke: None,
            replaces,
            rival_nonce: None,
        })
    }

    /// Hands an agreed Child SA to the data path and tells the embedder.
    ///
    /// # Errors
    /// [`Failure::NoKeys`] where the IKE SA is not established, [`Failure::Algorithm`] where provider and algorithm
    /// disagree about lengths, which a sound provider does not.
    pub(crate) fn install(&mut self, context: &mut Context<'_>, agreed: AgreedChild) -> Result<(), Failure> {
        let Stage::Established(established) = &self.stage else { return Err(Failure::NoKeys) };
        let cipher = find_cipher(context, &agreed.choice)?;
        let keys = agreed.secrets.keys(established, cipher)?;
        let AgreedChild { config, choice, id, inbound, mut local, mut remote, narrowed, .. } = agreed;
        let AgreedChild { mode, original_addresses, tfc_allowed, replaces, rival_nonce, .. } = agreed;
        // They are kept for as long as the SA lives.
        local.shrink_to_fit();
        remote.shrink_to_fit();
        let outbound = choice.peer_spi;
        let sa = Arc::new(ChildSa {
            id,
            policy: config.policy,
            suite: choice.cipher,
            mode,
            sequence_numbers: choice.sequence_numbers,
            encapsulation: self.encapsulation(),
            path: self.path,
            local,
            remote,
            lifetimes: context.jittered(config.lifetimes, config.jitter_permille),
            original_addresses,
            tfc_allowed,
            replaces,
            group: None,
        });
        context.log_esp_keys(&sa, (inbound, &keys.inbound), (outbound, &keys.outbound));
        let install = |spi, keys| Box::new(SaInstall { child: Arc::clone(&sa), spi, keys });
        context.event(Event::DataPath(SaCommand::InstallInbound(install(inbound, keys.inbound))));
        context.event(Event::DataPath(SaCommand::InstallOutbound(install(outbound, keys.outbound))));
        let EspChoice { ke, additional, .. } = choice;
        if rival_nonce.is_some() {
            self.crossed.extend(replaces);
        }
        let child = Child {
            sa,
            ke,
            additional,
            narrowed,
            inbound,
            outbound,
            outbound_gone: false,
            deleting: None,
            config,
            awaits: replaces,
            replaced: false,
            rival_nonce,
        };
        context.event(Event::ChildSaUp { sa: self.handle, info: Box::new(child.info()) });
        count(&mut context.statistics.child_sas_installed);
        context.names.own(id, self.handle);
        // Most IKE SAs have one for all their life.
        self.children.reserve_exact(1);
        self.children.push(child);
        Ok(())
    }
}

/// Whether the peer takes TFC padding (§1.3.1).
fn takes_tfc(contents: &Contents<'_>) -> bool {
    contents.notify(NotifyType::ESP_TFC_PADDING_NOT_SUPPORTED).is_none()
}

/// As responder of CREATE_CHILD_SA: our half of the key exchange, if one was chosen. KEi of a method that was
/// not chosen is ignored where NONE was (§1.3.1).
fn answer_exchange(
    context: &mut Context<'_>,
    choice: &EspChoice,
    contents: &Contents<'_>,
) -> Result<Option<(AnsweredExchange, SecretBytes)>, Failure> {
    let Some(method) = choice.ke else { return Ok(None) };
    let got = contents.ke.as_ref().map_or(KeMethod::NONE, |ke| ke.method);
    let Some(ke) = contents.ke.as_ref().filter(|ke| ke.method == method) else {
        return Err(Failure::KeMethod { got, wanted: method });
    };
    let response = context.respond(method, ke.data)?;
    Ok(Some((AnsweredExchange { method, public: response.public }, response.secret)))
}

/// As initiator of CREATE_CHILD_SA: the shared secret, if the peer chose a key exchange.
fn finish_exchange(
    context: &mut Context<'_>,
    half: Option<Half>,
    chosen: Option<KeMethod>,
    contents: &Contents<'_>,
) -> Result<Option<SecretBytes>, Failure> {
    let Some(wanted) = chosen else { return Ok(None) };
    let ke = contents.ke.as_ref().ok_or(Failure::MissingPayload(PayloadType::KE))?;
    let half = half.filter(|half| half.method == wanted && ke.method == wanted);
    let Some(half) = half else { return Err(Failure::KeMethod { got: ke.method, wanted }) };
    context.finish(&half, ke.data).map(Some)
}

/// Whether a failed request for a Child SA must end the IKE SA too (§2.21.3).
pub(crate) fn is_fatal(failure: &Failure) -> bool {
    failure.notify() == NotifyType::INVALID_SYNTAX
}

/// Whether the peer's ciphertext was none: then the IKE SA is deleted too (draft-ietf-ipsecme-ikev2-mlkem §2.2).
pub(super) fn is_of_kem(context: &Context<'_>, failure: &Failure) -> bool {
    let Failure::KeyExchange { method, error } = failure else { return false };
    if matches!(error, KxError::Random(_)) {
        return false;
    }
    context.config.crypto.key_exchange(*method).is_some_and(|algorithm| algorithm.is_kem())
}
