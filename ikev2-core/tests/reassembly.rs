//! The rules of RFC 7383 §2.6 for whoever receives, against a peer that keeps them and one that does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::{Bound, Fault, FragmentFault, Incomplete, RejectionKind};
use ikev2_core::{Event, Failure, Handled, Rejection, Role, Statistics};
use ikev2_wire::MAX_PAYLOADS;
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use std::time::Duration;
use support::forge::{Forger, Raw, chain};
use support::fragments::*;
use support::mirror::assert_crosswise;
use support::peer::{Peer, notifies};
use support::setup::*;
use support::told::{down, says};
use support::world::*;

const FRAGMENT: Option<Result<Handled, Rejection>> = Some(Ok(Handled::Fragment));
const PROCESSED: Option<Result<Handled, Rejection>> = Some(Ok(Handled::Processed));

fn fault(fault: FragmentFault) -> Option<Result<Handled, Rejection>> {
    Some(Err(Rejection::Fragment(fault)))
}

/// A responder that has answered IKE_SA_INIT, and a peer with the keys that fragments.
struct HalfOpen {
    world: World,
    peer: Peer,
    template: Packet,
}

impl HalfOpen {
    fn new(b: Setup) -> Self {
        let mut world = World::pair(Setup::new("a.example", "b.example"), b);
        let mut peer = Peer::initiator();
        let notify = Raw::notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, &[]);
        let octets = peer.init_request(|payloads| payloads.push(notify));
        let template =
            Packet { from: "192.0.2.1:500".parse().unwrap(), to: "192.0.2.2:500".parse().unwrap(), octets };
        world.deliver(&template).unwrap().unwrap();
        let answer = world.take();
        peer.got_init_answer(answer.message());
        Self { world, peer, template }
    }

    fn usual() -> Self {
        Self::new(Setup::new("b.example", "a.example"))
    }

    /// The IKE_AUTH request's payloads, as octets.
    fn content(&mut self) -> (PayloadType, Vec<u8>) {
        let whole = self.peer.auth_request(|_| {});
        chain(&self.peer.open(&whole), PayloadType::NONE)
    }

    /// A fragment of an IKE_AUTH request.
    fn fragment(&mut self, numbers: (u16, u16), first: PayloadType, piece: &[u8]) -> Vec<u8> {
        let forger = self.peer.forger.as_mut().unwrap();
        let head = forger.head(Role::Initiator, ExchangeType::IKE_AUTH, 1, false);
        forger.seal_fragment(&head, &[], numbers, first, piece)
    }

    /// The IKE_AUTH request in as many fragments.
    fn request(&mut self, count: u16) -> Vec<Vec<u8>> {
        let whole = self.peer.auth_request(|_| {});
        let payloads = self.peer.open(&whole);
        let forger = self.peer.forger.as_mut().unwrap();
        let head = forger.head(Role::Initiator, ExchangeType::IKE_AUTH, 1, false);
        forger.seal_fragments(&head, &payloads, count)
    }

    fn deliver(&mut self, message: &[u8]) -> Option<Result<Handled, Rejection>> {
        self.world.deliver(&self.template.with_message(message))
    }

    fn statistics(&self) -> &Statistics {
        self.world.endpoint(B).statistics()
    }

    fn assert_up(&self) {
        assert_eq!(self.world.node(B).mirror.sas.len(), 1, "{:?}", self.world.node(B).events);
        assert_eq!(self.world.node(B).mirror.children.len(), 1);
    }

    /// Whether anything of a message that is not whole is kept.
    fn holds_fragments(&self) -> bool {
        let dump = dump(self.world.endpoint(B));
        dump.contains("Pieces {")
    }
}

