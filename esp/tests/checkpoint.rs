//! Checkpoints of pairs that a standby goes on with: no number is sent twice, whatever happens when.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::state::StateKey;
use ipsec_esp::replay::ReplayError;
use ipsec_esp::{
    Arrival, Checkpoint, CommandError, DropReason, Engine, EngineConfig, MoveError, OpenError,
    OutboundConfig, OutboundSa, PacketBuf, SealError,
};
use ipsec_types::sa::{ChildSa, ChildSaId, Direction};
use ipsec_types::{Instant, Path, SaCommand, SequenceNumbers};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

const NOW: Instant = Instant::from_millis(10_000);
const ID: ChildSaId = ChildSaId(1);
const OUR_SPI: u32 = 0x1001;
const THEIR_SPI: u32 = 0x2002;

fn key() -> StateKey {
    StateKey::new(&RUSTCRYPTO, b"a key of the embedder, 32 octets").unwrap()
}

fn engine() -> Engine {
    Engine::new(&RUSTCRYPTO, EngineConfig { keep_keys: true, ..EngineConfig::default() })
}

fn esn() -> ChildSa {
    ChildSa { sequence_numbers: SequenceNumbers::Sequential64, ..child() }
}

fn with_pair(child: &ChildSa) -> Engine {
    let mut engine = engine();
    engine.apply(NOW, SaCommand::InstallInbound(Box::new(install(child, OUR_SPI, 1)))).unwrap();
    engine.apply(NOW, SaCommand::InstallOutbound(Box::new(install(child, THEIR_SPI, 2)))).unwrap();
    engine
}

/// The peer's engine, which receives what any of ours sends.
fn peers_engine(child: &ChildSa) -> Engine {
    let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig::default());
    let install = install(&mirrored(child), THEIR_SPI, 2);
    engine.apply(NOW, SaCommand::InstallInbound(Box::new(install))).unwrap();
    engine
}

/// A packet of the engine's, and its number.
fn send(engine: &mut Engine) -> Result<(u64, Vec<u8>), SealError> {
    let (mut storage, at) = roomy(&v4(60));
    let mut packet = PacketBuf::new(&mut storage, at).unwrap();
    let number = engine.seal(NOW, &mut packet)?.sealed.number;
    Ok((number, packet.as_slice().to_vec()))
}

fn number(engine: &mut Engine) -> Result<u64, SealError> {
    send(engine).map(|(number, _)| number)
}

fn receive(engine: &mut Engine, packet: &[u8]) -> Result<(), OpenError> {
    let mut packet = packet.to_vec();
    let Path { local, remote, .. } = path_v4();
    engine.open(NOW, Arrival::udp(Path::nat_t(local, remote)), &mut PacketBuf::whole(&mut packet)).map(|_| ())
}

fn take_over(checkpoint: &Checkpoint) -> Engine {
    let mut standby = engine();
    standby.import(NOW, &key(), &checkpoint.sealed, Duration::ZERO).unwrap();
    standby
}

/// What is sent here ends where the standby begins, and the peer takes both.
#[test]
fn a_standby_goes_on_above_the_ceiling() {
    for child in [child(), esn()] {
        let mut peer = peers_engine(&child);
        let mut active = with_pair(&child);
        let mut heard = |packet: &[u8]| {
            let mut packet = packet.to_vec();
            peer.open(NOW, Arrival::udp(mirrored(&child).path), &mut PacketBuf::whole(&mut packet))
                .map(|_| ())
        };
        for expected in 1..=5 {
            let (number, packet) = send(&mut active).unwrap();
            assert_eq!((number, heard(&packet)), (expected, Ok(())));
        }
        let checkpoint = active.checkpoint(NOW, ID, &key(), 10).unwrap();
        assert_eq!(checkpoint.ceiling, 15);
        for expected in 6..=15 {
            let (number, packet) = send(&mut active).unwrap();
            assert_eq!((number, heard(&packet)), (expected, Ok(())));
        }
        assert_eq!(number(&mut active), Err(SealError::CheckpointDue));
        assert_eq!(active.statistics().outbound.dropped(DropReason::CheckpointDue), 1);
        let mut standby = take_over(&checkpoint);
        let (number, packet) = send(&mut standby).unwrap();
        assert_eq!((number, heard(&packet)), (16, Ok(())));
    }
}

