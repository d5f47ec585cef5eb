//! What must hold of an SA before it is made, in either direction.

use crate::beet::InnerPair;
use crate::error::InstallError;
use crate::selectors;
use alloc::boxed::Box;
use ipsec_crypto::{CryptoProvider, PacketCipher};
use ipsec_types::sa::SaInstall;
use ipsec_types::{EncrId, Mode, SequenceNumbers};

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
pub(crate) fn check(install: &SaInstall) -> Result<Option<InnerPair>, InstallError> {
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
    match child.mode {
        Mode::Tunnel | Mode::Transport => Ok(None),
        Mode::Beet => InnerPair::of(child).map(Some).ok_or(InstallError::BeetAddresses),
        mode => Err(InstallError::UnsupportedMode(mode)),
    }
}
