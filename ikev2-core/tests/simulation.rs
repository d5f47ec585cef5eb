//! Two endpoints, a bad network, and actors that do anything at any time. Whatever happens, at the end both sides
//! agree on every SA and its keys, and after an orderly end nothing is left.
//!
//! A run is its seed. To see a run again, with everything that happened:
//!
//! ```text
//! SIMULATION_SEED=17 cargo test -p ikev2-core --test simulation seeds -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::FragmentFault;
use ikev2_core::{
    CallError, CookiePolicy, DownReason, DuplicatePolicy, Event, FragmentPolicy, IdentityPattern,
    IkeSaHandle, IkeSaInfo,
};
use ipsec_types::sa::{ChildSaId, Direction, ExpiryReason, PacketSelectors, PolicyId};
use ipsec_types::{IkeSpi, SaReport};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;
use support::Dice;
use support::fragments::{give_certificates, sizes};
use support::mirror::assert_crosswise;
use support::setup::*;
use support::tickets::{Clerk, ed25519, sign_later, sign_now, verify_later, verify_now};
use support::world::*;

/// How often each rule was reached, over all seeds.
type Reached = BTreeMap<&'static str, u64>;

/// Says how to see a run again when it fails.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!(
                "\nthis was seed {seed}; to see it:\n  SIMULATION_SEED={seed} cargo test -p ikev2-core --test \
                 simulation seeds -- --nocapture\n"
            );
        }
    }
}

/// Authentication by signatures, made and verified at once or later.
fn sign(dice: &mut Dice, setups: &mut [Setup; 2]) -> [Option<Clerk>; 2] {
    let key = ed25519();
    let mut clerks = [None, None];
    if !dice.per_mille(300) {
        return clerks;
    }
    for (setup, clerk) in setups.iter_mut().zip(&mut clerks) {
        let slowest = *dice.pick(&[0, 10, 2_000, 25_000]).unwrap();
        let never = *dice.pick(&[0, 0, 200]).unwrap();
        *clerk = Some(Clerk { delay: (0, slowest), never, ..Clerk::new(&key) });
        if dice.per_mille(500) {
            sign_later(setup, &key)
        } else {
            sign_now(setup, &key)
        }
        if dice.per_mille(500) {
            verify_later(setup)
        } else {
            verify_now(setup, &key)
        }
        if dice.per_mille(700) {
            let octets = 200 + dice.below(6_000) as usize;
            give_certificates(setup, octets);
        }
    }
    clerks
}

/// Both sides' configurations, at random but so that they can agree.
fn setups(dice: &mut Dice) -> (Setup, Setup) {
    let (mut a, mut b) = two();
    let ike_proposals = match dice.below(10) {
        0 => ["aes256gcm16-prfsha256-ecp256-x25519", "aes256gcm16-prfsha256-x25519"],
        1 | 2 => ["aes128-sha256-x25519", "aes256-aes128-sha256-x25519"],
        _ => ["aes128gcm16-prfsha384-x25519", "aes256gcm16-aes128gcm16-prfsha256-prfsha384-x25519"],
    };
    let pfs = match dice.below(10) {
        0 => ["aes256gcm16-ecp256-x25519", "aes256gcm16-x25519"],
        1 | 2 => ["aes256gcm16-x25519-none", "aes128-sha256"],
        _ => ["aes128-sha256-x25519", "aes256gcm16-aes128gcm16-x25519"],
    };
    let least = 200 + dice.below(400) as u16;
    let swap = dice.per_mille(500);
    let duplicates = match dice.below(10) {
        0 => DuplicatePolicy::KeepOld,
        1 => DuplicatePolicy::KeepNew,
        _ => DuplicatePolicy::Allow,
    };
    for (at, setup) in [&mut a, &mut b].into_iter().enumerate() {
        let mine = if swap { 1 - at } else { at };
        setup.config.window = 1 + dice.below(4) as u32;
        setup.config.max_init_retries = 6;
        setup.config.cookies = match dice.below(6) {
            0 => CookiePolicy::Always,
            1 => CookiePolicy::WhenHalfOpen(1),
            _ => CookiePolicy::Never,
        };
        setup.connection.ike_proposals = ike(&[ike_proposals[mine]]);
        setup.connection.duplicates = duplicates;
        setup.connection.fragmentation = match dice.below(10) {
            0 => None,
            1..=3 => sizes(least + dice.below(900) as u16, least),
            _ => Some(FragmentPolicy::default()),
        };
        setup.config.reassembly.timeout = Duration::from_secs(5 + dice.below(200));
        setup.connection.liveness = Some(Duration::from_secs(10 + dice.below(30)));
        let both = ["aes256gcm16-x25519-none", "aes128-sha256"];
        let net = [&["10.1.0.0/16"][..], &["10.0.0.0/8"][..]][at];
        let (local, remote) = if at == 0 { (net, &["10.2.0.0/16"][..]) } else { (&["10.2.0.0/15"][..], net) };
        setup.connection.children = vec![
            child_with(1, "first", &both),
            child_with(2, "pfs", &[pfs[mine], "aes256gcm16-x25519-none"]),
            child(3, "net", local, remote),
        ];
    }
    (a, b)
}

