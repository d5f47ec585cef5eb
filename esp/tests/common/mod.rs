//! What the tests share: SAs with known keys, inner packets, and a cipher whose IV a vector can name.
#![allow(dead_code, unreachable_pub)]

use aes_gcm::aead::{AeadInOut, KeyInit};
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use hmac::Mac;
use ipsec_crypto::CryptoProvider;
use ipsec_crypto::aws_lc::AWS_LC;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{CipherError, PacketCipher, PacketNumber, UsageLimits};
use ipsec_esp::{InboundConfig, InboundSa, OutboundConfig, OutboundSa, PacketBuf};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::{ChildSa, ChildSaId, Lifetimes, PolicyId, SaInstall, SaKeys};
use ipsec_types::{
    Encapsulation, EncrId, EspSpi, Instant, IntegId, Mode, Path, SecretBytes, SequenceNumbers,
    TrafficSelector,
};
use std::net::SocketAddr;
use std::sync::Arc;

pub const GCM_128: CipherSuite =
    CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(128), integ: IntegId::NONE };
pub const GCM_256: CipherSuite =
    CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(256), integ: IntegId::NONE };
pub const CBC_128: CipherSuite =
    CipherSuite { encr: EncrId::AES_CBC, key_bits: Some(128), integ: IntegId::HMAC_SHA2_256_128 };
pub const CBC_256: CipherSuite =
    CipherSuite { encr: EncrId::AES_CBC, key_bits: Some(256), integ: IntegId::HMAC_SHA2_256_128 };
pub const SUITES: [CipherSuite; 4] = [GCM_128, GCM_256, CBC_128, CBC_256];

/// More than any SA of these tests needs on either side of a packet.
pub const ROOM: usize = 2_100;

/// Each library that ciphers are taken from.
pub static PROVIDERS: [&CryptoProvider; 2] = [&RUSTCRYPTO, &AWS_LC];

pub fn hex(text: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

pub fn spi(value: u32) -> EspSpi {
    EspSpi::new(value).unwrap()
}

/// Keys of the right lengths for a suite; those of another seed differ.
pub fn keys(suite: CipherSuite, seed: u8) -> SaKeys {
    let algorithm = RUSTCRYPTO.cipher(suite).unwrap();
    let octets = |len: usize, first: u8| {
        SecretBytes::from((0..len).map(|i| first.wrapping_add(i as u8)).collect::<Vec<u8>>())
    };
    SaKeys {
        encr: octets(algorithm.encr_key_len(), seed),
        integ: octets(algorithm.integ_key_len(), seed.wrapping_add(0x80)),
    }
}

pub fn path_v4() -> Path {
    Path::nat_t("192.0.2.1:4500".parse().unwrap(), "198.51.100.2:4500".parse().unwrap())
}

pub fn path_v6() -> Path {
    Path::nat_t("[2001:db8::1]:4500".parse().unwrap(), "[2001:db8::2]:4500".parse().unwrap())
}

/// A pair for all traffic of both families: GCM-128, 32-bit numbers, UDP over IPv4.
pub fn child() -> ChildSa {
    let all = vec![TrafficSelector::ALL_V4, TrafficSelector::ALL_V6];
    ChildSa {
        id: ChildSaId(1),
        policy: PolicyId(1),
        suite: GCM_128,
        mode: Mode::Tunnel,
        sequence_numbers: SequenceNumbers::Sequential32,
        encapsulation: Encapsulation::Udp,
        path: path_v4(),
        local: all.clone(),
        remote: all,
        lifetimes: Lifetimes::default(),
        original_addresses: None,
        tfc_allowed: true,
        replaces: None,
        group: None,
    }
}

/// The same pair as the peer sees it.
pub fn mirrored(child: &ChildSa) -> ChildSa {
    let Path { local, remote, kind } = child.path;
    ChildSa {
        local: child.remote.clone(),
        remote: child.local.clone(),
        path: Path { local: remote, remote: local, kind },
        ..child.clone()
    }
}

pub fn install(child: &ChildSa, spi_value: u32, seed: u8) -> SaInstall {
    let keys = keys(child.suite, seed);
    SaInstall { child: Arc::new(child.clone()), spi: spi(spi_value), keys }
}

/// A sender and the receiver at its other end.
pub fn sa_pair(child: &ChildSa, out: OutboundConfig, inn: InboundConfig) -> (OutboundSa, InboundSa) {
    (
        OutboundSa::new(&RUSTCRYPTO, install(child, 0x1001, 1), out, Instant::ZERO).unwrap(),
        InboundSa::new(&RUSTCRYPTO, install(&mirrored(child), 0x1001, 1), inn, Instant::ZERO).unwrap(),
    )
}

pub fn default_pair(child: &ChildSa) -> (OutboundSa, InboundSa) {
    sa_pair(child, OutboundConfig::default(), InboundConfig::default())
}

fn checksum(header: &[u8]) -> [u8; 2] {
    let mut sum: u32 = header.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// Writes a right header checksum into an IPv4 packet.
pub fn fix_checksum(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let header = usize::from(packet[0] & 0x0F) * 4;
    let sum = checksum(&packet[..header]);
    packet[10..12].copy_from_slice(&sum);
}

/// Whether an IPv4 header's checksum is right.
pub fn checksum_is_right(packet: &[u8]) -> bool {
    checksum(&packet[..usize::from(packet[0] & 0x0F) * 4]) == [0, 0]
}

/// A UDP packet of `len` octets (at least 28) from 10.1.0.1 to 10.2.0.1.
pub fn v4(len: usize) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1];
    packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    packet.extend_from_slice(&[0x13, 0x88, 0, 53, 0, 0, 0, 0]);
    packet.extend((packet.len()..len).map(|i| i as u8));
    assert_eq!(packet.len(), len);
    fix_checksum(&mut packet);
    packet
}

