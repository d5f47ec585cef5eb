//! BEET mode (RFC 7402 Appendix B) as the Linux kernel does it. That it does is shown by `interop/kernel-esp`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::PacketNumber;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::{
    Arrival, DropReason, Engine, EngineConfig, Framing, InboundConfig, InboundSa, InstallError, NotCarried,
    OPEN_HEADROOM, OpenError, Opened, OutboundConfig, OutboundSa, PacketBuf, PseudoHeaderError, SealError,
    TfcPadding,
};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::ChildSa;
use ipsec_types::{
    AddressRange, Encapsulation, EncrId, Instant, IntegId, Mode, Path, SaCommand, TrafficSelector,
};

const NOW: Instant = Instant::ZERO;
/// Leaves the text readable.
const NULL: CipherSuite =
    CipherSuite { encr: EncrId::NULL, key_bits: None, integ: IntegId::HMAC_SHA2_256_128 };
const ROUTER_ALERT: [u8; 4] = [0x94, 4, 0, 0];

fn only(address: &str) -> Vec<TrafficSelector> {
    vec![TrafficSelector::addresses(AddressRange::single(address.parse().unwrap()))]
}

/// A pair for the addresses of `v4` and of `v6` of the common module.
fn beet(path: Path, inner_v4: bool) -> ChildSa {
    let (local, remote) = if inner_v4 { ("10.1.0.1", "10.2.0.1") } else { ("fd00:1::1", "fd00:2::1") };
    let (local, remote) = (only(local), only(remote));
    let encapsulation = Encapsulation::None;
    ChildSa { mode: Mode::Beet, suite: NULL, path, encapsulation, local, remote, ..child() }
}

fn whole() -> OutboundConfig {
    OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() }
}

fn sender(child: &ChildSa) -> OutboundSa {
    sa_pair(child, whole(), InboundConfig::default()).0
}

fn receiver(child: &ChildSa) -> InboundSa {
    InboundSa::new(&RUSTCRYPTO, install(&mirrored(child), 0x1001, 1), InboundConfig::default(), NOW).unwrap()
}

fn open_whole(sa: &mut InboundSa, packet: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut storage = [vec![0; OPEN_HEADROOM], packet.to_vec()].concat();
    let end = storage.len();
    let mut buf = PacketBuf::new(&mut storage, OPEN_HEADROOM..end).unwrap();
    sa.open_ip(NOW, &mut buf).map(|_| buf.as_slice().to_vec())
}

fn refusal(child: &ChildSa, packet: &[u8]) -> SealError {
    let mut sa = sender(child);
    let (mut storage, at) = roomy(packet);
    let mut buf = PacketBuf::new(&mut storage, at.clone()).unwrap();
    let error = sa.seal(NOW, &mut buf).unwrap_err();
    assert_eq!((buf.range(), buf.as_slice(), sa.last_number()), (at, packet, 0), "as it was");
    error
}

fn with_options(options: &[u8], mut packet: Vec<u8>) -> Vec<u8> {
    packet.splice(20..20, options.iter().copied());
    packet[0] += options.len() as u8 / 4;
    let length = packet.len() as u16;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    fix_checksum(&mut packet);
    packet
}

