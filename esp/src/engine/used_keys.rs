//! Keys that were used: under none of them may a sender's numbers begin anew, since a nonce would be used twice (RFC
//! 4106 §2, RFC 3686 §2.1; RFC 8221 §3 for keys that do not come from IKE), and no receiver's that come back with an
//! old window, since it would take packets twice.
//!
//! A key is known by a print of it: a PRF's output over SPI and keys, so that what is remembered of a key that is gone
//! does not help to find it.

use alloc::collections::VecDeque;
use ipsec_crypto::CryptoProvider;
use ipsec_crypto::prf::PrfId;
use ipsec_types::sa::SaInstall;

/// What a key is known by. `None` where the provider has no PRF to make one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KeyPrint(Option<[u8; 16]>);

impl KeyPrint {
    /// Of an outbound SA's key.
    pub(super) fn of(provider: &CryptoProvider, install: &SaInstall) -> Self {
        Self::under(b"key of an outbound SA", provider, install)
    }

    /// Of an inbound SA's key, which may be an outbound one's too.
    pub(super) fn of_inbound(provider: &CryptoProvider, install: &SaInstall) -> Self {
        Self::under(b"key of an inbound SA", provider, install)
    }

    fn under(label: &[u8], provider: &CryptoProvider, install: &SaInstall) -> Self {
        let print = provider.prf(PrfId::HMAC_SHA2_256).map(|prf| {
            let (spi, keys) = (install.spi.get().to_be_bytes(), &install.keys);
            let encr_len = (keys.encr.len() as u64).to_be_bytes();
            let mut print = [0; 16];
            let parts = [&spi[..], &encr_len, keys.encr.as_slice(), keys.integ.as_slice()];
            prf.compute(label, &parts, &mut print);
            print
        });
        Self(print)
    }

    /// Whether it is surely the same key.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.is_some() && self == other
    }
}

/// The keys of SAs that are gone, the oldest first, and the last number that each may have been used with. Its memory is
/// taken once.
#[derive(Debug)]
pub(super) struct UsedKeys {
    limit: usize,
    keys: VecDeque<(KeyPrint, u64)>,
}

impl UsedKeys {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, keys: VecDeque::with_capacity(limit) }
    }

    /// Whether an SA with this key may go on from the number `last`.
    pub(super) fn allow(&self, print: &KeyPrint, last: u64) -> bool {
        let used = self.keys.iter().rev().find(|(used, _)| used.is(print));
        used.is_none_or(|(_, used_to)| *used_to <= last)
    }

    /// Remembers a key that was used up to the number `last`; `u64::MAX` where it must never be used again. Where too
    /// many are known, the oldest is forgotten.
    pub(super) fn remember(&mut self, print: KeyPrint, last: u64) {
        self.keys.retain(|(used, _)| !used.is(&print));
        if self.keys.len() >= self.limit {
            self.keys.pop_front();
        }
        if self.limit > 0 {
            self.keys.push_back((print, last));
        }
    }
}
