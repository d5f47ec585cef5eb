//! DF, the MTU of the path, and the ICMP errors about it (RFC 4301 §6, §8; RFC 1191; RFC 4443).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::icmp::{Answer, MAX_ANSWER, TooBigNotice};
use ipsec_esp::outer::DfPolicy;
use ipsec_esp::{
    DropReason, Engine, EngineConfig, Framing, InboundConfig, OutboundConfig, OutboundSa, PacketBuf,
    PathMtuConfig, SealError, Sealed,
};
use ipsec_types::sa::{ChildSa, ChildSaId};
use ipsec_types::{Encapsulation, Instant, Path, SaCommand, TrafficSelector};
use std::net::IpAddr;
use std::time::Duration;

const NOW: Instant = Instant::ZERO;

fn df(mut packet: Vec<u8>) -> Vec<u8> {
    packet[6] |= 0x40;
    fix_checksum(&mut packet);
    packet
}

fn sa(path: Path, mtu: u16, dont_fragment: DfPolicy) -> OutboundSa {
    let path_mtu = PathMtuConfig { first: Some(mtu), ..PathMtuConfig::default() };
    let config =
        OutboundConfig { framing: Framing::IpPacket, dont_fragment, path_mtu, ..OutboundConfig::default() };
    let child = ChildSa { path, encapsulation: Encapsulation::None, ..child() };
    sa_pair(&child, config, InboundConfig::default()).0
}

fn try_seal(sa: &mut OutboundSa, now: Instant, packet: &[u8]) -> Result<(Sealed, usize), SealError> {
    let (mut storage, at) = roomy(packet);
    let mut buf = PacketBuf::new(&mut storage, at).unwrap();
    let sealed = sa.seal(now, &mut buf)?;
    Ok((sealed, buf.len()))
}

/// RFC 4301 §8.2: what may be fragmented is sealed and fragmented behind the outer header; what must not is refused
/// with the size that fits, and then that size fits.
#[test]
fn packets_larger_than_the_path_takes() {
    for path in [path_v4(), path_v6()] {
        let mut copy = sa(path, 1_400, DfPolicy::Copy);
        let fits = copy.max_inner(1_400).unwrap();
        assert_eq!(try_seal(&mut copy, NOW, &df(v4(fits + 1))), Err(SealError::TooBig(fits)));
        assert_eq!(try_seal(&mut copy, NOW, &v6(fits + 1)), Err(SealError::TooBig(fits)));
        assert_eq!((copy.last_number(), copy.statistics().dropped(DropReason::TooBig)), (0, 2));
        assert!(try_seal(&mut copy, NOW, &df(v4(fits))).unwrap().1 <= 1_400);
        assert!(try_seal(&mut copy, NOW, &v6(fits)).unwrap().1 <= 1_400);
        let (sealed, octets) = try_seal(&mut copy, NOW, &v4(fits + 1)).unwrap();
        assert!(octets > 1_400 && !sealed.outer.dont_fragment);

        // The inner packet may be fragmented, the outer one not: the embedder's to do before.
        let mut set = sa(path, 1_400, DfPolicy::Set);
        assert_eq!(try_seal(&mut set, NOW, &v4(fits + 1)), Err(SealError::TooBig(fits)));
        // The other way round it is still the inner packet that says.
        let mut clear = sa(path, 1_400, DfPolicy::Clear);
        assert_eq!(try_seal(&mut clear, NOW, &df(v4(fits + 1))), Err(SealError::TooBig(fits)));
    }
}

/// No source is told less than what every link takes: such packets are fragmented behind the outer header, whatever
/// they say.
#[test]
fn packets_that_every_link_takes() {
    for path in [path_v4(), path_v6()] {
        let mut sa_ = sa(path, 600, DfPolicy::Copy);
        let (sealed, octets) = try_seal(&mut sa_, NOW, &v6(1_280)).unwrap();
        assert!(octets > 1_280 && !sealed.outer.dont_fragment);
        assert_eq!(try_seal(&mut sa_, NOW, &v6(1_281)), Err(SealError::TooBig(1_280)));
        let mut sa_ = sa(path, 80, DfPolicy::Set);
        let (sealed, _) = try_seal(&mut sa_, NOW, &df(v4(68))).unwrap();
        assert!(!sealed.outer.dont_fragment);
        assert_eq!(try_seal(&mut sa_, NOW, &df(v4(69))), Err(SealError::TooBig(68)));
    }
}

