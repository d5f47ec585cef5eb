//! Interleaved rounds and their medians: what else the machine does falls on all sides alike.

use std::time::Instant;

/// The median of each side's time for a round, in nanoseconds. In each round every side makes its preparation, which
/// is not timed, and then its work.
pub fn interleaved<const SIDES: usize>(
    rounds: usize,
    mut side: impl FnMut(usize) -> Box<dyn FnOnce()>,
) -> [u64; SIDES] {
    let mut times: [Vec<u64>; SIDES] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..rounds {
        for turn in 0..SIDES {
            // No side always comes first.
            let number = (turn + round) % SIDES;
            let work = side(number);
            let start = Instant::now();
            work();
            let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            if let Some(times) = times.get_mut(number) {
                times.push(nanoseconds);
            }
        }
    }
    times.map(median)
}

fn median(mut nanoseconds: Vec<u64>) -> u64 {
    nanoseconds.sort_unstable();
    nanoseconds.get(nanoseconds.len() / 2).copied().unwrap_or(0)
}
