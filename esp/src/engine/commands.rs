//! Carrying out what IKE asks ([`SaCommand`](ipsec_types::SaCommand)): installing, switching, moving and removing SAs.

use super::Engine;
use super::entry::{Inbound, Outbound};
use super::groups::GroupKey;
use super::table::TimerKey;
use super::used_keys::{KeyPrint, Progress};
use crate::error::{CommandError, InstallError};
use crate::inbound::InboundSa;
use crate::install;
use crate::outbound::OutboundSa;
use alloc::boxed::Box;
use alloc::sync::Arc;
use ipsec_types::sa::{ChildSaId, Direction, ResourceId, SaInstall, SaKeys};
use ipsec_types::{Encapsulation, EspSpi, Instant, Path};

impl Engine {
    pub(super) fn install_inbound(&mut self, now: Instant, install: SaInstall) -> Result<(), CommandError> {
        let print = KeyPrint::of_inbound(&self.provider, &install);
        self.check_inbound(&install, &print, &Progress::NONE)?;
        let keys = self.kept(&install.keys);
        let sa = InboundSa::new(&self.provider, install, self.config.inbound, now)?;
        self.enter_inbound(sa, print, keys);
        Ok(())
    }

    /// Whether there is a place for such an inbound SA, which goes on `from` there.
    pub(super) fn check_inbound(
        &self,
        install: &SaInstall,
        print: &KeyPrint,
        from: &Progress,
    ) -> Result<(), CommandError> {
        let (id, spi) = (install.child.id, install.spi);
        self.check_room(self.inbound_of.len() + self.groups.len())?;
        if self.inbound_of.contains_key(&id) || self.groups.has(id) {
            return Err(CommandError::AlreadyInstalled { id, direction: Direction::Inbound });
        }
        let taken = match &install.child.group {
            Some(group) => self.groups.has_key(&GroupKey::of(spi, group)),
            None => self.inbound.contains_key(&spi) && !self.lingering.has_spi(spi),
        };
        if taken {
            return Err(CommandError::SpiInUse(spi));
        }
        self.check_key(spi, print, from)
    }

    /// Gives a new inbound SA its place.
    pub(super) fn enter_inbound(&mut self, sa: InboundSa, print: KeyPrint, keys: Option<SaKeys>) {
        let (id, spi, group) = (sa.child().id, sa.spi(), sa.child().group);
        let lingers = self.lingering.has_spi(spi);
        if (group.is_none() && lingers || self.inbound.len() + self.groups.len() >= self.config.max_sas)
            && let Some(lingerer) = self.lingering.take_for(spi)
        {
            self.end_inbound(lingerer.spi, None);
        }
        let key = if group.is_some() { TimerKey::Group(id) } else { TimerKey::Inbound(spi) };
        let armed = sa.deadlines();
        self.timers.arm(key, armed);
        let (path, encapsulation) = (sa.child().path, sa.child().encapsulation);
        let (moved_to, tell_at, heir, removed) = (None, Instant::ZERO, None, false);
        self.used_keys.begin(print);
        let entry = Inbound {
            id,
            sa,
            key,
            path,
            encapsulation,
            moved_to,
            tell_at,
            heir,
            removed,
            print,
            armed,
            keys,
        };
        match group {
            Some(group) => self.groups.insert(GroupKey::of(spi, &group), entry),
            None => {
                self.inbound.insert(spi, Box::new(entry));
                self.inbound_of.insert(id, spi);
            }
        }
        self.make_room_for_reports();
    }

    pub(super) fn install_outbound(&mut self, now: Instant, install: SaInstall) -> Result<(), CommandError> {
        let print = KeyPrint::of(&self.provider, &install);
        self.check_outbound(&install, &print, &Progress::NONE)?;
        let keys = self.kept(&install.keys);
        let carries = install.child.replaces.is_none();
        let sa = OutboundSa::new(&self.provider, install, self.config.outbound, now)?;
        self.enter_outbound(sa, print, keys, carries);
        Ok(())
    }

