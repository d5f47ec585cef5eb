//! Layer 3: the endpoint. Many IKE SAs behind the five verbs: demultiplexing by SPI, admission, timers.

mod admission;
mod calls;
mod half_open;
mod incoming;
mod lifecycle;
mod policies;
mod services;
pub(crate) mod spis;
mod table;

pub use services::Services;

use crate::config::EndpointConfig;
use crate::connections::ConnectionIndex;
use crate::establish::cookie::CookieJar;
use crate::event::{ChildSaInfo, Event, IkeSaHandle, IkeSaInfo, Transmit};
use crate::rate::Bucket;
use crate::sa::IkeSa;
use crate::sa::child::Child;
use crate::sa::context::{ChildNames, Context};
use crate::sa::peers::Peers;
use crate::stats::{Statistics, count};
use crate::trace;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use half_open::HalfOpen;
use ipsec_crypto::SecureRandom;
use ipsec_types::Instant;
use lifecycle::{Lives, Note};
use policies::Policies;
use services::Outbox;
use spis::IkeSpis;
use table::Table;

/// One end of any number of IKE SAs, as a pure state machine. The contract is on the [crate's first
/// page](crate).
pub struct Endpoint {
    config: Arc<EndpointConfig>,
    connections: ConnectionIndex,
    random: Box<dyn SecureRandom>,
    state: State,
    statistics: Statistics,
    scratch: Vec<u8>,
}

/// Everything that a rejected datagram must leave as it was.
#[derive(Debug)]
struct State {
    now: Instant,
    sas: Table<IkeSa>,
    half_open: HalfOpen,
    /// The established IKE SAs by the policies that they serve.
    policies: Policies,
    cookies: CookieJar,
    names: ChildNames,
    ike_spis: IkeSpis,
    peers: Peers,
    /// IKE SAs that must give way to one that was just established.
    give_way: Vec<IkeSaHandle>,
    out: Outbox<Event>,
    lives: Lives,
    errors: Bucket,
    operations: Bucket,
}

/// The part of the state that no IKE SA sees.
struct Kept<'a> {
    sas: &'a mut Table<IkeSa>,
    half_open: &'a mut HalfOpen,
    policies: &'a mut Policies,
    cookies: &'a mut CookieJar,
}

impl fmt::Debug for Endpoint {
    /// The whole state apart from statistics and the octets of secrets: equal texts mean that nothing changed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.state, f)
    }
}

impl Endpoint {
    /// An endpoint without any IKE SA.
    ///
    /// `random` is the only source of nonces, SPIs, keys and cookies: one that is seeded makes a run repeat to
    /// the octet.
    #[must_use]
    pub fn new(config: Arc<EndpointConfig>, random: Box<dyn SecureRandom>) -> Self {
        let state = State {
            now: Instant::ZERO,
            sas: Table::default(),
            half_open: HalfOpen::default(),
            policies: Policies::default(),
            cookies: CookieJar::new(config.cookie_lifetime),
            names: ChildNames::default(),
            ike_spis: IkeSpis::default(),
            peers: Peers::default(),
            give_way: Vec::new(),
            out: Outbox::default(),
            lives: Lives::default(),
            errors: Bucket::default(),
            operations: Bucket::default(),
        };
        let connections = ConnectionIndex::new(&config.connections);
        let statistics = Statistics::default();
        Self { config, connections, random, state, statistics, scratch: Vec::new() }
    }

