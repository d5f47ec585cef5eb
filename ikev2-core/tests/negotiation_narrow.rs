//! Traffic selector negotiation against RFC 7296 §2.9, §2.9.1 and §2.9.2, and against a set of packets as oracle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use core::net::IpAddr;
use ikev2_core::negotiation::{
    MAX_SELECTORS, Narrowed, SelectorLists, SelectorPair, Side, TsMismatchKind, narrow, narrow_for_rekey,
    propose, verify_answer, verify_rekey_answer,
};
use ikev2_wire::{Selector, TsPayload, TsType, UnknownSelector};
use ipsec_types::sa::PacketSelectors;
use ipsec_types::{AddressRange, PortRange, TrafficSelector};
use proptest::prelude::*;

/// `10.0.0.0/24`, `10.0.0.1-10.0.0.9`, `::/0`, and after a blank `tcp/80`, `udp/1-9`, `icmp/8.0`, `47`, `tcp/opaque`.
fn ts(text: &str) -> TrafficSelector {
    let (addresses, upper) = text.split_once(' ').unwrap_or((text, "0"));
    let addresses = match (addresses.split_once('/'), addresses.split_once('-')) {
        (Some((address, prefix)), _) => {
            AddressRange::prefix(address.parse().unwrap(), prefix.parse().unwrap()).unwrap()
        }
        (_, Some((start, end))) => AddressRange::new(start.parse().unwrap(), end.parse().unwrap()).unwrap(),
        _ => AddressRange::single(addresses.parse().unwrap()),
    };
    let (protocol, ports) = upper.split_once('/').unwrap_or((upper, "any"));
    let protocol = match protocol {
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        number => number.parse().unwrap(),
    };
    let port = |text: &str| match text.split_once('.') {
        Some((ty, code)) => ty.parse::<u16>().unwrap() * 256 + code.parse::<u16>().unwrap(),
        None => text.parse().unwrap(),
    };
    let ports = match (ports, ports.split_once('-')) {
        ("any", _) => PortRange::ANY,
        ("opaque", _) => PortRange::OPAQUE,
        (_, Some((start, end))) => PortRange::new(port(start), port(end)).unwrap(),
        (single, None) => PortRange::single(port(single)),
    };
    TrafficSelector { addresses, protocol, ports }
}

fn list(texts: &[&str]) -> Vec<TrafficSelector> {
    texts.iter().map(|text| ts(text)).collect()
}

fn lists(local: &[&str], remote: &[&str]) -> SelectorLists {
    SelectorLists { local: list(local), remote: list(remote) }
}

fn narrowed(policy: &SelectorLists, proposed: &SelectorLists) -> Narrowed {
    narrow(policy.pair(), proposed.pair()).unwrap()
}

fn ts_payload(list: &[TrafficSelector]) -> TsPayload<'static> {
    TsPayload::build(list).unwrap()
}

/// The initiator's view of an answer.
fn verify(request: &SelectorLists, answer: &SelectorLists) -> Result<SelectorLists, TsMismatchKind> {
    let (local, remote) = (ts_payload(&answer.local), ts_payload(&answer.remote));
    verify_answer(request.pair(), &local, &remote).map_err(|mismatch| mismatch.kind)
}

fn refusal(policy: &SelectorLists, proposed: &SelectorLists) -> TsMismatchKind {
    narrow(policy.pair(), proposed.pair()).unwrap_err().kind
}

// RFC 7296 §2.9, the four cases, with the addresses of its example: the initiator's network is 198.51.100.0/24,
// the responder's 192.0.2.0/24, the packet comes from 198.51.100.43.

#[test]
fn case_1_nothing_acceptable() {
    let policy = lists(&["192.0.2.0/24"], &["203.0.113.0/24"]);
    let mismatch = narrow(policy.pair(), lists(&["192.0.2.0/24"], &["198.51.100.0/24"]).pair()).unwrap_err();
    assert_eq!(mismatch.kind, TsMismatchKind::NoOverlap(Side::Remote));
    assert_eq!(
        mismatch.to_string(),
        "no remote traffic selector in common\n  \
         ours:   192.0.2.0/24 === 203.0.113.0/24\n  \
         peer's: 192.0.2.0/24 === 198.51.100.0/24"
    );
}

