//! The endpoint of any protocol whose SAs begin with IKE_SA_INIT: many SAs behind the five verbs, found by SPI or by
//! handle, with one timer each; admission; a bounded queue of events.

use super::half_open::HalfOpen;
use super::services::{Outbox, Services};
use super::spis::IkeSpis;
use super::table::Table;
use crate::config::EndpointConfig;
use crate::error::{Bound, CallError, Failure, Rejection};
use crate::establish::cookie::CookieJar;
use crate::establish::responder::{InitRequest, Refusal};
use crate::event::{Handled, IkeSaHandle, Transmit};
use crate::exchange::responses::{RequestDigest, ResponseWindow};
use crate::rate::Bucket;
use crate::stats::{Statistics, count};
use crate::trace;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use ikev2_wire::Message;
use ikev2_wire::codes::ExchangeType;
use ipsec_crypto::SecureRandom;
use ipsec_types::{IkeSpi, Instant, Path};

/// What a [`Shell`] must know of an SA.
pub trait Association: fmt::Debug {
    /// The SPIs by which messages reach it: the one that it was made with, and what
    /// [`Services::allocate_ike_spi`] gave since. They are given back when it is over.
    fn local_spis(&self) -> impl Iterator<Item = IkeSpi>;

    /// The IKE_SA_INIT request that it answers, while its initiator has not proved who it is. It counts as half
    /// open for so long.
    fn half_open(&self) -> Option<RequestDigest>;

    /// The octets of the initiator's that it keeps while it is half open: the IKE_SA_INIT request, which AUTH covers,
    /// and what came since and is not whole or not answered.
    fn half_open_octets(&self) -> usize;

    /// Whether a half-open SA gives way to nobody: its initiator has shown that it is there.
    fn keeps_its_place(&self) -> bool {
        false
    }

    /// The peer's requests, where repeats of the IKE_SA_INIT request find their answer.
    fn responses(&self) -> Option<&ResponseWindow>;

    /// When it must be looked at next.
    fn deadline(&self) -> Option<Instant>;

    /// Whether nothing is left to do for it, now or later.
    fn is_over(&self, now: Instant) -> bool;
}

/// A protocol that a [`Shell`] runs, with what its SAs share.
pub trait Protocol: fmt::Debug + Sized {
    /// One SA.
    type Sa: Association;
    /// What the embedder is told.
    type Event: fmt::Debug;

    /// An IKE_SA_INIT request was let in: makes the half-open SA with this SPI, and sends the answer.
    ///
    /// # Errors
    /// [`Refusal`]; its notify is sent within the bounds of the configuration.
    fn respond(
        &mut self,
        services: &mut Services<'_, Self::Event>,
        request: &InitRequest<'_>,
        handle: IkeSaHandle,
        spi: IkeSpi,
    ) -> Result<Self::Sa, Refusal>;

