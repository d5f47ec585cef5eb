//! What a seed is about: who the nodes are, how they are configured, and what their network is like.

use super::support::Dice;
use super::support::fragments::{give_certificates, sizes};
use super::support::setup::*;
use super::support::tickets::{Clerk, ed25519, sign_later, sign_now, verify_later, verify_now};
use super::support::world::*;
use super::toy::{TOY, TOY_WITHOUT_PRF};
use ikev2_core::error::Bound;
use ikev2_core::lifecycle::{After, Lifecycle, Start};
use ikev2_core::{
    Admission, AdmissionFacts, AdmissionPolicy, CookiePolicy, DuplicatePolicy, FragmentPolicy,
    IdentityPattern, LocalAuth, MobikePolicy, Routability,
};
use ikev2_wire::codes::NotifyType;
use ipsec_crypto::SecureRandom;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_types::AddressRange;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// What a seed is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Two ends that fit, and a bad network.
    Plain,
    /// Two ends that do things at the same instant.
    Crossing,
    /// Three to five ends, each with all others.
    Mesh,
    /// Two ends whose configurations do not fit.
    Misfit,
    /// Somebody on the path who has no keys.
    Hostile,
    /// Somebody on the path who has the keys: an end that breaks the rules.
    Insider,
    /// Many first requests from anywhere.
    Flood,
    /// Bounds so tight that they are met, and an embedder that hangs.
    Tight,
    /// Generators that fail.
    NoRandomness,
    /// Large messages, and paths that take small datagrams alone.
    Fragments,
    /// Short lifetimes, clocks that jump, and connections that begin by themselves.
    Lifetimes,
}

impl Class {
    /// Every class with its share of a hundred seeds.
    pub const ALL: [(Self, u64); 11] = [
        (Self::Plain, 8),
        (Self::Crossing, 20),
        (Self::Mesh, 10),
        (Self::Misfit, 12),
        (Self::Hostile, 10),
        (Self::Insider, 5),
        (Self::Flood, 4),
        (Self::Tight, 12),
        (Self::NoRandomness, 3),
        (Self::Fragments, 7),
        (Self::Lifetimes, 9),
    ];

    fn of(dice: &mut Dice) -> Self {
        let mut left = dice.below(Self::ALL.iter().map(|(_, share)| share).sum());
        for (class, share) in Self::ALL {
            if left < share {
                return class;
            }
            left -= share;
        }
        Self::Plain
    }

    /// Whether both ends are sound and all that they say can be read, so that their answers can be judged.
    pub fn is_judged(self) -> bool {
        !matches!(self, Self::Insider | Self::Fragments)
    }

    /// Whether nobody is on the path but the network, and every configuration can be served.
    pub fn is_sound(self) -> bool {
        matches!(self, Self::Plain | Self::Crossing | Self::Mesh | Self::Lifetimes)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Crossing => "crossing",
            Self::Mesh => "mesh",
            Self::Misfit => "misfit",
            Self::Hostile => "hostile",
            Self::Insider => "insider",
            Self::Flood => "flood",
            Self::Tight => "tight",
            Self::NoRandomness => "no randomness",
            Self::Fragments => "fragments",
            Self::Lifetimes => "lifetimes",
        }
    }
}

/// A seed's beginning.
#[derive(Debug)]
pub struct Scenario {
    pub class: Class,
    pub world: World,
    /// How many things happen.
    pub steps: u64,
    /// Whether the ciphers are toys, so that what is on the wire can be read.
    pub legible: bool,
}

/// Both ends' proposals for the IKE SA: one of each end's that fit in one way or another.
fn ike_proposals(dice: &mut Dice) -> [&'static str; 2] {
    match dice.below(10) {
        0 => ["aes256gcm16-prfsha256-ecp256-x25519", "aes256gcm16-prfsha256-x25519"],
        1 | 2 => ["aes128-sha256-x25519", "aes256-aes128-sha256-x25519"],
        _ => ["aes128gcm16-prfsha384-x25519", "aes256gcm16-aes128gcm16-prfsha256-prfsha384-x25519"],
    }
}

