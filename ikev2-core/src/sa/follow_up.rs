//! IKE_FOLLOWUP_KE (RFC 9370 §2.2.4): the additional key exchanges after CREATE_CHILD_SA, one after the other, held
//! together by what the responder calls each. What they are for comes into being with the last of them.
//!
//! | we began | the peer began |
//! |---|---|
//! | [`IkeSa::follow_up`], then [`IkeSa::on_follow_up_answer`] for each | [`IkeSa::await_follow_up`], then [`IkeSa::answer_follow_up`] for each |
//!
//! While a series runs, its SA counts as being rekeyed (RFC 7296 §2.25). Where both ends began at once, the nonces of
//! CREATE_CHILD_SA tell whose is left over, and that one is not followed up at all.

use super::child::{AgreedChild, AskedChild, is_fatal, is_of_kem};
use super::context::Context;
use super::intermediate::answer_ke;
use super::rekey_ike::{AgreedIke, AskedIke};
use super::{IkeSa, Purpose, Stage, Task};
use crate::contents::Contents;
use crate::error::Failure;
use crate::establish::half::Half;
use crate::event::{DownReason, Event};
use crate::exchange::exchanges::Request;
use crate::negotiation::AdditionalExchanges;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use ikev2_wire::codes::{ExchangeType, KeMethod, NotifyType, PayloadType};
use ikev2_wire::{KePayload, NotifyPayload, Payload};
use ipsec_types::sa::ChildSaId;
use ipsec_types::{Instant, SecretBytes};

/// How long a responder waits for the next one. RFC 9370 §2.2.4 names 5 to 20 seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the responder calls the exchange that is to follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Link(Vec<u8>);

impl Link {
    pub(crate) fn of(contents: &Contents<'_>) -> Option<Self> {
        contents.notify(NotifyType::ADDITIONAL_KEY_EXCHANGE).map(|notify| Self(notify.data.to_vec()))
    }

    pub(crate) fn notify(&self) -> Payload<'_> {
        Payload::Notify(NotifyPayload::new(NotifyType::ADDITIONAL_KEY_EXCHANGE, &self.0))
    }
}

/// The additional key exchanges of one CREATE_CHILD_SA.
#[derive(Debug)]
struct Series {
    all: AdditionalExchanges,
    secrets: Vec<SecretBytes>,
    link: Link,
}

impl Series {
    fn new(all: AdditionalExchanges, link: Link) -> Self {
        Self { all, secrets: Vec::with_capacity(all.len()), link }
    }

    fn next_method(&self) -> Option<KeMethod> {
        self.all.methods().nth(self.secrets.len())
    }
}

/// What a series is for, without the secrets that it brings.
#[derive(Debug)]
pub(crate) enum Made {
    Child(Box<AgreedChild>),
    Ike(Box<AgreedIke>),
}

impl Made {
    fn additional(&self) -> AdditionalExchanges {
        match self {
            Self::Child(agreed) => agreed.choice.additional,
            Self::Ike(agreed) => agreed.additional(),
        }
    }
}

/// What we asked for.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Child(AskedChild),
    Ike(AskedIke),
}

/// A series that we began.
#[derive(Debug)]
pub(crate) struct FollowUp {
    pub wanted: Wanted,
    made: Made,
    series: Series,
    /// Our half of the key exchange that is out.
    half: Option<Half>,
}

impl FollowUp {
    /// The Child SA that it is for, if it is for one.
    pub(crate) fn child(&self) -> Option<&AskedChild> {
        match &self.wanted {
            Wanted::Child(asked) => Some(asked),
            Wanted::Ike(_) => None,
        }
    }

    /// Gives back what it holds.
    pub(crate) fn forget(&self, context: &mut Context<'_>) {
        match &self.wanted {
            Wanted::Child(asked) => context.release_spi(asked.inbound),
            Wanted::Ike(asked) => context.release_ike_spi(asked.local_spi),
        }
    }
}

