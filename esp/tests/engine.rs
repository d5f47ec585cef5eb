//! The engine's table, routes and reports: commands in, reports out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{CipherError, CryptoProvider, PacketCipher, PacketNumber, UsageLimits};
use ipsec_esp::selectors::SelectorFault;
use ipsec_esp::{
    Arrival, CommandError, DropReason, Engine, EngineConfig, Framing, InboundConfig, InboundSa, InstallError,
    NoRoom, OpenError, OutboundConfig, OutboundSa, PacketBuf, ReportConfig, SealError,
};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::{ChildSa, ChildSaId, Direction, ExpiryReason, Lifetimes, Limit, SaKeys};
use ipsec_types::{
    Encapsulation, EncrId, Instant, IntegId, Mode, Path, PortRange, SaCommand, SaReport, SecretBytes,
    SequenceNumbers, TrafficSelector,
};
use std::net::{IpAddr, SocketAddr};

const NOW: Instant = Instant::ZERO;

fn engine() -> Engine {
    Engine::new(&RUSTCRYPTO, EngineConfig::default())
}

fn numbered(id: u64) -> ChildSa {
    ChildSa { id: ChildSaId(id), ..child() }
}

fn install_in(engine: &mut Engine, child: &ChildSa, spi_value: u32) -> Result<(), CommandError> {
    let install = install(child, spi_value, spi_value as u8);
    engine.apply(NOW, SaCommand::InstallInbound(Box::new(install)))
}

fn install_out(engine: &mut Engine, child: &ChildSa, spi_value: u32) -> Result<(), CommandError> {
    let install = install(child, spi_value, spi_value as u8);
    engine.apply(NOW, SaCommand::InstallOutbound(Box::new(install)))
}

fn send(engine: &mut Engine, packet: &[u8]) -> Result<(ChildSaId, Vec<u8>), SealError> {
    let (mut storage, at) = roomy(packet);
    let mut buf = PacketBuf::new(&mut storage, at).unwrap();
    engine.seal(NOW, &mut buf).map(|outgoing| (outgoing.child, buf.as_slice().to_vec()))
}

fn receive_at(
    engine: &mut Engine,
    now: Instant,
    arrival: Arrival,
    packet: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let mut storage = packet.to_vec();
    let mut buf = PacketBuf::whole(&mut storage);
    engine.open(now, arrival, &mut buf).map(|_| buf.as_slice().to_vec())
}

fn reports(engine: &mut Engine) -> Vec<SaReport> {
    std::iter::from_fn(|| engine.poll_report()).collect()
}

/// The command is refused and nothing has changed.
#[track_caller]
fn refused(engine: &mut Engine, command: SaCommand) -> CommandError {
    let before = format!("{engine:?}");
    let error = engine.apply(NOW, command).expect_err("refused");
    assert_eq!(format!("{engine:?}"), before, "{error}");
    error
}

#[test]
fn commands_that_can_not_be_carried_out_change_nothing() {
    let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig { max_sas: 2, ..EngineConfig::default() });
    install_in(&mut engine, &numbered(1), 0x1001).unwrap();
    install_out(&mut engine, &numbered(1), 0x2001).unwrap();
    let (a, b) = (ChildSaId(1), ChildSaId(2));
    let inbound = |child: &ChildSa, spi| SaCommand::InstallInbound(Box::new(install(child, spi, 1)));
    let outbound = |child: &ChildSa, spi| SaCommand::InstallOutbound(Box::new(install(child, spi, 1)));

    let twice = CommandError::AlreadyInstalled { id: a, direction: Direction::Inbound };
    assert_eq!(refused(&mut engine, inbound(&numbered(1), 0x1002)), twice);
    let twice = CommandError::AlreadyInstalled { id: a, direction: Direction::Outbound };
    assert_eq!(refused(&mut engine, outbound(&numbered(1), 0x2002)), twice);
    assert_eq!(refused(&mut engine, inbound(&numbered(2), 0x1001)), CommandError::SpiInUse(spi(0x1001)));
    let switch = SaCommand::SwitchOutbound { from: a, to: b };
    assert_eq!(refused(&mut engine, switch), CommandError::NotInstalled(b));
    let remove = SaCommand::Remove { id: b, inbound: true, outbound: true };
    assert_eq!(refused(&mut engine, remove), CommandError::NotInstalled(b));
    let remove = SaCommand::Remove { id: a, inbound: false, outbound: false };
    assert_eq!(refused(&mut engine, remove), CommandError::NotInstalled(a));
    let path = path_v6();
    let moved = SaCommand::Move { id: b, path, encapsulation: Encapsulation::Udp };
    assert_eq!(refused(&mut engine, moved), CommandError::NotInstalled(b));

    install_in(&mut engine, &numbered(2), 0x1002).unwrap();
    assert_eq!(refused(&mut engine, outbound(&numbered(2), 0x2001)), CommandError::KeyUsed(spi(0x2001)));
    // A nonce has no SPI in it: the key is used under whatever other one, and beside another integrity key.
    assert_eq!(refused(&mut engine, outbound(&numbered(2), 0x2002)), CommandError::KeyUsed(spi(0x2002)));
    // The peers' SPIs may be equal.
    let other_peers = install(&numbered(2), 0x2001, 7);
    engine.apply(Instant::ZERO, SaCommand::InstallOutbound(Box::new(other_peers))).unwrap();
    assert_eq!(refused(&mut engine, inbound(&numbered(3), 0x1003)), CommandError::TableFull { limit: 2 });
    assert_eq!(refused(&mut engine, outbound(&numbered(3), 0x2003)), CommandError::TableFull { limit: 2 });
}