/// The answers, octet for octet as Scapy 2.8 makes them.
#[test]
fn answers_as_another_makes_them() {
    let inner4 = "4500003c00014000401126ac0a0100010a02000113880035000000001c1d1e1f202122232425262728292a2b2c2d2e2f\
                  303132333435363738393a3b";
    let inner6 = "6000000000141140fd000001000000000000000000000001fd0000020000000000000000000000011388003500000000\
                  303132333435363738393a3b";
    assert_eq!((hex(inner4), hex(inner6)), (df(v4(60)), v6(60)));
    let header4 = "450000580000400040016e56c000024d0a010001";
    let header6 = "6000000000443a4020010db8000000000000000000000077fd000001000000000000000000000001";
    for (answer, icmp4, icmp6) in [
        (Answer::TooBig(1_400), "0304310400000578", "02000e7900000578"),
        (Answer::Prohibited, "030d367300000000", "010114f000000000"),
        (Answer::Unreachable, "0301367f00000000", "010314ee00000000"),
    ] {
        for (packet, source, expected) in [
            (inner4, "192.0.2.77", format!("{header4}{icmp4}{inner4}")),
            (inner6, "2001:db8::77", format!("{header6}{icmp6}{inner6}")),
        ] {
            let mut room = [0; MAX_ANSWER];
            let octets = answer.write(&hex(packet), source.parse().unwrap(), &mut room).unwrap();
            assert_eq!(room[..octets], hex(&expected), "{answer:?}");
            let mut small = vec![0; octets - 1];
            assert_eq!(answer.write(&hex(packet), source.parse().unwrap(), &mut small), None);
        }
    }
    // Long packets are quoted as far as an answer may go, and no MTU is told that no link has.
    let mut room = [0; MAX_ANSWER];
    let source: [IpAddr; 2] = ["192.0.2.77".parse().unwrap(), "2001:db8::77".parse().unwrap()];
    assert_eq!(Answer::TooBig(40).write(&df(v4(1_500)), source[0], &mut room), Some(576));
    assert_eq!(room[26..28], [0, 68]);
    assert_eq!(Answer::TooBig(40).write(&v6(1_500), source[1], &mut room), Some(1_280));
    assert_eq!(room[44..48], [0, 0, 5, 0]);
}

/// RFC 1122 §3.2.2, RFC 4443 §2.4 (e): to these there is no answer.
#[test]
fn packets_without_an_answer() {
    let (source4, source6): (IpAddr, IpAddr) =
        ("192.0.2.77".parse().unwrap(), "2001:db8::77".parse().unwrap());
    let mut room = [0; MAX_ANSWER];
    let mut answer = |packet: &[u8], answer: Answer| {
        let source = if packet[0] >> 4 == 4 { source4 } else { source6 };
        answer.write(packet, source, &mut room).is_some()
    };
    let both = [Answer::TooBig(1_400), Answer::Prohibited];
    let good = df(v4(60));
    assert!(both.into_iter().all(|kind| answer(&good, kind)));
    assert!(!answer(&v4(60), Answer::TooBig(1_400)), "it may be fragmented");
    assert!(answer(&v4(60), Answer::Prohibited));
    // ICMP errors, but not echo requests.
    for (kind, answered) in
        [(3, false), (4, false), (5, false), (11, false), (12, false), (8, true), (0, true)]
    {
        let mut icmp = good.clone();
        (icmp[9], icmp[20]) = (1, kind);
        assert_eq!(answer(&icmp, Answer::Prohibited), answered, "{kind}");
    }
    for (kind, answered) in [(1, false), (2, false), (4, false), (127, false), (128, true)] {
        let mut icmp = v6(60);
        (icmp[6], icmp[40]) = (58, kind);
        assert_eq!(answer(&icmp, Answer::Prohibited), answered, "{kind}");
    }
    // Fragments but the first.
    let mut fragment = v4(60);
    fragment[6..8].copy_from_slice(&[0x20, 9]);
    assert!(!answer(&fragment, Answer::Prohibited));
    fragment[6..8].copy_from_slice(&[0x20, 0]);
    assert!(answer(&fragment, Answer::Prohibited));
    // From nobody, or to many. A path to an IPv6 group has an MTU too.
    for (at, address) in [(12, [0; 4]), (12, [224, 0, 0, 1]), (16, [255; 4]), (16, [239, 1, 2, 3])] {
        let mut packet = good.clone();
        packet[at..at + 4].copy_from_slice(&address);
        assert!(!both.into_iter().any(|kind| answer(&packet, kind)), "{address:?}");
    }
    let mut to_group = v6(60);
    to_group[24] = 0xFF;
    assert!(answer(&to_group, Answer::TooBig(1_400)) && !answer(&to_group, Answer::Prohibited));
    let mut from_nobody = v6(60);
    from_nobody[8..24].fill(0);
    assert!(!answer(&from_nobody, Answer::TooBig(1_400)));
    // Broken, or asked by an address of the other family.
    assert!(!answer(&good[..59], Answer::Prohibited));
    assert_eq!(Answer::Prohibited.write(&good, source6, &mut [0; MAX_ANSWER]), None);
}

