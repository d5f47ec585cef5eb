//! What several tests need: messages put together octet by octet, and the IKE messages of the captures.

#![allow(dead_code, reason = "each test uses its part")]

use std::path::PathBuf;

/// The header of an IKE_SA_INIT request up to its Next Payload.
const SPIS: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];

/// A message with this Next Payload and these octets after the header.
pub(crate) fn message(next_payload: u8, after: &[u8]) -> Vec<u8> {
    message_of(34, next_payload, after)
}

/// A message of this exchange.
pub(crate) fn message_of(exchange: u8, next_payload: u8, after: &[u8]) -> Vec<u8> {
    let mut octets = SPIS.to_vec();
    octets.extend_from_slice(&[next_payload, 0x20, exchange, 0x08, 0, 0, 0, 0]);
    octets.extend_from_slice(&u32::try_from(28 + after.len()).unwrap().to_be_bytes());
    octets.extend_from_slice(after);
    octets
}

/// A payload, generic header included.
pub(crate) fn payload(next: u8, body: &[u8]) -> Vec<u8> {
    let mut octets = vec![next, 0];
    octets.extend_from_slice(&u16::try_from(4 + body.len()).unwrap().to_be_bytes());
    octets.extend_from_slice(body);
    octets
}

/// `count` empty payloads of type 200, the last of which leads to `next`.
pub(crate) fn empty_payloads(count: usize, next: u8) -> Vec<u8> {
    (1..=count).flat_map(|n| payload(if n == count { next } else { 200 }, &[])).collect()
}

/// The one payload of this type with this body, as received.
pub(crate) fn raw(ty: u8, body: &[u8]) -> ikev2_wire::RawPayload<'_> {
    let ty = ikev2_wire::PayloadType(ty);
    ikev2_wire::RawPayload { ty, critical: false, reserved_bits: 0, body, offset: 28 }
}

/// Hex digits, blanks ignored.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The IKE messages of every capture, in order, by the capture's name.
pub(crate) fn captured() -> Vec<(String, Vec<Vec<u8>>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ikev2-core/tests/captures");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pcap"))
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (
                name,
                frames(&std::fs::read(path).unwrap()).iter().filter_map(|frame| ike_message(frame)).collect(),
            )
        })
        .collect()
}

/// The frames of a capture file (little endian, microseconds or nanoseconds, Ethernet).
fn frames(file: &[u8]) -> Vec<&[u8]> {
    let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert!(matches!(u32_at(0), 0xa1b2_c3d4 | 0xa1b2_3c4d), "not a little-endian capture file");
    assert_eq!(u32_at(20), 1, "not Ethernet");
    let mut frames = Vec::new();
    let mut at = 24;
    while at < file.len() {
        let length = u32_at(at + 8) as usize;
        assert_eq!(u32_at(at + 12) as usize, length, "a frame was cut off");
        frames.push(&file[at + 16..at + 16 + length]);
        at += 16 + length;
    }
    frames
}

/// The IKE message in an Ethernet frame, without the non-ESP marker.
fn ike_message(frame: &[u8]) -> Option<Vec<u8>> {
    let packet = frame.strip_prefix(&frame[..12])?.strip_prefix(&[8, 0])?;
    let header = usize::from(packet[0] & 0x0F) * 4;
    if packet[0] >> 4 != 4 || packet[9] != 17 {
        return None;
    }
    assert_eq!(u16::from_be_bytes([packet[6], packet[7]]) & 0x3FFF, 0, "an IP fragment");
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let udp = &packet[header..total];
    let ports = [u16::from_be_bytes([udp[0], udp[1]]), u16::from_be_bytes([udp[2], udp[3]])];
    let datagram = &udp[8..];
    if ports.contains(&4500) {
        match ipsec_types::udp::classify(datagram) {
            ipsec_types::udp::Datagram4500::Ike(message) => Some(message.to_vec()),
            _ => None,
        }
    } else {
        ports.contains(&500).then(|| datagram.to_vec())
    }
}
