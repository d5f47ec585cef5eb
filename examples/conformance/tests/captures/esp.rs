//! The ESP packets of a conversation: opened, and what is in them looked at.

use crate::child::{Carried, EspSa};
use crate::coverage::Coverage;
use crate::ike_sa;
use etherparse::{Icmpv4Slice, Icmpv4Type, SlicedPacket, TransportSlice};
use ipsec_conformance::{Carries, Packet};
use ipsec_crypto::PacketNumber;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::{Engine, EngineConfig, Incoming, Opened, PacketBuf};
use ipsec_types::sa::{ChildSa, ChildSaId, Lifetimes, PolicyId, SaInstall};
use ipsec_types::{Encapsulation, EspSpi, Instant, Mode, Path, SaCommand, SequenceNumbers};
use std::sync::Arc;

/// Next Header values (RFC 4303 §2.6, RFC 9347 §6).
const IPV4: u8 = 4;
const ICMP: u8 = 1;
const AGGFRAG: u8 = 144;

/// An echo request or reply.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Echo {
    reply: bool,
    id: u16,
    sequence: u16,
    data: Vec<u8>,
}

/// Opens every ESP packet that the provider has the cipher for.
pub(crate) fn replay(packets: &[Packet], sas: &[EspSa], coverage: &mut Coverage) {
    let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig::default());
    let mut installed: Vec<EspSpi> = Vec::new();
    let mut echoes = Vec::new();
    for packet in packets {
        let Carries::Esp(esp) = &packet.carries else { continue };
        let spi = u32::from_be_bytes(esp[..4].try_into().unwrap());
        let sa = sas.iter().find(|sa| sa.spi.get() == spi).unwrap_or_else(|| panic!("no SA {spi:08x}"));
        if !ike_sa::is_covered(sa.suite) {
            coverage.esp_closed += 1;
            continue;
        }
        echoes.push(match sa.carried {
            Carried::Tunnel => {
                coverage.esp_opened += 1;
                if !installed.contains(&sa.spi) {
                    engine.apply(Instant::ZERO, install(sa, packet, installed.len())).unwrap();
                    installed.push(sa.spi);
                }
                open_tunnel(&mut engine, packet)
            }
            carried => {
                coverage.esp_by_cipher += 1;
                open_other(sa, carried, esp)
            }
        });
    }
    coverage.pings += pings(&echoes);
}

/// The receiver's command to be ready for the SA that this packet belongs to.
fn install(sa: &EspSa, packet: &Packet, index: usize) -> SaCommand {
    let udp = packet.source.port() != 0;
    let child = ChildSa {
        id: ChildSaId(index as u64),
        policy: PolicyId(0),
        suite: sa.suite,
        mode: Mode::Tunnel,
        sequence_numbers: sa.sequence_numbers,
        encapsulation: if udp { Encapsulation::Udp } else { Encapsulation::None },
        path: Path::nat_t(packet.destination, packet.source),
        local: sa.local.clone(),
        remote: sa.remote.clone(),
        lifetimes: Lifetimes::default(),
        original_addresses: None,
        tfc_allowed: false,
        replaces: None,
        group: None,
    };
    SaCommand::InstallInbound(Box::new(SaInstall {
        child: Arc::new(child),
        spi: sa.spi,
        keys: sa.keys.clone(),
    }))
}

/// Opens a packet by the engine, which must refuse it with one bit changed, and a second time.
fn open_tunnel(engine: &mut Engine, packet: &Packet) -> Echo {
    let mut open = |change: u8| {
        let mut storage = packet.ip.clone();
        *storage.last_mut().unwrap() ^= change;
        let whole = 0..storage.len();
        let mut buffer = PacketBuf::new(&mut storage, whole).unwrap();
        let opened = engine.open_ip(Instant::ZERO, &mut buffer);
        opened.map(|opened| (opened, buffer.as_slice().to_vec()))
    };
    assert!(open(1).is_err(), "frame {} opened though forged", packet.frame);
    let (Incoming { opened, .. }, inner) =
        open(0).unwrap_or_else(|error| panic!("frame {}: {error}", packet.frame));
    assert!(open(0).is_err(), "frame {} opened twice", packet.frame);
    let Opened::Packet(header) = opened else { panic!("frame {}: a dummy", packet.frame) };
    assert_eq!(header.length, inner.len());
    echo_in(&inner)
}

