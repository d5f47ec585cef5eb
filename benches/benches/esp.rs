//! What sealing and opening cost beside the bare cipher, for each kind of cipher suite: from the inner IP packet to the
//! outer datagram's payload and back, with policy, flow cache, SAD, headers, padding, numbers, window, lifetimes and
//! statistics. The bare cipher is RustCrypto's AEAD in place with its key made once, over the same octets; for suites that
//! are no AEAD there, and for AES-GMAC, it is the provider's packet cipher.
//!
//! A round seals a batch of packets and opens it again, once each way; rounds of all ways alternate, and each figure is
//! the median over the rounds. `cargo bench -p ipsec-benches --bench esp` prints the table, with `-- GCM` that of the
//! suites whose names have GCM in them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use aes::{Aes192, Aes256};
use aes_gcm::aead::consts::{U11, U12, U16};
use aes_gcm::aead::{AeadInOut, KeyInit, Nonce, Tag};
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};
use ccm::Ccm;
use chacha20poly1305::ChaCha20Poly1305;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{CipherAlgorithm, PacketCipher, PacketNumber, rustcrypto};
use ipsec_esp::packet::Layout;
use ipsec_esp::spd::{Action, Applies, Spd, SpdEntry};
use ipsec_esp::{
    Arrival, Engine, EngineConfig, InboundConfig, InboundSa, MAX_HEADROOM, MAX_TAILROOM, OutboundConfig,
    OutboundSa, PacketBuf,
};
use ipsec_types::sa::{ChildSa, ChildSaId, Lifetimes, PolicyId, SaInstall, SaKeys};
use ipsec_types::{
    Encapsulation, EncrId, EspSpi, Instant, Mode, Path, SaCommand, SecretBytes, SequenceNumbers,
    TrafficSelector,
};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant as Clock;

const ROUNDS: usize = 301;
const SIZES: [usize; 5] = [64, 256, 576, 1_400, 9_000];
const KEY: [u8; 68] = [7; 68];

/// One suite of each kind, and of the usual one every key length.
static SUITES: [&&dyn CipherAlgorithm; 10] = [
    &rustcrypto::AES_128_GCM_16,
    &rustcrypto::AES_192_GCM_16,
    &rustcrypto::AES_256_GCM_16,
    &rustcrypto::AES_256_GCM_16_IIV,
    &rustcrypto::CHACHA20_POLY1305,
    &rustcrypto::AES_256_CCM_16,
    &rustcrypto::AES_256_CBC_HMAC_SHA2_256_128,
    &rustcrypto::AES_256_CTR_HMAC_SHA2_256_128,
    &rustcrypto::AES_256_GMAC,
    &rustcrypto::NULL_HMAC_SHA2_256_128,
];

fn install(algorithm: &dyn CipherAlgorithm, local: &str, remote: &str) -> SaInstall {
    let child = ChildSa {
        id: ChildSaId(1),
        policy: PolicyId(1),
        suite: algorithm.suite(),
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
        group: None,
    };
    let key = |len| SecretBytes::copy_from(&KEY[..len]);
    let keys = SaKeys { encr: key(algorithm.encr_key_len()), integ: key(algorithm.integ_key_len()) };
    SaInstall { child: Arc::new(child), spi: EspSpi::new(0x1001).unwrap(), keys }
}

fn sender(algorithm: &dyn CipherAlgorithm) -> SaInstall {
    install(algorithm, "192.0.2.1:4500", "192.0.2.2:4500")
}

fn receiver(algorithm: &dyn CipherAlgorithm) -> SaInstall {
    install(algorithm, "192.0.2.2:4500", "192.0.2.1:4500")
}

fn inner(len: usize) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1];
    packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    packet.resize(len, 0x5A);
    packet
}

/// One way of sealing and opening a batch in place.
trait Way {
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
        *nonce.as_mut_slice().last_chunk_mut().unwrap() = number.to_be_bytes();
        nonce
    }
}