fn world(seed: u64) -> World {
    let mut dice = Dice::new(seed);
    let (a, b) = setups(&mut dice);
    let mut setups = [a, b];
    let clerks = sign(&mut dice, &mut setups);
    let mut world = World::new(setups.into(), seed);
    for (node, clerk) in world.nodes.iter_mut().zip(clerks) {
        node.clerk = clerk;
    }
    world.dice = dice;
    let dice = &mut world.dice;
    if dice.per_mille(300) {
        world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
    }
    if dice.per_mille(150) {
        world.nodes[B].nat = Some(Nat::forwarding("198.51.100.2"));
    }
    let fastest = dice.below(100);
    world.link = Link {
        loss: dice.pick(&[0, 0, 50, 150, 300]).copied().unwrap(),
        duplication: dice.pick(&[0, 50, 200]).copied().unwrap(),
        corruption: dice.pick(&[0, 0, 20, 50]).copied().unwrap(),
        latency: (fastest, fastest + dice.pick(&[0, 10, 500, 3_000]).copied().unwrap()),
        lateness: dice.pick(&[0, 0, 200]).copied().unwrap(),
        mtu: dice.pick(&[0, 0, 600, 1_000, 1_400]).copied().unwrap(),
    };
    world
}

/// What may be wrong with a call that comes at any time.
fn allowed(result: Result<(), CallError>) {
    use CallError::{Limit, NoSuchChild, NoSuchPolicy, NoSuchSa, NotByTraffic, NotEstablished};
    let fine = matches!(
        result,
        Ok(()) | Err(Limit(_) | NoSuchChild | NoSuchPolicy | NotByTraffic | NoSuchSa | NotEstablished)
    );
    assert!(fine, "{result:?}");
}