/// What a router on the path sends about our ESP packet.
fn notice(packet: &[u8], mtu: u16) -> Vec<u8> {
    let mut room = vec![0; MAX_ANSWER];
    let v4 = packet[0] >> 4 == 4;
    let mut quoted = packet.to_vec();
    if v4 {
        quoted[6] |= 0x40;
    }
    let source = if v4 { "203.0.113.9" } else { "2001:db8:9::9" };
    let octets = Answer::TooBig(usize::from(mtu)).write(&quoted, source.parse().unwrap(), &mut room).unwrap();
    room.truncate(octets);
    if v4 {
        room[26..28].copy_from_slice(&mtu.to_be_bytes()); // whatever it is
    }
    room
}

struct Sender(Engine);

impl Sender {
    fn new(path: Path, encapsulation: Encapsulation) -> Self {
        let outbound = OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() };
        let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig { outbound, ..EngineConfig::default() });
        for id in 1..=3u64 {
            let remote = [TrafficSelector::ALL_V4, TrafficSelector::ALL_V6];
            let remote = remote.map(|all| TrafficSelector { protocol: 16 + id as u8, ..all }).to_vec();
            let child = ChildSa { id: ChildSaId(id), path, encapsulation, remote, ..child() };
            let install = install(&child, 0x2000 + id as u32, id as u8);
            engine.apply(NOW, SaCommand::InstallOutbound(Box::new(install))).unwrap();
        }
        Self(engine)
    }

    fn send(&mut self, now: Instant, inner: &[u8]) -> Result<Vec<u8>, SealError> {
        let (mut storage, at) = roomy(inner);
        let mut buf = PacketBuf::new(&mut storage, at).unwrap();
        self.0.seal(now, &mut buf).map(|_| buf.as_slice().to_vec())
    }
}

fn seconds(seconds: u64) -> Instant {
    Instant::from_origin(Duration::from_secs(seconds))
}

/// A notice about a packet that was sent makes the path smaller, for its time; then it is tried anew.
#[test]
fn routers_are_believed_for_a_time() {
    for path in [path_v4(), path_v6()] {
        let mut sender = Sender::new(path, Encapsulation::None);
        let sent = sender.send(NOW, &df(v4(1_446))).unwrap();
        assert_eq!(sender.0.handle_icmp(NOW, &notice(&sent, 1_400)), Some((ChildSaId(1), 1_400)));
        let error = sender.send(seconds(1), &df(v4(1_446))).unwrap_err();
        let SealError::TooBig(fits) = error else { panic!("{error}") };
        assert!(sender.send(seconds(1), &df(v4(fits))).unwrap().len() <= 1_400);
        // Nothing new, and nothing larger.
        for mtu in [1_400, 1_401, 1_500, 65_535] {
            assert_eq!(sender.0.handle_icmp(seconds(2), &notice(&sent, mtu)), None);
        }
        assert_eq!(sender.0.handle_icmp(seconds(2), &notice(&sent, 1_300)), Some((ChildSaId(1), 1_300)));
        assert!(sender.send(seconds(601), &df(v4(1_446))).is_err());
        assert!(sender.send(seconds(602), &df(v4(1_446))).is_ok());
        // A new path is an unknown one.
        let sent = sender.send(seconds(603), &df(v4(1_446))).unwrap();
        assert!(sender.0.handle_icmp(seconds(603), &notice(&sent, 1_400)).is_some());
        let id = ChildSaId(1);
        let moved = SaCommand::Move { id, path, encapsulation: Encapsulation::None };
        sender.0.apply(seconds(603), moved).unwrap();
        assert!(sender.send(seconds(603), &df(v4(1_446))).is_ok());
    }
}

