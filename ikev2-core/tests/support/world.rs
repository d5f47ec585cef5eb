//! A network in virtual time, with endpoints on it. Every call keeps the contract of the crate's first page, and
//! every claim of that page is asserted after every call:
//!
//! - events are polled first, then transmits, then the timeout;
//! - after `handle_timeout(now)` the next deadline is later than `now`, or there is none;
//! - a call of `handle_timeout` that is due does something, and one that comes early does nothing;
//! - a rejected datagram changes nothing;
//! - the events alone tell what the endpoint's own table says ([`Mirror`]);
//! - a datagram on the NAT-T path starts with the non-ESP marker or is a keepalive, one on the other never.
//!
//! Each node has a clock of its own, which may jump.
//!
//! With one seed a run is the same to the octet.

use super::Dice;
use super::mirror::Mirror;
use super::setup::{KeyBook, Setup, seeded};
use super::tickets::Clerk;
use ikev2_core::{
    Answer, CallError, Endpoint, EndpointConfig, Event, Handled, IkeSaHandle, IkeSaInfo, MoveError,
    Rejection, Ticket, Transmit,
};
use ikev2_wire::Header;
use ikev2_wire::codes::ExchangeType;
use ipsec_crypto::SecureRandom;
use ipsec_crypto::state::StateKey;
use ipsec_types::udp::{NAT_KEEPALIVE, NON_ESP_MARKER};
use ipsec_types::{Instant, Path, PathKind};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A datagram on the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub octets: Vec<u8>,
}

impl Packet {
    /// The IKE message without the non-ESP marker.
    pub fn message(&self) -> &[u8] {
        self.octets.strip_prefix(&NON_ESP_MARKER).unwrap_or(&self.octets)
    }

    /// The size of the IP datagram that carries it.
    pub fn ip_octets(&self) -> usize {
        let ip = if self.to.is_ipv6() { 40 } else { 20 };
        ip + 8 + self.octets.len()
    }

    pub fn header(&self) -> Header {
        Header::parse(self.message()).unwrap()
    }

    /// The same with other octets in place of the message.
    pub fn with_message(&self, message: &[u8]) -> Self {
        let mut octets = self.octets[..self.octets.len() - self.message().len()].to_vec();
        octets.extend_from_slice(message);
        Self { octets, ..self.clone() }
    }
}

/// A NAT in front of one node: an address of its own, and a port for each inner socket.
#[derive(Debug)]
pub struct Nat {
    pub public: IpAddr,
    /// Ports are kept as they are, as where they are forwarded by hand.
    pub keeps_ports: bool,
    mappings: BTreeMap<SocketAddr, u16>,
    next_port: u16,
}

impl Nat {
    pub fn new(public: &str) -> Self {
        let public = public.parse().unwrap();
        Self { public, keeps_ports: false, mappings: BTreeMap::new(), next_port: 20_000 }
    }

    pub fn forwarding(public: &str) -> Self {
        Self { keeps_ports: true, ..Self::new(public) }
    }

    fn outwards(&mut self, inner: SocketAddr) -> SocketAddr {
        if self.keeps_ports {
            return SocketAddr::new(self.public, inner.port());
        }
        let next = &mut self.next_port;
        let port = *self.mappings.entry(inner).or_insert_with(|| {
            *next += 1;
            *next
        });
        SocketAddr::new(self.public, port)
    }

    fn inwards(&self, outer: SocketAddr, inner: IpAddr) -> Option<SocketAddr> {
        if outer.ip() != self.public {
            return None;
        }
        if self.keeps_ports {
            return Some(SocketAddr::new(inner, outer.port()));
        }
        self.mappings.iter().find(|(_, port)| **port == outer.port()).map(|(inner, _)| *inner)
    }

    /// Gives out ports from here on, as where several hosts share the address.
    pub fn start_at(&mut self, port: u16) {
        self.next_port = port;
    }

    /// Forgets every mapping: what comes next gets another port.
    pub fn rebind(&mut self) {
        self.mappings.clear();
    }
}

