//! Our requests: their Message IDs, how many the peer takes at once, and their repeats until an answer comes
//! (RFC 7296 §2.1 to §2.4).

use super::outgoing::Outgoing;
use super::retransmit::RetransmitPolicy;
use crate::error::MoveError;
use crate::saved::{Restoring, Saving};
use alloc::vec::Vec;
use ipsec_types::Instant;

/// A request that waits for its answer. `T` is what the answer will be needed for.
#[derive(Debug)]
struct InFlight<T> {
    message_id: u32,
    message: Outgoing,
    purpose: T,
    transmissions: u32,
    sent_first: Instant,
    repeat_at: Instant,
}

/// What became of a request whose time had come.
#[derive(Debug)]
pub enum Due<T> {
    /// Send it once more, octet for octet the same (§2.1), unless it is time for smaller fragments.
    Repeat {
        /// Its Message ID.
        message_id: u32,
        /// What was sent.
        message: Outgoing,
        /// How often.
        transmissions: u32,
    },
    /// It was repeated as often as the policy allows: the exchange has failed.
    Exhausted(T),
}

/// The requester's side of an IKE SA.
#[derive(Debug)]
pub struct RequestWindow<T> {
    next_id: u32,
    size: u32,
    in_flight: Vec<InFlight<T>>,
}

impl<T> Default for RequestWindow<T> {
    fn default() -> Self {
        Self { next_id: 0, size: 1, in_flight: Vec::new() }
    }
}

impl<T> RequestWindow<T> {
    /// A window whose next request has this Message ID: the ones before it were answered elsewhere.
    #[must_use]
    pub fn from_id(next_id: u32) -> Self {
        Self { next_id, ..Self::default() }
    }

    /// For an SA that moves, none of whose requests is out.
    pub(super) fn save(&self, w: &mut Saving) {
        let Self { next_id, size, in_flight: _ } = self;
        w.put_u32(*next_id);
        w.put_u32(*size);
    }

    pub(super) fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        Ok(Self { next_id: r.u32()?, size: r.u32()?.max(1), in_flight: Vec::new() })
    }

    /// The Message ID that the next request gets.
    #[must_use]
    pub fn next_id(&self) -> u32 {
        self.next_id
    }

    /// Whether every Message ID was used: they never wrap, the SA must be closed or rekeyed before (§2.2).
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.next_id == u32::MAX
    }

    /// Whether the peer takes another request now. IDs outside `[oldest unanswered, oldest + size)` must not
    /// be sent (§2.3).
    #[must_use]
    pub fn can_send(&self) -> bool {
        let oldest = self.in_flight.iter().map(|r| r.message_id).min().unwrap_or(self.next_id);
        !self.is_exhausted() && self.next_id.wrapping_sub(oldest) < self.size
    }

    /// Whether any request waits for an answer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// The peer said how many requests it takes at once (SET_WINDOW_SIZE, §2.3). It may only grow.
    pub fn set_size(&mut self, size: u32) {
        self.size = self.size.max(size);
    }

    /// Records a request as sent under [`RequestWindow::next_id`].
    pub fn sent(&mut self, now: Instant, message: Outgoing, purpose: T, policy: &RetransmitPolicy) {
        self.in_flight.push(InFlight {
            message_id: self.next_id,
            message,
            purpose,
            transmissions: 1,
            sent_first: now,
            repeat_at: now + policy.pause(0),
        });
        self.next_id = self.next_id.saturating_add(1);
    }

    /// Records other octets under an ID that is in flight, and begins to count repeats anew: IKE_SA_INIT starts
    /// over with a cookie or another key exchange method under Message ID 0 (§2.6, §1.2), and a message is
    /// tried in smaller fragments (RFC 7383 §2.5.2).
    pub fn replace(&mut self, now: Instant, message_id: u32, message: Outgoing, policy: &RetransmitPolicy) {
        if let Some(request) = self.in_flight.iter_mut().find(|r| r.message_id == message_id) {
            request.message = message;
            request.transmissions = 1;
            request.repeat_at = now + policy.pause(0);
        }
    }

    /// Makes what waits for an answer due at once, and begins to count its repeats anew: it goes by another path from now
    /// on (RFC 4555 §3.5).
    pub fn hasten(&mut self, now: Instant) {
        for request in &mut self.in_flight {
            request.transmissions = 0;
            request.repeat_at = now;
        }
    }

    /// What the request with this ID is for, if it waits for an answer.
    #[must_use]
    pub fn get(&self, message_id: u32) -> Option<&T> {
        self.in_flight.iter().find(|r| r.message_id == message_id).map(|r| &r.purpose)
    }

    /// The answer came: the request is over. Gives what it was for and when it was first sent.
    pub fn answered(&mut self, message_id: u32) -> Option<(T, Instant)> {
        let at = self.in_flight.iter().position(|r| r.message_id == message_id)?;
        let request = self.in_flight.swap_remove(at);
        self.release();
        Some((request.purpose, request.sent_first))
    }

    /// An SA is idle most of its life, and thousands of them are kept.
    fn release(&mut self) {
        if self.in_flight.is_empty() {
            self.in_flight = Vec::new();
        }
    }

    /// Forgets every request: the SA ends.
    pub fn clear(&mut self) -> impl Iterator<Item = T> + use<T> {
        core::mem::take(&mut self.in_flight).into_iter().map(|r| r.purpose)
    }

    /// What waits for an answer, in no order.
    pub fn purposes(&self) -> impl Iterator<Item = &T> {
        self.in_flight.iter().map(|r| &r.purpose)
    }

    /// When the next repeat is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.in_flight.iter().map(|r| r.repeat_at).min().filter(|at| *at < Instant::MAX)
    }

    /// Takes one request whose time has come; call it until it gives `None`.
    pub fn due(&mut self, now: Instant, policy: &RetransmitPolicy) -> Option<Due<T>> {
        // The end of time never comes: what lies there is never due.
        let due = |r: &InFlight<T>| r.repeat_at <= now && r.repeat_at < Instant::MAX;
        let at = self.in_flight.iter().position(due)?;
        let request = self.in_flight.get_mut(at)?;
        if request.transmissions > policy.repeats {
            return Some(Due::Exhausted(self.in_flight.swap_remove(at).purpose));
        }
        let transmissions = request.transmissions;
        request.repeat_at = now + policy.pause(transmissions);
        request.transmissions = transmissions.saturating_add(1);
        Some(Due::Repeat { message_id: request.message_id, message: request.message.clone(), transmissions })
    }
}