impl<A: AeadInOut> Way for Bare<A> {
    fn seal(&mut self, packet: &mut PacketBuf<'_>) {
        self.number += 1;
        let text_at = self.layout.payload_offset();
        packet.grow(text_at, self.layout.behind(packet.len())).unwrap();
        let octets = packet.as_mut_slice();
        let (head, rest) = octets.split_at_mut(text_at);
        // Of the number no more is sent than there is room for.
        head[text_at - 8..].copy_from_slice(&self.number.to_be_bytes());
        let text_len = rest.len() - 16;
        let (text, icv) = rest.split_at_mut(text_len);
        let nonce = Self::nonce(self.number);
        let tag = self.cipher.encrypt_inout_detached(&nonce, &head[..8], text.into()).unwrap();
        icv.copy_from_slice(&tag);
    }

    fn open(&mut self, packet: &mut PacketBuf<'_>) {
        let text_at = self.layout.payload_offset();
        let (head, rest) = packet.as_mut_slice().split_at_mut(text_at);
        let number = u64::from_be_bytes(head[text_at - 8..].try_into().unwrap());
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
    fn seal(&mut self, packet: &mut PacketBuf<'_>) {
        self.number += 1;
        packet.grow(self.layout.payload_offset(), self.layout.behind(packet.len())).unwrap();
        // What ESP's header says of it, for opening.
        packet.as_mut_slice()[..8].copy_from_slice(&self.number.to_be_bytes());
        self.cipher.seal(PacketNumber::explicit(self.number), 8, packet.as_mut_slice()).unwrap();
    }

    fn open(&mut self, packet: &mut PacketBuf<'_>) {
        let number = u64::from_be_bytes(packet.as_slice()[..8].try_into().unwrap());
        self.cipher.open(PacketNumber::explicit(number), 8, packet.as_mut_slice()).unwrap();
    }
}

/// One SA of each direction.
struct Sas(OutboundSa, InboundSa);

impl Way for Sas {
    fn seal(&mut self, packet: &mut PacketBuf<'_>) {
        black_box(self.0.seal(Instant::ZERO, packet)).unwrap();
    }

    fn open(&mut self, packet: &mut PacketBuf<'_>) {
        black_box(self.1.open(Instant::ZERO, packet, None)).unwrap();
    }
}

/// Engines with these SAs and a policy: the flow and the SA are found, reports and timers are kept.
struct Engines(Engine, Engine, Arrival);

impl Way for Engines {
    fn seal(&mut self, packet: &mut PacketBuf<'_>) {
        black_box(self.0.seal(Instant::ZERO, packet)).unwrap();
    }

    fn open(&mut self, packet: &mut PacketBuf<'_>) {
        black_box(self.1.open(Instant::ZERO, self.2, packet)).unwrap();
    }
}

/// The library's AEAD of a suite, if there is one.
fn bare(suite: &dyn CipherAlgorithm, layout: Layout) -> Option<Box<dyn Way>> {
    fn way<A: AeadInOut + KeyInit + 'static>(len: usize, layout: Layout) -> Option<Box<dyn Way>> {
        Some(Box::new(Bare { cipher: A::new_from_slice(&KEY[..len]).unwrap(), layout, number: 0 }))
    }
    match (suite.suite().encr, suite.suite().key_bits) {
        (EncrId::AES_GCM_16, Some(128)) => way::<Aes128Gcm>(16, layout),
        (EncrId::AES_GCM_16, Some(192)) => way::<AesGcm<Aes192, U12>>(24, layout),
        (EncrId::AES_GCM_16 | EncrId::AES_GCM_16_IIV, Some(256)) => way::<Aes256Gcm>(32, layout),
        (EncrId::CHACHA20_POLY1305, _) => way::<ChaCha20Poly1305>(32, layout),
        (EncrId::AES_CCM_16, Some(256)) => way::<Ccm<Aes256, U16, U11>>(32, layout),
        _ => None,
    }
}

const COLUMNS: [&str; 4] = ["bare", "PacketCipher", "SA", "Engine"];

