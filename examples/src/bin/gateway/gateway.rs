//! The loop: waits, hands over what came, and lets out what there is to send.
//!
//! One task owns everything. A packet is received into one of two buffers, sealed or opened where it lies, and
//! sent from there.

use crate::net::{Arrived, Net, Port};
use crate::tun::Tun;
use crate::upgrade::{Leaving, Upgrade};
use ikev2_core::{Endpoint, EndpointConfig, IkeSaHandle, Rejection};
use ipsec_esp::ecn::EcnEncapsulation;
use ipsec_esp::engine::{Arrival, Engine, EngineConfig, Incoming};
use ipsec_esp::inbound::Opened;
use ipsec_esp::{MAX_HEADROOM, MAX_TAILROOM, OpenError, OutboundConfig, PacketBuf};
use ipsec_examples::config::GatewayConfig;
use ipsec_examples::eap::{Conversations, Passwords};
use ipsec_examples::log::Log;
use ipsec_examples::starts::{Due, Starts};
use ipsec_examples::tell;
use ipsec_types::sa::ChildSaId;
use ipsec_types::udp::{Datagram4500, classify};
use ipsec_types::{Encapsulation, Instant, Path};
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

/// The largest packet and the largest datagram.
const LARGEST: usize = 65_535;
/// How many packets of one source are handled before others have their turn.
const BATCH: usize = 64;
/// How long the answers to our last requests are awaited.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

/// A Child SA that is up.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) sa: IkeSaHandle,
    pub(crate) name: String,
    /// A lifetime is almost over, and that was told.
    pub(crate) expiring: bool,
}

/// Everything.
pub(crate) struct Gateway {
    pub(crate) log: Arc<Log>,
    pub(crate) verbose: bool,
    pub(crate) config: Arc<EndpointConfig>,
    pub(crate) endpoint: Endpoint,
    pub(crate) engine: Engine,
    pub(crate) tun: Tun,
    pub(crate) path_mtu: usize,
    pub(crate) starts: Starts,
    pub(crate) children: BTreeMap<ChildSaId, Child>,
    /// What EAP needs, by connection, and the conversations under way.
    pub(crate) passwords: BTreeMap<String, Passwords>,
    pub(crate) conversations: Conversations,
    net: Net,
    listen: Vec<IpAddr>,
    ike_port: u16,
    pub(crate) upgrade: Option<Upgrade>,
    pub(crate) leaving: Option<Leaving>,
    /// When it is looked at next which of `listen` this machine has, where that may change.
    look_at: Option<Instant>,
    present: Vec<IpAddr>,
    /// Until when we wait for the end.
    closing: Option<Instant>,
    refusal_told_at: Option<Instant>,
    from_tun: Box<[u8]>,
    from_net: Box<[u8]>,
}

/// What ended a wait.
enum Wake {
    Net(usize),
    Tun(io::Result<usize>),
    Time,
    Signal,
    Leave,
}

/// What ends it.
struct Signals {
    /// All SAs are deleted first.
    end: [Signal; 2],
    /// All SAs go on in another process.
    leave: Signal,
}

impl Gateway {
    pub(crate) fn new(
        config: GatewayConfig,
        log: Arc<Log>,
        verbose: bool,
        upgrade: Option<Upgrade>,
    ) -> io::Result<Self> {
        let tun = Tun::open(&config)?;
        let net = Net::open(&config)?;
        let GatewayConfig { listen, ike_port, tun: tun_config, endpoint, starts, passwords, .. } = config;
        let config = Arc::new(endpoint);
        // Our sockets don't tell the ECN field of what they receive, so no congestion may be marked there.
        let outbound = OutboundConfig { ecn: EcnEncapsulation::Compatibility, ..OutboundConfig::default() };
        let engine_config =
            EngineConfig { outbound, keep_keys: upgrade.is_some(), ..EngineConfig::default() };
        let engine = Engine::new(config.crypto, engine_config);
        Ok(Self {
            log,
            verbose,
            endpoint: Endpoint::new(Arc::clone(&config), Box::new(getrandom::SysRng)),
            engine,
            tun,
            path_mtu: tun_config.path_mtu.into(),
            starts: Starts::new(starts),
            children: BTreeMap::new(),
            passwords,
            conversations: Conversations::default(),
            net,
            listen,
            ike_port,
            upgrade,
            leaving: None,
            look_at: config.connections.iter().any(|c| c.mobike.is_some()).then_some(Instant::ZERO),
            present: Vec::new(),
            closing: None,
            refusal_told_at: None,
            from_tun: vec![0; MAX_HEADROOM + LARGEST + MAX_TAILROOM].into(),
            from_net: vec![0; LARGEST].into(),
            config,
        })
    }

