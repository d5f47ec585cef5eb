//! The gateway's configuration: a TOML file, checked whole before anything is opened.
//!
//! ```toml
//! listen = ["10.9.0.1"]         # our addresses; without it, the `local` of each connection
//! ike_port = 500                # the default
//! nat_t_port = 4500             # the default
//! trains = true                 # the default: ESP packets in UDP leave and come up to 64 in one call (UDP_SEGMENT, UDP_GRO);
//!                               # then captures on this machine show them as one
//! cookies = "never"             # or "always", or from so many half-open IKE SAs on (default 100)
//!
//! [tun]
//! name = "ipsec0"               # the default
//! addresses = ["10.1.0.1/32"]   # none by default: the addresses are on another device
//! path_mtu = 1500               # of the path to the peers, the default
//! mtu = 1400                    # by default the largest that ESP in `path_mtu` leaves
//! routes = true                 # the default: what the children call `remote` goes to the device
//!
//! [[connection]]
//! name = "b"
//! start = true                  # default false: wait for the peer
//! reconnect = "after-failure"   # the default; or "never", or "always": also when the peer deleted it
//! local = "10.9.0.1"            # default: any of `listen`
//! remote = "10.9.0.2"           # default: any, and then `start` is not possible
//! remote_port = 500             # the default
//! remote_nat_t_port = 4500      # the default
//! local_id = "a.example"
//! remote_id = "b.example"       # or "any"
//! # psk = "a long and random text"  # or psk_hex = "0123abcd": for each side that does not sign
//! key = "a-key.pem"             # our private key: we sign. Of RSA, ECDSA or Ed25519; PKCS#8, PKCS#1 or SEC 1
//! certificates = "a.pem"        # ours, the one of the key first; sent to the peer. Default: none
//! sign_by = ["ed25519"]         # or ecdsa-sha256, rsa-pss-sha256, rsa-pkcs1-sha256 …; default: all the key can do
//! sha1_signatures = false       # the default; true: RSA with SHA-1 with a peer that knows no RFC 7427 and signs so
//! trusted = ["b.pem"]           # the peer's certificates or public keys: it signs with one of them
//! # eap = { name = "user", password = "text" }  # we authenticate by EAP-MSCHAPv2 where we begin; `trusted` has the peer's key. An
//!                               # example of a method, and a weak one
//! # eap_users = { user = "text" }  # peers that begin authenticate so, and we sign
//! ike = ["aes256gcm16-prfsha256-x25519"]  # a text or a list; default: what RFC 8247 asks for
//! lifetime = { seconds = 18000 }  # of the IKE SA; default: rekeyed after 4 h, ended after 5 h
//! reauthenticate = 3600         # seconds after which we authenticate anew where we began; default: when the peer asks
//! authentication_lifetime = 3600  # seconds after which a peer that began must have authenticated anew; default: never
//! liveness = 30                 # seconds without a sign of the peer before it is asked; 0 is never
//! retransmit = { seconds = 1, repeats = 8 }  # the default: the first pause, which grows, and how often a request is repeated
//! force_encapsulation = false   # the default; true: ESP always in UDP
//! ask_addresses = ["0.0.0.0"]   # inner addresses that we ask for where we begin, with name servers; 0.0.0.0 and :: for any.
//!                               # They go to the TUN device, and are our side of the children. Default: none
//! pool = ["10.3.0.0/24"]        # inner addresses for peers that ask for one; the peer's side of the children is theirs then, within
//!                               # `remote`. Who asks for none gets no Child SA. Default: none
//! dns = ["10.2.0.53"]           # name servers that they are told, and domains which those know (split DNS)
//! dns_domains = ["example.com"]
//! mobike = false                # the default; true: IKE SAs move to another address of `listen` when theirs is gone, or dead
//! intermediate = "as-needed"   # the default; "always": IKE_INTERMEDIATE also where no additional key exchange needs it
//! childless = "never"           # the default; "accepted", "preferred" or "required": the IKE SA begins without a Child SA,
//!                               # and the first one comes after it
//! fragments = 1280              # the size in octets of IP datagrams that IKE messages are fragmented to fit; the
//!                               # default is this one, and 576 over IPv4 where nothing comes back. 0 is never
//!
//! [[connection.child]]
//! name = "net"
//! local = ["10.1.0.0/24"]       # a text or a list; also 10.1.0.1, 10.1.0.1-10.1.0.9, 10.1.0.0/24[tcp/443]
//! remote = ["10.2.0.0/24"]
//! mode = "tunnel"               # the default; or "transport", or "prefer-transport"
//! esp = ["aes256gcm16"]         # a text or a list; default: what RFC 8221 asks for
//! lifetime = { seconds = 3600, octets = 1_000_000_000, packets = 1_000_000 }  # default: none
//! ```
//!
//! Algorithms that RFC 8247 and RFC 8221 hold for weak want `weak:` before their name: `aes128-weak:sha1`.
//!
//! Names of files are relative to the folder of this one; each holds PEM or DER. Nothing of a trusted certificate counts
//! but its key: it is trusted because it stands here, for whatever identity `remote_id` takes.