#[test]
fn case_2_everything_acceptable_comes_back_unchanged() {
    let proposed = lists(&["192.0.2.0/25", "192.0.2.128/26"], &["198.51.100.0/24"]);
    for policy in [
        lists(&["0.0.0.0/0"], &["198.51.100.0/24"]),
        // Even where only several entries of the policy together have a selector.
        lists(&["192.0.2.0/24"], &["198.51.100.128/25", "198.51.100.0/25"]),
    ] {
        let answer = narrowed(&policy, &proposed);
        assert_eq!((answer.local, answer.remote), (proposed.local.clone(), proposed.remote.clone()));
        assert!(!answer.narrowed && !answer.additional_possible);
    }
}

#[test]
fn case_3_the_triggering_packet_is_in_the_answer() {
    let proposed =
        lists(&["192.0.2.7 tcp/80", "192.0.2.0/24"], &["198.51.100.43 tcp/50000", "198.51.100.0/24"]);
    // The section's own example of an answer: only the one address, with all ports and protocols.
    let answer = narrowed(&lists(&["192.0.2.0/24"], &["198.51.100.43"]), &proposed);
    assert_eq!(answer.remote, list(&["198.51.100.43"]));
    assert_eq!(answer.local, list(&["192.0.2.0/24"]));
    assert!(answer.narrowed);
    // A policy of the packet's protocol only.
    let answer =
        narrowed(&lists(&["192.0.2.0/24 tcp"], &["198.51.100.0/28 tcp", "198.51.100.32/27 tcp"]), &proposed);
    assert_eq!(answer.remote, list(&["198.51.100.32/27 tcp", "198.51.100.0/28 tcp"]));
    assert!(answer.remote[0].covers(&proposed.remote[0]), "first by the order of the request");
}

#[test]
fn case_4_a_subset_without_the_first_selectors() {
    let proposed = lists(&["192.0.2.0/24"], &["198.51.100.43 tcp/50000", "198.51.100.0/24"]);
    let answer = narrowed(&lists(&["192.0.2.0/24"], &["198.51.100.64/26"]), &proposed);
    assert_eq!(answer.remote, list(&["198.51.100.64/26"]));
    assert!(answer.narrowed);
}

#[test]
fn example_of_2_9_1_leaves_out_the_address_of_the_other_policy() {
    let policy = lists(&["198.51.100.0-198.51.100.65", "198.51.100.67-198.51.100.255"], &["0.0.0.0/0"]);
    let answer = narrowed(&policy, &lists(&["198.51.100.0/24"], &["192.0.2.1"]));
    assert_eq!(answer.local, policy.local);
}

#[test]
fn the_packet_is_proposed_first_and_only_within_the_policy() {
    let policy = lists(&["198.51.100.0/24"], &["192.0.2.0/24"]);
    let packet = |source, destination| PacketSelectors { source: ts(source), destination: ts(destination) };
    let inside = packet("198.51.100.43 tcp/50000", "192.0.2.7 tcp/80");
    let SelectorLists { local, remote } = propose(policy.pair(), Some(&inside));
    assert_eq!(local, list(&["198.51.100.43 tcp/50000", "198.51.100.0/24"]));
    assert_eq!(remote, list(&["192.0.2.7 tcp/80", "192.0.2.0/24"]));
    let outside = packet("198.51.100.43 tcp/50000", "203.0.113.1 tcp/80");
    for packet in [None, Some(&outside)] {
        assert_eq!(propose(policy.pair(), packet), policy);
    }
}

