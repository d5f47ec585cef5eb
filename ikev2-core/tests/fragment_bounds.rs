//! What a peer can cost that sends fragments without end: bounds, and memory counted by a global allocator. A binary
//! of its own, for the allocator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::{Bound, FragmentFault};
use ikev2_core::{DuplicatePolicy, Endpoint, Failure, Handled, Rejection, Role};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ipsec_types::{Instant, Path};
use support::forge::{Forger, Raw};
use support::fragments::*;
use support::peer::notifies;
use support::setup::*;
use support::told::down;
use support::world::*;

/// Octets that an action leaves allocated, and the most that it had at once.
fn measured(act: impl FnOnce()) -> (i64, i64) {
    let measured = allocation_counter::measure(act);
    (measured.bytes_current, measured.bytes_max as i64)
}

/// An established pair and the keys of A, from whom anything may come.
struct Attack {
    world: World,
    forger: Forger,
    path: Path,
}

impl Attack {
    fn on(change: impl FnOnce(&mut Setup)) -> Self {
        let (a, mut b) = two();
        change(&mut b);
        b.config.hooks.key_log = None;
        let mut world = World::established(a, b);
        world.strict = false;
        let forger = Forger::new(&world.node(A).keys);
        let path = world.path(B, A);
        Self { world, forger, path }
    }

    fn fragment(&mut self, message_id: u32, numbers: (u16, u16), piece: &[u8]) -> Vec<u8> {
        let head = self.forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, message_id, false);
        self.forger.seal_fragment(&head, &[], numbers, PayloadType::VENDOR_ID, piece)
    }

    fn send(&mut self, message_id: u32, numbers: (u16, u16), piece: &[u8]) -> Result<Handled, Rejection> {
        let message = self.fragment(message_id, numbers, piece);
        let path = self.path;
        self.world.receive(B, path, &message)
    }

    fn endpoint(&mut self) -> (&mut Endpoint, Instant, Path) {
        (&mut self.world.nodes[B].endpoint, self.world.now, self.path)
    }
}

/// A Total Fragments of 65,535 is refused by its number, before anything is decrypted.
#[test]
fn a_total_of_65535_is_refused_at_once() {
    let mut attack = Attack::on(|_| {});
    let decryptions = attack.world.endpoint(B).statistics().decryptions;
    for number in [1, 2, 1_024, 65_535] {
        let result = attack.send(2, (number, 65_535), &[0]);
        assert_eq!(result, Err(Rejection::Limit(Bound::Fragments)));
    }
    assert_eq!(attack.world.endpoint(B).statistics().decryptions, decryptions);
    assert!(!dump(attack.world.endpoint(B)).contains("Pieces {"));
    assert_eq!(attack.send(2, (1, 1_024), &[0]), Ok(Handled::Fragment));
}

/// RFC 7383 §5: a peer that sends more than any message has loses the IKE SA, and is told. All the memory is given
/// back.
#[test]
fn more_octets_than_a_message_has_end_the_sa() {
    let mut attack = Attack::on(|b| b.config.reassembly.octets = 10_000);
    for number in 1..=9 {
        assert_eq!(attack.send(2, (number, 20), &[7; 1_000]), Ok(Handled::Fragment));
    }
    assert_eq!(attack.send(2, (10, 20), &[7; 1_001]), Ok(Handled::Processed));
    let events = attack.world.take_events(B);
    assert_eq!(down(&events), Failure::Limit(Bound::ReassemblyOctets));
    assert_eq!(down(&events).to_string(), "the limit reassembly.octets is reached");
    let answer = attack.world.take();
    let payloads = open(&attack.forger, &[answer]);
    assert_eq!(notifies(&payloads), [(NotifyType::INVALID_SYNTAX, vec![])]);
    assert!(!dump(attack.world.endpoint(B)).contains("Pieces {"));
}

/// The same of an answer to our request.
#[test]
fn an_answer_with_more_octets_than_a_message_has_ends_the_sa() {
    let (mut a, b) = two();
    a.config.reassembly.octets = 10_000;
    let mut world = World::established(a, b);
    let mut forger = Forger::new(&world.node(A).keys);
    let sa = world.handle(A);
    world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
    let request = world.take();
    world.deliver(&request).unwrap().unwrap();
    world.take_all();
    let head = forger.head(Role::Responder, ExchangeType::INFORMATIONAL, 2, true);
    for number in 1..=11 {
        let octets = forger.seal_fragment(&head, &[], (number, 20), PayloadType::NONE, &[0; 990]);
        let packet = Packet { from: request.to, to: request.from, octets };
        let expected = if number < 11 { Handled::Fragment } else { Handled::Processed };
        assert_eq!(world.deliver(&packet), Some(Ok(expected)), "{number}");
    }
    // The peer believes in the SA, and is told.
    assert_eq!(world.peek().header().exchange, ExchangeType::INFORMATIONAL);
    world.run();
    assert_eq!(down(&world.take_events(A)), Failure::Limit(Bound::ReassemblyOctets));
    assert!(world.endpoint(B).ike_sas().next().is_none());
}