/// Never below what links have, whatever is claimed; IPv4's old routers, who tell nothing, mean the next smaller size
/// that links have.
#[test]
fn bounds_of_what_is_believed() {
    for (path, told, believed) in [
        (path_v4(), 68, 576),
        (path_v4(), 575, 576),
        (path_v4(), 577, 577),
        (path_v4(), 0, 1_492),
        (path_v6(), 1_280, 1_280),
        (path_v6(), 1_281, 1_281),
    ] {
        let mut sender = Sender::new(path, Encapsulation::None);
        let sent = sender.send(NOW, &df(v4(1_446))).unwrap();
        assert_eq!(sender.0.handle_icmp(NOW, &notice(&sent, told)), Some((ChildSaId(1), believed)), "{told}");
    }
}

/// A quote that no SA of ours sent lately: another SPI, another destination, a number never sent, one long ago; in
/// UDP; and everything that is no such error.
#[test]
fn notices_that_are_not_believed() {
    for path in [path_v4(), path_v6()] {
        let esp = if path.local.is_ipv4() { 20 } else { 40 };
        let mut sender = Sender::new(path, Encapsulation::None);
        let first = sender.send(NOW, &df(v4(1_446))).unwrap();
        for number in [0u32, 2, u32::MAX, 1 << 31] {
            let mut quoted = first.clone();
            quoted[esp + 4..esp + 8].copy_from_slice(&number.to_be_bytes());
            assert_eq!(sender.0.handle_icmp(NOW, &notice(&quoted, 1_400)), None, "{number}");
        }
        for at in [esp + 3, esp - 1] {
            let mut quoted = first.clone();
            quoted[at] ^= 0x80;
            assert_eq!(sender.0.handle_icmp(seconds(1), &notice(&quoted, 1_400)), None, "{at}");
        }
        let good = notice(&first, 1_400);
        for len in 0..good.len() {
            assert_eq!(sender.0.handle_icmp(seconds(2), &good[..len]), None);
        }
        let mut other_kind = good.clone();
        other_kind[esp] = 11;
        assert_eq!(sender.0.handle_icmp(seconds(3), &other_kind), None);
        if esp == 40 {
            let mut damaged = good.clone();
            damaged[60] ^= 1;
            assert_eq!(sender.0.handle_icmp(seconds(3), &damaged), None, "RFC 4443 §2.3");
        }
        assert_eq!(sender.0.handle_icmp(seconds(3), &good), Some((ChildSaId(1), 1_400)));

        let mut sender = Sender::new(path, Encapsulation::Udp);
        let sent = sender.send(NOW, &df(v4(1_400))).unwrap();
        assert_eq!(sender.0.handle_icmp(NOW, &notice(&sent, 1_300)), None);
        let config = OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() };
        let child = ChildSa { path, encapsulation: Encapsulation::None, ..child() };
        let mut old = sa_pair(&child, config, InboundConfig::default()).0;
        let sent = seal(&mut old, &df(v4(1_446)));
        let quoted = TooBigNotice::parse(&notice(&sent, 1_400)).unwrap();
        assert!(old.leap_to(65_537));
        assert_eq!(old.learn_path_mtu(NOW, &quoted), None, "long ago");
        let mut old = sa_pair(&child, config, InboundConfig::default()).0;
        assert!(old.leap_to(65_536));
        assert_eq!(old.learn_path_mtu(NOW, &quoted), Some(1_400));
    }
}

/// Anybody can send such errors: only so many are held against all SAs.
#[test]
fn notices_are_limited() {
    let mut sender = Sender::new(path_v4(), Encapsulation::None);
    let sent = sender.send(NOW, &df(v4(1_446))).unwrap();
    let heard =
        (0..100u16).filter(|i| sender.0.handle_icmp(NOW, &notice(&sent, 1_400 - i)).is_some()).count();
    assert_eq!(heard, 10);
    assert_eq!(sender.0.handle_icmp(seconds(1), &notice(&sent, 1_000)), Some((ChildSaId(1), 1_000)));
}
