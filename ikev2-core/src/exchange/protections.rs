//! The keys of an IKE SA's messages while they change from one exchange to the next, which they do until it is
//! authenticated (RFC 9370 §2.2.2): an answer stays under the keys that its request had, as long as it may be asked for
//! again.

use super::protect::Protection;
use crate::error::MoveError;
use crate::saved::{Restoring, Saving};
use alloc::boxed::Box;

/// The keys in use, and those of before while the peer may ask for their last answer.
#[derive(Debug)]
pub struct Protections {
    current: Protection,
    former: Option<Box<Former>>,
}

/// The keys before the last change.
#[derive(Debug)]
struct Former {
    protection: Protection,
    /// The Message ID of the last answer that they protect.
    last: u32,
}

impl Protections {
    /// With the first keys.
    #[must_use]
    pub fn new(current: Protection) -> Self {
        Self { current, former: None }
    }

    /// Of everything from here on.
    #[must_use]
    pub fn current(&self) -> &Protection {
        &self.current
    }

    /// The same, to seal by.
    pub fn current_mut(&mut self) -> &mut Protection {
        &mut self.current
    }

    /// From here on everything has these keys; `last` is the answer, if any, that the peer may still ask for under those
    /// of before.
    pub fn change(&mut self, next: Protection, last: Option<u32>) {
        let protection = core::mem::replace(&mut self.current, next);
        self.former = last.map(|last| Box::new(Former { protection, last }));
    }

    /// For an SA that moves, whose keys change no more.
    pub(crate) fn save(&self, w: &mut Saving) {
        let Self { current, former: _ } = self;
        current.save(w);
    }

    /// The same of an SA that came.
    pub(crate) fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        Ok(Self::new(Protection::restore(r)?))
    }

    /// The peer has shown that it has the keys in use, and with them the last answer of before.
    pub fn confirm(&mut self) {
        self.former = None;
    }

    /// What protects the answer with this Message ID, and its request; `None` where that is gone.
    pub fn of_answer(&mut self, message_id: u32) -> Option<&mut Protection> {
        match &mut self.former {
            Some(former) if message_id <= former.last => {
                (message_id == former.last).then_some(&mut former.protection)
            }
            _ => Some(&mut self.current),
        }
    }
}
