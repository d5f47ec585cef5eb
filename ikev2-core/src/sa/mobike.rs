//! MOBIKE (RFC 4555): what we ask of the peer and tell it, and what becomes of its answers. What it asks of us is in
//! [`mobike_request`](super::mobike_request).
//!
//! The original initiator decides (§2.1, §3.5). While the peer has not agreed to a move, the IKE SA is *heading* for a
//! path: our requests go there, those in flight too, and everything else stays. Whatever is to be asked is kept as a
//! wish, with a number for its age; the request that carries it is made of all wishes when the window has room, and an
//! answer counts for wishes of its own age alone. So nothing is lost when a rekey of the IKE SA takes the request along,
//! and an answer to a request that went to other addresses moves nothing.

use super::context::Context;
use super::notices::Notices;
use super::{IkeSa, Purpose, Stage, Task};
use crate::config::Connection;
use crate::contents::Contents;
use crate::error::{AddressFault, CallError, Failure};
use crate::establish::nat::{Claim, NatHash};
use crate::event::{DownReason, Event, NatStatus, Role};
use crate::exchange::exchanges::Ends;
use crate::exchange::outgoing::Outgoing;
use crate::mobike::MobikePolicy;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use ikev2_wire::codes::NotifyType;
use ipsec_crypto::state::{StateError, StateReader, StateWriter};
use ipsec_types::{IkeSpi, Path, PathKind};
use subtle::ConstantTimeEq;

/// Octets of our COOKIE2 (§4.2.5 allows 8 to 64).
const COOKIE2_LEN: usize = 16;

/// Where an IKE SA is to run as soon as the peer agrees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heading {
    pub path: Path,
    /// As responder: what the peer's request said of NATs.
    pub nat: NatStatus,
}

/// What waits to be said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    /// The peer is to use our path (UPDATE_SA_ADDRESSES).
    pub update: bool,
    /// The peer is to show that it receives there (COOKIE2 alone).
    pub check: bool,
    /// The peer is to learn our other addresses.
    pub addresses: bool,
}

impl Wishes {
    fn any(self) -> bool {
        self.update || self.check || self.addresses
    }
}

/// What an established IKE SA keeps of MOBIKE.
#[derive(Debug, Default)]
pub(crate) struct Mobike {
    /// The peer's addresses besides the one that it was heard from.
    pub(super) peer: Vec<IpAddr>,
    pub(super) heading: Option<Heading>,
    pub(super) wishes: Wishes,
    /// How old the wishes are.
    age: u32,
    /// The newest request of the peer's about addresses: our SPI of the generation, and its Message ID.
    pub(super) newest: Option<(IkeSpi, u32)>,
    /// What the peer said last of where it sees us (§3.8).
    mapping: Option<Vec<u8>>,
    /// The arbitrary hash by which we claim a NAT.
    forced: Option<NatHash>,
    /// How often the peer saw a NAT that is forbidden, in a row.
    nat_tries: u32,
    /// Paths that the peer refused: they are tried no more before either end's addresses change. Never more than there are
    /// pairs of them.
    pub(super) refused: Vec<Path>,
    /// Repeats went by other paths as well; with which of them the next one goes on.
    probing: Option<usize>,
}

/// A request that is out.
#[derive(Debug)]
pub(crate) struct Ask {
    wishes: Wishes,
    age: u32,
    cookie: Option<[u8; COOKIE2_LEN]>,
    claims_nat: bool,
}

impl Mobike {
    /// Whether anything waits to be said, or was not answered.
    pub(super) fn has_wishes(&self) -> bool {
        self.heading.is_some() || self.wishes.any()
    }

    /// For an SA that goes on in another endpoint. It stands still.
    pub(super) fn save(&self, w: &mut StateWriter) {
        let Self {
            peer,
            heading: _,
            wishes: _,
            age: _,
            newest: _,
            mapping,
            forced,
            nat_tries: _,
            refused: _,
            probing: _,
        } = self;
        w.put_list(peer, |w, address| w.put_address(*address));
        w.put_option(mapping.as_deref(), StateWriter::put_octets);
        w.put_option(forced.as_ref(), |w, forced| w.put_octets(forced));
    }

