//! Many SAs behind one door: commands in, reports out, packets through.
//!
//! The engine finds the inbound SA of a packet by its SPI (RFC 4301 §4.1) and the outbound SA of a packet by
//! its policy ([`Engine::set_policy`]) and the selectors of those that carry traffic, the newest first. It knows
//! nothing of IKE beyond [`SaCommand`] and [`SaReport`].

mod acquires;
mod audits;
mod batch;
mod checkpoint;
mod commands;
mod entry;
mod flows;
mod groups;
mod limiter;
mod lingering;
mod moving;
mod policy;
mod reports;
mod routes;
mod table;
mod used_keys;

pub use self::checkpoint::Checkpoint;
pub use self::reports::ReportConfig;

use self::audits::{Audits, Came, flow_label};
use self::entry::{Inbound, Outbound};
use self::flows::Route;
use self::groups::Groups;
use self::limiter::Limiter;
use self::lingering::{Lingerer, Lingering};
use self::policy::{NoSa, Policy};
use self::reports::Reports;
use self::table::{SaMap, Slot, Slots, TimerKey, Timers};
use self::used_keys::UsedKeys;
use crate::audit::{AuditConfig, AuditRecord};
use crate::buffer::PacketBuf;
use crate::config::{InboundConfig, OutboundConfig};
use crate::ecn::Ecn;
use crate::error::{CommandError, OpenError, SealError};
use crate::icmp::TooBigNotice;
use crate::inbound::{InboundSa, Opened, esp_in, unknown_spi};
use crate::ip::IpHeader;
use crate::lifetime::LifetimeEvent;
use crate::outbound::{OutboundSa, Sealed};
use crate::outer::{OuterError, OuterFields, OuterPacket};
use crate::packet::{ESP_HEADER, EspHeader, LayoutError};
use crate::restore::Front;
use crate::spd::{Action, Spd};
use crate::statistics::Statistics;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use ipsec_crypto::CryptoProvider;
use ipsec_types::sa::{ChildSaId, Direction, ResourceId};
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
    /// What is kept of single packets that were dropped.
    pub audit: AuditConfig,
    /// Flows whose policy is remembered, rounded up to a power of two; default 1,024, about 100 octets each, taken
    /// when the engine is made. 0 for none: then every packet is held against the whole policy.
    pub flow_cache: usize,
    /// Octets of the longest packet that an SA's numbers are looked for with ([`InboundConfig::resync`]); default
    /// 2,048, taken when the engine is made. 0 for none.
    pub resync_buffer: usize,
    /// Keys of SAs that were removed, to be told when they come anew: their numbers would begin anew too. Default 1,024,
    /// two for a pair, 40 octets each, taken when the engine is made; the oldest are forgotten. Those of SAs that are
    /// there are always known, by 16 octets each.
    pub used_keys: usize,
    /// Whether the keys are kept as they came, so that SAs can move ([`Engine::export`]); default no. They are about 80
    /// octets an SA, beside what they were expanded to.
    pub keep_keys: bool,
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
            audit: AuditConfig::default(),
            flow_cache: 1_024,
            resync_buffer: 2_048,
            used_keys: 1_024,
            keep_keys: false,
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
    /// The flow label of an outer IPv6 header, where it is known. Nothing but audit records has it.
    pub flow_label: Option<u32>,
}

impl Arrival {
    /// In a UDP datagram over this path.
    #[must_use]
    pub const fn udp(path: Path) -> Self {
        Self { path, encapsulation: Encapsulation::Udp, ecn: None, flow_label: None }
    }

