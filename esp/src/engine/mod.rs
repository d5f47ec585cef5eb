//! Many SAs behind one door: commands in, reports out, packets through.
//!
//! The engine finds the inbound SA of a packet by its SPI (RFC 4301 §4.1) and the outbound SA of a packet by
//! its policy ([`Engine::set_policy`]) and the selectors of those that carry traffic, the newest first. It knows
//! nothing of IKE beyond [`SaCommand`] and [`SaReport`].

mod acquires;
mod flows;
mod lingering;
mod policy;
mod reports;
mod routes;
mod table;

pub use self::reports::ReportConfig;

use self::flows::Route;
use self::lingering::{Lingerer, Lingering};
use self::policy::{NoSa, Policy};
use self::reports::{Limiter, Reports};
use self::table::{Armed, SaMap, Slot, Slots, TimerKey, Timers};
use crate::buffer::PacketBuf;
use crate::config::{InboundConfig, OutboundConfig};
use crate::ecn::Ecn;
use crate::error::{CommandError, OpenError, SealError};
use crate::icmp::TooBigNotice;
use crate::inbound::{Authentic, InboundSa, Opened, esp_in, unknown_spi};
use crate::ip::IpHeader;
use crate::lifetime::LifetimeEvent;
use crate::outbound::{OutboundSa, Sealed};
use crate::outer::OuterPacket;
use crate::packet::{ESP_HEADER, EspHeader, LayoutError};
use crate::restore::Front;
use crate::spd::{Action, Spd};
use crate::statistics::Statistics;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use ipsec_crypto::CryptoProvider;
use ipsec_types::sa::{ChildSaId, Direction, SaInstall};
use ipsec_types::{Encapsulation, EspSpi, Instant, Path, PathKind, SaCommand, SaReport, SecretBytes};

/// What an engine is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EngineConfig {
    /// How every outbound SA makes its packets.
    pub outbound: OutboundConfig,
    /// How every inbound SA judges packets.
    pub inbound: InboundConfig,
    /// The most SAs in one direction; default 4,096. An SA takes about 2 KiB with its expanded keys, and an
    /// inbound one its window: 128 octets by default, at most 8 KiB.
    pub max_sas: usize,
    /// What is told upwards, and how often.
    pub reports: ReportConfig,
    /// Flows whose policy is remembered, rounded up to a power of two; default 1,024, about 100 octets each, taken
    /// when the engine is made. 0 for none: then every packet is held against the whole policy.
    pub flow_cache: usize,
    /// Octets of the longest packet that an SA's numbers are looked for with ([`InboundConfig::resync`]); default
    /// 2,048, taken when the engine is made. 0 for none.
    pub resync_buffer: usize,
    /// How long the inbound SA of a pair still receives after [`SaCommand::Remove`], where another pair has taken its
    /// place ([`SaCommand::SwitchOutbound`]) and is there: a packet that the peer sent before its Delete may be read
    /// after it, since ESP and IKE come by different sockets. Default: 5 s; zero for not at all.
    ///
    /// It tells nothing more upwards, and its hard lifetime holds. It counts for [`EngineConfig::max_sas`], and gives
    /// way to an SA that needs its room or its SPI. A pair without a successor ends at once, and so does what lingers
    /// when its successor ends without one.
    pub linger: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            outbound: OutboundConfig::default(),
            inbound: InboundConfig::default(),
            max_sas: 4_096,
            reports: ReportConfig::default(),
            flow_cache: 1_024,
            resync_buffer: 2_048,
            linger: Duration::from_secs(5),
        }
    }
}

/// How a received ESP packet came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// From where to where; without UDP the ports mean nothing.
    pub path: Path,
    /// In UDP or not.
    pub encapsulation: Encapsulation,
    /// The ECN field of the outer header, where it is known.
    pub ecn: Option<Ecn>,
}

impl Arrival {
    /// In a UDP datagram over this path.
    #[must_use]
    pub const fn udp(path: Path) -> Self {
        Self { path, encapsulation: Encapsulation::Udp, ecn: None }
    }