    /// Until a signal, and until all is deleted or written down then.
    pub(crate) async fn run(mut self) -> Result<(), Box<dyn Error>> {
        let mut signals = Signals {
            end: [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?],
            leave: signal(SignalKind::user_defined1())?,
        };
        let addresses: Vec<String> = self.listen.iter().map(ToString::to_string).collect();
        self.log.line(format_args!("listening on {}", addresses.join(", ")));
        for warning in self.config.warnings() {
            self.log.line(format_args!("warning: {warning}"));
        }
        self.resume()?;
        loop {
            self.settle().await;
            self.look_at_addresses();
            self.start_due();
            self.settle().await;
            if self.is_over() || self.has_left()? {
                break;
            }
            match self.wait(&mut signals).await {
                Wake::Net(index) => self.on_net(index).await,
                Wake::Tun(len) => self.on_tun(len?).await,
                Wake::Time => self.on_time(),
                Wake::Signal if self.closing.is_some() => break,
                Wake::Signal => self.close(),
                Wake::Leave => self.leave(),
            }
        }
        tell::statistics(&self.endpoint, &self.engine).iter().for_each(|line| self.log.line(line));
        Ok(())
    }

    async fn wait(&mut self, signals: &mut Signals) -> Wake {
        let timers = [
            self.endpoint.poll_timeout(),
            self.engine.poll_timeout(),
            self.starts.poll_timeout(),
            self.closing,
            self.leaving.as_ref().map(Leaving::until),
            self.look_at,
        ];
        let next = timers.into_iter().flatten().min();
        let left = next.map_or(Duration::MAX, |at| at.saturating_since(self.log.now()));
        let (_, room) = self.from_tun.split_at_mut(MAX_HEADROOM);
        let (room, _) = room.split_at_mut(LARGEST);
        let [interrupt, terminate] = &mut signals.end;
        select! {
            _ = interrupt.recv() => Wake::Signal,
            _ = terminate.recv() => Wake::Signal,
            _ = signals.leave.recv() => Wake::Leave,
            index = self.net.readable() => Wake::Net(index),
            len = self.tun.receive(room) => Wake::Tun(len),
            () = sleep(left), if next.is_some() => Wake::Time,
        }
    }

    /// Reports go up, events are carried out, and then datagrams go out, until there is nothing more.
    async fn settle(&mut self) {
        let mut idle = false;
        while !idle {
            idle = true;
            while let Some(report) = self.engine.poll_report() {
                idle = false;
                // Of an SA that is gone meanwhile nothing need be known.
                let _ = self.endpoint.handle_report(self.log.now(), &report);
            }
            while let Some(event) = self.endpoint.poll_event() {
                idle = false;
                self.on_event(event);
            }
            while let Some(transmit) = self.endpoint.poll_transmit() {
                idle = false;
                self.net.send_ike(&transmit).await;
            }
        }
    }

    fn on_time(&mut self) {
        self.endpoint.handle_timeout(self.log.now());
        self.engine.handle_timeout(self.log.now());
    }

