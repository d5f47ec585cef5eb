//! What sealing and opening cost beside the bare cipher: AES-GCM-16 of `aes-gcm` in place with its key made
//! once, over the same octets, in the same run.
//!
//! A round seals a batch of packets and opens it again, once each way; rounds of all ways alternate, and each
//! figure is the median over the rounds. `cargo bench -p ipsec-benches --bench esp`

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use aes_gcm::aead::{AeadInOut, KeyInit, Nonce, Tag};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{PacketCipher, PacketNumber};
use ipsec_esp::packet::Layout;
use ipsec_esp::{
    Arrival, Engine, EngineConfig, InboundConfig, InboundSa, MAX_HEADROOM, MAX_TAILROOM, OutboundConfig,
    OutboundSa, PacketBuf,
};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::{ChildSa, ChildSaId, Lifetimes, PolicyId, SaInstall, SaKeys};
use ipsec_types::{
    Encapsulation, EncrId, EspSpi, Instant, IntegId, Mode, Path, SaCommand, SecretBytes, SequenceNumbers,
    TrafficSelector,
};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant as Clock;

const BATCH: usize = 128;
const ROUNDS: usize = 401;
const KEY: [u8; 36] = [7; 36];

fn install(bits: u16, local: &str, remote: &str) -> SaInstall {
    let child = ChildSa {
        id: ChildSaId(1),
        policy: PolicyId(1),
        suite: CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(bits), integ: IntegId::NONE },
        mode: Mode::Tunnel,
        sequence_numbers: SequenceNumbers::Sequential32,
        encapsulation: Encapsulation::Udp,
        path: Path::nat_t(local.parse().unwrap(), remote.parse().unwrap()),
        local: vec![TrafficSelector::ALL_V4],
        remote: vec![TrafficSelector::ALL_V4],
        lifetimes: Lifetimes::default(),
        original_addresses: None,
        tfc_allowed: false,
        replaces: None,
    };
    let encr = SecretBytes::copy_from(&KEY[..usize::from(bits / 8) + 4]);
    let keys = SaKeys { encr, integ: SecretBytes::zeroed(0) };
    SaInstall { child: Arc::new(child), spi: EspSpi::new(0x1001).unwrap(), keys }
}

fn sender(bits: u16) -> SaInstall {
    install(bits, "192.0.2.1:4500", "192.0.2.2:4500")
}

fn receiver(bits: u16) -> SaInstall {
    install(bits, "192.0.2.2:4500", "192.0.2.1:4500")
}

fn inner(len: usize) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1];
    packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    packet.resize(len, 0x5A);
    packet
}

/// One way of sealing and opening a batch in place.
trait Way {
    fn name(&self) -> &'static str;
    fn seal(&mut self, packet: &mut PacketBuf<'_>);
    fn open(&mut self, packet: &mut PacketBuf<'_>);
}

/// The cipher alone: text in place, a tag beside it.
struct Bare<A> {
    cipher: A,
    layout: Layout,
    number: u64,
}

impl<A: AeadInOut> Bare<A> {
    fn nonce(number: u64) -> Nonce<A> {
        let mut nonce = Nonce::<A>::default();
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        nonce
    }
}

impl<A: AeadInOut> Way for Bare<A> {
    fn name(&self) -> &'static str {
        "aes-gcm alone"
    }

    fn seal(&mut self, packet: &mut PacketBuf<'_>) {
        self.number += 1;
        packet.grow(16, self.layout.behind(packet.len())).unwrap();
        let octets = packet.as_mut_slice();
        octets[8..16].copy_from_slice(&self.number.to_be_bytes());
        let (head, rest) = octets.split_at_mut(16);
        let text_len = rest.len() - 16;
        let (text, icv) = rest.split_at_mut(text_len);
        let nonce = Self::nonce(self.number);
        let tag = self.cipher.encrypt_inout_detached(&nonce, &head[..8], text.into()).unwrap();
        icv.copy_from_slice(&tag);
    }

    fn open(&mut self, packet: &mut PacketBuf<'_>) {
        let octets = packet.as_mut_slice();
        let number = u64::from_be_bytes(octets[8..16].try_into().unwrap());
        let (head, rest) = octets.split_at_mut(16);
        let text_len = rest.len() - 16;
        let (text, icv) = rest.split_at_mut(text_len);
        let tag = Tag::<A>::try_from(&*icv).unwrap();
        self.cipher.decrypt_inout_detached(&Self::nonce(number), &head[..8], text.into(), &tag).unwrap();
    }
}

/// The provider's packet cipher: the cipher, its IV and its additional data behind one call.
struct Provider {
    cipher: Box<dyn PacketCipher>,
    layout: Layout,
    number: u64,
}

impl Way for Provider {
    fn name(&self) -> &'static str {
        "PacketCipher"
    }

    fn seal(&mut self, packet: &mut PacketBuf<'_>) {
        self.number += 1;
        packet.grow(16, self.layout.behind(packet.len())).unwrap();
        self.cipher.seal(PacketNumber::explicit(self.number), 8, packet.as_mut_slice()).unwrap();
    }