    /// The next datagram to send. Poll it until it gives `None` after every other call, and after
    /// [`Endpoint::poll_event`]: the data path must be ready before the peer hears of it.
    #[must_use = "a datagram that is not sent is lost until it is repeated"]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.state.out.transmits.pop_front()
    }

    /// The next event. Poll it until it gives `None` after every other call.
    #[must_use = "events carry the commands for the data path"]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.state.out.events.pop_front()
    }

    /// When [`Endpoint::handle_timeout`] must be called next, if nothing else happens before. Any other call
    /// may change it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.state.sas.next_deadline(), self.state.lives.next_deadline()].into_iter().flatten().min()
    }

    /// Time has passed. Afterwards [`Endpoint::poll_timeout`] gives a later moment than `now`, or none.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _call = trace::call("handle_timeout");
        let now = self.advance(now);
        while let Some(handle) = self.state.sas.first_due(now) {
            self.with_sa(handle, |sa, context| sa.on_timeout(context));
        }
        self.run_lives();
    }

    /// The statistics so far.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The IKE SAs that have not ended, half-open ones included.
    pub fn ike_sas(&self) -> impl Iterator<Item = (IkeSaHandle, IkeSaInfo)> {
        let live = self.state.sas.iter().filter(|(_, sa)| !sa.has_ended());
        live.map(|(handle, sa)| (handle, sa.info()))
    }

    /// How often any IKE SA was looked at or changed, whatever for: what calls cost, without a clock.
    /// [`Endpoint::poll_timeout`] looks at none, [`Endpoint::handle_timeout`] at those that are due, a datagram at the
    /// one that it is for.
    #[must_use]
    pub fn ike_sas_visited(&self) -> u64 {
        self.state.sas.visits()
    }

    /// One IKE SA, if it has not ended.
    #[must_use]
    pub fn ike_sa(&self, handle: IkeSaHandle) -> Option<IkeSaInfo> {
        self.state.sas.get(handle).filter(|sa| !sa.has_ended()).map(IkeSa::info)
    }

    /// The Child SAs of an IKE SA.
    pub fn child_sas(&self, handle: IkeSaHandle) -> impl Iterator<Item = ChildSaInfo> {
        let children = self.state.sas.get(handle).map_or(&[][..], |sa| &sa.children);
        children.iter().map(Child::info)
    }

    /// Takes another configuration. IKE SAs that live keep the connection that they were made for; bounds and
    /// everything else hold from now on. After [`Endpoint::start`], new connections that begin at once do so with the
    /// next call of [`Endpoint::handle_timeout`], which is due then.
    pub fn set_config(&mut self, config: Arc<EndpointConfig>) {
        self.state.cookies.set_lifetime(config.cookie_lifetime);
        self.connections = ConnectionIndex::new(&config.connections);
        self.config = config;
        self.follow_config();
    }

    /// How many IKE SAs wait for IKE_AUTH.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.state.half_open.len()
    }

    /// A clock that goes back is an error of the embedder's, and does no harm: the latest time counts.
    fn advance(&mut self, now: Instant) -> Instant {
        if now < self.state.now {
            count(&mut self.statistics.clock_went_back);
        }
        self.state.now = self.state.now.max(now);
        self.state.now
    }

    /// Lets an IKE SA do something, and keeps the table true to what became of it.
    fn with_sa<T>(
        &mut self,
        handle: IkeSaHandle,
        act: impl FnOnce(&mut IkeSa, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let (mut context, kept) = self.lend();
        let sa = kept.sas.get_mut(handle)?;
        let _sa = trace::ike_sa(sa);
        let told = context.out.events.len();
        let (was_half_open, was_established) = (sa.init_digest(), sa.is_established());
        let result = act(sa, &mut context);
        if let Some(digest) = was_half_open {
            if sa.init_digest().is_none() {
                kept.half_open.remove(&digest);
            } else if sa.suspended.is_some() {
                kept.half_open.keep(&digest);
            }
        }
        if sa.is_established() != was_established {
            kept.policies.set(handle, &sa.connection.children, !was_established);
        }
        let (over, deadline) = (sa.is_over(context.now), sa.deadline());
        if over {
            sa.release_spis(&mut context);
            kept.sas.remove(handle);
        } else {
            kept.sas.set_deadline(handle, deadline);
        }
        let notes: Vec<_> = self.state.out.events.range(told..).filter_map(Note::of).collect();
        for note in notes {
            self.note(note);
        }
        while let Some(other) = self.state.give_way.pop() {
            self.with_sa(other, IkeSa::give_way);
        }
        Some(result)
    }

    /// What an IKE SA may touch, and the rest of the state beside it.
    fn lend(&mut self) -> (Context<'_>, Kept<'_>) {
        let State {
            now,
            sas,
            half_open,
            policies,
            cookies,
            names,
            ike_spis,
            peers,
            give_way,
            out,
            operations,
            ..
        } = &mut self.state;
        let services = Services {
            now: *now,
            config: &self.config,
            random: &mut *self.random,
            statistics: &mut self.statistics,
            out,
            ike_spis,
            give_way,
            operations,
        };
        let context = Context { services, connections: &self.connections, names, peers };
        (context, Kept { sas, half_open, policies, cookies })
    }
}
