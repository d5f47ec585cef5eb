//! SAs and engines for the measurements of ESP: a tunnel for all of IPv4 in UDP, with a policy that protects everything.

use ipsec_crypto::{CipherAlgorithm, CryptoProvider};
use ipsec_esp::spd::{Action, Applies, Spd, SpdEntry};
use ipsec_esp::{Engine, EngineConfig, InboundConfig, InboundSa, OutboundConfig, OutboundSa};
use ipsec_types::sa::{ChildSa, ChildSaId, Lifetimes, PolicyId, SaInstall, SaKeys};
use ipsec_types::{
    Encapsulation, EspSpi, Instant, Mode, Path, SaCommand, SecretBytes, SequenceNumbers, TrafficSelector,
};
use std::sync::Arc;

/// Octets that all keys are the beginning of.
pub const KEY: [u8; 68] = [7; 68];

/// The pair of this number, received by this SPI.
#[must_use]
pub fn install(algorithm: &dyn CipherAlgorithm, path: Path, id: u64, spi: EspSpi) -> SaInstall {
    let child = ChildSa {
        id: ChildSaId(id),
        policy: PolicyId(1),
        suite: algorithm.suite(),
        mode: Mode::Tunnel,
        sequence_numbers: SequenceNumbers::Sequential32,
        encapsulation: Encapsulation::Udp,
        path,
        local: vec![TrafficSelector::ALL_V4],
        remote: vec![TrafficSelector::ALL_V4],
        lifetimes: Lifetimes::default(),
        original_addresses: None,
        tfc_allowed: false,
        replaces: None,
        group: None,
    };
    let key = |len| SecretBytes::copy_from(KEY.get(..len).unwrap_or_default());
    let keys = SaKeys { encr: key(algorithm.encr_key_len()), integ: key(algorithm.integ_key_len()) };
    SaInstall { child: Arc::new(child), spi, keys }
}

/// What the sender of the one pair installs.
#[must_use]
pub fn sender(algorithm: &dyn CipherAlgorithm) -> SaInstall {
    install(algorithm, path(1, 2), 1, FIRST_SPI)
}

/// What its receiver installs.
#[must_use]
pub fn receiver(algorithm: &dyn CipherAlgorithm) -> SaInstall {
    install(algorithm, path(2, 1), 1, FIRST_SPI)
}

const FIRST_SPI: EspSpi = match EspSpi::new(0x1001) {
    Some(spi) => spi,
    None => unreachable!(),
};

/// From one host of 192.0.2.0/24 to another.
#[must_use]
pub fn path(local: u8, remote: u8) -> Path {
    Path::nat_t(([192, 0, 2, local], 4500).into(), ([192, 0, 2, remote], 4500).into())
}

/// An IPv4 packet of so many octets.
#[must_use]
pub fn inner(len: usize) -> Vec<u8> {
    let [high, low] = u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
    let mut packet = vec![0x45, 0, high, low, 0, 1, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1];
    packet.resize(len, 0x5A);
    packet
}

/// One SA of each direction; `None` where the provider does not do the suite.
#[must_use]
pub fn sas(provider: &CryptoProvider, suite: &dyn CipherAlgorithm) -> Option<(OutboundSa, InboundSa)> {
    let out = OutboundSa::new(provider, sender(suite), OutboundConfig::default(), Instant::ZERO);
    let inn = InboundSa::new(provider, receiver(suite), InboundConfig::default(), Instant::ZERO);
    Some((out.ok()?, inn.ok()?))
}

/// An engine that sends by one SA, and one that receives; `None` where the provider does not do the suite.
#[must_use]
pub fn engines(provider: &CryptoProvider, suite: &dyn CipherAlgorithm) -> Option<(Engine, Engine)> {
    let all = || vec![TrafficSelector::ALL_V4];
    let (action, applies) = (Action::Protect(PolicyId(1)), Applies::BothWays);
    let spd = Spd::new(vec![SpdEntry { action, applies, local: all(), remote: all() }]).ok()?;
    let with = |command| {
        let mut engine = Engine::new(provider, EngineConfig::default());
        engine.set_policy(Some(spd.clone()));
        engine.apply(Instant::ZERO, command).ok()?;
        Some(engine)
    };
    let sends = with(SaCommand::InstallOutbound(Box::new(sender(suite))))?;
    let receives = with(SaCommand::InstallInbound(Box::new(receiver(suite))))?;
    Some((sends, receives))
}
