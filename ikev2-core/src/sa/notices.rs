//! Notifies whose data is made as they are: they hold it until the message is encoded.

use alloc::vec::Vec;
use ikev2_wire::codes::NotifyType;
use ikev2_wire::{NotifyPayload, Payload};

/// Notifies about no SA in particular, in the order in which they are sent.
#[derive(Debug, Default)]
pub(crate) struct Notices(Vec<(NotifyType, Vec<u8>)>);

impl Notices {
    /// One more.
    pub(crate) fn add(&mut self, ty: NotifyType, data: impl Into<Vec<u8>>) {
        self.0.push((ty, data.into()));
    }

    /// Puts them behind these payloads.
    pub(crate) fn push_to<'a>(&'a self, payloads: &mut Vec<Payload<'a>>) {
        payloads.extend(self.0.iter().map(|(ty, data)| Payload::Notify(NotifyPayload::new(*ty, data))));
    }
}