    /// Datagrams of a socket, one batch at most.
    async fn on_net(&mut self, index: usize) {
        let mut buffer = std::mem::take(&mut self.from_net);
        for _ in 0..BATCH {
            let Some(arrived) = self.net.receive(index, &mut buffer) else { break };
            let (datagrams, _) = buffer.split_at_mut(arrived.len);
            // What came in one piece is opened in one call, up to the next datagram of IKE.
            let mut esp = Vec::new();
            for datagram in datagrams.chunks_mut(arrived.each.max(1)) {
                match esp_arrival(&arrived, datagram) {
                    Some(arrival) => esp.push((arrival, PacketBuf::whole(datagram))),
                    None => {
                        self.on_esp(std::mem::take(&mut esp)).await;
                        self.on_datagram(&arrived, datagram).await;
                    }
                }
            }
            self.on_esp(esp).await;
        }
        self.from_net = buffer;
    }

    /// What [`esp_arrival`] says nothing of.
    async fn on_datagram(&mut self, arrived: &Arrived, datagram: &mut [u8]) {
        let Arrived { port, local, remote, .. } = *arrived;
        match port {
            Port::Ike => self.on_ike(Path::ike(local, remote), datagram).await,
            Port::NatT => {
                if let Datagram4500::Ike(_) = classify(datagram) {
                    self.on_ike(Path::nat_t(local, remote), datagram).await;
                }
            }
            Port::RawEsp => {
                let mut packet = PacketBuf::whole(datagram);
                let opened = self.engine.open_ip(self.log.now(), &mut packet);
                self.on_opened(packet.as_slice(), opened).await;
            }
        }
    }

    async fn on_ike(&mut self, path: Path, datagram: &[u8]) {
        if let Err(rejection) = self.endpoint.handle_datagram(self.log.now(), path, datagram) {
            self.tell_rejection(&path, &rejection);
        }
        self.settle().await;
    }

