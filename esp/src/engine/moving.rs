//! Pairs of SAs that go on in another process: out of one engine in a sealed container, and into another.

use super::Engine;
use super::entry::{Inbound, progress_of};
use super::used_keys::{KeyPrint, Progress};
use crate::error::{CommandError, InstallError, MoveError};
use crate::inbound::InboundSa;
use crate::install;
use crate::lifetime::LifetimeEvent;
use crate::outbound::OutboundSa;
use crate::saved;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use ipsec_crypto::state::{StateError, StateKey, StateKind, StateReader, StateWriter};
use ipsec_types::sa::{ChildSa, ChildSaId, Direction, SaInstall};
use ipsec_types::{Encapsulation, Instant, Path};

/// Of what is inside of the container.
const VERSION: u8 = 2;
/// Before there were checkpoints.
const VERSION_1: u8 = 1;

/// An inbound SA that came.
struct CameIn {
    sa: InboundSa,
    print: KeyPrint,
    path: Path,
    encapsulation: Encapsulation,
    heir: Option<ChildSaId>,
}

/// An outbound SA that came.
struct CameOut {
    sa: OutboundSa,
    print: KeyPrint,
    carries: bool,
    checkpoint: u64,
}

impl Engine {
    /// Takes a pair of SAs out of this engine, so that another one goes on with it, as that of an upgraded process.
    /// From now on this engine neither sends nor receives by it. The container has all that was negotiated, the keys,
    /// the anti-replay window, the lifetimes as far as they are used up, expiries that were not yet told, the path MTU and
    /// the statistics, and is sealed by `key`.
    ///
    /// The other engine sends the first packet with a number that is `leap` higher than it would have been here, or
    /// with the last one that there is. 0 is right: all packets that this engine sealed are counted. A leap leaves numbers
    /// out that are nobody's from then on, which does no harm but for those of 32 bits, of which there are few.
    ///
    /// A pair that is only lingering ([`EngineConfig::linger`](super::EngineConfig::linger)) does not move, and ends
    /// where its successor does.
    ///
    /// # Errors
    /// [`MoveError::NotInstalled`], [`MoveError::KeysNotKept`], [`MoveError::State`]; nothing has changed then.
    pub fn export(
        &mut self,
        now: Instant,
        id: ChildSaId,
        key: &StateKey,
        leap: u64,
    ) -> Result<Vec<u8>, MoveError> {
        let now = self.clock(now);
        let last = self.outbound.get(&id).map(|entry| entry.sa.leap(leap, false));
        let state = self.write_pair(now, id, last, false)?;
        let sealed = key.seal(StateKind::CHILD_SA, state.as_slice())?;
        let received = self.inbound_entry(id).map(Inbound::progress);
        self.leave(id, received, last.map(|number| Progress { number, packets: 0 }));
        Ok(sealed)
    }

    /// The pair as it is for another engine, which sends from above `last`; or as it is for a standby.
    pub(super) fn write_pair(
        &self,
        now: Instant,
        id: ChildSaId,
        last: Option<u64>,
        for_standby: bool,
    ) -> Result<StateWriter, MoveError> {
        let inbound = self.inbound_entry(id);
        let outbound = self.outbound.get(&id);
        let child = inbound.map(|entry| entry.sa.child()).or_else(|| outbound.map(|entry| entry.sa.child()));
        let child = child.ok_or(MoveError::NotInstalled(id))?;
        let mut w = StateWriter::new();
        w.put_u8(VERSION);
        w.put_child_sa(child);
        w.put_list(&self.reports.expiries_of(id), put_expiry);
        w.put_bool(inbound.is_some());
        if let Some(entry) = inbound {
            let keys = entry.keys.as_ref().ok_or(MoveError::KeysNotKept)?;
            w.put_esp_spi(entry.sa.spi());
            w.put_keys(keys);
            w.put_path(&entry.path);
            w.put_encapsulation(entry.encapsulation);
            w.put_option(entry.heir, |w, heir| w.put_u64(heir.0));
            entry.sa.save(now, for_standby, &mut w);
        }
        w.put_bool(outbound.is_some());
        if let Some(entry) = outbound {
            let keys = entry.keys.as_ref().ok_or(MoveError::KeysNotKept)?;
            w.put_esp_spi(entry.sa.spi());
            w.put_keys(keys);
            w.put_path(entry.sa.path());
            w.put_encapsulation(entry.sa.encapsulation());
            w.put_bool(self.policy.carries(id));
            entry.sa.save(now, last.unwrap_or_default(), &mut w);
            // Where a standby waits for this pair, it waits for the pair that goes on elsewhere.
            w.put_option(entry.sa.ceiling().filter(|_| !for_standby), |w, ceiling| {
                w.put_u64(ceiling);
                w.put_u64(entry.checkpoint);
            });
        }
        Ok(w)
    }

