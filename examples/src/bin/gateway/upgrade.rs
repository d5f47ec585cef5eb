//! One process takes the place of another: the first one writes down all SAs and leaves without a word, and the next one
//! goes on with them. Peers notice nothing but the packets that came in between.

use crate::gateway::{Child, Gateway, PATIENCE};
use ikev2_core::{CallError, ChildSaInfo, IkeSaHandle, IkeSaInfo, MoveError};
use ipsec_crypto::CryptoProvider;
use ipsec_crypto::state::StateKey;
use ipsec_examples::{state_file, tell};
use ipsec_types::Instant;
use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;

/// Where SAs are written down, and what seals them.
#[derive(Debug)]
pub(crate) struct Upgrade {
    file: PathBuf,
    key: StateKey,
}

/// The way out.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// Who does not stand still by then stays behind.
    until: Instant,
    containers: Vec<Vec<u8>>,
    /// The IKE SAs in them.
    gone: BTreeSet<IkeSaHandle>,
}

impl Leaving {
    pub(crate) const fn until(&self) -> Instant {
        self.until
    }
}

impl Upgrade {
    /// The key is the whole content of its file.
    pub(crate) fn new(
        provider: &CryptoProvider,
        file: PathBuf,
        key: &std::path::Path,
    ) -> Result<Self, Box<dyn Error>> {
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", key.display());
        let octets = std::fs::read(key).map_err(|error| told(&error))?;
        Ok(Self { file, key: StateKey::new(provider, &octets).map_err(|error| told(&error))? })
    }
}

impl Gateway {
    /// The signal came: from now on nothing begins here.
    pub(crate) fn leave(&mut self) {
        let now = self.log.now();
        if self.upgrade.is_none() {
            return self.log.line("there is no --state to leave to");
        }
        self.log.line("leaving");
        self.starts.stop();
        self.leaving.get_or_insert(Leaving {
            until: now + PATIENCE,
            containers: Vec::new(),
            gone: BTreeSet::new(),
        });
    }

    /// Takes out what stands still; whether all is written down.
    pub(crate) fn has_left(&mut self) -> Result<bool, Box<dyn Error>> {
        let Some(mut leaving) = self.leaving.take() else { return Ok(false) };
        let Some(upgrade) = self.upgrade.take() else { return Ok(false) };
        let now = self.log.now();
        let handles: Vec<_> = self.endpoint.ike_sas().map(|(handle, _)| handle).collect();
        let mut waits = false;
        for handle in handles {
            match self.endpoint.export(now, handle, &upgrade.key) {
                Ok(container) => {
                    leaving.containers.push(container);
                    leaving.gone.insert(handle);
                }
                Err(MoveError::Unsettled(why)) => {
                    waits = true;
                    self.tell_if_verbose(format_args!("an IKE SA can't leave yet: {why}"));
                }
                // It is not up yet, or almost down: its peer begins again, or is done.
                Err(MoveError::Call(CallError::NotEstablished)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if waits && now < leaving.until {
            (self.leaving, self.upgrade) = (Some(leaving), Some(upgrade));
            return Ok(false);
        }
        // The data path goes last, and in the order in which it came.
        for (&id, _) in self.children.iter().filter(|(_, child)| leaving.gone.contains(&child.sa)) {
            match self.engine.export(now, id, &upgrade.key, 0) {
                Ok(container) => leaving.containers.push(container),
                Err(error) => self.log.line(format_args!("a Child SA stays behind: {error}")),
            }
        }
        state_file::write(&upgrade.file, &leaving.containers)?;
        self.log.line(format_args!("left: {} SAs", leaving.containers.len()));
        Ok(true)
    }

    /// Goes on with what the process before left.
    pub(crate) fn resume(&mut self) -> Result<(), Box<dyn Error>> {
        let Some(upgrade) = &self.upgrade else { return Ok(()) };
        let Some((containers, age)) = state_file::take(&upgrade.file)? else { return Ok(()) };
        let now = self.log.now();
        for container in &containers {
            // Each kind knows its own.
            let ike = self.endpoint.import(now, &upgrade.key, container, age).map(drop);
            let taken = match ike {
                Err(MoveError::State(ipsec_crypto::state::StateError::Kind(_))) => self
                    .engine
                    .import(now, &upgrade.key, container, age)
                    .map(drop)
                    .map_err(|error| error.to_string()),
                other => other.map_err(|error| error.to_string()),
            };
            if let Err(error) = taken {
                self.log.line(format_args!("an SA does not go on: {error}"));
            }
        }
        Ok(())
    }

    /// An IKE SA of the process before.
    pub(crate) fn on_imported(&mut self, sa: IkeSaHandle, info: &IkeSaInfo, children: &[ChildSaInfo]) {
        self.log.line(format_args!("IKE SA goes on: {}", tell::ike_sa(info)));
        self.starts.goes_on(&info.connection, sa);
        for info in children {
            let (id, name) = (info.child.id, self.name_of(info.child.policy));
            self.log.line(format_args!("Child SA goes on: {}", tell::child_sa(&name, info)));
            self.children.insert(id, Child { sa, name, expiring: false });
        }
        // Their ESP SAs came at the same time.
        self.fit_tun(None);
    }
}