/// As many as there are columns, but for the first where the library has no AEAD.
fn ways(suite: &dyn CipherAlgorithm) -> Vec<Option<Box<dyn Way>>> {
    let now = Instant::ZERO;
    let (out, inn) = (OutboundConfig::default(), InboundConfig::default());
    let cipher = suite.with_keys(&sender(suite).keys).unwrap();
    let layout = Layout::of(&*cipher);
    let sas = Sas(
        OutboundSa::new(&RUSTCRYPTO, sender(suite), out, now).unwrap(),
        InboundSa::new(&RUSTCRYPTO, receiver(suite), inn, now).unwrap(),
    );
    let all = || vec![TrafficSelector::ALL_V4];
    let (action, applies) = (Action::Protect(PolicyId(1)), Applies::BothWays);
    let spd = Spd::new(vec![SpdEntry { action, applies, local: all(), remote: all() }]).unwrap();
    let [mut a, mut b] = [0; 2].map(|_| Engine::new(&RUSTCRYPTO, EngineConfig::default()));
    a.set_policy(Some(spd.clone()));
    b.set_policy(Some(spd));
    a.apply(now, SaCommand::InstallOutbound(Box::new(sender(suite)))).unwrap();
    b.apply(now, SaCommand::InstallInbound(Box::new(receiver(suite)))).unwrap();
    let arrival = Arrival::udp(receiver(suite).child.path);
    vec![
        bare(suite, layout),
        Some(Box::new(Provider { cipher, layout, number: 0 })),
        Some(Box::new(sas)),
        Some(Box::new(Engines(a, b, arrival))),
    ]
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

/// The medians of all ways, in nanoseconds for a packet: sealing and opening.
fn measure(suite: &dyn CipherAlgorithm, len: usize) -> Vec<[f64; 2]> {
    let packet = inner(len);
    // As many packets as the second cache holds beside everything else.
    let batch = (128 * 1_400 / len).clamp(16, 128);
    let mut buffers: Vec<Vec<u8>> =
        (0..batch).map(|_| [&[0; MAX_HEADROOM][..], &packet, &[0; MAX_TAILROOM][..]].concat()).collect();
    let mut ways = ways(suite);
    let mut times = vec![[Vec::new(), Vec::new()]; ways.len()];
    for _ in 0..ROUNDS {
        for (way, times) in ways.iter_mut().zip(&mut times) {
            let Some(way) = way else { continue };
            let [seal, open] = round(&mut **way, &mut buffers, len);
            times[0].push(seal);
            times[1].push(open);
            // What was opened is the inner packet again, where it lay.
            for buffer in &mut buffers {
                buffer[MAX_HEADROOM..MAX_HEADROOM + len].copy_from_slice(&packet);
            }
        }
    }
    let median = |mut times: Vec<u128>| {
        times.sort_unstable();
        times.get(times.len() / 2).map_or(f64::NAN, |time| *time as f64 / batch as f64)
    };
    times.into_iter().map(|both| both.map(median)).collect()
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!(
        "{} {}: nanoseconds for one packet, then the others' rates in percent of the first",
        RUSTCRYPTO.name, COLUMNS[0]
    );
    println!(
        "{:40} octets      {:>8} {:>12} {:>8} {:>8}",
        "suite", COLUMNS[0], COLUMNS[1], COLUMNS[2], COLUMNS[3]
    );
    for suite in SUITES {
        let name = suite.suite().to_string();
        if wanted.as_ref().is_some_and(|wanted| !name.contains(wanted.as_str())) {
            continue;
        }
        for len in SIZES {
            let medians = measure(*suite, len);
            for (which, verb) in ["seal", "open"].into_iter().enumerate() {
                let of = |way: usize| medians[way][which];
                // Without an AEAD the packet cipher is what the others stand beside.
                let bare = if of(0).is_nan() { of(1) } else { of(0) };
                let rate = |way| 100.0 * bare / of(way);
                println!(
                    "{name:40} {len:6} {verb} {bare:8.1} {:12.1} {:8.1} {:8.1}",
                    rate(1),
                    rate(2),
                    rate(3)
                );
            }
        }
    }
}
