//! Batches: what comes of several packets in one call is what comes of them one by one, whatever is among them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{child, fix_checksum, mirrored, roomy, spi, v4};
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::ecn::Ecn;
use ipsec_esp::spd::{Action, Applies, Spd, SpdEntry};
use ipsec_esp::{
    Arrival, AuditRecord, Engine, EngineConfig, EngineStatistics, Incoming, OpenError, Outgoing, PacketBuf,
    ReportConfig, SealError, Sending,
};
use ipsec_types::sa::{ChildSa, ChildSaId, Lifetimes, Limit, PolicyId, SaInstall, SaKeys};
use ipsec_types::{
    AddressRange, Instant, Path, PortRange, SaCommand, SaReport, SecretBytes, SequenceNumbers,
    TrafficSelector,
};
use proptest::prelude::*;
use std::iter::from_fn;
use std::sync::Arc;
use std::time::Duration;

/// More than there are without a look ahead.
const SAS: u32 = 300;
/// Pairs that packets are of; the others are only there.
const USED: u8 = 6;

fn net(first: [u8; 2], host: u32) -> TrafficSelector {
    let [.., c, d] = host.to_be_bytes();
    let addresses = AddressRange::single([first[0], first[1], c, d].into());
    TrafficSelector { addresses, protocol: 0, ports: PortRange::ANY }
}

/// The pair of this number: for one host far away. One kind ends soon, one has 64-bit numbers.
fn pair(id: u32) -> ChildSa {
    let limit = Limit { soft: Some(4), hard: Some(7) };
    ChildSa {
        id: ChildSaId(id.into()),
        policy: PolicyId(1),
        local: vec![TrafficSelector::ALL_V4],
        remote: vec![net([10, 2], id)],
        lifetimes: Lifetimes {
            packets: if id == 2 { limit } else { Limit::default() },
            ..Lifetimes::default()
        },
        sequence_numbers: if id == 3 { SequenceNumbers::Sequential64 } else { SequenceNumbers::Sequential32 },
        ..child()
    }
}

fn spi_of(id: u32) -> u32 {
    0x1000 + id
}

/// With a key of its own.
fn install(child: &ChildSa, spi_value: u32) -> Box<SaInstall> {
    let mut key = [7; 20];
    key[..4].copy_from_slice(&spi_value.to_be_bytes());
    let keys = SaKeys { encr: SecretBytes::copy_from(&key), integ: SecretBytes::zeroed(0) };
    Box::new(SaInstall { child: Arc::new(child.clone()), spi: spi(spi_value), keys })
}

fn policy() -> Spd {
    let entry = |action, remote| SpdEntry {
        action,
        applies: Applies::BothWays,
        local: vec![TrafficSelector::ALL_V4],
        remote: vec![remote],
    };
    Spd::new(vec![
        entry(Action::Bypass, net([10, 3], 1)),
        entry(Action::Discard, net([10, 3], 2)),
        entry(Action::Protect(PolicyId(1)), TrafficSelector::ALL_V4),
    ])
    .unwrap()
}

fn config() -> EngineConfig {
    // Small enough for flows and reports to give way.
    let reports = ReportConfig { queue: 12, acquires: 2, ..ReportConfig::default() };
    EngineConfig { reports, flow_cache: 8, ..EngineConfig::default() }
}

fn sender() -> Engine {
    let mut engine = Engine::new(&RUSTCRYPTO, config());
    engine.set_policy(Some(policy()));
    for id in 1..=SAS {
        let install = install(&pair(id), spi_of(id));
        engine.apply(Instant::ZERO, SaCommand::InstallOutbound(install)).unwrap();
    }
    engine
}

fn receiver() -> Engine {
    let mut engine = Engine::new(&RUSTCRYPTO, config());
    for id in 1..=SAS {
        let install = install(&mirrored(&pair(id)), spi_of(id));
        engine.apply(Instant::ZERO, SaCommand::InstallInbound(install)).unwrap();
    }
    engine
}

