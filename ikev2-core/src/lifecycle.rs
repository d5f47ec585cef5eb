//! When connections and Child SAs begin by themselves, and what follows when they end or never come to be.
//!
//! Nothing of it applies where an embedder asked for the end, or where another IKE SA of the same connection lives.
//! [`Event::ConnectionIdle`](crate::Event::ConnectionIdle) and [`Event::ChildSaIdle`](crate::Event::ChildSaIdle)
//! tell what comes next, and when.

use crate::exchange::retransmit::RetransmitPolicy;
use core::time::Duration;
use ipsec_types::Instant;

/// What begins a connection or a Child SA.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Start {
    /// [`Endpoint::start`](crate::Endpoint::start), and a new configuration after it; a Child SA with its IKE SA,
    /// if we began that.
    AtOnce,
    /// An acquire of the data path, or a call.
    OnTraffic,
    /// A call alone.
    OnDemand,
}

/// What the end of an SA leads to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum After {
    /// What its [`Start`] says: another attempt, the next acquire, or nothing.
    #[default]
    AsStarted,
    /// Nothing.
    Nothing,
    /// Another attempt, after a pause.
    Restart,
    /// The next acquire begins it, after a pause.
    OnTraffic,
}

/// The life of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Lifecycle {
    /// What begins it. Default: [`Start::OnDemand`].
    pub start: Start,
    /// What follows where the IKE SA could not be established, or failed later. Default: [`After::AsStarted`].
    pub failed: After,
    /// What follows where the peer of an established IKE SA does not answer any more. Default:
    /// [`After::AsStarted`].
    pub dead_peer: After,
    /// What follows where the peer deleted the IKE SA. Default: [`After::AsStarted`].
    pub deleted: After,
    /// The pauses, of its Child SAs too.
    pub retry: RetryPolicy,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            start: Start::OnDemand,
            failed: After::default(),
            dead_peer: After::default(),
            deleted: After::default(),
            retry: RetryPolicy::default(),
        }
    }
}

/// The life of a Child SA while its IKE SA lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ChildLifecycle {
    /// What begins it. The first of a connection is made with the IKE SA all the same. Default:
    /// [`Start::OnTraffic`].
    pub start: Start,
    /// What follows where the peer refused it, or where it failed. Default: [`After::AsStarted`].
    pub failed: After,
    /// What follows where the peer deleted it. Default: [`After::AsStarted`].
    pub deleted: After,
}

impl Default for ChildLifecycle {
    fn default() -> Self {
        Self { start: Start::OnTraffic, failed: After::default(), deleted: After::default() }
    }
}

impl After {
    /// With [`After::AsStarted`] resolved.
    pub(crate) fn resolved(self, start: Start) -> Self {
        match (self, start) {
            (Self::AsStarted, Start::AtOnce) => Self::Restart,
            (Self::AsStarted, Start::OnTraffic) => Self::OnTraffic,
            (Self::AsStarted, Start::OnDemand) => Self::Nothing,
            _ => self,
        }
    }
}

/// The pauses between attempts: they grow as repeats of a request do, and differ from peer to peer, so that a
/// gateway that comes back is not met by everyone at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The first pause. Default: 2 s; never below 1 s.
    pub initial: Duration,
    /// What a pause grows by, in thousandths. Default: 2,000.
    pub growth_permille: u32,
    /// The longest pause. Default: 5 min.
    pub longest: Duration,
    /// By how much a pause is shortened at random at most, in thousandths. Default: 500.
    pub jitter_permille: u32,
    /// How many attempts in a row may fail; `None` for any number. Default: `None`.
    pub attempts: Option<u32>,
    /// How long an SA must have lived for its end to be followed by the first pause again. Default: 60 s.
    pub steady: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(2),
            growth_permille: 2_000,
            longest: Duration::from_secs(300),
            jitter_permille: 500,
            attempts: None,
            steady: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// The pause after so many failures in a row, shortened by so much of the jitter, in 2^32nds. Never below half
    /// a second.
    pub(crate) fn pause(&self, failures: u32, jitter: u32) -> Duration {
        const SHORTEST: Duration = Duration::from_millis(500);
        let growing = RetransmitPolicy {
            initial: self.initial.max(Duration::from_secs(1)),
            growth_permille: self.growth_permille,
            longest: self.longest.max(Duration::from_secs(1)),
            repeats: 0,
        };
        let pause = growing.pause(failures.saturating_sub(1)).as_nanos();
        let share = u128::from(self.jitter_permille.min(1_000)).saturating_mul(jitter.into()) >> 32;
        let shortened = pause.saturating_sub(pause.saturating_mul(share) / 1_000);
        Duration::from_nanos(u64::try_from(shortened).unwrap_or(u64::MAX)).max(SHORTEST)
    }

    /// Whether no further attempt is made after so many failures in a row.
    pub(crate) fn is_spent(&self, failures: u32) -> bool {
        self.attempts.is_some_and(|attempts| failures >= attempts)
    }
}

/// What comes next for a connection or a Child SA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing by itself.
    Nothing,
    /// The next acquire begins it, not before this.
    OnTraffic(Instant),
    /// It is begun again then.
    Attempt(Instant),
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn pauses_grow_to_the_longest_and_jitter_only_shortens_them() {
        let policy = RetryPolicy::default();
        let pauses: Vec<_> = (0..10).map(|failures| policy.pause(failures, 0).as_secs()).collect();
        assert_eq!(pauses, [2, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(policy.pause(u32::MAX, 0).as_secs(), 300);
        assert_eq!(policy.pause(1, u32::MAX).as_millis(), 1_002);
        assert_eq!(policy.pause(9, 1 << 31).as_secs(), 225);
        let rash = RetryPolicy { initial: Duration::ZERO, longest: Duration::ZERO, ..policy };
        let wild = RetryPolicy { jitter_permille: u32::MAX, growth_permille: 0, ..rash };
        for (failures, jitter) in [(0, 0), (1, u32::MAX), (1_000, 1 << 31)] {
            for policy in [rash, wild] {
                assert!(policy.pause(failures, jitter) >= Duration::from_millis(500));
            }
        }
    }

    #[test]
    fn what_follows_is_as_it_was_started_unless_it_is_named() {
        let resolved = |start| After::AsStarted.resolved(start);
        assert_eq!(resolved(Start::AtOnce), After::Restart);
        assert_eq!(resolved(Start::OnTraffic), After::OnTraffic);
        assert_eq!(resolved(Start::OnDemand), After::Nothing);
        assert_eq!(After::Nothing.resolved(Start::AtOnce), After::Nothing);
    }
}