/// What the network does to datagrams: chances in a thousand, times in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    pub loss: u64,
    pub duplication: u64,
    pub corruption: u64,
    /// The least and the most time that a datagram takes; their difference reorders.
    pub latency: (u64, u64),
    /// How late a timer may fire.
    pub lateness: u64,
    /// IP datagrams of more octets are lost: their fragments do not arrive. 0 for no such bound.
    pub mtu: usize,
}

/// A node's clock beside the world's. The endpoint is told what it shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// How far it has jumped ahead, all in all.
    pub ahead: Duration,
    /// How far it has jumped back.
    pub back: Duration,
    /// The latest time that the endpoint was told.
    told: Duration,
}

impl Clock {
    fn at(&self, now: Instant) -> Instant {
        Instant::from_origin((now + self.ahead).since_origin().saturating_sub(self.back))
    }

    /// When the world's clock will stand where this one shows `at`.
    fn in_the_world(&self, at: Instant) -> Instant {
        Instant::from_origin((at + self.back).since_origin().saturating_sub(self.ahead))
    }
}

/// Follows what happens in a world, and sees it before anything comes of it.
pub trait Tap: Debug {
    /// A node sends a datagram.
    fn sends(&mut self, world: &World, node: usize, octets: &[u8]);
    /// A node gets a datagram.
    fn gets(&mut self, world: &World, node: usize, octets: &[u8]);
    /// What became of it, after all that came of it was taken.
    fn got(&mut self, world: &World, node: usize, octets: &[u8], result: &Result<Handled, Rejection>);
    /// A node tells something.
    fn tells(&mut self, world: &World, node: usize, event: &Event);
    /// A datagram as a line of text.
    fn text(&self, octets: &[u8]) -> String;
}

/// An endpoint with what an embedder has around it.
#[derive(Debug)]
pub struct Node {
    pub endpoint: Endpoint,
    /// What the endpoint was made with.
    pub config: Arc<EndpointConfig>,
    pub ip: IpAddr,
    /// Its other addresses.
    pub others: Vec<IpAddr>,
    pub clock: Clock,
    pub nat_t_port: u16,
    pub nat: Option<Nat>,
    pub mirror: Mirror,
    /// Every event since the test last took them.
    pub events: Vec<Event>,
    /// Every rejection since the test last took them.
    pub rejections: Vec<Rejection>,
    pub keys: Arc<KeyBook>,
    /// Who signs and verifies for it.
    pub clerk: Option<Clerk>,
    /// Whether its outputs are polled; an embedder that hangs does not.
    pub polled: bool,
}

impl Node {
    /// Where others reach it.
    pub fn public_ip(&self) -> IpAddr {
        self.nat.as_ref().map_or(self.ip, |nat| nat.public)
    }

    /// Whether it has this address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.ip == address || self.others.contains(&address)
    }

    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The only IKE SA.
    pub fn only_sa(&self) -> (IkeSaHandle, IkeSaInfo) {
        let mut sas: Vec<_> = self.endpoint.ike_sas().collect();
        assert_eq!(sas.len(), 1, "{sas:?}");
        sas.remove(0)
    }
}

/// The whole state as text, apart from statistics and the time.
pub fn dump(endpoint: &Endpoint) -> String {
    let text = format!("{endpoint:?}");
    let (_, rest) = text.split_once(", sas:").expect("the dump begins with the time");
    rest.to_string()
}

/// The same without what a stateless answer may use up: the cookie secret's age and the budget for errors.
pub fn dump_of_sas(endpoint: &Endpoint) -> String {
    let text = dump(endpoint);
    let (front, rest) = text.split_once(", cookies:").expect("cookies");
    let (_, rest) = rest.split_once(", names:").expect("names");
    let (middle, _) = rest.split_once(", errors:").expect("errors");
    format!("{front}{middle}")
}