#[test]
fn covered_and_repeated_selectors_are_merged_in_order() {
    let any = lists(&["0.0.0.0/0", "::/0"], &["0.0.0.0/0", "::/0"]);
    let proposed = lists(
        &["10.2.0.0/16", "10.1.2.3 tcp/80", "10.2.0.0/16", "10.1.0.0/16", "10.1.2.0/24"],
        &["10.9.0.0/16", "10.9.0.0/16"],
    );
    let answer = narrowed(&any, &proposed);
    assert_eq!(answer.local, list(&["10.2.0.0/16", "10.1.0.0/16"]));
    assert_eq!(answer.remote, list(&["10.9.0.0/16"]));
    assert!(!answer.narrowed);
}

#[test]
fn icmp_types_and_codes_narrow_as_one_number() {
    // Echo request and reply by policy; the initiator proposes types 3 to 8 and everything.
    let policy = lists(&["10.0.0.0/8 icmp/8.0", "10.0.0.0/8 icmp/0.0"], &["0.0.0.0/0 icmp"]);
    let answer = narrowed(&policy, &lists(&["10.1.0.0/16 icmp/3.0-8.255"], &["10.2.0.0/16"]));
    assert_eq!(answer.local, list(&["10.1.0.0/16 icmp/8.0"]));
    assert_eq!(answer.remote, list(&["10.2.0.0/16 icmp"]));
    let answer = narrowed(&policy, &lists(&["10.1.0.0/16"], &["10.2.0.0/16"]));
    assert_eq!(answer.local, list(&["10.1.0.0/16 icmp/8.0", "10.1.0.0/16 icmp/0.0"]));
}

#[test]
fn opaque_is_in_any_and_in_no_range() {
    let opaque = lists(&["10.0.0.1 tcp/opaque"], &["10.0.0.2 tcp"]);
    assert_eq!(narrowed(&lists(&["10.0.0.1 tcp"], &["10.0.0.2"]), &opaque).local, opaque.local);
    assert_eq!(narrowed(&opaque, &lists(&["10.0.0.1"], &["10.0.0.2"])).local, opaque.local);
    assert_eq!(
        refusal(&lists(&["10.0.0.1 tcp/0-65534"], &["10.0.0.2"]), &opaque),
        TsMismatchKind::NoOverlap(Side::Local)
    );
}

#[test]
fn families_of_the_two_ends_must_meet() {
    let both = lists(&["0.0.0.0/0", "::/0"], &["0.0.0.0/0", "::/0"]);
    assert_eq!(refusal(&both, &lists(&["10.0.0.0/8"], &["2001:db8::/32"])), TsMismatchKind::NoPair);
    // What nothing goes with is left out; what goes with something stays.
    let answer = narrowed(&both, &lists(&["10.0.0.0/8", "2001:db8::/32"], &["2001:db8:1::/48"]));
    assert_eq!(answer.local, list(&["2001:db8::/32"]));
    // Each end has a family in common with the policy, and not the same one.
    let policy = lists(&["10.0.0.0/8", "2001:db8::/32"], &["10.0.0.0/8", "2001:db8::/32"]);
    let mixed = lists(&["10.1.0.0/16", "2001:db9::/32"], &["11.0.0.0/8", "2001:db8::/32"]);
    assert_eq!(refusal(&policy, &mixed), TsMismatchKind::NoPair);
}

#[test]
fn protocols_of_the_two_ends_must_meet() {
    let any = lists(&["0.0.0.0/0"], &["0.0.0.0/0"]);
    assert_eq!(refusal(&any, &lists(&["10.0.0.1 tcp"], &["10.0.0.2 udp"])), TsMismatchKind::NoPair);
    let answer = narrowed(&any, &lists(&["10.0.0.1 tcp", "10.0.0.1 47"], &["10.0.0.2 tcp", "10.0.0.2 udp"]));
    assert_eq!((answer.local, answer.remote), (list(&["10.0.0.1 tcp"]), list(&["10.0.0.2 tcp"])));
    // Numbers on both sides of the middle of the protocol space.
    let answer = narrowed(&any, &lists(&["10.0.0.1 127", "10.0.0.1 128"], &["10.0.0.2 128", "10.0.0.2 255"]));
    assert_eq!((answer.local, answer.remote), (list(&["10.0.0.1 128"]), list(&["10.0.0.2 128"])));
}

