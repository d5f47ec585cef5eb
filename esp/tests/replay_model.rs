//! The window against a plain model: the set of all numbers that were received, and the rules of RFC 4303
//! §3.4.3 in their plainest form.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use ipsec_esp::replay::{AntiReplay, ReplayError, ReplayWindow, WindowSize};
use ipsec_types::SequenceNumbers;
use proptest::prelude::*;
use std::collections::HashSet;

/// What is true: which numbers came, and which is the newest.
struct Model {
    width: i128,
    top: i128,
    seen: HashSet<i128>,
    esn: bool,
}

impl Model {
    /// What the receiver takes the low half for: RFC 4303 Appendix A2.2, case by case.
    fn infer(&self, low: u32) -> Result<i128, ReplayError> {
        let low = i128::from(low);
        if !self.esn {
            return Ok(low);
        }
        let (top_high, top_low) = (self.top >> 32, self.top & 0xFFFF_FFFF);
        let bottom_low = (self.top - self.width + 1) & 0xFFFF_FFFF;
        let high = if top_low >= self.width - 1 {
            if low >= bottom_low { top_high } else { top_high + 1 }
        } else if low >= bottom_low {
            top_high - 1
        } else {
            top_high
        };
        if (0..1 << 32).contains(&high) { Ok(high << 32 | low) } else { Err(ReplayError::NoSuchNumber) }
    }

    fn receive(&mut self, low: u32, sent: u64) -> Result<bool, ReplayError> {
        let number = self.infer(low)?;
        if number == 0 {
            return Err(ReplayError::Zero);
        }
        if number <= self.top - self.width {
            return Err(ReplayError::BelowWindow);
        }
        if self.seen.contains(&number) {
            return Err(ReplayError::Replayed);
        }
        // The integrity check fails where the receiver takes the number for another.
        let authentic = number == i128::from(sent);
        if authentic {
            self.seen.insert(number);
            self.top = self.top.max(number);
        }
        Ok(authentic)
    }
}

/// Steps of a sender whose packets arrive out of order, lost, repeated, and in leaps.
#[derive(Clone, Debug)]
enum Step {
    /// So far ahead of the newest (1 is in order).
    Ahead(u64),
    /// So far behind the newest.
    Behind(u64),
    /// Any low half at all, not authentic.
    Stray(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => Just(Step::Ahead(1)),
        4 => (1u64..6).prop_map(Step::Ahead),
        2 => (1u64..200).prop_map(Step::Ahead),
        1 => (1u64..100_000).prop_map(Step::Ahead),
        8 => (0u64..70).prop_map(Step::Behind),
        3 => (0u64..1_100).prop_map(Step::Behind),
        1 => (0u64..70_000).prop_map(Step::Behind),
        1 => any::<u32>().prop_map(Step::Stray),
    ]
}

fn run(width: u32, esn: bool, start: u64, steps: &[Step]) -> Result<(), TestCaseError> {
    let kind = if esn { SequenceNumbers::Sequential64 } else { SequenceNumbers::Sequential32 };
    let size = WindowSize::new(width).unwrap();
    let mut window = ReplayWindow::new(kind, AntiReplay::Window(size));
    let mut model = Model { width: width.into(), top: 0, seen: HashSet::new(), esn };
    if start > 0 {
        window.resume_at(start);
        model.top = start.into();
        model.seen.insert(start.into());
    }
    let last = if esn { u64::MAX } else { u64::from(u32::MAX) };
    for step in steps {
        let (sent, authentic) = match step {
            Step::Ahead(by) => (window.top().saturating_add(*by).min(last), true),
            Step::Behind(by) => (window.top().saturating_sub(*by), true),
            Step::Stray(low) => (u64::from(*low), false),
        };
        let low = sent as u32;
        let before = window.clone();
        let checked = window.check(low);
        prop_assert_eq!(&window, &before, "a check changes nothing");
        let expected = model.receive(low, if authentic { sent } else { u64::MAX - 1 });
        match (checked, expected) {
            (Ok(candidate), Ok(accepted)) => {
                prop_assert_eq!(authentic && candidate.number() == sent, accepted);
                if accepted {
                    prop_assert_eq!(window.accept(candidate), Ok(sent > before.top()));
                    prop_assert!(window.accept(candidate).is_err(), "a second time");
                }
            }
            (checked, expected) => {
                prop_assert_eq!(checked.map(|_| ()), expected.map(|_| ()), "{:?} at {}", step, before.top());
            }
        }
        prop_assert_eq!(i128::from(window.top()), model.top);
    }
    Ok(())
}

fn starts() -> impl Strategy<Value = u64> {
    let edge = |at: u64| (0u64..200_000).prop_map(move |d| at.saturating_sub(100_000).saturating_add(d));
    prop_oneof![
        3 => Just(0u64),
        2 => 0u64..2_000,
        3 => edge(1 << 32),
        1 => edge(7 << 32),
        1 => (0u64..3_000).prop_map(|d| u64::MAX - d),
        1 => any::<u64>(),
    ]
}

proptest! {
    // 256 runs of 4,000 packets: a million.
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn window_equals_the_set_of_received_numbers(
        width in prop_oneof![
            Just(32u32), Just(33), Just(64), Just(65), Just(1_000), Just(1_024), Just(65_536), 32u32..=65_536
        ],
        esn in any::<bool>(),
        start in starts(),
        steps in proptest::collection::vec(step(), 4_000),
    ) {
        let start = if esn { start } else { start % (1 << 32) };
        run(width, esn, start, &steps)?;
    }
}