/// A UDP packet of `len` octets (at least 48) from fd00:1::1 to fd00:2::1.
pub fn v6(len: usize) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 17, 64];
    packet[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
    packet.extend_from_slice(&"fd00:1::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    packet.extend_from_slice(&"fd00:2::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    packet.extend_from_slice(&[0x13, 0x88, 0, 53, 0, 0, 0, 0]);
    packet.extend((packet.len()..len).map(|i| i as u8));
    assert_eq!(packet.len(), len);
    packet
}

/// A packet between the ends of [`path_v4`] with these options and this next layer.
pub fn v4_between(options: &[u8], protocol: u8, upper: &[u8]) -> Vec<u8> {
    let mut packet =
        vec![0x45 + options.len() as u8 / 4, 0xB9, 0, 0, 0x12, 0x34, 0x40, 0, 63, protocol, 0, 0];
    packet.extend_from_slice(&[192, 0, 2, 1, 198, 51, 100, 2]);
    packet.extend_from_slice(options);
    packet.extend_from_slice(upper);
    let length = packet.len() as u16;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    fix_checksum(&mut packet);
    packet
}

/// A packet between the ends of [`path_v6`] with these octets behind its header.
pub fn v6_between(next: u8, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x6B, 0x91, 0x23, 0x45];
    packet.extend_from_slice(&(rest.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[next, 63]);
    for address in ["2001:db8::1", "2001:db8::2"] {
        packet.extend_from_slice(&address.parse::<std::net::Ipv6Addr>().unwrap().octets());
    }
    packet.extend_from_slice(rest);
    packet
}

/// The packet with [`ROOM`] octets around it.
pub fn roomy(packet: &[u8]) -> (Vec<u8>, std::ops::Range<usize>) {
    let mut storage = vec![0xEE; ROOM];
    storage.extend_from_slice(packet);
    storage.resize(ROOM + packet.len() + ROOM, 0xEE);
    (storage, ROOM..ROOM + packet.len())
}

/// What the SA makes of the packet.
pub fn seal(sa: &mut OutboundSa, packet: &[u8]) -> Vec<u8> {
    let (mut storage, at) = roomy(packet);
    let mut buf = PacketBuf::new(&mut storage, at).unwrap();
    sa.seal(Instant::ZERO, &mut buf).unwrap();
    buf.as_slice().to_vec()
}

/// What the SA makes of the ESP packet: the inner packet, or why there is none.
pub fn open(sa: &mut InboundSa, packet: &[u8]) -> Result<Vec<u8>, ipsec_esp::OpenError> {
    let mut storage = packet.to_vec();
    let mut buf = PacketBuf::whole(&mut storage);
    sa.open(Instant::ZERO, &mut buf, None).map(|_| buf.as_slice().to_vec())
}

pub fn at_port(address: SocketAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.ip(), port)
}

/// A packet cipher of its own, made of the primitives, with an IV that is told and not derived: to meet vectors
/// octet by octet, and to make packets that no honest sender makes.
pub enum FixedIv {
    Gcm128 { key: Vec<u8>, salt: Vec<u8>, iv: Vec<u8> },
    Gcm256 { key: Vec<u8>, salt: Vec<u8>, iv: Vec<u8> },
    Cbc128Sha256 { key: Vec<u8>, integ: Vec<u8>, iv: Vec<u8> },
    Cbc256Sha256 { key: Vec<u8>, integ: Vec<u8>, iv: Vec<u8> },
}

impl FixedIv {
    pub fn new(suite: CipherSuite, keys: &SaKeys, iv: &[u8]) -> Self {
        let (encr, integ, iv) = (keys.encr.as_slice(), keys.integ.as_slice().to_vec(), iv.to_vec());
        let (key, salt) = match suite.encr {
            EncrId::AES_GCM_16 => encr.split_at(encr.len() - 4),
            _ => (encr, &[][..]),
        };
        let (key, salt) = (key.to_vec(), salt.to_vec());
        match (suite.encr, suite.key_bits) {
            (EncrId::AES_GCM_16, Some(128)) => Self::Gcm128 { key, salt, iv },
            (EncrId::AES_GCM_16, Some(256)) => Self::Gcm256 { key, salt, iv },
            (EncrId::AES_CBC, Some(128)) => Self::Cbc128Sha256 { key, integ, iv },
            (EncrId::AES_CBC, Some(256)) => Self::Cbc256Sha256 { key, integ, iv },
            _ => panic!("{suite}"),
        }
    }

