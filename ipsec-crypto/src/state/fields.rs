//! The fields inside of a container.

use super::StateError;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use zeroize::Zeroizing;

/// Writes the fields of a state one after another. What it holds is wiped when dropped, also when it grows.
#[derive(Default)]
pub struct StateWriter(Zeroizing<Vec<u8>>);

impl StateWriter {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All fields so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// One octet.
    pub fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    /// Two octets in network order.
    pub fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    /// Four octets in network order.
    pub fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// Eight octets in network order.
    pub fn put_u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    /// One octet, 0 or 1.
    pub fn put_bool(&mut self, value: bool) {
        self.put_u8(u8::from(value));
    }

    /// Whole nanoseconds; what is over 584 years becomes that.
    pub fn put_duration(&mut self, value: Duration) {
        self.put_u64(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Four octets of length and the octets.
    pub fn put_octets(&mut self, octets: &[u8]) {
        self.put_u32(u32::try_from(octets.len()).unwrap_or(u32::MAX));
        self.put(octets);
    }

    /// The family, 4 or 6, and the address.
    pub fn put_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                self.put_u8(4);
                self.put(&address.octets());
            }
            IpAddr::V6(address) => {
                self.put_u8(6);
                self.put(&address.octets());
            }
        }
    }

    /// The address and the port.
    pub fn put_socket_address(&mut self, address: SocketAddr) {
        self.put_address(address.ip());
        self.put_u16(address.port());
    }

    /// Whether there is a value, and the value.
    pub fn put_option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.put_bool(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
    }

    /// How many there are, and each.
    pub fn put_list<T>(&mut self, values: &[T], mut put: impl FnMut(&mut Self, &T)) {
        self.put_u32(u32::try_from(values.len()).unwrap_or(u32::MAX));
        values.iter().for_each(|value| put(self, value));
    }

    fn put(&mut self, octets: &[u8]) {
        let needed = self.0.len() + octets.len();
        if needed > self.0.capacity() {
            // Not by `Vec`, which would leave the octets where they were.
            let mut larger = Zeroizing::new(Vec::with_capacity((2 * needed).max(512)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(octets);
    }
}

impl core::fmt::Debug for StateWriter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StateWriter").field("octets", &self.0.len()).finish()
    }
}

/// Reads the fields of a state in the order in which they were written.
pub struct StateReader<'a> {
    state: &'a [u8],
    at: usize,
}

impl<'a> StateReader<'a> {
    /// At the first field.
    #[must_use]
    pub const fn new(state: &'a [u8]) -> Self {
        Self { state, at: 0 }
    }

    /// Where the next field begins.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// Sees that there is no further field.
    ///
    /// # Errors
    /// [`StateError::Surplus`].
    pub const fn finish(self) -> Result<(), StateError> {
        if self.at == self.state.len() { Ok(()) } else { Err(StateError::Surplus { at: self.at }) }
    }

    /// One octet.
    ///
    /// # Errors
    /// [`StateError::Truncated`], as each of these has.
    pub fn u8(&mut self) -> Result<u8, StateError> {
        self.array().map(|[octet]| octet)
    }

    /// Two octets in network order.
    ///
    /// # Errors
    /// [`StateError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, StateError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four octets in network order.
    ///
    /// # Errors
    /// [`StateError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, StateError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight octets in network order.
    ///
    /// # Errors
    /// [`StateError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, StateError> {
        self.array().map(u64::from_be_bytes)
    }

    /// One octet, 0 or 1.
    ///
    /// # Errors
    /// [`StateError::Truncated`], [`StateError::Value`].
    pub fn bool(&mut self) -> Result<bool, StateError> {
        let at = self.at;
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StateError::Value { at, what: "truth value" }),
        }
    }

    /// Nanoseconds.
    ///
    /// # Errors
    /// [`StateError::Truncated`].
    pub fn duration(&mut self) -> Result<Duration, StateError> {
        self.u64().map(Duration::from_nanos)
    }

    /// Octets behind their length.
    ///
    /// # Errors
    /// [`StateError::Truncated`].
    pub fn octets(&mut self) -> Result<&'a [u8], StateError> {
        let at = self.at;
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        let end = self.at.checked_add(length).ok_or(StateError::Truncated { at })?;
        let octets = self.state.get(self.at..end).ok_or(StateError::Truncated { at })?;
        self.at = end;
        Ok(octets)
    }

    /// An address.
    ///
    /// # Errors
    /// [`StateError::Truncated`], [`StateError::Value`].
    pub fn address(&mut self) -> Result<IpAddr, StateError> {
        let at = self.at;
        match self.u8()? {
            4 => self.array::<4>().map(IpAddr::from),
            6 => self.array::<16>().map(IpAddr::from),
            _ => Err(StateError::Value { at, what: "address family" }),
        }
    }

    /// An address and a port.
    ///
    /// # Errors
    /// [`StateError::Truncated`], [`StateError::Value`].
    pub fn socket_address(&mut self) -> Result<SocketAddr, StateError> {
        Ok(SocketAddr::new(self.address()?, self.u16()?))
    }

    /// A value, if there is one.
    ///
    /// # Errors
    /// [`StateError::Truncated`], [`StateError::Value`], and those of `read`.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, StateError>,
    ) -> Result<Option<T>, StateError> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }

    /// As many values as there are. Each must have at least one octet, so that a count that lies takes no memory.
    ///
    /// # Errors
    /// [`StateError::Truncated`], and those of `read`.
    pub fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, StateError>,
    ) -> Result<Vec<T>, StateError> {
        let at = self.at;
        let count = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if count > self.state.len() - self.at {
            return Err(StateError::Truncated { at });
        }
        (0..count).map(|_| read(self)).collect()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let rest = self.state.get(self.at..).unwrap_or_default();
        let array = rest.first_chunk::<N>().ok_or(StateError::Truncated { at: self.at })?;
        self.at += N;
        Ok(*array)
    }
}

impl core::fmt::Debug for StateReader<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StateReader").field("at", &self.at).field("octets", &self.state.len()).finish()
    }
}