/// In any order, and each for itself.
#[test]
fn fragments_in_every_order_make_one_message() {
    for number in 0..24 {
        let (mut left, mut rest) = (vec![0usize, 1, 2, 3], number);
        let mut order = Vec::new();
        for count in (1..=4).rev() {
            order.push(left.remove(rest % count));
            rest /= count;
        }
        let mut half = HalfOpen::usual();
        let request = half.request(4);
        for at in &order[..3] {
            assert_eq!(half.deliver(&request[*at]), FRAGMENT, "{order:?}");
            assert!(half.world.node(B).events.is_empty());
        }
        assert_eq!(half.deliver(&request[order[3]]), PROCESSED, "{order:?}");
        half.assert_up();
        assert!(!half.holds_fragments());
        assert_eq!((half.statistics().fragments_received, half.statistics().messages_reassembled), (4, 1));
    }
}

/// §2.6: neither may be zero, and no number is above the total.
#[test]
fn impossible_numbers_are_dropped() {
    let mut half = HalfOpen::usual();
    let (first, content) = half.content();
    for numbers in [(0, 0), (0, 1), (0, 2), (1, 0), (2, 1), (5, 1), (65_535, 1), (65_535, 65_534)] {
        let message = half.fragment(numbers, first, &content);
        let result = half.deliver(&message);
        assert!(matches!(result, Some(Err(Rejection::Malformed(_)))), "{numbers:?}: {result:?}");
    }
    assert_eq!(half.statistics().decryptions, 0);
    assert!(!half.holds_fragments());
    let message = half.fragment((1, 1), first, &content);
    assert_eq!(half.deliver(&message), PROCESSED);
    half.assert_up();
}

/// §2.6: what is there already is discarded, before any work is done for it; its octets make no difference.
#[test]
fn what_is_there_already_is_dropped_without_decrypting() {
    let mut half = HalfOpen::usual();
    let request = half.request(3);
    assert_eq!(half.deliver(&request[1]), FRAGMENT);
    let decryptions = half.statistics().decryptions;
    let other = half.fragment((2, 3), PayloadType::NONE, b"something else");
    for message in [&request[1], &other] {
        assert_eq!(half.deliver(message), fault(FragmentFault::Held { number: 2 }));
    }
    assert_eq!(half.statistics().decryptions, decryptions);
    assert_eq!(half.deliver(&request[0]), FRAGMENT);
    assert_eq!(half.deliver(&request[2]), PROCESSED);
    half.assert_up();
}

/// §2.6: a fragment of a larger set begins the message anew; one of a smaller set is discarded.
#[test]
fn a_larger_total_begins_anew_and_a_smaller_one_is_dropped() {
    let mut half = HalfOpen::usual();
    let (three, five, two) = (half.request(3), half.request(5), half.request(2));
    assert_eq!(half.deliver(&three[0]), FRAGMENT);
    assert_eq!(half.deliver(&three[1]), FRAGMENT);
    assert_eq!(half.deliver(&five[4]), FRAGMENT);
    for (message, total) in [(&three[2], 3), (&three[0], 3), (&two[1], 2)] {
        assert_eq!(half.deliver(message), fault(FragmentFault::Replaced { total, by: 5 }));
    }
    for message in &five[..3] {
        assert_eq!(half.deliver(message), FRAGMENT);
    }
    assert_eq!(half.deliver(&five[3]), PROCESSED);
    half.assert_up();
    assert_eq!(half.world.node(B).only_sa().1.requests_answered, 2);
}

/// §2.6: without a good ICV nothing is kept, and nothing that was kept goes, whatever its numbers say.
#[test]
fn a_forged_fragment_changes_nothing() {
    let mut half = HalfOpen::usual();
    let request = half.request(3);
    // World asserts that a rejection leaves the state as it was.
    const TOTAL_AT: usize = 28 + 7;
    let forge = |half: &mut HalfOpen, message: &[u8]| {
        for at in [message.len() - 1, message.len() - 20, TOTAL_AT] {
            let mut forged = message.to_vec();
            // At the numbers this makes another set of it, of seven in place of three.
            forged[at] ^= 4;
            assert_eq!(half.deliver(&forged), Some(Err(Rejection::IntegrityCheck)));
        }
    };
    forge(&mut half, &request[0]);
    assert!(!half.holds_fragments());
    assert_eq!(half.deliver(&request[0]), FRAGMENT);
    forge(&mut half, &request[1]);
    assert_eq!(half.deliver(&request[1]), FRAGMENT);
    assert_eq!(half.deliver(&request[2]), PROCESSED);
    half.assert_up();
    assert_eq!(half.statistics().rejected(RejectionKind::IntegrityCheck), 6);
}