    /// As IP protocol 50 between these addresses.
    #[must_use]
    pub const fn raw(local: IpAddr, remote: IpAddr) -> Self {
        let path = Path {
            local: SocketAddr::new(local, 0),
            remote: SocketAddr::new(remote, 0),
            kind: PathKind::NatT,
        };
        Self { path, encapsulation: Encapsulation::None, ecn: None }
    }

    /// With this ECN field in the outer header.
    #[must_use]
    pub const fn with_ecn(self, ecn: Ecn) -> Self {
        Self { ecn: Some(ecn), ..self }
    }

    /// What is known of the header of a packet that came without it, by an SA of this path.
    const fn front(&self, path: &Path) -> Front {
        let (remote, local) = (self.path.remote.ip(), self.path.local.ip());
        let destination = if local.is_unspecified() { path.local.ip() } else { local };
        Front { source: remote, destination, ecn: self.ecn, in_place: None }
    }
}

/// A packet that an engine sealed, and where it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The pair whose SA carries it.
    pub child: ChildSaId,
    /// From where to where.
    pub path: Path,
    /// In UDP or not.
    pub encapsulation: Encapsulation,
    /// Its number and its outer fields.
    pub sealed: Sealed,
}

/// What policy made of a packet to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sending {
    /// It was sealed.
    Protected(Outgoing),
    /// It is to be sent as it is: nothing was changed.
    Bypass(IpHeader),
}

/// A packet that an engine opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Incoming {
    /// The pair whose SA carried it.
    pub child: ChildSaId,
    /// What it was.
    pub opened: Opened,
}

/// What an engine has carried and dropped in each direction.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct EngineStatistics {
    /// Received.
    pub inbound: Statistics,
    /// Sent.
    pub outbound: Statistics,
}

/// An inbound SA and what the engine remembers of its peer.
#[derive(Debug)]
struct Inbound {
    id: ChildSaId,
    sa: InboundSa,
    /// Where the peer is, as IKE said last.
    path: Path,
    encapsulation: Encapsulation,
    /// The address that was reported as the peer's new one since then.
    moved_to: Option<SocketAddr>,
    /// When the next packet is to be reported.
    tell_at: Instant,
    /// The pair that took its place.
    heir: Option<ChildSaId>,
    /// It lingers: nothing more is told of it.
    removed: bool,
    armed: Armed,
}

/// An outbound SA with its timers.
#[derive(Debug)]
struct Outbound {
    id: ChildSaId,
    sa: OutboundSa,
    armed: Armed,
}

/// How often, on average and at once, an ICMP error is held against all SAs.
const ICMP_INTERVAL: Duration = Duration::from_millis(100);
const ICMP_BURST: u32 = 10;

/// All SAs of a host or gateway. See the crate's first page for the order of the calls.
pub struct Engine {
    provider: CryptoProvider,
    config: EngineConfig,
    inbound: SaMap<EspSpi, Box<Inbound>>,
    /// Without those that linger.
    inbound_of: SaMap<ChildSaId, EspSpi>,
    lingering: Lingering,
    outbound: Slots<Outbound>,
    policy: Policy,
    timers: Timers,
    reports: Reports,
    /// What is heard of routers, which anybody can pretend to be.
    icmp: Limiter,
    /// For packets that are tried several times.
    scratch: SecretBytes,
    /// The latest time that any call told.
    now: Instant,
    clock_regressions: u64,
    /// Of packets without an SA, and of SAs that were removed.
    statistics: EngineStatistics,
}

impl Engine {
    /// An engine without SAs.
    #[must_use]
    pub fn new(provider: &CryptoProvider, config: EngineConfig) -> Self {
        Self {
            provider: *provider,
            config,
            inbound: SaMap::default(),
            inbound_of: SaMap::default(),
            lingering: Lingering::default(),
            outbound: Slots::default(),
            policy: Policy::new(config.flow_cache),
            timers: Timers::default(),
            reports: Reports::new(config.reports),
            icmp: Limiter::new(ICMP_BURST),
            scratch: SecretBytes::zeroed(config.resync_buffer),
            now: Instant::ZERO,
            clock_regressions: 0,
            statistics: EngineStatistics::default(),
        }
    }