mod credentials;

use crate::eap::Passwords;
use credentials::{CredentialFields, Scheme, Secret};
use ikev2_core::config::ModePolicy;
use ikev2_core::config_payload::pool::RangePool;
use ikev2_core::identity::IdentityError;
use ikev2_core::negotiation::{EspProposal, IkeProposal};
use ikev2_core::{
    AddressPolicy, AddressSource, ChildConfig, Childless, ConfigAttribute, ConfigRequest, Connection,
    CookiePolicy, EndpointConfig, FragmentPolicy, Identity, IdentityPattern, Intermediate, MobikePolicy,
};
use ikev2_wire::codes::CfgAttribute;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_types::sa::{Lifetimes, Limit, PolicyId};
use ipsec_types::{AddressRange, PortRange, TrafficSelector};
use serde::{Deserialize, Deserializer, de};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a configuration is not used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It is no TOML, or a value is not what it should be; the text shows the line.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// It says nothing about any peer.
    #[error("there is no [[connection]]")]
    NoConnection,
    /// Something in a connection does not fit together.
    #[error("connection `{connection}`: {what}")]
    Connection {
        /// Its name.
        connection: String,
        /// What is wrong.
        what: String,
    },
    /// Neither `listen` nor any `local` gives an address.
    #[error("no address to listen on: set `listen`, or `local` in each connection")]
    NoAddress,
    /// The two ports are the same.
    #[error("ike_port and nat_t_port are both {0}")]
    SamePorts(u16),
}

/// A configuration that was checked.
#[derive(Debug)]
pub struct GatewayConfig {
    /// Our addresses.
    pub listen: Vec<IpAddr>,
    /// The port of IKE without NAT traversal.
    pub ike_port: u16,
    /// Whether ESP packets in UDP leave and come several in one call.
    pub trains: bool,
    /// The TUN device.
    pub tun: TunConfig,
    /// What the IKE endpoint is told, the NAT-T port included.
    pub endpoint: EndpointConfig,
    /// The connections that we start.
    pub starts: Vec<Start>,
    /// What EAP needs, by connection.
    pub passwords: BTreeMap<String, Passwords>,
}

/// The TUN device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TunConfig {
    /// Its name.
    pub name: String,
    /// Its addresses, with prefix lengths.
    pub addresses: Vec<String>,
    /// Its MTU; `None` to compute it from [`TunConfig::path_mtu`].
    pub mtu: Option<u16>,
    /// The MTU of the path to the peers.
    pub path_mtu: u16,
    /// Whether routes to the children's remote selectors are made.
    pub routes: bool,
}

impl Default for TunConfig {
    fn default() -> Self {
        Self { name: "ipsec0".into(), addresses: Vec::new(), mtu: None, path_mtu: 1_500, routes: true }
    }
}

/// A connection that we start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// The connection's name.
    pub connection: String,
    /// When it is started again.
    pub reconnect: Reconnect,
}

/// When a connection that ended is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reconnect {
    /// Never.
    Never,
    /// When it failed, or the peer was lost.
    #[default]
    AfterFailure,
    /// Also when the peer deleted it.
    Always,
}

impl FromStr for GatewayConfig {
    type Err = ConfigError;

    /// With files relative to the working directory.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::parse(text, Path::new(""))
    }
}

