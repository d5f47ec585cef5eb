//! A finished message. It is kept with the non-ESP marker in front, and leaves with or without it as the path
//! demands, so that one copy serves retransmissions on both ports (RFC 7296 §2.23).

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use ipsec_types::PathKind;
use ipsec_types::udp::NON_ESP_MARKER;

/// A message that can be sent, any number of times, on either of IKE's ports.
#[derive(Clone, PartialEq, Eq)]
pub struct Datagram(Bytes);

impl Datagram {
    /// Where the message begins in a buffer.
    pub(super) const MESSAGE_AT: usize = NON_ESP_MARKER.len();

    /// A buffer to write a message into: it starts with the marker. Hand it to [`Datagram::finish`].
    #[must_use]
    pub fn buffer(capacity: usize) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(capacity.saturating_add(NON_ESP_MARKER.len()));
        buffer.extend_from_slice(&NON_ESP_MARKER);
        buffer
    }

    /// Takes over a buffer made by [`Datagram::buffer`] with a message behind the marker.
    #[must_use]
    pub fn finish(buffer: Vec<u8>) -> Self {
        debug_assert!(buffer.starts_with(&NON_ESP_MARKER));
        // A copy has no spare capacity to carry through the life of a kept answer, and costs less than to shrink.
        Self(Bytes::copy_from_slice(&buffer))
    }

    /// A copy of a message that was received.
    #[must_use]
    pub fn copy_from(message: &[u8]) -> Self {
        let mut buffer = Self::buffer(message.len());
        buffer.extend_from_slice(message);
        Self::finish(buffer)
    }

    /// The IKE message.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.0.get(NON_ESP_MARKER.len()..).unwrap_or_default()
    }

    /// What to hand to the socket of a path of this kind.
    #[must_use]
    pub fn for_path(&self, kind: PathKind) -> Bytes {
        match kind {
            PathKind::NatT => self.0.clone(),
            PathKind::Ike => self.0.slice(NON_ESP_MARKER.len().min(self.0.len())..),
        }
    }
}

impl fmt::Debug for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Datagram({} octets)", self.message().len())
    }
}
