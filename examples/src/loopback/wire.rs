//! The two sides and what is between them: sends, receives, and waits; tells and captures what passes.

use super::sides::{A, B, Messages, NAMES, Side, Sockets, Suites};
use super::summary::{PacketLine, Summary, exchanges};
use super::{Failed, PATIENCE};
use crate::capture::Capture;
use crate::echo::{Echo, Kind};
use crate::keys::KeyFiles;
use crate::log::Log;
use crate::tell;
use ikev2_core::{CallError, DownReason, Endpoint, Event, IkeSaHandle};
use ipsec_esp::engine::{Arrival, Incoming};
use ipsec_esp::inbound::Opened;
use ipsec_esp::{MAX_HEADROOM, MAX_TAILROOM, PacketBuf};
use ipsec_types::sa::ChildSaId;
use ipsec_types::udp::{Datagram4500, classify};
use ipsec_types::{Instant, Path, PathKind, SaCommand};
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::task::Poll;
use std::time::SystemTime;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// The largest datagram.
const LARGEST: usize = 65_535;

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    log: Arc<Log>,
    sides: [Side; 2],
    messages: Arc<Messages>,
    events: Events,
    children: Vec<(usize, ChildSaId, String)>,
    packets: Vec<PacketLine>,
    capture: Capture<Vec<u8>>,
    began: (SystemTime, Instant),
    steps: u32,
    /// Whether SAs may end.
    ending: bool,
    /// The inner packet that came last, and where.
    delivered: Option<(usize, Incoming, Vec<u8>)>,
    buffer: Vec<u8>,
}

/// What the endpoints told, but for commands.
#[derive(Debug, Default)]
pub(super) struct Events(Vec<(usize, Event)>);

impl Events {
    /// How many events of a side are like this.
    pub(super) fn count(&self, side: usize, like: impl Fn(&Event) -> bool) -> usize {
        self.0.iter().filter(|(of, event)| *of == side && like(event)).count()
    }
}

impl World {
    pub(super) async fn new(
        log: &Arc<Log>,
        keys: Option<Arc<KeyFiles>>,
        suites: Suites,
    ) -> Result<Self, Failed> {
        let (of_a, of_b) = (Sockets::bind().await?, Sockets::bind().await?);
        for (name, sockets) in NAMES.iter().zip([&of_a, &of_b]) {
            let (ike, nat_t) = (sockets.ike.local_addr()?, sockets.nat_t.local_addr()?);
            log.line(format_args!("{name} listens on {ike} instead of port 500, on {nat_t} instead of 4500"));
        }
        let messages = Messages::new(log);
        // Both sides know the same keys: one log of them is enough.
        let b = Side::new(B, of_b, &of_a, &messages, None, suites)?;
        let a = Side::new(A, of_a, &b.sockets, &messages, keys, suites)?;
        Ok(Self {
            log: Arc::clone(log),
            sides: [a, b],
            messages,
            events: Events::default(),
            children: Vec::new(),
            packets: Vec::new(),
            capture: Capture::new(Vec::new(), &NAMES)?,
            began: (SystemTime::now(), log.now()),
            steps: 0,
            ending: false,
            delivered: None,
            buffer: vec![0; LARGEST],
        })
    }

    /// Begins a step of the story.
    pub(super) fn heading(&mut self, text: &str) {
        self.steps += 1;
        self.log.heading(format_args!("{}. {text}", self.steps));
    }

    fn side(&mut self, number: usize) -> &mut Side {
        let [a, b] = &mut self.sides;
        if number == A { a } else { b }
    }

    /// Lets a begin, by the sockets that stand for port 500.
    pub(super) fn connect(&mut self) -> Result<IkeSaHandle, Failed> {
        let [a, b] = &self.sides;
        let path = Path::ike(a.sockets.ike.local_addr()?, b.sockets.ike.local_addr()?);
        self.call(A, |endpoint, now| endpoint.connect(now, "loopback", path))
    }

    /// Asks something of an endpoint.
    pub(super) fn call<T>(
        &mut self,
        number: usize,
        call: impl FnOnce(&mut Endpoint, Instant) -> Result<T, CallError>,
    ) -> Result<T, Failed> {
        let now = self.log.now();
        call(&mut self.side(number).endpoint, now).map_err(|error| Failed::Call { side: name(number), error })
    }

    /// The Child SA of this name, if the side has it.
    pub(super) fn child(&self, number: usize, called: &str) -> Option<ChildSaId> {
        let found = self.children.iter().find(|(side, _, name)| *side == number && name == called);
        found.map(|(_, id, _)| *id)
    }

    /// From now on SAs may end.
    pub(super) fn expect_end(&mut self) {
        self.ending = true;
    }