    /// The same of an SA that came.
    pub(super) fn restore(r: &mut StateReader<'_>) -> Result<Self, StateError> {
        let peer = r.list(StateReader::address)?;
        let mapping = r.option(StateReader::octets)?.map(<[u8]>::to_vec);
        let forced = r.option(StateReader::octets)?.and_then(|forced| forced.try_into().ok());
        Ok(Self { peer, mapping, forced, ..Self::default() })
    }

    pub(super) fn heading(&self) -> Option<Path> {
        self.heading.map(|heading| heading.path)
    }

    /// Something is to be said anew: what is under way counts no more.
    pub(super) fn renew(&mut self, wish: impl FnOnce(&mut Wishes)) {
        wish(&mut self.wishes);
        self.age = self.age.wrapping_add(1);
    }
}

/// What IKE_AUTH says of MOBIKE as initiator: that we do it, our other addresses, and that no NAT may be (§3.1, §3.4,
/// §3.9).
pub(super) fn claim_in_auth(connection: &Connection, context: &Context<'_>, path: &Path) -> Notices {
    let mut notices = Notices::default();
    if let Some(policy) = &connection.mobike {
        notices.add(NotifyType::MOBIKE_SUPPORTED, []);
        add_addresses(&mut notices, &others(context, policy, path.local_ip()));
        if policy.no_nats {
            add_no_nats(&mut notices, path);
        }
    }
    notices
}

/// Our addresses besides this one, as far as the peer is told them.
fn others(context: &Context<'_>, policy: &MobikePolicy, used: IpAddr) -> Vec<IpAddr> {
    let known = context.local_addresses.iter().copied().filter(|address| *address != used);
    known.take(policy.max_addresses).collect()
}

fn add_addresses(notices: &mut Notices, addresses: &[IpAddr]) {
    for address in addresses {
        match address {
            IpAddr::V4(v4) => notices.add(NotifyType::ADDITIONAL_IP4_ADDRESS, v4.octets()),
            IpAddr::V6(v6) => notices.add(NotifyType::ADDITIONAL_IP6_ADDRESS, v6.octets()),
        }
    }
}

/// NO_NATS_ALLOWED: both addresses, then both ports (§4.2.6).
fn add_no_nats(notices: &mut Notices, path: &Path) {
    let mut data = Vec::with_capacity(36);
    for end in [path.local_ip(), path.remote_ip()] {
        match end {
            IpAddr::V4(v4) => data.extend_from_slice(&v4.octets()),
            IpAddr::V6(v6) => data.extend_from_slice(&v6.octets()),
        }
    }
    data.extend_from_slice(&path.local.port().to_be_bytes());
    data.extend_from_slice(&path.remote.port().to_be_bytes());
    notices.add(NotifyType::NO_NATS_ALLOWED, data);
}

pub(super) fn add_detection(notices: &mut Notices, claim: &Claim) {
    notices.add(NotifyType::NAT_DETECTION_SOURCE_IP, claim.source);
    notices.add(NotifyType::NAT_DETECTION_DESTINATION_IP, claim.destination);
}

impl IkeSa {
    /// As responder: what IKE_AUTH answers of it, where both ends do MOBIKE.
    pub(super) fn mobike_offer(&self, context: &Context<'_>) -> Notices {
        let mut notices = Notices::default();
        if let (Some(_), Some(policy)) = (&self.mobike, &self.connection.mobike) {
            notices.add(NotifyType::MOBIKE_SUPPORTED, []);
            add_addresses(&mut notices, &others(context, policy, self.path.local_ip()));
        }
        notices
    }

    /// Both ends do MOBIKE if both say so (§3.1).
    pub(super) fn learn_mobike(&mut self, context: &mut Context<'_>, contents: &Contents<'_>) {
        if self.connection.mobike.is_some() && contents.notify(NotifyType::MOBIKE_SUPPORTED).is_some() {
            self.mobike = Some(Box::default());
            self.learn_peers_addresses(context, contents);
        }
    }