/// §2.5: in the later fragments the Next Payload field means nothing.
#[test]
fn next_payload_counts_in_fragment_1_alone() {
    let mut half = HalfOpen::usual();
    let (first, content) = half.content();
    let (front, back) = content.split_at(100);
    let later = half.fragment((2, 2), PayloadType::DELETE, back);
    assert_eq!(half.deliver(&later), FRAGMENT);
    let message = half.fragment((1, 2), first, front);
    assert_eq!(half.deliver(&message), PROCESSED);
    half.assert_up();

    // A wrong one there makes another message, which is refused as that would be.
    let mut half = HalfOpen::usual();
    let message = half.fragment((1, 2), PayloadType::NONE, front);
    assert_eq!(half.deliver(&message), FRAGMENT);
    let later = half.fragment((2, 2), first, back);
    assert_eq!(half.deliver(&later), PROCESSED);
    assert!(matches!(down(&half.world.take_events(B)), Failure::Malformed(_)));
}

/// An SKF payload may be empty (§2.5.3), and any of them may stand anywhere.
#[test]
fn empty_fragments_are_fragments() {
    let mut half = HalfOpen::usual();
    let (first, content) = half.content();
    let pieces: [&[u8]; 5] = [&[], &content[..1], &[], &content[1..], &[]];
    for (number, piece) in (1..).zip(pieces) {
        let message = half.fragment((number, 5), if number == 1 { first } else { PayloadType::NONE }, piece);
        assert_eq!(half.deliver(&message), if number == 5 { PROCESSED } else { FRAGMENT });
    }
    half.assert_up();

    let mut half = HalfOpen::usual();
    for number in 1..=3 {
        let message = half.fragment((number, 3), PayloadType::NONE, &[]);
        assert_eq!(half.deliver(&message), if number == 3 { PROCESSED } else { FRAGMENT });
    }
    assert_eq!(down(&half.world.take_events(B)), Failure::MissingPayload(PayloadType::ID_I));
}

/// §2.5.3: payloads in the clear stand in fragment 1, and count as in a message that is not fragmented.
#[test]
fn payloads_in_the_clear_are_those_of_fragment_1() {
    let unknown = || Raw::new(PayloadType(200), &[1, 2, 3]);
    for (outside, number, critical) in [
        (vec![unknown()], 1, false),
        (vec![Raw::new(PayloadType::VENDOR_ID, b"hello"), unknown().critical()], 1, true),
        (vec![unknown().critical()], 2, false),
    ] {
        let mut half = HalfOpen::usual();
        let (first, content) = half.content();
        let (front, back) = content.split_at(60);
        let forger = half.peer.forger.as_mut().unwrap();
        let head = forger.head(Role::Initiator, ExchangeType::IKE_AUTH, 1, false);
        let of = |at: u16| if at == number { outside.as_slice() } else { &[] };
        let one = forger.seal_fragment(&head, of(1), (1, 2), first, front);
        let two = forger.seal_fragment(&head, of(2), (2, 2), PayloadType::NONE, back);
        assert_eq!(half.deliver(&two), FRAGMENT);
        assert_eq!(half.deliver(&one), PROCESSED);
        if critical {
            assert_eq!(down(&half.world.take_events(B)), Failure::CriticalPayload(PayloadType(200)));
        } else {
            half.assert_up();
        }
    }
}