fn pfs_proposals(dice: &mut Dice) -> [&'static str; 2] {
    match dice.below(10) {
        0 => ["aes256gcm16-ecp256-x25519", "aes256gcm16-x25519"],
        1 | 2 => ["aes256gcm16-x25519-none", "aes128-sha256"],
        _ => ["aes128-sha256-x25519", "aes256gcm16-aes128gcm16-x25519"],
    }
}

/// The configurations of two ends, at random but so that they can agree.
fn pair(dice: &mut Dice) -> Vec<Setup> {
    let (a, b) = two();
    let (ike_proposals, pfs) = (ike_proposals(dice), pfs_proposals(dice));
    let swap = usize::from(dice.per_mille(500));
    let duplicates = match dice.below(10) {
        0 => DuplicatePolicy::KeepOld,
        1 => DuplicatePolicy::KeepNew,
        _ => DuplicatePolicy::Allow,
    };
    let mut setups = vec![a, b];
    for (at, setup) in setups.iter_mut().enumerate() {
        let mine = at ^ swap;
        setup.config.cookies = match dice.below(6) {
            0 => CookiePolicy::Always,
            1 => CookiePolicy::WhenHalfOpen(1),
            _ => CookiePolicy::Never,
        };
        setup.connection.ike_proposals = ike(&[ike_proposals[mine]]);
        setup.connection.duplicates = duplicates;
        let both = ["aes256gcm16-x25519-none", "aes128-sha256"];
        let net = [&["10.1.0.0/16"][..], &["10.0.0.0/8"][..]][at];
        let (local, remote) = if at == 0 { (net, &["10.2.0.0/16"][..]) } else { (&["10.2.0.0/15"][..], net) };
        setup.connection.children = vec![
            child_with(1, "first", &both),
            child_with(2, "pfs", &[pfs[mine], "aes256gcm16-x25519-none"]),
            child(3, "net", local, remote),
        ];
    }
    setups
}

/// Any number of ends, each of which takes all others.
fn mesh(dice: &mut Dice, nodes: u64) -> Vec<Setup> {
    let proposals = ike_proposals(dice)[1];
    let setups = (0..nodes).map(|number| {
        let mut setup = Setup::new(&format!("n{number}.example"), "any");
        setup.connection.remote_id = IdentityPattern::Any;
        setup.connection.ike_proposals = ike(&[proposals]);
        let both = ["aes256gcm16-x25519-none", "aes128-sha256"];
        setup.connection.children = vec![
            child_with(1, "first", &both),
            child_with(2, "pfs", &["aes128-sha256-x25519"]),
            child(3, "net", &["10.0.0.0/8"], &["10.0.0.0/8"]),
        ];
        setup
    });
    setups.collect()
}

/// Authentication by signatures, made and verified at once or later.
fn sign(dice: &mut Dice, setups: &mut [Setup]) -> Vec<Option<Clerk>> {
    let key = ed25519();
    let mut sign = |setup: &mut Setup| {
        let slowest = *dice.pick(&[0, 10, 2_000, 25_000]).unwrap();
        let never = *dice.pick(&[0, 0, 200]).unwrap();
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
        Some(Clerk { delay: (0, slowest), never, ..Clerk::new(&key) })
    };
    setups.iter_mut().map(&mut sign).collect()
}

/// Certificates that fill datagrams, and small ones.
fn fragment(dice: &mut Dice, setups: &mut [Setup]) {
    let least = 200 + dice.below(400) as u16;
    // Several messages in fragments at once, where there is room for one.
    let crowded = dice.per_mille(800);
    for setup in setups {
        if matches!(setup.connection.local_auth, LocalAuth::Signature(_)) && dice.per_mille(700) {
            let octets = 200 + dice.below(6_000) as usize;
            give_certificates(setup, octets);
        }
        setup.connection.fragmentation = match dice.below(10) {
            0 => None,
            1..=3 => Some(FragmentPolicy::default()),
            _ => sizes(least + dice.below(900) as u16, least),
        };
        if let Some(policy) = &mut setup.connection.fragmentation {
            policy.tries = 1 + dice.below(3) as u32;
        }
        if crowded {
            setup.config.window = 4;
            setup.connection.fragmentation = sizes(240, 200);
        }
        let limits = &mut setup.config.reassembly;
        limits.timeout = Duration::from_secs(2 + dice.below(*dice.clone().pick(&[5, 200]).unwrap()));
        match dice.below(8) {
            0 => limits.octets = 1_000 + dice.below(4_000) as usize,
            1 => limits.fragments = 2 + dice.below(6) as u16,
            _ if crowded => limits.messages = 1,
            _ => {}
        }
    }
}

