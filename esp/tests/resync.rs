//! Finding the numbers again after 2^32 and more lost packets (RFC 4303 Appendix A3), and what floods of forgeries
//! buy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{CipherError, PacketCipher, PacketNumber, UsageLimits};
use ipsec_esp::{
    AntiReplay, Arrival, DropReason, Engine, EngineConfig, InboundConfig, InboundSa, OpenError, OutboundSa,
    PacketBuf, Resync, WindowSize,
};
use ipsec_types::sa::ChildSa;
use ipsec_types::{Instant, SaCommand, SequenceNumbers};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const NOW: Instant = Instant::ZERO;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn esn() -> ChildSa {
    ChildSa { sequence_numbers: SequenceNumbers::Sequential64, ..child() }
}

fn with(failures: u32, tries: u32) -> InboundConfig {
    InboundConfig {
        resync: Some(Resync { failures, tries, ..Resync::default() }),
        ..InboundConfig::default()
    }
}

/// A cipher that counts how often it opens, with limits of the test's.
struct Counting {
    cipher: Box<dyn PacketCipher>,
    limits: UsageLimits,
    opens: Arc<AtomicU64>,
}

impl PacketCipher for Counting {
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
        self.cipher.seal(number, header_len, packet)
    }
    fn open(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        self.opens.fetch_add(1, Ordering::Relaxed);
        self.cipher.open(number, header_len, packet)
    }
}

/// A receiver, and how many opens its cipher did.
fn receiver(config: InboundConfig) -> (InboundSa, Arc<AtomicU64>) {
    let opens = Arc::new(AtomicU64::new(0));
    let cipher = RUSTCRYPTO.cipher(GCM_128).unwrap().with_keys(&keys(GCM_128, 1)).unwrap();
    let limits = cipher.limits();
    let cipher = Box::new(Counting { cipher, limits, opens: Arc::clone(&opens) });
    let install = install(&mirrored(&esn()), 0x1001, 1);
    (InboundSa::with_cipher(cipher, install, config, NOW).unwrap(), opens)
}

fn sender_at(last: u64) -> OutboundSa {
    let mut sender = default_pair(&esn()).0;
    assert!(sender.leap_to(last));
    sender
}

/// As an engine does: the search where it is wanted, else the ordinary way.
fn receive(sa: &mut InboundSa, now: Instant, packet: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut storage = packet.to_vec();
    let mut scratch = vec![0; packet.len()];
    let mut buf = PacketBuf::whole(&mut storage);
    let opened = match sa.wants_resync(now) {
        true => sa.resynchronize(now, &mut buf, &mut scratch, None),
        false => sa.open(now, &mut buf, None),
    };
    opened.map(|_| buf.as_slice().to_vec())
}