/// One cap for the payloads outside and inside: a peer once killed a daemon by the difference of one.
#[test]
fn payloads_outside_and_inside_are_counted_together() {
    let empty = || Raw::new(PayloadType(200), &[]);
    for count in 1..=2u16 {
        for (outside, inside, fits) in [
            (MAX_PAYLOADS - 3, 2, true),
            (MAX_PAYLOADS - 2, 1, true),
            (MAX_PAYLOADS - 1, 0, true),
            (MAX_PAYLOADS - 2, 2, false),
            (MAX_PAYLOADS - 1, 1, false),
        ] {
            let (a, b) = two();
            let mut world = World::established(a, b);
            let mut forger = Forger::new(&world.node(A).keys);
            let head = forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, 2, false);
            let (first, content) = chain(&vec![empty(); inside], PayloadType::NONE);
            let clear = vec![empty(); outside];
            let template = Packet {
                from: "192.0.2.1:500".parse().unwrap(),
                to: "192.0.2.2:500".parse().unwrap(),
                octets: vec![],
            };
            let cut = content.len() / usize::from(count);
            let mut results = Vec::new();
            for number in 1..=count {
                let (clear, first) =
                    if number == 1 { (clear.as_slice(), first) } else { (&[][..], PayloadType::NONE) };
                let piece = if count == 1 {
                    &content[..]
                } else if number == 1 {
                    &content[..cut]
                } else {
                    &content[cut..]
                };
                let octets = forger.seal_fragment(&head, clear, (number, count), first, piece);
                results.push(world.deliver(&Packet { octets, ..template.clone() }));
            }
            assert_eq!(results.pop().unwrap(), PROCESSED, "{outside} + {inside} in {count}");
            let events = world.take_events(B);
            if fits {
                assert!(events.is_empty(), "{outside} + {inside}: {events:?}");
            } else {
                assert!(matches!(down(&events), Failure::Malformed(_)), "{events:?}");
            }
        }
        // One more does not even fit outside.
        let mut forger = HalfOpen::usual();
        let peer = forger.peer.forger.as_mut().unwrap();
        let head = peer.head(Role::Initiator, ExchangeType::IKE_AUTH, 1, false);
        let message =
            peer.seal_fragment(&head, &vec![empty(); MAX_PAYLOADS], (1, count), PayloadType::NONE, &[]);
        assert!(matches!(forger.deliver(&message), Some(Err(Rejection::Malformed(_)))));
    }
}

/// §2.6: what was put together is processed as if it had come whole, junk at its end included.
#[test]
fn a_message_that_is_put_together_is_judged_as_a_whole() {
    let mut half = HalfOpen::usual();
    let (first, mut content) = half.content();
    content.extend_from_slice(&[0, 0, 0]);
    let (front, back) = content.split_at(content.len() - 2);
    let one = half.fragment((1, 2), first, front);
    let two = half.fragment((2, 2), PayloadType::NONE, back);
    assert_eq!(half.deliver(&one), FRAGMENT);
    assert_eq!(half.deliver(&two), PROCESSED);
    let events = half.world.take_events(B);
    assert!(matches!(down(&events), Failure::Malformed(_)), "{events:?}");
    let answer = half.world.take();
    let payloads = open(half.peer.forger.as_ref().unwrap(), &[answer]);
    assert_eq!(notifies(&payloads), [(NotifyType::INVALID_SYNTAX, vec![])]);
}

/// A fragment whose integrity is good and whose padding is not comes from a broken peer.
#[test]
fn a_fragment_with_more_padding_than_text_ends_the_exchange() {
    let mut half = HalfOpen::usual();
    let request = half.request(3);
    assert_eq!(half.deliver(&request[0]), FRAGMENT);
    let forger = half.peer.forger.as_mut().unwrap();
    let head = forger.head(Role::Initiator, ExchangeType::IKE_AUTH, 1, false);
    let broken = forger.seal_broken_fragment(&head, (2, 3), &[7, 7, 200]);
    assert_eq!(half.deliver(&broken), PROCESSED);
    assert_eq!(down(&half.world.take_events(B)), Failure::Padding);
    assert!(!half.holds_fragments());
}

