//! What must hold of an SA before it is made, in either direction.

use crate::error::InstallError;
use alloc::boxed::Box;
use ipsec_crypto::{CryptoProvider, PacketCipher};
use ipsec_types::sa::{ChildSa, SaInstall};
use ipsec_types::{EncrId, Mode, PortRange, SequenceNumbers, TrafficSelector};

/// Expands the keys with the provider's algorithm.
pub(crate) fn make_cipher(
    provider: &CryptoProvider,
    install: &SaInstall,
) -> Result<Box<dyn PacketCipher>, InstallError> {
    let suite = install.child.suite;
    let unsupported = InstallError::UnsupportedSuite { suite, provider: provider.name };
    Ok(provider.cipher(suite).ok_or(unsupported)?.with_keys(&install.keys)?)
}

/// Refuses what no SA can be made of.
pub(crate) fn check(install: &SaInstall) -> Result<(), InstallError> {
    let child = &*install.child;
    if !matches!(child.mode, Mode::Tunnel | Mode::Transport) {
        return Err(InstallError::UnsupportedMode(child.mode));
    }
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
    check_selectors(child)
}

fn check_selectors(child: &ChildSa) -> Result<(), InstallError> {
    for side in [&child.local, &child.remote] {
        if side.is_empty() {
            return Err(InstallError::NoSelectors);
        }
        let ports_of_any = |selector: &&TrafficSelector| {
            selector.protocol == TrafficSelector::ANY_PROTOCOL && selector.ports != PortRange::ANY
        };
        if let Some(selector) = side.iter().find(ports_of_any) {
            return Err(InstallError::PortsOfAnyProtocol(*selector));
        }
    }
    Ok(())
}
