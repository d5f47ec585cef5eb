//! Configurations of two or more peers that fit each other unless a test says otherwise, and generators.

use ikev2_core::negotiation::{EspProposal, IkeProposal};
use ikev2_core::{
    ChildConfig, Connection, EndpointConfig, Identity, IdentityPattern, KeyLog, LocalAuth, RemoteAuth,
    SharedKeys,
};
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{RandomError, SecureRandom};
use ipsec_types::sa::PolicyId;
use ipsec_types::{AddressRange, SecretBytes, TrafficSelector};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const SECRET: &[u8] = b"a long and random secret";

/// What one endpoint is configured with; tests change it before it is made.
#[derive(Debug)]
pub struct Setup {
    pub config: EndpointConfig,
    pub connection: Connection,
    /// Connections in front of that one.
    pub others: Vec<Connection>,
    pub keys: Arc<KeyBook>,
}

impl Setup {
    /// An endpoint called `us` with one connection, `tunnel`, to `peer`.
    pub fn new(us: &str, peer: &str) -> Self {
        let keys = Arc::new(KeyBook::default());
        let mut config = EndpointConfig::new(&RUSTCRYPTO);
        config.hooks.key_log = Some(keys.clone());
        let peer = IdentityPattern::Exactly(id(peer));
        let mut connection = Connection::with_shared_key("tunnel", id(us), peer, secret(SECRET));
        // What the tests of refusals set otherwise; the rest need not wait for the end.
        connection.refusal_patience = Duration::ZERO;
        connection.children = vec![child(1, "first", &["0.0.0.0/0"], &["0.0.0.0/0"])];
        Self { config, connection, others: Vec::new(), keys }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub fn ike(mut self, proposals: &[&str]) -> Self {
        self.connection.ike_proposals = ike(proposals);
        self
    }

    pub fn finish(mut self) -> Arc<EndpointConfig> {
        self.config.connections = self.others.into_iter().map(Arc::new).collect();
        self.config.connections.push(Arc::new(self.connection));
        Arc::new(self.config)
    }

    /// Another secret for both directions.
    pub fn set_secret(&mut self, octets: &[u8]) {
        let keys = SharedKeys::One(secret(octets));
        self.connection.local_auth = LocalAuth::SharedKey(keys.clone());
        self.connection.remote_auth = RemoteAuth::SharedKey(keys);
    }
}

/// Two that fit: `a.example` and `b.example`.
pub fn two() -> (Setup, Setup) {
    (Setup::new("a.example", "b.example"), Setup::new("b.example", "a.example"))
}

pub fn id(text: &str) -> Identity {
    text.parse().unwrap()
}

pub fn secret(octets: &[u8]) -> SecretBytes {
    SecretBytes::copy_from(octets)
}

pub fn ike(proposals: &[&str]) -> Vec<IkeProposal> {
    proposals.iter().map(|text| text.parse().unwrap()).collect()
}

pub fn esp(proposals: &[&str]) -> Vec<EspProposal> {
    proposals.iter().map(|text| text.parse().unwrap()).collect()
}

/// A selector for a prefix in the usual notation.
pub fn net(text: &str) -> TrafficSelector {
    let (address, length) = text.split_once('/').unwrap();
    let address: IpAddr = address.parse().unwrap();
    TrafficSelector::addresses(AddressRange::prefix(address, length.parse().unwrap()).unwrap())
}

pub fn nets(texts: &[&str]) -> Vec<TrafficSelector> {
    texts.iter().map(|text| net(text)).collect()
}

pub fn child(policy: u64, name: &str, local: &[&str], remote: &[&str]) -> Arc<ChildConfig> {
    Arc::new(ChildConfig::tunnel(PolicyId(policy), name, nets(local), nets(remote)))
}

/// The same with other proposals.
pub fn child_with(policy: u64, name: &str, proposals: &[&str]) -> Arc<ChildConfig> {
    let all = || nets(&["0.0.0.0/0"]);
    let mut child = ChildConfig::tunnel(PolicyId(policy), name, all(), all());
    child.proposals = esp(proposals);
    Arc::new(child)
}

pub fn seeded(seed: u64) -> Box<dyn SecureRandom> {
    let mut octets = [0; 32];
    octets[..8].copy_from_slice(&seed.to_be_bytes());
    Box::new(ChaCha20Rng::from_seed(octets))
}

/// Fails from the call number `fail_at` on, `failures` times.
#[derive(Debug)]
pub struct Failing {
    pub inner: ChaCha20Rng,
    pub fail_at: usize,
    pub failures: usize,
    pub calls: Arc<AtomicUsize>,
}

impl SecureRandom for Failing {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), RandomError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if call >= self.fail_at && call - self.fail_at < self.failures {
            return Err(RandomError);
        }
        SecureRandom::fill(&mut self.inner, buffer)
    }
}

/// Every line of the key log.
#[derive(Debug, Default)]
pub struct KeyBook {
    ike: Mutex<Vec<String>>,
    esp: Mutex<Vec<String>>,
}

impl KeyLog for KeyBook {
    fn ike(&self, line: &str) {
        self.ike.lock().unwrap().push(line.to_string());
    }

    fn esp(&self, line: &str) {
        self.esp.lock().unwrap().push(line.to_string());
    }
}

impl KeyBook {
    pub fn ike_lines(&self) -> Vec<String> {
        self.ike.lock().unwrap().clone()
    }

    pub fn esp_lines(&self) -> Vec<String> {
        self.esp.lock().unwrap().clone()
    }
}