/// A whole message takes the place of the fragments that came of it, and they are of no use any more.
#[test]
fn a_whole_message_takes_the_place_of_its_fragments() {
    let mut half = HalfOpen::usual();
    let request = half.request(3);
    let whole = half.peer.auth_request(|_| {});
    assert_eq!(half.deliver(&request[0]), FRAGMENT);
    assert_eq!(half.deliver(&request[2]), FRAGMENT);
    assert_eq!(half.deliver(&whole), PROCESSED);
    half.assert_up();
    assert!(!half.holds_fragments());
    assert_eq!(half.deliver(&request[1]), fault(FragmentFault::Answered { number: 2 }));
    assert_eq!(half.deliver(&whole), Some(Ok(Handled::RepeatAnswered)));
    // Fragment 1 asks for the answer, too, and stands for the request from now on.
    assert_eq!(half.deliver(&request[0]), Some(Ok(Handled::RepeatAnswered)));
    assert_eq!(half.deliver(&whole), Some(Err(Rejection::AlteredRepeat(1))));
}

/// The keys of a half-open IKE SA are derived for the first fragment, and for no other.
#[test]
fn keys_are_derived_once_and_not_for_each_fragment() {
    let mut half = HalfOpen::usual();
    let request = half.request(40);
    assert_eq!(half.statistics().key_exchanges, 0);
    for message in &request[1..] {
        assert_eq!(half.deliver(message), FRAGMENT);
        assert_eq!(half.statistics().key_exchanges, 1);
        assert_eq!(half.world.endpoint(B).half_open(), 1);
    }
    assert_eq!(half.deliver(&request[0]), PROCESSED);
    assert_eq!(half.statistics().key_exchanges, 1);
    assert_eq!(half.statistics().decryptions, 40);
    half.assert_up();
}

/// What cannot be of use is dropped before keys are derived for it.
#[test]
fn no_keys_are_derived_for_fragments_of_no_use() {
    let mut b = Setup::new("b.example", "a.example");
    b.connection.fragmentation = None;
    let mut half = HalfOpen::new(b);
    let request = half.request(2);
    assert_eq!(half.deliver(&request[0]), fault(FragmentFault::NotAgreed));
    assert_eq!(half.statistics().key_exchanges, 0);

    let mut half = HalfOpen::usual();
    let message = half.fragment((1, 2_000), PayloadType::ID_I, &[]);
    assert_eq!(half.deliver(&message), Some(Err(Rejection::Limit(Bound::Fragments))));
    assert_eq!(half.statistics().key_exchanges, 0);
}

/// §2.6: after a timeout the fragments are discarded, as if nothing had come, and the embedder hears of it.
#[test]
fn what_never_becomes_whole_is_given_up_and_told() {
    let (a, mut b) = two_with_certificates(0, 0);
    b.config.reassembly.timeout = Duration::from_secs(40);
    b.connection.liveness = None;
    let mut world = World::established(a, b);
    let mut forger = Forger::new(&world.node(A).keys);
    let head = forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, 2, false);
    let octets = forger.seal_fragments(&head, &[Raw::new(PayloadType::VENDOR_ID, &[1; 90])], 3);
    let template = Packet {
        from: "192.0.2.1:500".parse().unwrap(),
        to: "192.0.2.2:500".parse().unwrap(),
        octets: vec![],
    };
    for octets in &octets[..2] {
        assert_eq!(world.deliver(&Packet { octets: octets.clone(), ..template.clone() }), FRAGMENT);
    }
    let deadline = world.now + Duration::from_secs(40);
    assert_eq!(world.endpoint(B).poll_timeout(), Some(deadline));
    world.now = deadline;
    world.fire(B);
    let incomplete = Incomplete {
        exchange: ExchangeType::INFORMATIONAL,
        message_id: 2,
        is_response: false,
        received: 2,
        total: 3,
        missing: vec![3..=3],
        octets: octets[0].len() + octets[1].len(),
        largest: octets[0].len(),
    };
    let sa = world.handle(B);
    assert_eq!(incomplete.fault(), Fault::Environment);
    says(&incomplete, &["2 of 3 fragments", "INFORMATIONAL request 2", "missing: 3"]);
    assert_eq!(world.take_events(B), [Event::MessageIncomplete { sa, incomplete }]);
    assert!(!dump(world.endpoint(B)).contains("Pieces {"));
    assert_eq!(world.endpoint(B).statistics().messages_incomplete, 1);
    // The last one comes too late to finish anything, and the whole set is taken as new.
    assert_eq!(world.deliver(&Packet { octets: octets[2].clone(), ..template.clone() }), FRAGMENT);
    for (number, octets) in octets.iter().enumerate().take(2) {
        let result = world.deliver(&Packet { octets: octets.clone(), ..template.clone() });
        assert_eq!(result, if number == 1 { PROCESSED } else { FRAGMENT });
    }
}