    /// A message names the SPI of this SA; it may be from anyone. `scratch` may be overwritten.
    ///
    /// # Errors
    /// [`Rejection`], and then nothing changed but statistics.
    fn receive(
        &mut self,
        services: &mut Services<'_, Self::Event>,
        sa: &mut Self::Sa,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection>;

    /// The deadline of this SA has come. Afterwards it has a later one, or none, or it is over.
    fn on_timeout(&mut self, services: &mut Services<'_, Self::Event>, sa: &mut Self::Sa);

    /// A half-open SA must make room for another one: it is over, without a word.
    fn make_room(&mut self, services: &mut Services<'_, Self::Event>, sa: &mut Self::Sa);

    /// Another SA takes its place ([`Services::end_other`]).
    fn give_way(&mut self, _services: &mut Services<'_, Self::Event>, _sa: &mut Self::Sa) {}

    /// Whether messages of this exchange belong to no IKE SA: one-way messages.
    fn is_one_way(&self, _exchange: ExchangeType) -> bool {
        false
    }

    /// A one-way message; it may be from anyone. `scratch` may be overwritten.
    ///
    /// # Errors
    /// [`Rejection`], and then nothing changed but statistics.
    fn receive_one_way(
        &mut self,
        _services: &mut Services<'_, Self::Event>,
        _path: Path,
        message: &Message<'_>,
        _scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        Err(Rejection::UnexpectedExchange(message.header().exchange))
    }

    /// When what belongs to no IKE SA must be looked at next.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// That moment has come. Afterwards it is later, or there is none.
    fn on_own_timeout(&mut self, _services: &mut Services<'_, Self::Event>) {}
}

/// One end of any number of SAs of a protocol. The contract of its verbs is on the [crate's first page](crate).
///
/// Of the configuration it uses the bounds, the cookies, the budgets and the hooks. The connections, and what is said of
/// Child SAs, are IKEv2's; other protocols leave them as they are.
pub struct Shell<P: Protocol> {
    pub(super) config: Arc<EndpointConfig>,
    random: Box<dyn SecureRandom>,
    pub(super) state: State<P>,
    pub(super) statistics: Statistics,
    pub(super) scratch: Vec<u8>,
}

/// Everything that a rejected datagram must leave as it was.
#[derive(Debug)]
pub(super) struct State<P: Protocol> {
    pub(super) now: Instant,
    pub(super) sas: Table<P::Sa>,
    pub(super) half_open: HalfOpen,
    cookies: CookieJar,
    pub(super) ike_spis: IkeSpis,
    /// SAs that must give way to one that was just established.
    give_way: Vec<IkeSaHandle>,
    pub(super) protocol: P,
    pub(super) out: Outbox<P::Event>,
    pub(super) errors: Bucket,
    operations: Bucket,
}

/// The part of the state that no SA sees.
pub(super) struct Kept<'a, P: Protocol> {
    pub(super) sas: &'a mut Table<P::Sa>,
    pub(super) half_open: &'a mut HalfOpen,
    pub(super) cookies: &'a mut CookieJar,
}

impl<P: Protocol> fmt::Debug for Shell<P> {
    /// The whole state apart from statistics and the octets of secrets: equal texts mean that nothing changed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.state, f)
    }
}

impl<P: Protocol> Shell<P> {
    /// An endpoint without any SA.
    ///
    /// `random` is the only source of nonces, SPIs, keys and cookies: one that is seeded makes a run repeat to
    /// the octet.
    #[must_use]
    pub fn new(config: Arc<EndpointConfig>, random: Box<dyn SecureRandom>, protocol: P) -> Self {
        let state = State {
            now: Instant::ZERO,
            sas: Table::default(),
            half_open: HalfOpen::default(),
            cookies: CookieJar::new(config.cookie_lifetime),
            ike_spis: IkeSpis::default(),
            give_way: Vec::new(),
            protocol,
            out: Outbox::default(),
            errors: Bucket::default(),
            operations: Bucket::default(),
        };
        Self { config, random, state, statistics: Statistics::default(), scratch: Vec::new() }
    }

    /// The next datagram to send. Poll it until it gives `None` after every other call, and after
    /// [`Shell::poll_event`]: what comes in must be ready before the peer hears of it.
    #[must_use = "a datagram that is not sent is lost until it is repeated"]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.state.out.transmits.pop_front()
    }

    /// The next event. Poll it until it gives `None` after every other call.
    #[must_use = "events carry what must be done"]
    pub fn poll_event(&mut self) -> Option<P::Event> {
        self.state.out.events.pop_front()
    }

    /// When [`Shell::handle_timeout`] must be called next, if nothing else happens before. Any other call may
    /// change it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.state.sas.next_deadline(), self.state.protocol.deadline()].into_iter().flatten().min()
    }

    /// Time has passed. Afterwards [`Shell::poll_timeout`] gives a later moment than `now`, or none.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _call = trace::call("handle_timeout");
        let now = self.advance(now);
        while let Some(handle) = self.state.sas.first_due(now) {
            self.with_sa(handle, P::on_timeout);
        }
        if self.state.protocol.deadline().is_some_and(|at| at <= now) {
            self.with_protocol(P::on_own_timeout);
        }
    }

