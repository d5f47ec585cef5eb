//! Who else is on the path: somebody without keys, who repeats, alters and forges; an end that breaks the rules under
//! the right keys; and many who ask for IKE SAs from anywhere.

use super::support::Dice;
use super::support::forge::{Forger, Raw, head_of, payloads_of, plain};
use super::support::world::*;
use super::toy::TOY;
use ikev2_core::exchange::protect::MessageHead;
use ikev2_wire::codes::{ExchangeType, KeMethod, NotifyType, PayloadType};
use ikev2_wire::{Flags, IkeSpi, Message, Protected};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use super::support::setup::{ike, seeded};
use ikev2_wire::{KePayload, NoncePayload, Payload, Proposal, SaPayload};

/// What an attacker has heard.
#[derive(Debug, Default)]
pub struct Heard(VecDeque<Packet>);

const MOST_HEARD: usize = 48;

impl Heard {
    /// Hears what is on the wire.
    pub fn listen(&mut self, world: &World) {
        for packet in world.in_flight() {
            if self.0.len() >= MOST_HEARD {
                self.0.pop_front();
            }
            self.0.push_back(packet.clone());
        }
    }

    fn any(&self, dice: &mut Dice) -> Option<Packet> {
        let at = dice.below(self.0.len() as u64) as usize;
        self.0.get(at).cloned()
    }

    /// An IKE_SA_INIT message without protection, a request or an answer.
    fn init(&self, dice: &mut Dice, response: bool) -> Option<Packet> {
        let fits = |packet: &&Packet| {
            let Ok(message) = Message::parse(packet.message()) else { return false };
            let header = message.header();
            header.exchange == ExchangeType::IKE_SA_INIT && header.flags.is_response() == response
        };
        let all: Vec<_> = self.0.iter().filter(fits).collect();
        dice.pick(&all).map(|packet| (*packet).clone())
    }
}

/// The same with one octet set.
fn with(packet: &Packet, at: usize, octet: u8) -> Packet {
    let mut message = packet.message().to_vec();
    if let Some(place) = message.get_mut(at) {
        *place = octet;
    }
    packet.with_message(&message)
}

/// A message with its header changed in one of the ways that matter.
fn with_other_header(dice: &mut Dice, packet: &Packet) -> Packet {
    let id = head_of(packet.message()).message_id;
    match dice.below(8) {
        0 => with(packet, 17, *dice.pick(&[0x30, 0x10, 0x21]).unwrap()),
        1 => with(packet, 18, *dice.pick(&[34, 35, 36, 37, 43, 99]).unwrap()),
        2 => with(packet, 19, dice.next() as u8 & 0x28),
        3 => with(packet, 23, (id as u8).wrapping_add(1 + dice.below(6) as u8)),
        4 => with(packet, 20, 0xFF),
        5 => with(packet, dice.below(16) as usize, dice.next() as u8),
        6 => with(packet, 16, dice.next() as u8),
        _ => with(packet, 27, dice.next() as u8),
    }
}

/// A message whose protected payload is taken off.
fn unprotected(packet: &Packet) -> Packet {
    let notify = Raw::notify(NotifyType::INVALID_SYNTAX, &[]);
    packet.with_message(&plain(&head_of(packet.message()), &[notify]))
}

/// A protected message as if it were a fragment of one.
fn in_pieces(dice: &mut Dice, packet: &Packet) -> Packet {
    let message = packet.message();
    let Some(Protected::Sk(sk)) = Message::parse(message).ok().and_then(|message| message.protected()) else {
        return packet.clone();
    };
    let (number, total) = *dice.pick(&[(1, 1), (1, 2), (2, 3)]).unwrap();
    let mut body = vec![0, number, 0, total];
    body.extend_from_slice(sk.body);
    packet.with_message(&plain(&head_of(message), &[Raw::new(PayloadType::SKF, &body)]))
}