#[test]
fn installs_that_are_refused() {
    let mut engine = engine();
    let mut attempt = |child: ChildSa, spi_value: u32| {
        let keys = keys(GCM_128, 1);
        let make = || ipsec_types::sa::SaInstall { keys: keys.clone(), ..install(&child, spi_value, 1) };
        let CommandError::Install(inbound) =
            refused(&mut engine, SaCommand::InstallInbound(Box::new(make())))
        else {
            panic!()
        };
        let error = refused(&mut engine, SaCommand::InstallOutbound(Box::new(make())));
        assert_eq!(error, CommandError::Install(inbound.clone()));
        inbound
    };
    let beet = ChildSa { mode: Mode::Beet, ..child() };
    assert_eq!(attempt(beet, 0x1001), InstallError::BeetAddresses);
    assert_eq!(attempt(child(), 255), InstallError::ReservedSpi(spi(255)));
    let nobody = attempt(ChildSa { local: vec![], ..child() }, 0x1001);
    assert_eq!(nobody, InstallError::Selectors(SelectorFault::NoSelectors));
    let ports = PortRange::single(80);
    let selector = TrafficSelector { ports, ..TrafficSelector::ALL_V4 };
    let refused_selector = attempt(ChildSa { remote: vec![selector], ..child() }, 0x1001);
    assert_eq!(refused_selector, InstallError::Selectors(SelectorFault::PortsOfAnyProtocol(selector)));
}

#[test]
fn suites_and_keys_that_do_not_fit() {
    static NOTHING: CryptoProvider = CryptoProvider { ciphers: &[], ..RUSTCRYPTO };
    let suite = GCM_128;
    let unsupported = InstallError::UnsupportedSuite { suite, provider: NOTHING.name };
    let made = OutboundSa::new(&NOTHING, install(&child(), 0x1001, 1), OutboundConfig::default(), NOW);
    assert_eq!(made.unwrap_err(), unsupported);

    let mut short = install(&child(), 0x1001, 1);
    short.keys = SaKeys { encr: SecretBytes::zeroed(19), integ: SecretBytes::zeroed(0) };
    let made = OutboundSa::new(&RUSTCRYPTO, short, OutboundConfig::default(), NOW);
    let error = CipherError::KeyLength { expected: 20, got: 19 };
    assert_eq!(made.unwrap_err(), InstallError::Keys(error));

    // An implicit IV of numbers that may repeat would repeat.
    let suite = CipherSuite { encr: EncrId::AES_GCM_16_IIV, key_bits: Some(128), integ: IntegId::NONE };
    let sequence_numbers = SequenceNumbers::Unspecified32;
    let cipher = Box::new(FixedIv::new(GCM_128, &keys(GCM_128, 1), &[0; 8]));
    let mut install = install(&child(), 0x1001, 1);
    install.child = std::sync::Arc::new(ChildSa { suite, sequence_numbers, ..child() });
    let made = OutboundSa::with_cipher(cipher, install, OutboundConfig::default(), NOW);
    assert_eq!(made.unwrap_err(), InstallError::ImplicitIvNeedsSequence(suite));

    let whole = OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() };
    let mut unspecified = child();
    unspecified.path.local = "0.0.0.0:4500".parse().unwrap();
    let made = OutboundSa::new(&RUSTCRYPTO, common::install(&unspecified, 0x1001, 1), whole, NOW);
    assert_eq!(made.unwrap_err(), InstallError::UnspecifiedAddress);
    let mut mixed = child();
    mixed.path.local = path_v6().local;
    let made = OutboundSa::new(&RUSTCRYPTO, common::install(&mixed, 0x1001, 1), whole, NOW);
    assert!(matches!(made.unwrap_err(), InstallError::FamiliesMixed(_)));
}