    /// The statistics so far.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The latest time that it was told.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.state.now
    }

    /// What waits to be polled.
    pub(crate) fn events(&self) -> &VecDeque<P::Event> {
        &self.state.out.events
    }

    /// The configuration in use.
    #[must_use]
    pub fn config(&self) -> &Arc<EndpointConfig> {
        &self.config
    }

    /// Takes another configuration; its bounds hold from now on.
    pub fn set_config(&mut self, config: Arc<EndpointConfig>) {
        self.state.cookies.set_lifetime(config.cookie_lifetime);
        self.config = config;
    }

    /// What the SAs share.
    #[must_use]
    pub fn protocol(&self) -> &P {
        &self.state.protocol
    }

    /// All SAs, those that linger included.
    pub fn sas(&self) -> impl Iterator<Item = (IkeSaHandle, &P::Sa)> {
        self.state.sas.iter()
    }

    /// One SA.
    #[must_use]
    pub fn sa(&self, handle: IkeSaHandle) -> Option<&P::Sa> {
        self.state.sas.get(handle)
    }

    /// How often any SA was looked at or changed, whatever for: what calls cost, without a clock.
    #[must_use]
    pub fn sas_visited(&self) -> u64 {
        self.state.sas.visits()
    }

    /// How many SAs wait for their initiator to authenticate.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.state.half_open.len()
    }

    /// A clock that goes back is an error of the embedder's, and does no harm: the latest time counts. Gives it.
    pub fn advance(&mut self, now: Instant) -> Instant {
        if now < self.state.now {
            count(&mut self.statistics.clock_went_back);
        }
        self.state.now = self.state.now.max(now);
        self.state.now
    }

    /// Whether there is room for what a call may make the embedder be told.
    ///
    /// # Errors
    /// [`CallError::Limit`].
    pub fn check_events(&self) -> Result<(), CallError> {
        if self.state.out.is_full(&self.config) {
            return Err(CallError::Limit(Bound::Events));
        }
        Ok(())
    }

    /// Makes an SA with an SPI that none of ours has; as a rule it sends its first message.
    ///
    /// # Errors
    /// [`CallError::Limit`], [`CallError::Failed`] where the generator fails, and whatever `make` says.
    pub fn initiate<E: From<CallError>>(
        &mut self,
        make: impl FnOnce(&mut P, &mut Services<'_, P::Event>, IkeSaHandle, IkeSpi) -> Result<P::Sa, E>,
    ) -> Result<IkeSaHandle, E> {
        self.check_room()?;
        let (protocol, mut services, kept) = self.lend();
        let handle = kept.sas.next_handle();
        let spi = services.allocate_ike_spi(handle);
        let spi = spi.map_err(|error| CallError::from(Failure::from(error)))?;
        let sa = make(protocol, &mut services, handle, spi);
        let sa = sa.inspect_err(|_| services.release_ike_spi(spi))?;
        kept.sas.insert(sa);
        self.with_sa(handle, |_, _, _| {});
        Ok(handle)
    }

    /// Takes in an SA that was made elsewhere, whose SPIs `make` [claims](Services::claim_ike_spi).
    ///
    /// # Errors
    /// [`CallError::Limit`], and whatever `make` says.
    pub fn adopt<E: From<CallError>>(
        &mut self,
        make: impl FnOnce(&mut P, &mut Services<'_, P::Event>, IkeSaHandle) -> Result<P::Sa, E>,
    ) -> Result<IkeSaHandle, E> {
        self.check_room()?;
        let (protocol, mut services, kept) = self.lend();
        let handle = kept.sas.next_handle();
        kept.sas.insert(make(protocol, &mut services, handle)?);
        self.with_sa(handle, |_, _, _| {});
        Ok(handle)
    }

    /// Whether there is room for one more SA, and for what it tells.
    fn check_room(&self) -> Result<(), CallError> {
        if self.state.sas.len() >= self.config.max_ike_sas {
            return Err(CallError::Limit(Bound::IkeSas));
        }
        self.check_events()
    }

    /// Lets an SA do something, and keeps the table true to what became of it; `None` where it is gone.
    pub fn with_sa<T>(
        &mut self,
        handle: IkeSaHandle,
        act: impl FnOnce(&mut P, &mut Services<'_, P::Event>, &mut P::Sa) -> T,
    ) -> Option<T> {
        let (protocol, mut services, kept) = self.lend();
        let sa = kept.sas.get_mut(handle)?;
        let was_half_open = sa.half_open();
        services.crowded = was_half_open.and_then(|digest| kept.half_open.crowded(&digest, services.config));
        let result = act(protocol, &mut services, sa);
        let over = sa.is_over(services.now);
        if let Some(digest) = was_half_open {
            if over || sa.half_open().is_none() {
                kept.half_open.remove(&digest);
            } else {
                kept.half_open.weigh(&digest, sa.half_open_octets());
                if sa.keeps_its_place() {
                    kept.half_open.keep(&digest);
                }
            }
        }
        if over {
            for spi in sa.local_spis() {
                services.ike_spis.release(spi);
            }
            kept.sas.remove(handle);
        } else {
            let deadline = sa.deadline();
            kept.sas.set_deadline(handle, deadline);
        }
        while let Some(other) = self.state.give_way.pop() {
            self.with_sa(other, P::give_way);
        }
        Some(result)
    }

    /// Lets the protocol do what belongs to no SA.
    pub fn with_protocol<T>(&mut self, act: impl FnOnce(&mut P, &mut Services<'_, P::Event>) -> T) -> T {
        let (protocol, mut services, _) = self.lend();
        act(protocol, &mut services)
    }

    /// What an SA may touch, and the rest of the state beside it.
    pub(super) fn lend(&mut self) -> (&mut P, Services<'_, P::Event>, Kept<'_, P>) {
        let State { now, sas, half_open, cookies, ike_spis, give_way, protocol, out, operations, .. } =
            &mut self.state;
        let services = Services {
            now: *now,
            config: &self.config,
            random: &mut *self.random,
            statistics: &mut self.statistics,
            out,
            ike_spis,
            give_way,
            operations,
            crowded: None,
        };
        (protocol, services, Kept { sas, half_open, cookies })
    }
}