/// An IKE_SA_INIT message with its payloads changed.
fn with_other_payloads(dice: &mut Dice, packet: &Packet) -> Packet {
    let mut payloads = payloads_of(packet.message());
    let of = |payloads: &[Raw], ty| payloads.iter().position(|raw| raw.ty == ty);
    match dice.below(8) {
        0 => payloads.retain(|raw| raw.ty != PayloadType::NONCE),
        1 => payloads.retain(|raw| raw.ty != PayloadType::KE),
        2 => payloads.extend(of(&payloads, PayloadType::NONCE).map(|at| payloads[at].clone())),
        3 => payloads.push(Raw::new(PayloadType(200), &[1, 2, 3]).critical()),
        4 | 5 => {
            if let Some(at) = of(&payloads, PayloadType::KE) {
                let body = &mut payloads[at].body;
                // No public value, or none of this length.
                if dice.per_mille(500) { body[4..].fill(0) } else { body.truncate(20) }
            }
        }
        6 => {
            if let Some(at) = of(&payloads, PayloadType::SA) {
                payloads[at].body.truncate(11);
            }
        }
        _ => {
            let errors = [NotifyType::NO_PROPOSAL_CHOSEN, NotifyType::INVALID_SYNTAX];
            payloads = vec![Raw::notify(*dice.pick(&errors).unwrap(), &[])];
        }
    }
    packet.with_message(&plain(&head_of(packet.message()), &payloads))
}

/// An answer to IKE_SA_INIT that makes its initiator start over.
fn start_over(dice: &mut Dice, packet: &Packet) -> Packet {
    let cookie = dice.next().to_be_bytes();
    let method = dice.pick(&[KeMethod::CURVE25519, KeMethod::ECP_256, KeMethod(14)]).unwrap().0.to_be_bytes();
    let notify = if dice.per_mille(500) {
        Raw::notify(NotifyType::COOKIE, &cookie)
    } else {
        Raw::notify(NotifyType::INVALID_KE_PAYLOAD, &method)
    };
    packet.with_message(&plain(&head_of(packet.message()), &[notify]))
}

/// Turns a request of IKE_SA_INIT into an answer to it.
fn answering(request: &Packet) -> Packet {
    let head = head_of(request.message());
    let spi = IkeSpi::new(0x0BAD_0BAD_0BAD_0BAD);
    let head = MessageHead { flags: Flags::new(false, true), responder_spi: spi, ..head };
    let answer = plain(&head, &payloads_of(request.message()));
    Packet { from: request.to, to: request.from, ..request.with_message(&answer) }
}

/// One datagram from somebody without keys.
pub fn attack(world: &mut World, heard: &Heard) {
    let dice = &mut world.dice;
    let Some(packet) = heard.any(dice) else { return };
    if Message::parse(packet.message()).is_err() {
        return world.put(packet);
    }
    let init = heard.init(dice, false);
    let answer = heard.init(dice, true).or_else(|| init.as_ref().map(answering));
    let forged = match (dice.below(16), init, answer) {
        (0 | 1, ..) => packet,
        (2 | 3, ..) => with_other_header(dice, &packet),
        (4, ..) => Packet { from: packet.to, to: packet.from, ..packet },
        (5 | 12, ..) => unprotected(&packet),
        (13..=15, ..) => in_pieces(dice, &packet),
        (6, ..) => {
            let mut message = packet.message().to_vec();
            let at = dice.below(message.len() as u64) as usize;
            if dice.per_mille(500) {
                message[at] ^= 1 << dice.below(8)
            } else {
                message.truncate(at)
            }
            packet.with_message(&message)
        }
        (7, ..) => {
            // ESP, and less than anything, to the port for both.
            let length = *dice.pick(&[0, 3, 40, 3_000, 3_000]).unwrap();
            let port = *dice.pick(&[500, 500, 4_500]).unwrap();
            let octets = (0..length).map(|_| dice.next() as u8).collect();
            Packet { to: SocketAddr::new(packet.to.ip(), port), octets, ..packet }
        }
        (8 | 9, Some(init), _) => with_other_payloads(dice, &init),
        (10, _, Some(answer)) => with_other_payloads(dice, &answer),
        (_, Some(init), _) => start_over(dice, &answering(&init)),
        _ => packet,
    };
    world.put(forged);
}

/// Changes a protected message on its way under the keys of its IKE SA.
pub fn betray(world: &mut World) {
    let mut packets = world.take_all();
    let protected = |packet: &Packet| {
        let message = Message::parse(packet.message());
        message.is_ok_and(|message| matches!(message.protected(), Some(Protected::Sk(_))))
    };
    let candidates: Vec<_> = (0..packets.len()).filter(|at| protected(&packets[*at])).collect();
    if let Some(at) = world.dice.pick(&candidates).copied()
        && let Some(mut forger) = keys_of(world, &packets[at])
    {
        let other = world.dice.next();
        let which = world.dice.below(9);
        packets[at] = forger.alter(&packets[at], |payloads| corrupt(payloads, which, other));
    }
    packets.into_iter().for_each(|packet| world.put(packet));
}