/// Numbers that may roll over: 2^32 is passed, what the cipher makes its IV of goes on.
#[test]
fn unspecified_numbers_roll_over() {
    let sequence_numbers = SequenceNumbers::Unspecified32;
    let (mut sender, mut receiver) = default_pair(&ChildSa { sequence_numbers, ..child() });
    assert!(sender.leap_to((1 << 32) - 3));
    let mut lows = Vec::new();
    for _ in 0..5 {
        let packet = seal(&mut sender, &v4(60));
        let low = u32::from_be_bytes(packet[4..8].try_into().unwrap());
        lows.push(low);
        let iv = u64::from_be_bytes(packet[8..16].try_into().unwrap());
        assert_eq!((iv as u32, iv > u64::from(u32::MAX)), (low, low < 3));
        assert!(open(&mut receiver, &packet).is_ok() && open(&mut receiver, &packet).is_ok());
    }
    assert_eq!(lows, [u32::MAX - 1, u32::MAX, 0, 1, 2]);
}

/// Make before break: the new pair receives at once and sends when told, in the old one's place.
#[test]
fn switch_over_on_rekey() {
    let mut engine = engine();
    let old = numbered(1);
    let new = ChildSa { replaces: Some(ChildSaId(1)), ..numbered(2) };
    install_out(&mut engine, &old, 0x2001).unwrap();
    install_out(&mut engine, &new, 0x2002).unwrap();
    assert_eq!(send(&mut engine, &v4(60)).unwrap().0, ChildSaId(1), "not before it is told");
    engine.apply(NOW, SaCommand::SwitchOutbound { from: ChildSaId(1), to: ChildSaId(2) }).unwrap();
    assert_eq!(send(&mut engine, &v4(60)).unwrap().0, ChildSaId(2));
    engine.apply(NOW, SaCommand::Remove { id: ChildSaId(1), inbound: false, outbound: true }).unwrap();
    assert_eq!(send(&mut engine, &v4(60)).unwrap().0, ChildSaId(2));
    engine.apply(NOW, SaCommand::SwitchOutbound { from: ChildSaId(1), to: ChildSaId(2) }).unwrap();
    assert_eq!(send(&mut engine, &v4(60)).unwrap().0, ChildSaId(2), "told again");
    engine.apply(NOW, SaCommand::Remove { id: ChildSaId(2), inbound: false, outbound: true }).unwrap();
    assert_eq!(send(&mut engine, &v4(60)).unwrap_err(), SealError::NoSa);
}

/// A pair that took another's place keeps it: what it is asked before and after stays the same.
#[test]
fn a_switched_pair_keeps_its_place() {
    let mut engine = engine();
    let narrow = TrafficSelector { protocol: 17, ..TrafficSelector::ALL_V4 };
    install_out(&mut engine, &numbered(1), 0x2001).unwrap();
    install_out(&mut engine, &ChildSa { local: vec![narrow], ..numbered(2) }, 0x2002).unwrap();
    assert_eq!(send(&mut engine, &v4(60)).unwrap().0, ChildSaId(2), "the newest that admits it");
    assert_eq!(send(&mut engine, &v6(60)).unwrap().0, ChildSaId(1));
    let rekeyed = ChildSa { replaces: Some(ChildSaId(1)), ..numbered(3) };
    install_out(&mut engine, &rekeyed, 0x2003).unwrap();
    engine.apply(NOW, SaCommand::SwitchOutbound { from: ChildSaId(1), to: ChildSaId(3) }).unwrap();
    assert_eq!(send(&mut engine, &v4(60)).unwrap().0, ChildSaId(2));
    assert_eq!(send(&mut engine, &v6(60)).unwrap().0, ChildSaId(3));
}