    /// Ends both directions here; they may come again, but with no lower numbers.
    fn leave(&mut self, id: ChildSaId, received: Option<Progress>, sent: Option<Progress>) {
        self.reports.forget(id, Direction::Inbound);
        if let Some(spi) = self.inbound_of.remove(&id) {
            self.end_inbound(spi, received);
        }
        for lingerer in self.lingering.take_predecessors(id) {
            self.end_inbound(lingerer.spi, None);
        }
        self.end_group(id, received);
        self.remove_outbound(id, sent);
    }

    /// Takes a pair of SAs in that another engine gave away by [`Engine::export`], under the name that it had there.
    /// Its lifetimes go on; `since_export` is the time that passed in between, as far as it is known.
    ///
    /// A container that this engine has seen before is taken only where nothing was sent or received by its pair since:
    /// numbers never go back. [`EngineConfig::used_keys`](super::EngineConfig::used_keys) says for how many that is
    /// known. Another host can't know of this one: each container is to be imported by one engine.
    ///
    /// Pairs should come in the order in which they were installed, since the newest carries what several could carry.
    ///
    /// # Errors
    /// [`MoveError`], and then nothing has changed.
    pub fn import(
        &mut self,
        now: Instant,
        key: &StateKey,
        sealed: &[u8],
        since_export: Duration,
    ) -> Result<ChildSaId, MoveError> {
        let now = self.clock(now);
        let state = key.open(StateKind::CHILD_SA, sealed)?;
        let mut r = StateReader::new(state.as_slice());
        let version = r.u8()?;
        if !matches!(version, VERSION_1 | VERSION) {
            return Err(StateError::Version(version).into());
        }
        let child = Arc::new(r.child_sa()?);
        let expiries = r.list(expiry)?;
        let inbound =
            if r.bool()? { Some(self.read_inbound(now, &child, since_export, &mut r)?) } else { None };
        let mut outbound =
            if r.bool()? { Some(self.read_outbound(now, &child, since_export, &mut r)?) } else { None };
        if let Some((came, _)) = outbound.as_mut().filter(|_| version > VERSION_1) {
            let at = r.at();
            if let Some((ceiling, checkpoint)) = r.option(|r| Ok((r.u64()?, r.u64()?)))? {
                if ceiling < came.sa.last_number() || checkpoint < ceiling {
                    return Err(StateError::Value { at, what: "ceiling of sequence numbers" }.into());
                }
                came.sa.hold(ceiling);
                came.checkpoint = checkpoint;
            }
        }
        r.finish()?;
        for (direction, event) in expiries {
            self.reports.expired(child.id, direction, event);
        }
        self.enter(inbound, outbound);
        Ok(child.id)
    }