/// What happens between batches.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    /// A pair takes the place of another, which then goes.
    Rekey(u8),
    Remove(u8),
    Timeout,
    Policy,
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        2 => Just(Between::Nothing),
        2 => (1..=USED).prop_map(Between::Rekey),
        1 => (1..=USED).prop_map(Between::Remove),
        1 => Just(Between::Timeout),
        1 => Just(Between::Policy),
    ]
}

fn carry_out(engine: &mut Engine, now: Instant, step: u32, between: Between, is_sender: bool) {
    match between {
        Between::Nothing => {}
        Between::Rekey(id) => {
            let (old, new) = (u32::from(id), 10_000 + 10 * step + u32::from(id));
            let child =
                ChildSa { id: ChildSaId(new.into()), replaces: Some(ChildSaId(old.into())), ..pair(old) };
            let _ = if is_sender {
                engine.apply(now, SaCommand::InstallOutbound(install(&child, spi_of(new))))
            } else {
                engine.apply(now, SaCommand::InstallInbound(install(&mirrored(&child), spi_of(new))))
            };
            let (from, to) = (ChildSaId(old.into()), ChildSaId(new.into()));
            let _ = engine.apply(now, SaCommand::SwitchOutbound { from, to });
            let _ = engine.apply(now, SaCommand::Remove { id: from, inbound: true, outbound: true });
        }
        Between::Remove(id) => {
            let id = ChildSaId(id.into());
            let _ = engine.apply(now, SaCommand::Remove { id, inbound: true, outbound: true });
        }
        Between::Timeout => engine.handle_timeout(now),
        Between::Policy => engine.set_policy(is_sender.then(policy)),
    }
}

/// Everything that can be seen of an engine from outside.
#[derive(PartialEq, Debug)]
struct Seen {
    reports: Vec<SaReport>,
    audits: Vec<AuditRecord>,
    statistics: EngineStatistics,
    lost: (u64, u64),
    clock_regressions: u64,
    next: Option<Instant>,
    state: String,
}

fn seen(engine: &mut Engine) -> Seen {
    Seen {
        reports: from_fn(|| engine.poll_report()).collect(),
        audits: from_fn(|| engine.poll_audit()).collect(),
        statistics: engine.statistics(),
        lost: (engine.reports_lost(), engine.audits_lost()),
        clock_regressions: engine.clock_regressions(),
        next: engine.poll_timeout(),
        state: format!("{engine:?}"),
    }
}

/// A packet to send: to whom, of what port and length, and what is wrong with it.
#[derive(Clone, Copy, Debug)]
struct Inner {
    to: u8,
    port: u16,
    len: usize,
    fault: u8,
}

fn inner() -> impl Strategy<Value = Inner> {
    (0..=USED + 3, 1u16..4, 28usize..300, 0u8..16).prop_map(|(to, port, len, fault)| Inner {
        to,
        port,
        len,
        fault,
    })
}

impl Inner {
    fn octets(self) -> Vec<u8> {
        let mut packet = v4(self.len);
        // The three behind the pairs: by, away, and for nobody.
        let (net, host) = match self.to.checked_sub(USED + 1) {
            None => (2, self.to),
            Some(other) => (3, other + 1),
        };
        packet[16..20].copy_from_slice(&[10, net, 0, host]);
        packet[20..22].copy_from_slice(&self.port.to_be_bytes());
        match self.fault {
            0 => packet[0] = 0x55,
            // A fragment that is not the first.
            1 => packet[6..8].copy_from_slice(&[0x00, 0x10]),
            2 => packet.truncate(27),
            _ => {}
        }
        if packet[0] == 0x45 {
            fix_checksum(&mut packet);
        }
        packet
    }
}

type Sealed<T> = (Result<T, SealError>, Vec<u8>);