/// An SA goes while its packets are under way.
#[test]
fn sa_removed_while_packets_are_under_way() {
    let mut sender = engine();
    let mut receiver = engine();
    install_out(&mut sender, &numbered(1), 0x1001).unwrap();
    install_in(&mut receiver, &mirrored(&numbered(1)), 0x1001).unwrap();
    let arrival = Arrival::udp(mirrored(&child()).path);
    let packets: Vec<_> = (0..3).map(|_| send(&mut sender, &v4(60)).unwrap().1).collect();
    receive_at(&mut receiver, NOW, arrival, &packets[0]).unwrap();
    assert_eq!(
        receive_at(&mut receiver, NOW, arrival, &packets[0]).unwrap_err().reason(),
        DropReason::Replayed
    );
    receiver.apply(NOW, SaCommand::Remove { id: ChildSaId(1), inbound: true, outbound: true }).unwrap();
    assert_eq!(receive_at(&mut receiver, NOW, arrival, &packets[1]), Err(OpenError::UnknownSpi(spi(0x1001))));
    let statistics = receiver.statistics().inbound;
    assert_eq!(statistics.packets, 1, "what a removed SA counted is kept");
    assert_eq!(
        (statistics.dropped(DropReason::Replayed), statistics.dropped(DropReason::UnknownSpi)),
        (1, 1)
    );
    let left = reports(&mut receiver);
    assert!(matches!(left[..], [SaReport::UnknownSpi { .. }]), "nothing of the removed pair: {left:?}");
    // The SPI and the pair's place are free again.
    let install = install(&mirrored(&numbered(2)), 0x1001, 7);
    receiver.apply(NOW, SaCommand::InstallInbound(Box::new(install))).unwrap();
}

/// RFC 4106 §2, RFC 3602 §3: one key, one row of numbers, whatever SPI or integrity key go with it; while
/// the SA is there and after it.
#[test]
fn a_key_to_send_by_is_used_once() {
    for suite in [GCM_128, CBC_128] {
        let mut engine = engine();
        let made = |id: u64, spi_value, change: &dyn Fn(&mut SaKeys)| {
            let mut install = install(&ChildSa { suite, ..numbered(id) }, spi_value, 1);
            change(&mut install.keys);
            SaCommand::InstallOutbound(Box::new(install))
        };
        let same = |_: &mut SaKeys| {};
        let other_integ = |keys: &mut SaKeys| {
            keys.integ = SecretBytes::from(vec![7; keys.integ.len()]);
        };
        let other_encr = |keys: &mut SaKeys| keys.encr = SecretBytes::from(vec![7; keys.encr.len()]);
        engine.apply(NOW, made(1, 0x2001, &same)).unwrap();
        let used = CommandError::KeyUsed(spi(0x2002));
        for turn in 0..2 {
            assert_eq!(refused(&mut engine, made(2, 0x2002, &same)), used, "{suite} {turn}");
            assert_eq!(refused(&mut engine, made(2, 0x2002, &other_integ)), used, "{suite} {turn}");
            let _gone =
                engine.apply(NOW, SaCommand::Remove { id: ChildSaId(1), inbound: false, outbound: true });
        }
        engine.apply(NOW, made(2, 0x2001, &other_encr)).unwrap();
    }
}

/// Without an encryption key it is the integrity key that is known.
#[test]
fn a_key_that_only_authenticates_is_known_too() {
    let suite = CipherSuite { encr: EncrId::NULL, key_bits: None, integ: IntegId::HMAC_SHA2_256_128 };
    let made = |id, seed| {
        let install = install(&ChildSa { suite, ..numbered(id) }, 0x2000 + id as u32, seed);
        SaCommand::InstallOutbound(Box::new(install))
    };
    let mut engine = engine();
    engine.apply(NOW, made(1, 1)).unwrap();
    assert_eq!(refused(&mut engine, made(2, 1)), CommandError::KeyUsed(spi(0x2002)));
    engine.apply(NOW, made(2, 2)).unwrap();
}

/// RFC 4303 §3.4.3: a key to receive by does not come again with an empty window, neither when its SA is gone nor
/// while it lingers.
#[test]
fn a_key_to_receive_by_is_installed_once() {
    for lingers in [false, true] {
        let mut engine = engine();
        let inbound = |child: &ChildSa, spi_value, seed| {
            SaCommand::InstallInbound(Box::new(install(child, spi_value, seed)))
        };
        let (old, new) = (ChildSaId(1), ChildSaId(2));
        engine.apply(NOW, inbound(&numbered(1), 0x1001, 1)).unwrap();
        if lingers {
            let successor = ChildSa { replaces: Some(old), ..numbered(2) };
            engine.apply(NOW, inbound(&successor, 0x1002, 2)).unwrap();
            install_out(&mut engine, &successor, 0x2002).unwrap();
            engine.apply(NOW, SaCommand::SwitchOutbound { from: old, to: new }).unwrap();
        }
        engine.apply(NOW, SaCommand::Remove { id: old, inbound: true, outbound: false }).unwrap();
        assert_eq!(engine.inbound(spi(0x1001)).is_some(), lingers);
        let again = inbound(&numbered(3), 0x1001, 1);
        assert_eq!(refused(&mut engine, again), CommandError::KeyUsed(spi(0x1001)), "{lingers}");
        engine.apply(NOW, inbound(&numbered(3), 0x1001, 3)).unwrap();
    }
}

