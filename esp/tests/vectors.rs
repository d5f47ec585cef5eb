//! Vectors made outside of this code, octet by octet.
//!
//! The files in `vectors/` say where each comes from: `mcgrew_gcm_gmac_esp.json` is draft-mcgrew-gcm-test-01;
//! the others were generated from the documents by independent code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::ecn::{Ecn, EcnEncapsulation};
use ipsec_esp::outer::DfPolicy;
use ipsec_esp::packet::Layout;
use ipsec_esp::replay::{AntiReplay, ReplayError, ReplayWindow, WindowSize};
use ipsec_esp::{
    Engine, EngineConfig, Framing, InboundConfig, InboundSa, OpenError, Opened, OutboundConfig, OutboundSa,
    PacketBuf, TfcPadding,
};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::{ChildSa, SaInstall, SaKeys};
use ipsec_types::{
    Encapsulation, EncrId, EspSpi, Instant, IntegId, Path, SaCommand, SecretBytes, SequenceNumbers,
};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

fn load(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn octets(value: &Value) -> Vec<u8> {
    hex(value.as_str().unwrap())
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap(), 16).unwrap()
}

fn esn(is_esn: bool) -> SequenceNumbers {
    if is_esn { SequenceNumbers::Sequential64 } else { SequenceNumbers::Sequential32 }
}

/// An SA of a vector with the SPI and the keys that it names.
fn install_of(suite: CipherSuite, is_esn: bool, spi_value: u32, encr: Vec<u8>, integ: Vec<u8>) -> SaInstall {
    let child = ChildSa { suite, sequence_numbers: esn(is_esn), ..child() };
    let keys = SaKeys { encr: SecretBytes::from(encr), integ: SecretBytes::from(integ) };
    SaInstall { child: Arc::new(child), spi: EspSpi::new(spi_value).unwrap(), keys }
}

/// RFC 4303 §3.4.3 and Appendix A2.3: every step of every case, inferred high halves included.
#[test]
fn anti_replay() {
    let file = load(include_str!("vectors/antireplay_generated.json"));
    let mut steps = 0;
    for case in file["cases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let size = WindowSize::new(u32::try_from(case["window"].as_u64().unwrap()).unwrap()).unwrap();
        let is_esn = case["esn"].as_bool().unwrap();
        let mut window = ReplayWindow::new(esn(is_esn), AntiReplay::Window(size));
        if case["top_before_seen"].as_bool().unwrap() {
            window.resume_at(number(&case["top_before"]));
        }
        assert_eq!(window.top(), number(&case["top_before"]), "{id}");
        for step in case["steps"].as_array().unwrap() {
            let (sent, low) = (number(&step["seq64"]), number(&step["seql"]) as u32);
            let before = window.clone();
            let candidate = window.check(low);
            assert_eq!(window, before, "{id}: a check changes nothing");
            if let (Ok(candidate), Some(high)) = (candidate, step["seqh_inferred"].as_i64()) {
                assert_eq!(candidate.number(), (high as u64) << 32 | u64::from(low), "{id} {step}");
            }
            let result = match candidate {
                Err(ReplayError::Zero) => "reject: zero",
                Err(ReplayError::BelowWindow) => "reject: below the window",
                Err(ReplayError::Replayed) => "reject: replay",
                Err(ReplayError::NoSuchNumber) => "reject: no such sequence number",
                Ok(c) if !step["icv_valid"].as_bool().unwrap() || c.number() != sent => "reject: ICV",
                Ok(c) => {
                    window.accept(c).unwrap();
                    "accept"
                }
                Err(_) => unreachable!(),
            };
            assert_eq!(result, step["result"].as_str().unwrap(), "{id} {step}");
            assert_eq!(window.top(), number(&step["top_after"]), "{id} {step}");
            steps += 1;
        }
    }
    assert_eq!(steps, 778);
}

fn ecn(value: &Value) -> Ecn {
    Ecn::of_ds_field(u8::try_from(value.as_u64().unwrap()).unwrap())
}