/// A series that the peer began.
#[derive(Debug)]
pub(crate) struct PeersSeries {
    made: Made,
    series: Series,
    until: Instant,
    /// Our own attempt at the same came to nothing meanwhile, and is made again if this one does too.
    relieves_ours: bool,
}

impl PeersSeries {
    /// The Child SA that it is for, if it is for one.
    pub(crate) fn child(&self) -> Option<&AgreedChild> {
        match &self.made {
            Made::Child(agreed) => Some(agreed),
            Made::Ike(_) => None,
        }
    }

    fn child_mut(&mut self) -> Option<&mut AgreedChild> {
        match &mut self.made {
            Made::Child(agreed) => Some(agreed),
            Made::Ike(_) => None,
        }
    }

    fn is_of(&self, rekeyed: Option<ChildSaId>) -> bool {
        match (&self.made, rekeyed) {
            (Made::Child(agreed), Some(id)) => agreed.replaces == Some(id),
            (Made::Ike(_), None) => true,
            _ => false,
        }
    }

    /// The lower nonce of its exchange, while our own request for the same is out.
    fn rival_nonce(&self) -> Option<&[u8]> {
        match &self.made {
            Made::Child(agreed) => agreed.rival_nonce.as_deref(),
            Made::Ike(agreed) => agreed.crossed.as_deref(),
        }
    }

    fn forget(&self, context: &mut Context<'_>) {
        match &self.made {
            Made::Child(agreed) => context.release_spi(agreed.inbound()),
            Made::Ike(agreed) => context.release_ike_spi(agreed.local_spi()),
        }
    }
}

/// As initiator.
impl IkeSa {
    /// The peer agreed, and wants these exchanges first. The Child SA is given up where it does not say how to go on.
    pub(super) fn follow_up_child(
        &mut self,
        context: &mut Context<'_>,
        agreed: AgreedChild,
        asked: AskedChild,
        contents: &Contents<'_>,
    ) {
        if let Some(id) = asked.rekeys {
            let lower = agreed.secrets.lower_nonce();
            if self.loses_to_peers(Some(id), &lower) {
                // The peer goes on with its own, and waits for nothing of this one.
                context.release_spi(asked.inbound);
                self.relieve(Some(id));
                self.forget_rivalry(id);
                return;
            }
            self.drop_rivals(context, Some(id));
        }
        match Link::of(contents) {
            Some(link) => self.follow_up(Wanted::Child(asked), Made::Child(Box::new(agreed)), link),
            None => self.fail_child(context, asked, Failure::NoLink, false),
        }
    }

    /// Queues the first of a series.
    pub(super) fn follow_up(&mut self, wanted: Wanted, made: Made, link: Link) {
        let series = Series::new(made.additional(), link);
        self.queue_follow_up(FollowUp { wanted, made, series, half: None });
    }

    /// It goes before all that waits: the peer is patient for some seconds.
    fn queue_follow_up(&mut self, follow_up: FollowUp) {
        self.queue.push_front(Task::FollowUp(Box::new(follow_up)));
    }

    /// Sends the next one of a series; the window has room.
    pub(super) fn begin_follow_up(&mut self, context: &mut Context<'_>, mut follow_up: FollowUp) {
        let sealed = follow_up.series.next_method().ok_or(Failure::NoKeys).and_then(|method| {
            let half = Half::start(context.config.crypto, context.random, method)?;
            let ke = Payload::Ke(KePayload { method, data: half.pending.public() });
            let payloads = [ke, follow_up.series.link.notify()];
            let request = self.seal_request(context, ExchangeType::IKE_FOLLOWUP_KE, &payloads)?;
            drop(payloads);
            Ok((half, request))
        });
        match sealed {
            Ok((half, request)) => {
                follow_up.half = Some(half);
                self.send_request(context, request, Purpose::FollowUp(Box::new(follow_up)));
            }
            Err(failure) => self.fail_follow_up(context, follow_up.wanted, failure, false),
        }
    }