#[test]
fn soft_and_hard_expiry_in_both_directions() {
    let packets = Limit { soft: Some(2), hard: Some(3) };
    let octets = Limit { soft: Some(100), hard: Some(200) };
    for (lifetimes, reason, passes) in [
        (Lifetimes { packets, ..Lifetimes::default() }, ExpiryReason::Packets, 3),
        // A text of 60 + 2 octets of trailer and 2 of padding counts 64: 128 warns, 192 is the last.
        (Lifetimes { octets, ..Lifetimes::default() }, ExpiryReason::Octets, 3),
    ] {
        let child = ChildSa { lifetimes, ..child() };
        let mut a = engine();
        let mut b = engine();
        install_out(&mut a, &ChildSa { lifetimes: Lifetimes::default(), ..child.clone() }, 0x1001).unwrap();
        install_in(&mut b, &mirrored(&child), 0x1001).unwrap();
        install_out(&mut b, &mirrored(&child), 0x2002).unwrap();
        let arrival = Arrival::udp(mirrored(&child).path);
        for turn in 0..6 {
            let sealed = send(&mut a, &v4(60)).unwrap().1;
            let opened = receive_at(&mut b, NOW, arrival, &sealed);
            let sent = send(&mut b, &v4(60));
            assert_eq!((opened.is_ok(), sent.is_ok()), (turn < passes, turn < passes), "{reason:?} {turn}");
            if let (Err(opened), Err(sent)) = (opened, sent) {
                assert_eq!(opened.reason(), DropReason::InboundExpired);
                assert_eq!(sent.reason(), DropReason::OutboundExpired);
            }
        }
        let told = reports(&mut b);
        for direction in [Direction::Inbound, Direction::Outbound] {
            let id = ChildSaId(1);
            let of = |report: &SaReport| told.iter().filter(|r| *r == report).count();
            assert_eq!(of(&SaReport::SoftExpired { id, direction, reason }), 1, "{told:?}");
            assert_eq!(of(&SaReport::HardExpired { id, direction, reason }), 1, "{told:?}");
        }
        assert_eq!(told.len(), 5, "and one sign of life: {told:?}");
    }
}

/// The hard deadline holds for packets before anybody called `handle_timeout`; what comes later moves nothing.
#[test]
fn hard_deadline_of_an_inbound_sa() {
    let seconds = Limit { soft: None, hard: Some(10) };
    let lifetimes = Lifetimes { seconds, ..Lifetimes::default() };
    let mut receiver = engine();
    install_in(&mut receiver, &mirrored(&ChildSa { lifetimes, ..child() }), 0x1001).unwrap();
    let mut sender = engine();
    install_out(&mut sender, &child(), 0x1001).unwrap();
    for (millis, passes) in [(9_999, true), (10_000, false), (10_001, false)] {
        let packet = send(&mut sender, &v4(60)).unwrap().1;
        let opened = receive_at(&mut receiver, Instant::from_millis(millis), from("192.0.2.1:4500"), &packet);
        assert_eq!(opened.is_ok(), passes, "{millis}");
    }
    assert_eq!(receiver.inbound(spi(0x1001)).unwrap().newest_number(), 1);
    let (id, direction, reason) = (ChildSaId(1), Direction::Inbound, ExpiryReason::Time);
    assert_eq!(reports(&mut receiver)[1..], [SaReport::HardExpired { id, direction, reason }]);
    assert_eq!(receiver.poll_timeout(), None);
}

/// A cipher with limits of the test's own, that refuses to seal one packet.
struct Limited {
    cipher: Box<dyn PacketCipher>,
    limits: UsageLimits,
    refuse: u64,
}

impl Limited {
    fn new(packets: u64, failed_opens: u64, refuse: u64) -> Box<Self> {
        let cipher = RUSTCRYPTO.cipher(GCM_128).unwrap().with_keys(&keys(GCM_128, 1)).unwrap();
        Box::new(Self { cipher, limits: UsageLimits { packets, octets: u64::MAX, failed_opens }, refuse })
    }
}

impl PacketCipher for Limited {
    fn iv_len(&self) -> usize {
        self.cipher.iv_len()
    }
    fn icv_len(&self) -> usize {
        self.cipher.icv_len()
    }
    fn block_len(&self) -> usize {
        self.cipher.block_len()
    }
    fn limits(&self) -> UsageLimits {
        self.limits
    }
    fn seal(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        if number.value == self.refuse {
            return Err(CipherError::PacketLength { got: packet.len() });
        }
        self.cipher.seal(number, header_len, packet)
    }
    fn open(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        self.cipher.open(number, header_len, packet)
    }
}

