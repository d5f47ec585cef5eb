//! The peer's requests: which Message IDs we take, and the answers that we keep for repeats (RFC 7296 §2.1 to
//! §2.3).
//!
//! A repeat is recognised by its octets before anything is decrypted: its keys may be gone by then, and work
//! for a repeat is work that anyone can cause. Of a request in fragments, fragment 1 stands for the whole (RFC
//! 7383 §2.6.1).

use super::outgoing::Outgoing;
use crate::error::MoveError;
use crate::saved::{Restoring, Saving};
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

/// What identifies the octets of a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RequestDigest([u8; 32]);

impl RequestDigest {
    /// Of the message without the non-ESP marker, which may differ between repeats.
    #[must_use]
    pub fn of(message: &[u8]) -> Self {
        Self(Sha256::digest(message).into())
    }
}

/// What a request's Message ID says about it, before it was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Not seen yet and inside the window.
    New,
    /// The same octets were answered: send the answer again.
    Repeat(Outgoing),
    /// The ID was answered, and this is a fragment 1 that was not seen: the peer tries smaller fragments if it is
    /// authentic, and then the answer is to be sent again (RFC 7383 §2.6.1).
    Refragmented(Outgoing),
    /// The ID was answered, and this is a later fragment: fragment 1 alone asks for the answer again.
    LaterFragment,
    /// The ID was answered, but for other octets: forged, damaged, or the peer is broken.
    Altered,
    /// Before the window: its answer is no longer kept.
    Old,
    /// Beyond the window.
    Ahead,
}

/// An answer kept for repeats of its request.
#[derive(Debug)]
struct Answered {
    message_id: u32,
    request: RequestDigest,
    answer: Outgoing,
    /// How often it was sent in this form.
    transmissions: u32,
}

impl Answered {
    fn save(&self, w: &mut Saving) {
        let Self { message_id, request: RequestDigest(digest), answer, transmissions } = self;
        w.put_u32(*message_id);
        w.put_octets(digest);
        answer.save(w);
        w.put_u32(*transmissions);
    }

    fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        let (message_id, request) = (r.u32()?, RequestDigest(r.array()?));
        Ok(Self { message_id, request, answer: Outgoing::restore(r)?, transmissions: r.u32()? })
    }
}

/// The responder's side of an IKE SA.
#[derive(Debug)]
pub struct ResponseWindow {
    /// The lowest ID that was not answered yet.
    expected: u32,
    size: u32,
    /// By Message ID. Most peers have a window of 1, and thousands of them are kept: the buffer has no room to spare.
    answered: Vec<Answered>,
}

impl ResponseWindow {
    /// We take up to `size` requests at once, from Message ID 0 on. As many answers are kept.
    #[must_use]
    pub fn new(size: u32) -> Self {
        Self { expected: 0, size: size.max(1), answered: Vec::new() }
    }

    /// For an SA that moves: with the answers, which the peer may ask for again. The size is what the peer was told.
    pub(super) fn save(&self, w: &mut Saving) {
        let Self { expected, size, answered } = self;
        w.put_u32(*expected);
        w.put_u32(*size);
        w.put_each(answered, |w, answered| answered.save(w));
    }