/// The ceiling rises when the standby is known to have the next checkpoint, and not before.
#[test]
fn the_ceiling_rises_when_it_is_confirmed() {
    let mut active = with_pair(&child());
    let first = active.checkpoint(NOW, ID, &key(), 2).unwrap();
    assert_eq!((number(&mut active), number(&mut active)), (Ok(1), Ok(2)));
    let second = active.checkpoint(NOW, ID, &key(), 3).unwrap();
    assert_eq!((first.ceiling, second.ceiling), (2, 5));
    assert_eq!(number(&mut active), Err(SealError::CheckpointDue));
    // The first one again does not help, nor one that is not there.
    active.confirm_checkpoint(ID, first.ceiling).unwrap();
    assert_eq!(number(&mut active), Err(SealError::CheckpointDue));
    let none = MoveError::NoSuchCheckpoint { id: ID, ceiling: 6 };
    assert_eq!(active.confirm_checkpoint(ID, 6), Err(none));
    active.confirm_checkpoint(ID, second.ceiling).unwrap();
    assert_eq!((3..=5).map(|_| number(&mut active).unwrap()).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(number(&mut active), Err(SealError::CheckpointDue));
    // It never falls.
    active.confirm_checkpoint(ID, first.ceiling).unwrap();
    let third = active.checkpoint(NOW, ID, &key(), 0).unwrap();
    assert_eq!(third.ceiling, 5);
    // What is refused is not counted against a lifetime, and the SA lives.
    assert!(active.poll_report().is_none());
    assert_eq!(active.confirm_checkpoint(ChildSaId(9), 1), Err(MoveError::NotInstalled(ChildSaId(9))));
}

/// Nothing that is as old as the newest packet before the checkpoint is taken; of what came later the standby knows
/// nothing.
#[test]
fn what_a_standby_receives() {
    for child in [child(), esn()] {
        let mut peer = OutboundSa::new(
            &RUSTCRYPTO,
            install(&mirrored(&child), OUR_SPI, 1),
            OutboundConfig::default(),
            NOW,
        )
        .unwrap();
        let packets: Vec<_> = (0..6).map(|_| seal(&mut peer, &v4(60))).collect();
        let mut active = with_pair(&child);
        for at in [0, 3] {
            receive(&mut active, &packets[at]).unwrap();
        }
        let checkpoint = active.checkpoint(NOW, ID, &key(), 10).unwrap();
        receive(&mut active, &packets[1]).unwrap();
        receive(&mut active, &packets[4]).unwrap();
        let mut standby = take_over(&checkpoint);
        for (at, packet) in packets.iter().enumerate() {
            let expected = if at <= 3 { Err(OpenError::Replay(ReplayError::Replayed)) } else { Ok(()) };
            assert_eq!(receive(&mut standby, packet), expected, "{at}");
            assert_eq!(receive(&mut standby, packet), Err(OpenError::Replay(ReplayError::Replayed)));
        }
        // Here nothing has changed.
        receive(&mut active, &packets[2]).unwrap();
        receive(&mut active, &packets[5]).unwrap();
    }
}

/// The ceiling goes along when the pair itself moves, and is there what it was here.
#[test]
fn a_pair_that_moves_stays_under_its_ceiling() {
    let mut old = with_pair(&child());
    let checkpoint = old.checkpoint(NOW, ID, &key(), 3).unwrap();
    assert_eq!(number(&mut old), Ok(1));
    let sealed = old.export(NOW, ID, &key(), 1).unwrap();
    let mut new = engine();
    new.import(NOW, &key(), &sealed, Duration::ZERO).unwrap();
    assert_eq!((number(&mut new), number(&mut new)), (Ok(3), Err(SealError::CheckpointDue)));
    // However far it leaps.
    let sealed = new.export(NOW, ID, &key(), 1_000).unwrap();
    let mut newer = engine();
    newer.import(NOW, &key(), &sealed, Duration::ZERO).unwrap();
    assert_eq!(number(&mut newer), Err(SealError::CheckpointDue));
    let next = newer.checkpoint(NOW, ID, &key(), 10).unwrap();
    assert_eq!((checkpoint.ceiling, next.ceiling), (3, 13));
    assert_eq!(number(&mut newer), Err(SealError::CheckpointDue));
    newer.confirm_checkpoint(ID, 13).unwrap();
    assert_eq!(number(&mut newer), Ok(4));
    assert_eq!(number(&mut take_over(&next)), Ok(14));
}

/// A leap to the last number leaves the standby none, and no later checkpoint gives it any that are sent here.
#[test]
fn a_leap_to_the_end() {
    let mut active = with_pair(&child());
    let near = u64::from(u32::MAX) - 5;
    let sealed = active.export(NOW, ID, &key(), near).unwrap();
    active.import(NOW, &key(), &sealed, Duration::ZERO).unwrap();
    let first = active.checkpoint(NOW, ID, &key(), 1 << 40).unwrap();
    let second = active.checkpoint(NOW, ID, &key(), 1).unwrap();
    assert_eq!((first.ceiling, second.ceiling), (u64::from(u32::MAX), u64::from(u32::MAX)));
    assert_eq!(number(&mut active), Ok(near + 1));
    for checkpoint in [first, second] {
        assert_eq!(number(&mut take_over(&checkpoint)), Err(SealError::NumbersExhausted));
    }
    // With 64-bit numbers a receiver must tell the high half.
    let mut active = with_pair(&esn());
    assert_eq!(active.checkpoint(NOW, ID, &key(), u64::MAX).unwrap().ceiling, 1 << 31);
}

#[test]
fn what_gives_no_checkpoint() {
    let mut forgetful = Engine::new(&RUSTCRYPTO, EngineConfig::default());
    forgetful.apply(NOW, SaCommand::InstallOutbound(Box::new(install(&child(), THEIR_SPI, 2)))).unwrap();
    assert_eq!(forgetful.checkpoint(NOW, ID, &key(), 1), Err(MoveError::KeysNotKept));
    assert_eq!(number(&mut forgetful), Ok(1));
    assert_eq!(number(&mut forgetful), Ok(2), "it is not held");
    let mut empty = engine();
    assert_eq!(empty.checkpoint(NOW, ID, &key(), 1), Err(MoveError::NotInstalled(ID)));
    // Where the pair is it is not imported, and not where it was.
    let mut active = with_pair(&child());
    let checkpoint = active.checkpoint(NOW, ID, &key(), 1).unwrap();
    let there = CommandError::AlreadyInstalled { id: ID, direction: Direction::Inbound };
    assert_eq!(active.import(NOW, &key(), &checkpoint.sealed, Duration::ZERO), Err(there.into()));
    active.apply(NOW, SaCommand::Remove { id: ID, inbound: true, outbound: true }).unwrap();
    let again = active.import(NOW, &key(), &checkpoint.sealed, Duration::ZERO);
    assert!(matches!(again, Err(MoveError::Refused(CommandError::KeyUsed(_)))), "{again:?}");
    // A pair that only receives has nothing to hold.
    let mut receiver = engine();
    receiver.apply(NOW, SaCommand::InstallInbound(Box::new(install(&child(), OUR_SPI, 1)))).unwrap();
    let checkpoint = receiver.checkpoint(NOW, ID, &key(), 9).unwrap();
    assert_eq!((checkpoint.ceiling, receiver.confirm_checkpoint(ID, 0)), (0, Ok(())));
}

/// What happens to a cluster.
#[derive(Clone, Debug)]
enum Turn {
    Send(u8),
    Checkpoint(u8),
    /// The newest checkpoint reaches the standby, which throws away the one before; and that is heard.
    Deliver,
    /// It reaches the standby, and that is not heard.
    DeliverUnheard,
    Move,
    /// The standby takes over, whether the active one is gone or not.
    TakeOver,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        4 => (1..20_u8).prop_map(Turn::Send),
        2 => (0..30_u8).prop_map(Turn::Checkpoint),
        2 => Just(Turn::Deliver),
        1 => Just(Turn::DeliverUnheard),
        1 => Just(Turn::Move),
        1 => Just(Turn::TakeOver),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// No number is sent twice, even where one that was held for dead goes on.
    #[test]
    fn no_number_is_sent_twice(turns in proptest::collection::vec(turn(), 1..60)) {
        let mut engines = vec![with_pair(&esn())];
        let (mut newest, mut held): (Option<Checkpoint>, Option<Checkpoint>) = (None, None);
        let mut sent = BTreeSet::new();
        for turn in turns {
            let active = engines.last_mut().unwrap();
            match turn {
                Turn::Send(count) => {
                    // Who was held for dead sends too.
                    for engine in &mut engines {
                        for _ in 0..count {
                            match number(engine) {
                                Ok(number) => prop_assert!(sent.insert(number), "{number} twice"),
                                Err(error) => prop_assert_eq!(error, SealError::CheckpointDue),
                            }
                        }
                    }
                }
                Turn::Checkpoint(leap) => newest = Some(active.checkpoint(NOW, ID, &key(), leap.into()).unwrap()),
                Turn::Deliver => {
                    if let Some(checkpoint) = newest.clone() {
                        active.confirm_checkpoint(ID, checkpoint.ceiling).unwrap();
                        held = Some(checkpoint);
                    }
                }
                Turn::DeliverUnheard => held = newest.clone().or(held),
                Turn::Move => {
                    let sealed = active.export(NOW, ID, &key(), 2).unwrap();
                    *active = engine();
                    active.import(NOW, &key(), &sealed, Duration::ZERO).unwrap();
                }
                Turn::TakeOver => {
                    if let Some(checkpoint) = held.take() {
                        newest = None;
                        engines.push(take_over(&checkpoint));
                    }
                }
            }
        }
    }
}
