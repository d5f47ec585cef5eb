//! Keys that are or were used: under none of them may a sender's numbers begin anew or be given by two SAs, since a nonce
//! would be used twice (RFC 4106 §2, RFC 3686 §2.1; RFC 8221 §3 for keys that do not come from IKE), and no receiver's
//! window may come back as it was before, since it would take packets twice.
//!
//! A key is known by a print of it, a PRF's output, so that what is remembered of a key that is gone does not help to
//! find it.

use alloc::collections::{BTreeSet, VecDeque};
use core::net::IpAddr;
use ipsec_crypto::CryptoProvider;
use ipsec_crypto::prf::PrfId;
use ipsec_types::sa::SaInstall;

type Print = [u8; 16];

/// What a key is known by. `None` where the provider has no PRF to make one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KeyPrint(Option<Print>);

impl KeyPrint {
    /// Of an outbound SA's key. The SPI is no part of it, since it is none of a nonce, nor is the integrity key, unless
    /// there is no other.
    pub(super) fn of(provider: &CryptoProvider, install: &SaInstall) -> Self {
        let keys = &install.keys;
        let alone = keys.encr.is_empty();
        let key = if alone { &keys.integ } else { &keys.encr };
        Self::under(b"key of an outbound SA", provider, &[&[u8::from(alone)], key.as_slice()])
    }

    /// Of an inbound SA's key, which may be an outbound one's too, and several SAs' for several senders. No SA takes the
    /// packets of one with another SPI, which their ICVs cover.
    pub(super) fn of_inbound(provider: &CryptoProvider, install: &SaInstall) -> Self {
        let (spi, keys) = (install.spi.get().to_be_bytes(), &install.keys);
        let group = install.child.group.map_or([[0; 16]; 2], |g| [octets(Some(g.group)), octets(g.source)]);
        let encr_len = (keys.encr.len() as u64).to_be_bytes();
        let parts = [&spi[..], group.as_flattened(), &encr_len, keys.encr.as_slice(), keys.integ.as_slice()];
        Self::under(b"key of an inbound SA", provider, &parts)
    }

    fn under(label: &[u8], provider: &CryptoProvider, parts: &[&[u8]]) -> Self {
        Self(provider.prf(PrfId::HMAC_SHA2_256).map(|prf| {
            let mut print = [0; 16];
            prf.compute(label, parts, &mut print);
            print
        }))
    }
}

fn octets(address: Option<IpAddr>) -> [u8; 16] {
    address.map_or([0; 16], |address| match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    })
}

/// How far an SA has come. Neither number ever falls, and one of them rises with each packet that is sent or received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Progress {
    /// The highest sequence number sent or received.
    pub(super) number: u64,
    /// Packets received: late ones do not raise the highest number. 0 for an outbound SA.
    pub(super) packets: u64,
}

impl Progress {
    /// Before the first packet.
    pub(super) const NONE: Self = Self { number: 0, packets: 0 };

    const fn is_behind(&self, other: &Self) -> bool {
        self.number < other.number || self.packets < other.packets
    }
}

/// The keys of the SAs that are there, and of those that are gone, the oldest first, with how far these may have come;
/// `None` for those that must never be used again.
#[derive(Debug)]
pub(super) struct UsedKeys {
    limit: usize,
    living: BTreeSet<Print>,
    gone: VecDeque<(Print, Option<Progress>)>,
}

impl UsedKeys {
    /// Remembers so many that are gone; the memory for them is taken once.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, living: BTreeSet::new(), gone: VecDeque::with_capacity(limit) }
    }

    /// Whether an SA with this key may go on from there.
    pub(super) fn allow(&self, print: &KeyPrint, from: &Progress) -> bool {
        let Some(print) = &print.0 else { return true };
        let behind = |end: &Option<Progress>| end.is_none_or(|end| from.is_behind(&end));
        !self.living.contains(print) && !self.gone.iter().any(|(gone, end)| gone == print && behind(end))
    }

    /// An SA with this key is there from now on.
    pub(super) fn begin(&mut self, print: KeyPrint) {
        self.living.extend(print.0);
    }

    /// The SA with this key is gone; another one may go on with it from `end`. Where too many are known, the oldest is
    /// forgotten.
    pub(super) fn end(&mut self, print: KeyPrint, end: Option<Progress>) {
        let Some(print) = print.0 else { return };
        self.living.remove(&print);
        self.gone.retain(|(gone, _)| *gone != print);
        if self.gone.len() >= self.limit {
            self.gone.pop_front();
        }
        if self.limit > 0 {
            self.gone.push_back((print, end));
        }
    }
}