/// RFC 6040 Figures 3 and 4, on real headers and through whole packets.
#[test]
fn ecn_tables() {
    let file = load(include_str!("vectors/ecn_generated.json"));
    for row in file["encapsulation"].as_array().unwrap() {
        let mode = match row["mode"].as_str().unwrap() {
            "normal" => EcnEncapsulation::Normal,
            _ => EcnEncapsulation::Compatibility,
        };
        assert_eq!(mode.outer(ecn(&row["inner_ecn"])), ecn(&row["outer_ecn"]), "{row}");
    }
    let rows = file["decapsulation"].as_array().unwrap();
    for row in rows {
        let (mut sender, mut receiver) = default_pair(&child());
        let mut sealed = seal(&mut sender, &octets(&row["inner_before"]));
        let mut packet = PacketBuf::whole(&mut sealed);
        let outer = Ecn::of_ds_field(u8::try_from(row["outer_ds_octet"].as_u64().unwrap()).unwrap());
        assert_eq!(outer, ecn(&row["outer_ecn"]));
        let opened = receiver.open(Instant::ZERO, &mut packet, Some(outer));
        let marked = u64::from(row["mark"].as_str() != Some(""));
        if row["inner_after"].is_null() {
            assert!(matches!(opened, Err(OpenError::Ecn(_))), "{row}");
        } else {
            assert_eq!(packet.as_slice(), octets(&row["inner_after"]), "{row}");
            assert_eq!(receiver.statistics().unusual_ecn, marked, "{row}");
            let Ok(Opened::Packet(header)) = opened else { panic!("{row}") };
            assert_eq!(header.ecn(), ecn(&row["result_ecn"]));
        }
    }
    assert_eq!(rows.len(), 32);
}

/// RFC 4301 §5.1.2: outer headers of both families around both families, DF policies, UDP.
#[test]
fn tunnel_headers() {
    let file = load(include_str!("vectors/tunnel_headers_generated.json"));
    // The file's ESP octets are no packet of a cipher: one that leaves the text alone gives them.
    let esp = octets(&file["esp"]);
    let rows = file["headers"].as_array().unwrap();
    for row in rows {
        let header = octets(&row["outer_header"]);
        let udp = row["udp"].as_bool().unwrap();
        let (ip, ports) = header.split_at(header.len() - if udp { 8 } else { 0 });
        let port = |at: usize| ports.get(at..at + 2).map_or(0, |p| u16::from_be_bytes([p[0], p[1]]));
        let (local, remote): (IpAddr, IpAddr) = match row["outer_family"].as_u64() {
            Some(4) => {
                let address = |at: usize| <[u8; 4]>::try_from(&ip[at..at + 4]).unwrap().into();
                (address(12), address(16))
            }
            _ => {
                let address = |at: usize| <[u8; 16]>::try_from(&ip[at..at + 16]).unwrap().into();
                (address(8), address(24))
            }
        };
        let child = ChildSa {
            path: Path::nat_t(SocketAddr::new(local, port(0)), SocketAddr::new(remote, port(2))),
            encapsulation: if udp { Encapsulation::Udp } else { Encapsulation::None },
            ..child()
        };
        let config = OutboundConfig {
            framing: Framing::IpPacket,
            dont_fragment: match row["df_policy"].as_str().unwrap() {
                "set" => DfPolicy::Set,
                "clear" => DfPolicy::Clear,
                _ => DfPolicy::Copy,
            },
            ..OutboundConfig::default()
        };
        let install = SaInstall { spi: spi(0xC0FF_EE01), ..install(&child, 0x1001, 1) };
        let cipher = Box::new(Verbatim(esp.clone()));
        let mut sa = OutboundSa::with_cipher(cipher, install, config, Instant::ZERO).unwrap();
        // The vectors' identification; ours is the low half of the sequence number.
        assert!(sa.leap_to(0x4242 - 1));
        let sealed = seal(&mut sa, &octets(&row["inner"]));
        assert_eq!(sealed.len(), header.len() + esp.len());
        assert_eq!(sealed[..header.len()], header, "{row}");
        if row["outer_family"] == 4 {
            assert!(checksum_is_right(&sealed));
        }
    }
    assert_eq!(rows.len(), 24);
    for row in file["sizes"].as_array().unwrap() {
        let size = |name: &str| usize::try_from(row[name].as_u64().unwrap()).unwrap();
        let block = if size("align") == 16 { 16 } else { 1 };
        let layout = Layout::new(size("iv"), size("icv"), block);
        let largest = layout.max_payload(size("mtu") - size("outer_octets"));
        assert_eq!(largest, Some(size("max_payload")), "{row}");
    }
}