    fn is_gcm(&self) -> bool {
        matches!(self, Self::Gcm128 { .. } | Self::Gcm256 { .. })
    }
}

fn gcm<A>(key: &[u8], salt: &[u8], iv: &[u8], header: &[u8], number: PacketNumber, packet: &mut [u8])
where
    A: KeyInit + AeadInOut,
{
    let mut aad = header[..4].to_vec();
    if number.high_in_icv {
        aad.extend_from_slice(&number.value.to_be_bytes()[..4]);
    }
    aad.extend_from_slice(&header[4..]);
    let nonce = [salt, iv].concat();
    let icv_at = packet.len() - 16;
    let (text, icv) = packet.split_at_mut(icv_at);
    let nonce = aes_gcm::aead::Nonce::<A>::try_from(&nonce[..]).unwrap();
    let tag = A::new_from_slice(key).unwrap().encrypt_inout_detached(&nonce, &aad, text.into()).unwrap();
    icv.copy_from_slice(&tag);
}

impl PacketCipher for FixedIv {
    fn iv_len(&self) -> usize {
        if self.is_gcm() { 8 } else { 16 }
    }

    fn icv_len(&self) -> usize {
        16
    }

    fn block_len(&self) -> usize {
        if self.is_gcm() { 1 } else { 16 }
    }

    fn limits(&self) -> UsageLimits {
        UsageLimits { packets: u64::MAX, octets: u64::MAX, failed_opens: u64::MAX }
    }

    fn seal(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        let (header, rest) = packet.split_at_mut(header_len);
        let (iv_room, text) = rest.split_at_mut(self.iv_len());
        match self {
            Self::Gcm128 { key, salt, iv } => {
                iv_room.copy_from_slice(iv);
                gcm::<aes_gcm::Aes128Gcm>(key, salt, iv, header, number, text);
            }
            Self::Gcm256 { key, salt, iv } => {
                iv_room.copy_from_slice(iv);
                gcm::<aes_gcm::Aes256Gcm>(key, salt, iv, header, number, text);
            }
            Self::Cbc128Sha256 { key, integ, iv } | Self::Cbc256Sha256 { key, integ, iv } => {
                iv_room.copy_from_slice(iv);
                let icv_at = text.len() - 16;
                let octets = &mut text[..icv_at];
                if key.len() == 16 {
                    cbc_encrypt::<aes::Aes128>(key, iv, octets);
                } else {
                    cbc_encrypt::<aes::Aes256>(key, iv, octets);
                }
                let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(integ).unwrap();
                mac.update(header);
                mac.update(iv);
                mac.update(octets);
                if number.high_in_icv {
                    mac.update(&number.value.to_be_bytes()[..4]);
                }
                text[icv_at..].copy_from_slice(&mac.finalize().into_bytes()[..16]);
            }
        }
        Ok(())
    }

    fn open(&self, _: PacketNumber, _: usize, _: &mut [u8]) -> Result<(), CipherError> {
        Err(CipherError::IntegrityCheck) // this cipher only makes packets
    }
}

fn cbc_encrypt<C>(key: &[u8], iv: &[u8], octets: &mut [u8])
where
    cbc::Encryptor<C>: KeyIvInit + BlockModeEncrypt,
    C: cbc::cipher::BlockCipherEncrypt,
{
    let mut cipher = cbc::Encryptor::<C>::new_from_slices(key, iv).unwrap();
    let (blocks, rest) = cbc::cipher::Block::<cbc::Encryptor<C>>::slice_as_chunks_mut(octets);
    assert!(rest.is_empty());
    cipher.encrypt_blocks(blocks);
}

/// An ESP packet around exactly this text (payload, padding, pad length, next header).
pub fn packet_around(suite: CipherSuite, spi_value: u32, number: PacketNumber, text: &[u8]) -> Vec<u8> {
    let iv = [0xC3; 16];
    let iv = &iv[..if suite.encr == EncrId::AES_GCM_16 { 8 } else { 16 }];
    let cipher = FixedIv::new(suite, &keys(suite, 1), iv);
    let mut packet = spi_value.to_be_bytes().to_vec();
    packet.extend_from_slice(&(number.value as u32).to_be_bytes());
    packet.extend_from_slice(iv);
    packet.extend_from_slice(text);
    packet.extend_from_slice(&[0; 16]);
    cipher.seal(number, 8, &mut packet).unwrap();
    packet
}

/// The payload with the padding that it needs and this next header.
pub fn with_trailer(suite: CipherSuite, payload: &[u8], next_header: u8) -> Vec<u8> {
    let align = if suite.encr == EncrId::AES_GCM_16 { 4 } else { 16 };
    let mut text = payload.to_vec();
    let mut padding = 0u8;
    while !(text.len() + 2).is_multiple_of(align) {
        padding += 1;
        text.push(padding);
    }
    text.extend_from_slice(&[padding, next_header]);
    text
}
