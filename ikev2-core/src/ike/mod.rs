//! The endpoint of IKEv2: many IKE SAs on the [shell](crate::endpoint) of any protocol, with what belongs to
//! connections.
//!
//! | module | what it does |
//! |---|---|
//! | [`protocol`] | what the shell asks of IKEv2, and what its IKE SAs share |
//! | [`policies`] | which IKE SAs serve a policy |
//! | [`calls`] | what an embedder asks for |
//! | [`reauthenticate`] | IKE SAs that take the place of others |
//! | [`lifecycle`] | what begins by itself, and begins again |
//! | [`moving`] | IKE SAs that go on in another endpoint |

mod calls;
mod lifecycle;
mod moving;
mod policies;
mod protocol;
mod reauthenticate;

use crate::config::EndpointConfig;
use crate::endpoint::Shell;
use crate::error::Rejection;
use crate::event::{ChildSaInfo, Event, Handled, IkeSaHandle, IkeSaInfo, Transmit};
use crate::sa::IkeSa;
use crate::sa::child::Child;
use crate::sa::context::Context;
use crate::stats::Statistics;
use crate::trace;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use ipsec_crypto::SecureRandom;
use ipsec_types::{Instant, Path};
use lifecycle::{Lives, Note};
use moving::Imports;
use protocol::Ike;
use reauthenticate::Renewals;

/// One end of any number of IKE SAs, as a pure state machine. The contract is on the [crate's first
/// page](crate).
pub struct Endpoint {
    shell: Shell<Ike>,
    lives: Lives,
    renewals: Renewals,
    imports: Imports,
}

impl fmt::Debug for Endpoint {
    /// The whole state apart from statistics and the octets of secrets: equal texts mean that nothing changed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("shell", &self.shell)
            .field("lives", &self.lives)
            .field("renewals", &self.renewals)
            .field("imports", &self.imports)
            .finish()
    }
}

impl Endpoint {
    /// An endpoint without any IKE SA.
    ///
    /// `random` is the only source of nonces, SPIs, keys and cookies: one that is seeded makes a run repeat to
    /// the octet.
    #[must_use]
    pub fn new(config: Arc<EndpointConfig>, random: Box<dyn SecureRandom>) -> Self {
        let ike = Ike::new(&config);
        Self {
            shell: Shell::new(config, random, ike),
            lives: Lives::default(),
            renewals: Renewals::default(),
            imports: Imports::default(),
        }
    }

    /// A datagram came in. On a NAT-T path it begins with the non-ESP marker, or it is a keepalive; ESP is the
    /// data path's ([`ipsec_types::udp::classify`] tells).
    ///
    /// # Errors
    /// [`Rejection`] says why it was dropped, or answered outside any IKE SA. Nothing changed then but
    /// statistics, and what the answer itself is.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
    ) -> Result<Handled, Rejection> {
        self.follow(|shell| shell.handle_datagram(now, path, datagram))
    }

    /// The next datagram to send. Poll it until it gives `None` after every other call, and after
    /// [`Endpoint::poll_event`]: the data path must be ready before the peer hears of it.
    #[must_use = "a datagram that is not sent is lost until it is repeated"]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.shell.poll_transmit()
    }

    /// The next event. Poll it until it gives `None` after every other call.
    #[must_use = "events carry the commands for the data path"]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.shell.poll_event()
    }

    /// When [`Endpoint::handle_timeout`] must be called next, if nothing else happens before. Any other call
    /// may change it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.shell.poll_timeout(), self.lives.next_deadline()].into_iter().flatten().min()
    }

    /// Time has passed. Afterwards [`Endpoint::poll_timeout`] gives a later moment than `now`, or none.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.follow(|shell| shell.handle_timeout(now));
        let _call = trace::call("handle_timeout");
        self.run_lives();
    }

    /// The statistics so far.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        self.shell.statistics()
    }

    /// The IKE SAs that have not ended, half-open ones included.
    pub fn ike_sas(&self) -> impl Iterator<Item = (IkeSaHandle, IkeSaInfo)> {
        let live = self.shell.sas().filter(|(_, sa)| !sa.has_ended());
        live.map(|(handle, sa)| (handle, sa.info()))
    }

    /// How often any IKE SA was looked at or changed, whatever for: what calls cost, without a clock.
    /// [`Endpoint::poll_timeout`] looks at none, [`Endpoint::handle_timeout`] at those that are due, a datagram at the
    /// one that it is for.
    #[must_use]
    pub fn ike_sas_visited(&self) -> u64 {
        self.shell.sas_visited()
    }

    /// One IKE SA, if it has not ended.
    #[must_use]
    pub fn ike_sa(&self, handle: IkeSaHandle) -> Option<IkeSaInfo> {
        self.shell.sa(handle).filter(|sa| !sa.has_ended()).map(IkeSa::info)
    }

    /// The Child SAs of an IKE SA.
    pub fn child_sas(&self, handle: IkeSaHandle) -> impl Iterator<Item = ChildSaInfo> {
        let children = self.shell.sa(handle).map_or(&[][..], |sa| &sa.children);
        children.iter().map(Child::info)
    }

    /// The configuration in use.
    #[must_use]
    pub fn config(&self) -> &Arc<EndpointConfig> {
        self.shell.config()
    }

    /// Takes another configuration. IKE SAs that live keep the connection that they were made for; bounds and
    /// everything else hold from now on. After [`Endpoint::start`], new connections that begin at once do so with the
    /// next call of [`Endpoint::handle_timeout`], which is due then.
    pub fn set_config(&mut self, config: Arc<EndpointConfig>) {
        self.shell.with_protocol(|ike, _| ike.set_connections(&config.connections));
        self.shell.set_config(config);
        self.follow_config();
    }

    /// How many IKE SAs wait for IKE_AUTH.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.shell.half_open()
    }

    /// Lets the IKE SAs do something, and does what follows from what they tell.
    fn follow<T>(&mut self, act: impl FnOnce(&mut Shell<Ike>) -> T) -> T {
        let told = self.shell.events().len();
        let result = act(&mut self.shell);
        let notes: Vec<_> = self.shell.events().range(told..).filter_map(Note::of).collect();
        for note in notes {
            self.follow_renewal(&note);
            self.note(note);
        }
        result
    }

    /// Lets an IKE SA do something; `None` where it is gone.
    fn with_sa<T>(
        &mut self,
        handle: IkeSaHandle,
        act: impl FnOnce(&mut IkeSa, &mut Context<'_>) -> T,
    ) -> Option<T> {
        self.follow(|shell| shell.with_sa(handle, |ike, services, sa| ike.lend(services, sa, act)))
    }
}