#[test]
fn only_unknown_types_leave_an_empty_list() {
    let any = lists(&["0.0.0.0/0"], &["0.0.0.0/0"]);
    assert_eq!(refusal(&any, &lists(&[], &["10.0.0.1"])), TsMismatchKind::NothingKnown(Side::Local));
    assert_eq!(refusal(&any, &lists(&["10.0.0.1"], &[])), TsMismatchKind::NothingKnown(Side::Remote));
    assert_eq!(refusal(&lists(&[], &[]), &any), TsMismatchKind::NoOverlap(Side::Local));
}

#[test]
fn as_many_as_255_selectors_and_an_answer_that_would_have_more() {
    let host = |i: u32, j: u32| format!("10.{}.{}.0/24", i, j);
    let many: Vec<String> = (0..255).map(|i| host(i, 1)).collect();
    let many = lists(&many.iter().map(String::as_str).collect::<Vec<_>>(), &["192.0.2.1"]);
    let any = lists(&["0.0.0.0/0"], &["0.0.0.0/0"]);
    let answer = narrowed(&any, &many);
    assert_eq!(answer.local, many.local);
    assert!(!answer.narrowed && !answer.additional_possible);
    // 200 selectors of which the policy has two pieces each.
    let wide: Vec<String> = (0..200).map(|i| format!("10.{i}.0.0/16")).collect();
    let wide = lists(&wide.iter().map(String::as_str).collect::<Vec<_>>(), &["192.0.2.1"]);
    let pieces: Vec<String> = (0..200).flat_map(|i| [host(i, 1), host(i, 9)]).collect();
    let pieces = lists(&pieces.iter().map(String::as_str).collect::<Vec<_>>(), &["192.0.2.1"]);
    let answer = narrowed(&pieces, &wide);
    assert_eq!(answer.local.len(), MAX_SELECTORS);
    assert_eq!(answer.local, pieces.local[..MAX_SELECTORS]);
    assert!(answer.narrowed && answer.additional_possible);
    // Long lists are cut in what is reported, too.
    let none = lists(&["172.16.0.0/12"], &["192.0.2.1"]);
    let mismatch = narrow(pieces.pair(), none.pair()).unwrap_err();
    assert_eq!(mismatch.our_local.len(), MAX_SELECTORS);
    assert!(mismatch.to_string().contains(", and 239 more === "), "{mismatch}");
}

// The initiator's check.

#[test]
fn an_answer_may_straddle_adjacent_selectors_of_the_request() {
    let request =
        lists(&["10.0.0.0/25", "10.0.0.128/25"], &["10.1.0.0/24 tcp/0-79", "10.1.0.0/24 tcp/80-1023"]);
    let answer = lists(&["10.0.0.0/24"], &["10.1.0.0/24 tcp/22-443"]);
    assert_eq!(verify(&request, &answer).as_ref(), Ok(&answer));
    let gap = lists(&["10.0.0.0/25", "10.0.0.129-10.0.0.255"], &["10.1.0.0/24"]);
    assert_eq!(verify(&gap, &answer), Err(TsMismatchKind::NotRequested(Side::Local, ts("10.0.0.0/24"))));
}