    /// Whether there is a place for such an outbound SA, which goes on `from` there.
    pub(super) fn check_outbound(
        &self,
        install: &SaInstall,
        print: &KeyPrint,
        from: &Progress,
    ) -> Result<(), CommandError> {
        let (id, spi) = (install.child.id, install.spi);
        self.check_room(self.outbound.len())?;
        if self.outbound.contains_key(&id) {
            return Err(CommandError::AlreadyInstalled { id, direction: Direction::Outbound });
        }
        self.check_key(spi, print, from)
    }

    fn check_key(&self, spi: EspSpi, print: &KeyPrint, from: &Progress) -> Result<(), CommandError> {
        if self.used_keys.allow(print, from) { Ok(()) } else { Err(CommandError::KeyUsed(spi)) }
    }

    /// Gives a new outbound SA its place; with `carries` it is used at once.
    pub(super) fn enter_outbound(
        &mut self,
        sa: OutboundSa,
        print: KeyPrint,
        keys: Option<SaKeys>,
        carries: bool,
    ) {
        let child = Arc::clone(sa.child());
        let id = child.id;
        let armed = sa.deadlines();
        self.timers.arm(TimerKey::Outbound(id), armed);
        self.outbound_of.insert((sa.spi(), id));
        self.used_keys.begin(print);
        let entry = Outbound { id, sa, resource: None, print, armed, keys, checkpoint: 0 };
        let slot = self.outbound.insert(id, entry);
        if carries {
            self.policy.add(&child, slot, None);
        }
        self.make_room_for_reports();
    }

    fn make_room_for_reports(&mut self) {
        self.reports.make_room(self.inbound.len() + self.groups.len() + self.outbound.len());
    }

    const fn check_room(&self, installed: usize) -> Result<(), CommandError> {
        let limit = self.config.max_sas;
        if installed < limit { Ok(()) } else { Err(CommandError::TableFull { limit }) }
    }

    pub(super) fn switch(&mut self, from: ChildSaId, to: ChildSaId) -> Result<(), CommandError> {
        let slot = self.outbound.slot(&to).ok_or(CommandError::NotInstalled(to))?;
        let entry = self.outbound.at(slot).ok_or(CommandError::NotInstalled(to))?;
        entry.resource = self.policy.switch(from, entry.sa.child(), slot, entry.resource);
        let inbound = self.inbound_of.get(&from).and_then(|spi| self.inbound.get_mut(spi));
        if let Some(entry) = inbound.filter(|_| from != to) {
            entry.heir = Some(to);
        }
        Ok(())
    }

    /// RFC 9611 §3. A pair that only receives is bound to nothing.
    pub(super) fn bind(&mut self, id: ChildSaId, resource: Option<ResourceId>) -> Result<(), CommandError> {
        match self.outbound.get_mut(&id) {
            Some(entry) => {
                entry.resource = resource;
                self.policy.bind(id, resource);
                Ok(())
            }
            None if self.inbound_of.contains_key(&id) => Ok(()),
            None => Err(CommandError::NotInstalled(id)),
        }
    }

    pub(super) fn relocate(
        &mut self,
        id: ChildSaId,
        path: Path,
        encapsulation: Encapsulation,
    ) -> Result<(), CommandError> {
        let inbound = match self.inbound_of.get(&id) {
            Some(spi) => self.inbound.get_mut(spi).map(|entry| &mut **entry),
            None => self.groups.get_mut(id),
        };
        let outbound = self.outbound.get_mut(&id);
        if inbound.is_none() && outbound.is_none() {
            return Err(CommandError::NotInstalled(id));
        }
        if let Some(entry) = &inbound {
            install::check_move(entry.sa.child(), &path, encapsulation).map_err(InstallError::from)?;
        }
        if let Some(entry) = outbound {
            entry.sa.relocate(path, encapsulation)?;
        }
        if let Some(entry) = inbound {
            (entry.path, entry.encapsulation, entry.moved_to) = (path, encapsulation, None);
        }
        Ok(())
    }

