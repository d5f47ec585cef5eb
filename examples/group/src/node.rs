//! One end of a group behind the five verbs.

use crate::group::{Event, Group};
use ikev2_core::endpoint::Shell;
use ikev2_core::{CallError, EndpointConfig, Handled, IkeSaHandle, Rejection, Statistics, Transmit};
use ikev2_wire::codes::KeyWrapId;
use ipsec_crypto::SecureRandom;
use ipsec_types::{Instant, Path};
use std::sync::Arc;

/// A controller or a member.
#[derive(Debug)]
pub struct Node(Shell<Group>);

impl Node {
    /// One without any SA.
    #[must_use]
    pub fn new(config: EndpointConfig, random: Box<dyn SecureRandom>, group: Group) -> Self {
        Self(Shell::new(Arc::new(config), random, group))
    }

    /// Bytes in.
    ///
    /// # Errors
    /// [`Rejection`].
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
    ) -> Result<Handled, Rejection> {
        self.0.handle_datagram(now, path, datagram)
    }

    /// Time in.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    /// Bytes out.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.0.poll_transmit()
    }

    /// What the embedder must know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.0.poll_event()
    }

    /// When to call [`Node::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    /// What was counted.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        self.0.statistics()
    }

    /// SAs, and how many of them are half open.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.0.sas().count(), self.0.half_open())
    }

    /// The key wrap algorithm that IKE_SA_INIT agreed on, once the SA is up.
    #[must_use]
    pub fn key_wrap(&self, sa: IkeSaHandle) -> Option<KeyWrapId> {
        self.0.sa(sa)?.key_wrap
    }

    /// As member: begins to join.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn join(&mut self, now: Instant, path: Path) -> Result<IkeSaHandle, CallError> {
        self.0.advance(now);
        self.0.initiate(|group, services, handle, spi| group.join(services, handle, spi, path))
    }

    /// Asks the other end something.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn ask(&mut self, now: Instant, sa: IkeSaHandle, what: &[u8]) -> Result<(), CallError> {
        self.0.advance(now);
        self.0.check_events()?;
        let asked = self.0.with_sa(sa, |group, services, sa| group.ask(services, sa, what));
        asked.unwrap_or(Err(CallError::NoSuchSa))
    }

    /// As controller: tells all who are reached by these paths.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn announce(&mut self, now: Instant, paths: &[Path], news: &[u8]) -> Result<(), CallError> {
        self.0.advance(now);
        self.0.with_protocol(|group, services| group.announce(services, paths, news))
    }
}
