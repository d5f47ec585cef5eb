//! The TUN device. Its addresses, its MTU and its routes are set by iproute2's `ip`; a product would speak
//! rtnetlink.

use ikev2_core::IkeSaHandle;
use ipsec_examples::config::{GatewayConfig, TunConfig};
use ipsec_examples::prefix::prefixes;
use ipsec_types::AddressRange;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::process::{Command, Stdio};

/// A TUN device, which goes with the program, and its routes with it.
pub(crate) struct Tun {
    device: tokio_tun::Tun,
    name: String,
    mtu: Option<u16>,
    /// The inner addresses that we got, by IKE SA.
    inner: BTreeMap<IkeSaHandle, Vec<IpAddr>>,
}

/// Before an SA says what fits, and where a packet of this size may not fit it is fragmented outside.
const FIRST_MTU: u16 = 1_400;
/// IPv6 goes no lower (RFC 8200 §5).
const LEAST_MTU: u16 = 1_280;

impl Tun {
    /// Makes the device, and the routes to everything behind the peers: what no SA takes must not go elsewhere.
    pub(crate) fn open(config: &GatewayConfig) -> io::Result<Self> {
        let TunConfig { name, addresses, mtu, routes, .. } = &config.tun;
        let mtu = mtu.unwrap_or(FIRST_MTU);
        let opened = tokio_tun::Tun::builder().name(name).mtu(mtu.into()).up().build();
        let device = opened
            .map_err(|error| io::Error::other(format!("TUN device `{name}`: {error}")))?
            .pop()
            .ok_or_else(|| io::Error::other("no TUN device"))?;
        let tun = Self { device, name: name.clone(), mtu: config.tun.mtu, inner: BTreeMap::new() };
        for address in addresses {
            ip(&["address", "add", address, "dev", name])?;
        }
        if *routes {
            let children = config.endpoint.connections.iter().flat_map(|connection| &connection.children);
            let remote: BTreeSet<AddressRange> =
                children.flat_map(|child| &child.remote).map(|selector| selector.addresses).collect();
            for range in remote {
                let mut peers = config.endpoint.connections.iter().filter_map(|c| c.remote_address);
                if let Some(peer) = peers.find(|peer| range.contains(*peer)) {
                    let what = format!("a route to {range} would take the tunnel's own packets to {peer}");
                    return Err(io::Error::other(
                        what + ": set `routes = false`, and make routes that do not",
                    ));
                }
                for prefix in prefixes(range) {
                    tun.add_route(&prefix, addresses)?;
                }
            }
        }
        Ok(tun)
    }

    fn add_route(&self, prefix: &str, addresses: &[String]) -> io::Result<()> {
        // In front of a route to the same place, which is in force again when the device is gone.
        let mut words = vec!["route", "prepend", prefix, "dev", &self.name];
        let own = addresses.iter().filter_map(|address| address.split('/').next());
        if let Some(source) = own.into_iter().find(|address| address.contains(':') == prefix.contains(':')) {
            words.extend(["src", source]);
        }
        ip(&words)
    }

    /// An IKE SA has these inner addresses from now on. Those of no IKE SA go.
    pub(crate) fn set_inner(&mut self, sa: IkeSaHandle, addresses: Vec<IpAddr>) -> io::Result<()> {
        let before: BTreeSet<IpAddr> = self.inner.values().flatten().copied().collect();
        self.inner.insert(sa, addresses);
        self.inner.retain(|_, addresses| !addresses.is_empty());
        let after: BTreeSet<IpAddr> = self.inner.values().flatten().copied().collect();
        for address in before.difference(&after) {
            ip(&["address", "del", &single(address), "dev", &self.name])?;
        }
        for address in after.difference(&before) {
            ip(&["address", "add", &single(address), "dev", &self.name])?;
        }
        Ok(())
    }

    /// Sets the MTU to what fits into an SA, unless the configuration has set it.
    pub(crate) fn fit(&mut self, largest: usize) -> io::Result<()> {
        let mtu = u16::try_from(largest).unwrap_or(u16::MAX).max(LEAST_MTU);
        if self.mtu.is_none() {
            ip(&["link", "set", "dev", &self.name, "mtu", &mtu.to_string()])?;
        }
        Ok(())
    }

    /// Waits for a packet.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.device.recv(buffer).await
    }

    /// A packet that waits, if there is one.
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> Option<usize> {
        self.device.try_recv(buffer).ok()
    }

    /// Hands a packet to the system.
    pub(crate) async fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.device.send(packet).await.map(drop)
    }
}

fn single(address: &IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
}

fn ip(words: &[&str]) -> io::Result<()> {
    let said = |what: String| io::Error::other(format!("`ip {}`: {what}", words.join(" ")));
    let output = Command::new("ip")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| said(format!("{error}; iproute2 is needed")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(said(String::from_utf8_lossy(&output.stderr).trim().into()))
}