/// One thing that does not fit.
fn misfit(dice: &mut Dice, setups: &mut [Setup]) {
    let one = dice.below(2) as usize;
    let crypto = &TOY_WITHOUT_PRF;
    let setup = &mut setups[one];
    match dice.below(14) {
        0 => setup.set_secret(b"another secret"),
        1 => setup.connection.remote_id = IdentityPattern::Exactly(id("somebody.example")),
        2 => setup.connection.ike_proposals = ike(&["aes256-sha256-ecp256"]),
        3 => setup.connection.children = vec![child_with(1, "first", &["aes256-sha256"])],
        4 | 12 => {
            setups[0].connection.children = vec![child(3, "net", &["10.9.0.0/16"], &["10.9.0.0/16"])];
            setups[1].connection.children = vec![child(3, "net", &["10.8.0.0/16"], &["10.8.0.0/16"])];
        }
        5 => {
            setups[0].connection.children = vec![child_with(2, "pfs", &["aes256gcm16-x25519"])];
            setups[1].connection.children = vec![child_with(2, "pfs", &["aes256gcm16"])];
        }
        6 => setup.connection.remote_address = Some("203.0.113.9".parse().unwrap()),
        7 => {
            setup.config.crypto = crypto;
            let named = ["aes128gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-x25519"];
            setups.iter_mut().for_each(|setup| setup.connection.ike_proposals = ike(&named));
        }
        8 | 9 | 13 => setup.config.max_children = 1,
        10 => {
            let everything = || nets(&["0.0.0.0/0"]);
            let child = ikev2_core::ChildConfig::transport(
                ipsec_types::sa::PolicyId(1),
                "first",
                everything(),
                everything(),
            );
            setup.connection.children = vec![Arc::new(child)];
        }
        _ => {
            // Preferred in other orders.
            setups[0].connection.ike_proposals = ike(&["aes256gcm16-prfsha256-ecp256-x25519"]);
            setups[1].connection.ike_proposals = ike(&["aes256gcm16-prfsha256-x25519"]);
            setups[0].connection.children = vec![child_with(1, "first", &["aes256gcm16-ecp256-x25519"])];
            setups[1].connection.children = vec![child_with(1, "first", &["aes256gcm16-x25519"])];
        }
    }
}

/// An embedder with its own mind about who is let in.
#[derive(Debug)]
struct Moody(AtomicU64);

impl AdmissionPolicy for Moody {
    fn admit(&self, facts: &AdmissionFacts, usual: Admission) -> Admission {
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        match turn % 7 {
            0 => Admission::Refuse(NotifyType::TEMPORARY_FAILURE),
            3 => Admission::Ignore(Bound::Admission),
            5 if !facts.cookie_verified => Admission::Cookie,
            _ => usual,
        }
    }
}

fn tighten(dice: &mut Dice, setup: &mut Setup) {
    let config = &mut setup.config;
    match dice.below(15) {
        0 => config.max_ike_sas = 1 + dice.below(2) as usize,
        1 | 8 | 9 => config.max_events = 1 + dice.below(6) as usize,
        2 => config.max_queued_requests = 1,
        3 | 10 => config.max_operations_per_second = 8,
        4 => config.max_error_answers_per_second = 1,
        5 | 12 | 13 | 14 => config.max_datagram = 1_280,
        6 | 11 => config.hooks.admission = Some(Arc::new(Moody(AtomicU64::new(dice.below(7))))),
        _ => config.max_init_retries = dice.below(2) as u32,
    }
}