    pub(super) fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        let (expected, size) = (r.u32()?, r.u32()?.max(1));
        let at = r.at();
        let mut answered = r.each(Answered::restore)?;
        if !answered.is_sorted_by(|one, next| one.message_id < next.message_id) {
            return Err(r.value(at, "row of Message IDs"));
        }
        answered.shrink_to_fit();
        Ok(Self { expected, size, answered })
    }

    /// How many requests we take at once: what SET_WINDOW_SIZE has to say.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The lowest Message ID not answered yet.
    #[must_use]
    pub fn expected(&self) -> u32 {
        self.expected
    }

    /// Where the answer to a request is, or would be.
    fn position(&self, message_id: u32) -> Result<usize, usize> {
        self.answered.binary_search_by_key(&message_id, |answered| answered.message_id)
    }

    fn find(&self, message_id: u32) -> Option<&Answered> {
        self.position(message_id).ok().and_then(|at| self.answered.get(at))
    }

    fn find_mut(&mut self, message_id: u32) -> Option<&mut Answered> {
        self.position(message_id).ok().and_then(|at| self.answered.get_mut(at))
    }

    /// Judges a request by its ID and its octets, and by its Fragment Number if it is a fragment.
    #[must_use]
    pub fn judge(&self, message_id: u32, request: &RequestDigest, fragment: Option<u16>) -> Standing {
        if let Some(Answered { request: known, answer, .. }) = self.find(message_id) {
            return match fragment {
                _ if known == request => Standing::Repeat(answer.clone()),
                Some(1) => Standing::Refragmented(answer.clone()),
                Some(_) => Standing::LaterFragment,
                None => Standing::Altered,
            };
        }
        if message_id < self.expected {
            Standing::Old
        } else if message_id - self.expected < self.size {
            Standing::New
        } else {
            Standing::Ahead
        }
    }

    /// Keeps the answer to a request, and forgets the answers that the peer can no longer ask for.
    pub fn answer(&mut self, message_id: u32, request: RequestDigest, answer: Outgoing) {
        if message_id == self.expected {
            let mut next = message_id.saturating_add(1);
            while next < u32::MAX && self.find(next).is_some() {
                next = next.saturating_add(1);
            }
            self.expected = next;
        }
        // A peer that sends ID n has the answers up to n - size (§2.3).
        let oldest = self.expected.saturating_sub(self.size);
        self.answered.retain(|answered| answered.message_id >= oldest && answered.message_id != message_id);
        if message_id >= oldest {
            let at = self.position(message_id).unwrap_or_else(|at| at);
            self.answered.reserve_exact(1);
            self.answered.insert(at, Answered { message_id, request, answer, transmissions: 1 });
        }
    }

    /// A kept answer is sent again. Gives how often it was sent in its form before.
    pub fn repeated(&mut self, message_id: u32) -> u32 {
        let Some(answered) = self.find_mut(message_id) else { return 0 };
        let before = answered.transmissions;
        answered.transmissions = before.saturating_add(1);
        before
    }

    /// The request is known by these octets from now on, since its sender fragmented it anew.
    pub fn refragmented(&mut self, message_id: u32, request: RequestDigest) {
        if let Some(answered) = self.find_mut(message_id) {
            answered.request = request;
        }
    }

    /// The kept answer takes another form, and begins to be counted anew.
    pub fn replace(&mut self, message_id: u32, answer: Outgoing) {
        if let Some(answered) = self.find_mut(message_id) {
            answered.answer = answer;
            answered.transmissions = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::datagram::Datagram;
    use super::*;

    fn answer(text: &[u8]) -> Outgoing {
        let mut buffer = Datagram::buffer(text.len());
        buffer.extend_from_slice(text);
        Datagram::finish(buffer).into()
    }

    fn digest(text: &[u8]) -> RequestDigest {
        RequestDigest::of(text)
    }

    #[test]
    fn only_the_same_octets_are_a_repeat() {
        let mut window = ResponseWindow::new(1);
        assert_eq!(window.judge(0, &digest(b"a"), None), Standing::New);
        window.answer(0, digest(b"a"), answer(b"A"));
        assert_eq!(window.judge(0, &digest(b"a"), None), Standing::Repeat(answer(b"A")));
        assert_eq!(window.judge(0, &digest(b"b"), None), Standing::Altered);
        assert_eq!(window.judge(1, &digest(b"b"), None), Standing::New);
        assert_eq!(window.judge(2, &digest(b"b"), None), Standing::Ahead);
        window.answer(1, digest(b"b"), answer(b"B"));
        assert_eq!(window.judge(0, &digest(b"a"), None), Standing::Old);
    }

    #[test]
    fn a_wider_window_takes_requests_in_any_order_and_keeps_as_many_answers() {
        let mut window = ResponseWindow::new(3);
        window.answer(2, digest(b"c"), answer(b"C"));
        assert_eq!(window.expected(), 0);
        assert_eq!(window.judge(3, &digest(b"d"), None), Standing::Ahead);
        window.answer(0, digest(b"a"), answer(b"A"));
        window.answer(1, digest(b"b"), answer(b"B"));
        assert_eq!(window.expected(), 3);
        assert_eq!(window.answered.len(), 3);
        window.answer(3, digest(b"d"), answer(b"D"));
        assert_eq!(window.answered.len(), 3);
        assert_eq!(window.judge(0, &digest(b"a"), None), Standing::Old);
    }

    #[test]
    fn the_last_message_id_is_taken_once() {
        let mut window = ResponseWindow::new(1);
        window.expected = u32::MAX;
        assert_eq!(window.judge(u32::MAX, &digest(b"a"), None), Standing::New);
        assert_eq!(window.judge(0, &digest(b"a"), None), Standing::Old);
        window.answer(u32::MAX, digest(b"a"), answer(b"A"));
        assert_eq!(window.judge(u32::MAX, &digest(b"a"), None), Standing::Repeat(answer(b"A")));
        assert_eq!(window.judge(u32::MAX, &digest(b"b"), None), Standing::Altered);
    }

    /// RFC 7383 §2.6.1: fragment 1 alone asks for the answer again.
    #[test]
    fn of_an_answered_request_only_fragment_1_is_a_repeat() {
        let mut window = ResponseWindow::new(1);
        assert_eq!(window.judge(0, &digest(b"1"), Some(2)), Standing::New);
        window.answer(0, digest(b"1"), answer(b"A"));
        assert_eq!(window.judge(0, &digest(b"1"), Some(1)), Standing::Repeat(answer(b"A")));
        assert_eq!(window.judge(0, &digest(b"2"), Some(2)), Standing::LaterFragment);
        assert_eq!(window.judge(0, &digest(b"x"), Some(1)), Standing::Refragmented(answer(b"A")));
        window.refragmented(0, digest(b"x"));
        assert_eq!(window.judge(0, &digest(b"x"), Some(1)), Standing::Repeat(answer(b"A")));
    }

    #[test]
    fn the_transmissions_of_an_answer_are_counted_for_each_form() {
        let mut window = ResponseWindow::new(1);
        window.answer(0, digest(b"a"), answer(b"A"));
        assert_eq!((window.repeated(0), window.repeated(0), window.repeated(7)), (1, 2, 0));
        window.replace(0, answer(b"B"));
        assert_eq!((window.repeated(0), window.repeated(0)), (0, 1));
        assert_eq!(window.judge(0, &digest(b"a"), None), Standing::Repeat(answer(b"B")));
    }
}