    /// Goes on until the events satisfy `done`.
    pub(super) async fn until(
        &mut self,
        what: &'static str,
        done: impl Fn(&Events) -> bool,
    ) -> Result<(), Failed> {
        self.settle().await?;
        while !done(&self.events) {
            self.step(what).await?;
        }
        self.log.flush();
        Ok(())
    }

    /// Waits for the next datagram or the next timer, and handles it.
    async fn step(&mut self, what: &'static str) -> Result<(), Failed> {
        let now = self.log.now();
        let timers = self.sides.iter().flat_map(|s| [s.endpoint.poll_timeout(), s.engine.poll_timeout()]);
        let left = timers.flatten().min().map_or(PATIENCE, |at| at.saturating_since(now));
        match timeout(left.min(PATIENCE), self.readable()).await {
            Ok((side, kind)) => self.receive(side, kind)?,
            Err(_) if left >= PATIENCE => return Err(Failed::Silence(what)),
            Err(_) => {
                let now = self.log.now();
                for side in &mut self.sides {
                    side.endpoint.handle_timeout(now);
                    side.engine.handle_timeout(now);
                }
            }
        }
        self.settle().await
    }

    /// Events are carried out, and then datagrams go out, until there is nothing more.
    async fn settle(&mut self) -> Result<(), Failed> {
        let mut idle = false;
        while !idle {
            idle = true;
            for number in [A, B] {
                while let Some(report) = self.side(number).engine.poll_report() {
                    // Of an SA that is gone meanwhile nothing need be known.
                    let now = self.log.now();
                    let _ = self.side(number).endpoint.handle_report(now, &report);
                }
                while let Some(event) = self.side(number).endpoint.poll_event() {
                    idle = false;
                    self.on_event(number, event)?;
                }
                while let Some(transmit) = self.side(number).endpoint.poll_transmit() {
                    idle = false;
                    self.send(number, &transmit.path, &transmit.datagram).await?;
                }
            }
        }
        Ok(())
    }

    async fn readable(&self) -> (usize, PathKind) {
        poll_fn(|cx| {
            for (number, side) in self.sides.iter().enumerate() {
                for kind in [PathKind::Ike, PathKind::NatT] {
                    if socket(side, kind).poll_recv_ready(cx).is_ready() {
                        return Poll::Ready((number, kind));
                    }
                }
            }
            Poll::Pending
        })
        .await
    }

    fn receive(&mut self, number: usize, kind: PathKind) -> Result<(), Failed> {
        let now = self.log.now();
        let mut buffer = std::mem::take(&mut self.buffer);
        let side = self.side(number);
        let socket = socket(side, kind);
        let (length, remote) = match socket.try_recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.buffer = buffer;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let path = Path { local: socket.local_addr()?, remote, kind };
        let (datagram, _) = buffer.split_at_mut(length);
        if kind == PathKind::NatT && matches!(classify(datagram), Datagram4500::Esp(_)) {
            let mut packet = PacketBuf::whole(datagram);
            let opened = side.engine.open(now, Arrival::udp(path), &mut packet);
            let incoming = opened.map_err(|error| Failed::Open { side: name(number), error })?;
            self.delivered = Some((number, incoming, packet.as_slice().to_vec()));
        } else {
            let handled = side.endpoint.handle_datagram(now, path, datagram);
            handled.map_err(|error| Failed::Rejected { side: name(number), error })?;
        }
        self.buffer = buffer;
        Ok(())
    }