/// One actor does one thing.
fn act(world: &mut World) {
    let node = world.dice.below(2) as usize;
    let handles: Vec<IkeSaHandle> = world.endpoint(node).ike_sas().map(|(handle, _)| handle).collect();
    let children: Vec<ChildSaId> = world.node(node).mirror.children.keys().copied().collect();
    let sa = world.dice.pick(&handles).copied();
    let id = world.dice.pick(&children).copied();
    let packet = PacketSelectors { source: net("10.1.2.3/32"), destination: net("10.2.3.4/32") };
    let direction = Direction::Inbound;
    let at = world.now;
    let report = |world: &mut World, report: SaReport| {
        allowed(world.call(node, |e, now| e.handle_report(now, &report)));
    };
    match (world.dice.below(22), sa, id) {
        (0..=2, ..) if handles.len() < 4 => {
            world.connect(node, 1 - node);
        }
        (3..=5, Some(sa), _) => {
            let name = *world.dice.pick(&["first", "pfs", "net"]).unwrap();
            allowed(world.call(node, |e, now| e.create_child(now, sa, name)));
        }
        (6, Some(sa), Some(id)) => allowed(world.call(node, |e, now| e.delete_child(now, sa, id))),
        (7, Some(sa), _) => allowed(world.call(node, |e, now| e.delete_ike_sa(now, sa))),
        (8, Some(sa), _) => allowed(world.call(node, |e, now| e.check_liveness(now, sa))),
        (9, _, Some(id)) => {
            report(world, SaReport::HardExpired { id, direction, reason: ExpiryReason::Octets });
        }
        (10, _, Some(id)) => {
            report(world, SaReport::SoftExpired { id, direction, reason: ExpiryReason::Time });
        }
        (11, ..) => {
            let policy = PolicyId(1 + world.dice.below(4));
            report(world, SaReport::Acquire { policy, packet });
        }
        (12, _, Some(id)) => report(world, SaReport::LastInbound { id, at }),
        (13, ..) => {
            if let Some(nat) = &mut world.nodes[A].nat {
                nat.rebind();
            }
        }
        (14, Some(sa), _) => {
            // Both at the same instant.
            allowed(world.call(node, |e, now| e.delete_ike_sa(now, sa)));
            let other = world.endpoint(1 - node).ike_sas().next().map(|(handle, _)| handle);
            if let Some(other) = other {
                allowed(world.call(1 - node, |e, now| e.delete_ike_sa(now, other)));
            }
        }
        (16 | 17, Some(sa), Some(id)) => allowed(world.call(node, |e, now| e.rekey_child(now, sa, id))),
        (18, Some(sa), _) => allowed(world.call(node, |e, now| e.rekey_ike_sa(now, sa))),
        (19, Some(sa), Some(id)) => {
            // Both ends, the same pair, at the same instant.
            let spi = world.node(node).mirror.children[&id].inbound.as_ref().map(|half| half.spi);
            let there = |e: &ikev2_core::Endpoint| {
                let sas: Vec<_> = e.ike_sas().map(|(handle, _)| handle).collect();
                let of = |sa: &IkeSaHandle| {
                    e.child_sas(*sa).find(|c| Some(c.outbound) == spi).map(|c| (*sa, c.child.id))
                };
                sas.iter().find_map(of)
            };
            let other = there(world.endpoint(1 - node));
            allowed(world.call(node, |e, now| e.rekey_child(now, sa, id)));
            if let Some((sa, id)) = other {
                allowed(world.call(1 - node, |e, now| e.rekey_child(now, sa, id)));
            }
        }
        (20 | 21, Some(sa), _) => {
            let spi = world.endpoint(node).ike_sa(sa).map(|info| info.initiator_spi);
            let same = |(_, info): &(IkeSaHandle, IkeSaInfo)| Some(info.initiator_spi) == spi;
            let other = world.endpoint(1 - node).ike_sas().find(same).map(|(handle, _)| handle);
            allowed(world.call(node, |e, now| e.rekey_ike_sa(now, sa)));
            if let Some(other) = other {
                allowed(world.call(1 - node, |e, now| e.rekey_ike_sa(now, other)));
            }
        }
        (15, ..) if world.dice.per_mille(200) => {
            let loss = std::mem::replace(&mut world.link.loss, 1_000);
            let outage = 1_000 * world.dice.below(60);
            world.run_for(Duration::from_millis(outage));
            world.link.loss = loss;
        }
        _ => {}
    }
}

/// The IKE SAs that a node has, by their SPIs.
fn ike_spis(world: &World, node: usize) -> BTreeSet<(IkeSpi, Option<IkeSpi>)> {
    let spis = |(_, info): (IkeSaHandle, IkeSaInfo)| (info.initiator_spi, info.responder_spi);
    world.endpoint(node).ike_sas().map(spis).collect()
}

