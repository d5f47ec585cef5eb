//! Layer 4: one IKE SA, from its first message to its last (RFC 7296 §1, §2).
//!
//! | module | what it does | sections |
//! |---|---|---|
//! | [`generation`] | what a rekey makes anew | §2.18 |
//! | [`initiate`], [`respond`] | IKE_SA_INIT | §1.2 |
//! | [`intermediate`] | IKE_INTERMEDIATE with additional key exchanges | RFC 9242, RFC 9370 |
//! | [`auth_initiate`], [`auth_respond`] | IKE_AUTH with the first Child SA | §1.2, §2.15 |
//! | [`auth`] | what both have in common | §2.15 |
//! | [`eap_initiate`], [`eap_respond`] | EAP within IKE_AUTH | §2.16, RFC 5998 |
//! | [`suspend`] | answers of the embedder that come later | |
//! | [`child`] | a Child SA, agreed by either exchange | §2.9, §2.17 |
//! | [`mode`] | its mode | §1.3.1, §2.23.1 |
//! | [`configure`], [`leases`] | inner addresses | §2.19, §3.15 |
//! | [`create_child`] | CREATE_CHILD_SA | §1.3 |
//! | [`follow_up`] | IKE_FOLLOWUP_KE after it | RFC 9370 |
//! | [`rekey_child`] | rekeys of Child SAs | §1.3.3, §2.8 |
//! | [`rekey_ike`] | rekeys of the IKE SA | §1.3.2, §2.18 |
//! | [`former`] | what they replaced | §2.8 |
//! | [`reauthenticate`] | how long an authentication lasts | §2.8.3, RFC 4478 |
//! | [`redirect`] | redirects to another gateway | RFC 5685 |
//! | [`mobike`], [`mobike_request`] | other addresses: what we ask of the peer, and it of us | RFC 4555 |
//! | [`way`] | the IKE SA and its Child SAs move | §2.23, RFC 4555 |
//! | [`later`] | what is tried again after a pause | §2.25 |
//! | [`informational`] | Delete, liveness, errors | §1.4, §2.4 |
//! | [`receive`] | which message goes where, and repeats | §2.1 to §2.3, §2.21 |
//! | [`fragments`] | messages that never become whole | RFC 7383 |
//! | [`moving`] | on to another endpoint | |
//! | [`peers`] | which others there are with the same peer | §2.4 |
//! | [`timers`] | what happens when nothing comes | §2.4 |

pub(crate) mod auth;
pub(crate) mod auth_initiate;
pub(crate) mod auth_respond;
pub(crate) mod child;
pub(crate) mod configure;
pub(crate) mod context;
pub(crate) mod create_child;
pub(crate) mod eap_initiate;
pub(crate) mod eap_respond;
pub(crate) mod follow_up;
pub(crate) mod former;
pub(crate) mod fragments;
pub(crate) mod generation;
pub(crate) mod informational;
pub(crate) mod initiate;
pub(crate) mod intermediate;
pub(crate) mod later;
pub(crate) mod leases;
pub(crate) mod mobike;
pub(crate) mod mobike_request;
pub(crate) mod mode;
pub(crate) mod moving;
pub(crate) mod notices;
pub(crate) mod peers;
pub(crate) mod reauthenticate;
pub(crate) mod receive;
pub(crate) mod redirect;
pub(crate) mod rekey_child;
pub(crate) mod rekey_ike;
pub(crate) mod respond;
pub(crate) mod suspend;
pub(crate) mod timers;
pub(crate) mod way;