#[derive(Debug)]
pub struct World {
    pub nodes: Vec<Node>,
    pub now: Instant,
    pub link: Link,
    /// What is sent from or to these addresses is lost.
    pub dead: BTreeSet<IpAddr>,
    pub dice: Dice,
    /// Whether dumps of the state are compared around rejections and timers; it costs most of a run's time.
    pub strict: bool,
    /// Everything that happened, if it is kept.
    pub transcript: Option<String>,
    pub tap: Option<Rc<RefCell<dyn Tap>>>,
    queue: BTreeMap<(Instant, u64), Packet>,
    answers: BTreeMap<(Instant, u64), (usize, Ticket, Answer)>,
    next_number: u64,
}

pub const A: usize = 0;
pub const B: usize = 1;

impl World {
    /// Nodes of these configurations: the first has 192.0.2.1, the second 192.0.2.2, and so on.
    pub fn new(setups: Vec<Setup>, seed: u64) -> Self {
        let random = (0..setups.len() as u64).map(|n| seeded(seed.wrapping_mul(1_000).wrapping_add(n)));
        let nodes = setups.into_iter().zip(random).collect();
        Self::with_random(nodes, seed)
    }

    pub fn with_random(setups: Vec<(Setup, Box<dyn SecureRandom>)>, seed: u64) -> Self {
        let nodes = (1..).zip(setups).map(|(number, (setup, random))| {
            let keys = setup.keys.clone();
            let config = setup.finish();
            Node {
                nat_t_port: config.local_nat_t_port,
                endpoint: Endpoint::new(config.clone(), random),
                config,
                ip: IpAddr::from([192, 0, 2, number]),
                others: Vec::new(),
                clock: Clock::default(),
                nat: None,
                mirror: Mirror::default(),
                events: Vec::new(),
                rejections: Vec::new(),
                keys,
                clerk: None,
                polled: true,
            }
        });
        Self {
            nodes: nodes.collect(),
            now: Instant::from_millis(1_000),
            link: Link::default(),
            dead: BTreeSet::new(),
            dice: Dice::new(seed),
            strict: true,
            transcript: None,
            tap: None,
            queue: BTreeMap::new(),
            answers: BTreeMap::new(),
            next_number: 0,
        }
    }

    /// The usual two.
    pub fn pair(a: Setup, b: Setup) -> Self {
        Self::new(vec![a, b], 1)
    }

    /// The usual two, with an established IKE SA and the first Child SA.
    pub fn established(a: Setup, b: Setup) -> Self {
        let mut world = Self::pair(a, b);
        world.connect(A, B);
        world.run();
        for node in [A, B] {
            assert_eq!(world.nodes[node].mirror.sas.len(), 1, "{:?}", world.nodes[node].events);
            assert_eq!(world.nodes[node].mirror.children.len(), 1, "{:?}", world.nodes[node].events);
            world.nodes[node].take_events();
        }
        world
    }

    pub fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    pub fn endpoint(&self, node: usize) -> &Endpoint {
        &self.nodes[node].endpoint
    }

    pub fn handle(&self, node: usize) -> IkeSaHandle {
        self.nodes[node].only_sa().0
    }

    pub fn take_events(&mut self, node: usize) -> Vec<Event> {
        self.nodes[node].take_events()
    }

    /// What a node's clock shows.
    pub fn clock(&self, node: usize) -> Instant {
        self.nodes[node].clock.at(self.now)
    }

    /// What a node's clock shows, about to be told to its endpoint; and the latest that the endpoint then knows.
    fn tell_time(&mut self, node: usize) -> (Instant, Instant) {
        let now = self.clock(node);
        let clock = &mut self.nodes[node].clock;
        clock.told = clock.told.max(now.since_origin());
        (now, Instant::from_origin(clock.told))
    }