/// What stands in the clear in front of fragment 1 is kept, and counts.
#[test]
fn octets_in_the_clear_count_too() {
    let mut attack = Attack::on(|b| b.config.reassembly.octets = 10_000);
    let head = attack.forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, 2, false);
    let clear = [Raw::new(PayloadType::VENDOR_ID, &[7; 12_000])];
    let message = attack.forger.seal_fragment(&head, &clear, (1, 2), PayloadType::NONE, &[]);
    let path = attack.path;
    assert_eq!(attack.world.receive(B, path, &message), Ok(Handled::Processed));
    assert_eq!(down(&attack.world.take_events(B)), Failure::Limit(Bound::ReassemblyOctets));
}

/// Several messages at once: as many as the configuration says, within the same bounds together.
#[test]
fn messages_in_pieces_are_bounded_in_number_and_together() {
    let mut attack = Attack::on(|b| {
        b.config.window = 10;
        b.config.reassembly.messages = 3;
        b.config.reassembly.fragments = 100;
    });
    for id in 2..5 {
        assert_eq!(attack.send(id, (1, 50), &[0]), Ok(Handled::Fragment));
    }
    let refused = Err(Rejection::Limit(Bound::FragmentedMessages));
    assert_eq!(attack.send(5, (1, 2), &[0]), refused);
    for number in 2..=49 {
        assert_eq!(attack.send(2, (number, 50), &[0]), Ok(Handled::Fragment));
        assert_eq!(attack.send(3, (number, 50), &[0]), Ok(Handled::Fragment));
    }
    // 49, 49 and one: the hundredth is the last.
    assert_eq!(attack.send(4, (2, 50), &[0]), Ok(Handled::Fragment));
    assert_eq!(attack.send(4, (3, 50), &[0]), Err(Rejection::Limit(Bound::Fragments)));
    assert_eq!(attack.send(4, (4, 101), &[0]), Err(Rejection::Limit(Bound::Fragments)));
    // A larger set drops the smaller one first.
    assert_eq!(attack.send(3, (1, 60), &[0]), Ok(Handled::Fragment));
    assert_eq!(attack.send(4, (3, 50), &[0]), Ok(Handled::Fragment));
    // Another message takes the place of one that came whole.
    let head = attack.forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, 2, false);
    let whole = attack.forger.seal(&head, &[]);
    let path = attack.path;
    assert_eq!(attack.world.receive(B, path, &whole), Ok(Handled::Processed));
    assert_eq!(attack.send(5, (1, 2), &[0]), Ok(Handled::Fragment));
}

/// Sets of ever more fragments, each of which drops the one before: nothing piles up.
#[test]
fn totals_that_grow_for_ever_leave_one_fragment() {
    let mut attack = Attack::on(|_| {});
    let messages: Vec<Vec<u8>> =
        (2..=1_024).map(|total| attack.fragment(2, (2, total), &[7; 1_000])).collect();
    let (endpoint, now, path) = attack.endpoint();
    let (left, most) = measured(|| {
        for message in &messages {
            assert_eq!(endpoint.handle_datagram(now, path, message), Ok(Handled::Fragment));
        }
    });
    assert!(left < 3_000 && most < 8_000, "{left}, at most {most}");
    // And back again: all of them are stale.
    for message in messages.iter().rev().skip(1) {
        let result = endpoint.handle_datagram(now, path, message);
        assert!(matches!(result, Err(Rejection::Fragment(FragmentFault::Replaced { by: 1_024, .. }))));
    }
}

/// 65,000 octets in pieces of one octet are refused at the configured cost, which is what the configuration's doc
/// says.
#[test]
fn pieces_of_one_octet_cost_no_more_than_the_doc_says() {
    let mut attack = Attack::on(|b| b.config.window = 8);
    // The largest number is left out, so that no message is ever whole.
    let mut messages = Vec::new();
    for id in 2..6 {
        for number in 1..=1_023u16 {
            messages.push(attack.fragment(id, (number, 1_024), &[7]));
        }
    }
    let (endpoint, now, path) = attack.endpoint();
    let (left, most) = measured(|| {
        for message in &messages {
            let _ = endpoint.handle_datagram(now, path, message);
        }
    });
    assert!(left < 131_072 && most < 140_000, "{left}, at most {most}");
    assert_eq!(endpoint.statistics().fragments_received, 1_024);

    // And of the largest ones: as much as the octets allow, and no more while they come.
    let mut attack = Attack::on(|_| {});
    let messages: Vec<Vec<u8>> =
        (1..=1_023u16).map(|number| attack.fragment(2, (number, 1_024), &[7; 64])).collect();
    let (endpoint, now, path) = attack.endpoint();
    let (left, most) = measured(|| {
        for message in &messages {
            assert_eq!(endpoint.handle_datagram(now, path, message), Ok(Handled::Fragment));
        }
    });
    assert!(left < 131_072 && most < 140_000, "{left}, at most {most}");
}