    /// The pair of hashes by which the two ends of a path find NATs between them.
    /// `ends` are those of the generation whose message carries them.
    pub(super) fn claim(
        &mut self,
        context: &mut Context<'_>,
        path: &Path,
        ends: &Ends,
    ) -> Result<(Claim, bool), Failure> {
        let (initiator, responder) = ends.spis();
        let force = self.connection.force_udp_encapsulation;
        let Some(mobike) = &mut self.mobike else { return Err(Failure::NoKeys) };
        let random = &mut *context.services.random;
        let claim = Claim::new(initiator, responder, path, force, &mut mobike.forced, random)?;
        Ok((claim, force || path.local_ip().is_unspecified()))
    }

    /// Queues the request that carries what is to be said, ahead of everything, unless one of that age is out.
    pub(super) fn queue_mobike(&mut self) {
        let Some(mobike) = self.mobike.as_deref().filter(|mobike| mobike.wishes.any()) else { return };
        let age = mobike.age;
        let out = self.purposes().any(|p| matches!(p, Purpose::Mobike(ask) if ask.age == age));
        let waits = self.queue.iter().any(|task| matches!(task, Task::Mobike));
        if !out && !waits && matches!(self.stage, Stage::Established(_)) {
            self.queue.push_front(Task::Mobike);
        }
    }

    /// Sends it.
    pub(crate) fn begin_mobike(&mut self, context: &mut Context<'_>) {
        match self.ask(context) {
            Ok((ask, notices)) => {
                let mut payloads = Vec::new();
                notices.push_to(&mut payloads);
                self.send_informational(context, &payloads, Purpose::Mobike(Box::new(ask)));
            }
            Err(failure) => {
                let reason = Some(DownReason::Failed(Box::new(failure)));
                self.start_closing(context, reason, Task::DeleteIke);
            }
        }
    }

    /// What is to be said, as a request (§3.5, §3.6, §3.7).
    fn ask(&mut self, context: &mut Context<'_>) -> Result<(Ask, Notices), Failure> {
        let (way, ends) = (self.way(), *self.current.keyed()?.ends());
        let mut notices = Notices::default();
        let (Some(mobike), Some(policy)) = (&self.mobike, &self.connection.mobike) else {
            return Err(Failure::NoKeys);
        };
        let (wishes, age, no_nats) = (mobike.wishes, mobike.age, policy.no_nats);
        if wishes.addresses {
            let others = others(context, policy, way.local_ip());
            if others.is_empty() {
                notices.add(NotifyType::NO_ADDITIONAL_ADDRESSES, []);
            }
            add_addresses(&mut notices, &others);
        }
        let mut claims_nat = false;
        if wishes.update {
            notices.add(NotifyType::UPDATE_SA_ADDRESSES, []);
            // On port 500 the peer does no NAT traversal, or it would have been left (§3.3).
            if way.kind == PathKind::NatT {
                let (claim, claims) = self.claim(context, &way, &ends)?;
                claims_nat = claims;
                add_detection(&mut notices, &claim);
            }
        }
        if no_nats {
            add_no_nats(&mut notices, &way);
        }
        let mut cookie = None;
        if wishes.update || wishes.check {
            let mut octets = [0; COOKIE2_LEN];
            context.services.random.fill(&mut octets)?;
            notices.add(NotifyType::COOKIE2, octets);
            cookie = Some(octets);
        }
        Ok((Ask { wishes, age, cookie, claims_nat }, notices))
    }

    /// An answer of the peer's came by this path. Where repeats went by several, this one works (§3.10).
    pub(super) fn answered_by(&mut self, context: &mut Context<'_>, path: Path) {
        let way = self.way();
        let Some(mobike) = self.mobike.as_deref_mut() else { return };
        if mobike.probing.take().is_none() || path == way {
            return;
        }
        if self.candidates(context).contains(&path) {
            self.head_for(context, path);
        }
    }