    /// The answer to one of ours.
    pub(super) fn on_follow_up_answer(
        &mut self,
        context: &mut Context<'_>,
        mut follow_up: FollowUp,
        contents: &Contents<'_>,
    ) {
        let last = follow_up.series.secrets.len().saturating_add(1) == follow_up.series.all.len();
        let closing_rekey = last && matches!(follow_up.wanted, Wanted::Ike(_));
        if !self.is_established() && !closing_rekey {
            // The Delete of the IKE SA, which comes next, takes what the peer may have set up with it.
            follow_up.forget(context);
            return;
        }
        if let Err(failure) = read_answer(context, &mut follow_up, contents) {
            let refused = contents.ke.is_none() && contents.error().is_some();
            return self.fail_follow_up(context, follow_up.wanted, failure, !refused);
        }
        if !last {
            return self.queue_follow_up(follow_up);
        }
        let FollowUp { wanted, made, series, .. } = follow_up;
        match (made, wanted) {
            (Made::Child(mut agreed), Wanted::Child(asked)) => {
                agreed.secrets.additional = series.secrets;
                self.conclude_child(context, *agreed, asked);
                if !self.awaits_child() {
                    self.deleted_early.clear();
                }
            }
            (Made::Ike(agreed), Wanted::Ike(asked)) => {
                self.conclude_rekey_ike(context, &agreed, &series.secrets, &asked);
            }
            // What was asked for and what is made are of one kind.
            (Made::Child(_), Wanted::Ike(_)) | (Made::Ike(_), Wanted::Child(_)) => {}
        }
    }

    /// A series of ours ends. Where the peer may have made something of it, that is deleted.
    fn fail_follow_up(
        &mut self,
        context: &mut Context<'_>,
        wanted: Wanted,
        failure: Failure,
        known_to_peer: bool,
    ) {
        match wanted {
            Wanted::Child(asked) if is_of_kem(context, &failure) => {
                context.release_spi(asked.inbound);
                self.end_with_the_peer(context, DownReason::Failed(Box::new(failure)));
            }
            Wanted::Child(asked) => self.fail_child(context, asked, failure, known_to_peer),
            Wanted::Ike(asked) => self.fail_rekey_ike(context, &asked, failure, known_to_peer),
        }
        if !self.awaits_child() {
            self.deleted_early.clear();
        }
    }

    /// The peer began at once with us, and its series is not the one that is left over.
    pub(super) fn loses_to_peers(&self, rekeyed: Option<ChildSaId>, lower: &[u8]) -> bool {
        let of_series = self.peers_series.iter().filter(|series| series.is_of(rekeyed));
        let of_series = of_series.filter_map(PeersSeries::rival_nonce);
        let installed = rekeyed.into_iter().flat_map(|id| self.rivals(id)).map(|(_, nonce)| nonce);
        let mut rivals = of_series.chain(installed).peekable();
        rivals.peek().is_some() && rivals.all(|rival| lower < rival)
    }

    /// The peer's series is left over: it is not followed up.
    pub(super) fn drop_rivals(&mut self, context: &mut Context<'_>, rekeyed: Option<ChildSaId>) {
        self.peers_series.retain(|series| {
            let rival = series.is_of(rekeyed) && series.rival_nonce().is_some();
            if rival {
                series.forget(context);
            }
            !rival
        });
    }

    /// Ours came to nothing while the peer's runs. Gives whether one does.
    pub(super) fn relieve(&mut self, rekeyed: Option<ChildSaId>) -> bool {
        let mut relieved = false;
        for series in self.peers_series.iter_mut().filter(|series| series.is_of(rekeyed)) {
            series.relieves_ours = true;
            match &mut series.made {
                Made::Child(agreed) => agreed.rival_nonce = None,
                Made::Ike(agreed) => agreed.crossed = None,
            }
            relieved = true;
        }
        relieved
    }
}

