//! Connections that we start: at once, and again after a pause that doubles with each failure; and their Child SAs
//! that came to nothing, likewise.

use crate::config::{Reconnect, Start};
use ikev2_core::{DownReason, IkeSaHandle};
use ipsec_types::Instant;
use std::time::Duration;

/// The pause after the first failure.
pub const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// No pause is longer.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Starting {
    start: Start,
    sa: Option<IkeSaHandle>,
    due: Option<Instant>,
    children_due: Vec<(Instant, String)>,
    pause: Duration,
}

/// All of them, as a clock that says what to start when.
#[derive(Debug)]
pub struct Starts(Vec<Starting>);

/// What is to be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Due {
    /// The connection of this name; the answer is [`Starts::began`] or [`Starts::failed`].
    Connection(String),
    /// The Child SA of this name.
    Child(IkeSaHandle, String),
}

impl Starts {
    /// All are due at once.
    #[must_use]
    pub fn new(starts: Vec<Start>) -> Self {
        let starting = |start| Starting {
            start,
            sa: None,
            due: Some(Instant::ZERO),
            children_due: Vec::new(),
            pause: SHORTEST_PAUSE,
        };
        Self(starts.into_iter().map(starting).collect())
    }

    /// When something is to be started next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let of = |one: &Starting| one.due.into_iter().chain(one.children_due.iter().map(|(at, _)| *at)).min();
        self.0.iter().filter_map(of).min()
    }

    /// Something that is to be started now. It is told once.
    pub fn poll(&mut self, now: Instant) -> Option<Due> {
        self.0.iter_mut().find_map(|one| one.poll(now))
    }

    /// The connection of this name has begun.
    pub fn began(&mut self, connection: &str, sa: IkeSaHandle) {
        for one in self.0.iter_mut().filter(|one| one.start.connection == connection) {
            one.sa = Some(sa);
        }
    }

    /// The connection of this name was begun by the process before, and goes on: it is not due.
    pub fn goes_on(&mut self, connection: &str, sa: IkeSaHandle) {
        for one in self.0.iter_mut().filter(|one| one.start.connection == connection) {
            (one.sa, one.due) = (Some(sa), None);
        }
    }

    /// The connection of this name can't begin now; the pause until it is due again.
    pub fn failed(&mut self, now: Instant, connection: &str) -> Option<Duration> {
        let one = self.0.iter_mut().find(|one| one.start.connection == connection)?;
        let pause = one.next_pause();
        one.due = Some(now + pause);
        Some(pause)
    }

    /// Whether we started this IKE SA, and so look after it.
    #[must_use]
    pub fn is_ours(&self, sa: IkeSaHandle) -> bool {
        self.0.iter().any(|one| one.sa == Some(sa))
    }

    /// A Child SA of this IKE SA is up: the next pause is a short one again.
    pub fn is_up(&mut self, sa: IkeSaHandle) {
        if let Some(one) = self.of(sa) {
            one.pause = SHORTEST_PAUSE;
        }
    }

    /// The IKE SA ended; the pause until its connection is due again, if it will be.
    pub fn is_down(&mut self, now: Instant, sa: IkeSaHandle, reason: &DownReason) -> Option<Duration> {
        let one = self.of(sa)?;
        one.sa = None;
        one.children_due.clear();
        one.again(reason).then(|| {
            let pause = one.next_pause();
            one.due = Some(now + pause);
            pause
        })
    }

    /// A Child SA of this IKE SA ended for this reason, or came to nothing where there is none; the pause until it
    /// is due again, if it will be.
    pub fn child_is_down(
        &mut self,
        now: Instant,
        sa: IkeSaHandle,
        child: &str,
        reason: Option<&DownReason>,
    ) -> Option<Duration> {
        let one = self.of(sa)?;
        let again = match reason {
            Some(DownReason::IkeSaEnded) => false,
            Some(reason) => one.again(reason),
            None => one.start.reconnect != Reconnect::Never,
        };
        again.then(|| {
            let pause = one.next_pause();
            one.children_due.push((now + pause, child.into()));
            pause
        })
    }

    /// Nothing is started any more.
    pub fn stop(&mut self) {
        self.0.clear();
    }

    fn of(&mut self, sa: IkeSaHandle) -> Option<&mut Starting> {
        self.0.iter_mut().find(|one| one.sa == Some(sa))
    }
}