    pub(super) fn remove(
        &mut self,
        now: Instant,
        id: ChildSaId,
        inbound: bool,
        outbound: bool,
    ) -> Result<(), CommandError> {
        let spi = self.inbound_of.get(&id).copied().filter(|_| inbound);
        let has_outbound = outbound && self.outbound.contains_key(&id);
        let has_group = inbound && self.groups.has(id);
        if spi.is_none() && !has_group && !has_outbound {
            return Err(CommandError::NotInstalled(id));
        }
        if let Some(spi) = spi {
            self.remove_inbound(now, id, spi);
        }
        if has_group {
            self.reports.forget(id, Direction::Inbound);
            self.end_group(id, None);
        }
        if has_outbound {
            self.remove_outbound(id, None);
        }
        Ok(())
    }

    /// The pair sends nothing more. With `end` it has moved, and what it counted with it: another SA with its key may go on
    /// from there.
    pub(super) fn remove_outbound(&mut self, id: ChildSaId, end: Option<Progress>) {
        if let Some(mut entry) = self.outbound.remove(&id) {
            self.policy.remove(id);
            self.outbound_of.remove(&(entry.sa.spi(), id));
            self.timers.settle(TimerKey::Outbound(id), &mut entry.armed, [None; 2]);
            self.reports.forget(id, Direction::Outbound);
            if end.is_none() {
                self.statistics.outbound.add(entry.sa.statistics());
            }
            self.used_keys.end(entry.print, end);
        }
    }

    fn remove_inbound(&mut self, now: Instant, id: ChildSaId, spi: EspSpi) {
        let heir = self.heir_of(spi).filter(|_| !self.config.linger.is_zero());
        self.inbound_of.remove(&id);
        self.reports.forget(id, Direction::Inbound);
        if let Some(heir) = heir
            && let Some(entry) = self.inbound.get_mut(&spi)
        {
            entry.removed = true;
            self.lingering.add(now, self.config.linger, id, spi, heir);
        } else {
            self.end_inbound(spi, None);
            for lingerer in self.lingering.take_predecessors(id) {
                self.end_inbound(lingerer.spi, None);
            }
        }
    }

    /// The pair that has the place of this inbound SA's, if it receives. Where both ends rekeyed a pair at once, the
    /// one that is left over has the same heir as the one that it was to replace (RFC 7296 §2.8.1).
    fn heir_of(&self, spi: EspSpi) -> Option<ChildSaId> {
        let entry = self.inbound.get(&spi)?;
        let child = entry.sa.child();
        let of_replaced = || {
            let replaced = child.replaces?;
            let spi = self.inbound_of.get(&replaced).copied().or_else(|| self.lingering.spi(replaced))?;
            self.inbound.get(&spi)?.heir.filter(|heir| *heir != child.id)
        };
        let heir = entry.heir.or_else(of_replaced)?;
        (self.inbound_of.contains_key(&heir) || self.lingering.holds(heir)).then_some(heir)
    }

    /// Nothing more is received by this SPI; `end` as for [`Engine::remove_outbound`].
    pub(super) fn end_inbound(&mut self, spi: EspSpi, end: Option<Progress>) {
        if let Some(entry) = self.inbound.remove(&spi) {
            self.end(*entry, end);
        }
    }

    /// As [`Engine::end_inbound`].
    pub(super) fn end_group(&mut self, id: ChildSaId, end: Option<Progress>) {
        if let Some(entry) = self.groups.remove(id) {
            self.end(*entry, end);
        }
    }

    fn end(&mut self, mut entry: Inbound, end: Option<Progress>) {
        self.timers.settle(entry.key, &mut entry.armed, [None; 2]);
        if end.is_none() {
            self.statistics.inbound.add(entry.sa.statistics());
        }
        self.used_keys.end(entry.print, end);
    }

    /// The keys, where they are kept for moving.
    pub(super) fn kept(&self, keys: &SaKeys) -> Option<SaKeys> {
        self.config.keep_keys.then(|| keys.clone())
    }
}