/// What one key may do ends the SA: packets sealed, and forgeries tried (RFC 4303 §3.4.4 has no such end; the
/// cipher's own document does).
#[test]
fn usage_limits_of_the_cipher() {
    use ipsec_esp::lifetime::LifetimeEvent::{Hard, Soft};
    let reason = ExpiryReason::CipherUsage;
    let install = || install(&child(), 0x1001, 1);
    let cipher = Limited::new(4, u64::MAX, 0);
    let mut sender = OutboundSa::with_cipher(cipher, install(), OutboundConfig::default(), NOW).unwrap();
    let mut packets = Vec::new();
    let mut events = Vec::new();
    for _ in 0..4 {
        packets.push(common::seal(&mut sender, &v4(60)));
        events.push(sender.poll_event());
    }
    assert_eq!(events, [None, None, Some(Soft(reason)), Some(Hard(reason))]);
    let (mut storage, at) = roomy(&v4(60));
    let mut packet = PacketBuf::new(&mut storage, at).unwrap();
    assert!(matches!(sender.seal(NOW, &mut packet), Err(SealError::Expired(_))));

    let cipher = Limited::new(u64::MAX, 4, 0);
    let config = InboundConfig::default();
    let mut receiver = InboundSa::with_cipher(cipher, install(), config, NOW).unwrap();
    let mut forged = packets[0].clone();
    forged[20] ^= 1;
    let mut events = Vec::new();
    for _ in 0..4 {
        assert_eq!(common::open(&mut receiver, &forged), Err(OpenError::Integrity));
        events.push(receiver.poll_event());
    }
    assert_eq!(events, [None, None, Some(Soft(reason)), Some(Hard(reason))]);
    assert!(matches!(common::open(&mut receiver, &packets[0]), Err(OpenError::Expired(_))));
}

/// RFC 4303 §3.3.3: a number is used up whatever becomes of its packet.
#[test]
fn number_of_a_packet_that_failed_is_not_given_again() {
    let install = install(&child(), 0x1001, 1);
    let cipher = Limited::new(u64::MAX, u64::MAX, 2);
    let mut sender = OutboundSa::with_cipher(cipher, install, OutboundConfig::default(), NOW).unwrap();
    let mut numbers = Vec::new();
    for _ in 0..4 {
        let (mut storage, at) = roomy(&v4(60));
        let mut packet = PacketBuf::new(&mut storage, at.clone()).unwrap();
        match sender.seal(NOW, &mut packet) {
            Ok(sealed) => numbers.push(sealed.number),
            Err(error) => {
                assert!(matches!(error, SealError::Cipher(_)));
                assert_eq!(packet.range(), at);
            }
        }
    }
    assert_eq!(numbers, [1, 3, 4]);
    assert_eq!(sender.statistics().dropped(DropReason::OutboundCipher), 1);
}

/// A forged packet ends no SA, however long it is.
#[test]
fn forged_packets_use_up_no_lifetime() {
    let octets = Limit { soft: Some(10), hard: Some(1_000) };
    let lifetimes = Lifetimes { octets, ..Lifetimes::default() };
    let mut receiver = engine();
    install_in(&mut receiver, &mirrored(&ChildSa { lifetimes, ..child() }), 0x1001).unwrap();
    let mut sender = engine();
    install_out(&mut sender, &child(), 0x1001).unwrap();
    let mut forged = send(&mut sender, &v4(1_400)).unwrap().1;
    forged[500] ^= 1;
    let arrival = Arrival::udp(mirrored(&child()).path);
    assert_eq!(receive_at(&mut receiver, NOW, arrival, &forged), Err(OpenError::Integrity));
    assert_eq!(reports(&mut receiver), []);
    let packet = send(&mut sender, &v4(60)).unwrap().1;
    assert!(receive_at(&mut receiver, NOW, arrival, &packet).is_ok());
}

fn from(address: &str) -> Arrival {
    let remote: SocketAddr = address.parse().unwrap();
    Arrival::udp(Path { remote, ..mirrored(&child()).path })
}

