//! A message as it leaves: in one datagram, or in fragments that are kept, sent and repeated together (RFC 7383
//! §2.5).

use super::datagram::Datagram;
use alloc::sync::Arc;
use core::slice;

/// A message that can be sent any number of times. Copies share the octets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outgoing {
    /// In one datagram.
    Whole(Datagram),
    /// In fragments, number 1 first.
    Fragments(Arc<[Datagram]>),
}

impl Outgoing {
    /// What is sent, in this order.
    #[must_use]
    pub fn datagrams(&self) -> &[Datagram] {
        match self {
            Self::Whole(datagram) => slice::from_ref(datagram),
            Self::Fragments(datagrams) => datagrams,
        }
    }

    /// The octets of all its datagrams, without the non-ESP markers.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.datagrams().iter().map(|datagram| datagram.message().len()).sum()
    }

    /// The octets of its largest datagram, without the non-ESP marker.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.datagrams().iter().map(|datagram| datagram.message().len()).max().unwrap_or(0)
    }
}

impl From<Datagram> for Outgoing {
    fn from(datagram: Datagram) -> Self {
        Self::Whole(datagram)
    }
}
