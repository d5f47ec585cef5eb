//! What an IKE SA may touch beyond itself, lent for the length of one call.

use crate::connections::ConnectionIndex;
use crate::endpoint::Services;
use crate::endpoint::spis::draw;
use crate::error::{Failure, MoveError};
use crate::establish::half::Half;
use crate::event::{Event, IkeSaHandle};
use crate::keylog;
use crate::sa::leases::Leases;
use crate::sa::peers::Peers;
use crate::stats::count;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use core::net::IpAddr;
use core::ops::{Deref, DerefMut};
use core::time::Duration;
use ikev2_wire::Proposal;
use ikev2_wire::codes::KeMethod;
use ipsec_crypto::{KeyExchangeMethod, KxResponse, RandomError, SecureRandom};
use ipsec_types::sa::{ChildSa, ChildSaId, Lifetimes, Limit, SaKeys};
use ipsec_types::{EspSpi, SecretBytes};

/// The names of Child SAs and the SPIs that we receive by.
#[derive(Debug, Default)]
pub(crate) struct ChildNames {
    next_id: u64,
    inbound: BTreeSet<EspSpi>,
    owners: BTreeMap<ChildSaId, IkeSaHandle>,
    /// Names that were given out and are not installed yet.
    pending: BTreeMap<EspSpi, ChildSaId>,
}

impl ChildNames {
    /// The IKE SA that an installed Child SA belongs to.
    pub(crate) fn owner(&self, id: ChildSaId) -> Option<IkeSaHandle> {
        self.owners.get(&id).copied()
    }

    pub(crate) fn own(&mut self, id: ChildSaId, sa: IkeSaHandle) {
        self.owners.insert(id, sa);
        self.pending.retain(|_, pending| *pending != id);
    }

    pub(crate) fn disown(&mut self, id: ChildSaId) {
        self.owners.remove(&id);
    }

    /// A name that was never used, and an SPI that is not in use, drawn at random.
    pub(crate) fn allocate(
        &mut self,
        random: &mut dyn SecureRandom,
    ) -> Result<(ChildSaId, EspSpi), RandomError> {
        let spi = draw(random, 64, |octets| {
            let spi = EspSpi::new(u32::from_be_bytes(octets))?;
            (!spi.is_reserved() && !self.inbound.contains(&spi)).then_some(spi)
        })?;
        self.inbound.insert(spi);
        self.next_id = self.next_id.saturating_add(1);
        let id = ChildSaId(self.next_id);
        self.pending.insert(spi, id);
        Ok((id, spi))
    }

    /// Gives an SPI back.
    fn release(&mut self, spi: EspSpi) {
        self.inbound.remove(&spi);
        self.pending.remove(&spi);
    }

    /// Whether a Child SA that came may keep its name and its SPI.
    pub(crate) fn check_claim(&self, id: ChildSaId, spi: EspSpi) -> Result<(), MoveError> {
        if self.inbound.contains(&spi) {
            return Err(MoveError::EspSpiInUse(spi));
        }
        if self.owners.contains_key(&id) || self.pending.values().any(|pending| *pending == id) {
            return Err(MoveError::ChildInUse(id));
        }
        Ok(())
    }

    /// The last name that was given out.
    pub(crate) fn last(&self) -> ChildSaId {
        ChildSaId(self.next_id)
    }

    /// Names up to this one were given out where an IKE SA comes from, and are not given out again.
    pub(crate) fn skip(&mut self, last: ChildSaId) {
        self.next_id = self.next_id.max(last.0);
    }

    /// It keeps them; no other gets its name.
    pub(crate) fn claim(&mut self, id: ChildSaId, spi: EspSpi, sa: IkeSaHandle) {
        self.inbound.insert(spi);
        self.next_id = self.next_id.max(id.0);
        self.owners.insert(id, sa);
    }
}

/// Lent to an IKE SA for one call.
pub(crate) struct Context<'a> {
    /// What every protocol gets.
    pub services: Services<'a, Event>,
    pub connections: &'a ConnectionIndex,
    pub names: &'a mut ChildNames,
    pub peers: &'a mut Peers,
    pub leases: &'a mut Leases,
    /// Our addresses, as the embedder told them.
    pub local_addresses: &'a [IpAddr],
}

impl<'a> Deref for Context<'a> {
    type Target = Services<'a, Event>;

    fn deref(&self) -> &Self::Target {
        &self.services
    }
}

impl DerefMut for Context<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.services
    }
}