    /// As IP protocol 50 between these addresses.
    #[must_use]
    pub const fn raw(local: IpAddr, remote: IpAddr) -> Self {
        let path = Path {
            local: SocketAddr::new(local, 0),
            remote: SocketAddr::new(remote, 0),
            kind: PathKind::NatT,
        };
        Self { path, encapsulation: Encapsulation::None, ecn: None, flow_label: None }
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

    /// With this flow label in the outer header, if it has one.
    #[must_use]
    pub const fn with_flow_label(self, flow_label: Option<u32>) -> Self {
        Self { flow_label, ..self }
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
    groups: Groups,
    outbound: Slots<Outbound>,
    outbound_of: BTreeSet<(EspSpi, ChildSaId)>,
    used_keys: UsedKeys,
    policy: Policy,
    timers: Timers,
    reports: Reports,
    audits: Audits,
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
            groups: Groups::default(),
            outbound: Slots::default(),
            outbound_of: BTreeSet::new(),
            used_keys: UsedKeys::new(config.used_keys),
            policy: Policy::new(config.flow_cache),
            timers: Timers::default(),
            reports: Reports::new(config.reports),
            audits: Audits::new(config.audit),
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
            SaCommand::Bind { id, resource } => self.bind(id, resource),
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

    /// Says which resource sends the packets of the calls that follow: a core, a queue (RFC 9611). In the beginning, and
    /// with `None`, it is none in particular.
    ///
    /// A packet then goes by the SA that is bound to its resource ([`SaCommand::Bind`]), and where there is none by the one
    /// with the same selectors that is bound to nothing; [`SaReport::AcquireForResource`] asks for one. No other
    /// resource's SA carries it. An SA is received by wherever its packets come, and a binding does not move to another
    /// process with its SA ([`Engine::export`]).
    pub const fn set_resource(&mut self, resource: Option<ResourceId>) {
        self.policy.set_resource(resource);
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
            Ok(Route::ByFallback(slot)) => {
                self.ask_for_resource(now, slot, header);
                self.seal_by(now, slot, packet, header).map(Sending::Protected)
            }
            Ok(Route::Bypass) => {
                let statistics = &mut self.statistics.outbound;
                statistics.bypassed = statistics.bypassed.saturating_add(1);
                Ok(Sending::Bypass(*header))
            }
            Ok(Route::Discard) => self.without_sa(now, packet, header, None).map(Sending::Protected),
            Err(no_sa) => self.without_sa(now, packet, header, Some(no_sa)).map(Sending::Protected),
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
            Ok(Route::ByFallback(slot)) => {
                self.ask_for_resource(now, slot, header);
                self.seal_by(now, slot, packet, header)
            }
            Ok(Route::Bypass) => Err(self.count_seal(SealError::Bypass)),
            Ok(Route::Discard) => self.without_sa(now, packet, header, None),
            Err(no_sa) => self.without_sa(now, packet, header, Some(no_sa)),
        }
    }

    /// Says whether a packet that came unprotected may pass (RFC 4301 §5.2): where the first entry for such packets
    /// is BYPASS. To be asked too of an ESP packet, whole as it came, that came to a group and is for no SA
    /// ([`OpenError::UnknownSpi`]): it may be another's (RFC 5374 §5.2).
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
            _ => {
                self.audits.packet(self.now, OpenError::Policy.reason(), &header);
                Err(self.count_open(OpenError::Policy))
            }
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
        let (child, path, encapsulation) = (entry.id, entry.sa.path_of(header), entry.sa.encapsulation());
        match sealed {
            // Field by field: a move of it as a whole waits for the fields that were just written.
            Ok(Sealed { number, outer: OuterFields { ds_field, dont_fragment } }) => {
                let sealed = Sealed { number, outer: OuterFields { ds_field, dont_fragment } };
                Ok(Outgoing { child, path, encapsulation, sealed })
            }
            Err(error) => {
                self.audits.outbound(now, error.reason(), child, entry.sa.spi().get(), &path, header);
                Err(error)
            }
        }
    }

    /// What becomes of a packet that policy discards, or that no SA carries.
    #[cold]
    fn without_sa(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        header: &IpHeader,
        no_sa: Option<NoSa>,
    ) -> Result<Outgoing, SealError> {
        // Where policy wants an SA for it, it waits for that.
        let is_wanted = no_sa.is_some_and(|no_sa| no_sa.policy.is_some());
        if !is_wanted && let Some(slot) = self.policy.carrier_of_answer(packet.as_slice(), header) {
            return self.seal_by(now, slot, packet, header);
        }
        Err(match no_sa {
            Some(no_sa) => self.no_sa(now, no_sa, header),
            None => self.discard(now, header),
        })
    }