/// A half-open IKE SA that never got all of its IKE_AUTH says what it lacks when it ends: the path may be narrow.
#[test]
fn a_half_open_sa_tells_which_fragments_never_came() {
    let mut half = HalfOpen::usual();
    let request = half.request(6);
    for message in [&request[3], &request[0]] {
        assert_eq!(half.deliver(message), FRAGMENT);
    }
    half.world.run_for_secs(60);
    let events = half.world.take_events(B);
    let [Event::MessageIncomplete { incomplete, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((incomplete.received, incomplete.total, incomplete.is_response), (2, 6, false));
    assert_eq!(incomplete.missing, [2..=3, 5..=6]);
    says(incomplete, &["2 of 6 fragments", "missing: 2 to 3, 5 to 6"]);
    half.world.assert_empty(B);
    assert_eq!(half.statistics().half_open_expired, 1);
}

/// An initiator that never gets all of an answer says so before it gives up.
#[test]
fn an_initiator_tells_which_fragments_of_the_answer_never_came() {
    let (a, b) = two_with_certificates(0, 4_000);
    let mut world = asking(a, b);
    world.deliver_next();
    let answer = world.take_all();
    for packet in &answer[1..] {
        assert_eq!(world.deliver(packet), FRAGMENT);
    }
    world.link.mtu = 1;
    world.run_for_secs(300);
    let events = world.take_events(A);
    let [Event::MessageIncomplete { incomplete, .. }, Event::IkeSaDown { .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    let total = answer.len() as u16;
    assert_eq!((incomplete.received, incomplete.total, incomplete.is_response), (total - 1, total, true));
    assert_eq!(incomplete.missing, [1..=1]);
    // That is why there was no answer.
    let failure = down(&events);
    assert_eq!((failure.fault(), &failure), (Fault::Environment, &Failure::Incomplete(incomplete.clone())));
    says(&failure, &["IKE_AUTH answer 1", "missing: 1"]);
    world.assert_empty(A);
}

/// §2.1: repeats of an incomplete request bring what was lost.
#[test]
fn a_repeat_brings_the_fragments_that_were_lost() {
    let (a, b) = two_with_certificates(4_000, 4_000);
    let mut world = asking(a, b);
    let request = world.take_all();
    world.put(request[1].clone());
    world.put(request[3].clone());
    world.run();
    assert!(world.node(B).events.is_empty());
    world.run_for_secs(2);
    assert_up(&world);
    assert_eq!(world.endpoint(B).statistics().fragments_received, 4);
}

/// The exchange type belongs to the header, which is the same in all fragments (§2.5).
#[test]
fn fragments_of_two_exchanges_do_not_mix() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let mut forger = Forger::new(&world.node(A).keys);
    let template = Packet {
        from: "192.0.2.1:500".parse().unwrap(),
        to: "192.0.2.2:500".parse().unwrap(),
        octets: vec![],
    };
    let mut deliver = |world: &mut World, exchange, numbers| {
        let head = forger.head(Role::Initiator, exchange, 2, false);
        let octets = forger.seal_fragment(&head, &[], numbers, PayloadType::NONE, &[]);
        world.deliver(&Packet { octets, ..template.clone() })
    };
    assert_eq!(deliver(&mut world, ExchangeType::INFORMATIONAL, (1, 2)), FRAGMENT);
    let other = ExchangeType::CREATE_CHILD_SA;
    assert_eq!(deliver(&mut world, other, (2, 2)), Some(Err(Rejection::UnexpectedExchange(other))));
    assert_eq!(deliver(&mut world, other, (2, 3)), Some(Err(Rejection::UnexpectedExchange(other))));
    assert_eq!(deliver(&mut world, ExchangeType::INFORMATIONAL, (2, 2)), PROCESSED);
}

/// Message IDs count for fragments as for messages: old, ahead, unsolicited.
#[test]
fn fragments_outside_the_window_are_dropped() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let mut forger = Forger::new(&world.node(A).keys);
    let template = Packet {
        from: "192.0.2.1:500".parse().unwrap(),
        to: "192.0.2.2:500".parse().unwrap(),
        octets: vec![],
    };
    for (id, response, expected) in [
        (0, false, Rejection::OldMessageId(0)),
        (3, false, Rejection::MessageIdAhead(3)),
        (u32::MAX, false, Rejection::MessageIdAhead(u32::MAX)),
        (0, true, Rejection::Unsolicited(0)),
        (7, true, Rejection::Unsolicited(7)),
    ] {
        let head = forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, id, response);
        let octets = forger.seal_fragment(&head, &[], (1, 2), PayloadType::NONE, &[]);
        assert_eq!(world.deliver(&Packet { octets, ..template.clone() }), Some(Err(expected)));
    }
    assert_eq!(world.endpoint(B).statistics().fragments_received, 0);
}

/// The peer's path counts when the message is whole: a fragment that somebody else sends on moves nothing.
#[test]
fn a_fragment_moves_nobody() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
    world.connect(A, B);
    world.run();
    assert_up(&world);
    world.take_events(B);
    let sa = world.handle(A);
    world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
    let packet = world.take();
    let mut forger = Forger::new(&world.node(A).keys);
    let head = forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, 2, false);
    let messages = forger.seal_fragments(&head, &[], 2);
    let mut elsewhere = packet.clone();
    elsewhere.from.set_port(4_444);
    assert_eq!(world.deliver(&elsewhere.with_message(&messages[0])), FRAGMENT);
    assert_eq!(world.take_events(B), []);
    assert_eq!(world.deliver(&packet.with_message(&messages[1])), PROCESSED);
    assert_eq!(world.take_events(B), []);
}