#[test]
fn an_answer_that_is_no_subset_fails() {
    let request = lists(&["10.0.0.0/24 tcp"], &["10.1.0.0/24"]);
    for (local, remote, side) in [
        ("10.0.0.0/23 tcp", "10.1.0.0/24", Side::Local),
        ("10.0.0.0/24", "10.1.0.0/24", Side::Local),
        ("10.0.0.0/24 udp", "10.1.0.0/24", Side::Local),
        ("2001:db8::/64 tcp", "2001:db8::/64", Side::Local),
        ("10.0.0.0/24 tcp", "10.2.0.0/24", Side::Remote),
    ] {
        let answer = lists(&[local], &[remote]);
        match verify(&request, &answer) {
            Err(TsMismatchKind::NotRequested(found, _)) => assert_eq!(found, side, "{local} === {remote}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn unknown_types_are_passed_over_in_a_request_and_refused_in_an_answer() {
    let label = Selector::Unknown(UnknownSelector { ty: TsType(10), protocol: 0, body: b"label" });
    let known = ts("10.0.0.0/24");
    let mixed = TsPayload::from_selectors([label, Selector::Known(known)]).unwrap();
    let only = TsPayload::from_selectors([label]).unwrap();
    let lists = SelectorLists::known(&mixed, &only);
    assert_eq!(lists, SelectorLists { local: vec![known], remote: vec![] });
    let any = SelectorLists { local: vec![TrafficSelector::ALL_V4], remote: vec![TrafficSelector::ALL_V4] };
    assert_eq!(refusal(&any, &lists), TsMismatchKind::NothingKnown(Side::Remote));
    let mismatch = verify_answer(any.pair(), &ts_payload(&[known]), &mixed).unwrap_err();
    assert_eq!(mismatch.kind, TsMismatchKind::TypeNotRequested(Side::Remote, TsType(10)));
}

#[test]
fn an_answer_for_no_packet_fails() {
    let request = lists(&["10.0.0.0/24", "2001:db8::/64"], &["10.1.0.0/24", "2001:db8:1::/64"]);
    let answer = lists(&["10.0.0.0/24"], &["2001:db8:1::/64"]);
    assert_eq!(verify(&request, &answer), Err(TsMismatchKind::NoPair));
}

// Rekeying: RFC 7296 §2.9.2.

#[test]
fn a_wider_rekey_request_gets_what_is_in_use() {
    let in_use = lists(&["0.0.0.0/0"], &["10.0.1.11"]);
    let policy = lists(&["0.0.0.0/0"], &["10.0.1.0/24"]);
    let everything = lists(&["0.0.0.0/0", "::/0"], &["0.0.0.0/0", "::/0"]);
    let answer = narrow_for_rekey(in_use.pair(), policy.pair(), everything.pair()).unwrap();
    assert_eq!((answer.local, answer.remote), (in_use.local.clone(), in_use.remote.clone()));
    assert!(answer.narrowed);
    assert!(answer.additional_possible, "the policy has the rest of 10.0.1.0/24");
    // The request that a peer should send: the negotiated selectors.
    let answer = narrow_for_rekey(in_use.pair(), policy.pair(), in_use.pair()).unwrap();
    assert!(!answer.narrowed && !answer.additional_possible);
}

#[test]
fn no_less_than_is_in_use() {
    let in_use = lists(&["10.0.0.0/24"], &["10.1.0.0/24"]);
    let policy = lists(&["10.0.0.0/16"], &["10.1.0.0/16"]);
    let udp_only = lists(&["10.0.0.0/24 udp"], &["10.1.0.0/24 udp"]);
    let lost = TsMismatchKind::LessThanInUse(Side::Local, ts("10.0.0.0/24"));
    assert_eq!(narrow_for_rekey(in_use.pair(), policy.pair(), udp_only.pair()).unwrap_err().kind, lost);
    // The same as the initiator: the request was right and the answer loses traffic.
    let verify_rekey = |answer: &SelectorLists| {
        let (local, remote) = (ts_payload(&answer.local), ts_payload(&answer.remote));
        verify_rekey_answer(in_use.pair(), in_use.pair(), &local, &remote)
    };
    assert_eq!(verify_rekey(&in_use).as_ref(), Ok(&in_use));
    assert_eq!(verify(&in_use, &udp_only).as_ref(), Ok(&udp_only), "as a first answer it would do");
    let mismatch = verify_rekey(&udp_only).unwrap_err();
    assert_eq!(mismatch.kind, lost);
    assert!(
        mismatch.to_string().starts_with(
            "the new SA would lose the local traffic selector 10.0.0.0/24 that the old one uses"
        )
    );
}

#[test]
fn a_rekey_may_cut_the_lists_differently() {
    let in_use = lists(&["10.0.0.0/24", "2001:db8::/64"], &["10.1.0.0/24"]);
    let policy = lists(&["0.0.0.0/0"], &["0.0.0.0/0"]);
    let halves = lists(&["10.0.0.128/25", "10.0.0.0/25"], &["10.1.0.0/24"]);
    // The IPv6 selector goes with nothing and is no loss; the policy need not have it either.
    let answer = narrow_for_rekey(in_use.pair(), policy.pair(), halves.pair()).unwrap();
    assert!(!answer.narrowed);
    let (local, remote) = (ts_payload(&halves.local), ts_payload(&halves.remote));
    assert!(verify_rekey_answer(in_use.pair(), in_use.pair(), &local, &remote).is_ok());
}

#[test]
fn a_rekey_against_a_changed_policy_fails() {
    let in_use = lists(&["10.0.0.0/24"], &["10.1.0.0/24"]);
    let policy = lists(&["10.0.0.0/25"], &["10.1.0.0/24"]);
    assert_eq!(
        narrow_for_rekey(in_use.pair(), policy.pair(), in_use.pair()).unwrap_err().kind,
        TsMismatchKind::InUseOutsidePolicy(Side::Local, ts("10.0.0.0/24"))
    );
}

// The oracle: every packet of a small world, in a set or not.

#[derive(Clone, Copy, Debug)]
struct Packet {
    local: (IpAddr, Option<u16>),
    remote: (IpAddr, Option<u16>),
    protocol: u8,
}

fn world() -> Vec<Packet> {
    let v4 = (0..5).map(|last| IpAddr::from([10, 0, 0, last]));
    let v6 = (0..2).map(|last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]));
    let hosts: Vec<IpAddr> = v4.chain(v6).collect();
    let ports = [None, Some(0), Some(1), Some(2), Some(3), Some(9)];
    let mut packets = Vec::new();
    for &local in &hosts {
        for &remote in hosts.iter().filter(|remote| remote.is_ipv4() == local.is_ipv4()) {
            for protocol in [1, 6, 17, 99] {
                for local_port in ports {
                    for remote_port in ports {
                        let (local, remote) = ((local, local_port), (remote, remote_port));
                        packets.push(Packet { local, remote, protocol });
                    }
                }
            }
        }
    }
    packets
}

fn has(pair: SelectorPair<'_>, packet: &Packet) -> bool {
    let matches = |list: &[TrafficSelector], (address, port)| {
        list.iter().any(|s| s.matches(address, packet.protocol, port))
    };
    // The protocol is the packet's, so both ends are judged by the same one.
    matches(pair.local, packet.local) && matches(pair.remote, packet.remote)
}

fn selector() -> impl Strategy<Value = TrafficSelector> {
    let ports = prop_oneof![
        4 => Just(PortRange::ANY),
        1 => Just(PortRange::OPAQUE),
        3 => (0u16..4, 0u16..4).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap()),
    ];
    let addresses = prop_oneof![
        4 => (0u8..5, 0u8..5).prop_map(|(a, b)| AddressRange::new(
            IpAddr::from([10, 0, 0, a.min(b)]),
            IpAddr::from([10, 0, 0, a.max(b)])
        )),
        1 => (0u16..2, 0u16..2).prop_map(|(a, b)| AddressRange::new(
            IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, a.min(b)]),
            IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, a.max(b)])
        )),
    ];
    let protocol = prop_oneof![4 => Just(0u8), 1 => Just(1), 2 => Just(6), 1 => Just(17)];
    (addresses, protocol, ports).prop_map(|(addresses, protocol, ports)| TrafficSelector {
        addresses: addresses.unwrap(),
        protocol,
        ports,
    })
}

