//! The sockets: for each address of ours, IKE's two ports, and IP protocol 50.

use crate::train::{Train, Trains};
use ikev2_core::Transmit;
use ipsec_examples::config::GatewayConfig;
use ipsec_types::{Path, PathKind};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use tokio::net::UdpSocket;

/// IP protocol number of ESP.
const ESP: i32 = 50;

/// What arrives at a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Port {
    /// IKE.
    Ike,
    /// IKE behind a marker, ESP, and keepalives.
    NatT,
    /// ESP, in IPv4 with the outer header.
    RawEsp,
}

#[derive(Debug)]
struct Entry {
    socket: UdpSocket,
    local: SocketAddr,
    port: Port,
    /// What the system puts into the DS field now.
    ds_field: u8,
    /// Whether several datagrams leave and come in one call.
    trains: Option<Trains>,
}

/// All sockets.
#[derive(Debug)]
pub(crate) struct Net {
    entries: Vec<Entry>,
    /// Where looking for what is readable begins, so that a busy socket starves no other.
    turn: usize,
    /// ESP packets in UDP that wait for others to leave with them.
    train: Train,
    /// Datagrams that the system did not take.
    pub(crate) unsent: u64,
}

/// A datagram that came in, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    pub(crate) port: Port,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) len: usize,
    /// How many octets are one datagram; only the last may be shorter.
    pub(crate) each: usize,
}

impl Net {
    /// Opens the sockets.
    pub(crate) fn open(config: &GatewayConfig) -> io::Result<Self> {
        let mut entries = Vec::new();
        for &address in &config.listen {
            for (port, number) in [
                (Port::Ike, config.ike_port),
                (Port::NatT, config.endpoint.local_nat_t_port),
                (Port::RawEsp, 0),
            ] {
                let local = SocketAddr::new(address, number);
                let socket = bind(port, local).map_err(|error| {
                    io::Error::new(error.kind(), format!("{port:?} socket at {local}: {error}"))
                })?;
                let carries_esp = port == Port::NatT && config.trains;
                let trains = carries_esp.then(|| Trains::on(&socket, &local)).transpose()?;
                entries.push(Entry { socket, local, port, ds_field: 0, trains });
            }
        }
        Ok(Self { entries, turn: 0, train: Train::new(), unsent: 0 })
    }

    /// Waits until a socket has something, and names it for [`Net::receive`].
    pub(crate) async fn readable(&mut self) -> usize {
        let Self { entries, turn, .. } = self;
        let found = poll_fn(|cx| {
            let count = entries.len();
            for index in (*turn..*turn + count).map(|index| index % count) {
                let ready = entries.get(index).map(|entry| entry.socket.poll_recv_ready(cx));
                if matches!(ready, Some(Poll::Ready(_))) {
                    return Poll::Ready(index);
                }
            }
            Poll::Pending
        });
        let index = found.await;
        *turn = index + 1;
        index
    }

    /// The next datagrams of a socket, if there are any.
    pub(crate) fn receive(&self, index: usize, buffer: &mut [u8]) -> Option<Arrived> {
        let entry = self.entries.get(index)?;
        const ERRORS: usize = 16;
        for _ in 0..ERRORS {
            let came = match &entry.trains {
                Some(trains) => trains.receive(&entry.socket, buffer),
                None => entry.socket.try_recv_from(buffer).map(|(len, remote)| (remote, len, len)),
            };
            match came {
                Ok((remote, len, each)) => {
                    return Some(Arrived { port: entry.port, local: entry.local, remote, len, each });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // What an earlier datagram met on its way (ICMP) is no news: IKE repeats, ESP is lost.
                Err(_) => {}
            }
        }
        None
    }

    /// Sends a datagram of IKE.
    pub(crate) async fn send_ike(&mut self, transmit: &Transmit) {
        let port = match transmit.path.kind {
            PathKind::Ike => Port::Ike,
            PathKind::NatT => Port::NatT,
        };
        self.send(port, transmit.path.local_ip(), transmit.path.remote, 0, &transmit.datagram).await;
    }

    /// Sends an ESP packet in UDP or as it is, now or with [`Net::flush`].
    pub(crate) async fn send_esp(&mut self, path: &Path, udp: bool, ds_field: u8, packet: &[u8]) {
        if udp && ds_field == 0 && self.join(path, packet).await {
            return;
        }
        // In the order in which they were sealed.
        self.flush().await;
        if udp {
            self.send(Port::NatT, path.local_ip(), path.remote, ds_field, packet).await;
        } else {
            let remote = SocketAddr::new(path.remote_ip(), 0);
            self.send(Port::RawEsp, path.local_ip(), remote, ds_field, packet).await;
        }
    }

    /// Lets a packet leave with others; `false` where it has to leave alone.
    async fn join(&mut self, path: &Path, packet: &[u8]) -> bool {
        let Some(index) = self.find(Port::NatT, path.local_ip()) else { return false };
        for _ in 0..2 {
            let Some(Entry { trains: Some(trains), .. }) = self.entries.get(index) else { return false };
            if self.train.join(trains, index, path.remote, packet) {
                return true;
            }
            self.flush().await;
        }
        false
    }

    /// Sends what waits.
    pub(crate) async fn flush(&mut self) {
        let Some(entry) = self.train.socket().and_then(|index| self.entries.get_mut(index)) else { return };
        if let Some(trains) = &entry.trains {
            self.unsent += self.train.leave(trains, &entry.socket).await;
        }
    }

    fn find(&self, port: Port, local: IpAddr) -> Option<usize> {
        self.entries.iter().position(|entry| entry.port == port && entry.local.ip() == local)
    }

    async fn send(&mut self, port: Port, local: IpAddr, remote: SocketAddr, ds_field: u8, octets: &[u8]) {
        let found = self.find(port, local);
        let Some(entry) = found.and_then(|index| self.entries.get_mut(index)) else {
            self.unsent += 1;
            return;
        };
        if entry.ds_field != ds_field {
            let socket = SockRef::from(&entry.socket);
            let set = if local.is_ipv4() {
                socket.set_tos_v4(ds_field.into())
            } else {
                socket.set_tclass_v6(ds_field.into())
            };
            entry.ds_field = if set.is_ok() { ds_field } else { entry.ds_field };
        }
        // Waits where the socket is full: what the TUN device has meanwhile, it keeps.
        if entry.socket.send_to(octets, remote).await.is_err() {
            self.unsent += 1;
        }
    }
}

fn bind(port: Port, local: SocketAddr) -> io::Result<UdpSocket> {
    let (ty, protocol) = match port {
        Port::Ike | Port::NatT => (Type::DGRAM, Protocol::UDP),
        Port::RawEsp => (Type::RAW, Protocol::from(ESP)),
    };
    let socket = Socket::new(Domain::for_address(local), ty, Some(protocol))?;
    if local.is_ipv6() && port != Port::RawEsp {
        socket.set_only_v6(true)?;
    }
    if local.is_ipv4() {
        // An address may come later (MOBIKE).
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_freebind_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    // A raw socket sends and receives by the same calls as a UDP socket.
    UdpSocket::from_std(socket.into())
}