/// RFC 7296 §2.23: a new address is told when the newest authentic packet came from it, and only then, once.
#[test]
fn peer_moved_by_the_newest_authentic_packet_only() {
    let mut sender = engine();
    install_out(&mut sender, &child(), 0x1001).unwrap();
    let config = EngineConfig {
        reports: ReportConfig {
            last_inbound_interval: std::time::Duration::from_secs(3_600),
            ..ReportConfig::default()
        },
        ..EngineConfig::default()
    };
    let mut receiver = Engine::new(&RUSTCRYPTO, config);
    install_in(&mut receiver, &mirrored(&child()), 0x1001).unwrap();
    let packets: Vec<_> = (0..8).map(|_| send(&mut sender, &v4(60)).unwrap().1).collect();
    let (home, away, third) = ("192.0.2.1:4500", "192.0.2.1:61000", "203.0.113.9:4500");
    let mut step = |at: usize, place: &str| {
        let _ = receive_at(&mut receiver, NOW, from(place), &packets[at]);
        reports(&mut receiver)
    };
    assert!(matches!(step(1, home)[..], [SaReport::LastInbound { .. }]));
    assert_eq!(step(0, away), [], "an old packet");
    assert_eq!(step(1, away), [], "a repeated packet");
    let moved = |place: &str| [SaReport::PeerMoved { id: ChildSaId(1), path: from(place).path }];
    assert_eq!(step(3, away), moved(away));
    assert_eq!(step(4, away), [], "told once");
    assert_eq!(step(2, home), [], "an old packet from the old place");
    assert_eq!(step(5, third), moved(third));
    assert_eq!(step(6, home), [], "back home");
    assert_eq!(step(7, third), moved(third), "and away again");
    let mut forged = send(&mut sender, &v4(60)).unwrap().1;
    forged[30] ^= 1;
    let _ = receive_at(&mut receiver, NOW, from(away), &forged);
    assert_eq!(reports(&mut receiver), [], "a forged packet");

    // IKE moves the SA: the new place is home.
    let path = from(third).path;
    let command = SaCommand::Move { id: ChildSaId(1), path, encapsulation: Encapsulation::Udp };
    receiver.apply(NOW, command).unwrap();
    for (place, told) in [(third, vec![]), (home, moved(home).to_vec()), (third, vec![])] {
        let packet = send(&mut sender, &v4(60)).unwrap().1;
        assert!(receive_at(&mut receiver, NOW, from(place), &packet).is_ok());
        assert_eq!(reports(&mut receiver), told, "{place}");
    }
}

/// Without UDP on either side ports tell nothing (RFC 7296 §2.23: both forms are accepted at any time).
#[test]
fn peer_moved_without_udp_is_by_address() {
    let mut sender = engine();
    install_out(&mut sender, &child(), 0x1001).unwrap();
    let mut receiver = engine();
    install_in(&mut receiver, &mirrored(&child()), 0x1001).unwrap();
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let local = address("198.51.100.2");
    let packet = send(&mut sender, &v4(60)).unwrap().1;
    receive_at(&mut receiver, NOW, Arrival::raw(local, address("192.0.2.1")), &packet).unwrap();
    assert!(matches!(reports(&mut receiver)[..], [SaReport::LastInbound { .. }]));
    let packet = send(&mut sender, &v4(60)).unwrap().1;
    receive_at(&mut receiver, NOW, Arrival::raw(local, address("192.0.2.77")), &packet).unwrap();
    let path = Path::nat_t("198.51.100.2:4500".parse().unwrap(), "192.0.2.77:4500".parse().unwrap());
    assert_eq!(reports(&mut receiver), [SaReport::PeerMoved { id: ChildSaId(1), path }]);
}

/// Addresses and encapsulation change under a living SA: keys and numbers go on.
#[test]
fn move_keeps_numbers_and_changes_headers() {
    let config = EngineConfig {
        outbound: OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() },
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(&RUSTCRYPTO, config);
    install_out(&mut engine, &child(), 0x1001).unwrap();
    let before = send(&mut engine, &v4(60)).unwrap().1;
    assert_eq!(before[28..36], [0, 0, 0x10, 0x01, 0, 0, 0, 1]);
    let id = ChildSaId(1);
    let command = SaCommand::Move { id, path: path_v6(), encapsulation: Encapsulation::None };
    engine.apply(NOW, command).unwrap();
    let after = send(&mut engine, &v4(60)).unwrap().1;
    assert_eq!((after[0] >> 4, after[6]), (6, 50));
    assert_eq!(after[40..48], [0, 0, 0x10, 0x01, 0, 0, 0, 2]);
    assert_eq!(engine.outbound(id).unwrap().headroom(), 40 + 8 + 8);
    let mixed = Path { local: path_v4().local, ..path_v6() };
    let command = SaCommand::Move { id, path: mixed, encapsulation: Encapsulation::None };
    assert!(matches!(refused(&mut engine, command), CommandError::Install(InstallError::FamiliesMixed(_))));
}