/// The mapping of Linux, each row: what of the inner header stands in the outer one, and back.
#[test]
fn fields_of_the_header() {
    for dont_fragment in [false, true] {
        let mut inner4 = v4(60);
        inner4[1] = 0xBB;
        inner4[4..9].copy_from_slice(&[0x12, 0x34, if dont_fragment { 0x40 } else { 0 }, 0, 77]);
        fix_checksum(&mut inner4);
        let mut inner6 = v6(60);
        inner6[..4].copy_from_slice(&[0x6B, 0xBD, 0xEF, 0x01]);
        inner6[7] = 77;

        // IPv4 in IPv4: TOS, identification, DF and TTL.
        let child = beet(path_v4(), true);
        let sealed = seal(&mut sender(&child), &inner4);
        assert_eq!(sealed[..2], [0x45, 0xBB]);
        assert_eq!((&sealed[4..9], sealed[9]), (&inner4[4..9], 50));
        assert_eq!(sealed[12..20], [192, 0, 2, 1, 198, 51, 100, 2]);
        assert!(checksum_is_right(&sealed));
        assert_eq!(open_whole(&mut receiver(&child), &sealed).unwrap(), inner4);

        // IPv6 in IPv6: traffic class, flow label, hop limit.
        let child = beet(path_v6(), false);
        let sealed = seal(&mut sender(&child), &inner6);
        assert_eq!(sealed[..4], [0x6B, 0xBD, 0xEF, 0x01]);
        assert_eq!(sealed[6..8], [50, 77]);
        assert_eq!(open_whole(&mut receiver(&child), &sealed).unwrap(), inner6);

        // IPv4 in IPv6: TOS and TTL; flow label 0. What IPv6 has not comes back as identification 0 with DF.
        let child = beet(path_v6(), true);
        let sealed = seal(&mut sender(&child), &inner4);
        assert_eq!((&sealed[..4], &sealed[6..8]), (&[0x6B, 0xB0, 0, 0][..], &[50, 77][..]));
        let mut back = inner4.clone();
        back[4..8].copy_from_slice(&[0, 0, 0x40, 0]);
        fix_checksum(&mut back);
        assert_eq!(open_whole(&mut receiver(&child), &sealed).unwrap(), back);

        // IPv6 in IPv4: traffic class and hop limit; identification 0 with DF. The flow label comes back as 0.
        let child = beet(path_v4(), false);
        let sealed = seal(&mut sender(&child), &inner6);
        assert_eq!((sealed[1], &sealed[4..10]), (0xBB, &[0, 0, 0x40, 0, 77, 50][..]));
        assert!(checksum_is_right(&sealed));
        let mut back = inner6.clone();
        back[1..4].copy_from_slice(&[0xB0, 0, 0]);
        assert_eq!(open_whole(&mut receiver(&child), &sealed).unwrap(), back);
    }
}

/// RFC 7402 Appendix B.1.7, with Router Alert and with eight octets of Record Route, octet for octet.
#[test]
fn options_travel_in_a_pseudo_header() {
    for (options, pseudo_header) in [
        (ROUTER_ALERT.to_vec(), "1100000094040000"),
        (hex("0707040000000000"), "11010400010101010707040000000000"),
    ] {
        let inner = with_options(&options, v4(60));
        for path in [path_v4(), path_v6()] {
            let outer = if path.local.is_ipv4() { 20 } else { 40 };
            let child = beet(path, true);
            let sealed = seal(&mut sender(&child), &inner);
            let pseudo_header = hex(pseudo_header);
            let text = &sealed[outer + 8..sealed.len() - 16];
            assert_eq!(text[..pseudo_header.len()], pseudo_header);
            assert_eq!(text[pseudo_header.len()..][..40], inner[20 + options.len()..]);
            assert_eq!(text[text.len() - 1], 94);
            let back = open_whole(&mut receiver(&child), &sealed).unwrap();
            assert_eq!((back[0], &back[9..10]), (0x45 + options.len() as u8 / 4, &[17][..]));
            assert_eq!(back[12..], inner[12..]);
            assert!(checksum_is_right(&back));
        }
    }
    // Every length that an IPv4 header can have.
    for words in 0..=10 {
        let inner = with_options(&vec![1; words * 4], v4(60));
        let child = beet(path_v4(), true);
        let sealed = seal(&mut sender(&child), &inner);
        assert_eq!(open_whole(&mut receiver(&child), &sealed).unwrap(), inner, "{words} words");
    }
}