fn rooms(inner: &[Inner]) -> Vec<(Vec<u8>, std::ops::Range<usize>)> {
    inner.iter().map(|inner| roomy(&inner.octets())).collect()
}

fn octets_of<T, E>(packet: &PacketBuf<'_>, result: &Result<T, E>) -> Vec<u8> {
    // Of what failed they may be anything.
    if result.is_ok() { packet.as_slice().to_vec() } else { Vec::new() }
}

fn seal_one_by_one(engine: &mut Engine, now: Instant, inner: &[Inner]) -> Vec<Sealed<Outgoing>> {
    let sealed = |(mut storage, at): (Vec<u8>, _)| {
        let mut packet = PacketBuf::new(&mut storage, at).unwrap();
        let sealed = engine.seal(now, &mut packet);
        (sealed, octets_of(&packet, &sealed))
    };
    rooms(inner).into_iter().map(sealed).collect()
}

fn seal_in_batch(engine: &mut Engine, now: Instant, inner: &[Inner]) -> Vec<Sealed<Outgoing>> {
    let (mut rooms, mut all) = (rooms(inner), Vec::new());
    let mut packets: Vec<_> =
        rooms.iter_mut().map(|(storage, at)| PacketBuf::new(storage, at.clone()).unwrap()).collect();
    engine.seal_batch(now, &mut packets, |packet, sealed| all.push((sealed, octets_of(packet, &sealed))));
    all
}

fn send_one_by_one(engine: &mut Engine, now: Instant, inner: &[Inner]) -> Vec<Sealed<Sending>> {
    let sent = |(mut storage, at): (Vec<u8>, _)| {
        let mut packet = PacketBuf::new(&mut storage, at).unwrap();
        let sent = engine.send(now, &mut packet);
        (sent, octets_of(&packet, &sent))
    };
    rooms(inner).into_iter().map(sent).collect()
}

fn send_in_batch(engine: &mut Engine, now: Instant, inner: &[Inner]) -> Vec<Sealed<Sending>> {
    let (mut rooms, mut all) = (rooms(inner), Vec::new());
    let mut packets: Vec<_> =
        rooms.iter_mut().map(|(storage, at)| PacketBuf::new(storage, at.clone()).unwrap()).collect();
    engine.send_batch(now, &mut packets, |packet, sent| all.push((sent, octets_of(packet, &sent))));
    all
}

/// A packet that came.
type Came = (Arrival, Vec<u8>);
type Opened = (Result<Incoming, OpenError>, Vec<u8>);

fn open_one_by_one(engine: &mut Engine, now: Instant, came: &[Came]) -> Vec<Opened> {
    let opened = |(arrival, octets): &Came| {
        let mut octets = octets.clone();
        let mut packet = PacketBuf::whole(&mut octets);
        let opened = engine.open(now, *arrival, &mut packet);
        (opened, octets_of(&packet, &opened))
    };
    came.iter().map(opened).collect()
}

fn open_in_batch(engine: &mut Engine, now: Instant, came: &[Came]) -> Vec<Opened> {
    let (mut came, mut all) = (came.to_vec(), Vec::new());
    let mut packets: Vec<_> =
        came.iter_mut().map(|(arrival, octets)| (*arrival, PacketBuf::whole(octets))).collect();
    engine.open_batch(now, &mut packets, |packet, opened| all.push((opened, octets_of(packet, &opened))));
    all
}

/// What the network does to a packet.
fn mangled(mut octets: Vec<u8>, how: u16) -> Came {
    let path = mirrored(&child()).path;
    let mut arrival = Arrival::udp(path).with_ecn(Ecn::NotEct);
    let at = usize::from(how >> 4) % octets.len();
    match how & 15 {
        0 => octets[at] ^= 1 << (at % 8),
        1 => octets.truncate(at),
        2 => octets[..4].copy_from_slice(&[0, 1, 2, 3]),
        3 => arrival = Arrival::udp(Path::nat_t(path.local, "203.0.113.9:9".parse().unwrap())),
        4 => arrival = arrival.with_ecn(Ecn::Ce),
        _ => {}
    }
    (arrival, octets)
}