fn count(world: &mut World, reached: &mut Reached) {
    let mut add = |what, times: u64| *reached.entry(what).or_default() += times;
    for node in [A, B] {
        let statistics = world.endpoint(node).statistics().clone();
        add("cookies", statistics.cookies_sent);
        add("repeats", statistics.repeats_sent);
        add("rejections", statistics.rejected_in_all());
        add("messages fragmented", statistics.messages_fragmented);
        add("fragments", statistics.fragments_received);
        add("messages reassembled", statistics.messages_reassembled);
        add("messages incomplete", statistics.messages_incomplete);
        let rejections = std::mem::take(&mut world.nodes[node].rejections);
        for rejection in rejections {
            add(rejection_name(&rejection), 1);
        }
        for event in world.take_events(node) {
            match event {
                Event::IkeSaUp { .. } => add("IKE SA up", 1),
                Event::ChildSaUp { info, .. } => {
                    add("Child SA up", 1);
                    add("Child SA with its own key exchange", u64::from(info.ke.is_some()));
                    add("narrowed", u64::from(info.narrowed));
                }
                Event::PeerMoved { children, .. } => {
                    add("peer moved", 1);
                    add("Child SAs moved", children.len() as u64);
                }
                Event::SignatureNeeded { .. } => add("signature asked for", 1),
                Event::VerificationNeeded { .. } => add("verification asked for", 1),
                Event::PeerAlive { .. } => add("peer alive", 1),
                Event::MessageIncomplete { .. } => add("incomplete message told", 1),
                Event::ChildSaFailed { .. } => add("Child SA failed", 1),
                Event::ChildSaExpiring { .. } => add("Child SA expiring", 1),
                Event::ChildSaReplaced { .. } => add("Child SA replaced", 1),
                Event::IkeSaRekeyed { .. } => add("IKE SA rekeyed", 1),
                Event::IkeRekeyFailed { .. } => add("IKE rekey failed", 1),
                Event::ChildSaDown { reason, .. } | Event::IkeSaDown { reason, .. } => match reason {
                    DownReason::Requested => add("down: requested", 1),
                    DownReason::DeletedByPeer => add("down: by peer", 1),
                    DownReason::Expired(_) => add("down: expired", 1),
                    DownReason::Failed(_) => add("down: failed", 1),
                    DownReason::Rekeyed => add("down: rekeyed", 1),
                    DownReason::Redundant => add("down: left over", 1),
                    _ => add("down: other", 1),
                },
                _ => {}
            }
        }
    }
}

fn rejection_name(rejection: &ikev2_core::Rejection) -> &'static str {
    use ikev2_core::Rejection as R;
    match rejection {
        R::IntegrityCheck => "rejected: integrity",
        R::Unsolicited(_) => "rejected: unsolicited",
        R::Fragment(FragmentFault::NotAgreed) => panic!("a fragment that was not agreed"),
        R::Fragment(FragmentFault::Held { .. }) => "rejected: fragment held",
        R::Fragment(FragmentFault::Answered { .. }) => "rejected: fragment of an answered request",
        R::OldMessageId(_) => "rejected: old",
        R::UnknownSpi(_) => "rejected: unknown SPI",
        R::CookieRequired => "rejected: no cookie",
        R::KeMethod { .. } => "rejected: KE method",
        R::AlteredRepeat(_) => "rejected: altered repeat",
        R::Malformed(_) => "rejected: malformed",
        R::UnexpectedExchange(_) => "rejected: unexpected",
        _ => "rejected: other",
    }
}