    /// The answer to what we asked, by the generation with these ends.
    pub(super) fn on_mobike_answer(
        &mut self,
        context: &mut Context<'_>,
        ask: &Ask,
        contents: &Contents<'_>,
        (came_by, ends): (Path, &Ends),
    ) {
        if let Some(cookie) = &ask.cookie {
            let got = contents.notify(NotifyType::COOKIE2).map(|notify| notify.data);
            if !got.is_some_and(|got| bool::from(got.ct_eq(cookie))) {
                let fault = AddressFault::Cookie2 { got: got.map(<[u8]>::len) };
                let reason = Some(DownReason::Failed(Box::new(fault.into())));
                return self.start_closing_if_up(context, reason);
            }
        }
        let Some(mobike) = self.mobike.as_deref_mut() else { return };
        if ask.age != mobike.age || !self.is_established() {
            // Another path is asked for meanwhile: what this one says of the former one moves nothing (§3.5).
            return;
        }
        let error = contents.error().map(|error| error.ty);
        match error {
            Some(NotifyType::UNEXPECTED_NAT_DETECTED) => self.on_nat_refused(context),
            Some(NotifyType::UNACCEPTABLE_ADDRESSES) if ask.wishes.update => self.on_way_refused(context),
            _ => self.on_agreed(context, ask, contents, (came_by, ends)),
        }
    }

    fn on_agreed(
        &mut self,
        context: &mut Context<'_>,
        ask: &Ask,
        contents: &Contents<'_>,
        (came_by, ends): (Path, &Ends),
    ) {
        // NAT detection is of the path that the answer came by; its port at our end is the one that we sent from.
        let way = self.way();
        let seen = Path { remote: came_by.remote, ..way };
        let found = ask.wishes.update.then(|| ends.detect_nat(&seen, contents, ask.claims_nat)).flatten();
        let seen_at = contents.notify(NotifyType::NAT_DETECTION_DESTINATION_IP).map(|n| n.data.to_vec());
        let Some(mobike) = self.mobike.as_deref_mut() else { return };
        mobike.wishes = Wishes::default();
        mobike.nat_tries = 0;
        let heading = mobike.heading.take();
        if ask.wishes.update {
            mobike.mapping = seen_at.or(mobike.mapping.take());
            let nat = if way.kind == PathKind::NatT { found.unwrap_or(self.nat) } else { self.nat };
            self.move_to(context, way, nat);
        } else if let Some(Heading { path, nat }) = heading {
            // The peer receives there.
            self.move_to(context, path, nat);
        }
    }

    /// Somebody on the path changes addresses, or it is a single datagram that was tampered with: asks again some times
    /// (§3.9).
    fn on_nat_refused(&mut self, context: &mut Context<'_>) {
        let most = self.connection.mobike.as_ref().map_or(0, |policy| policy.nat_retries);
        let Some(mobike) = self.mobike.as_deref_mut() else { return };
        mobike.nat_tries = mobike.nat_tries.saturating_add(1);
        if mobike.nat_tries <= most {
            return mobike.renew(|_| {});
        }
        let tries = core::mem::take(&mut mobike.nat_tries);
        // A list of addresses would be refused again and again in the same way.
        mobike.wishes.addresses = false;
        let path = self.way();
        self.give_up_heading(context, path, AddressFault::NatForbidden { path, tries });
    }

    /// The peer does not take the addresses: tries the next, or stays where it was; if it cannot, it ends (§3.5).
    fn on_way_refused(&mut self, context: &mut Context<'_>) {
        let path = self.way();
        let Some(mobike) = self.mobike.as_deref_mut() else { return };
        mobike.refused.push(path);
        let tried = mobike.refused.len();
        let next = self.candidates(context).into_iter().find(|next| *next != self.path);
        let stays = self.has_address(context, &self.path);
        let fault = AddressFault::Refused { path, tried };
        match next {
            Some(next) => self.head_for(context, next),
            None if stays => self.give_up_heading(context, path, fault),
            // The peer answers there, and hears of the end.
            None => {
                self.start_closing_if_up(context, Some(DownReason::Failed(Box::new(fault.into()))));
            }
        }
    }