/// One batch: what happens before it, how much later it comes (a clock may go back), and its packets.
type Step = (Between, i64, Vec<(Inner, u16)>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let packets = prop::collection::vec((inner(), any::<u16>()), 0..70);
    prop::collection::vec((between(), -50i64..4_000, packets), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_batch_does_what_its_packets_do_one_by_one(steps in steps()) {
        let [mut alone, mut together, mut policed, mut policed_together] = [(); 4].map(|()| sender());
        let (mut opens_alone, mut opens_together) = (receiver(), receiver());
        let (mut clock, mut old) = (Duration::from_secs(1), Vec::new());
        for (step, (between, later, packets)) in steps.into_iter().enumerate() {
            clock = clock.saturating_add(Duration::from_millis(later.max(0) as u64))
                .saturating_sub(Duration::from_millis(later.min(0).unsigned_abs()));
            let now = Instant::ZERO + clock;
            for (engine, is_sender) in [
                (&mut alone, true),
                (&mut together, true),
                (&mut policed, true),
                (&mut policed_together, true),
                (&mut opens_alone, false),
                (&mut opens_together, false),
            ] {
                carry_out(engine, now, step as u32, between, is_sender);
            }
            let inner: Vec<_> = packets.iter().map(|(inner, _)| *inner).collect();
            let sealed = seal_one_by_one(&mut alone, now, &inner);
            prop_assert_eq!(&sealed, &seal_in_batch(&mut together, now, &inner));
            prop_assert_eq!(seen(&mut alone), seen(&mut together));
            let sent = send_one_by_one(&mut policed, now, &inner);
            prop_assert_eq!(&sent, &send_in_batch(&mut policed_together, now, &inner));
            prop_assert_eq!(seen(&mut policed), seen(&mut policed_together));

            // Some come as they are, some worse, some twice, some late.
            let fresh: Vec<_> = sealed.into_iter().map(|(_, octets)| octets).filter(|octets| !octets.is_empty()).collect();
            old.extend(fresh.iter().take(2).cloned());
            let came: Vec<_> = fresh.into_iter().chain(old.iter().cloned()).zip(packets.iter().cycle())
                .map(|(octets, (_, how))| mangled(octets, *how)).collect();
            let opened = open_one_by_one(&mut opens_alone, now, &came);
            prop_assert_eq!(&opened, &open_in_batch(&mut opens_together, now, &came));
            prop_assert_eq!(seen(&mut opens_alone), seen(&mut opens_together));
        }
    }
}

/// With many SAs and a batch that is no multiple of what is looked at together.
#[test]
fn batches_allocate_nothing() {
    let (mut sends, mut receives) = (sender(), receiver());
    let inner: Vec<_> = (0..100).map(|n| Inner { to: n % USED + 1, port: 1, len: 84, fault: 15 }).collect();
    let (mut rooms, arrival) = (rooms(&inner), Arrival::udp(mirrored(&child()).path));
    let mut packets: Vec<_> =
        rooms.iter_mut().map(|(storage, at)| PacketBuf::new(storage, at.clone()).unwrap()).collect();
    let mut sealed = 0;
    let info = allocation_counter::measure(|| {
        sends.seal_batch(Instant::ZERO, &mut packets, |_, result| sealed += usize::from(result.is_ok()));
    });
    // One of the pairs ends after seven packets.
    assert_eq!((info.count_total, sealed), (0, 100 - (17 - 7)));
    let mut packets: Vec<_> = packets.into_iter().map(|packet| (arrival, packet)).collect();
    let mut opened = 0;
    let info = allocation_counter::measure(|| {
        receives.open_batch(Instant::ZERO, &mut packets, |_, result| opened += usize::from(result.is_ok()));
    });
    assert_eq!((info.count_total, opened), (0, sealed));
}