/// Opens a packet of a mode that is not built yet, by the cipher alone (RFC 4303 §3.4.4).
fn open_other(sa: &EspSa, carried: Carried, esp: &[u8]) -> Echo {
    let cipher = ike_sa::cipher(sa.suite).with_keys(&sa.keys).unwrap();
    let sequence = u32::from_be_bytes(esp[4..8].try_into().unwrap());
    let number = match sa.sequence_numbers {
        SequenceNumbers::Sequential64 => PacketNumber::esn(sequence.into()),
        _ => PacketNumber::explicit(sequence.into()),
    };
    let mut packet = esp.to_vec();
    cipher.open(number, 8, &mut packet).unwrap();
    let text = &packet[8 + cipher.iv_len()..packet.len() - cipher.icv_len()];
    let (rest, &[padding, next_header]) = text.split_last_chunk().unwrap();
    let (payload, pad) = rest.split_at(rest.len() - usize::from(padding));
    assert!(pad.iter().copied().eq(1..=padding), "{pad:?}");
    match carried {
        Carried::Transport | Carried::Beet => {
            assert_eq!(next_header, ICMP);
            echo_of(Icmpv4Slice::from_slice(payload).unwrap())
        }
        Carried::AggFrag => {
            assert_eq!(next_header, AGGFRAG);
            // Sub-type 0 and BlockOffset 0: a packet begins at once, and padding follows it (RFC 9347 §6.1).
            let (&header, blocks) = payload.split_first_chunk::<4>().unwrap();
            assert_eq!(header, [0; 4]);
            assert_eq!(blocks[0] >> 4, IPV4);
            let length = usize::from(u16::from_be_bytes([blocks[2], blocks[3]]));
            assert!(blocks[length..].iter().all(|octet| *octet == 0));
            echo_in(&blocks[..length])
        }
        Carried::Tunnel => panic!("tunnel mode has an engine"),
    }
}

/// The echo in an IP packet.
fn echo_in(packet: &[u8]) -> Echo {
    let sliced = SlicedPacket::from_ip(packet).unwrap();
    let Some(TransportSlice::Icmpv4(icmp)) = sliced.transport else { panic!("{packet:02x?}") };
    echo_of(icmp)
}

fn echo_of(icmp: Icmpv4Slice<'_>) -> Echo {
    let ty = icmp.icmp_type();
    assert_eq!(ty.calc_checksum(icmp.payload()), icmp.checksum());
    let (reply, echo) = match ty {
        Icmpv4Type::EchoRequest(echo) => (false, echo),
        Icmpv4Type::EchoReply(echo) => (true, echo),
        other => panic!("{other:?}"),
    };
    Echo { reply, id: echo.id, sequence: echo.seq, data: icmp.payload().to_vec() }
}

/// Each request is followed by its reply, and those of one run count from 1.
fn pings(echoes: &[Echo]) -> usize {
    let (pairs, []) = echoes.as_chunks() else { panic!("a request without reply: {echoes:?}") };
    let mut last: Option<(u16, u16)> = None;
    for [request, reply] in pairs {
        assert!(!request.reply && reply.reply);
        assert_eq!((request.id, request.sequence, &request.data), (reply.id, reply.sequence, &reply.data));
        let expected = match last {
            Some((id, sequence)) if id == request.id => sequence + 1,
            _ => 1,
        };
        assert_eq!(request.sequence, expected);
        last = Some((request.id, request.sequence));
    }
    pairs.len()
}
