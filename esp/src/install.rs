//! What must hold of an SA before it is made, in either direction.

use crate::beet::InnerPair;
use crate::error::{GroupFault, InstallError};
use crate::selectors;
use alloc::boxed::Box;
use core::net::IpAddr;
use ipsec_crypto::{CryptoProvider, PacketCipher};
use ipsec_types::sa::{ChildSa, Direction, GroupSa, SaInstall};
use ipsec_types::{Encapsulation, EncrId, Mode, Path, SequenceNumbers};

/// Expands the keys with the provider's algorithm.
pub(crate) fn make_cipher(
    provider: &CryptoProvider,
    install: &SaInstall,
) -> Result<Box<dyn PacketCipher>, InstallError> {
    let suite = install.child.suite;
    let unsupported = InstallError::UnsupportedSuite { suite, provider: provider.name };
    Ok(provider.cipher(suite).ok_or(unsupported)?.with_keys(&install.keys)?)
}

/// Refuses what no SA can be made of. Gives the inner addresses of BEET mode.
pub(crate) fn check(install: &SaInstall, direction: Direction) -> Result<Option<InnerPair>, InstallError> {
    let child = &*install.child;
    if install.spi.is_reserved() {
        return Err(InstallError::ReservedSpi(install.spi));
    }
    let implicit_iv = matches!(
        child.suite.encr,
        EncrId::AES_CCM_8_IIV | EncrId::AES_GCM_16_IIV | EncrId::CHACHA20_POLY1305_IIV
    );
    if implicit_iv && child.sequence_numbers == SequenceNumbers::Unspecified32 {
        return Err(InstallError::ImplicitIvNeedsSequence(child.suite));
    }
    selectors::check(&child.local, &child.remote)?;
    if let Some(group) = &child.group {
        check_group(child, group, direction)?;
    }
    match child.mode {
        Mode::Tunnel | Mode::Transport => Ok(None),
        Mode::Beet => InnerPair::of(child).map(Some).ok_or(InstallError::BeetAddresses),
        mode => Err(InstallError::UnsupportedMode(mode)),
    }
}

/// RFC 5374 §3.1 and §4; RFC 9838 §2.6; RFC 4303 §2.2; RFC 6054 §2.
fn check_group(child: &ChildSa, group: &GroupSa, direction: Direction) -> Result<(), GroupFault> {
    let address = group.group;
    if !address.is_multicast() {
        return Err(GroupFault::NotMulticast(address));
    }
    let no_sender = |source: &IpAddr| {
        source.is_multicast() || source.is_unspecified() || source.is_ipv4() != address.is_ipv4()
    };
    if let Some(source) = group.source.filter(no_sender) {
        return Err(GroupFault::Source(source));
    }
    check_group_path(child.mode, group, &child.path, child.encapsulation)?;
    let several_senders = group.source.is_none();
    match child.sequence_numbers {
        SequenceNumbers::Sequential64 => return Err(GroupFault::SequenceNumbers),
        SequenceNumbers::Sequential32 if several_senders => return Err(GroupFault::SeveralSenders),
        _ => {}
    }
    // Without Sender-IDs every sender's IVs are the same.
    if several_senders && direction == Direction::Outbound && child.suite.encr != EncrId::NULL {
        return Err(GroupFault::NoSenderId(child.suite));
    }
    Ok(())
}

/// Whether an SA that is there can go on by another path.
pub(crate) fn check_move(
    child: &ChildSa,
    path: &Path,
    encapsulation: Encapsulation,
) -> Result<(), GroupFault> {
    child.group.as_ref().map_or(Ok(()), |group| check_group_path(child.mode, group, path, encapsulation))
}

fn check_group_path(
    mode: Mode,
    group: &GroupSa,
    path: &Path,
    encapsulation: Encapsulation,
) -> Result<(), GroupFault> {
    let GroupSa { group: address, preserves_source, preserves_destination, .. } = *group;
    let remote = path.remote_ip();
    let leads_there = remote == address || preserves_destination && remote.is_ipv4() == address.is_ipv4();
    if !leads_there {
        return Err(GroupFault::Path(remote));
    }
    let can_preserve = mode == Mode::Tunnel && encapsulation == Encapsulation::None;
    if (preserves_source || preserves_destination) && !can_preserve {
        return Err(GroupFault::Preservation);
    }
    Ok(())
}