    fn give_up_heading(&mut self, context: &mut Context<'_>, path: Path, fault: AddressFault) {
        let Some(mobike) = self.mobike.as_deref_mut() else { return };
        mobike.heading = None;
        mobike.renew(|wishes| *wishes = Wishes { update: false, check: false, ..*wishes });
        context.event(Event::MoveFailed { sa: self.handle, path, failure: Box::new(fault.into()) });
    }

    fn start_closing_if_up(&mut self, context: &mut Context<'_>, reason: Option<DownReason>) {
        if self.is_established() {
            self.start_closing(context, reason, Task::DeleteIke);
        }
    }

    /// Goes on by this path from now on, and asks the peer to do the same; what waits for an answer goes there at once
    /// (§3.5).
    pub(crate) fn head_for(&mut self, context: &mut Context<'_>, path: Path) {
        let nat = self.nat;
        let Some(mobike) = self.mobike.as_deref_mut() else { return };
        mobike.heading = Some(Heading { path, nat });
        mobike.probing = None;
        mobike.nat_tries = 0;
        let decides = self.origin == Role::Initiator;
        mobike.renew(|wishes| {
            wishes.update = decides;
            wishes.check = !decides;
        });
        self.resend(context);
    }

    /// Repeats everything at once, by the path in use now.
    pub(super) fn resend(&mut self, context: &mut Context<'_>) {
        if let Ok(exchanges) = self.current.keyed() {
            exchanges.hasten(context.now);
        }
        for former in &mut self.former {
            former.exchanges.hasten(context.now);
        }
        // Nothing was repeated to its end a moment ago.
        if let Err(failure) = self.repeat_requests(context) {
            self.close(context, DownReason::Failed(Box::new(failure)));
        }
        self.on_former_timeout(context);
    }

    /// Whether a path begins at an address of ours, as far as we know.
    fn has_address(&self, context: &Context<'_>, path: &Path) -> bool {
        context.local_addresses.is_empty() || context.local_addresses.contains(&path.local_ip())
    }

    /// The pairs of addresses between which the IKE SA may run, the one in use first.
    pub(super) fn candidates(&self, context: &Context<'_>) -> Vec<Path> {
        let (Some(mobike), Some(policy)) = (&self.mobike, &self.connection.mobike) else { return Vec::new() };
        let way = self.way();
        let used = self.has_address(context, &way).then_some(way.local_ip());
        let known = context.local_addresses.iter().copied().filter(|address| Some(*address) != used);
        let ours: Vec<IpAddr> = used.into_iter().chain(known).collect();
        let theirs = [way.remote_ip()].into_iter().chain(mobike.peer.iter().copied());
        let port_of = |address: IpAddr| match way.kind {
            _ if address == way.remote_ip() => way.remote.port(),
            PathKind::NatT => self.connection.remote_nat_t_port,
            PathKind::Ike => way.remote.port(),
        };
        let between = |remote: IpAddr| {
            let fits = move |local: &&IpAddr| local.is_ipv4() == remote.is_ipv4();
            ours.iter().filter(fits).map(move |local| Path {
                local: SocketAddr::new(*local, way.local.port()),
                remote: SocketAddr::new(remote, port_of(remote)),
                kind: way.kind,
            })
        };
        let all = theirs.filter(|remote| policy.accepts(*remote)).flat_map(between);
        all.filter(|path| !mobike.refused.contains(path)).collect()
    }