use crate::config::{ChildConfig, Connection};
use crate::error::{Bound, CallError, Failure};
use crate::establish::auth::SignedOctets;
use crate::establish::initiator::Initiator;
use crate::establish::intermediate::Intermediates;
use crate::establish::responder::HalfOpen;
use crate::establish::secrets::{Agreement, IkeAlgorithms};
use crate::event::{DownReason, Event, IkeSaHandle, IkeSaInfo, IkeSaState, NatStatus, Role};
use crate::exchange::exchanges::{Exchanges, Request, SealedRequest};
use crate::exchange::responses::RequestDigest;
use crate::identity::Identity;
use crate::keys::IkeKeys;
use crate::redirect::Redirected;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use child::{Child, ChildAttempt};
use configure::RemoteAccess;
use context::Context;
use core::net::IpAddr;
use eap_respond::EapClaim;
use follow_up::{FollowUp, PeersSeries, Wanted};
use former::Former;
use generation::Generation;
use ikev2_wire::Payload;
use ikev2_wire::codes::ExchangeType;
use intermediate::IntermediateRequest;
use ipsec_types::sa::{ChildSaId, PacketSelectors};
use ipsec_types::{EspSpi, IkeSpi, Instant, Path, SecretBytes};
use later::Later;
use mobike::{Ask, Mobike};
use peers::IdentityPair;
use reauthenticate::Authentication;
use rekey_ike::IkeRekey;
use suspend::Suspended;

/// Where an IKE SA stands.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Our IKE_SA_INIT request is out.
    Initiating(Box<Initiator>),
    /// We answered IKE_SA_INIT and wait for IKE_AUTH, not longer than this.
    HalfOpen(Box<HalfOpen>, Instant),
    /// The peer has shown that it has the keys: IKE_INTERMEDIATE is under way, or its IKE_AUTH request is in hand.
    Claiming(Box<ClaimInHand>),
    /// Our IKE_AUTH request is out, or an IKE_INTERMEDIATE request before it.
    Authenticating(Box<auth_initiate::AuthAttempt>),
    /// Both ends are authenticated.
    Established(Established),
    /// Our Delete is out, or waits for the window.
    Closing(Closing),
    /// Over. Repeats of the peer's last requests are still answered for a while (§2.1).
    Lingering(Instant),
}

/// What a responder holds until the peer has proved who it is.
#[derive(Debug)]
pub(crate) struct ClaimInHand {
    pub agreement: Agreement,
    pub keys: IkeKeys,
    /// The IKE_SA_INIT request, to know its repeats.
    pub init: RequestDigest,
    pub intermediates: Intermediates,
    /// EAP, once it has begun.
    pub eap: Option<Box<EapClaim>>,
    /// Until when the next request is waited for; `None` while IKE_AUTH is in hand.
    pub expires: Option<Instant>,
}

impl ClaimInHand {
    /// What the AUTH of this end covers, whose ID payload has this body.
    fn octets(&self, of: Role, id_body: &[u8]) -> SignedOctets<'_> {
        SignedOctets::of(of, &self.agreement, &self.keys, &self.intermediates.int_auth, id_body)
    }
}

/// What an established IKE SA needs for its Child SAs.
#[derive(Debug)]
pub(crate) struct Established {
    pub algorithms: IkeAlgorithms,
    pub sk_d: SecretBytes,
}

/// An IKE SA on its way out.
#[derive(Debug)]
pub(crate) struct Closing {
    /// What to tell the embedder at the end; `None` where it was told.
    pub reason: Option<DownReason>,
    /// While our own rekey is out: what the keys of that one are made from.
    pub established: Option<Established>,
}

/// What a request in flight is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    Intermediate(Box<IntermediateRequest>),
    Auth,
    CreateChild(Box<ChildAttempt>),
    RekeyIke(Box<IkeRekey>),
    FollowUp(Box<FollowUp>),
    DeleteChildren(Vec<ChildSaId>),
    DeleteIke,
    Liveness,
    Mobike(Box<Ask>),
}

impl Purpose {
    pub(crate) fn is_ike_rekey(&self) -> bool {
        match self {
            Self::RekeyIke(_) => true,
            Self::FollowUp(follow_up) => matches!(follow_up.wanted, Wanted::Ike(_)),
            _ => false,
        }
    }