    async fn send(&mut self, number: usize, path: &Path, datagram: &[u8]) -> Result<(), Failed> {
        let interface = if number == A { 0 } else { 1 };
        let at = self.began.0 + self.log.now().saturating_since(self.began.1);
        let port = match path.kind {
            PathKind::Ike => 500,
            PathKind::NatT => 4_500,
        };
        let end = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        self.capture.udp(interface, at, end, end, datagram)?;
        let socket = socket(self.side(number), path.kind);
        let sent = socket.send_to(datagram, path.remote).await?;
        if sent == datagram.len() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::WriteZero).into()) }
    }

    fn on_event(&mut self, number: usize, event: Event) -> Result<(), Failed> {
        let who = name(number);
        match &event {
            Event::DataPath(command) => return self.on_command(number, command.clone()),
            Event::IkeSaUp { info, .. } => {
                self.log.line(format_args!("{who}       IKE SA up: {}", tell::ike_sa(info)))
            }
            Event::IkeSaRekeyed { info, .. } => {
                self.log.line(format_args!("{who}       IKE SA rekeyed: {}", tell::ike_sa(info)));
            }
            Event::ChildSaUp { info, .. } => {
                let called = if info.child.policy.0 == 1 { "net" } else { "lab" };
                self.children.push((number, info.child.id, called.into()));
                self.log.line(format_args!("{who}       Child SA up: {}", tell::child_sa(called, info)));
            }
            Event::PeerAlive { round_trip, .. } => {
                self.log.line(format_args!("{who}       the peer is there: {} us", round_trip.as_micros()));
            }
            Event::ChildSaDown { id, reason, .. } => {
                let found = self.children.iter().find(|(side, known, _)| (side, known) == (&number, id));
                let called = found.map_or("", |(.., called)| called);
                self.log.line(format_args!("{who}       Child SA {called} down: {reason}"));
                self.check_end(number, reason)?;
            }
            Event::IkeSaDown { reason, .. } => {
                self.log.line(format_args!("{who}       IKE SA down: {reason}"));
                self.check_end(number, reason)?;
            }
            other => return Err(Failed::Ended { side: who, what: format!("{other:?}") }),
        }
        self.events.0.push((number, event));
        Ok(())
    }

    fn check_end(&self, number: usize, reason: &DownReason) -> Result<(), Failed> {
        let wanted =
            matches!(reason, DownReason::Requested | DownReason::DeletedByPeer | DownReason::IkeSaEnded);
        if self.ending && wanted {
            return Ok(());
        }
        Err(Failed::Ended { side: name(number), what: reason.to_string() })
    }

    fn on_command(&mut self, number: usize, command: SaCommand) -> Result<(), Failed> {
        let now = self.log.now();
        let applied = self.side(number).engine.apply(now, command);
        applied.map_err(|error| Failed::Command { side: name(number), error })
    }

    /// Carries a packet from a side to the other, by the Child SA of this name, and compares what arrives.
    pub(super) async fn carry(&mut self, from: usize, called: &str, echo: &Echo) -> Result<(), Failed> {
        let wrong = |what: &str| Failed::Wrong(format!("{what}: {}", packet_text(echo)));
        let inner = echo.to_packet().ok_or_else(|| wrong("no packet can be made"))?;
        let mut storage = [&[0; MAX_HEADROOM], &inner[..], &[0; MAX_TAILROOM]].concat();
        let within = MAX_HEADROOM..MAX_HEADROOM + inner.len();
        let mut packet = PacketBuf::new(&mut storage, within).ok_or_else(|| wrong("no room"))?;

        let began = self.log.now();
        let sealed = self.side(from).engine.seal(began, &mut packet);
        let out = sealed.map_err(|error| Failed::Seal { side: name(from), error })?;
        self.send(from, &out.path, packet.as_slice()).await?;
        while self.delivered.is_none() {
            self.step("a packet").await?;
        }
        let took = self.log.now().saturating_since(began);

        let to = 1 - from;
        let (side, incoming, arrived) = self.delivered.take().ok_or_else(|| wrong("nothing came"))?;
        if side != to || arrived != inner || incoming.opened == Opened::Dummy {
            return Err(wrong("what came is not what was sent"));
        }
        if self.child(from, called) != Some(out.child) || self.child(to, called) != Some(incoming.child) {
            return Err(wrong("the wrong Child SA carried the packet"));
        }
        let outer = packet.len();
        let arrow = if from == A { "a -> b" } else { "a <- b" };
        let number = format!("ESP {called} #{}", out.sealed.number);
        self.log.line(format_args!("{arrow}  {number:<32} {outer:>5} octets  {}", packet_text(echo)));
        self.log.flush();
        PacketLine::add(&mut self.packets, called, inner.len(), outer, took);
        Ok(())
    }

    /// What everything cost.
    pub(super) fn summary(&self) -> Result<Summary, Failed> {
        for (side, number) in self.sides.iter().zip([A, B]) {
            let (ike, esp) = (side.endpoint.statistics(), side.engine.statistics());
            let lost = ike.rejected_in_all() + esp.inbound.dropped_in_all() + esp.outbound.dropped_in_all();
            if lost != 0 || side.endpoint.ike_sas().next().is_some() {
                return Err(Failed::Wrong(format!(
                    "{}: {lost} packets or messages were dropped",
                    name(number)
                )));
            }
        }
        Ok(Summary { exchanges: exchanges(&self.messages.seen())?, packets: self.packets.clone() })
    }

    /// The capture file.
    pub(super) fn finish(self) -> Result<Vec<u8>, Failed> {
        Ok(self.capture.finish()?)
    }
}

fn name(number: usize) -> &'static str {
    if number == A { "a" } else { "b" }
}

fn socket(side: &Side, kind: PathKind) -> &UdpSocket {
    match kind {
        PathKind::Ike => &side.sockets.ike,
        PathKind::NatT => &side.sockets.nat_t,
    }
}

fn packet_text(echo: &Echo) -> String {
    let Echo { source, destination, sequence, data, .. } = echo;
    let kind = if echo.kind == Kind::Request { "request" } else { "reply" };
    format!("{source} > {destination} echo {kind} {sequence}, {} octets of data", data.len())
}