fn simulate(seed: u64, keep_transcript: bool, reached: &mut Reached) -> String {
    let replay = Replay(seed);
    let mut world = world(seed);
    world.strict = seed.is_multiple_of(4);
    world.transcript = keep_transcript.then(String::new);
    world.connect(A, B);
    for _ in 0..world.dice.below(14) {
        let pause = *world.dice.pick(&[0, 0, 5, 80, 1_000, 20_000]).unwrap();
        let pause = world.dice.below(pause + 1);
        world.run_for(Duration::from_millis(pause));
        act(&mut world);
    }

    // The network heals, and what is out of step is found out: 40 s of silence, then 195 s of repeats.
    world.link = Link { latency: (1, 20), ..Link::default() };
    world.run_for_secs(900);
    assert_eq!(ike_spis(&world, A), ike_spis(&world, B), "the two sides have other IKE SAs");
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    for node in [A, B] {
        let idle: Vec<_> = world.node(node).mirror.children.iter().filter(|(_, c)| !c.in_use).collect();
        assert!(idle.is_empty(), "left over from a rekey: {idle:?}");
    }

    for node in [A, B] {
        world.call(node, |endpoint, now| endpoint.shut_down(now));
    }
    world.run_for_secs(600);
    world.assert_empty(A);
    world.assert_empty(B);
    count(&mut world, reached);
    drop(replay);
    world.transcript.take().unwrap_or_default()
}

