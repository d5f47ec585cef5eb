//! Which mode a Child SA has: asked for, granted or declined (RFC 7296 §1.3.1, §2.23.1).

use super::child::Child;
use crate::config::{ChildConfig, ModePolicy};
use crate::contents::Contents;
use crate::error::Failure;
use crate::event::NatStatus;
use crate::negotiation::{
    self, ChildExchange, EspChoice, Narrowed, SeenSelectors, Selection, SelectorLists, SelectorPair,
    TransportEnds,
};
use ikev2_wire::codes::NotifyType;
use ikev2_wire::{NotifyPayload, Payload, SaPayload, TsPayload};
use ipsec_types::sa::{OriginalAddresses, PacketSelectors};
use ipsec_types::{Mode, Path};

/// The ends of an IKE SA on this path.
pub(crate) fn ends(path: &Path, nat: NatStatus) -> TransportEnds {
    TransportEnds {
        local: path.local_ip(),
        remote: path.remote_ip(),
        local_behind_nat: nat.local,
        remote_behind_nat: nat.remote,
    }
}

fn policy(config: &ChildConfig) -> SelectorPair<'_> {
    SelectorPair { local: &config.local, remote: &config.remote }
}

/// The mode and the selectors to propose. Where transport mode is preferred and the policy has no traffic between
/// the two ends themselves, it is tunnel mode from the start.
pub(crate) fn propose(
    config: &ChildConfig,
    path: &Path,
    packet: Option<&PacketSelectors>,
) -> Result<(Mode, SelectorLists), Failure> {
    if config.mode != ModePolicy::Tunnel {
        // NATs do not matter to what is sent: it is our own view (§2.23.1).
        match ends(path, NatStatus::default()).policy(policy(config)) {
            Some(between) => return Ok((Mode::Transport, negotiation::propose(between.pair(), packet))),
            None if config.mode == ModePolicy::RequireTransport => return Err(no_traffic(path)),
            None => {}
        }
    }
    Ok((Mode::Tunnel, negotiation::propose(policy(config), packet)))
}

/// What to propose in place of a Child SA of this mode: the same mode (§2.8).
pub(crate) fn propose_again(
    config: &ChildConfig,
    mode: Mode,
    path: &Path,
) -> Result<(Mode, SelectorLists), Failure> {
    match mode {
        Mode::Transport => {
            let between = ends(path, NatStatus::default()).policy(policy(config));
            Ok((mode, negotiation::propose(between.ok_or_else(|| no_traffic(path))?.pair(), None)))
        }
        _ => Ok((mode, negotiation::propose(policy(config), None))),
    }
}

fn no_traffic(path: &Path) -> Failure {
    Failure::TransportEnds { local: path.local_ip(), remote: path.remote_ip() }
}

/// USE_TRANSPORT_MODE in a request or an answer, where the mode is that.
pub(crate) fn push(payloads: &mut alloc::vec::Vec<Payload<'_>>, mode: Mode) {
    if mode == Mode::Transport {
        payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::USE_TRANSPORT_MODE, &[])));
    }
}

fn has_notify(contents: &Contents<'_>) -> bool {
    contents.notify(NotifyType::USE_TRANSPORT_MODE).is_some()
}

/// The mode of an answer: transport mode if it was asked for and is granted. Whoever grants what was not asked for
/// is not followed.
pub(crate) fn of_answer(
    config: &ChildConfig,
    proposed: Mode,
    contents: &Contents<'_>,
) -> Result<Mode, Failure> {
    match proposed {
        Mode::Transport if has_notify(contents) => Ok(Mode::Transport),
        Mode::Transport if config.mode == ModePolicy::RequireTransport => {
            Err(Failure::Mode { got: Mode::Tunnel, wanted: Mode::Transport })
        }
        _ => Ok(Mode::Tunnel),
    }
}

/// What a peer asks for, in either mode.
#[derive(Debug)]
pub(crate) struct Asked {
    /// As it was sent.
    pub sent: SelectorLists,
    /// As we see it, if transport mode is asked for and can be had.
    pub seen: Option<SeenSelectors>,
    path: Path,
}