fn pair() -> impl Strategy<Value = SelectorLists> {
    let side = || prop::collection::vec(selector(), 0..5);
    (side(), side()).prop_map(|(local, remote)| SelectorLists { local, remote })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn narrowing_is_set_intersection(policy in pair(), proposed in pair()) {
        let world = world();
        let result = narrow(policy.pair(), proposed.pair());
        match &result {
            Err(_) => {
                let common = world.iter().find(|p| has(policy.pair(), p) && has(proposed.pair(), p));
                prop_assert!(common.is_none(), "refused although both have {common:?}");
            }
            Ok(answer) => {
                let granted = SelectorPair { local: &answer.local, remote: &answer.remote };
                let mut left_out = false;
                for packet in &world {
                    let both = has(policy.pair(), packet) && has(proposed.pair(), packet);
                    prop_assert_eq!(has(granted, packet), both, "{:?}", packet);
                    left_out |= has(proposed.pair(), packet) && !both;
                }
                prop_assert!(answer.narrowed || !left_out, "not narrowed, and packets are missing");
                prop_assert_eq!(answer.narrowed, !granted.covers(proposed.pair()));
                prop_assert!(policy.pair().covers(granted) && proposed.pair().covers(granted));
                prop_assert!(!answer.additional_possible);
                // §2.9, third case: the first selectors, where the policy has them.
                if let (Some(&local), Some(&remote)) = (proposed.local.first(), proposed.remote.first()) {
                    let first = SelectorPair { local: &[local], remote: &[remote] };
                    let acceptable = world.iter().all(|p| !has(first, p) || has(policy.pair(), p));
                    let included = world.iter().all(|p| !has(first, p) || has(granted, p));
                    prop_assert!(!acceptable || included);
                }
                // Nothing superfluous: no entry within another, none without a partner.
                for list in [granted.local, granted.remote] {
                    for (i, s) in list.iter().enumerate() {
                        prop_assert!(!list.iter().enumerate().any(|(j, t)| i != j && t.covers(s)));
                    }
                }
                for s in granted.local {
                    let alone = SelectorPair { local: &[*s], ..granted };
                    prop_assert!(world.iter().any(|p| has(alone, p)));
                }
                // The initiator that sent this request accepts the answer, and narrowing it again changes nothing.
                let lists = SelectorLists { local: answer.local.clone(), remote: answer.remote.clone() };
                let verified = verify(&proposed, &lists);
                prop_assert_eq!(verified, Ok(lists));
                let again = narrow(policy.pair(), granted).unwrap();
                prop_assert_eq!((&again.local, &again.remote), (&answer.local, &answer.remote));
                prop_assert!(!again.narrowed);
                // A rekey of this SA by the same request keeps it as it is.
                let rekeyed = narrow_for_rekey(granted, policy.pair(), proposed.pair()).unwrap();
                prop_assert_eq!((&rekeyed.local, &rekeyed.remote), (&answer.local, &answer.remote));
                prop_assert!(!rekeyed.additional_possible);
            }
        }
    }

    #[test]
    fn verification_is_set_inclusion(request in pair(), answer in pair()) {
        prop_assume!(!answer.local.is_empty() && !answer.remote.is_empty());
        let world = world();
        let sent: Vec<_> = world.iter().filter(|p| has(answer.pair(), p)).collect();
        if verify(&request, &answer).is_ok() {
            prop_assert!(!sent.is_empty());
            prop_assert!(sent.iter().all(|p| has(request.pair(), p)));
        } else if !sent.is_empty() {
            // Refused: an answered selector is not within the request's own list.
            let within = |list: &[TrafficSelector], (address, port), protocol| {
                list.iter().any(|s| s.matches(address, protocol, port))
            };
            let lists = [(&answer.local, &request.local), (&answer.remote, &request.remote)];
            let outside = lists.iter().any(|(inner, outer)| {
                inner.iter().any(|s| {
                    world.iter().any(|p| {
                        s.matches(p.local.0, p.protocol, p.local.1) && !within(outer, p.local, p.protocol)
                    })
                })
            });
            prop_assert!(outside);
        }
    }
}
