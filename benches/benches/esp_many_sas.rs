//! An engine with many inbound SAs, whose packets come in random order: what a whole open at 1,400 octets costs, packet by
//! packet and in batches of 128, and how much memory an SA takes. The packets lie in the cache, the SAs do not.
//!
//! `cargo bench -p ipsec-benches --bench esp_many_sas` prints the rates at 1,000 and 1,000,000 SAs for each library.
//! It needs 3 GiB of memory. Most of the time goes to the page tables, which are not in the cache either: with
//! `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` before it, Linux backs the memory with huge pages where it has them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use allocation_counter::measure;
use ipsec_benches::esp::{inner, install, path};
use ipsec_crypto::aws_lc::AWS_LC;
use ipsec_crypto::rustcrypto::{AES_128_GCM_16, RUSTCRYPTO};
use ipsec_crypto::{CryptoProvider, PacketNumber};
use ipsec_esp::packet::{EspHeader, Layout};
use ipsec_esp::{Arrival, Engine, EngineConfig, PacketBuf};
use ipsec_types::{EspSpi, Instant, SaCommand};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::hint::black_box;
use std::time::Instant as Clock;

const OCTETS: usize = 1_400;
const BATCH: usize = 128;
const ROUNDS: usize = 2_001;

/// An engine with so many SAs, and their SPIs.
fn engine(provider: &CryptoProvider, sas: usize, rng: &mut ChaCha20Rng) -> (Engine, Vec<u32>) {
    let suite = provider.cipher(AES_128_GCM_16.suite()).unwrap();
    let mut engine = Engine::new(provider, EngineConfig { max_sas: sas, ..EngineConfig::default() });
    let mut spis = Vec::with_capacity(sas);
    while spis.len() < sas {
        let value = rng.next_u32();
        let Some(spi) = EspSpi::new(value).filter(|spi| !spi.is_reserved()) else { continue };
        let install = install(suite, path(2, 1), spis.len() as u64, spi);
        // An SPI that is there already is drawn again.
        if engine.apply(Instant::ZERO, SaCommand::InstallInbound(Box::new(install))).is_ok() {
            spis.push(value);
        }
    }
    (engine, spis)
}

/// Nanoseconds for a packet, one by one and in batches: the medians over batches from random SAs.
fn open(provider: &CryptoProvider, sas: usize) -> [f64; 2] {
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let (mut engine, spis) = engine(provider, sas, &mut rng);
    let suite = provider.cipher(AES_128_GCM_16.suite()).unwrap();
    // All SAs have the same key.
    let keys = install(suite, path(2, 1), 0, EspSpi::new(spis[0]).unwrap()).keys;
    let cipher = suite.with_keys(&keys).unwrap();
    let layout = Layout::of(&*cipher);
    let arrival = Arrival::udp(path(2, 1));
    let mut text = inner(OCTETS);
    // Two octets of padding, pad length, and the next header of IPv4.
    text.extend_from_slice(&[1, 2, 2, 4]);
    let mut times = [const { Vec::new() }; 2];
    let mut buffers = vec![vec![0; layout.packet_len(OCTETS)]; BATCH];
    for round in 1..=ROUNDS as u32 {
        for (turn, buffer) in buffers.iter_mut().enumerate() {
            // Half of the packets may be of SAs that had one in this round: each has a number of its own.
            let spi = spis[rng.next_u32() as usize % spis.len()];
            let sequence_number = round * BATCH as u32 + turn as u32;
            buffer[..8].copy_from_slice(&EspHeader { spi, sequence_number }.to_octets());
            buffer[layout.payload_offset()..][..text.len()].copy_from_slice(&text);
            cipher.seal(PacketNumber::explicit(sequence_number.into()), 8, buffer).unwrap();
        }
        let mut packets: Vec<_> =
            buffers.iter_mut().map(|buffer| (arrival, PacketBuf::whole(buffer))).collect();
        let start = Clock::now();
        let in_batch = round as usize % 2;
        if in_batch == 1 {
            engine.open_batch(Instant::ZERO, &mut packets, |_, opened| {
                black_box(&opened).as_ref().unwrap();
            });
        } else {
            for (arrival, packet) in &mut packets {
                black_box(&engine.open(Instant::ZERO, *arrival, packet)).as_ref().unwrap();
            }
        }
        times[in_batch].push(start.elapsed().as_nanos());
        while engine.poll_report().is_some() {}
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2] as f64 / BATCH as f64
    })
}

/// Octets on the heap for an SA, its key, its window and its place in the tables.
fn memory(provider: &CryptoProvider) -> u64 {
    const SAS: u64 = 10_000;
    let (mut kept, mut rng) = (None, ChaCha20Rng::seed_from_u64(1));
    let counted = measure(|| kept = Some(engine(provider, SAS as usize, &mut rng)));
    let spis = SAS * size_of::<u32>() as u64;
    black_box(kept);
    (counted.bytes_current as u64 - spis) / SAS
}

fn main() {
    println!("an inbound SA takes {} octets (RustCrypto, AES-128-GCM)", memory(&RUSTCRYPTO));
    println!("{:12} {:13} ns at 1,000 SAs   ns at 1,000,000   rate that is kept", "library", "opened");
    for provider in [&RUSTCRYPTO, &AWS_LC] {
        let [few, many] = [1_000, 1_000_000].map(|sas| open(provider, sas));
        for (how, (few, many)) in ["one by one", "in batches"].into_iter().zip(few.into_iter().zip(many)) {
            let kept = 100.0 * few / many;
            println!("{:12} {how:13} {few:15.1} {many:17.1} {kept:15.1} %", provider.name);
        }
    }
}