    /// Carries out a command. Commands must come in the order in which they were given.
    ///
    /// # Errors
    /// [`CommandError`], and then nothing has changed.
    pub fn apply(&mut self, now: Instant, command: SaCommand) -> Result<(), CommandError> {
        let now = self.clock(now);
        match command {
            SaCommand::InstallInbound(install) => self.install_inbound(now, *install),
            SaCommand::InstallOutbound(install) => self.install_outbound(now, *install),
            SaCommand::SwitchOutbound { from, to } => self.switch(from, to),
            SaCommand::Move { id, path, encapsulation } => self.relocate(id, path, encapsulation),
            SaCommand::Remove { id, inbound, outbound } => self.remove(now, id, inbound, outbound),
            _ => Err(CommandError::UnknownCommand),
        }
    }

    /// Sets the policy for what is sent and for what comes unprotected. Without one, as in the beginning, the
    /// selectors of the SAs decide alone, and nothing passes unprotected.
    ///
    /// SAs that are there stay; those that no entry leads to carry nothing more.
    pub fn set_policy(&mut self, spd: Option<Spd>) {
        self.policy.set(spd);
    }

    /// Does with an IP packet what policy says: protects it, and `packet` becomes what is to be sent (see
    /// [`crate::Framing`]), or lets it pass as it is.
    ///
    /// # Errors
    /// [`SealError`]; `packet` then is as it was, but for [`SealError::Cipher`], after which its octets are
    /// unspecified. With [`SealError::NoSa`] IKE may have been asked for an SA ([`SaReport::Acquire`]).
    pub fn send(&mut self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Sending, SealError> {
        let now = self.clock(now);
        // Used where it lies: every move of it waits for the octets that were just written.
        let parsed = IpHeader::parse(packet.as_slice());
        let header = match &parsed {
            Ok(header) => header,
            Err(error) => return Err(self.count_seal((*error).into())),
        };
        match self.policy.route(header) {
            Ok(Route::By(slot)) => self.seal_by(now, slot, packet, header).map(Sending::Protected),
            Ok(Route::Bypass) => {
                let statistics = &mut self.statistics.outbound;
                statistics.bypassed = statistics.bypassed.saturating_add(1);
                Ok(Sending::Bypass(*header))
            }
            Ok(Route::Discard) => Err(self.count_seal(SealError::Discarded)),
            Err(no_sa) => Err(self.no_sa(now, no_sa, header)),
        }
    }

    /// Protects the IP packet in `packet` by the SA that carries such packets. `packet` becomes what is to be
    /// sent: see [`crate::Framing`]. For embedders that give nothing else: a packet that policy lets pass
    /// unprotected is an error here.
    ///
    /// # Errors
    /// As [`Engine::send`], and [`SealError::Bypass`].
    pub fn seal(&mut self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Outgoing, SealError> {
        let now = self.clock(now);
        // Used where it lies: every move of it waits for the octets that were just written.
        let parsed = IpHeader::parse(packet.as_slice());
        let header = match &parsed {
            Ok(header) => header,
            Err(error) => return Err(self.count_seal((*error).into())),
        };
        match self.policy.route(header) {
            Ok(Route::By(slot)) => self.seal_by(now, slot, packet, header),
            Ok(Route::Bypass) => Err(self.count_seal(SealError::Bypass)),
            Ok(Route::Discard) => Err(self.count_seal(SealError::Discarded)),
            Err(no_sa) => Err(self.no_sa(now, no_sa, header)),
        }
    }

    /// Says whether a packet that came unprotected may pass (RFC 4301 §5.2): where the first entry for such packets
    /// is BYPASS.
    ///
    /// # Errors
    /// [`OpenError::Inner`], [`OpenError::Policy`].
    pub fn admit_unprotected(&mut self, packet: &[u8]) -> Result<IpHeader, OpenError> {
        let header = IpHeader::parse(packet).map_err(|error| self.count_open(error.into()))?;
        match self.policy.spd().map(|spd| spd.find(&header, Direction::Inbound)) {
            Some(Action::Bypass) => {
                let statistics = &mut self.statistics.inbound;
                statistics.bypassed = statistics.bypassed.saturating_add(1);
                Ok(header)
            }
            _ => Err(self.count_open(OpenError::Policy)),
        }
    }

    #[inline]
    fn seal_by(
        &mut self,
        now: Instant,
        slot: Slot,
        packet: &mut PacketBuf<'_>,
        header: &IpHeader,
    ) -> Result<Outgoing, SealError> {
        let Some(entry) = self.outbound.at(slot) else {
            return Err(self.count_seal(SealError::NoSa));
        };
        let sealed = entry.sa.seal_parsed(now, packet, header);
        entry.tell(&mut self.timers, &mut self.reports);
        let (path, encapsulation) = (*entry.sa.path(), entry.sa.encapsulation());
        Ok(Outgoing { child: entry.id, path, encapsulation, sealed: sealed? })
    }

    fn no_sa(&mut self, now: Instant, no_sa: NoSa, header: &IpHeader) -> SealError {
        if let Some(policy) = no_sa.policy {
            self.reports.acquire(now, policy, header);
        }
        self.count_seal(SealError::NoSa)
    }

    /// Opens the ESP packet in `packet`: the payload of a UDP datagram that
    /// [`classify`](ipsec_types::udp::classify) calls ESP, or of an IP packet of protocol 50. `packet`
    /// becomes the inner packet. In transport and BEET mode a header is made for it from the arrival, with
    /// [`crate::OPEN_HEADROOM`] octets of room in front; [`Engine::open_ip`] keeps the one that came.
    ///
    /// # Errors
    /// [`OpenError`]. The packet's octets are unspecified then, and nothing of it may be used.
    pub fn open(
        &mut self,
        now: Instant,
        arrival: Arrival,
        packet: &mut PacketBuf<'_>,
    ) -> Result<Incoming, OpenError> {
        self.open_behind(now, arrival, None, packet)
    }

    fn open_behind(
        &mut self,
        now: Instant,
        arrival: Arrival,
        outer: Option<&OuterPacket>,
        packet: &mut PacketBuf<'_>,
    ) -> Result<Incoming, OpenError> {
        let now = self.clock(now);
        let Some(header) = EspHeader::parse(packet.as_slice()) else {
            let too_short = LayoutError::TooShort { got: packet.len(), minimum: ESP_HEADER };
            return Err(self.count_open(too_short.into()));
        };
        let found = EspSpi::new(header.spi).and_then(|spi| self.inbound.get_mut(&spi));
        let Some(entry) = found else {
            let error = unknown_spi(header.spi);
            if let OpenError::UnknownSpi(spi) = error {
                self.reports.unknown_spi(now, spi, arrival.path);
            }
            return Err(self.count_open(error));
        };
        let child = entry.id;
        let authentic = if entry.sa.wants_resync(now) && packet.len() <= self.scratch.len() {
            entry.sa.search(now, packet, self.scratch.as_mut())
        } else {
            entry.sa.authenticate(now, packet)
        };
        entry.tell(&mut self.timers, &mut self.reports);
        let authentic = authentic?;
        entry.note_authentic(now, &authentic, arrival, &mut self.reports);
        let Inbound { sa, path, .. } = &mut **entry;
        let front = || outer.map_or_else(|| arrival.front(path), Front::of);
        sa.deliver(packet, authentic, arrival.ecn, front).map(|opened| Incoming { child, opened })
    }

    /// Opens a whole received IP packet, with or without UDP. What it reads of the outer header becomes the
    /// arrival of [`Engine::open`].
    ///
    /// # Errors
    /// As [`Engine::open`], and [`OpenError::Outer`], [`OpenError::NotEsp`].
    pub fn open_ip(&mut self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Incoming, OpenError> {
        let outer = esp_in(packet).map_err(|error| self.count_open(error))?;
        let arrival = match outer.ports {
            Some((from, to)) => {
                let local = SocketAddr::new(outer.destination, to);
                Arrival::udp(Path::nat_t(local, SocketAddr::new(outer.source, from)))
            }
            None => Arrival::raw(outer.destination, outer.source),
        };
        self.open_behind(now, arrival.with_ecn(outer.ecn), Some(&outer), packet)
    }

    /// Hears an ICMP error that a router sent about a packet of ours: a whole IP packet. Where it says that a packet
    /// was too big, and quotes one that an SA sent lately, that SA's path MTU is less from now on: the pair, and the
    /// MTU. `None` otherwise; at most ten in a second are looked at.
    pub fn handle_icmp(&mut self, now: Instant, packet: &[u8]) -> Option<(ChildSaId, usize)> {
        let now = self.clock(now);
        let notice = TooBigNotice::parse(packet)?;
        if !self.icmp.admits(now, ICMP_INTERVAL, ICMP_BURST) {
            return None;
        }
        self.outbound.values_mut().find_map(|entry| Some((entry.id, entry.sa.learn_path_mtu(now, &notice)?)))
    }

    /// Tells the time. To be called when [`Engine::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.clock(now);
        while let Some(Lingerer { spi, .. }) = self.lingering.take_due(now) {
            self.end_inbound(spi);
        }
        while let Some(key) = self.timers.due(now) {
            match key {
                TimerKey::Inbound(spi) => {
                    let Some(entry) = self.inbound.get_mut(&spi) else { return };
                    entry.sa.handle_timeout(now);
                    entry.tell(&mut self.timers, &mut self.reports);
                    self.timers.settle(key, &mut entry.armed, entry.sa.deadlines());
                }
                TimerKey::Outbound(child) => {
                    let Some(entry) = self.outbound.get_mut(&child) else { return };
                    entry.sa.handle_timeout(now);
                    entry.tell(&mut self.timers, &mut self.reports);
                    self.timers.settle(key, &mut entry.armed, entry.sa.deadlines());
                }
            }
        }
    }

    /// When [`Engine::handle_timeout`] is to be called next; `None` where nothing is due. Any other call may
    /// change it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next().into_iter().chain(self.lingering.next()).min()
    }

    /// The next thing that IKE must know. Any other call may bring one about.
    #[must_use]
    pub fn poll_report(&mut self) -> Option<SaReport> {
        self.reports.poll()
    }

    /// Everything counted since the engine was made, SAs that were removed included. Sums over all SAs.
    #[must_use]
    pub fn statistics(&self) -> EngineStatistics {
        let mut sum = self.statistics.clone();
        self.inbound.values().for_each(|entry| sum.inbound.add(entry.sa.statistics()));
        self.outbound.values().for_each(|entry| sum.outbound.add(entry.sa.statistics()));
        sum
    }

    /// Reports that were lost because the queue was full: see [`ReportConfig::queue`].
    #[must_use]
    pub const fn reports_lost(&self) -> u64 {
        self.reports.lost()
    }

    /// Calls whose time was before that of an earlier call, and was taken for that one's.
    #[must_use]
    pub const fn clock_regressions(&self) -> u64 {
        self.clock_regressions
    }

    /// The inbound SA of this SPI, also where it only lingers ([`EngineConfig::linger`]).
    #[must_use]
    pub fn inbound(&self, spi: EspSpi) -> Option<&InboundSa> {
        self.inbound.get(&spi).map(|entry| &entry.sa)
    }

    /// The outbound SA of this pair.
    #[must_use]
    pub fn outbound(&self, id: ChildSaId) -> Option<&OutboundSa> {
        self.outbound.get(&id).map(|entry| &entry.sa)
    }

    fn install_inbound(&mut self, now: Instant, install: SaInstall) -> Result<(), CommandError> {
        let (id, spi) = (install.child.id, install.spi);
        self.check_room(self.inbound_of.len())?;
        if self.inbound_of.contains_key(&id) {
            return Err(CommandError::AlreadyInstalled { id, direction: Direction::Inbound });
        }
        let lingers = self.lingering.has_spi(spi);
        if self.inbound.contains_key(&spi) && !lingers {
            return Err(CommandError::SpiInUse(spi));
        }
        let (path, encapsulation) = (install.child.path, install.child.encapsulation);
        let sa = InboundSa::new(&self.provider, install, self.config.inbound, now)?;
        if (lingers || self.inbound.len() >= self.config.max_sas)
            && let Some(lingerer) = self.lingering.take_for(spi)
        {
            self.end_inbound(lingerer.spi);
        }
        let armed = sa.deadlines();
        self.timers.arm(TimerKey::Inbound(spi), armed);
        let (moved_to, tell_at, heir) = (None, Instant::ZERO, None);
        let entry = Inbound { id, sa, path, encapsulation, moved_to, tell_at, heir, removed: false, armed };
        self.inbound.insert(spi, Box::new(entry));
        self.inbound_of.insert(id, spi);
        self.reports.make_room(self.inbound.len() + self.outbound.len());
        Ok(())
    }

    fn install_outbound(&mut self, now: Instant, install: SaInstall) -> Result<(), CommandError> {
        let id = install.child.id;
        self.check_room(self.outbound.len())?;
        if self.outbound.contains_key(&id) {
            return Err(CommandError::AlreadyInstalled { id, direction: Direction::Outbound });
        }
        let sa = OutboundSa::new(&self.provider, install, self.config.outbound, now)?;
        let child = Arc::clone(sa.child());
        let armed = sa.deadlines();
        self.timers.arm(TimerKey::Outbound(id), armed);
        let slot = self.outbound.insert(id, Outbound { id, sa, armed });
        if child.replaces.is_none() {
            self.policy.add(&child, slot);
        }
        self.reports.make_room(self.inbound.len() + self.outbound.len());
        Ok(())
    }

    const fn check_room(&self, installed: usize) -> Result<(), CommandError> {
        let limit = self.config.max_sas;
        if installed < limit { Ok(()) } else { Err(CommandError::TableFull { limit }) }
    }

    fn switch(&mut self, from: ChildSaId, to: ChildSaId) -> Result<(), CommandError> {
        let slot = self.outbound.slot(&to).ok_or(CommandError::NotInstalled(to))?;
        let entry = self.outbound.at(slot).ok_or(CommandError::NotInstalled(to))?;
        self.policy.switch(from, entry.sa.child(), slot);
        let inbound = self.inbound_of.get(&from).and_then(|spi| self.inbound.get_mut(spi));
        if let Some(entry) = inbound.filter(|_| from != to) {
            entry.heir = Some(to);
        }
        Ok(())
    }

    fn relocate(
        &mut self,
        id: ChildSaId,
        path: Path,
        encapsulation: Encapsulation,
    ) -> Result<(), CommandError> {
        let inbound = self.inbound_of.get(&id).and_then(|spi| self.inbound.get_mut(spi));
        let outbound = self.outbound.get_mut(&id);
        if inbound.is_none() && outbound.is_none() {
            return Err(CommandError::NotInstalled(id));
        }
        if let Some(entry) = outbound {
            entry.sa.relocate(path, encapsulation)?;
        }
        if let Some(entry) = inbound {
            (entry.path, entry.encapsulation, entry.moved_to) = (path, encapsulation, None);
        }
        Ok(())
    }

    fn remove(
        &mut self,
        now: Instant,
        id: ChildSaId,
        inbound: bool,
        outbound: bool,
    ) -> Result<(), CommandError> {
        let spi = self.inbound_of.get(&id).copied().filter(|_| inbound);
        let has_outbound = outbound && self.outbound.contains_key(&id);
        if spi.is_none() && !has_outbound {
            return Err(CommandError::NotInstalled(id));
        }
        if let Some(spi) = spi {
            self.remove_inbound(now, id, spi);
        }
        if has_outbound && let Some(mut entry) = self.outbound.remove(&id) {
            self.policy.remove(id);
            self.timers.settle(TimerKey::Outbound(id), &mut entry.armed, [None; 2]);
            self.reports.forget(id, Direction::Outbound);
            self.statistics.outbound.add(entry.sa.statistics());
        }
        Ok(())
    }

    fn remove_inbound(&mut self, now: Instant, id: ChildSaId, spi: EspSpi) {
        let heir = self.heir_of(spi).filter(|_| !self.config.linger.is_zero());
        self.inbound_of.remove(&id);
        self.reports.forget(id, Direction::Inbound);
        if let Some(heir) = heir
            && let Some(entry) = self.inbound.get_mut(&spi)
        {
            entry.removed = true;
            self.lingering.add(now, self.config.linger, id, spi, heir);
        } else {
            self.end_inbound(spi);
            for lingerer in self.lingering.take_predecessors(id) {
                self.end_inbound(lingerer.spi);
            }
        }
    }

    /// The pair that has the place of this inbound SA's, if it receives. Where both ends rekeyed a pair at once, the
    /// one that is left over has the same heir as the one that it was to replace (RFC 7296 §2.8.1).
    fn heir_of(&self, spi: EspSpi) -> Option<ChildSaId> {
        let entry = self.inbound.get(&spi)?;
        let child = entry.sa.child();
        let of_replaced = || {
            let replaced = child.replaces?;
            let spi = self.inbound_of.get(&replaced).copied().or_else(|| self.lingering.spi(replaced))?;
            self.inbound.get(&spi)?.heir.filter(|heir| *heir != child.id)
        };
        let heir = entry.heir.or_else(of_replaced)?;
        (self.inbound_of.contains_key(&heir) || self.lingering.holds(heir)).then_some(heir)
    }

    fn end_inbound(&mut self, spi: EspSpi) {
        if let Some(mut entry) = self.inbound.remove(&spi) {
            self.timers.settle(TimerKey::Inbound(spi), &mut entry.armed, [None; 2]);
            self.statistics.inbound.add(entry.sa.statistics());
        }
    }

    /// The time of this call: never before that of an earlier one.
    #[inline]
    fn clock(&mut self, now: Instant) -> Instant {
        if now < self.now {
            self.clock_regressions = self.clock_regressions.saturating_add(1);
        }
        self.now = self.now.max(now);
        self.now
    }

    fn count_seal(&mut self, error: SealError) -> SealError {
        self.statistics.outbound.count_drop(error.reason());
        error
    }

    fn count_open(&mut self, error: OpenError) -> OpenError {
        self.statistics.inbound.count_drop(error.reason());
        error
    }
}

impl Outbound {
    /// Tells the limits that were reached, and takes away the timers that no longer stand.
    #[inline]
    fn tell(&mut self, timers: &mut Timers, reports: &mut Reports) {
        while let Some(event) = self.sa.poll_event() {
            let id = self.sa.child().id;
            reports.expired(id, Direction::Outbound, event);
            timers.settle(TimerKey::Outbound(id), &mut self.armed, self.sa.deadlines());
        }
    }
}

impl Inbound {
    /// As [`Outbound::tell`].
    #[inline]
    fn tell(&mut self, timers: &mut Timers, reports: &mut Reports) {
        while let Some(event) = self.sa.poll_event() {
            if !self.removed {
                reports.expired(self.sa.child().id, Direction::Inbound, event);
            }
            timers.settle(TimerKey::Inbound(self.sa.spi()), &mut self.armed, self.sa.deadlines());
        }
    }