    fn tap(&self, act: impl FnOnce(&mut dyn Tap)) {
        if let Some(tap) = &self.tap {
            act(&mut *tap.borrow_mut());
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(transcript) = &mut self.transcript {
            writeln!(transcript, "{now:?} {}", line()).unwrap();
        }
    }

    /// Calls an endpoint, and polls it as the contract says.
    pub fn call<T>(&mut self, node: usize, act: impl FnOnce(&mut Endpoint, Instant) -> T) -> T {
        let (now, _) = self.tell_time(node);
        let result = act(&mut self.nodes[node].endpoint, now);
        self.settle(node);
        result
    }

    /// Takes an IKE SA out of a node's endpoint, or leaves everything as it was.
    pub fn export(&mut self, node: usize, sa: IkeSaHandle, key: &StateKey) -> Result<Vec<u8>, MoveError> {
        let before = self.strict.then(|| dump(&self.nodes[node].endpoint));
        let (now, _) = self.tell_time(node);
        let result = self.nodes[node].endpoint.export(now, sa, key);
        self.note(|| format!("{node} gives {sa} away: {:?}", result.as_ref().map(Vec::len)));
        match (&result, before) {
            (Ok(_), _) => self.nodes[node].mirror.depart(sa),
            (Err(_), Some(before)) => assert_eq!(before, dump(&self.nodes[node].endpoint)),
            (Err(_), None) => {}
        }
        assert_eq!(self.settle(node), 0, "it leaves without a word");
        result
    }

    /// Another process takes the place of a node's, with the same configuration and nothing else.
    pub fn restart(&mut self, node: usize, seed: u64) {
        self.note(|| format!("{node} restarts"));
        self.answers.retain(|_, (other, ..)| *other != node);
        let node = &mut self.nodes[node];
        node.endpoint = Endpoint::new(node.config.clone(), seeded(seed));
        node.mirror.restart();
    }

    /// Takes what waits: events, then transmits. Gives how much it was.
    pub fn settle(&mut self, node: usize) -> usize {
        if !self.nodes[node].polled {
            return 0;
        }
        let mut count = 0;
        while let Some(event) = self.nodes[node].endpoint.poll_event() {
            count += 1;
            self.note(|| format!("{node} {event:?}"));
            self.tap(|tap| tap.tells(self, node, &event));
            self.nodes[node].mirror.apply(&event);
            self.ask_clerk(node, &event);
            self.nodes[node].events.push(event);
        }
        while let Some(transmit) = self.nodes[node].endpoint.poll_transmit() {
            count += 1;
            self.send(node, &transmit);
        }
        assert!(self.nodes[node].endpoint.poll_event().is_none());
        self.nodes[node].mirror.check(&self.nodes[node].endpoint);
        count
    }

    /// Has what an event asks for answered, in time or not.
    fn ask_clerk(&mut self, node: usize, event: &Event) {
        let Some(clerk) = &self.nodes[node].clerk else { return };
        let Some((ticket, deadline, answer)) = clerk.answer(event) else { return };
        let ((least, most), never) = (clerk.delay, clerk.never);
        assert!(deadline > self.clock(node), "{event:?}");
        if self.dice.per_mille(never) {
            return;
        }
        let at = self.now + Duration::from_millis(least + self.dice.below(most - least + 1));
        self.next_number += 1;
        self.answers.insert((at, self.next_number), (node, ticket, answer));
    }

    /// Brings the next answer.
    fn bring_answer(&mut self) {
        let Some(((at, _), (node, ticket, answer))) = self.answers.pop_first() else { return };
        self.now = self.now.max(at);
        let result = self.call(node, |endpoint, now| endpoint.answer(now, ticket, answer.clone()));
        self.note(|| format!("{node} answers {ticket:?}: {result:?}"));
        // It was the right one, unless the SA was gone; and it counts once.
        assert!(matches!(result, Ok(()) | Err(CallError::NoSuchTicket)), "{result:?}");
        let again = self.call(node, |endpoint, now| endpoint.answer(now, ticket, answer));
        assert_eq!(again, Err(CallError::NoSuchTicket));
    }

    /// Puts a datagram on the wire.
    fn send(&mut self, node: usize, transmit: &Transmit) {
        let Transmit { path, datagram } = transmit;
        self.tap(|tap| tap.sends(self, node, datagram));
        let text = self.text_of(datagram);
        self.note(|| format!("{node} sends {path} {text}"));
        let sender = &mut self.nodes[node];
        let port = if path.kind == PathKind::Ike { 500 } else { sender.nat_t_port };
        assert_eq!(path.local.port(), port, "{path}");
        let unspecified = path.local_ip().is_unspecified();
        if !unspecified && !sender.has(path.local_ip()) {
            // No socket has this address any more.
            return;
        }
        match path.kind {
            PathKind::NatT => {
                assert!(datagram.starts_with(&NON_ESP_MARKER) || datagram[..] == NAT_KEEPALIVE, "{path}");
            }
            PathKind::Ike => assert!(!datagram.starts_with(&NON_ESP_MARKER), "{path}"),
        }
        let inner = SocketAddr::new(if unspecified { sender.ip } else { path.local_ip() }, port);
        let from = sender.nat.as_mut().map_or(inner, |nat| nat.outwards(inner));
        let packet = Packet { from, to: path.remote, octets: datagram.to_vec() };
        self.schedule(packet);
    }

    /// A datagram in the transcript, if there is one: what the tap makes of it, and its octets.
    fn text_of(&self, octets: &[u8]) -> String {
        match (&self.transcript, &self.tap) {
            (None, _) => String::new(),
            (_, None) => hex(octets),
            (_, Some(tap)) => format!("{} {}", tap.borrow().text(octets), hex(octets)),
        }
    }

    fn schedule(&mut self, mut packet: Packet) {
        let link = self.link;
        if self.dead.contains(&packet.from.ip()) || self.dead.contains(&packet.to.ip()) {
            return;
        }
        if link.mtu > 0 && packet.ip_octets() > link.mtu {
            return;
        }
        if self.dice.per_mille(link.loss) {
            return;
        }
        if self.dice.per_mille(link.duplication) {
            self.put(packet.clone());
        }
        if self.dice.per_mille(link.corruption) {
            let at = self.dice.below(packet.octets.len() as u64) as usize;
            packet.octets[at] ^= 1 << self.dice.below(8);
        }
        self.put(packet);
    }

    /// Puts a datagram in flight without any fault.
    pub fn put(&mut self, packet: Packet) {
        let (least, most) = self.link.latency;
        let latency = least + self.dice.below(most.saturating_sub(least) + 1);
        self.next_number += 1;
        self.queue.insert((self.now + Duration::from_millis(latency), self.next_number), packet);
    }

    /// What is in flight, in the order of arrival.
    pub fn in_flight(&self) -> impl Iterator<Item = &Packet> {
        self.queue.values()
    }

    /// Takes the next datagram out of flight. It is lost unless the test delivers it.
    pub fn take(&mut self) -> Packet {
        let ((at, _), packet) = self.queue.pop_first().expect("nothing is in flight");
        self.now = self.now.max(at);
        packet
    }

    /// The next datagram in flight, left there.
    pub fn peek(&self) -> Packet {
        self.queue.values().next().cloned().expect("nothing is in flight")
    }

    /// Takes everything out of flight.
    pub fn take_all(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.queue).into_values().collect()
    }