    /// ESP packets without their outer headers.
    async fn on_esp(&mut self, mut packets: Vec<(Arrival, PacketBuf<'_>)>) {
        let mut opened = Vec::with_capacity(packets.len());
        self.engine.open_batch(self.log.now(), &mut packets, |_, result| opened.push(result));
        for ((_, packet), opened) in packets.iter().zip(opened) {
            self.on_opened(packet.as_slice(), opened).await;
        }
    }

    /// A packet for the inside.
    async fn on_opened(&mut self, packet: &[u8], opened: Result<Incoming, OpenError>) {
        match opened {
            Ok(incoming) if incoming.opened != Opened::Dummy => {
                if let Err(error) = self.tun.send(packet).await {
                    self.tell_if_verbose(format_args!("the TUN device takes no packet: {error}"));
                }
            }
            Ok(_) => {}
            Err(error) => self.tell_if_verbose(format_args!("ESP packet dropped: {error}")),
        }
    }

    /// Packets from the inside, one batch at most. The first one is in its place already.
    async fn on_tun(&mut self, first: usize) {
        let mut buffer = std::mem::take(&mut self.from_tun);
        let mut len = first;
        for _ in 0..BATCH {
            let now = self.log.now();
            let Some(mut packet) = PacketBuf::new(&mut buffer, MAX_HEADROOM..MAX_HEADROOM + len) else {
                break;
            };
            match self.engine.seal(now, &mut packet) {
                Ok(out) => {
                    let udp = out.encapsulation == Encapsulation::Udp;
                    let ds_field = out.sealed.outer.ds_field;
                    self.net.send_esp(&out.path, udp, ds_field, packet.as_slice()).await;
                }
                Err(error) => self.tell_if_verbose(format_args!("packet dropped: {error}")),
            }
            let (_, room) = buffer.split_at_mut(MAX_HEADROOM);
            let (room, _) = room.split_at_mut(LARGEST);
            match self.tun.try_receive(room) {
                Some(next) => len = next,
                None => break,
            }
        }
        self.from_tun = buffer;
        self.net.flush().await;
    }

    fn start_due(&mut self) {
        let now = self.log.now();
        while let Some(due) = self.starts.poll(now) {
            match due {
                Due::Child(sa, name) => self.create_child(sa, &name),
                Due::Connection(name) => {
                    if let Err(error) = self.start(&name) {
                        let pause = self.starts.failed(now, &name).unwrap_or_default();
                        self.log.line(format_args!("{name} does not begin: {error}; again in {pause:?}"));
                    }
                }
            }
        }
    }

    fn start(&mut self, name: &str) -> Result<(), Box<dyn Error>> {
        let connection = self.config.connections.iter().find(|connection| connection.name == name);
        let path = connection.and_then(|connection| {
            let remote = connection.remote_address?;
            let mut ours = self.listen.iter().filter(|address| address.is_ipv4() == remote.is_ipv4());
            let local = connection.local_address.or(ours.next().copied())?;
            connection.initial_path(SocketAddr::new(local, self.ike_port), &self.config)
        });
        let path = path.ok_or("none of our addresses reaches the peer")?;
        self.log.line(format_args!("connecting: {name}, to {}", path.remote));
        let sa = self.endpoint.connect(self.log.now(), name, path)?;
        self.starts.began(name, sa);
        Ok(())
    }

    /// Tells the endpoint which of our addresses there are, each second (MOBIKE, RFC 4555).
    fn look_at_addresses(&mut self) {
        const INTERVAL: Duration = Duration::from_secs(1);
        let now = self.log.now();
        if self.look_at.is_none_or(|at| at > now) {
            return;
        }
        self.look_at = Some(now + INTERVAL);
        let is_there = |address: &&IpAddr| UdpSocket::bind((**address, 0)).is_ok();
        let present: Vec<IpAddr> = self.listen.iter().filter(is_there).copied().collect();
        if present != self.present && self.endpoint.set_local_addresses(now, &present).is_ok() {
            let addresses: Vec<String> = present.iter().map(ToString::to_string).collect();
            self.log.line(format_args!("our addresses: {}", addresses.join(", ")));
            self.present = present;
        }
    }

    fn close(&mut self) {
        let now = self.log.now();
        self.log.line("closing");
        self.closing = Some(now + PATIENCE);
        self.starts.stop();
        self.endpoint.shut_down(now);
    }

    fn is_over(&self) -> bool {
        self.closing.is_some_and(|end| end <= self.log.now() || self.endpoint.ike_sas().next().is_none())
    }

    fn tell_rejection(&mut self, path: &Path, rejection: &Rejection) {
        let now = self.log.now();
        // What a peer's administrator will ask about; but anybody can send such messages.
        let matters = matches!(
            rejection,
            Rejection::NoProposalChosen(_)
                | Rejection::NoConnection
                | Rejection::Limit(_)
                | Rejection::Algorithm(_)
        );
        let rarely = |told: Instant| now.saturating_since(told) >= Duration::from_secs(1);
        if self.verbose || matters && self.refusal_told_at.is_none_or(rarely) {
            self.refusal_told_at = Some(now);
            self.log.line(format_args!("message from {} refused: {rejection}", path.remote));
        }
    }

    pub(crate) fn tell_if_verbose(&self, text: std::fmt::Arguments<'_>) {
        if self.verbose {
            self.log.line(text);
        }
    }
}

/// How an ESP packet came; `None` for IKE, for keepalives, and for a packet that still has its outer header, as raw IPv4
/// sockets give it.
fn esp_arrival(arrived: &Arrived, datagram: &[u8]) -> Option<Arrival> {
    let Arrived { port, local, remote, .. } = *arrived;
    match port {
        Port::NatT if matches!(classify(datagram), Datagram4500::Esp(_)) => {
            Some(Arrival::udp(Path::nat_t(local, remote)))
        }
        Port::RawEsp if !local.is_ipv4() => Some(Arrival::raw(local.ip(), remote.ip())),
        _ => None,
    }
}
