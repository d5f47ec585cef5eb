//! Several packets in one call.
//!
//! Each packet is sealed or opened as if it had come alone, in the order given. What a batch gains: where there are many
//! SAs, what the next packets need of them is read before their turn comes, for several at once, so that the waits for
//! memory overlap instead of following each other. And packets of one flow that follow each other share a look into the
//! flow cache.

use super::entry::{Inbound, Outbound};
use super::{Arrival, Engine, Incoming, Outgoing, Sending};
use crate::buffer::PacketBuf;
use crate::error::{OpenError, SealError};
use crate::ip::IpHeader;
use crate::packet::EspHeader;
use core::hint::black_box;
use ipsec_types::{EspSpi, Instant};

/// Packets whose SAs are read together: what they need lies in the nearest caches until their turn comes.
const TOGETHER: usize = 64;

/// SAs in a direction that the second cache has room for. With fewer of them there is no wait that could be saved.
const NEAR: usize = 256;

impl Engine {
    /// [`Engine::send`] for several packets. `each` hears what became of them, in order.
    pub fn send_batch<'p>(
        &mut self,
        now: Instant,
        packets: &mut [PacketBuf<'p>],
        mut each: impl FnMut(&mut PacketBuf<'p>, Result<Sending, SealError>),
    ) {
        for packets in packets.chunks_mut(TOGETHER) {
            self.approach_outbound(packets);
            for packet in packets {
                let sent = self.send(now, packet);
                each(packet, sent);
            }
        }
    }

    /// [`Engine::seal`] for several packets. `each` hears what became of them, in order.
    pub fn seal_batch<'p>(
        &mut self,
        now: Instant,
        packets: &mut [PacketBuf<'p>],
        mut each: impl FnMut(&mut PacketBuf<'p>, Result<Outgoing, SealError>),
    ) {
        for packets in packets.chunks_mut(TOGETHER) {
            self.approach_outbound(packets);
            for packet in packets {
                let sealed = self.seal(now, packet);
                each(packet, sealed);
            }
        }
    }

    /// [`Engine::open`] for several packets. `each` hears what became of them, in order.
    pub fn open_batch<'p>(
        &mut self,
        now: Instant,
        packets: &mut [(Arrival, PacketBuf<'p>)],
        mut each: impl FnMut(&mut PacketBuf<'p>, Result<Incoming, OpenError>),
    ) {
        for packets in packets.chunks_mut(TOGETHER) {
            self.approach_inbound(packets);
            for (arrival, packet) in packets {
                let opened = self.open(now, *arrival, packet);
                each(packet, opened);
            }
        }
    }

    /// Reads the SAs that packets will be opened by: first where they lie, then the SAs, then their keys. Within a step no
    /// read waits for another, and a step is short, so that the CPU looks far ahead in it.
    fn approach_inbound(&self, packets: &[(Arrival, PacketBuf<'_>)]) {
        if self.inbound.len() <= NEAR || packets.len() < 2 {
            return;
        }
        let mut entries: [Option<&Inbound>; TOGETHER] = [None; TOGETHER];
        for (entry, (_, packet)) in entries.iter_mut().zip(packets) {
            let spi = EspHeader::parse(packet.as_slice()).and_then(|header| EspSpi::new(header.spi));
            *entry = spi.and_then(|spi| self.inbound.get(&spi)).map(|entry| &**entry);
        }
        let entries = || entries.iter().flatten();
        black_box(entries().fold(0, |all, entry| all ^ entry.touch()));
        black_box(entries().fold(0, |all, entry| all ^ entry.sa.find_key()));
        entries().for_each(|entry| entry.sa.touch_key());
    }

    /// Reads the SAs that packets will be sealed by, as far as the flow cache knows them.
    fn approach_outbound(&self, packets: &[PacketBuf<'_>]) {
        if self.outbound.len() <= NEAR || packets.len() < 2 {
            return;
        }
        let mut entries: [Option<&Outbound>; TOGETHER] = [None; TOGETHER];
        for (entry, packet) in entries.iter_mut().zip(packets) {
            let header = IpHeader::parse(packet.as_slice()).ok();
            let slot = header.and_then(|header| self.policy.known_carrier(&header));
            *entry = slot.and_then(|slot| self.outbound.look_at(slot));
        }
        let entries = || entries.iter().flatten();
        black_box(entries().fold(0, |all, entry| all ^ entry.touch()));
        black_box(entries().fold(0, |all, entry| all ^ entry.sa.find_key()));
        entries().for_each(|entry| entry.sa.touch_key());
    }
}