impl GatewayConfig {
    /// With files relative to this folder.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(text)?;
        if file.connection.is_empty() {
            return Err(ConfigError::NoConnection);
        }
        if file.ike_port == file.nat_t_port {
            return Err(ConfigError::SamePorts(file.ike_port));
        }
        let mut endpoint = EndpointConfig::new(&RUSTCRYPTO);
        endpoint.local_nat_t_port = file.nat_t_port;
        endpoint.cookies = file.cookies.0;
        let mut listen: BTreeSet<IpAddr> = file.listen.iter().flatten().copied().collect();
        let mut passwords = BTreeMap::new();
        let (mut names, mut starts, mut policies) = (BTreeSet::new(), Vec::new(), (1..).map(PolicyId));
        for connection in file.connection {
            let name = connection.name.clone();
            let fail = |what: String| ConfigError::Connection { connection: name.clone(), what };
            if !names.insert(name.clone()) {
                return Err(fail("the name stands twice".into()));
            }
            match (connection.local, &file.listen) {
                (Some(local), None) => drop(listen.insert(local)),
                (Some(local), Some(addresses)) if !addresses.contains(&local) => {
                    return Err(fail(format!("`local` {local} is not in `listen`")));
                }
                _ => {}
            }
            if connection.start {
                starts.push(Start { connection: name.clone(), reconnect: connection.reconnect });
            }
            let ours =
                connection.eap.as_ref().map(|eap| (eap.name.clone(), Zeroizing::new(eap.password.clone())));
            let users = connection
                .eap_users
                .iter()
                .map(|(name, password)| (name.clone(), Zeroizing::new(password.clone())));
            passwords.insert(name.clone(), Passwords { ours, users: users.collect() });
            endpoint.connections.push(Arc::new(connection.build(folder, &mut policies).map_err(fail)?));
        }
        if listen.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        let listen = listen.into_iter().collect();
        let (ike_port, trains) = (file.ike_port, file.trains);
        Ok(Self { listen, ike_port, trains, tun: file.tun, endpoint, starts, passwords })
    }
}

