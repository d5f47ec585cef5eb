//! SAs shared by threads, in every order that the threads can come in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![cfg(feature = "std")]

mod common;

use common::*;
use ipsec_crypto::{CipherError, PacketCipher, PacketNumber, UsageLimits};
use ipsec_esp::lifetime::LifetimeEvent;
use ipsec_esp::replay::ReplayError;
use ipsec_esp::shared::Lock;
use ipsec_esp::{
    InboundConfig, InboundSa, OpenError, Opened, OutboundConfig, OutboundSa, PacketBuf, SealError,
};
use ipsec_types::sa::{ChildSa, ExpiryReason, Lifetimes, Limit};
use ipsec_types::{Instant, SequenceNumbers};
use std::sync::Arc;

const NOW: Instant = Instant::ZERO;

/// Loom's mutex, at which the model lets threads change places. The cipher is another such place.
struct LoomLock;

impl Lock for LoomLock {
    type Of<T> = loom::sync::Mutex<T>;

    fn guard<T>(value: T) -> Self::Of<T> {
        loom::sync::Mutex::new(value)
    }

    fn with<T, R>(guarded: &Self::Of<T>, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut guarded.lock().unwrap())
    }

    fn into_inner<T>(guarded: Self::Of<T>) -> T {
        guarded.into_inner().unwrap()
    }
}

/// A cipher that does next to nothing: its ICV is the number.
struct Nothing;

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
        loom::thread::yield_now();
        *packet.last_chunk_mut().unwrap() = number.value.to_be_bytes();
        Ok(())
    }
    fn open(&self, number: PacketNumber, _: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        loom::thread::yield_now();
        let good = packet.last_chunk() == Some(&number.value.to_be_bytes());
        if good { Ok(()) } else { Err(CipherError::IntegrityCheck) }
    }
}

fn sender(child: &ChildSa) -> OutboundSa {
    let install = install(child, 0x1001, 1);
    OutboundSa::with_cipher(Box::new(Nothing), install, OutboundConfig::default(), NOW).unwrap()
}

fn receiver(child: &ChildSa) -> InboundSa {
    let install = install(&mirrored(child), 0x1001, 1);
    InboundSa::with_cipher(Box::new(Nothing), install, InboundConfig::default(), NOW).unwrap()
}

/// What becomes of the same work by two threads.
fn by_two<T, R>(shared: &Arc<T>, work: impl Fn(&T, usize) -> R + Copy + 'static) -> [R; 2]
where
    T: 'static,
    R: 'static,
{
    let theirs = Arc::clone(shared);
    let other = loom::thread::spawn(move || work(&theirs, 1));
    [work(shared, 0), other.join().unwrap()]
}

/// The numbers of `packets` packets.
fn numbers<L: Lock>(shared: &ipsec_esp::SharedOutboundSa<L>, packets: usize) -> Vec<Result<u64, SealError>> {
    let one = || {
        let (mut storage, at) = roomy(&v4(60));
        let sealed = shared.seal(NOW, &mut PacketBuf::new(&mut storage, at).unwrap())?;
        Ok(sealed.number)
    };
    (0..packets).map(|_| one()).collect()
}

#[test]
fn every_number_is_given_once() {
    loom::model(|| {
        let shared = Arc::new(sender(&child()).into_shared_by::<LoomLock>());
        let given = by_two(&shared, |shared, _| numbers(shared, 2));
        let mut given: Vec<_> = given.into_iter().flatten().map(Result::unwrap).collect();
        given.sort_unstable();
        assert_eq!(given, [1, 2, 3, 4]);
        assert_eq!((shared.statistics().packets, shared.last_number()), (4, 4));
    });
}

/// RFC 4303 §3.3.3: the last number is given once, and the end is told once.
#[test]
fn last_number_is_given_once() {
    loom::model(|| {
        let mut sa = sender(&ChildSa { sequence_numbers: SequenceNumbers::Sequential64, ..child() });
        assert!(sa.leap_to(u64::MAX - 1));
        let shared = Arc::new(sa.into_shared_by::<LoomLock>());
        let given = by_two(&shared, |shared, _| numbers(shared, 1)).concat();
        assert_eq!(given.iter().filter(|number| **number == Ok(u64::MAX)).count(), 1);
        assert_eq!(given.iter().filter(|number| **number == Err(SealError::NumbersExhausted)).count(), 1);
        let events = [(); 3].map(|()| shared.poll_event());
        let reason = ExpiryReason::SequenceNumbers;
        assert_eq!(events, [Some(LifetimeEvent::Soft(reason)), Some(LifetimeEvent::Hard(reason)), None]);
    });
}

/// A hard limit of three packets holds for four, whoever sends them.
#[test]
fn limits_hold_for_all_threads_together() {
    loom::model(|| {
        let packets = Limit { soft: Some(2), hard: Some(3) };
        let lifetimes = Lifetimes { packets, ..Lifetimes::default() };
        let shared = Arc::new(sender(&ChildSa { lifetimes, ..child() }).into_shared_by::<LoomLock>());
        let given = by_two(&shared, |shared, _| numbers(shared, 2)).concat();
        assert_eq!(given.iter().filter(|number| number.is_ok()).count(), 3);
        let statistics = shared.statistics();
        assert_eq!((statistics.packets, statistics.dropped_in_all()), (3, 1));
        let events = [(); 3].map(|()| shared.poll_event());
        let reason = ExpiryReason::Packets;
        assert_eq!(events, [Some(LifetimeEvent::Soft(reason)), Some(LifetimeEvent::Hard(reason)), None]);
    });
}

/// RFC 4303 §3.4.3: of two copies that are opened at once one is delivered, and what comes beside them is not hindered.
#[test]
fn every_packet_is_delivered_once() {
    loom::model(|| {
        let mut out = sender(&child());
        let packets = [(); 2].map(|()| seal(&mut out, &v4(60)));
        let shared = Arc::new(receiver(&child()).into_shared_by::<LoomLock>());
        // Both threads have the first packet; the other one has the second before it.
        let theirs = (Arc::clone(&shared), packets.clone());
        let open = |shared: &ipsec_esp::SharedInboundSa<LoomLock>, packet: &[u8]| {
            shared.open(NOW, &mut PacketBuf::whole(&mut packet.to_vec()), None)
        };
        let other = loom::thread::spawn(move || {
            let (shared, [first, second]) = &theirs;
            [open(shared, second), open(shared, first)]
        });
        let copy = open(&shared, &packets[0]);
        let [second, first] = other.join().unwrap();
        assert!(matches!(second, Ok(Opened::Packet(_))));
        let delivered = [&copy, &first].into_iter().filter(|outcome| outcome.is_ok()).count();
        let replayed = Err(OpenError::Replay(ReplayError::Replayed));
        assert!(delivered == 1 && (copy == replayed || first == replayed));
        let statistics = shared.statistics();
        assert_eq!((statistics.packets, statistics.dropped_in_all(), shared.newest_number()), (2, 1, 2));
    });
}