/// `esn-resync` of `tests/vectors/antireplay_generated.json`: inferred high half 1 fails, 2 fits.
#[test]
fn the_vector() {
    let text = include_str!("vectors/antireplay_generated.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    let case = &vectors["resync"][0];
    let number = |name: &str| u64::from_str_radix(case[name].as_str().unwrap(), 16).unwrap();
    let window = WindowSize::new(case["window"].as_u64().unwrap() as u32).unwrap();
    let config = InboundConfig { anti_replay: AntiReplay::Window(window), ..with(1, 1) };
    let (mut sa, opens) = receiver(config);
    sa.resume_at(number("top_before"));
    let packet = seal(&mut sender_at(number("seq64") - 1), &v4(60));
    assert_eq!(receive(&mut sa, NOW, &packet), Err(OpenError::IntegrityOrLate));
    assert_eq!(receive(&mut sa, NOW, &packet).unwrap(), v4(60));
    assert_eq!(sa.newest_number(), number("top_after"));
    assert_eq!(opens.load(Ordering::Relaxed), 3, "once, then the inferred number and one more");
    assert_eq!(sa.statistics().resyncs, 1);
}

/// After 1,024 failures, by default, a packet is found up to 8 high halves ahead; what follows it comes in as ever,
/// what went before it never.
#[test]
fn found_again_by_the_defaults() {
    for (high, found) in [(1u64, true), (2, true), (8, true), (9, false)] {
        let (mut sa, _) = receiver(InboundConfig::default());
        sa.resume_at(5_000);
        let mut sender = sender_at((high << 32) + 10_000);
        let early = seal(&mut sender, &v4(60));
        for _ in 0..1_024 {
            assert_eq!(receive(&mut sa, at(5_000), &seal(&mut sender, &v4(60))), Err(OpenError::Integrity));
        }
        let opened = receive(&mut sa, at(5_000), &seal(&mut sender, &v4(60)));
        assert_eq!(opened.is_ok(), found, "{high}");
        if opened.is_ok() {
            assert_eq!(sa.newest_number(), (high << 32) + 10_000 + 1_026);
            assert_eq!(receive(&mut sa, at(5_001), &seal(&mut sender, &v4(60))).unwrap(), v4(60));
            let error = receive(&mut sa, at(5_001), &early).unwrap_err();
            assert!(matches!(
                error,
                OpenError::Integrity | OpenError::IntegrityOrLate | OpenError::Replay(_)
            ));
        } else {
            assert_eq!(sa.newest_number(), 5_000, "nothing moved");
        }
    }
}

/// A flood of forgeries: at most one attempt in a second, each of bounded cost, and none while good packets come.
#[test]
fn bounded_work_under_a_flood() {
    let (mut sa, opens) = receiver(with(10, 8));
    let mut sender = sender_at(0);
    let mut forged = seal(&mut sender_at(100), &v4(60));
    forged[20] ^= 1;
    for millis in 0..10_000 {
        assert_eq!(receive(&mut sa, at(millis), &forged), Err(OpenError::Integrity));
    }
    assert_eq!(opens.load(Ordering::Relaxed), 10_000 + 10 * 8, "ten attempts of eight tries more");
    assert_eq!(sa.newest_number(), 0);
    // A good packet every half a second: nothing is tried.
    opens.store(0, Ordering::Relaxed);
    for millis in 10_000..20_000 {
        if millis % 500 == 0 {
            assert!(receive(&mut sa, at(millis), &seal(&mut sender, &v4(60))).is_ok());
        }
        assert_eq!(receive(&mut sa, at(millis), &forged), Err(OpenError::Integrity));
    }
    assert_eq!(opens.load(Ordering::Relaxed), 10_000 + 20);
    assert_eq!(sa.statistics().dropped(DropReason::Integrity), 20_000);
    assert_eq!(sa.statistics().resyncs, 0);
}

/// A good packet that comes when an attempt is due is simply good.
#[test]
fn good_packet_at_the_time_of_an_attempt() {
    let (mut sa, opens) = receiver(with(5, 8));
    let mut sender = sender_at(0);
    let mut forged = seal(&mut sender, &v4(60));
    forged[20] ^= 1;
    for _ in 0..5 {
        receive(&mut sa, NOW, &forged).unwrap_err();
    }
    assert!(sa.wants_resync(NOW));
    assert!(receive(&mut sa, NOW, &seal(&mut sender, &v4(60))).is_ok());
    assert_eq!((opens.load(Ordering::Relaxed), sa.newest_number(), sa.statistics().resyncs), (6, 2, 0));
    assert!(!sa.wants_resync(at(100_000)));
}

/// Only 64-bit numbers have a high half; and it can be switched off.
#[test]
fn where_nothing_is_looked_for() {
    let off = InboundConfig { resync: None, ..InboundConfig::default() };
    for (child, config) in [(child(), with(1, 8)), (esn(), off)] {
        let mut sa = InboundSa::new(&RUSTCRYPTO, install(&mirrored(&child), 0x1001, 1), config, NOW).unwrap();
        for _ in 0..10 {
            let mut forged = seal(&mut default_pair(&child).0, &v4(60));
            forged[20] ^= 1;
            assert_eq!(receive(&mut sa, NOW, &forged), Err(OpenError::Integrity));
            assert!(!sa.wants_resync(at(1 << 40)));
        }
    }
}

/// At the end of the numbers the search ends too.
#[test]
fn high_halves_end() {
    let (mut sa, opens) = receiver(with(1, 1_000));
    sa.resume_at((0xFFFF_FFFE << 32) + 5_000);
    let mut forged = seal(&mut sender_at(10_000), &v4(60));
    forged[20] ^= 1;
    for _ in 0..2 {
        assert_eq!(receive(&mut sa, NOW, &forged), Err(OpenError::Integrity));
    }
    assert_eq!(opens.load(Ordering::Relaxed), 3, "the inferred number twice, and the last high half");
}

/// What the tries cost counts against what the key may do.
#[test]
fn tries_count_as_failed_opens() {
    let cipher = RUSTCRYPTO.cipher(GCM_128).unwrap().with_keys(&keys(GCM_128, 1)).unwrap();
    let limits = UsageLimits { packets: u64::MAX, octets: u64::MAX, failed_opens: 12 };
    let cipher = Box::new(Counting { cipher, limits, opens: Arc::default() });
    let install = install(&mirrored(&esn()), 0x1001, 1);
    let mut sa = InboundSa::with_cipher(cipher, install, with(3, 8), NOW).unwrap();
    let mut forged = seal(&mut sender_at(10), &v4(60));
    forged[20] ^= 1;
    for _ in 0..3 {
        assert_eq!(receive(&mut sa, NOW, &forged), Err(OpenError::Integrity));
    }
    assert_eq!(receive(&mut sa, NOW, &forged), Err(OpenError::Integrity)); // nine at once
    assert!(matches!(receive(&mut sa, NOW, &forged), Err(OpenError::Expired(_))));
}

/// By an engine, without a call of the embedder's and without allocating; packets that its buffer can't hold wait
/// for one that it can.
#[test]
fn an_engine_finds_the_numbers_itself() {
    let config = EngineConfig { inbound: with(4, 8), resync_buffer: 200, ..EngineConfig::default() };
    let mut engine = Engine::new(&RUSTCRYPTO, config);
    let install = install(&mirrored(&esn()), 0x1001, 1);
    engine.apply(NOW, SaCommand::InstallInbound(Box::new(install))).unwrap();
    let mut sender = sender_at((3 << 32) + 10_000);
    let arrival = Arrival::udp(mirrored(&esn()).path);
    let mut packets: Vec<_> = (0..4).map(|_| seal(&mut sender, &v4(60))).collect();
    packets.push(seal(&mut sender, &v4(400)));
    packets.extend((0..2).map(|_| seal(&mut sender, &v4(60))));
    let mut outcomes = [false; 7];
    let info = allocation_counter::measure(|| {
        for (packet, outcome) in packets.iter_mut().zip(&mut outcomes) {
            *outcome = engine.open(at(5_000), arrival, &mut PacketBuf::whole(packet)).is_ok();
        }
    });
    assert_eq!((info.count_total, outcomes), (0, [false, false, false, false, false, true, true]));
    let statistics = engine.statistics().inbound;
    assert_eq!((statistics.resyncs, statistics.dropped(DropReason::Integrity)), (1, 5));
}

/// A scratch that is too short: nothing was tried, and the packet can be tried again.
#[test]
fn scratch_too_short() {
    let (mut sa, opens) = receiver(with(1, 8));
    sa.resume_at(5_000);
    let packet = seal(&mut sender_at((2 << 32) + 10_000), &v4(60));
    receive(&mut sa, NOW, &packet).unwrap_err();
    let mut storage = packet.clone();
    let mut scratch = vec![0; packet.len() - 1];
    let mut buf = PacketBuf::whole(&mut storage);
    let error = sa.resynchronize(NOW, &mut buf, &mut scratch, None).unwrap_err();
    assert!(matches!(error, OpenError::NoRoom(_)));
    assert_eq!((buf.as_slice(), opens.load(Ordering::Relaxed)), (&packet[..], 1));
    assert!(receive(&mut sa, NOW, &packet).is_ok());
}
