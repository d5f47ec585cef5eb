//! Octets that nobody else may see: wiped when dropped, never printed, compared in constant time.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// A key, a shared secret, or anything else that must not leak.
///
/// The length is fixed when it is made, so that no reallocation leaves a copy behind. `Debug` prints the
/// length alone; equality takes constant time for equal lengths.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Box<[u8]>>);

impl SecretBytes {
    /// `length` zero octets, to be filled through [`SecretBytes::as_mut`].
    #[must_use]
    pub fn zeroed(length: usize) -> Self {
        Self(Zeroizing::new(vec![0; length].into_boxed_slice()))
    }

    /// A copy of these octets. The original is the caller's to wipe.
    #[must_use]
    pub fn copy_from(octets: &[u8]) -> Self {
        Self(Zeroizing::new(octets.into()))
    }

    /// The octets.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// How many octets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for SecretBytes {
    /// Takes the octets over; where the vector has spare capacity they are copied and the original is wiped.
    fn from(mut octets: Vec<u8>) -> Self {
        if octets.len() == octets.capacity() {
            return Self(Zeroizing::new(octets.into_boxed_slice()));
        }
        let secret = Self::copy_from(&octets);
        octets.zeroize();
        secret
    }
}

impl AsRef<[u8]> for SecretBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for SecretBytes {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} octets)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn debug_prints_no_octet() {
        let secret = SecretBytes::copy_from(&[0xAB; 3]);
        let text = format!("{secret:?} {secret:x?}");
        assert!(text.contains("3 octets") && !text.to_lowercase().contains("ab") && !text.contains("171"));
    }

    #[test]
    fn equality_is_by_content_and_length() {
        let a = SecretBytes::copy_from(b"same");
        assert_eq!(a, SecretBytes::from(b"same".to_vec()));
        assert_ne!(a, SecretBytes::copy_from(b"sama"));
        assert_ne!(a, SecretBytes::copy_from(b"sam"));
    }
}