/// Lifetimes of a minute or two, and connections that come back.
fn age(dice: &mut Dice, setups: &mut [Setup]) {
    for (at, setup) in setups.iter_mut().enumerate() {
        let after = 60 + dice.below(200);
        setup.connection.ike_rekey_after = dice.per_mille(800).then(|| Duration::from_secs(after));
        setup.connection.ike_expires_after = Some(Duration::from_secs(after * (1 + dice.below(3))));
        if dice.per_mille(300) {
            setup.connection.reauthenticate_after = Some(Duration::from_secs(60 + dice.below(200)));
        }
        if dice.per_mille(300) {
            setup.connection.authentication_lifetime = Some(Duration::from_secs(60 + dice.below(300)));
        }
        if at == 0 && dice.per_mille(500) {
            setup.connection.remote_address = Some(IpAddr::from([192, 0, 2, 2]));
            for child in &mut setup.connection.children {
                Arc::make_mut(child).lifecycle.deleted = After::Restart;
            }
            let mut lifecycle = Lifecycle::default();
            (lifecycle.start, lifecycle.failed) = (Start::AtOnce, After::Restart);
            setup.connection.lifecycle = lifecycle;
        }
    }
}

fn flooded(dice: &mut Dice, setup: &mut Setup) {
    let config = &mut setup.config;
    config.cookies = match dice.below(3) {
        0 => CookiePolicy::Always,
        1 => CookiePolicy::WhenHalfOpen(2),
        _ => CookiePolicy::Never,
    };
    config.max_half_open = 2 + dice.below(6) as usize;
    config.max_half_open_from_source = 1 + dice.below(4) as usize;
    config.max_operations_per_second = *dice.pick(&[8, 20, 5_000]).unwrap();
    config.max_error_answers_per_second = *dice.pick(&[1, 100]).unwrap();
    if dice.per_mille(400) {
        // Room for many, and no time for their proofs.
        config.cookies = CookiePolicy::Never;
        (config.max_half_open, config.max_half_open_from_source) = (64, 64);
        config.max_operations_per_second = 8;
    }
    config.half_open_grace = Duration::from_millis(dice.below(2_000));
}

fn network(dice: &mut Dice, class: Class) -> Link {
    let fastest = dice.below(100);
    if class == Class::Crossing {
        let slowest = fastest + dice.pick(&[0, 0, 20]).unwrap();
        let loss = *dice.pick(&[0, 0, 0, 100, 300]).unwrap();
        return Link { loss, latency: (fastest, slowest), ..Link::default() };
    }
    if class == Class::Fragments {
        let mtu = *dice.pick(&[0, 0, 0, 600, 1_000, 1_400]).unwrap();
        let loss = *dice.pick(&[0, 100, 200, 300]).unwrap();
        let slowest = fastest + dice.pick(&[10, 1_000, 3_000, 6_000]).unwrap();
        return Link { loss, duplication: 50, latency: (fastest, slowest), mtu, ..Link::default() };
    }
    Link {
        loss: *dice.pick(&[0, 0, 50, 150, 300]).unwrap(),
        duplication: *dice.pick(&[0, 50, 200]).unwrap(),
        corruption: *dice.pick(&[0, 0, 20, 50]).unwrap(),
        latency: (fastest, fastest + dice.pick(&[0, 10, 500, 3_000]).unwrap()),
        lateness: *dice.pick(&[0, 0, 200]).unwrap(),
        mtu: 0,
    }
}

/// The generators of the nodes, some of which fail for a while.
fn generators(dice: &mut Dice, class: Class, seed: u64, nodes: usize) -> Vec<Box<dyn SecureRandom>> {
    let mut generator = |number: u64| {
        let seed = seed.wrapping_mul(1_000).wrapping_add(number);
        if class != Class::NoRandomness || dice.per_mille(300) {
            return seeded(seed);
        }
        let failing = Failing {
            inner: ChaCha20Rng::seed_from_u64(seed),
            fail_at: dice.below(60) as usize,
            failures: 1 + dice.below(20) as usize,
            calls: Arc::new(AtomicUsize::new(0)),
        };
        Box::new(failing)
    };
    (0..nodes as u64).map(&mut generator).collect()
}