/// A child of ours that fits.
#[derive(Debug)]
pub(crate) struct Fit {
    pub narrowed: Narrowed,
    pub choice: EspChoice,
    pub mode: Mode,
    pub original: Option<OriginalAddresses>,
}

impl Asked {
    /// By a request: TSr is our end.
    pub(crate) fn by(
        contents: &Contents<'_>,
        local: &TsPayload<'_>,
        remote: &TsPayload<'_>,
        path: Path,
        nat: NatStatus,
    ) -> Self {
        let sent = SelectorLists::known(local, remote);
        let seen = if has_notify(contents) { ends(&path, nat).seen(&sent) } else { None };
        Self { sent, seen, path }
    }

    /// Whether the child takes it in this mode. Of a policy for transport mode only the traffic between the two
    /// ends counts.
    pub(crate) fn fits(
        &self,
        config: &ChildConfig,
        mode: Mode,
        sa: &SaPayload<'_>,
        exchange: ChildExchange,
    ) -> Result<Fit, Failure> {
        let (narrowed, original) = match &self.seen {
            Some(seen) if mode == Mode::Transport => {
                let between = ends(&self.path, NatStatus::default()).policy(policy(config));
                let between = between.ok_or_else(|| no_traffic(&self.path))?;
                (negotiation::narrow(between.pair(), seen.selectors.pair()), seen.original)
            }
            _ => (negotiation::narrow(policy(config), self.sent.pair()), None),
        };
        let narrowed = narrowed.map_err(Failure::TsUnacceptable)?;
        if mode == Mode::Tunnel && config.mode == ModePolicy::RequireTransport {
            return Err(Failure::Mode { got: Mode::Tunnel, wanted: Mode::Transport });
        }
        Ok(Fit { narrowed, choice: choose(config, sa, exchange)?, mode, original })
    }

    /// Whether it can take the place of this Child SA: in the same mode, with the same selectors, by the same
    /// policy (§2.8).
    pub(crate) fn fits_rekey(
        &self,
        old: &Child,
        sa: &SaPayload<'_>,
        exchange: ChildExchange,
    ) -> Result<Fit, Failure> {
        let (config, mode) = (&old.config, old.sa.mode);
        let (narrowed, original) = match (mode, &self.seen) {
            (Mode::Transport, Some(seen)) => {
                let between = ends(&self.path, NatStatus::default()).policy(policy(config));
                let between = between.ok_or_else(|| no_traffic(&self.path))?;
                let proposed = seen.selectors.pair();
                (negotiation::narrow_for_rekey(old.selectors(), between.pair(), proposed), seen.original)
            }
            (Mode::Transport, None) => return Err(Failure::Mode { got: Mode::Tunnel, wanted: mode }),
            _ => {
                let proposed = self.sent.pair();
                (negotiation::narrow_for_rekey(old.selectors(), policy(config), proposed), None)
            }
        };
        let narrowed = narrowed.map_err(Failure::TsUnacceptable)?;
        Ok(Fit { narrowed, choice: choose(config, sa, exchange)?, mode, original })
    }

    /// The modes in which our children are searched, in this order (§2.23.1): tunnel mode with what was sent, where
    /// nothing takes it in transport mode.
    pub(crate) fn modes(&self) -> &'static [Mode] {
        if self.seen.is_some() { &[Mode::Transport, Mode::Tunnel] } else { &[Mode::Tunnel] }
    }
}

fn choose(config: &ChildConfig, sa: &SaPayload<'_>, exchange: ChildExchange) -> Result<EspChoice, Failure> {
    match negotiation::choose_esp(&config.proposals, sa, exchange) {
        Ok(Selection::Chosen(choice)) => Ok(choice),
        Ok(Selection::InvalidKe(mismatch)) => Err(Failure::InvalidKe(mismatch)),
        Err(mismatch) => Err(Failure::NoProposalChosen(mismatch)),
    }
}
