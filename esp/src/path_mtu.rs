//! The MTU of the path to a peer (RFC 4301 §8.2): what routers say of it is unproven, so it is believed within bounds
//! and for a time.

use crate::icmp::TooBigNotice;
use core::time::Duration;
use ipsec_crypto::state::{StateError, StateReader, StateWriter};
use ipsec_types::Instant;

/// How far routers are believed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PathMtuConfig {
    /// Octets of the largest outer packet for a path that nothing is known of, as the MTU of the first link; default
    /// none: whatever a length field can say.
    pub first: Option<u16>,
    /// What IPv4 routers say is not believed below this; default 576.
    pub min_v4: u16,
    /// What IPv6 routers say is not believed below this; default 1,280 (RFC 8200 §5).
    pub min_v6: u16,
    /// How long they are believed; default 10 minutes (RFC 1191 §6.3).
    pub age: Duration,
    /// They must quote one of the newest so many packets; default 65,536.
    pub recent: u32,
}

impl Default for PathMtuConfig {
    fn default() -> Self {
        let age = Duration::from_secs(600);
        Self { first: None, min_v4: 576, min_v6: 1_280, age, recent: 65_536 }
    }
}

/// What is known of one path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PathMtu {
    /// In force until `until`.
    mtu: usize,
    until: Option<Instant>,
}

impl PathMtu {
    pub(crate) fn new(config: &PathMtuConfig) -> Self {
        Self { mtu: config.first.map_or(usize::MAX, usize::from), until: None }
    }

    /// Octets of the largest outer packet.
    pub(crate) fn at(&mut self, now: Instant, config: &PathMtuConfig) -> usize {
        if self.until.is_some_and(|until| until <= now) {
            *self = Self::new(config);
        }
        self.mtu
    }

    /// Whether a packet of so many octets may be more than the path takes; the age is not looked at.
    #[inline]
    pub(crate) const fn may_be_less_than(&self, octets: usize) -> bool {
        octets > self.mtu
    }

    /// Believes a router that says so of a packet of an SA whose last number is `last`. Gives the new MTU; `None`
    /// where it is not believed, or tells nothing new.
    pub(crate) fn learn(
        &mut self,
        now: Instant,
        config: &PathMtuConfig,
        notice: &TooBigNotice,
        last: u64,
    ) -> Option<usize> {
        // How many packets were sent after the quoted one; far too many for one that never was.
        let since = (last as u32).wrapping_sub(notice.esp.sequence_number);
        if u64::from(since) >= last || since >= config.recent {
            return None;
        }
        let least = if notice.destination.is_ipv4() { config.min_v4 } else { config.min_v6 };
        let mtu = notice.mtu.max(usize::from(least));
        if mtu >= self.at(now, config) {
            return None;
        }
        *self = Self { mtu, until: Some(now.saturating_add(config.age)) };
        Some(mtu)
    }

    /// What is believed, as fields of a state.
    pub(crate) fn save(&self, now: Instant, w: &mut StateWriter) {
        w.put_option(self.until.filter(|until| *until > now), |w, until| {
            w.put_u32(u32::try_from(self.mtu).unwrap_or(u32::MAX));
            w.put_duration(until.saturating_since(now));
        });
    }

    /// Goes on believing what was believed elsewhere, `since` ago.
    pub(crate) fn resume(
        &mut self,
        now: Instant,
        since: Duration,
        r: &mut StateReader<'_>,
    ) -> Result<(), StateError> {
        if let Some((mtu, left)) = r.option(|r| Ok((r.u32()?, r.duration()?)))? {
            let until = now.saturating_add(left.saturating_sub(since));
            let mtu = usize::try_from(mtu).unwrap_or(usize::MAX).min(self.mtu);
            *self = Self { mtu, until: Some(until) };
        }
        Ok(())
    }
}