impl Scenario {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let class = Class::of(&mut dice);
        let mut setups = match class {
            Class::Mesh => {
                let nodes = 3 + dice.below(3);
                mesh(&mut dice, nodes)
            }
            _ => pair(&mut dice),
        };
        let further = add_key_exchanges(&mut Dice::new(seed.rotate_left(32)), class, &mut setups);
        // What goes on in a series is not for the listener.
        let legible = dice.per_mille(950) && !further;
        for setup in &mut setups {
            setup.config.crypto = if legible { &TOY } else { &RUSTCRYPTO };
            setup.config.window = 1 + dice.below(4) as u32;
            setup.connection.liveness = Some(Duration::from_secs(10 + dice.below(30)));
        }
        match class {
            Class::Misfit => misfit(&mut dice, &mut setups),
            Class::Tight => setups.iter_mut().for_each(|setup| tighten(&mut dice, setup)),
            Class::Flood => flooded(&mut dice, &mut setups[B]),
            Class::Hostile if dice.per_mille(700) => setups[A].connection.fragmentation = None,
            Class::Lifetimes => age(&mut dice, &mut setups),
            _ => {}
        }
        let signed = class == Class::Fragments || (class != Class::Misfit && dice.per_mille(40));
        let clerks = if signed { sign(&mut dice, &mut setups) } else { Vec::new() };
        if class == Class::Fragments {
            fragment(&mut dice, &mut setups);
        }
        if matches!(class, Class::Plain | Class::Crossing | Class::Mesh | Class::Lifetimes) {
            move_about(&mut Dice::new(!seed), &mut setups);
        }
        let nodes = setups.len();
        let random = generators(&mut dice, class, seed, nodes);
        let mut world = World::with_random(setups.into_iter().zip(random).collect(), seed);
        for (node, clerk) in world.nodes.iter_mut().zip(clerks) {
            node.clerk = clerk;
        }
        if class != Class::Lifetimes {
            translate(&mut dice, &mut world);
        }
        world.link = network(&mut dice, class);
        if class == Class::Insider {
            world.link.corruption = 0;
        }
        let steps = if class == Class::Mesh { 20 + dice.below(30) } else { dice.below(18) };
        world.dice = dice;
        Self { class, world, steps, legible }
    }
}

/// Additional key exchanges in IKE_INTERMEDIATE and IKE_FOLLOWUP_KE, one or two, which some ends could do without.
fn add_key_exchanges(dice: &mut Dice, class: Class, setups: &mut [Setup]) -> bool {
    use Class as C;
    if !matches!(class, C::Plain | C::Crossing | C::Mesh | C::Lifetimes | C::Fragments)
        || !dice.per_mille(100)
    {
        return false;
    }
    let more = *dice.pick(&["ke1_mlkem512", "ke2_ecp384-ke5_mlkem512", "ke1_ecp384"]).unwrap();
    for setup in setups {
        let optional = if dice.per_mille(200) { "-ke1_none" } else { "" };
        let with = |text: &str| format!("{text}-{more}{optional}");
        let connection = &mut setup.connection;
        for proposal in &mut connection.ike_proposals {
            *proposal = with(&proposal.to_string()).parse().unwrap();
        }
        for child in &mut connection.children {
            for proposal in &mut Arc::make_mut(child).proposals {
                let text = proposal.to_string();
                if text.contains("x25519") && !text.contains("none") {
                    *proposal = with(&text).parse().unwrap();
                }
            }
        }
    }
    true
}

/// MOBIKE at all nodes, or at none; some take the others in half of the places alone.
fn move_about(dice: &mut Dice, setups: &mut [Setup]) {
    if !dice.per_mille(400) {
        return;
    }
    for setup in setups {
        let mut policy = MobikePolicy::default();
        policy.routability = *dice
            .pick(&[Routability::Before, Routability::Before, Routability::After, Routability::Never])
            .unwrap();
        if dice.per_mille(200) {
            let nets = [("192.0.2.0", 24), ("198.51.100.0", 24), ("198.18.0.0", 29)];
            let ranges = nets.map(|(net, len)| AddressRange::prefix(net.parse().unwrap(), len).unwrap());
            policy.acceptable = Some(ranges.to_vec());
        }
        setup.connection.mobike = Some(policy);
    }
}

/// Puts NATs in front of some nodes.
fn translate(dice: &mut Dice, world: &mut World) {
    let nodes = world.nodes.len();
    for (number, node) in world.nodes.iter_mut().enumerate() {
        let address = format!("198.51.100.{}", number + 1);
        // Others reach a node behind a NAT where it forwards ports.
        if number == 0 && dice.per_mille(300) {
            node.nat = Some(Nat::new(&address));
        } else if nodes == 2 && number == 1 && dice.per_mille(150) {
            node.nat = Some(Nat::forwarding(&address));
        }
    }
}