    /// Delivers all that is in flight, and what comes of it, in any order; the datagram of this number is lost, counted
    /// from 1.
    pub fn deliver_in_any_order(&mut self, lost: u32) {
        for number in 1.. {
            let mut packets = self.take_all();
            if packets.is_empty() {
                return;
            }
            let next = packets.remove(self.dice.below(packets.len() as u64) as usize);
            packets.into_iter().for_each(|packet| self.put(packet));
            if number != lost {
                self.deliver(&next);
            }
        }
    }

    /// Which node gets a datagram, and by which path.
    pub fn route(&self, packet: &Packet) -> Option<(usize, Path)> {
        self.nodes.iter().enumerate().find_map(|(number, node)| {
            let local = match &node.nat {
                Some(nat) => nat.inwards(packet.to, node.ip)?,
                None => packet.to,
            };
            let kind = match local.port() {
                500 => PathKind::Ike,
                port if port == node.nat_t_port => PathKind::NatT,
                _ => return None,
            };
            node.has(local.ip()).then_some((number, Path { local, remote: packet.from, kind }))
        })
    }

    /// Hands a datagram to whom it is for.
    pub fn deliver(&mut self, packet: &Packet) -> Option<Result<Handled, Rejection>> {
        let (node, path) = self.route(packet)?;
        Some(self.receive(node, path, &packet.octets))
    }

