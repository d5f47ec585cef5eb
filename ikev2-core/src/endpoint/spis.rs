//! Whose the IKE SPIs are that we receive by.

use crate::event::IkeSaHandle;
use alloc::collections::BTreeMap;
use ipsec_crypto::{RandomError, SecureRandom};
use ipsec_types::IkeSpi;

/// The first of so many random values that is usable. A generator that gives none has failed, whatever it says.
pub(crate) fn draw<const N: usize, T>(
    random: &mut dyn SecureRandom,
    tries: usize,
    usable: impl Fn([u8; N]) -> Option<T>,
) -> Result<T, RandomError> {
    for _ in 0..tries {
        let mut octets = [0; N];
        random.fill(&mut octets)?;
        if let Some(value) = usable(octets) {
            return Ok(value);
        }
    }
    Err(RandomError)
}

/// The IKE SPIs that we receive by, those of generations to come and gone included.
#[derive(Debug, Default)]
pub(super) struct IkeSpis(BTreeMap<IkeSpi, IkeSaHandle>);

impl IkeSpis {
    /// Whose it is.
    pub(super) fn owner(&self, spi: IkeSpi) -> Option<IkeSaHandle> {
        self.0.get(&spi).copied()
    }

    /// One that is not in use, drawn at random.
    pub(super) fn allocate(
        &mut self,
        random: &mut dyn SecureRandom,
        owner: IkeSaHandle,
    ) -> Result<IkeSpi, RandomError> {
        // 64 random bits meet by accident once in ages.
        let spi = draw(random, 8, |octets| {
            IkeSpi::new(u64::from_be_bytes(octets)).filter(|spi| !self.0.contains_key(spi))
        })?;
        self.0.insert(spi, owner);
        Ok(spi)
    }

    /// This one, if it is not in use.
    pub(super) fn claim(&mut self, spi: IkeSpi, owner: IkeSaHandle) -> bool {
        let is_free = !self.0.contains_key(&spi);
        if is_free {
            self.0.insert(spi, owner);
        }
        is_free
    }

    pub(super) fn release(&mut self, spi: IkeSpi) {
        self.0.remove(&spi);
    }
}
