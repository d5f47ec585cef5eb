//! A message as it leaves: in one datagram, or in fragments that are kept, sent and repeated together (RFC 7383
//! §2.5).

use super::datagram::Datagram;
use crate::error::MoveError;
use crate::saved::{Restoring, Saving};
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

    /// For an SA that moves.
    pub(super) fn save(&self, w: &mut Saving) {
        w.put_bool(matches!(self, Self::Fragments(_)));
        w.put_each(self.datagrams(), |w, datagram| w.put_octets(datagram.message()));
    }

    pub(super) fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        let fragmented = r.bool()?;
        let at = r.at();
        let datagrams = r.each(|r| Ok(Datagram::copy_from(r.octets()?)))?;
        match datagrams.as_slice() {
            [] => Err(r.value(at, "message")),
            [whole] if !fragmented => Ok(Self::Whole(whole.clone())),
            _ if fragmented => Ok(Self::Fragments(datagrams.into())),
            _ => Err(r.value(at, "message in one datagram")),
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