impl Context<'_> {
    /// The algorithm of a key exchange method.
    pub(crate) fn key_exchange(&self, method: KeMethod) -> Result<&'static dyn KeyExchangeMethod, Failure> {
        let found = self.config.crypto.key_exchange(method);
        found.ok_or_else(|| Failure::Algorithm(method.to_string()))
    }

    /// Our half of a key exchange by the first of these proposals that has one.
    pub(crate) fn half(&mut self, offered: &[Proposal]) -> Result<Option<Half>, Failure> {
        Half::first(self.config.crypto, self.random, offered)
    }

    /// Another half, by the method that INVALID_KE_PAYLOAD names (§1.3): as often as a peer may let us start over.
    pub(crate) fn other_half(
        &mut self,
        offered: &[Proposal],
        sent: Option<KeMethod>,
        wanted: KeMethod,
        retries: &mut u32,
    ) -> Result<Half, Failure> {
        if *retries >= self.config.max_init_retries {
            return Err(Failure::TooManyRetries(*retries));
        }
        let half = Half::other(self.config.crypto, self.random, offered, sent, wanted)?;
        *retries = retries.saturating_add(1);
        Ok(half)
    }

    /// The shared secret of our half and the peer's answer.
    pub(crate) fn finish(&mut self, half: &Half, peer: &[u8]) -> Result<SecretBytes, Failure> {
        let method = half.method;
        count(&mut self.statistics.key_exchanges);
        half.pending.finish(peer).map_err(|error| Failure::KeyExchange { method, error })
    }

    /// Our answer to the peer's half, and the shared secret.
    pub(crate) fn respond(&mut self, method: KeMethod, peer: &[u8]) -> Result<KxResponse, Failure> {
        let algorithm = self.key_exchange(method)?;
        count(&mut self.statistics.key_exchanges);
        algorithm.respond(self.random, peer).map_err(|error| Failure::KeyExchange { method, error })
    }

    pub(crate) fn release_spi(&mut self, spi: EspSpi) {
        self.names.release(spi);
    }

    /// A random number below `bound`, or 0 where there is no randomness: what it is for is never a secret.
    fn below(&mut self, bound: u64) -> u64 {
        let mut octets = [0; 8];
        match self.random.fill(&mut octets) {
            // The product's upper half is spread evenly enough over so small a range.
            Ok(()) => ((u128::from(u64::from_be_bytes(octets)) * u128::from(bound)) >> 64) as u64,
            Err(_) => 0,
        }
    }

    /// A pause, made longer at random by up to so many thousandths, so that two ends do not meet again.
    pub(crate) fn lengthened(&mut self, pause: Duration, permille: u16) -> Duration {
        let nanos = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        let most = (u128::from(nanos) * u128::from(permille) / 1_000).min(u128::from(u64::MAX)) as u64;
        Duration::from_nanos(nanos.saturating_add(self.below(most.saturating_add(1))))
    }

    /// A time, made shorter at random by up to a tenth.
    pub(crate) fn shortened(&mut self, time: Duration) -> Duration {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(nanos.saturating_sub(self.below((nanos / 10).saturating_add(1))))
    }

    /// Lifetimes whose soft limits come earlier at random by up to so many thousandths (§2.8).
    pub(crate) fn jittered(&mut self, lifetimes: Lifetimes, permille: u16) -> Lifetimes {
        let mut earlier = |limit: Limit| Limit {
            soft: limit.soft.map(|soft| {
                let most = (u128::from(soft) * u128::from(permille.min(1_000)) / 1_000) as u64;
                soft - self.below(most.saturating_add(1)).min(soft)
            }),
            ..limit
        };
        Lifetimes {
            seconds: earlier(lifetimes.seconds),
            octets: earlier(lifetimes.octets),
            packets: earlier(lifetimes.packets),
        }
    }

    /// Shows the keys of a Child SA to the key log, if there is one.
    pub(crate) fn log_esp_keys(&self, sa: &ChildSa, inbound: (EspSpi, &SaKeys), outbound: (EspSpi, &SaKeys)) {
        if let Some(log) = &self.config.hooks.key_log {
            let (local, remote) = (sa.path.local_ip(), sa.path.remote_ip());
            for (source, destination, (spi, keys)) in [(remote, local, inbound), (local, remote, outbound)] {
                log.esp(&keylog::esp_line(source, destination, spi, sa.suite, keys, sa.sequence_numbers));
            }
        }
    }
}