impl ConnectionFile {
    fn build(
        self,
        folder: &Path,
        policies: &mut impl Iterator<Item = PolicyId>,
    ) -> Result<Connection, String> {
        if self.start && self.remote.is_none() {
            return Err("`start` needs a `remote`".into());
        }
        if let (Some(local), Some(remote)) = (self.local, self.remote)
            && local.is_ipv4() != remote.is_ipv4()
        {
            return Err(format!("`local` {local} and `remote` {remote} are of two families"));
        }
        if self.child.is_empty() {
            return Err("there is no [[connection.child]]".into());
        }
        let credentials = CredentialFields {
            psk: self.psk,
            psk_hex: self.psk_hex,
            key: self.key,
            certificates: self.certificates,
            sign_by: self.sign_by,
            trusted: self.trusted,
            eap: self.eap.is_some(),
            eap_users: !self.eap_users.is_empty(),
        };
        let (local_auth, remote_auth) = credentials.build(folder)?;
        let mut connection =
            Connection::new(self.name, self.local_id.0, self.remote_id.0.0, local_auth, remote_auth);
        connection.local_address = self.local;
        connection.remote_address = self.remote;
        connection.remote_port = self.remote_port;
        connection.remote_nat_t_port = self.remote_nat_t_port;
        connection.force_udp_encapsulation = self.force_encapsulation;
        connection.sha1_signatures = self.sha1_signatures;
        connection.config_request = ask_for(self.ask_addresses.0);
        connection.addresses = pool_of(self.pool.0, self.dns.0, &self.dns_domains.0);
        connection.mobike = self.mobike.then(MobikePolicy::default);
        connection.intermediate = match self.intermediate {
            IntermediateFile::AsNeeded => Intermediate::AsNeeded,
            IntermediateFile::Always => Intermediate::Always,
        };
        connection.childless = match self.childless {
            ChildlessFile::Never => Childless::Never,
            ChildlessFile::Accepted => Childless::Accepted,
            ChildlessFile::Preferred => Childless::Preferred,
            ChildlessFile::Required => Childless::Required,
        };
        if let Some(RetransmitFile { seconds, repeats }) = self.retransmit {
            connection.retransmit.initial = Duration::from_secs(seconds);
            connection.retransmit.repeats = repeats;
        }
        if let Some(IkeLifetimeFile { seconds }) = self.lifetime {
            let Limit { soft, hard } = limit(Some(seconds));
            connection.ike_rekey_after = soft.map(Duration::from_secs);
            connection.ike_expires_after = hard.map(Duration::from_secs);
        }
        connection.reauthenticate_after = self.reauthenticate.map(Duration::from_secs);
        connection.authentication_lifetime = self.authentication_lifetime.map(Duration::from_secs);
        if let Some(seconds) = self.liveness {
            connection.liveness = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        connection.fragmentation = self.fragments.map_or(connection.fragmentation, fragmentation);
        if !self.ike.0.is_empty() {
            connection.ike_proposals = self.ike.0;
        }
        let mut names = BTreeSet::new();
        for (child, policy) in self.child.into_iter().zip(policies) {
            if !names.insert(child.name.clone()) {
                return Err(format!("two children are called `{}`", child.name));
            }
            connection.children.push(Arc::new(child.build(policy)?));
        }
        Ok(connection)
    }
}

/// Asks for these inner addresses, and for what goes with them.
fn ask_for(addresses: Vec<IpAddr>) -> Option<ConfigRequest> {
    let is_wanted = |v4: bool| addresses.iter().any(|address| address.is_ipv4() == v4);
    let mut request = ConfigRequest::any(is_wanted(true), is_wanted(false));
    request.attributes.push(ConfigAttribute::ask(CfgAttribute::INTERNAL_DNS_DOMAIN));
    let none = addresses.is_empty();
    request.addresses = addresses;
    (!none).then_some(request)
}

/// Inner addresses for peers, and what they are told besides.
fn pool_of(pool: Vec<Selector>, dns: Vec<IpAddr>, domains: &[String]) -> Option<AddressPolicy> {
    let ranges: Vec<_> = pool.into_iter().map(|selector| selector.0.addresses).collect();
    if ranges.is_empty() {
        return None;
    }
    let servers = dns.into_iter().map(ConfigAttribute::dns);
    let domains = domains.iter().map(|domain| ConfigAttribute::dns_domain(domain));
    let pool = RangePool::new(ranges, servers.chain(domains).collect());
    Some(AddressPolicy { source: AddressSource::Pool(Arc::new(pool)), required: true })
}

/// Fragments of this size at first, and no larger ones at last.
fn fragmentation(size: u16) -> Option<FragmentPolicy> {
    let mut policy = FragmentPolicy::default();
    (policy.ipv4.first, policy.ipv6.first) = (size, size);
    (size > 0).then_some(policy)
}

/// Nine tenths through its life, an SA is replaced.
fn limit(hard: Option<u64>) -> Limit {
    Limit { soft: hard.map(|hard| hard - hard.div_ceil(10)), hard }
}

impl ChildFile {
    fn build(self, policy: PolicyId) -> Result<ChildConfig, String> {
        if self.local.0.is_empty() || self.remote.0.is_empty() {
            return Err(format!("child `{}` needs `local` and `remote` selectors", self.name));
        }
        let selectors = |list: List<Selector>| list.0.into_iter().map(|selector| selector.0).collect();
        let mut child = ChildConfig::tunnel(policy, self.name, selectors(self.local), selectors(self.remote));
        child.mode = match self.mode {
            Mode::Tunnel => ModePolicy::Tunnel,
            Mode::PreferTransport => ModePolicy::PreferTransport,
            Mode::Transport => ModePolicy::RequireTransport,
        };
        if !self.esp.0.is_empty() {
            child.proposals = self.esp.0;
        }
        let LifetimeFile { seconds, octets, packets } = self.lifetime;
        child.lifetimes =
            Lifetimes { seconds: limit(seconds), octets: limit(octets), packets: limit(packets) };
        Ok(child)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<Vec<IpAddr>>,
    #[serde(default = "ike_port")]
    ike_port: u16,
    #[serde(default = "yes")]
    trains: bool,
    #[serde(default = "nat_t_port")]
    nat_t_port: u16,
    #[serde(default)]
    cookies: Cookies,
    #[serde(default)]
    tun: TunConfig,
    #[serde(default)]
    connection: Vec<ConnectionFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectionFile {
    name: String,
    #[serde(default)]
    start: bool,
    #[serde(default)]
    reconnect: Reconnect,
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
    #[serde(default = "ike_port")]
    remote_port: u16,
    #[serde(default = "nat_t_port")]
    remote_nat_t_port: u16,
    local_id: Text<Identity>,
    remote_id: Text<Pattern>,
    psk: Option<Secret>,
    psk_hex: Option<Secret>,
    key: Option<PathBuf>,
    certificates: Option<PathBuf>,
    #[serde(default)]
    sign_by: List<Scheme>,
    #[serde(default)]
    sha1_signatures: bool,
    #[serde(default)]
    trusted: List<PathBuf>,
    eap: Option<EapFile>,
    #[serde(default)]
    eap_users: BTreeMap<String, String>,
    #[serde(default)]
    ike: List<IkeProposal>,
    lifetime: Option<IkeLifetimeFile>,
    reauthenticate: Option<u64>,
    authentication_lifetime: Option<u64>,
    liveness: Option<u64>,
    fragments: Option<u16>,
    retransmit: Option<RetransmitFile>,
    #[serde(default)]
    force_encapsulation: bool,
    #[serde(default)]
    ask_addresses: List<IpAddr>,
    #[serde(default)]
    pool: List<Selector>,
    #[serde(default)]
    dns: List<IpAddr>,
    #[serde(default)]
    dns_domains: List<String>,
    #[serde(default)]
    mobike: bool,
    #[serde(default)]
    intermediate: IntermediateFile,
    #[serde(default)]
    childless: ChildlessFile,
    #[serde(default)]
    child: Vec<ChildFile>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum IntermediateFile {
    #[default]
    AsNeeded,
    Always,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ChildlessFile {
    #[default]
    Never,
    Accepted,
    Preferred,
    Required,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChildFile {
    name: String,
    local: List<Selector>,
    remote: List<Selector>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    esp: List<EspProposal>,
    #[serde(default)]
    lifetime: LifetimeFile,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    #[default]
    Tunnel,
    PreferTransport,
    Transport,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EapFile {
    name: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetransmitFile {
    seconds: u64,
    repeats: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IkeLifetimeFile {
    seconds: u64,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LifetimeFile {
    seconds: Option<u64>,
    octets: Option<u64>,
    packets: Option<u64>,
}

fn yes() -> bool {
    true
}

fn ike_port() -> u16 {
    500
}

fn nat_t_port() -> u16 {
    4_500
}

/// A value that the file has as a text.
struct Text<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|error| de::Error::custom(format_args!("{text:?}: {error}")))
    }
}

/// Values that the file has as one text, or as a list of texts.
struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany<T>(PhantomData<T>);

        impl<'de, T: FromStr<Err: fmt::Display>> de::Visitor<'de> for OneOrMany<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<List<T>, E> {
                Text::deserialize(de::value::StrDeserializer::new(text)).map(|one| List(vec![one.0]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut texts: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(Text(one)) = texts.next_element()? {
                    list.push(one);
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_any(OneOrMany(PhantomData))
    }
}

/// The peer's identity, or `any`.
struct Pattern(IdentityPattern);

impl FromStr for Pattern {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Ok(Self(if text == "any" { IdentityPattern::Any } else { IdentityPattern::Exactly(text.parse()?) }))
    }
}

/// When cookies are asked for.
struct Cookies(CookiePolicy);

impl Default for Cookies {
    fn default() -> Self {
        Self(CookiePolicy::WhenHalfOpen(100))
    }
}

impl<'de> Deserialize<'de> for Cookies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "\"never\", \"always\" or a number of half-open IKE SAs")]
        enum Value {
            Number(usize),
            Word(Text<Cookies>),
        }
        Ok(match Value::deserialize(deserializer)? {
            Value::Number(half_open) => Self(CookiePolicy::WhenHalfOpen(half_open)),
            Value::Word(Text(cookies)) => cookies,
        })
    }
}

impl FromStr for Cookies {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        Ok(Self(match text {
            "never" => CookiePolicy::Never,
            "always" => CookiePolicy::Always,
            number => CookiePolicy::WhenHalfOpen(number.parse()?),
        }))
    }
}

/// A traffic selector as it is printed: `10.1.0.0/24`, `10.1.0.1-10.1.0.9[udp/53]`.
struct Selector(TrafficSelector);

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (addresses, rest) = match text.split_once('[') {
            Some((addresses, rest)) => (addresses, rest.strip_suffix(']').ok_or("`]` is missing")?),
            None => (text, "any"),
        };
        let (protocol, ports) = rest.split_once('/').unwrap_or((rest, "any"));
        Ok(Self(TrafficSelector {
            addresses: address_range(addresses)?,
            protocol: match protocol {
                "any" => TrafficSelector::ANY_PROTOCOL,
                "icmp" => 1,
                "tcp" => 6,
                "udp" => 17,
                "icmpv6" => 58,
                number => number.parse().map_err(|_| format!("`{number}` is no protocol"))?,
            },
            ports: port_range(ports)?,
        }))
    }
}

fn address_range(text: &str) -> Result<AddressRange, String> {
    let address = |text: &str| text.parse::<IpAddr>().map_err(|_| format!("`{text}` is no address"));
    if let Some((start, end)) = text.split_once('-') {
        return AddressRange::new(address(start)?, address(end)?).map_err(|error| error.to_string());
    }
    let Some((base, prefix)) = text.split_once('/') else { return Ok(AddressRange::single(address(text)?)) };
    let prefix = prefix.parse().map_err(|_| format!("`{prefix}` is no prefix length"))?;
    AddressRange::prefix(address(base)?, prefix).map_err(|error| error.to_string())
}

fn port_range(text: &str) -> Result<PortRange, String> {
    let port = |text: &str| text.parse::<u16>().map_err(|_| format!("`{text}` is no port"));
    match text {
        "any" => Ok(PortRange::ANY),
        "opaque" => Ok(PortRange::OPAQUE),
        _ => {
            let (start, end) = text.split_once('-').unwrap_or((text, text));
            PortRange::new(port(start)?, port(end)?).map_err(|error| error.to_string())
        }
    }
}