/// An ESP packet with this text, by GCM, in IPv4 between the outer addresses.
fn received(path: Path, text: &[u8]) -> Vec<u8> {
    let esp = packet_around(GCM_128, 0x1001, PacketNumber::explicit(1), text);
    if path.local.is_ipv4() { v4_between(&[], 50, &esp) } else { v6_between(50, &esp) }
}

/// Lengths that lie, at the place where a pseudo header is read.
#[test]
fn wrong_pseudo_headers_are_dropped() {
    let child = ChildSa { suite: GCM_128, ..beet(path_v4(), true) };
    let open = |pseudo_header: &[u8], next: u8| {
        let mut sa = receiver(&child);
        let opened = open_whole(&mut sa, &received(path_v4(), &with_trailer(GCM_128, pseudo_header, next)));
        if opened.is_err() {
            assert_eq!(sa.statistics().dropped(DropReason::PseudoHeader), 1);
            assert_eq!(sa.newest_number(), 1, "authentic all the same");
        }
        opened
    };
    let zeros = |front: [u8; 4], count: usize| [&front[..], &vec![0; count]].concat();
    for (length, padding) in [(0, 3), (0, 8), (1, 8), (5, 0), (6, 0), (6, 4), (255, 0), (255, 4)] {
        let lengths = PseudoHeaderError::Lengths { length, padding };
        let opened = open(&zeros([17, length, padding, 0], 2_100), 94);
        assert_eq!(opened, Err(OpenError::PseudoHeader(lengths)), "{length} {padding}");
    }
    for got in 0..16 {
        let needed = if got < 4 { 4 } else { 16 };
        let short = PseudoHeaderError::Truncated { needed, got };
        let opened = open(&zeros([17, 1, 4, 0], 12)[..got], 94);
        assert_eq!(opened, Err(OpenError::PseudoHeader(short)));
    }
    assert_eq!(open(&zeros([17, 1, 4, 9], 12), 94).unwrap().len(), 20 + 8, "the reserved octet is ignored");
    // Inside IPv6 it is a protocol like any other.
    let child = ChildSa { suite: GCM_128, ..beet(path_v4(), false) };
    let text = with_trailer(GCM_128, &[17, 9, 9, 9], 94);
    let opened = open_whole(&mut receiver(&child), &received(path_v4(), &text)).unwrap();
    assert_eq!((opened[6], &opened[40..]), (94, &[17, 9, 9, 9][..]));
}

/// An inner IPv4 fragment's fields would be the outer packet's, which would then be put together before ESP. In
/// IPv6 the fragment header goes inside.
#[test]
fn inner_fragments() {
    for path in [path_v4(), path_v6()] {
        let child = beet(path, true);
        for (field, fits) in [(0x2000u16, false), (0x0001, false), (0x6000, false), (0x4000, true)] {
            let mut inner = v4(60);
            inner[6..8].copy_from_slice(&field.to_be_bytes());
            fix_checksum(&mut inner);
            if fits {
                assert!(seal(&mut sender(&child), &inner).len() > 60);
            } else {
                assert_eq!(refusal(&child, &inner), SealError::NotCarried(NotCarried::Fragment));
            }
        }
        let child = beet(path, false);
        for offset_and_more in [0u8, 1, 8, 9] {
            let mut inner = v6(60);
            inner[6] = 44;
            inner[40..48].copy_from_slice(&[17, 0, 0, offset_and_more, 0, 0, 0, 9]);
            let sealed = seal(&mut sender(&child), &inner);
            assert_eq!(open_whole(&mut receiver(&child), &sealed).unwrap(), inner);
        }
    }
}

/// Extension headers go inside as they are, over either family.
#[test]
fn inner_extension_headers() {
    for path in [path_v4(), path_v6()] {
        let child = beet(path, false);
        for kind in [0u8, 43, 60] {
            let mut inner = v6(60);
            inner[6] = kind;
            inner[40..48].copy_from_slice(&[17, 0, 1, 4, 0, 0, 0, 0]);
            let sealed = seal(&mut sender(&child), &inner);
            assert_eq!(sealed[sealed.len() - 17], kind);
            assert_eq!(open_whole(&mut receiver(&child), &sealed).unwrap(), inner);
        }
    }
}