/// Not a cipher: puts the octets of a vector in place of the ESP packet.
struct Verbatim(Vec<u8>);

impl ipsec_crypto::PacketCipher for Verbatim {
    fn iv_len(&self) -> usize {
        8
    }
    fn icv_len(&self) -> usize {
        0
    }
    fn block_len(&self) -> usize {
        // With header and IV 80 octets for the vectors' inner packets, which is what their ESP octets are.
        64
    }
    fn limits(&self) -> ipsec_crypto::UsageLimits {
        ipsec_crypto::UsageLimits { packets: u64::MAX, octets: u64::MAX, failed_opens: u64::MAX }
    }
    fn seal(
        &self,
        _: ipsec_crypto::PacketNumber,
        _: usize,
        packet: &mut [u8],
    ) -> Result<(), ipsec_crypto::CipherError> {
        assert_eq!(packet.len(), self.0.len());
        packet.copy_from_slice(&self.0);
        Ok(())
    }
    fn open(
        &self,
        _: ipsec_crypto::PacketNumber,
        _: usize,
        _: &mut [u8],
    ) -> Result<(), ipsec_crypto::CipherError> {
        Err(ipsec_crypto::CipherError::IntegrityCheck)
    }
}

fn suite_of(case: &Value) -> Option<CipherSuite> {
    let integ = match case["integ"].as_str() {
        None => IntegId::NONE,
        Some("AUTH_HMAC_SHA2_256_128") => IntegId::HMAC_SHA2_256_128,
        Some(_) => return None,
    };
    let key_bits = case["key_bits"].as_u64().map(|bits| bits as u16);
    let suite = CipherSuite {
        encr: EncrId(u16::try_from(case["encr_id"].as_u64().unwrap()).unwrap()),
        key_bits,
        integ,
    };
    RUSTCRYPTO.cipher(suite).map(|_| suite).filter(|suite| {
        [EncrId::AES_GCM_16, EncrId::AES_CBC].contains(&suite.encr) && suite.key_bits != Some(192)
    })
}

/// RFC 4303 with RFC 4106 and RFC 3602: the packets of our algorithms in tunnel mode are opened, and made, to
/// the octet.
#[test]
fn esp_packets() {
    let file = load(include_str!("vectors/esp_generated.json"));
    let mut opened = Vec::new();
    let mut sealed = Vec::new();
    for case in file["cases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let Some(suite) = suite_of(case) else { continue };
        let next_header = case["next_header"].as_u64().unwrap();
        let (seq, is_esn) = (number(&case["seq64"]), case["esn"].as_bool().unwrap());
        let key = [octets(&case["encr_key"]), octets(&case["salt"])].concat();
        let new_install = || {
            let spi_value = u32::from_str_radix(case["spi"].as_str().unwrap(), 16).unwrap();
            install_of(suite, is_esn, spi_value, key.clone(), octets(&case["integ_key"]))
        };
        assert_eq!([key.clone(), octets(&case["integ_key"])].concat(), octets(&case["keymat"]), "{id}");
        let packet = octets(&case["esp_packet"]);
        let payload = octets(&case["payload"]);

        for provider in PROVIDERS {
            let config = InboundConfig::default();
            let mut receiver = InboundSa::new(provider, new_install(), config, Instant::ZERO).unwrap();
            receiver.resume_at(seq - 1);
            let mut storage = packet.clone();
            let mut buf = PacketBuf::whole(&mut storage);
            match receiver.open(Instant::ZERO, &mut buf, None).unwrap() {
                Opened::Packet(_) => assert_eq!(buf.as_slice(), payload, "{id}"),
                Opened::Dummy => assert_eq!(next_header, 59, "{id}"),
            }
            assert_eq!(receiver.newest_number(), seq);
        }
        opened.push(id);

        // 254 octets of padding: a receiver takes them, our sender makes the fewest.
        if id == "gcm16-128-longpad" {
            continue;
        }
        let install = new_install();
        let cipher = Box::new(FixedIv::new(suite, &install.keys, &octets(&case["explicit_iv"])));
        let tfc = payload.len() + usize::try_from(case["tfc_octets"].as_u64().unwrap()).unwrap();
        let config = OutboundConfig { tfc: TfcPadding::ToLength(tfc as u16), ..OutboundConfig::default() };
        let mut sender = OutboundSa::with_cipher(cipher, install, config, Instant::ZERO).unwrap();
        assert!(sender.leap_to(seq - 1));
        let (mut storage, at) = roomy(&payload);
        let mut buf = PacketBuf::new(&mut storage, at).unwrap();
        let made = match next_header {
            59 => sender.seal_dummy(Instant::ZERO, &mut buf),
            _ => sender.seal(Instant::ZERO, &mut buf),
        };
        assert_eq!(made.unwrap().number, seq);
        assert_eq!(buf.as_slice(), packet, "{id}");
        sealed.push(id);
    }
    let all = [
        "gcm16-128",
        "gcm16-256-esn",
        "gcm16-128-tfc",
        "gcm16-128-longpad",
        "gcm16-128-dummy",
        "gcm16-128-empty",
        "cbc128-sha256",
        "cbc128-sha256-esn",
    ];
    assert_eq!(opened, all);
    assert_eq!(sealed, all.iter().copied().filter(|id| *id != "gcm16-128-longpad").collect::<Vec<_>>());
}