/// The secret that an answer brings, and how to go on.
fn read_answer(
    context: &mut Context<'_>,
    follow_up: &mut FollowUp,
    contents: &Contents<'_>,
) -> Result<(), Failure> {
    if let (Some(error), None) = (contents.error(), &contents.ke) {
        return Err(Failure::Refused { notify: error.ty });
    }
    let ke = contents.ke.as_ref().ok_or(Failure::MissingPayload(PayloadType::KE))?;
    let wanted = follow_up.series.next_method();
    let half = follow_up.half.take().filter(|half| half.method == ke.method);
    let half = half.ok_or(Failure::AdditionalKe { got: ke.method, wanted })?;
    follow_up.series.secrets.push(context.finish(&half, ke.data)?);
    if follow_up.series.next_method().is_some() {
        follow_up.series.link = Link::of(contents).ok_or(Failure::NoLink)?;
    }
    Ok(())
}

/// As responder.
impl IkeSa {
    /// What we call the first of these exchanges; `None` where there are none.
    pub(super) fn next_link(&mut self, additional: AdditionalExchanges) -> Option<Link> {
        (!additional.is_empty()).then(|| {
            self.links = self.links.wrapping_add(1);
            Link(self.links.to_be_bytes().to_vec())
        })
    }

    /// Waits for the series to what was answered.
    pub(super) fn await_follow_up(&mut self, context: &Context<'_>, made: Made, link: Link) {
        let series = Series::new(made.additional(), link);
        let until = context.now + PATIENCE;
        self.peers_series.push(PeersSeries { made, series, until, relieves_ours: false });
    }

    /// Whether the peer's rekey of the IKE SA waits for exchanges of its series.
    pub(super) fn peer_rekeys_ike(&self) -> bool {
        self.peers_series.iter().any(|series| series.is_of(None))
    }

    /// The same for a rekey of this Child SA.
    pub(super) fn peer_rekeys_child(&self, id: ChildSaId) -> bool {
        self.peers_series.iter().any(|series| series.is_of(Some(id)))
    }

    /// A request of the peer's. What it names nothing of is answered with STATE_NOT_FOUND and changes nothing.
    pub(super) fn answer_follow_up(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        contents: &Contents<'_>,
    ) {
        let link = Link::of(contents);
        let at = self.peers_series.iter().position(|series| Some(&series.series.link) == link.as_ref());
        let Some(at) = at.filter(|_| self.is_established()) else {
            return self.answer_with(context, request, &Failure::StateNotFound);
        };
        let mut series = self.peers_series.swap_remove(at);
        if let Err(failure) = self.try_answer_follow_up(context, request, contents, &mut series) {
            series.forget(context);
            if is_fatal(&failure) {
                return self.refuse_request(context, request, failure);
            }
            self.answer_with(context, request, &failure);
            return self.tell_series_failed(context, &series, failure);
        }
        if series.series.next_method().is_some() {
            self.peers_series.push(series);
        } else {
            self.conclude_peers(context, series);
        }
    }

    fn try_answer_follow_up(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        contents: &Contents<'_>,
        peers: &mut PeersSeries,
    ) -> Result<(), Failure> {
        let ke = contents.ke.as_ref().ok_or(Failure::MissingPayload(PayloadType::KE))?;
        let (method, response) = answer_ke(context, peers.series.next_method(), ke)?;
        peers.series.secrets.push(response.secret);
        let more = peers.series.next_method().is_some();
        let link = if more { self.next_link(peers.series.all) } else { None };
        let mut payloads = Vec::with_capacity(2);
        payloads.push(Payload::Ke(KePayload { method, data: &response.public }));
        payloads.extend(link.as_ref().map(Link::notify));
        self.send_answer(context, request, &payloads)?;
        drop(payloads);
        if let Some(link) = link {
            peers.series.link = link;
        }
        peers.until = context.now + PATIENCE;
        Ok(())
    }