    /// What an authentic packet says of its peer: that it lives, and where it is.
    #[inline]
    fn note_authentic(
        &mut self,
        now: Instant,
        authentic: &Authentic,
        arrival: Arrival,
        reports: &mut Reports,
    ) {
        if self.removed {
            return;
        }
        let id = self.id;
        if now >= self.tell_at {
            self.tell_at = now + reports.last_inbound_interval();
            reports.last_inbound(id, now);
        }
        // An old straggler from the old address proves nothing about where the peer is now.
        if authentic.newest && (self.moved_to.is_some() || arrival.path.remote != self.path.remote) {
            self.note_place(id, arrival, reports);
        }
    }

    #[cold]
    fn note_place(&mut self, id: ChildSaId, arrival: Arrival, reports: &mut Reports) {
        let both_udp =
            arrival.encapsulation == Encapsulation::Udp && self.encapsulation == Encapsulation::Udp;
        let (known, mut seen) = (self.path.remote, arrival.path.remote);
        if !both_udp {
            // The port is not the peer's, or none: the address alone tells.
            seen.set_port(known.port());
        }
        if (seen.ip(), seen.port()) == (known.ip(), known.port()) {
            self.moved_to = None;
        } else if self.moved_to != Some(seen) {
            self.moved_to = Some(seen);
            let mut path = Path { remote: seen, kind: self.path.kind, ..arrival.path };
            if !both_udp {
                path.local.set_port(self.path.local.port());
            }
            reports.peer_moved(id, path);
        }
    }
}

impl fmt::Debug for Engine {
    /// The whole state without keys, statistics and reports: what compares equal is equal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("config", &self.config)
            .field("inbound", &self.inbound)
            .field("inbound_of", &self.inbound_of)
            .field("lingering", &self.lingering)
            .field("outbound", &self.outbound)
            .field("policy", &self.policy)
            .field("timers", &self.timers)
            .finish_non_exhaustive()
    }
}