#[test]
fn seeds_converge_and_leave_nothing() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        let mut reached = Reached::new();
        let transcript = simulate(seed.parse().unwrap(), true, &mut reached);
        println!("{transcript}\n{reached:#?}");
        return;
    }
    let seeds: u64 = std::env::var("SIMULATION_SEEDS").map_or(2_000, |text| text.parse().unwrap());
    let all = Mutex::new(Reached::new());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for part in 0..2 {
            let (all, failed) = (&all, &failed);
            scope.spawn(move || {
                let mut reached = Reached::new();
                for seed in (0..seeds).filter(|seed| seed % 2 == part) {
                    let run = AssertUnwindSafe(|| simulate(seed, false, &mut reached));
                    if catch_unwind(run).is_err() {
                        failed.lock().unwrap().push(seed);
                    }
                }
                let mut all = all.lock().unwrap();
                for (what, times) in reached {
                    *all.entry(what).or_default() += times;
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} seeds failed: {failed:?}", failed.len());
    let reached = all.into_inner().unwrap();
    println!("{reached:#?}");
    for what in [
        "cookies",
        "repeats",
        "IKE SA up",
        "Child SA up",
        "Child SA with its own key exchange",
        "Child SA failed",
        "Child SA expiring",
        "narrowed",
        "peer moved",
        "Child SAs moved",
        "peer alive",
        "signature asked for",
        "verification asked for",
        "down: requested",
        "down: by peer",
        "down: expired",
        "down: failed",
        "down: rekeyed",
        "down: left over",
        "Child SA replaced",
        "IKE SA rekeyed",
        "IKE rekey failed",
        "messages fragmented",
        "messages reassembled",
        "messages incomplete",
        "incomplete message told",
        "rejected: integrity",
        "rejected: fragment held",
        "rejected: fragment of an answered request",
        "rejected: unsolicited",
        "rejected: old",
        "rejected: unknown SPI",
        "rejected: no cookie",
        "rejected: KE method",
        "rejected: malformed",
        "rejected: unexpected",
    ] {
        assert!(reached.get(what).is_some_and(|times| *times > 0), "never reached: {what}");
    }
}

#[test]
fn one_seed_is_one_run_to_the_octet() {
    for seed in [3, 1_000_004, 77] {
        let (mut first, mut second) = (Reached::new(), Reached::new());
        let run = simulate(seed, true, &mut first);
        assert!(run.len() > 1_000);
        assert_eq!(run, simulate(seed, true, &mut second));
        assert_eq!(first, second);
    }
    let mut reached = Reached::new();
    assert_ne!(simulate(1, true, &mut reached), simulate(2, true, &mut reached));
}

/// Both ends initiate at once (RFC 7296 §2.8: parallel SAs are legal): every interleaving of the two handshakes,
/// with INITIAL_CONTACT and without.
#[test]
fn both_initiate_at_once_in_every_order() {
    for initial_contact in [true, false] {
        // Which of the eight deliveries belong to the first handshake.
        for order in (0u32..256).filter(|order| order.count_ones() == 4) {
            let (mut a, mut b) = two();
            if !initial_contact {
                // A peer that is not known beforehand is not promised anything.
                a.connection.remote_id = ikev2_core::IdentityPattern::Any;
                b.connection.remote_id = ikev2_core::IdentityPattern::Any;
            }
            let mut world = World::pair(a, b);
            let (one, _) = (world.connect(A, B), world.connect(B, A));
            let first_spi = world.endpoint(A).ike_sa(one).unwrap().initiator_spi;
            for step in 0..8 {
                let of_first = order & (1 << step) != 0;
                let mut flying = world.take_all();
                let next = flying.iter().position(|p| (p.header().initiator_spi == first_spi) == of_first);
                let next = next.map(|at| flying.remove(at));
                flying.into_iter().for_each(|packet| world.put(packet));
                if let Some(packet) = next {
                    world.deliver(&packet);
                }
            }
            world.run();
            world.run_for_secs(120);
            assert!(!world.node(A).mirror.children.is_empty(), "{order:08b}: nothing is left");
            assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
            assert_eq!(ike_spis(&world, A), ike_spis(&world, B), "{order:08b}");
            if !initial_contact {
                assert_eq!(world.node(A).mirror.children.len(), 2, "{order:08b}");
            }
        }
    }
}

/// One gateway and several clients behind NATs of their own, all at once.
#[test]
fn several_clients_of_one_gateway_do_not_disturb_each_other() {
    const CLIENTS: usize = 6;
    const GATEWAY: usize = 0;
    for seed in 0..40 {
        let _replay = Replay(seed);
        let mut gateway = Setup::new("gw.example", "any");
        gateway.connection.remote_id = IdentityPattern::Any;
        gateway.config.cookies = CookiePolicy::WhenHalfOpen(2);
        let clients = (1..=CLIENTS).map(|number| Setup::new(&format!("c{number}.example"), "gw.example"));
        let mut world = World::new(std::iter::once(gateway).chain(clients).collect(), seed);
        for client in (1..=CLIENTS).filter(|client| client % 2 == 0) {
            world.nodes[client].nat = Some(Nat::new(&format!("198.51.100.{client}")));
        }
        world.link =
            Link { loss: 100, duplication: 50, corruption: 10, latency: (5, 200), lateness: 20, mtu: 0 };
        world.strict = false;
        for _ in 0..60 {
            let pause = world.dice.below(1_500);
            world.run_for(Duration::from_millis(pause));
            let client = 1 + world.dice.below(CLIENTS as u64) as usize;
            let node = *world.dice.pick(&[GATEWAY, client, client, client]).unwrap();
            let handles: Vec<_> = world.endpoint(node).ike_sas().map(|(handle, _)| handle).collect();
            match (world.dice.pick(&handles).copied(), world.dice.below(10)) {
                (Some(sa), 0..=4) => allowed(world.call(node, |e, now| e.create_child(now, sa, "first"))),
                (Some(sa), 5) => allowed(world.call(node, |e, now| e.delete_ike_sa(now, sa))),
                (Some(sa), 6) => allowed(world.call(node, |e, now| e.check_liveness(now, sa))),
                (_, 7) if node != GATEWAY => {
                    if let Some(nat) = &mut world.nodes[node].nat {
                        nat.rebind();
                    }
                }
                _ if node != GATEWAY && handles.is_empty() => drop(world.connect(node, GATEWAY)),
                _ => {}
            }
        }
        world.link = Link { latency: (1, 20), ..Link::default() };
        world.run_for_secs(600);
        let gateway = world.node(GATEWAY).mirror.spi_pairs();
        let clients: BTreeSet<_> =
            (1..=CLIENTS).flat_map(|client| world.node(client).mirror.spi_pairs()).collect();
        let crossed: BTreeSet<_> =
            clients.into_iter().map(|(inbound, outbound)| (outbound, inbound)).collect();
        assert_eq!(gateway, crossed);
        for node in 0..=CLIENTS {
            world.call(node, |endpoint, now| endpoint.shut_down(now));
        }
        world.run_for_secs(600);
        (0..=CLIENTS).for_each(|node| world.assert_empty(node));
    }
}
