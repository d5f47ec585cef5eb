//! What sealing and opening cost, for each kind of cipher suite and each library: from the inner IP packet to the outer
//! datagram's payload and back, with policy, flow cache, SAD, headers, padding, numbers, window, lifetimes and
//! statistics. Beside it stands the bare cipher: the same library's AEAD in place with its key made once, over the same
//! octets; for suites that are no AEAD there, and for AES-GMAC, the provider's packet cipher. And as a neighbour, the
//! data path of boringtun.
//!
//! A round seals a batch of packets and opens it again, once each way; rounds of all ways alternate, and each figure is
//! the median over the rounds. `cargo bench -p ipsec-benches --bench esp` prints the table, with `-- GCM` that of the
//! suites whose names have GCM in them, and with `-- --svg FILE` draws it as well.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod picture;
mod ways;

use ipsec_benches::esp::{inner, path};
use ipsec_crypto::aws_lc::AWS_LC;
use ipsec_crypto::rustcrypto::{self, RUSTCRYPTO};
use ipsec_crypto::{CipherAlgorithm, CryptoProvider};
use ipsec_esp::{Arrival, MAX_HEADROOM, MAX_TAILROOM, PacketBuf};
use picture::Row;
use std::time::Instant as Clock;
use ways::Way;

const ROUNDS: usize = 301;
const SIZES: [usize; 5] = [64, 256, 576, 1_400, 9_000];

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

/// Nanoseconds for a batch, sealed and then opened.
fn round(way: &mut dyn Way, buffers: &mut [Vec<u8>], inner_len: usize) -> [u128; 2] {
    let mut packets: Vec<_> = buffers
        .iter_mut()
        .map(|buffer| PacketBuf::new(buffer, MAX_HEADROOM..MAX_HEADROOM + inner_len).unwrap())
        .collect();
    let start = Clock::now();
    way.seal_all(&mut packets);
    let sealed = start.elapsed().as_nanos();
    let arrival = Arrival::udp(path(2, 1));
    let mut packets: Vec<_> = packets.into_iter().map(|packet| (arrival, packet)).collect();
    let start = Clock::now();
    way.open_all(&mut packets);
    [sealed, start.elapsed().as_nanos()]
}

/// The medians of all ways, in nanoseconds for a packet: sealing and opening.
fn measure(provider: &CryptoProvider, suite: &dyn CipherAlgorithm, len: usize) -> Vec<[f64; 2]> {
    let packet = inner(len);
    // As many packets as the second cache holds beside everything else.
    let batch = (128 * 1_400 / len).clamp(16, 128);
    let mut buffers: Vec<Vec<u8>> =
        (0..batch).map(|_| [&[0; MAX_HEADROOM][..], &packet, &[0; MAX_TAILROOM][..]].concat()).collect();
    let mut ways = ways::all(provider, suite, batch);
    let mut times = vec![[Vec::new(), Vec::new()]; ways.len()];
    for turn in 0..ROUNDS {
        for way in 0..ways.len() {
            // No way always comes first.
            let number = (way + turn) % ways.len();
            let Some(way) = &mut ways[number] else { continue };
            let [seal, open] = round(&mut **way, &mut buffers, len);
            times[number][0].push(seal);
            times[number][1].push(open);
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

/// All sizes of one suite, sealed and opened.
fn rows(provider: &CryptoProvider, suite: &dyn CipherAlgorithm) -> Vec<Row> {
    let mut rows = Vec::new();
    for len in SIZES {
        let medians = measure(provider, suite, len);
        for (which, verb) in ["seal", "open"].into_iter().enumerate() {
            let mut nanoseconds: Vec<_> = medians.iter().map(|median| median[which]).collect();
            // Without an AEAD the packet cipher is what the others stand beside.
            if nanoseconds[0].is_nan() {
                nanoseconds[0] = nanoseconds[1];
            }
            let (suite, library) = (suite.suite().to_string(), suite.library());
            let row = Row { suite, library, octets: len, verb, nanoseconds };
            row.print();
            rows.push(row);
        }
    }
    rows
}

fn main() {
    let (mut wanted, mut svg) = (None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--svg" => svg = arguments.next(),
            name if !name.starts_with('-') => wanted = Some(argument),
            // What cargo itself gives.
            _ => {}
        }
    }
    Row::print_head();
    let mut table = Vec::new();
    for suite in SUITES {
        let name = suite.suite().to_string();
        if wanted.as_ref().is_some_and(|wanted| !name.contains(wanted.as_str())) {
            continue;
        }
        for provider in [&RUSTCRYPTO, &AWS_LC] {
            let algorithm = provider.cipher(suite.suite()).unwrap();
            // Once for each library that does it.
            if algorithm.library() == provider.name {
                table.push(rows(provider, algorithm));
            }
        }
    }
    if let Some(file) = svg {
        picture::draw(&file, &table).unwrap();
        println!("drawn: {file}");
    }
}
