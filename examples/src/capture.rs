//! UDP datagrams as a capture file: pcapng with one interface for each sender and IP and UDP headers made up around
//! the datagrams (draft-ietf-opsawg-pcapng; link type RAW).

use crate::echo::{checksum, ipv4_header};
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::time::SystemTime;

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const OPTION_END: u16 = 0;
const SHB_USER_APPLICATION: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TIME_RESOLUTION: u16 = 9;
/// Packets begin with their IP header.
const LINK_TYPE_RAW: u16 = 101;
const UDP: u8 = 17;

/// A capture that is being written.
#[derive(Debug)]
pub struct Capture<W> {
    sink: W,
}

impl<W: Write> Capture<W> {
    /// Begins a capture with these interfaces, which packets then name by their place in the list.
    ///
    /// # Errors
    /// The sink's.
    pub fn new(mut sink: W, interfaces: &[&str]) -> io::Result<Self> {
        let mut body = Vec::new();
        body.extend(0x1A2B_3C4D_u32.to_le_bytes());
        body.extend([1, 0, 0, 0]);
        // The section's length is not known.
        body.extend(u64::MAX.to_le_bytes());
        option(&mut body, SHB_USER_APPLICATION, env!("CARGO_PKG_NAME").as_bytes());
        option(&mut body, OPTION_END, &[]);
        block(&mut sink, SECTION_HEADER, &body)?;
        for name in interfaces {
            let mut body = Vec::new();
            body.extend(LINK_TYPE_RAW.to_le_bytes());
            // Reserved, and no limit to a packet's length.
            body.extend([0; 6]);
            option(&mut body, IF_NAME, name.as_bytes());
            option(&mut body, IF_TIME_RESOLUTION, &[9]);
            option(&mut body, OPTION_END, &[]);
            block(&mut sink, INTERFACE_DESCRIPTION, &body)?;
        }
        Ok(Self { sink })
    }

    /// Adds a datagram that was sent at this time by this interface.
    ///
    /// # Errors
    /// The sink's, and [`io::ErrorKind::InvalidInput`] where the datagram is too long for IPv4.
    pub fn udp(
        &mut self,
        interface: u32,
        at: SystemTime,
        source: SocketAddrV4,
        destination: SocketAddrV4,
        payload: &[u8],
    ) -> io::Result<()> {
        let packet = udp_packet(source, destination, payload).ok_or(io::ErrorKind::InvalidInput)?;
        let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let nanoseconds = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        let length = u32::try_from(packet.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut body = Vec::new();
        body.extend(interface.to_le_bytes());
        // The high half comes first, in either byte order.
        body.extend(((nanoseconds >> 32) as u32).to_le_bytes());
        body.extend((nanoseconds as u32).to_le_bytes());
        body.extend(length.to_le_bytes());
        body.extend(length.to_le_bytes());
        body.extend(packet);
        block(&mut self.sink, ENHANCED_PACKET, &body)
    }

    /// Ends the capture.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish(mut self) -> io::Result<W> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

/// A block: its type, its length in front and behind, its body padded to four octets.
fn block(sink: &mut impl Write, ty: u32, body: &[u8]) -> io::Result<()> {
    let padded = body.len().next_multiple_of(4);
    let total = u32::try_from(padded + 12).map_err(|_| io::ErrorKind::InvalidInput)?.to_le_bytes();
    let mut octets = Vec::with_capacity(padded + 12);
    octets.extend(ty.to_le_bytes());
    octets.extend(total);
    octets.extend(body);
    octets.resize(padded + 8, 0);
    octets.extend(total);
    sink.write_all(&octets)
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend(u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn udp_packet(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(payload.len().checked_add(8)?).ok()?;
    let header = |sum: u16| {
        [source.port(), destination.port(), length, sum].map(u16::to_be_bytes).as_flattened().to_vec()
    };
    // RFC 768: over a pseudo-header too; a sum of zero is sent as its complement.
    let (from, to) = (source.ip().octets(), destination.ip().octets());
    let pseudo = [&from[..], &to[..], &[0, UDP], &length.to_be_bytes()].concat();
    let sum = match checksum(&[&pseudo, &header(0), payload]) {
        0 => u16::MAX,
        sum => sum,
    };
    let ip = ipv4_header(*source.ip(), *destination.ip(), UDP, length.into())?;
    Some([&ip[..], &header(sum), payload].concat())
}
