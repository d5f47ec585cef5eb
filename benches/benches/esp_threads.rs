//! One SA used by two threads at once, sending and receiving: what that gains beside what the bare cipher gains from two
//! threads in the same run. Each thread has packets of its own; rounds of all sides alternate, and each figure is the
//! least over the rounds: whatever else runs on the machine takes a core from two threads and not from one, so that only
//! the rounds that nothing disturbed say what two threads gain.
//!
//! `cargo bench -p ipsec-benches --bench esp_threads` prints for each library and size how many times as many packets two
//! threads do as one, and the SA's gain in percent of the bare cipher's.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use ipsec_benches::esp::{inner, receiver, sas};
use ipsec_crypto::aws_lc::AWS_LC;
use ipsec_crypto::rustcrypto::{AES_128_GCM_16, RUSTCRYPTO};
use ipsec_crypto::{CryptoProvider, PacketCipher, PacketNumber};
use ipsec_esp::packet::Layout;
use ipsec_esp::{
    AntiReplay, InboundConfig, InboundSa, MAX_HEADROOM, MAX_TAILROOM, PacketBuf, SharedInboundSa,
    SharedOutboundSa, WindowSize,
};
use ipsec_types::Instant;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant as Clock;

const ROUNDS: usize = 151;
const THREADS: usize = 2;
/// Of each thread in a round.
const PACKETS: usize = 2_048;
/// Buffers of each thread, which are used again within a round.
const BUFFERS: usize = 64;

/// The bare cipher: a number for each packet is taken as simply as can be.
struct Bare {
    cipher: Box<dyn PacketCipher>,
    number: AtomicU64,
}

/// What is measured.
struct Sides {
    bare: Bare,
    sender: SharedOutboundSa,
    receiver: SharedInboundSa,
    layout: Layout,
    packet: Vec<u8>,
}

/// Nanoseconds for so many threads.
type Run<'a> = &'a dyn Fn(usize) -> u64;

/// Sealed packets of one thread.
type Sealed = Vec<Vec<u8>>;

fn buffer(packet: &[u8]) -> Vec<u8> {
    [&[0; MAX_HEADROOM], packet, &[0; MAX_TAILROOM]].concat()
}

/// Nanoseconds from the first thread's start to the last one's end.
fn together<T: Send>(work: Vec<T>, each: impl Fn(T) + Sync) -> u64 {
    let barrier = Barrier::new(work.len());
    let run = |part: T| {
        barrier.wait();
        let start = Clock::now();
        each(part);
        (start, Clock::now())
    };
    let spans: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = work.into_iter().map(|part| scope.spawn(|| run(part))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let start = spans.iter().map(|span| span.0).min().unwrap();
    let end = spans.iter().map(|span| span.1).max().unwrap();
    u64::try_from((end - start).as_nanos()).unwrap()
}

impl Sides {
    fn new(provider: &CryptoProvider, len: usize) -> Self {
        let suite = provider.cipher(AES_128_GCM_16.suite()).unwrap();
        let (sender, _) = sas(provider, suite).unwrap();
        // As wide as the packets that a thread may be ahead of another.
        let window = AntiReplay::Window(WindowSize::new(WindowSize::MAX).unwrap());
        let config = InboundConfig { anti_replay: window, ..InboundConfig::default() };
        let inbound = InboundSa::new(provider, receiver(suite), config, Instant::ZERO).unwrap();
        let cipher = suite.with_keys(&receiver(suite).keys).unwrap();
        Self {
            layout: Layout::of(&*cipher),
            bare: Bare { cipher, number: AtomicU64::new(0) },
            sender: sender.into_shared(),
            receiver: inbound.into_shared(),
            packet: inner(len),
        }
    }

    fn seal(&self, threads: usize) -> u64 {
        let buffers = vec![vec![buffer(&self.packet); BUFFERS]; threads];
        let at = MAX_HEADROOM..MAX_HEADROOM + self.packet.len();
        together(buffers, |mut buffers| {
            for turn in 0..PACKETS {
                let mut packet = PacketBuf::new(&mut buffers[turn % BUFFERS], at.clone()).unwrap();
                // The inner header again, over what was sealed.
                packet.as_mut_slice()[..20].copy_from_slice(&self.packet[..20]);
                black_box(self.sender.seal(Instant::ZERO, &mut packet)).unwrap();
            }
        })
    }

    fn seal_bare(&self, threads: usize) -> u64 {
        let buffers = vec![vec![buffer(&self.packet); BUFFERS]; threads];
        let len = self.layout.packet_len(self.packet.len());
        let at = MAX_HEADROOM - self.layout.payload_offset();
        together(buffers, |mut buffers| {
            for turn in 0..PACKETS {
                let number = PacketNumber::explicit(self.bare.number.fetch_add(1, Ordering::Relaxed));
                self.bare.cipher.seal(number, 8, &mut buffers[turn % BUFFERS][at..at + len]).unwrap();
            }
        })
    }

    /// Packets that were not opened yet, of each thread, with numbers in turn.
    fn sealed(&self, threads: usize) -> Vec<Sealed> {
        let mut sealed = vec![Sealed::new(); threads];
        for _ in 0..PACKETS {
            for packets in &mut sealed {
                let mut buffer = buffer(&self.packet);
                let at = MAX_HEADROOM..MAX_HEADROOM + self.packet.len();
                let mut packet = PacketBuf::new(&mut buffer, at).unwrap();
                self.sender.seal(Instant::ZERO, &mut packet).unwrap();
                packets.push(packet.as_slice().to_vec());
            }
        }
        sealed
    }

    fn open(&self, threads: usize) -> u64 {
        together(self.sealed(threads), |packets| {
            for mut packet in packets {
                let mut packet = PacketBuf::whole(&mut packet);
                black_box(self.receiver.open(Instant::ZERO, &mut packet, None)).unwrap();
            }
        })
    }

    fn open_bare(&self, threads: usize) -> u64 {
        together(self.sealed(threads), |packets| {
            for mut packet in packets {
                self.bare.cipher.open(PacketNumber::explicit(0), 8, &mut packet).unwrap();
            }
        })
    }
}

fn main() {
    println!("{:12} octets      bare's gain  SA's gain  percent of bare's", "library");
    for provider in [&RUSTCRYPTO, &AWS_LC] {
        for len in [64, 576, 1_400] {
            let sides = Sides::new(provider, len);
            let ways: [(&str, [Run<'_>; 2]); 2] = [
                ("seal", [&|threads| sides.seal_bare(threads), &|threads| sides.seal(threads)]),
                ("open", [&|threads| sides.open_bare(threads), &|threads| sides.open(threads)]),
            ];
            for (verb, pair) in ways {
                let mut times = [const { Vec::new() }; 4];
                for _ in 0..ROUNDS {
                    for (side, run) in pair.iter().enumerate() {
                        times[2 * side].push(run(1));
                        times[2 * side + 1].push(run(THREADS));
                    }
                }
                let [bare_1, bare_2, sa_1, sa_2] =
                    times.map(|times| times.into_iter().min().unwrap_or(0) as f64);
                let gain = |one: f64, two: f64| THREADS as f64 * one / two;
                let (bare, sa) = (gain(bare_1, bare_2), gain(sa_1, sa_2));
                println!(
                    "{:12} {len:6} {verb} {bare:11.2} {sa:10.2} {:18.1}",
                    provider.name,
                    100.0 * sa / bare
                );
            }
        }
    }
}