/// Other addresses than the SA's, and numbers that mean something else within ESP.
#[test]
fn packets_that_are_not_carried() {
    let child = beet(path_v4(), true);
    for at in [15, 19] {
        let mut elsewhere = v4(60);
        elsewhere[at] ^= 2;
        fix_checksum(&mut elsewhere);
        assert_eq!(refusal(&child, &elsewhere), SealError::NotCarried(NotCarried::Addresses));
    }
    assert_eq!(refusal(&child, &v6(60)), SealError::NotCarried(NotCarried::Addresses));
    for next in [59, 94] {
        let mut inner = v4(60);
        inner[9] = next;
        fix_checksum(&mut inner);
        assert_eq!(refusal(&child, &inner), SealError::NotCarried(NotCarried::NextHeader(next)));
        // Behind options the pseudo header tells which it is.
        let inner = with_options(&ROUTER_ALERT, inner);
        let sealed = seal(&mut sender(&child), &inner);
        assert_eq!(open_whole(&mut receiver(&child), &sealed).unwrap(), inner);
    }
    let mut nothing_next = v6(60);
    nothing_next[6] = 59;
    assert_eq!(
        refusal(&beet(path_v4(), false), &nothing_next),
        SealError::NotCarried(NotCarried::NextHeader(59))
    );
}

/// One address on either side, of one family; ports and protocols may be narrowed.
#[test]
fn selectors_of_more_than_one_address_are_refused() {
    let attempt = |child: ChildSa| {
        let made = InboundSa::new(&RUSTCRYPTO, install(&child, 0x1001, 1), InboundConfig::default(), NOW);
        made.map(|_| ()).unwrap_err()
    };
    let good = beet(path_v4(), true);
    let wide = AddressRange::prefix("10.1.0.0".parse().unwrap(), 31).unwrap();
    let wide = ChildSa { local: vec![TrafficSelector::addresses(wide)], ..good.clone() };
    assert_eq!(attempt(wide), InstallError::BeetAddresses);
    let two = ChildSa { remote: [only("10.2.0.1"), only("10.2.0.2")].concat(), ..good.clone() };
    assert_eq!(attempt(two), InstallError::BeetAddresses);
    let mixed = ChildSa { remote: only("fd00:2::1"), ..good.clone() };
    assert_eq!(attempt(mixed), InstallError::BeetAddresses);
    let [tcp, udp] = [6, 17].map(|protocol| TrafficSelector { protocol, ..good.local[0] });
    let narrow = ChildSa { local: vec![tcp, udp], ..good };
    let mut sa = receiver(&mirrored(&ChildSa { suite: GCM_128, ..narrow }));
    let text = with_trailer(GCM_128, &[8, 0, 0, 0], 1);
    assert_eq!(open_whole(&mut sa, &received(path_v4(), &text)), Err(OpenError::Selectors));
    let text = with_trailer(GCM_128, &[0, 7, 0, 7], 17);
    let mut sa = InboundSa::new(
        &RUSTCRYPTO,
        install(&ChildSa { suite: GCM_128, local: vec![udp], ..beet(path_v4(), true) }, 0x1001, 1),
        InboundConfig::default(),
        NOW,
    )
    .unwrap();
    assert!(open_whole(&mut sa, &received(path_v4(), &text)).is_ok());
}