/// The keys of the IKE SA that a message is of.
fn keys_of(world: &World, packet: &Packet) -> Option<Forger> {
    let head = head_of(packet.message());
    let spis =
        format!("{},{},", hex(&head.initiator_spi.to_be_bytes()), hex(&head.responder_spi?.to_be_bytes()));
    let lines = world.nodes.iter().flat_map(|node| node.keys.ike_lines());
    let lines = lines.into_iter().filter(|line| line.starts_with(&spis));
    // Where a nonce was changed on its way the two ends have other keys.
    lines.map(|line| Forger::from_line_of(&TOY, &line)).find(|forger| forger.opens(packet.message()))
}

fn corrupt(payloads: &mut Vec<Raw>, which: u64, other: u64) {
    let at = other as usize % payloads.len().max(1);
    match which {
        0 | 1 => payloads.push(Raw::new(PayloadType(201), &[]).critical()),
        2 if !payloads.is_empty() => drop(payloads.remove(at)),
        3 => payloads.extend(payloads.get(at).cloned()),
        4 => payloads.iter_mut().for_each(|raw| raw.body.truncate(2)),
        5 => payloads.push(Raw::notify(NotifyType::INVALID_SYNTAX, &[])),
        6 => payloads.push(Raw::notify(NotifyType::TEMPORARY_FAILURE, &[])),
        7 => {
            // A Delete of a Child SA that nobody has.
            let mut body = vec![3, 4, 0, 1];
            body.extend_from_slice(&(other as u32 | 0x100).to_be_bytes());
            payloads.push(Raw::new(PayloadType::DELETE, &body));
        }
        _ => {
            // Other octets in some body.
            if let Some(octet) = payloads.get_mut(at).and_then(|raw| raw.body.last_mut()) {
                *octet ^= 0x55;
            }
        }
    }
}

/// A first request from somebody new, and the answer to the cookie that it may be asked for.
pub fn flood(world: &mut World, victim: usize) {
    for _ in 0..1 + world.dice.below(8) {
        let host = world.dice.below(3) as u8;
        let from = SocketAddr::new(IpAddr::from([203, 0, 113, host]), 500);
        let to = SocketAddr::new(world.nodes[victim].public_ip(), 500);
        let head = MessageHead {
            initiator_spi: IkeSpi::new(world.dice.next() | 1).unwrap(),
            responder_spi: None,
            exchange: ExchangeType::IKE_SA_INIT,
            flags: Flags::new(true, false),
            message_id: 0,
        };
        if world.dice.per_mille(200) {
            // Of another version: an error answer, within the budget for those.
            let mut octets = plain(&head, &first_payloads(1));
            octets[17] = 0x30;
            world.deliver(&Packet { from, to, octets });
        }
        let mut payloads = first_payloads(world.dice.next());
        let ask = |world: &mut World, payloads: &[Raw]| {
            world.deliver(&Packet { from, to, octets: plain(&head, payloads) })
        };
        ask(world, &payloads);
        let readable = |packet: &&Packet| packet.to == from && Message::parse(packet.message()).is_ok();
        let cookie = world.in_flight().find(readable).and_then(|packet| {
            let first = payloads_of(packet.message()).into_iter().next()?;
            first.body.starts_with(&[0, 0, 0x40, 0x06]).then_some(first)
        });
        if let Some(cookie) = cookie.filter(|_| world.dice.per_mille(700)) {
            payloads.insert(0, cookie);
            ask(world, &payloads);
        }
    }
}

fn first_payloads(seed: u64) -> Vec<Raw> {
    let mut random = seeded(seed);
    let exchange = TOY.key_exchange(KeMethod::CURVE25519).unwrap();
    let half = exchange.start(&mut *random).unwrap();
    let proposals = ["aes128-aes256-sha256-x25519", "aes256gcm16-aes128gcm16-prfsha256-prfsha384-x25519"];
    let offered: Vec<Proposal> = ikev2_core::negotiation::offer_ike(&ike(&proposals), None);
    let nonce = seed.to_be_bytes().repeat(4);
    vec![
        Raw::of(&Payload::Sa(SaPayload::build(&offered).unwrap())),
        Raw::of(&Payload::Ke(KePayload { method: KeMethod::CURVE25519, data: half.public() })),
        Raw::of(&Payload::Nonce(NoncePayload::new(&nonce).unwrap())),
    ]
}
