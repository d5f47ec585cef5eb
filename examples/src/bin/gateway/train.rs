//! Datagrams that leave or come in one call: the system cuts a long one into those that go on the wire, and joins those
//! that came (UDP_SEGMENT, UDP_GRO). Most of what a packet costs is the call and the way through the system, which it
//! then shares with up to 63 others.

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use socket2::SockRef;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Octets of one call's datagrams at most: what an IP packet holds, without the headers of IP and UDP.
const LONGEST: usize = 65_535 - 40 - 8;

/// A socket that can do it.
#[derive(Debug)]
pub(crate) struct Trains(UdpSocketState);

impl Trains {
    /// Prepares a socket.
    pub(crate) fn on(socket: &UdpSocket, local: &SocketAddr) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(socket))?;
        // Datagrams larger than the path are still fragmented by the system, as on any socket.
        if local.is_ipv4() {
            set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::WANT)?;
        } else {
            set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::WANT)?;
        }
        Ok(Self(state))
    }

    /// What came: from whom, how many octets, and how many of them are one datagram; only the last may be shorter.
    pub(crate) fn receive(
        &self,
        socket: &UdpSocket,
        buffer: &mut [u8],
    ) -> io::Result<(SocketAddr, usize, usize)> {
        let mut meta = [RecvMeta::default()];
        socket.try_io(Interest::READABLE, || {
            self.0.recv(UdpSockRef::from(socket), &mut [IoSliceMut::new(buffer)], &mut meta)
        })?;
        let [RecvMeta { addr, len, stride, .. }] = meta;
        Ok((addr, len, stride))
    }

    async fn send(&self, socket: &UdpSocket, train: &Train) -> io::Result<()> {
        let transmit = Transmit {
            destination: train.remote,
            ecn: None,
            contents: &train.octets,
            segment_size: (train.count > 1).then_some(train.segment),
            src_ip: None,
        };
        loop {
            let sent =
                socket.try_io(Interest::WRITABLE, || self.0.try_send(UdpSockRef::from(socket), &transmit));
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
                sent => return sent,
            }
        }
    }
}

/// Datagrams for one peer, one behind the other: all of one size, but for the last.
#[derive(Debug)]
pub(crate) struct Train {
    /// Of the socket that they leave by.
    socket: usize,
    remote: SocketAddr,
    segment: usize,
    count: usize,
    octets: Vec<u8>,
    /// The last one was shorter.
    ends: bool,
}

impl Train {
    pub(crate) fn new() -> Self {
        let nobody = SocketAddr::from(([0; 4], 0));
        let octets = Vec::with_capacity(LONGEST);
        Self { socket: 0, remote: nobody, segment: 0, count: 0, octets, ends: false }
    }

    /// Which socket it leaves by, if there is anything.
    pub(crate) fn socket(&self) -> Option<usize> {
        (self.count > 0).then_some(self.socket)
    }

    /// Takes one more datagram. `false`, and nothing changes, where it does not go with the others.
    pub(crate) fn join(&mut self, trains: &Trains, socket: usize, remote: SocketAddr, packet: &[u8]) -> bool {
        if self.count == 0 {
            (self.socket, self.remote, self.segment) = (socket, remote, packet.len());
        }
        let same = self.socket == socket && self.remote == remote;
        let fits = packet.len() <= self.segment && self.octets.len() + packet.len() <= LONGEST;
        let room = self.count == 0 || self.count < trains.0.max_gso_segments();
        let joins = same && fits && room && !self.ends;
        if joins {
            self.octets.extend_from_slice(packet);
            self.count += 1;
            self.ends = packet.len() < self.segment;
        }
        joins
    }

    /// Sends all of it, in one call if the system can; gives how many datagrams it did not take.
    pub(crate) async fn leave(&mut self, trains: &Trains, socket: &UdpSocket) -> u64 {
        let mut unsent = 0;
        if trains.send(socket, self).await.is_err() {
            // One that does not fit the path, or a device that cannot do it.
            for datagram in self.octets.chunks(self.segment.max(1)) {
                let one = SockRef::from(socket);
                unsent += u64::from(one.send_to(datagram, &self.remote.into()).is_err());
            }
        }
        self.octets.clear();
        (self.count, self.ends) = (0, false);
        unsent
    }
}
