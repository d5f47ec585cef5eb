//! A packet in a buffer that has room on both sides of it.

use core::fmt;
use core::ops::Range;
use thiserror::Error;

/// The buffer has too little room around the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error(
    "the packet needs {headroom_needed} octets of headroom and {tailroom_needed} of tailroom, \
     and has {headroom} and {tailroom}"
)]
pub struct NoRoom {
    /// Octets that are needed in front of the packet.
    pub headroom_needed: usize,
    /// Octets that are needed behind the packet.
    pub tailroom_needed: usize,
    /// Octets that are there in front of the packet.
    pub headroom: usize,
    /// Octets that are there behind the packet.
    pub tailroom: usize,
}

/// One packet and the room around it, borrowed exclusively: sealing lets the packet grow at both ends,
/// opening lets it shrink, and its payload never moves.
///
/// ```
/// use ipsec_esp::PacketBuf;
/// let mut storage = [0u8; 64];
/// storage[20..24].copy_from_slice(b"data");
/// let packet = PacketBuf::new(&mut storage, 20..24).unwrap();
/// assert_eq!((packet.as_slice(), packet.headroom(), packet.tailroom()), (&b"data"[..], 20, 40));
/// ```
pub struct PacketBuf<'a> {
    storage: &'a mut [u8],
    /// Invariant: `start <= end <= storage.len()`.
    start: usize,
    end: usize,
}

impl<'a> PacketBuf<'a> {
    /// The packet that lies at `packet` in `storage`; `None` where that is outside of it.
    #[must_use]
    pub fn new(storage: &'a mut [u8], packet: Range<usize>) -> Option<Self> {
        let Range { start, end } = packet;
        (start <= end && end <= storage.len()).then_some(Self { storage, start, end })
    }

    /// A packet without room around it, as it is received.
    #[must_use]
    pub fn whole(packet: &'a mut [u8]) -> Self {
        let end = packet.len();
        Self { storage: packet, start: 0, end }
    }

    /// The packet.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.storage.get(self.start..self.end).unwrap_or_default()
    }

    /// The packet.
    #[must_use]
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.storage.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Where in the storage the packet lies.
    #[must_use]
    pub const fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Octets of the packet.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether the packet has no octets.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Octets of room in front of the packet.
    #[must_use]
    pub const fn headroom(&self) -> usize {
        self.start
    }

    /// Octets of room behind the packet.
    #[must_use]
    pub const fn tailroom(&self) -> usize {
        self.storage.len() - self.end
    }

    /// Lets the packet grow by so many octets at each end. What they hold is whatever lay there.
    ///
    /// # Errors
    /// [`NoRoom`], and nothing has changed.
    #[inline]
    pub fn grow(&mut self, front: usize, back: usize) -> Result<(), NoRoom> {
        let no_room = NoRoom {
            headroom_needed: front,
            tailroom_needed: back,
            headroom: self.headroom(),
            tailroom: self.tailroom(),
        };
        if front > no_room.headroom || back > no_room.tailroom {
            return Err(no_room);
        }
        self.start -= front;
        self.end += back;
        Ok(())
    }

    /// Cuts `cut` octets off the packet's start, and lets what is left grow as [`PacketBuf::grow`] does.
    #[inline]
    pub(crate) fn reshape(&mut self, cut: usize, front: usize, back: usize) -> Result<(), NoRoom> {
        let cut = cut.min(self.len());
        self.grow(front.saturating_sub(cut), back)?;
        self.start += cut.saturating_sub(front);
        Ok(())
    }

    /// What lies in the `octets` octets in front of the packet.
    pub(crate) fn before(&self, octets: usize) -> Option<&[u8]> {
        self.storage.get(self.start.checked_sub(octets)?..self.start)
    }

    /// Lets the packet lie where it lay before, when its [`PacketBuf::range`] was this.
    pub(crate) fn restore(&mut self, range: Range<usize>) {
        if range.start <= range.end && range.end <= self.storage.len() {
            (self.start, self.end) = (range.start, range.end);
        }
    }

    /// Narrows the packet to a part of it, counted from its own start. `false`, and no change, where the part
    /// is not within.
    #[must_use]
    #[inline]
    pub fn narrow(&mut self, part: Range<usize>) -> bool {
        let within = part.start <= part.end && part.end <= self.len();
        if within {
            self.end = self.start + part.end;
            self.start += part.start;
        }
        within
    }
}

impl fmt::Debug for PacketBuf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PacketBuf({} | {} | {} octets)", self.headroom(), self.len(), self.tailroom())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_narrows_within_its_storage() {
        let mut storage = [0u8; 10];
        assert!(PacketBuf::new(&mut storage, 4..11).is_none());
        let reversed = Range { start: 6, end: 4 };
        assert!(PacketBuf::new(&mut storage, reversed).is_none());
        let mut packet = PacketBuf::new(&mut storage, 4..6).unwrap();
        assert!(
            packet.grow(5, 0).is_err() && packet.grow(0, 5).is_err() && packet.grow(usize::MAX, 0).is_err()
        );
        assert_eq!(packet.range(), 4..6);
        packet.grow(4, 3).unwrap();
        assert_eq!(packet.range(), 0..9);
        assert!(!packet.narrow(0..10) && !packet.narrow(Range { start: 3, end: 2 }));
        assert!(packet.narrow(1..3));
        assert_eq!(packet.range(), 1..3);
        assert!(packet.narrow(2..2) && packet.is_empty());
    }
}