    /// The exchange that it is a request of.
    pub(crate) fn exchange(&self) -> ExchangeType {
        match self {
            Self::Intermediate(_) => ExchangeType::IKE_INTERMEDIATE,
            Self::Auth => ExchangeType::IKE_AUTH,
            Self::CreateChild(_) | Self::RekeyIke(_) => ExchangeType::CREATE_CHILD_SA,
            Self::FollowUp(_) => ExchangeType::IKE_FOLLOWUP_KE,
            Self::DeleteChildren(_) | Self::DeleteIke | Self::Liveness | Self::Mobike(_) => {
                ExchangeType::INFORMATIONAL
            }
        }
    }
}

/// A request that waits for the window.
#[derive(Debug)]
pub(crate) enum Task {
    CreateChild {
        config: Arc<ChildConfig>,
        packet: Option<PacketSelectors>,
        /// How often it was tried before.
        tries: u32,
    },
    RekeyChild {
        id: ChildSaId,
        tries: u32,
    },
    RekeyIke {
        tries: u32,
    },
    /// The next additional key exchange of a CREATE_CHILD_SA of ours.
    FollowUp(Box<FollowUp>),
    DeleteChildren(Vec<ChildSaId>),
    /// A Child SA that the peer set up and we did not, by the SPI that we offered.
    DeleteUnused(EspSpi),
    DeleteIke,
    /// Tells the peer that its proof was refused, and ends the SA (§2.21.2).
    RefuseAuthentication,
    Liveness,
    /// Whatever the peer is to be told or asked of addresses.
    Mobike,
}

impl Task {
    /// How often it was tried before, for what may be tried again.
    fn tries_mut(&mut self) -> Option<&mut u32> {
        match self {
            Self::CreateChild { tries, .. } | Self::RekeyChild { tries, .. } | Self::RekeyIke { tries } => {
                Some(tries)
            }
            _ => None,
        }
    }
}

/// What Child SA IKE_AUTH asks for, and the packet that asked for it.
pub(crate) type Opening = (Arc<ChildConfig>, Option<PacketSelectors>);

/// One IKE SA.
#[derive(Debug)]
pub(crate) struct IkeSa {
    pub handle: IkeSaHandle,
    /// Which end began it, whoever rekeyed it since.
    pub origin: Role,
    pub connection: Arc<Connection>,
    /// The Child SA that IKE_AUTH asks for, with the packet that asked for it; the connection's first otherwise.
    pub opening: Option<Box<Opening>>,
    /// What the last rekey made anew.
    pub current: Generation,
    /// What it replaced, until that is deleted.
    pub former: Vec<Former>,
    /// The peer has deleted what its own rekey made, while ours was not answered: if ours comes to nothing, it was the
    /// IKE SA that it deleted.
    pub hangs_on_rekey: bool,
    /// How often it was rekeyed.
    pub generation: u32,
    /// How often it came from another endpoint: no two containers of it are the same.
    pub moves: u32,
    /// When we rekey it next.
    pub rekey_at: Option<Instant>,
    /// When it ends if it was not rekeyed.
    pub expires_at: Option<Instant>,
    pub authentication: Authentication,
    /// The redirects that led to it.
    pub redirected: Option<Box<Redirected>>,
    pub path: Path,
    /// Our port at the first message.
    pub first_port: u16,
    pub nat: NatStatus,
    /// What is kept of addresses where both ends do MOBIKE.
    pub mobike: Option<Box<Mobike>>,
    pub peer_id: Option<Identity>,
    /// As responder: whom EAP authenticated.
    pub eap_identity: Option<Box<Identity>>,
    /// What was given of configuration, by either end.
    pub access: Option<Box<RemoteAccess>>,
    /// The inner addresses of the one whose place it takes.
    pub held: Box<[IpAddr]>,
    pub stage: Stage,
    /// What IKE_SA_INIT or the last rekey agreed.
    pub algorithms: Option<IkeAlgorithms>,
    pub queue: VecDeque<Task>,
    /// What is tried again after a pause.
    pub later: Vec<Later>,
    pub children: Vec<Child>,
    /// SPIs of Child SAs that the peer deleted before we knew them, while a request for one is out.
    pub deleted_early: Vec<EspSpi>,
    /// Child SAs that the peer has rekeyed while our own request to do so is out.
    pub crossed: Vec<ChildSaId>,
    /// The peer's CREATE_CHILD_SA exchanges that additional key exchanges are still to follow.
    pub peers_series: Vec<PeersSeries>,
    /// How many of those were given a name.
    pub links: u32,
    /// Under whose identities it stands in the list of peers.
    pub listed: Option<Arc<IdentityPair>>,
    /// What waits for the embedder.
    pub suspended: Option<Box<Suspended>>,
    /// How many answers the embedder was asked for.
    pub tickets: u32,
    /// When its first message came or went.
    pub created_at: Instant,
    /// When the peer was authenticated.
    pub established_at: Option<Instant>,
    /// The Message ID of the last IKE_AUTH request.
    pub last_auth: u32,
    /// The last proof that the peer lives.
    pub heard_at: Instant,
    /// The last one by an IKE message.
    pub ike_heard_at: Instant,
    /// The last datagram that kept a NAT's mapping.
    pub sent_at: Instant,
}