/// Nothing is kept before its ICV is good, whatever it claims.
#[test]
fn a_flood_of_forged_fragments_leaves_nothing() {
    let mut attack = Attack::on(|_| {});
    let genuine = attack.fragment(2, (1, 3), &[7; 500]);
    let (endpoint, now, path) = attack.endpoint();
    let forge = |seed: u16| {
        let mut forged = genuine.clone();
        forged[32..34].copy_from_slice(&(seed % 900 + 1).to_be_bytes());
        forged[34..36].copy_from_slice(&(seed % 100 + 900).to_be_bytes());
        forged[60] ^= 1;
        forged
    };
    let _ = endpoint.handle_datagram(now, path, &forge(0));
    let (left, _) = measured(|| {
        for seed in 0..5_000 {
            let result = endpoint.handle_datagram(now, path, &forge(seed));
            assert_eq!(result, Err(Rejection::IntegrityCheck), "{seed}");
        }
    });
    assert_eq!(left, 0);
}

/// The memory of the fragments is given back once the message is whole.
#[test]
fn a_whole_message_gives_its_fragments_back() {
    let mut attack = Attack::on(|_| {});
    let rounds: Vec<Vec<Vec<u8>>> = (2..42)
        .map(|id| {
            let head = attack.forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, id, false);
            let big = [Raw::new(PayloadType::VENDOR_ID, &[7; 20_000])];
            attack.forger.seal_fragments(&head, &big, 40)
        })
        .collect();
    let (endpoint, now, path) = attack.endpoint();
    let mut all = |rounds: &[Vec<Vec<u8>>]| {
        for message in rounds.iter().flatten() {
            endpoint.handle_datagram(now, path, message).unwrap();
            while endpoint.poll_transmit().is_some() {}
        }
    };
    all(&rounds[..2]);
    let (left, most) = measured(|| all(&rounds[2..]));
    assert!(left.abs() < 512, "{left}");
    // The pieces, and for a moment the message beside them.
    assert!(most < 70_000, "{most}");
}

/// An answer in fragments is kept once: what is sent, at first and again, shares its octets.
#[test]
fn a_kept_answer_in_fragments_is_kept_once() {
    let (a, mut b) = two_with_certificates(0, 20_000);
    b.config.hooks.key_log = None;
    let mut world = asking(a, b);
    let request = world.take();
    let (node, path) = world.route(&request).unwrap();
    assert_eq!(node, B);
    let now = world.now;
    let endpoint = &mut world.nodes[B].endpoint;
    let mut sent = Vec::with_capacity(200);
    let (left, _) = measured(|| {
        endpoint.handle_datagram(now, path, &request.octets).unwrap();
        for _ in 0..2 {
            endpoint.handle_datagram(now, path, &request.octets).unwrap();
        }
        while endpoint.poll_event().is_some() {}
        while let Some(transmit) = endpoint.poll_transmit() {
            sent.push(transmit);
        }
    });
    let octets: usize = sent.iter().map(|transmit| transmit.datagram.len()).sum();
    assert!(octets > 60_000, "{octets}");
    // A third of what was handed out three times, the IKE SA with its Child SA, and the queues' room.
    assert!(left < (octets as i64) / 3 + 12_000, "{left} for {octets}");
}

/// Anyone can send good fragments of IKE_AUTH: what half-open IKE SAs keep of them has a bound, beyond which only what
/// makes a message whole is taken.
#[test]
fn fragments_of_half_open_sas_are_bounded_together() {
    for (in_all, of_source, bound) in
        [(1 << 20, 30_000, Bound::HalfOpenOctetsFromSource), (30_000, 1 << 20, Bound::HalfOpenOctets)]
    {
        let (mut a, mut b) = two_with_certificates(12_000, 100);
        b.config.max_half_open_octets = in_all;
        b.config.max_half_open_octets_from_source = of_source;
        b.connection.duplicates = DuplicatePolicy::Allow;
        a.connection.duplicates = DuplicatePolicy::Allow;
        let mut world = World::pair(a, b);
        for _ in 0..5 {
            world.connect(A, B);
        }
        let mut requests = Vec::new();
        for _ in 0..10 {
            world.deliver_next();
        }
        requests.extend(world.take_all());
        let (last, others): (Vec<_>, Vec<_>) = requests.into_iter().partition(|packet| {
            let (number, total, _) = fragment(packet).unwrap();
            number == total
        });
        assert_eq!(last.len(), 5);
        let mut taken = 0;
        for packet in &others {
            match world.deliver(packet).unwrap() {
                Ok(Handled::Fragment) => taken += packet.message().len(),
                refused => assert_eq!(refused, Err(Rejection::Limit(bound))),
            }
        }
        let (least, most) = (24_000, 30_000 + 1_280);
        assert!((least..=most).contains(&taken), "{taken}");
        // The first two are whole with their last fragments, and make room; the others are repeated.
        for packet in &last[..2] {
            assert_eq!(world.deliver(packet), Some(Ok(Handled::Processed)));
        }
        world.run_for_secs(60);
        assert_eq!(world.node(B).mirror.sas.len(), 5);
        assert_eq!(world.endpoint(B).half_open(), 0);
    }
}