#[cfg(test)]
mod tests {
    use super::super::datagram::Datagram;
    use super::*;
    use core::time::Duration;

    fn message() -> Outgoing {
        Datagram::finish(Datagram::buffer(0)).into()
    }

    #[test]
    fn a_window_of_one_waits_for_the_answer() {
        let (mut window, policy) = (RequestWindow::default(), RetransmitPolicy::default());
        assert!(window.can_send());
        window.sent(Instant::ZERO, message(), "first", &policy);
        assert!(!window.can_send());
        assert_eq!(window.answered(1), None);
        assert_eq!(window.answered(0), Some(("first", Instant::ZERO)));
        assert!(window.can_send() && window.next_id() == 1);
    }

    /// The window is measured from the oldest unanswered request, whatever was answered after it.
    #[test]
    fn a_gap_holds_the_window_back() {
        let (mut window, policy) = (RequestWindow::default(), RetransmitPolicy::default());
        window.set_size(3);
        for purpose in 0..3 {
            assert!(window.can_send());
            window.sent(Instant::ZERO, message(), purpose, &policy);
        }
        assert!(!window.can_send());
        assert!(window.answered(1).is_some() && window.answered(2).is_some());
        assert!(!window.can_send());
        assert!(window.answered(0).is_some() && window.can_send());
    }

    #[test]
    fn a_request_is_repeated_and_then_given_up() {
        let policy = RetransmitPolicy { repeats: 2, ..RetransmitPolicy::default() };
        let mut window = RequestWindow::default();
        window.sent(Instant::ZERO, message(), (), &policy);
        assert!(window.due(Instant::ZERO, &policy).is_none());
        let mut now = Instant::ZERO;
        for _ in 0..2 {
            let next = window.deadline().unwrap();
            assert!(next > now);
            now = next;
            assert!(matches!(window.due(now, &policy), Some(Due::Repeat { .. })));
            assert!(window.due(now, &policy).is_none());
        }
        now = window.deadline().unwrap() + Duration::ZERO;
        assert!(matches!(window.due(now, &policy), Some(Due::Exhausted(()))));
        assert_eq!(window.deadline(), None);
    }

    #[test]
    fn message_ids_never_wrap() {
        let (mut window, policy) = (RequestWindow::default(), RetransmitPolicy::default());
        window.next_id = u32::MAX - 1;
        assert!(window.can_send());
        window.sent(Instant::ZERO, message(), (), &policy);
        window.answered(u32::MAX - 1);
        assert!(window.is_exhausted() && !window.can_send());
    }
}