impl IkeSa {
    pub(crate) fn new(
        context: &Context<'_>,
        handle: IkeSaHandle,
        connection: Arc<Connection>,
        role: Role,
        local_spi: IkeSpi,
        path: Path,
        stage: Stage,
    ) -> Self {
        Self {
            handle,
            origin: role,
            connection,
            opening: None,
            current: Generation::Unkeyed { role, local_spi },
            former: Vec::new(),
            hangs_on_rekey: false,
            generation: 0,
            moves: 0,
            rekey_at: None,
            expires_at: None,
            authentication: Authentication::default(),
            redirected: None,
            path,
            first_port: path.local.port(),
            nat: NatStatus::default(),
            mobike: None,
            peer_id: None,
            eap_identity: None,
            access: None,
            held: Box::default(),
            stage,
            algorithms: None,
            queue: VecDeque::new(),
            later: Vec::new(),
            children: Vec::new(),
            deleted_early: Vec::new(),
            crossed: Vec::new(),
            peers_series: Vec::new(),
            links: 0,
            listed: None,
            suspended: None,
            tickets: 0,
            created_at: context.now,
            established_at: None,
            last_auth: 1,
            heard_at: context.now,
            ike_heard_at: context.now,
            sent_at: context.now,
        }
    }

    pub(crate) fn is_half_open(&self) -> bool {
        matches!(self.stage, Stage::HalfOpen(..) | Stage::Claiming(_))
    }

    /// A half-open SA ends without a word: the embedder was never told of it.
    pub(crate) fn vanish(&mut self, context: &mut Context<'_>) {
        self.release_lease(context);
        self.stage = Stage::Lingering(context.now);
    }

    pub(crate) fn is_established(&self) -> bool {
        matches!(self.stage, Stage::Established(_))
    }

