//! The two ends between which a datagram travels, and by which of IKE's two ports.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// Which of IKE's two ports a path uses, and so whether IKE messages on it carry the non-ESP marker
/// (RFC 3948 §2.2, RFC 7296 §2.23).
///
/// The port number alone does not tell: a NAT may map either, and an embedder may listen elsewhere. It is a
/// property of the local socket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PathKind {
    /// The socket of port 500: no marker, never ESP.
    Ike,
    /// The socket of port 4500: IKE messages start with four zero octets, everything else is ESP.
    NatT,
}

/// Where a datagram came from or goes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Path {
    /// Our address and port. The address may be unspecified where the system chooses it.
    pub local: SocketAddr,
    /// The peer's address and port as this host sees them.
    pub remote: SocketAddr,
    /// Which of IKE's sockets it is.
    pub kind: PathKind,
}

impl Path {
    /// A path of the port-500 socket.
    #[must_use]
    pub const fn ike(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { local, remote, kind: PathKind::Ike }
    }

    /// A path of the port-4500 socket.
    #[must_use]
    pub const fn nat_t(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { local, remote, kind: PathKind::NatT }
    }

    /// Whether the two ends' addresses are known and of one family.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.local.is_ipv4() == self.remote.is_ipv4()
            && self.remote.port() != 0
            && !self.remote.ip().is_unspecified()
    }

    /// Our address.
    #[must_use]
    pub const fn local_ip(&self) -> IpAddr {
        self.local.ip()
    }

    /// The peer's address.
    #[must_use]
    pub const fn remote_ip(&self) -> IpAddr {
        self.remote.ip()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <-> {}", self.local, self.remote)
    }
}