    fn read_inbound(
        &self,
        now: Instant,
        child: &Arc<ChildSa>,
        since_export: Duration,
        r: &mut StateReader<'_>,
    ) -> Result<(CameIn, SaInstall), MoveError> {
        let (spi, keys) = (r.esp_spi()?, r.keys()?);
        let install = SaInstall { child: Arc::clone(child), spi, keys };
        let (path, encapsulation) = (r.path()?, r.encapsulation()?);
        let heir = r.option(StateReader::u64)?.map(ChildSaId);
        let print = KeyPrint::of_inbound(&self.provider, &install);
        let refused = CommandError::from;
        let mut sa =
            InboundSa::new(&self.provider, install.clone(), self.config.inbound, now).map_err(refused)?;
        install::check_move(child, &path, encapsulation).map_err(InstallError::from).map_err(refused)?;
        sa.resume(now, since_export, r)?;
        self.check_inbound(&install, &print, &progress_of(&sa))?;
        Ok((CameIn { sa, print, path, encapsulation, heir }, install))
    }

    fn read_outbound(
        &self,
        now: Instant,
        child: &Arc<ChildSa>,
        since_export: Duration,
        r: &mut StateReader<'_>,
    ) -> Result<(CameOut, SaInstall), MoveError> {
        let (spi, keys) = (r.esp_spi()?, r.keys()?);
        let install = SaInstall { child: Arc::clone(child), spi, keys };
        let (path, encapsulation) = (r.path()?, r.encapsulation()?);
        let carries = r.bool()?;
        let print = KeyPrint::of(&self.provider, &install);
        let refused = CommandError::from;
        let mut sa =
            OutboundSa::new(&self.provider, install.clone(), self.config.outbound, now).map_err(refused)?;
        sa.relocate(path, encapsulation).map_err(refused)?;
        sa.resume(now, since_export, r)?;
        let from = Progress { number: sa.last_number(), packets: 0 };
        self.check_outbound(&install, &print, &from)?;
        Ok((CameOut { sa, print, carries, checkpoint: 0 }, install))
    }

    fn enter(&mut self, inbound: Option<(CameIn, SaInstall)>, outbound: Option<(CameOut, SaInstall)>) {
        if let Some((came, install)) = inbound {
            let id = came.sa.child().id;
            self.enter_inbound(came.sa, came.print, self.kept(&install.keys));
            let entry = match self.inbound_of.get(&id) {
                Some(spi) => self.inbound.get_mut(spi).map(|entry| &mut **entry),
                None => self.groups.get_mut(id),
            };
            if let Some(entry) = entry {
                (entry.path, entry.encapsulation, entry.heir) = (came.path, came.encapsulation, came.heir);
                entry.tell(&mut self.timers, &mut self.reports);
            }
        }
        if let Some((came, install)) = outbound {
            let id = came.sa.child().id;
            self.enter_outbound(came.sa, came.print, self.kept(&install.keys), came.carries);
            if let Some(entry) = self.outbound.get_mut(&id) {
                entry.checkpoint = came.checkpoint;
                entry.tell(&mut self.timers, &mut self.reports);
            }
        }
    }

    pub(super) fn inbound_entry(&self, id: ChildSaId) -> Option<&Inbound> {
        match self.inbound_of.get(&id) {
            Some(spi) => self.inbound.get(spi).map(|entry| &**entry),
            None => self.groups.get(id),
        }
    }
}

/// An expiry that nobody was told of where the pair was.
fn put_expiry(w: &mut StateWriter, (direction, event): &(Direction, LifetimeEvent)) {
    let (is_hard, reason) = match event {
        LifetimeEvent::Soft(reason) => (false, reason),
        LifetimeEvent::Hard(reason) => (true, reason),
    };
    w.put_bool(*direction == Direction::Outbound);
    w.put_bool(is_hard);
    saved::put_reason(w, *reason);
}

fn expiry(r: &mut StateReader<'_>) -> Result<(Direction, LifetimeEvent), StateError> {
    let direction = if r.bool()? { Direction::Outbound } else { Direction::Inbound };
    let event = if r.bool()? { LifetimeEvent::Hard } else { LifetimeEvent::Soft };
    Ok((direction, event(saved::reason(r)?)))
}