#[test]
fn unknown_spis_are_told_at_a_bounded_rate() {
    let mut engine = engine();
    let flood = |engine: &mut Engine, at: u64| {
        for value in 0..1_000u32 {
            let mut packet = [0u8; 60];
            packet[..4].copy_from_slice(&(0x5000 + value).to_be_bytes());
            let now = Instant::from_millis(at);
            assert!(receive_at(engine, now, from("192.0.2.1:4500"), &packet).is_err());
        }
        reports(engine).len()
    };
    assert_eq!(flood(&mut engine, 0), 8);
    assert_eq!(flood(&mut engine, 50), 0);
    assert_eq!(flood(&mut engine, 100), 1);
    assert_eq!(flood(&mut engine, 60_000), 8);
    assert_eq!(engine.statistics().inbound.dropped(DropReason::UnknownSpi), 4_000);
}

#[test]
fn signs_of_life_come_once_an_interval() {
    let mut sender = engine();
    install_out(&mut sender, &child(), 0x1001).unwrap();
    let mut receiver = engine();
    install_in(&mut receiver, &mirrored(&child()), 0x1001).unwrap();
    let mut at = |millis: u64| {
        let packet = send(&mut sender, &v4(60)).unwrap().1;
        let now = Instant::from_millis(millis);
        receive_at(&mut receiver, now, from("192.0.2.1:4500"), &packet).unwrap();
        reports(&mut receiver)
    };
    let id = ChildSaId(1);
    let alive = |millis| [SaReport::LastInbound { id, at: Instant::from_millis(millis) }];
    assert_eq!(at(1_000), alive(1_000));
    assert_eq!(at(1_001), []);
    assert_eq!(at(5_999), []);
    assert_eq!(at(6_000), alive(6_000));
    assert_eq!(at(100_000), alive(100_000));
}

/// A clock that goes back is taken for the latest time told, and counted.
#[test]
fn clock_that_goes_back() {
    let seconds = Limit { soft: None, hard: Some(10) };
    let lifetimes = Lifetimes { seconds, ..Lifetimes::default() };
    let mut engine = engine();
    install_out(&mut engine, &ChildSa { lifetimes, ..child() }, 0x1001).unwrap();
    engine.handle_timeout(Instant::from_millis(10_000));
    assert_eq!(engine.clock_regressions(), 0);
    assert!(matches!(send(&mut engine, &v4(60)), Err(SealError::Expired(_))));
    assert_eq!(engine.clock_regressions(), 1);
}

/// Too little room is an error that says how much is needed; the packet is as it was and no number is used.
#[test]
fn too_little_room() {
    for suite in SUITES {
        let (mut sender, _) = default_pair(&ChildSa { suite, ..child() });
        let inner = v4(61);
        let (front, back) = (sender.headroom(), sender.tailroom());
        let sealed = seal(&mut sender, &inner).len();
        let exact_back = sealed - front - inner.len();
        assert!(exact_back <= back);
        for (front_room, back_room, fits) in [
            (front - 1, back, false),
            (front, exact_back - 1, false),
            (0, 0, false),
            (front, exact_back, true),
        ] {
            let mut storage = vec![0; front_room];
            storage.extend_from_slice(&inner);
            storage.resize(front_room + inner.len() + back_room, 0);
            let at = front_room..front_room + inner.len();
            let mut packet = PacketBuf::new(&mut storage, at.clone()).unwrap();
            let before = sender.last_number();
            match sender.seal(NOW, &mut packet) {
                Ok(_) => assert!(fits && packet.len() == sealed),
                Err(error) => {
                    let needed = NoRoom {
                        headroom_needed: front,
                        tailroom_needed: exact_back,
                        headroom: front_room,
                        tailroom: back_room,
                    };
                    assert_eq!(error, SealError::NoRoom(needed));
                    assert!(!fits && packet.range() == at && packet.as_slice() == inner);
                    assert_eq!(sender.last_number(), before);
                }
            }
        }
    }
}

/// The public types can be moved to another thread, and prints show no key.
#[test]
fn types_are_send_and_prints_are_clean() {
    fn assert_send<T: Send + Sync>() {}
    assert_send::<Engine>();
    assert_send::<OutboundSa>();
    assert_send::<ipsec_esp::InboundSa>();
    let mut engine = engine();
    install_in(&mut engine, &numbered(1), 0x1001).unwrap();
    install_out(&mut engine, &numbered(1), 0x2002).unwrap();
    let key = keys(GCM_128, 2);
    let print = format!("{engine:?}");
    let octets: Vec<String> = key.encr.as_slice().iter().map(u8::to_string).collect();
    assert!(!print.contains(&octets[..4].join(", ")));
}