    /// Whether the embedder was told that it ended.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Lingering(_) | Stage::Closing(Closing { reason: None, .. }))
    }

    /// Whether nothing is left to do for it, now or later.
    pub(crate) fn has_lingered(&self, now: Instant) -> bool {
        matches!(self.stage, Stage::Lingering(until) if until <= now)
    }

    /// What our requests in flight are for, by any generation.
    pub(crate) fn purposes(&self) -> impl Iterator<Item = &Purpose> {
        self.current.purposes().chain(self.former.iter().flat_map(Former::purposes))
    }

    /// The SPIs by which messages reach it, or what it replaced.
    pub(crate) fn ike_spis(&self) -> impl Iterator<Item = IkeSpi> {
        let former = self.former.iter().map(|former| former.exchanges.ends().local_spi());
        former.chain([self.current.local_spi()])
    }

    /// Makes the next protected request. It does not count before [`IkeSa::send_request`].
    fn seal_request(
        &mut self,
        context: &Context<'_>,
        exchange: ExchangeType,
        payloads: &[Payload<'_>],
    ) -> Result<SealedRequest, Failure> {
        let way = self.way();
        let request = self.current.keyed()?.seal_request(&way, exchange, payloads)?;
        context.observe_sent(&way, request.message(), payloads);
        Ok(request)
    }

    /// Sends what [`IkeSa::seal_request`] made.
    fn send_request(&mut self, context: &mut Context<'_>, request: SealedRequest, purpose: Purpose) {
        let (way, policy) = (self.way(), self.repeats());
        let Ok(exchanges) = self.current.keyed() else { return };
        if let Some(message) = exchanges.sent(context.now, request, purpose, &policy) {
            context.transmit(way, &message);
            self.sent_at = context.now;
        }
    }

    /// Answers a request on the path that it came by, and keeps the answer for repeats.
    fn send_answer(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        payloads: &[Payload<'_>],
    ) -> Result<(), Failure> {
        let message = self.current.keyed()?.answer(request, payloads)?;
        context.observe_sent(&request.path, &message, payloads);
        context.transmit(request.path, &message);
        if request.path == self.path {
            self.sent_at = context.now;
        }
        Ok(())
    }

    /// Sends what waits, as far as the window allows.
    pub(crate) fn pump(&mut self, context: &mut Context<'_>) {
        let window = |sa: &Self| {
            sa.current.exchanges().map(|exchanges| {
                let requests = exchanges.requests();
                (requests.can_send(), requests.is_exhausted() && requests.is_idle())
            })
        };
        self.queue_mobike();
        while let Some((true, _)) = window(self) {
            // The rest keeps its order.
            let first = self.queue.iter().position(|task| !self.is_held(task));
            let Some(at) = first.filter(|at| self.queue.get(*at).is_some_and(|task| self.may_begin(task)))
            else {
                break;
            };
            let Some(task) = self.queue.remove(at) else { break };
            self.begin(context, task);
        }
        self.pump_former(context);
        if self.queue.is_empty() {
            // Most of the time nothing waits, and thousands of SAs are kept.
            self.queue = VecDeque::new();
        }
        if self.is_established() && window(self).is_some_and(|(_, used_up)| used_up) {
            self.close(context, DownReason::Failed(Box::new(Failure::Limit(Bound::MessageIds))));
        }
    }

    /// A rekey of the IKE SA goes alone, and while it is out nothing begins that it would take along half done
    /// (§2.25.2).
    fn may_begin(&self, task: &Task) -> bool {
        match task {
            Task::RekeyIke { .. } => self.current.exchanges().is_some_and(|e| e.requests().is_idle()),
            Task::CreateChild { .. } | Task::RekeyChild { .. } => !self.awaits_rekey(),
            Task::DeleteChildren(_) | Task::DeleteUnused(_) => !self.former.iter().any(Former::awaits_rekey),
            // The peer may have made what our rekey asks for, and that is what must be deleted then.
            Task::DeleteIke => !self.awaits_rekey(),
            Task::FollowUp(_) | Task::RefuseAuthentication | Task::Liveness | Task::Mobike => true,
        }
    }

    fn begin(&mut self, context: &mut Context<'_>, task: Task) {
        match task {
            Task::RekeyIke { tries } => self.begin_rekey_ike(context, tries),
            Task::CreateChild { config, packet, tries } => {
                self.begin_create_child(context, &config, packet.as_ref(), tries);
            }
            Task::RekeyChild { id, tries } => self.begin_rekey_child(context, id, tries),
            Task::FollowUp(follow_up) => self.begin_follow_up(context, *follow_up),
            Task::DeleteChildren(ids) => self.begin_delete_children(context, &ids),
            Task::DeleteUnused(spi) => self.begin_delete_unused(context, spi),
            Task::DeleteIke => self.begin_delete_ike(context),
            Task::RefuseAuthentication => self.begin_refuse_authentication(context),
            Task::Liveness => self.begin_liveness(context),
            Task::Mobike => self.begin_mobike(context),
        }
    }

    /// Queues a request of an established SA and sends it if the window has room.
    pub(crate) fn request(&mut self, context: &mut Context<'_>, task: Task) -> Result<(), CallError> {
        if !self.is_established() {
            return Err(CallError::NotEstablished);
        }
        if self.queue.len() >= context.config.max_queued_requests {
            return Err(CallError::Limit(Bound::QueuedRequests));
        }
        self.queue.push_back(task);
        self.pump(context);
        Ok(())
    }

    /// Begins to delete the SA. What waits for the window is dropped: the Delete is the last request.
    pub(crate) fn delete(&mut self, context: &mut Context<'_>) -> Result<(), CallError> {
        match self.stage {
            Stage::Established(_) => {
                self.start_closing(context, Some(DownReason::Requested), Task::DeleteIke);
                Ok(())
            }
            Stage::Closing(_) | Stage::Lingering(_) => Err(CallError::NotEstablished),
            // Before authentication there is nothing that the peer would take a Delete from.
            _ => {
                self.close(context, DownReason::Requested);
                Ok(())
            }
        }
    }

    /// Another IKE SA with the same peer takes its place: it ends now, and the peer is told in case that it
    /// still knows it.
    pub(crate) fn give_way(&mut self, context: &mut Context<'_>) {
        if self.is_established() {
            self.tell_down(context, Some(DownReason::Replaced));
            self.start_closing(context, None, Task::DeleteIke);
        }
    }

    fn start_closing(&mut self, context: &mut Context<'_>, reason: Option<DownReason>, last: Task) {
        let closing = Stage::Closing(Closing { reason, established: None });
        let stage = core::mem::replace(&mut self.stage, closing);
        if let (Stage::Established(established), Stage::Closing(closing)) = (stage, &mut self.stage) {
            closing.established = Some(established);
        }
        self.drop_peers_series(context);
        self.drop_follow_ups(context);
        self.queue.clear();
        self.later.clear();
        self.queue.push_back(last);
        self.pump(context);
    }

    /// Ends the SA at once and tells the embedder, Child SAs first.
    pub(crate) fn close(&mut self, context: &mut Context<'_>, reason: DownReason) {
        let reason = match &mut self.stage {
            Stage::Lingering(_) => return,
            // Whoever began to close it knows why it ends.
            Stage::Closing(closing) => closing.reason.take(),
            _ => Some(reason),
        };
        self.give_up_fragments(context);
        self.tell_down(context, reason);
        let former = self.former.iter_mut().map(|former| &mut former.exchanges);
        let all = self.current.keyed().into_iter().chain(former);
        former::forget(context, all.flat_map(Exchanges::clear));
        if let Stage::Authenticating(attempt) = &self.stage
            && let Some(child) = &attempt.child
        {
            context.release_spi(child.asked.inbound);
        }
        self.drop_peers_series(context);
        self.drop_follow_ups(context);
        self.queue.clear();
        self.later.clear();
        self.suspended = None;
        self.stage = Stage::Lingering(context.now + context.config.closed_linger);
    }

    /// Removes the Child SAs, and tells of the end unless it was told.
    fn tell_down(&mut self, context: &mut Context<'_>, reason: Option<DownReason>) {
        if let Some(pair) = self.listed.take() {
            context.peers.remove(&pair, self.handle);
        }
        for child in core::mem::take(&mut self.children) {
            child.remove(context, self.handle, DownReason::IkeSaEnded);
        }
        self.release_lease(context);
        if let Some(reason) = reason {
            tracing::debug!(sa = %self.handle, %reason, "IKE SA down");
            let (sa, connection) = (self.handle, self.connection.name.clone());
            context.event(Event::IkeSaDown { sa, connection, reason });
        }
    }

    /// What can be shown of it.
    pub(crate) fn info(&self) -> IkeSaInfo {
        let (initiator_spi, responder_spi) = self.spis();
        let algorithms = self.algorithms;
        let (requests_sent, requests_answered) = self.message_ids();
        IkeSaInfo {
            connection: self.connection.name.clone(),
            role: self.current.role(),
            initiator_spi,
            responder_spi,
            path: self.path,
            nat: self.nat,
            mobike: self.mobike.is_some(),
            local_id: self.connection.local_id.clone(),
            remote_id: self.peer_id.clone(),
            eap_identity: self.eap_identity.as_deref().cloned(),
            replaces: self.authentication.predecessor,
            redirected_from: self.redirected.as_ref().map(|redirected| redirected.from),
            suite: algorithms.map(|a| a.cipher.suite()),
            prf: algorithms.map(|a| a.prf.id()),
            ke: algorithms.map(|a| a.ke),
            additional: algorithms.map(|a| a.additional).unwrap_or_default(),
            fragment_size: self.current.exchanges().and_then(|x| x.fragmentation().size(&self.path)),
            configuration: self.configuration(),
            children: self.children.iter().map(|c| c.sa.id).collect(),
            state: self.state(),
            created_at: self.created_at,
            established_at: self.established_at,
            heard_at: self.heard_at,
            requests_sent,
            requests_answered,
        }
    }

    /// The original initiator's SPI, and the original responder's if it is known.
    pub(crate) fn spis(&self) -> (IkeSpi, Option<IkeSpi>) {
        match (&self.current, &self.stage) {
            (Generation::Keyed(exchanges), _) => exchanges.ends().spis(),
            (_, Stage::HalfOpen(half_open, _)) => half_open.agreement().ends.spis(),
            (Generation::Unkeyed { local_spi, .. }, _) => (*local_spi, None),
        }
    }

    /// The Message IDs that come next: ours, and the peer's.
    fn message_ids(&self) -> (u32, u32) {
        match (&self.current, &self.stage) {
            (Generation::Keyed(exchanges), _) => {
                (exchanges.requests().next_id(), exchanges.responses().expected())
            }
            (_, Stage::HalfOpen(..)) => (0, 1),
            (_, Stage::Authenticating(attempt)) => (attempt.next_id(), 0),
            _ => (1, 0),
        }
    }

    fn state(&self) -> IkeSaState {
        match &self.stage {
            Stage::Initiating(_) => IkeSaState::Initiating,
            Stage::HalfOpen(..) | Stage::Claiming(_) => IkeSaState::HalfOpen,
            Stage::Authenticating(_) => IkeSaState::Authenticating,
            Stage::Established(_) => IkeSaState::Established,
            Stage::Closing(_) | Stage::Lingering(_) => IkeSaState::Closing,
        }
    }

    /// Stands in the list of this pair's IKE SAs from now on.
    pub(crate) fn list(&mut self, context: &mut Context<'_>, pair: Arc<IdentityPair>) {
        if let Some(old) = self.listed.take() {
            context.peers.remove(&old, self.handle);
        }
        context.peers.insert(&pair, self.handle, self.established_at);
        self.listed = Some(pair);
    }

    /// The digest of a request that this SA was made for.
    pub(crate) fn init_digest(&self) -> Option<RequestDigest> {
        match &self.stage {
            Stage::HalfOpen(half_open, _) => Some(*half_open.request()),
            Stage::Claiming(claim) => Some(claim.init),
            _ => None,
        }
    }

    /// The octets of its initiator's that it keeps while that has not proved who it is.
    pub(crate) fn initiators_octets(&self) -> usize {
        match &self.stage {
            Stage::HalfOpen(half_open, _) => half_open.kept_octets(),
            Stage::Claiming(claim) => {
                let in_hand = self.suspended.as_ref().map_or(0, |suspended| suspended.octets());
                let fragments = self.current.exchanges().map_or(0, |x| x.fragmentation().reassembly.octets());
                let request = claim.agreement.request.message().len();
                let first = claim.eap.as_ref().map_or(0, |eap| eap.octets());
                request.saturating_add(in_hand).saturating_add(fragments).saturating_add(first)
            }
            _ => 0,
        }
    }
}
