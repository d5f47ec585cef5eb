//! SAs shared by threads: no number twice, no packet delivered twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![cfg(feature = "std")]

mod common;

use common::*;
use ipsec_crypto::{CipherError, PacketCipher, PacketNumber, UsageLimits};
use ipsec_esp::lifetime::LifetimeEvent;
use ipsec_esp::replay::ReplayError;
use ipsec_esp::{
    DropReason, InboundConfig, InboundSa, OpenError, Opened, OutboundConfig, OutboundSa, PacketBuf, SealError,
};
use ipsec_types::sa::{ChildSa, ExpiryReason, SaInstall};
use ipsec_types::{Instant, SequenceNumbers};
use std::collections::HashSet;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

const NOW: Instant = Instant::ZERO;

/// A cipher that does next to nothing, so that threads meet often: its ICV is the number. Where there is a barrier, so
/// many must be in it at once.
struct Nothing(Option<Arc<Barrier>>);

impl PacketCipher for Nothing {
    fn iv_len(&self) -> usize {
        0
    }
    fn icv_len(&self) -> usize {
        16
    }
    fn block_len(&self) -> usize {
        1
    }
    fn limits(&self) -> UsageLimits {
        UsageLimits { packets: u64::MAX, octets: u64::MAX, failed_opens: u64::MAX }
    }
    fn seal(&self, number: PacketNumber, _: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        *packet.last_chunk_mut().unwrap() = number.value.to_be_bytes();
        Ok(())
    }
    fn open(&self, number: PacketNumber, _: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        if let Some(barrier) = &self.0 {
            barrier.wait();
        }
        let good = packet.last_chunk() == Some(&number.value.to_be_bytes());
        if good { Ok(()) } else { Err(CipherError::IntegrityCheck) }
    }
}

fn a_child(sequence_numbers: SequenceNumbers) -> ChildSa {
    ChildSa { sequence_numbers, ..child() }
}

fn an_install(child: &ChildSa) -> SaInstall {
    install(child, 0x1001, 1)
}

fn sender(sequence_numbers: SequenceNumbers) -> OutboundSa {
    let install = an_install(&a_child(sequence_numbers));
    OutboundSa::with_cipher(Box::new(Nothing(None)), install, OutboundConfig::default(), NOW).unwrap()
}

fn receiver(sequence_numbers: SequenceNumbers, barrier: Option<Arc<Barrier>>) -> InboundSa {
    let install = an_install(&mirrored(&a_child(sequence_numbers)));
    InboundSa::with_cipher(Box::new(Nothing(barrier)), install, InboundConfig::default(), NOW).unwrap()
}

/// Two copies of a packet are in the cipher at the same time: each was new when it was looked at first.
#[test]
fn duplicate_while_the_first_copy_is_in_the_cipher() {
    let packet = seal(&mut sender(SequenceNumbers::Sequential64), &v4(60));
    for _ in 0..50 {
        let barrier = Arc::new(Barrier::new(2));
        let shared = receiver(SequenceNumbers::Sequential64, Some(barrier)).into_shared();
        let open = || {
            let mut storage = packet.clone();
            shared.open(NOW, &mut PacketBuf::whole(&mut storage), None)
        };
        let outcomes = thread::scope(|threads| {
            let other = threads.spawn(open);
            [open(), other.join().unwrap()]
        });
        let delivered = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Opened::Packet(_)))).count();
        let replayed = outcomes.contains(&Err(OpenError::Replay(ReplayError::Replayed)));
        assert_eq!((delivered, replayed), (1, true));
        let statistics = shared.statistics();
        assert_eq!((statistics.packets, statistics.dropped(DropReason::Replayed)), (1, 1));
    }
}