    fn conclude_peers(&mut self, context: &mut Context<'_>, peers: PeersSeries) {
        let PeersSeries { made, series, .. } = peers;
        match made {
            Made::Child(mut agreed) => {
                agreed.secrets.additional = series.secrets;
                let (id, inbound, policy) = (agreed.id, agreed.inbound(), agreed.config.policy);
                let old = agreed.replaces;
                agreed.replaces = old.filter(|old| self.child(*old).is_some());
                let early = self.deleted_early.contains(&agreed.choice.peer_spi);
                let installed =
                    if early { Err(Failure::DeletedEarly) } else { self.install(context, *agreed) };
                if let Err(failure) = installed {
                    context.release_spi(inbound);
                    return self.tell_child_failed(context, Some(policy), failure);
                }
                let unwanted =
                    |old| self.child(old).is_some_and(|c| c.deleting == Some(DownReason::Requested));
                if old.is_some_and(unwanted) {
                    self.start_deleting(id, DownReason::Requested);
                }
            }
            Made::Ike(agreed) => self.conclude_peers_rekey(context, *agreed, &series.secrets),
        }
    }

    /// When the first of the peer's series is given up.
    pub(super) fn peers_series_deadline(&self) -> Option<Instant> {
        self.peers_series.iter().map(|series| series.until).min()
    }

    /// Gives up the series that the peer does not go on with.
    pub(super) fn expire_peers_series(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        let mut over = Vec::new();
        while let Some(at) = self.peers_series.iter().position(|series| series.until <= now) {
            over.push(self.peers_series.swap_remove(at));
        }
        for series in &over {
            series.forget(context);
            let failure = Failure::Timeout { exchange: ExchangeType::IKE_FOLLOWUP_KE, hint: None };
            self.tell_series_failed(context, series, failure);
        }
        if !over.is_empty() {
            self.pump(context);
        }
    }

    /// Tells of a series of the peer's that came to nothing. Ours, which it stood for, is made again.
    fn tell_series_failed(&mut self, context: &mut Context<'_>, series: &PeersSeries, failure: Failure) {
        let again = match &series.made {
            Made::Child(agreed) => {
                self.tell_child_failed(context, Some(agreed.config.policy), failure);
                agreed.replaces.map(|id| Task::RekeyChild { id, tries: 0 })
            }
            Made::Ike(_) => {
                let (sa, failure) = (self.handle, Box::new(failure));
                context.event(Event::IkeRekeyFailed { sa, failure });
                Some(Task::RekeyIke { tries: 0 })
            }
        };
        self.queue.extend(again.filter(|_| series.relieves_ours));
    }

    /// The IKE SA ends, or its keys are others: nothing comes of the peer's series.
    pub(super) fn drop_peers_series(&mut self, context: &mut Context<'_>) {
        for series in core::mem::take(&mut self.peers_series) {
            series.forget(context);
        }
    }

    /// The same of what waits of ours.
    pub(super) fn drop_follow_ups(&mut self, context: &mut Context<'_>) {
        for task in &self.queue {
            if let Task::FollowUp(follow_up) = task {
                follow_up.forget(context);
            }
        }
        self.queue.retain(|task| !matches!(task, Task::FollowUp(_)));
    }

    /// A rekey that we asked for, or that we gave up, decides nothing any more about the peer's.
    pub(super) fn forget_rival_series(&mut self, id: ChildSaId) {
        for series in self.peers_series.iter_mut().filter(|series| series.is_of(Some(id))) {
            if let Some(agreed) = series.child_mut() {
                agreed.rival_nonce = None;
            }
        }
    }

    /// The series of ours that wait for the window.
    pub(super) fn waiting_follow_ups(&self) -> impl Iterator<Item = &FollowUp> {
        self.queue.iter().filter_map(|task| match task {
            Task::FollowUp(follow_up) => Some(&**follow_up),
            _ => None,
        })
    }

    /// Whether it stands in a stage in which it can be rekeyed by a series of ours.
    pub(super) fn has_keys(&self) -> bool {
        matches!(self.stage, Stage::Established(_) | Stage::Closing(_))
    }
}