/// Clients cut IKE_AUTH into small pieces, and limits of sixteen showed to users as an error without a reason.
#[test]
fn twenty_thousand_octets_in_576_octet_datagrams_establish() {
    for seed in 0..20 {
        let (mut a, mut b) = two_with_certificates(20_000, 20_000);
        (a.connection.fragmentation, b.connection.fragmentation) = (sizes(576, 576), sizes(576, 576));
        let mut world = World::new(vec![a, b], seed);
        world.strict = false;
        world.link = Link { duplication: 100, latency: (1, 400), ..Link::default() };
        world.connect(A, B);
        world.run();
        assert_up(&world);
        let statistics = world.endpoint(B).statistics();
        assert!(statistics.fragments_received > 40, "{}", statistics.fragments_received);
    }
}

/// A lossy path: each repeat brings some more.
#[test]
fn fragments_get_through_a_path_that_loses_and_damages_many() {
    for seed in 0..30 {
        let (mut a, mut b) = two_with_certificates(9_000, 9_000);
        a.config.half_open_timeout = Duration::from_secs(120);
        b.config.half_open_timeout = Duration::from_secs(120);
        let mut world = World::new(vec![a, b], seed);
        world.strict = seed % 5 == 0;
        world.link =
            Link { loss: 200, corruption: 50, duplication: 100, latency: (1, 300), ..Link::default() };
        world.connect(A, B);
        world.run_for_secs(120);
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        assert!(!world.node(A).mirror.children.is_empty(), "seed {seed}");
    }
}