    /// A repeat has gone out, and no answer came to so many transmissions: sends it by other paths too, where it is ours
    /// to find one (§3.10). A responder does so only for what tells of its own addresses (§3.6).
    pub(super) fn probe(&mut self, context: &mut Context<'_>, message: &Outgoing, transmissions: u32) {
        let (Some(mobike), Some(policy)) = (&self.mobike, &self.connection.mobike) else { return };
        let looks = self.origin == Role::Initiator || mobike.wishes.addresses;
        if !looks || transmissions < policy.probe_after || !self.is_established() {
            return;
        }
        let (way, most) = (self.way(), policy.max_probes);
        let others: Vec<_> = self.candidates(context).into_iter().filter(|path| *path != way).collect();
        if others.is_empty() || most == 0 {
            return;
        }
        let from = mobike.probing.unwrap_or_default();
        for path in others.iter().cycle().skip(from % others.len()).take(most.min(others.len())) {
            context.transmit_again(*path, message);
        }
        if let Some(mobike) = self.mobike.as_deref_mut() {
            mobike.probing = Some(from.wrapping_add(most));
        }
    }

    /// The embedder has us move, or moves itself: where we began, another path; `None` where it is in use.
    pub(crate) fn move_at_wish(&mut self, context: &mut Context<'_>, path: Path) -> Result<(), CallError> {
        if !self.is_established() {
            return Err(CallError::NotEstablished);
        }
        if self.mobike.is_none() || self.origin == Role::Responder {
            return Err(CallError::NotMovable);
        }
        if !path.is_consistent() {
            return Err(CallError::BadPath);
        }
        if let Some(mobike) = self.mobike.as_deref_mut() {
            mobike.refused.clear();
        }
        self.head_for(context, path);
        self.pump(context);
        Ok(())
    }

    /// Our addresses are others now.
    pub(crate) fn on_local_addresses(&mut self, context: &mut Context<'_>) {
        let way = self.way();
        let Some(mobike) = self.mobike.as_deref_mut().filter(|_| matches!(self.stage, Stage::Established(_)))
        else {
            return;
        };
        mobike.refused.clear();
        mobike.renew(|wishes| wishes.addresses = true);
        let unknown = way.local_ip().is_unspecified();
        if unknown && self.origin == Role::Initiator {
            // The system chooses the address that we send from: what the peer sees may be another one.
            self.head_for(context, way);
        } else if !unknown && !context.local_addresses.contains(&way.local_ip()) {
            self.leave(context, way);
        }
        self.pump(context);
    }

    /// The address that we send from is gone.
    fn leave(&mut self, context: &mut Context<'_>, way: Path) {
        match self.candidates(context).first().copied() {
            None => {
                let failure = Box::new(AddressFault::NoPath.into());
                context.event(Event::MoveFailed { sa: self.handle, path: way, failure });
            }
            Some(path) if self.origin == Role::Initiator => self.head_for(context, path),
            // The initiator decides, but from there nothing can be sent any more (§3.5, end).
            Some(path) => {
                if let Some(mobike) = self.mobike.as_deref_mut() {
                    mobike.heading = None;
                }
                self.move_to(context, path, self.nat);
                self.resend(context);
            }
        }
    }

    /// What a liveness check asks of NATs, where we are behind one and it may have changed its mapping (§3.8).
    pub(super) fn mapping_notices(&mut self, context: &mut Context<'_>) -> Notices {
        let mut notices = Notices::default();
        let asks = self.mobike.is_some() && self.origin == Role::Initiator && self.nat.local;
        let way = self.way();
        let ends = self.current.exchanges().map(|exchanges| *exchanges.ends());
        if let Some(ends) = ends.filter(|_| asks)
            && let Ok((claim, _)) = self.claim(context, &way, &ends)
        {
            add_detection(&mut notices, &claim);
        }
        notices
    }

    /// What its answer says: where the peer sees us elsewhere than it did, it is asked to send there (§3.8).
    pub(super) fn check_mapping(&mut self, contents: &Contents<'_>) {
        let seen = contents.notify(NotifyType::NAT_DETECTION_DESTINATION_IP).map(|notify| notify.data);
        let (Some(seen), Some(mobike)) = (seen, self.mobike.as_deref_mut()) else { return };
        if self.origin == Role::Initiator && self.nat.local && mobike.mapping.as_deref() != Some(seen) {
            mobike.renew(|wishes| wishes.update = true);
        }
    }
}