/// draft-mcgrew-gcm-test-01: every packet authenticates with the number it names. Their next header is always
/// 1, which tunnel mode does not carry: that is what they are dropped for, after the integrity check.
#[test]
fn mcgrew_gcm() {
    let file = load(include_str!("vectors/mcgrew_gcm_gmac_esp.json"));
    let mut count = 0;
    for case in file["gcm"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let is_esn = case["esn"].as_bool().unwrap();
        let key_bits = Some(u16::try_from(case["key_bits"].as_u64().unwrap()).unwrap());
        let suite = CipherSuite { encr: EncrId::AES_GCM_16, key_bits, integ: IntegId::NONE };
        let spi_value = u32::from_str_radix(case["spi"].as_str().unwrap(), 16).unwrap();
        if spi_value == 0 {
            assert_eq!(id, "case 4", "SPI 0 is never on the wire");
            continue;
        }
        let high = if is_esn { number(&case["seq_hi"]) } else { 0 };
        let seq = high << 32 | number(&case["seq_lo"]);
        let key = [octets(&case["key"]), octets(&case["salt"])].concat();
        for provider in PROVIDERS {
            let install = install_of(suite, is_esn, spi_value, key.clone(), Vec::new());
            let mut receiver =
                InboundSa::new(provider, install, InboundConfig::default(), Instant::ZERO).unwrap();
            receiver.resume_at(seq - 1);
            let packet = octets(&case["esp_packet"]);
            for at in 8..packet.len() {
                let mut damaged = packet.clone();
                damaged[at] ^= 1;
                assert_eq!(open(&mut receiver, &damaged), Err(OpenError::Integrity), "{id} octet {at}");
            }
            assert_eq!(open(&mut receiver, &packet), Err(OpenError::NextHeader(1)), "{id}");
            assert_eq!(receiver.newest_number(), seq, "{id}");
        }
        count += 1;
    }
    assert_eq!(count, 13);
}

/// Packets that another stack put on a wire, and what Scapy says is in them. `captures.json`:
/// strongSwan's user space and the Linux kernel; AES-GCM, AES-CBC with HMAC, 64-bit numbers; in UDP and raw.
#[test]
fn packets_of_other_stacks() {
    let file = load(include_str!("vectors/captures.json"));
    let mut count = 0;
    for case in file["cases"].as_array().unwrap() {
        let name = case["capture"].as_str().unwrap();
        let suite = suite_of(case).unwrap();
        let is_esn = case["esn"].as_bool().unwrap();
        let spi_value = u32::from_str_radix(case["spi"].as_str().unwrap(), 16).unwrap();
        for provider in PROVIDERS {
            let (encr_key, integ_key) = (octets(&case["encr_key"]), octets(&case["integ_key"]));
            let install = install_of(suite, is_esn, spi_value, encr_key, integ_key);
            let mut engine = Engine::new(provider, EngineConfig::default());
            engine.apply(Instant::ZERO, SaCommand::InstallInbound(Box::new(install))).unwrap();
            for packet in case["packets"].as_array().unwrap() {
                let mut storage = octets(&packet["outer"]);
                let mut buf = PacketBuf::whole(&mut storage);
                engine.open_ip(Instant::ZERO, &mut buf).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(buf.as_slice(), octets(&packet["inner"]), "{name}");
                count += 1;
            }
        }
    }
    assert_eq!(count, PROVIDERS.len() * 36);
}