    /// Hands octets to a node.
    pub fn receive(&mut self, node: usize, path: Path, octets: &[u8]) -> Result<Handled, Rejection> {
        let before = self.strict.then(|| dump_of_sas(&self.nodes[node].endpoint));
        let (now, _) = self.tell_time(node);
        self.tap(|tap| tap.gets(self, node, octets));
        let counted = self.nodes[node].endpoint.statistics().clone();
        let result = self.nodes[node].endpoint.handle_datagram(now, path, octets);
        let statistics = self.nodes[node].endpoint.statistics();
        assert_eq!(statistics.datagrams_received, counted.datagrams_received + 1);
        let rejections = statistics.rejected_in_all() - counted.rejected_in_all();
        assert_eq!(rejections, u64::from(result.is_err()));
        if let Err(rejection) = &result {
            let kind = rejection.kind();
            assert_eq!(statistics.rejected(kind), counted.rejected(kind) + 1, "{rejection}");
            assert!(!rejection.to_string().is_empty());
            // What the answer itself is waits in the outbox, and is polled away here.
            let events = self.nodes[node].events.len();
            self.settle(node);
            assert_eq!(self.nodes[node].events.len(), events, "rejected with events: {rejection}");
            if let Some(before) = before.filter(|_| self.nodes[node].polled) {
                let after = dump_of_sas(&self.nodes[node].endpoint);
                assert_eq!(before, after, "rejected and not without effect: {rejection}");
            }
            self.nodes[node].rejections.push(rejection.clone());
        }
        let text = self.text_of(octets);
        self.note(|| format!("{node} gets {path} {result:?}: {text}"));
        self.settle(node);
        self.tap(|tap| tap.got(self, node, octets, &result));
        result
    }

    /// Delivers the next datagram in flight.
    pub fn deliver_next(&mut self) -> Option<Result<Handled, Rejection>> {
        let packet = self.take();
        self.deliver(&packet)
    }

    /// Delivers up to the first request or answer of this exchange, and takes that.
    pub fn take_first(&mut self, exchange: ExchangeType, is_response: bool) -> Packet {
        loop {
            let packet = self.take();
            let header = packet.header();
            if (header.exchange, header.flags.is_response()) == (exchange, is_response) {
                return packet;
            }
            self.deliver(&packet).unwrap().unwrap();
        }
    }