    /// A resource sends by the SA that serves all.
    #[cold]
    fn ask_for_resource(&mut self, now: Instant, slot: Slot, header: &IpHeader) {
        if let (Some(resource), Some(entry)) = (self.policy.resource(), self.outbound.at(slot)) {
            self.reports.acquire_for(now, entry.id, resource, header);
        }
    }

    fn no_sa(&mut self, now: Instant, no_sa: NoSa, header: &IpHeader) -> SealError {
        let asked = no_sa.policy.is_some_and(|policy| self.reports.acquire(now, policy, header));
        if !asked {
            self.audits.packet(now, SealError::NoSa.reason(), header);
        }
        self.count_seal(SealError::NoSa)
    }

    fn discard(&mut self, now: Instant, header: &IpHeader) -> SealError {
        self.audits.packet(now, SealError::Discarded.reason(), header);
        self.count_seal(SealError::Discarded)
    }

    /// Opens the ESP packet in `packet`: the payload of a UDP datagram that
    /// [`classify`](ipsec_types::udp::classify) calls ESP, or of an IP packet of protocol 50. `packet`
    /// becomes the inner packet. In transport and BEET mode a header is made for it from the arrival, with
    /// [`crate::OPEN_HEADROOM`] octets of room in front; [`Engine::open_ip`] keeps the one that came.
    ///
    /// # Errors
    /// [`OpenError`]. The packet's octets are unspecified then, and nothing of it may be used. But with
    /// [`OpenError::UnknownSpi`] they are as they were: where they came to a group, another behind this host may have the
    /// SA, and [`Engine::admit_unprotected`] says whether policy lets the packet pass to it (RFC 5374 §5.2).
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
        let came = Came { arrival: &arrival, esp: header };
        let (to, from) = (arrival.path.local.ip(), arrival.path.remote.ip());
        // The longest match first (RFC 4301 §4.1).
        let found = EspSpi::new(header.spi)
            .and_then(|spi| self.groups.find(spi, to, from).or_else(|| self.inbound.get_mut(&spi)));
        let Some(entry) = found else {
            let error = unknown_spi(header.spi);
            match error {
                // What a group is sent is nobody's to answer, and may be for another behind us (RFC 5374 §5.2).
                OpenError::UnknownSpi(_) if to.is_multicast() => {}
                OpenError::UnknownSpi(spi) => {
                    self.audits.inbound(now, &error, &came, None, None);
                    self.reports.unknown_spi(now, spi, arrival.path);
                }
                _ => self.audits.inbound(now, &error, &came, None, None),
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
        let authentic = match authentic {
            Ok(authentic) => authentic,
            Err(error) => {
                self.audits.inbound(now, &error, &came, Some(child), None);
                return Err(error);
            }
        };
        entry.note_authentic(now, &authentic, arrival, &mut self.reports);
        let Inbound { sa, path, .. } = &mut **entry;
        let front = || outer.map_or_else(|| arrival.front(path), Front::of);
        let unusual = sa.statistics().unusual_ecn;
        let mut incoming = Incoming { child, opened: Opened::Dummy };
        if let Err(error) = sa.deliver(packet, authentic, arrival.ecn, front, &mut incoming.opened) {
            // Only of these it is known that an inner packet is there.
            let whole = matches!(error, OpenError::Selectors | OpenError::Preservation);
            let inside = if whole { IpHeader::parse(packet.as_slice()).ok() } else { None };
            self.audits.inbound(now, &error, &came, Some(child), inside.as_ref());
            return Err(error);
        }
        if sa.statistics().unusual_ecn != unusual
            && let Opened::Packet(inside) = &incoming.opened
        {
            self.audits.unusual_ecn(now, &came, child, inside);
        }
        Ok(incoming)
    }

    /// Opens a whole received IP packet, with or without UDP. What it reads of the outer header becomes the
    /// arrival of [`Engine::open`].
    ///
    /// # Errors
    /// As [`Engine::open`], and [`OpenError::Outer`], [`OpenError::NotEsp`].
    pub fn open_ip(&mut self, now: Instant, packet: &mut PacketBuf<'_>) -> Result<Incoming, OpenError> {
        let flow_label = flow_label(packet.as_slice());
        let outer = esp_in(packet).map_err(|error| {
            if error == OuterError::Fragment.into() {
                self.audits.fragment(self.now.max(now), packet.as_slice());
            }
            self.count_open(error)
        })?;
        let arrival = match outer.ports {
            Some((from, to)) => {
                let local = SocketAddr::new(outer.destination, to);
                Arrival::udp(Path::nat_t(local, SocketAddr::new(outer.source, from)))
            }
            None => Arrival::raw(outer.destination, outer.source),
        };
        let arrival = arrival.with_ecn(outer.ecn).with_flow_label(flow_label);
        self.open_behind(now, arrival, Some(&outer), packet)
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
        let spi = EspSpi::new(notice.esp.spi)?;
        let of_spi = (spi, ChildSaId(0))..=(spi, ChildSaId(u64::MAX));
        self.outbound_of.range(of_spi).find_map(|(_, id)| {
            let entry = self.outbound.get_mut(id)?;
            Some((*id, entry.sa.learn_path_mtu(now, &notice)?))
        })
    }

    /// Tells the time. To be called when [`Engine::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.clock(now);
        while let Some(Lingerer { spi, .. }) = self.lingering.take_due(now) {
            self.end_inbound(spi, None);
        }
        while let Some(key) = self.timers.due(now) {
            match key {
                TimerKey::Inbound(spi) => {
                    let Some(entry) = self.inbound.get_mut(&spi) else { return };
                    entry.sa.handle_timeout(now);
                    entry.tell(&mut self.timers, &mut self.reports);
                    self.timers.settle(key, &mut entry.armed, entry.sa.deadlines());
                }
                TimerKey::Group(child) => {
                    let Some(entry) = self.groups.get_mut(child) else { return };
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

    /// The next event to be audited ([`EngineConfig::audit`]). Those of SAs that were removed are told too.
    #[must_use]
    pub fn poll_audit(&mut self) -> Option<AuditRecord> {
        self.audits.poll()
    }

    /// Audit events that were not kept, since their kind came too often or the queue was full. The counters of
    /// [`Engine::statistics`] have them all.
    #[must_use]
    pub const fn audits_lost(&self) -> u64 {
        self.audits.lost()
    }

    /// Everything counted since the engine was made, SAs that were removed included. Sums over all SAs. What a pair counted
    /// goes with it where it moves ([`Engine::export`], [`Engine::import`]), and is counted where it is.
    #[must_use]
    pub fn statistics(&self) -> EngineStatistics {
        let mut sum = self.statistics.clone();
        self.inbound.values().for_each(|entry| sum.inbound.add(entry.sa.statistics()));
        self.groups.values().for_each(|entry| sum.inbound.add(entry.sa.statistics()));
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

    /// The inbound SA of this name, to a group ([`ipsec_types::sa::ChildSa::group`]).
    #[must_use]
    pub fn group(&self, id: ChildSaId) -> Option<&InboundSa> {
        self.groups.get(id).map(|entry| &entry.sa)
    }

    /// The outbound SA of this pair.
    #[must_use]
    pub fn outbound(&self, id: ChildSaId) -> Option<&OutboundSa> {
        self.outbound.get(&id).map(|entry| &entry.sa)
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

impl fmt::Debug for Engine {
    /// The whole state without keys, statistics and reports: what compares equal is equal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("config", &self.config)
            .field("inbound", &self.inbound)
            .field("inbound_of", &self.inbound_of)
            .field("lingering", &self.lingering)
            .field("groups", &self.groups)
            .field("outbound", &self.outbound)
            .field("policy", &self.policy)
            .field("timers", &self.timers)
            .finish_non_exhaustive()
    }
}
