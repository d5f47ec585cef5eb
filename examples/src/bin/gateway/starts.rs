//! Connections that we start: at once, and again after a pause that doubles with each failure.

use ikev2_core::{DownReason, EndpointConfig, IkeSaHandle};
use ipsec_examples::config::{Reconnect, Start};
use ipsec_types::{Instant, Path};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One of them.
#[derive(Debug)]
pub(crate) struct Starting {
    pub(crate) start: Start,
    sa: Option<IkeSaHandle>,
    due: Option<Instant>,
    pause: Duration,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Starts(Vec<Starting>);

impl Starts {
    pub(crate) fn new(starts: Vec<Start>) -> Self {
        let due = Some(Instant::ZERO);
        Self(
            starts
                .into_iter()
                .map(|start| Starting { start, sa: None, due, pause: SHORTEST_PAUSE })
                .collect(),
        )
    }

    /// When the next one is to be started.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().filter_map(|starting| starting.due).min()
    }

    /// One that is to be started now; what became of it is told by [`Starting::began`] or [`Starting::failed`].
    pub(crate) fn due(&mut self, now: Instant) -> Option<&mut Starting> {
        self.0.iter_mut().find(|starting| starting.due.is_some_and(|due| due <= now))
    }

    fn of(&mut self, sa: IkeSaHandle) -> Option<&mut Starting> {
        self.0.iter_mut().find(|starting| starting.sa == Some(sa))
    }

    /// Whether we started this IKE SA, and so look after it.
    pub(crate) fn is_ours(&self, sa: IkeSaHandle) -> bool {
        self.0.iter().any(|starting| starting.sa == Some(sa))
    }

    /// It stands: the next pause is a short one.
    pub(crate) fn is_up(&mut self, sa: IkeSaHandle) {
        if let Some(starting) = self.of(sa) {
            starting.pause = SHORTEST_PAUSE;
        }
    }

    /// It ended; the pause until it is started again, if it is.
    pub(crate) fn is_down(&mut self, now: Instant, sa: IkeSaHandle, reason: &DownReason) -> Option<Duration> {
        let starting = self.of(sa)?;
        starting.sa = None;
        let again = match starting.start.reconnect {
            Reconnect::Never => false,
            Reconnect::AfterFailure => !matches!(reason, DownReason::Requested | DownReason::DeletedByPeer),
            Reconnect::Always => *reason != DownReason::Requested,
        };
        again.then(|| starting.failed(now))
    }

    /// Nothing is started any more.
    pub(crate) fn stop(&mut self) {
        self.0.clear();
    }
}

impl Starting {
    /// It has begun.
    pub(crate) fn began(&mut self, sa: IkeSaHandle) {
        (self.sa, self.due) = (Some(sa), None);
    }

    /// It has not begun, or ended; the pause until the next try.
    pub(crate) fn failed(&mut self, now: Instant) -> Duration {
        let pause = self.pause;
        (self.due, self.pause) = (Some(now + pause), (pause * 2).min(LONGEST_PAUSE));
        pause
    }

    /// The path of its first message, from one of our addresses.
    pub(crate) fn path(&self, config: &EndpointConfig, listen: &[IpAddr], ike_port: u16) -> Option<Path> {
        let connection = config.connections.iter().find(|c| c.name == self.start.connection)?;
        let remote = connection.remote_address?;
        let local = connection
            .local_address
            .or_else(|| listen.iter().find(|address| address.is_ipv4() == remote.is_ipv4()).copied())?;
        connection.initial_path(SocketAddr::new(local, ike_port), config)
    }
}