/// A sender at the last number but one, eight threads: one succeeds, and the SA has ended.
#[test]
fn last_number_from_many_threads() {
    for (kind, last) in
        [(SequenceNumbers::Sequential32, u64::from(u32::MAX)), (SequenceNumbers::Sequential64, u64::MAX)]
    {
        for _ in 0..20 {
            let mut sa = sender(kind);
            assert!(sa.leap_to(last - 1));
            let shared = sa.into_shared();
            let start = Barrier::new(8);
            let outcomes = thread::scope(|threads| {
                let all: Vec<_> = (0..8)
                    .map(|_| {
                        threads.spawn(|| {
                            let (mut storage, at) = roomy(&v4(60));
                            let mut buf = PacketBuf::new(&mut storage, at).unwrap();
                            start.wait();
                            shared.seal(NOW, &mut buf)
                        })
                    })
                    .collect();
                all.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            let numbers: Vec<_> = outcomes.iter().flatten().map(|sealed| sealed.number).collect();
            assert_eq!(numbers, [last]);
            assert!(
                outcomes.iter().flat_map(|o| o.as_ref().err()).all(|e| *e == SealError::NumbersExhausted)
            );
            assert_eq!(shared.statistics().dropped(DropReason::NumbersExhausted), 7);
            assert_eq!(shared.poll_event(), Some(LifetimeEvent::Soft(ExpiryReason::SequenceNumbers)));
            assert_eq!(shared.poll_event(), Some(LifetimeEvent::Hard(ExpiryReason::SequenceNumbers)));
            assert_eq!(shared.poll_event(), None);
        }
    }
}

/// Four threads, a hundred thousand packets: every number is given once.
#[test]
fn every_number_is_given_once() {
    const EACH: u64 = 25_000;
    let shared = sender(SequenceNumbers::Sequential64).into_shared();
    let mut numbers: Vec<u64> = thread::scope(|threads| {
        let all: Vec<_> = (0..4)
            .map(|_| {
                threads.spawn(|| {
                    let (mut storage, at) = roomy(&v4(60));
                    (0..EACH)
                        .map(|_| {
                            let mut buf = PacketBuf::new(&mut storage, at.clone()).unwrap();
                            let number = shared.seal(NOW, &mut buf).unwrap().number;
                            let low = buf.as_slice()[4..8].try_into().unwrap();
                            assert_eq!(u32::from_be_bytes(low), number as u32);
                            storage[at.clone()].copy_from_slice(&v4(60));
                            number
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        all.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=4 * EACH).collect::<Vec<_>>());
    assert_eq!(shared.statistics().packets, 4 * EACH);
    assert_eq!(shared.into_exclusive().last_number(), 4 * EACH);
}

/// A million packets in random orders to four threads, many of them repeated: each number is delivered at most once,
/// what is called repeated was delivered, and what is called old lies below the window.
#[test]
fn a_million_packets_to_four_threads() {
    // Half of them with each kind of number.
    const PACKETS: u64 = 1_000_000;
    for kind in [SequenceNumbers::Sequential32, SequenceNumbers::Sequential64] {
        let mut exclusive = receiver(kind, None);
        let start = if kind == SequenceNumbers::Sequential64 { (1 << 32) - PACKETS / 16 } else { 0 };
        if start > 0 {
            exclusive.resume_at(start);
        }
        let shared = exclusive.into_shared();
        let template = seal(&mut sender(kind), &v4(60));
        let delivered = Mutex::new(HashSet::new());
        let all_repeated = Mutex::new(Vec::new());
        thread::scope(|threads| {
            for seed in 1..=4u64 {
                let (shared, template) = (&shared, &template);
                let (delivered, all_repeated) = (&delivered, &all_repeated);
                threads.spawn(move || {
                    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    let (mut mine, mut repeated) = (Vec::new(), Vec::new());
                    for turn in 0..PACKETS / 8 {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        // Around a front that all threads move on together, behind by up to twice the window.
                        let behind = (random >> 33) % 2_048;
                        let number = start + (turn + 1).saturating_sub(behind).max(1);
                        let mut storage = template.clone();
                        storage[4..8].copy_from_slice(&(number as u32).to_be_bytes());
                        *storage.last_chunk_mut().unwrap() = number.to_be_bytes();
                        match shared.open(NOW, &mut PacketBuf::whole(&mut storage), None) {
                            Ok(_) => mine.push(number),
                            Err(OpenError::Replay(ReplayError::Replayed)) => repeated.push(number),
                            Err(OpenError::Replay(ReplayError::BelowWindow)) => {
                                assert!(shared.newest_number() - number >= 1_024);
                            }
                            // 64-bit numbers below the window are taken for some that lie ahead.
                            Err(OpenError::IntegrityOrLate | OpenError::Integrity) => {
                                assert!(shared.newest_number() - number >= 1_024);
                                assert_eq!(kind, SequenceNumbers::Sequential64);
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    let mut delivered = delivered.lock().unwrap();
                    for number in mine {
                        assert!(delivered.insert(number), "{number} was delivered twice");
                    }
                    all_repeated.lock().unwrap().extend(repeated);
                });
            }
        });
        let (statistics, delivered) = (shared.statistics(), delivered.into_inner().unwrap());
        let repeated = all_repeated.into_inner().unwrap();
        assert!(!repeated.is_empty() && repeated.iter().all(|number| delivered.contains(number)));
        assert_eq!(statistics.packets, delivered.len() as u64);
        assert_eq!(statistics.packets + statistics.dropped_in_all(), PACKETS / 2);
    }
}

/// State goes over and back; errors before any number is taken are counted too.
#[test]
fn state_goes_over_and_back() {
    let (mut out, inn) = default_pair(&child());
    let first = seal(&mut out, &v4(60));
    let shared_in = inn.into_shared();
    let mut storage = first.clone();
    shared_in.open(NOW, &mut PacketBuf::whole(&mut storage), None).unwrap();
    let shared_out = out.into_shared();
    let mut garbage = [0x55; 40];
    assert!(matches!(shared_out.seal(NOW, &mut PacketBuf::whole(&mut garbage)), Err(SealError::Inner(_))));
    let mut small = v4(60);
    assert!(matches!(shared_out.seal(NOW, &mut PacketBuf::whole(&mut small)), Err(SealError::NoRoom(_))));
    assert_eq!((shared_out.last_number(), shared_out.statistics().dropped_in_all()), (1, 2));
    let mut out = shared_out.into_exclusive();
    let second = seal(&mut out, &v4(60));
    assert_eq!(second[7], 2);
    let mut inn = shared_in.into_exclusive();
    assert_eq!(open(&mut inn, &first), Err(OpenError::Replay(ReplayError::Replayed)));
    assert_eq!(open(&mut inn, &second).unwrap(), v4(60));
}
