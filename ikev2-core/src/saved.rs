//! What an IKE SA is written by and read by when it moves: fields of a [state](ipsec_crypto::state), and what they are
//! relative to.
//!
//! Everything that is written is taken apart to its last field: what gets another one says there what becomes of it.

use crate::config::Connection;
use crate::error::MoveError;
use alloc::string::ToString;
use core::ops::{Deref, DerefMut};
use core::time::Duration;
use ipsec_crypto::state::{StateError, StateReader, StateWriter};
use ipsec_crypto::{CipherAlgorithm, CryptoProvider};
use ipsec_types::Instant;
use ipsec_types::algorithm::CipherSuite;

/// Writes. Moments are written by how far they are from now.
pub(crate) struct Saving {
    pub writer: StateWriter,
    pub now: Instant,
}

impl Saving {
    pub(crate) fn put_time(&mut self, at: Instant) {
        let now = self.now;
        self.put_bool(at > now);
        self.put_duration(if at > now { at.saturating_since(now) } else { now.saturating_since(at) });
    }

    /// The moment, if there is one.
    pub(crate) fn put_times<const N: usize>(&mut self, moments: [Option<Instant>; N]) {
        for at in moments {
            self.put_bool(at.is_some());
            if let Some(at) = at {
                self.put_time(at);
            }
        }
    }

    /// How many there are, and each.
    pub(crate) fn put_each<T>(&mut self, values: &[T], mut put: impl FnMut(&mut Self, &T)) {
        self.put_u32(u32::try_from(values.len()).unwrap_or(u32::MAX));
        values.iter().for_each(|value| put(self, value));
    }
}

impl Deref for Saving {
    type Target = StateWriter;

    fn deref(&self) -> &StateWriter {
        &self.writer
    }
}

impl DerefMut for Saving {
    fn deref_mut(&mut self) -> &mut StateWriter {
        &mut self.writer
    }
}

/// Reads.
pub(crate) struct Restoring<'a> {
    pub reader: StateReader<'a>,
    pub now: Instant,
    /// What passed since it was written.
    pub since: Duration,
    pub crypto: &'static CryptoProvider,
    pub connection: &'a Connection,
}

impl<'a> Restoring<'a> {
    /// A moment that would be before the origin is the origin.
    pub(crate) fn time(&mut self) -> Result<Instant, StateError> {
        let (is_ahead, distance) = (self.bool()?, self.duration()?);
        let ago = if is_ahead {
            match distance.checked_sub(self.since) {
                Some(left) => return Ok(self.now + left),
                None => self.since.saturating_sub(distance),
            }
        } else {
            self.since.saturating_add(distance)
        };
        Ok(Instant::from_origin(self.now.since_origin().saturating_sub(ago)))
    }

    pub(crate) fn times<const N: usize>(&mut self) -> Result<[Option<Instant>; N], StateError> {
        let mut moments = [None; N];
        for at in &mut moments {
            if self.bool()? {
                *at = Some(self.time()?);
            }
        }
        Ok(moments)
    }

    /// As many as there are; each has an octet at least.
    pub(crate) fn each<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, MoveError>,
    ) -> Result<alloc::vec::Vec<T>, MoveError> {
        let count = self.u32()?;
        // What is not there ends the loop at once.
        (0..count).map(|_| read(self)).collect()
    }

    /// So many octets.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let at = self.at();
        self.octets()?.try_into().map_err(|_| StateError::Value { at, what: "field of this length" })
    }

    /// The cipher that protects IKE messages.
    pub(crate) fn cipher(&mut self) -> Result<&'static dyn CipherAlgorithm, MoveError> {
        let suite: CipherSuite = self.suite()?;
        let found = self.crypto.cipher(suite).filter(|cipher| cipher.for_ike());
        found.ok_or_else(|| MoveError::Algorithm(suite.to_string()))
    }

    /// An error about what was just read.
    pub(crate) fn value(&self, at: usize, what: &'static str) -> MoveError {
        StateError::Value { at, what }.into()
    }
}

impl<'a> Deref for Restoring<'a> {
    type Target = StateReader<'a>;

    fn deref(&self) -> &StateReader<'a> {
        &self.reader
    }
}

impl DerefMut for Restoring<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.reader
    }
}