    /// Delivers until nothing is in flight and no answer is due. Timers do not fire.
    pub fn run(&mut self) {
        for _ in 0..10_000 {
            let now = self.now;
            if self.answers.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
                self.bring_answer();
            } else if self.queue.is_empty() {
                return;
            } else {
                self.deliver_next();
            }
        }
        panic!("it never ends");
    }

    /// Calls `handle_timeout`, and asserts that it has an effect if and only if it is due.
    pub fn fire(&mut self, node: usize) {
        let (now, latest) = self.tell_time(node);
        let due = self.nodes[node].endpoint.poll_timeout().is_some_and(|at| at <= latest);
        let before = self.strict.then(|| dump(&self.nodes[node].endpoint));
        self.nodes[node].endpoint.handle_timeout(now);
        let next = self.nodes[node].endpoint.poll_timeout();
        assert!(next.is_none_or(|at| at > latest), "due at {next:?} after handle_timeout({now:?})");
        if let Some(before) = before {
            let changed = before != dump(&self.nodes[node].endpoint);
            assert_eq!(due, changed, "due and without effect, or the other way round, at {now:?}: {before}");
        }
        let count = self.settle(node);
        assert!(due || count == 0, "{count} outputs before their time");
    }

    /// The next timer of any node.
    pub fn next_timer(&self) -> Option<(Instant, usize)> {
        let timers = self.nodes.iter().enumerate();
        let in_the_world = |node: &Node| Some(node.clock.in_the_world(node.endpoint.poll_timeout()?));
        timers.filter_map(|(number, node)| Some((in_the_world(node)?, number))).min()
    }

    /// Lets datagrams arrive and timers fire until `end`.
    pub fn run_until(&mut self, end: Instant) {
        for _ in 0..200_000 {
            let packet = self.queue.first_key_value().map(|((at, _), _)| *at).filter(|at| *at <= end);
            let answer = self.answers.first_key_value().map(|((at, _), _)| *at).filter(|at| *at <= end);
            let timer = self.next_timer().filter(|(at, _)| *at <= end);
            let others = [packet, timer.map(|(at, _)| at)].into_iter().flatten().min();
            if answer.is_some_and(|at| others.is_none_or(|other| at <= other)) {
                self.bring_answer();
                continue;
            }
            match (packet, timer) {
                (Some(at), timer) if timer.is_none_or(|(timer, _)| at <= timer) => {
                    self.now = self.now.max(at);
                    if self.dice.per_mille(20) {
                        let node = self.dice.below(self.nodes.len() as u64) as usize;
                        self.fire(node);
                    }
                    self.deliver_next();
                }
                (_, Some((at, node))) => {
                    let late = Duration::from_millis(self.dice.below(self.link.lateness + 1));
                    self.now = self.now.max(at).max((at + late).min(end));
                    self.fire(node);
                }
                _ => {
                    self.now = self.now.max(end);
                    return;
                }
            }
        }
        panic!("it never comes to rest");
    }

    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    pub fn run_for_secs(&mut self, secs: u64) {
        self.run_for(Duration::from_secs(secs));
    }

    /// A node has these addresses from now on, and its endpoint is told.
    pub fn set_addresses(&mut self, node: usize, addresses: &[&str]) -> Result<(), CallError> {
        let mut all: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let told = all.clone();
        self.nodes[node].ip = all.remove(0);
        self.nodes[node].others = all;
        self.note(|| format!("{node} has {told:?}"));
        self.call(node, |endpoint, now| endpoint.set_local_addresses(now, &told))
    }

    /// The path for the first message from one node to another, by port 500.
    pub fn path(&self, from: usize, to: usize) -> Path {
        let remote = SocketAddr::new(self.nodes[to].public_ip(), 500);
        Path::ike(SocketAddr::new(self.nodes[from].ip, 500), remote)
    }

    /// Begins an IKE SA by the connection `tunnel`.
    pub fn connect(&mut self, from: usize, to: usize) -> IkeSaHandle {
        self.try_connect(from, to).unwrap()
    }

    pub fn try_connect(&mut self, from: usize, to: usize) -> Result<IkeSaHandle, CallError> {
        let path = self.path(from, to);
        let result = self.call(from, |endpoint, now| endpoint.connect(now, "tunnel", path));
        self.note(|| format!("{from} connects: {result:?}"));
        result
    }

    /// Asserts that a node is as empty as it began: no IKE SA, no timer, no SPI, no name.
    pub fn assert_empty(&self, node: usize) {
        let endpoint = &self.nodes[node].endpoint;
        assert_eq!(endpoint.ike_sas().count(), 0);
        assert_eq!(endpoint.half_open(), 0);
        assert_eq!(endpoint.poll_timeout(), None);
        assert!(self.nodes[node].mirror.sas.is_empty() && self.nodes[node].mirror.children.is_empty());
        let dump = dump(endpoint);
        for empty in ["ike_spis: IkeSpis({})", "timers: {}", "half_open: {}", "inbound: {}", "owners: {}"] {
            assert!(dump.contains(empty), "{empty} is not in {dump}");
        }
    }
}

pub fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// A run that fails shows what happened in it.
impl Drop for World {
    fn drop(&mut self) {
        if let Some(transcript) = self.transcript.as_deref().filter(|_| std::thread::panicking()) {
            println!("{transcript}");
        }
    }
}