/// By a UDP socket neither header is there: the inner one is made of the SA's addresses.
#[test]
fn packets_without_their_headers() {
    for path in [path_v4(), path_v6()] {
        for (inner_v4, inner) in [(true, v4(60)), (false, v6(60))] {
            let child = ChildSa { encapsulation: Encapsulation::Udp, ..beet(path, inner_v4) };
            let tfc = OutboundConfig { tfc: TfcPadding::ToLength(1_000), ..OutboundConfig::default() };
            let mut sa = sa_pair(&child, tfc, InboundConfig::default()).0;
            let sealed = seal(&mut sa, &inner);
            let upper = inner.len() - if inner_v4 { 20 } else { 40 };
            assert_eq!(sealed.len(), 8 + (upper + 2).next_multiple_of(4) + 16, "no TFC padding");
            let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig::default());
            let install = install(&mirrored(&child), 0x1001, 1);
            engine.apply(NOW, SaCommand::InstallInbound(Box::new(install))).unwrap();
            let mut storage = [vec![0; OPEN_HEADROOM], sealed.clone()].concat();
            let end = storage.len();
            let mut buf = PacketBuf::new(&mut storage, OPEN_HEADROOM..end).unwrap();
            let arrival = Arrival::udp(mirrored(&child).path).with_ecn(ipsec_esp::ecn::Ecn::Ect0);
            let incoming = engine.open(NOW, arrival, &mut buf).unwrap();
            assert!(matches!(incoming.opened, Opened::Packet(header) if header.ds_field == 2));
            let opened = buf.as_slice();
            let header = inner.len() - upper;
            assert_eq!((opened.len(), &opened[header..]), (inner.len(), &inner[header..]));
            assert_eq!(opened[header - 8..header], inner[header - 8..header], "the addresses");
            assert!(matches!(open(&mut receiver(&child), &sealed), Err(OpenError::NoRoom(_))));
        }
    }
}

/// The largest packet that fits, fits exactly, whatever the two families.
#[test]
fn max_inner_of_beet_mode() {
    for suite in [GCM_128, CBC_256] {
        for path in [path_v4(), path_v6()] {
            for (inner_v4, inner) in [(true, v4 as fn(usize) -> Vec<u8>), (false, v6)] {
                let child = ChildSa { suite, ..beet(path, inner_v4) };
                let mut sa = sender(&child);
                for mtu in (576..1_600).chain([9_000]) {
                    let largest = sa.max_inner(mtu).unwrap();
                    assert!(seal(&mut sa, &inner(largest)).len() <= mtu);
                    assert!(seal(&mut sa, &inner(largest + 1)).len() > mtu);
                }
            }
        }
    }
}

/// Nothing is allocated, and the payload stays where it is.
#[test]
fn in_place_and_without_allocation() {
    for path in [path_v4(), path_v6()] {
        for inner in [v4(1_200), v6(1_200), with_options(&ROUTER_ALERT, v4(1_200))] {
            let child = beet(path, inner[0] >> 4 == 4);
            let (mut sender, mut receiver) = (sender(&child), receiver(&child));
            let (mut storage, at) = roomy(&inner);
            let info = allocation_counter::measure(|| {
                for _ in 0..100 {
                    let mut packet = PacketBuf::new(&mut storage, at.clone()).unwrap();
                    sender.seal(NOW, &mut packet).unwrap();
                    receiver.open_ip(NOW, &mut packet).unwrap();
                    assert_eq!(packet.range(), at);
                }
            });
            assert_eq!(info.count_total, 0);
            assert_eq!(storage[at.start + 60..at.end], inner[60..]);
        }
    }
}

/// Every truncation and every flipped bit of an ESP packet: an error, and no panic.
#[test]
fn bad_input() {
    let child = beet(path_v4(), true);
    let sealed = seal(&mut sender(&child), &with_options(&ROUTER_ALERT, v4(60)));
    let mut sa = receiver(&child);
    for len in 0..sealed.len() {
        assert!(open_whole(&mut sa, &sealed[..len]).is_err());
    }
    for bit in 20 * 8..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(open_whole(&mut sa, &flipped).is_err());
    }
    assert_eq!(sa.newest_number(), 0);
}