impl Starting {
    fn poll(&mut self, now: Instant) -> Option<Due> {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            return Some(Due::Connection(self.start.connection.clone()));
        }
        let sa = self.sa?;
        let place = self.children_due.iter().position(|(due, _)| *due <= now)?;
        Some(Due::Child(sa, self.children_due.swap_remove(place).1))
    }

    fn again(&self, reason: &DownReason) -> bool {
        if matches!(reason, DownReason::Replaced | DownReason::Rekeyed | DownReason::Redundant) {
            return false;
        }
        match self.start.reconnect {
            Reconnect::Never => false,
            Reconnect::AfterFailure => !matches!(reason, DownReason::Requested | DownReason::DeletedByPeer),
            Reconnect::Always => *reason != DownReason::Requested,
        }
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ikev2_core::{Endpoint, Failure};
    use ipsec_types::Path;

    fn starts(reconnect: Reconnect) -> Starts {
        Starts::new(vec![Start { connection: "b".into(), reconnect }])
    }

    /// An IKE SA of a real endpoint: nobody else can name one.
    fn some_sa() -> IkeSaHandle {
        let config: crate::config::GatewayConfig = include_str!("../gateway-a.toml").parse().unwrap();
        let mut endpoint = Endpoint::new(config.endpoint.into(), Box::new(getrandom::SysRng));
        let path = Path::ike("10.9.0.1:500".parse().unwrap(), "10.9.0.2:500".parse().unwrap());
        endpoint.connect(Instant::ZERO, "b", path).unwrap()
    }

    fn timeout() -> DownReason {
        DownReason::Failed(Box::new(Failure::TooManyRetries(6)))
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_success() {
        let (mut starts, sa, mut now) = (starts(Reconnect::AfterFailure), some_sa(), Instant::ZERO);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert_eq!(starts.poll(now), Some(Due::Connection("b".into())));
            assert_eq!((starts.poll(now), starts.poll_timeout()), (None, None));
            starts.began("b", sa);
            let pause = starts.is_down(now, sa, &timeout()).unwrap();
            assert_eq!(starts.poll_timeout(), Some(now + pause));
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(starts.poll(now).is_some());
        starts.began("b", sa);
        starts.is_up(sa);
        assert_eq!(starts.is_down(now, sa, &timeout()), Some(SHORTEST_PAUSE));
    }

    #[test]
    fn what_ends_a_connection_decides_whether_it_comes_again() {
        let sa = some_sa();
        for (reconnect, reason, again) in [
            (Reconnect::Never, timeout(), false),
            (Reconnect::AfterFailure, timeout(), true),
            (Reconnect::AfterFailure, DownReason::DeletedByPeer, false),
            (Reconnect::AfterFailure, DownReason::Requested, false),
            (Reconnect::Always, DownReason::DeletedByPeer, true),
            (Reconnect::Always, DownReason::Rekeyed, false),
            (Reconnect::Always, DownReason::Redundant, false),
            (Reconnect::Always, DownReason::Requested, false),
        ] {
            for child in [false, true] {
                let mut starts = starts(reconnect);
                assert!(starts.poll(Instant::ZERO).is_some());
                starts.began("b", sa);
                let pause = if child {
                    starts.child_is_down(Instant::ZERO, sa, "net", Some(&reason))
                } else {
                    starts.is_down(Instant::ZERO, sa, &reason)
                };
                assert_eq!(pause.is_some(), again, "{reconnect:?} after {reason:?}");
                assert_eq!(starts.poll_timeout().is_some(), again);
            }
        }
    }

    #[test]
    fn what_goes_on_is_not_started() {
        let (mut starts, sa) = (starts(Reconnect::AfterFailure), some_sa());
        starts.goes_on("b", sa);
        assert_eq!(
            (starts.poll(Instant::ZERO), starts.poll_timeout(), starts.is_ours(sa)),
            (None, None, true)
        );
        assert!(starts.is_down(Instant::ZERO, sa, &timeout()).is_some());
    }

    #[test]
    fn a_child_that_failed_comes_again_while_its_ike_sa_lives() {
        let (mut starts, sa) = (starts(Reconnect::AfterFailure), some_sa());
        assert!(starts.poll(Instant::ZERO).is_some());
        starts.began("b", sa);
        assert_eq!(starts.child_is_down(Instant::ZERO, sa, "net", Some(&DownReason::IkeSaEnded)), None);
        let pause = starts.child_is_down(Instant::ZERO, sa, "net", None).unwrap();
        assert_eq!(starts.poll(Instant::ZERO), None);
        let due = Instant::ZERO + pause;
        assert_eq!(starts.poll(due), Some(Due::Child(sa, "net".into())));
        assert_eq!(starts.poll(due), None);
        assert!(starts.child_is_down(due, sa, "net", None).unwrap() > pause);
        assert!(starts.is_down(due, sa, &timeout()).is_some());
        let after = due + LONGEST_PAUSE;
        assert_eq!(starts.poll(after), Some(Due::Connection("b".into())));
        assert_eq!(starts.poll(after), None);
    }
}