    fn open(&mut self, packet: &mut PacketBuf<'_>) {
        self.cipher.open(PacketNumber::explicit(0), 8, packet.as_mut_slice()).unwrap();
    }
}

/// One SA of each direction.
struct Sas(OutboundSa, InboundSa);

impl Way for Sas {
    fn name(&self) -> &'static str {
        "OutboundSa, InboundSa"
    }

    fn seal(&mut self, packet: &mut PacketBuf<'_>) {
        black_box(self.0.seal(Instant::ZERO, packet)).unwrap();
    }

    fn open(&mut self, packet: &mut PacketBuf<'_>) {
        black_box(self.1.open(Instant::ZERO, packet, None)).unwrap();
    }
}

/// Engines with these SAs: the SA is found, reports and timers are kept.
struct Engines(Engine, Engine, Arrival);

impl Way for Engines {
    fn name(&self) -> &'static str {
        "Engine"
    }

    fn seal(&mut self, packet: &mut PacketBuf<'_>) {
        black_box(self.0.seal(Instant::ZERO, packet)).unwrap();
    }

    fn open(&mut self, packet: &mut PacketBuf<'_>) {
        black_box(self.1.open(Instant::ZERO, self.2, packet)).unwrap();
    }
}

fn ways(bits: u16) -> Vec<Box<dyn Way>> {
    let layout = Layout::new(8, 16, 1);
    let bare: Box<dyn Way> = match bits {
        128 => Box::new(Bare { cipher: Aes128Gcm::new_from_slice(&KEY[..16]).unwrap(), layout, number: 0 }),
        _ => Box::new(Bare { cipher: Aes256Gcm::new_from_slice(&KEY[..32]).unwrap(), layout, number: 0 }),
    };
    let now = Instant::ZERO;
    let (out, inn) = (OutboundConfig::default(), InboundConfig::default());
    let install = sender(bits);
    let cipher = RUSTCRYPTO.cipher(install.child.suite).unwrap().with_keys(&install.keys).unwrap();
    let provider = Provider { cipher, layout, number: 0 };
    let sas = Sas(
        OutboundSa::new(&RUSTCRYPTO, sender(bits), out, now).unwrap(),
        InboundSa::new(&RUSTCRYPTO, receiver(bits), inn, now).unwrap(),
    );
    let mut engines = [0; 2].map(|_| Engine::new(&RUSTCRYPTO, EngineConfig::default()));
    engines[0].apply(now, SaCommand::InstallOutbound(Box::new(sender(bits)))).unwrap();
    engines[1].apply(now, SaCommand::InstallInbound(Box::new(receiver(bits)))).unwrap();
    let [a, b] = engines;
    let arrival = Arrival::udp(receiver(bits).child.path);
    vec![bare, Box::new(provider), Box::new(sas), Box::new(Engines(a, b, arrival))]
}

/// Nanoseconds for a batch, sealed and then opened.
fn round(way: &mut dyn Way, buffers: &mut [Vec<u8>], inner_len: usize) -> [u128; 2] {
    let mut packets: Vec<_> = buffers
        .iter_mut()
        .map(|buffer| PacketBuf::new(buffer, MAX_HEADROOM..MAX_HEADROOM + inner_len).unwrap())
        .collect();
    let start = Clock::now();
    packets.iter_mut().for_each(|packet| way.seal(packet));
    let sealed = start.elapsed().as_nanos();
    let start = Clock::now();
    packets.iter_mut().for_each(|packet| way.open(packet));
    [sealed, start.elapsed().as_nanos()]
}

fn main() {
    println!("one packet, tenths of a nanosecond, and the rate as per mille of the bare cipher's");
    for bits in [128, 256] {
        for len in [64, 1_400] {
            let packet = inner(len);
            let mut buffers: Vec<Vec<u8>> = (0..BATCH)
                .map(|_| [&[0; MAX_HEADROOM][..], &packet, &[0; MAX_TAILROOM][..]].concat())
                .collect();
            let mut ways = ways(bits);
            let mut times = vec![[Vec::new(), Vec::new()]; ways.len()];
            for _ in 0..ROUNDS {
                for (way, times) in ways.iter_mut().zip(&mut times) {
                    let [seal, open] = round(&mut **way, &mut buffers, len);
                    times[0].push(seal);
                    times[1].push(open);
                    // What was opened is the inner packet again, where it lay.
                    for buffer in &mut buffers {
                        buffer[MAX_HEADROOM..MAX_HEADROOM + len].copy_from_slice(&packet);
                    }
                }
            }
            let mut bare = [0; 2];
            for (way, times) in ways.iter().zip(&mut times) {
                for (which, verb) in ["seal", "open"].into_iter().enumerate() {
                    times[which].sort_unstable();
                    let median = times[which][ROUNDS / 2] * 10 / BATCH as u128;
                    if bare[which] == 0 {
                        bare[which] = median;
                    }
                    let rate = bare[which] * 1_000 / median;
                    println!("AES-{bits}-GCM {len:5} octets  {verb}  {:22} {median:7}  {rate:5}", way.name());
                }
            }
        }
    }
}
