//! Opens and makes protected messages with the keys that the key log gave away: authentic messages that no
//! sound peer would send.

use super::setup::KeyBook;
use super::world::Packet;
use ikev2_core::Role;
use ikev2_core::exchange::protect::MessageHead;
use ikev2_wire::codes::{ExchangeType, PayloadType};
use ikev2_wire::{
    Flags, FragmentHeader, GenericHeader, Header, IkeSpi, Message, Payload, Payloads, Protected,
};
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{CryptoProvider, PacketCipher, PacketNumber};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, IntegId, SecretBytes};

/// A payload as octets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Raw {
    pub ty: PayloadType,
    pub critical: bool,
    pub body: Vec<u8>,
}

impl Raw {
    pub fn new(ty: PayloadType, body: &[u8]) -> Self {
        Self { ty, critical: false, body: body.to_vec() }
    }

    pub fn of(payload: &Payload<'_>) -> Self {
        let mut body = Vec::new();
        payload.encode_body(&mut body).unwrap();
        Self { ty: payload.ty(), critical: false, body }
    }

    pub fn critical(self) -> Self {
        Self { critical: true, ..self }
    }

    pub fn notify(ty: ikev2_wire::NotifyType, data: &[u8]) -> Self {
        let mut body = vec![0, 0];
        body.extend_from_slice(&ty.0.to_be_bytes());
        body.extend_from_slice(data);
        Self::new(PayloadType::NOTIFY, &body)
    }
}

/// A chain of payloads, and the type of the first.
pub fn chain(payloads: &[Raw], last: PayloadType) -> (PayloadType, Vec<u8>) {
    let mut octets = Vec::new();
    for (at, raw) in payloads.iter().enumerate() {
        let next = payloads.get(at + 1).map_or(last, |raw| raw.ty);
        octets.extend_from_slice(&[next.0, if raw.critical { 0x80 } else { 0 }]);
        octets.extend_from_slice(&(raw.body.len() as u16 + 4).to_be_bytes());
        octets.extend_from_slice(&raw.body);
    }
    (payloads.first().map_or(last, |raw| raw.ty), octets)
}

/// A message without protection.
pub fn plain(head: &MessageHead, payloads: &[Raw]) -> Vec<u8> {
    let (first, octets) = chain(payloads, PayloadType::NONE);
    let length = (Header::LEN + octets.len()) as u32;
    let mut message = Header { next_payload: first, length, ..head.header() }.to_bytes().to_vec();
    message.extend_from_slice(&octets);
    message
}

/// The payloads of a message without protection.
pub fn payloads_of(message: &[u8]) -> Vec<Raw> {
    raws(Message::parse(message).unwrap().payloads())
}

fn raws(payloads: Payloads<'_>) -> Vec<Raw> {
    payloads.map(|raw| Raw { ty: raw.ty, critical: raw.critical, body: raw.body.to_vec() }).collect()
}

/// The head of a message that came.
pub fn head_of(message: &[u8]) -> MessageHead {
    let header = Header::parse(message).unwrap();
    MessageHead {
        initiator_spi: header.initiator_spi,
        responder_spi: header.responder_spi,
        exchange: header.exchange,
        flags: header.flags,
        message_id: header.message_id,
    }
}

/// Both directions' keys of an IKE SA.
pub struct Forger {
    pub initiator_spi: IkeSpi,
    pub responder_spi: IkeSpi,
    from_initiator: Box<dyn PacketCipher>,
    from_responder: Box<dyn PacketCipher>,
    /// Far from the numbers that the endpoints use.
    number: u64,
}

impl Forger {
    /// With the newest keys in the log.
    pub fn new(book: &KeyBook) -> Self {
        Self::from_line(&book.ike_lines().pop().expect("no keys yet"))
    }

    pub fn from_line(line: &str) -> Self {
        Self::from_line_of(&RUSTCRYPTO, line)
    }

    /// The same with the ciphers of this provider.
    pub fn from_line_of(crypto: &CryptoProvider, line: &str) -> Self {
        let fields: Vec<&str> = line.split(',').collect();
        let suite = match fields[4] {
            text if text.contains("AES-GCM") => {
                let bits = text.trim_start_matches("\"AES-GCM-").split(' ').next().unwrap().parse().unwrap();
                CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(bits), integ: IntegId::NONE }
            }
            text => {
                let bits = text.trim_start_matches("\"AES-CBC-").split(' ').next().unwrap().parse().unwrap();
                let integ = IntegId::HMAC_SHA2_256_128;
                CipherSuite { encr: EncrId::AES_CBC, key_bits: Some(bits), integ }
            }
        };
        let secret = |hex: &str| SecretBytes::copy_from(&unhex(hex));
        let keys = |encr: &str, integ: &str| SaKeys { encr: secret(encr), integ: secret(integ) };
        let spi = |text: &str| IkeSpi::new(u64::from_str_radix(text, 16).unwrap()).unwrap();
        let spis = (spi(fields[0]), spi(fields[1]));
        Self::of(crypto, spis, suite, &keys(fields[2], fields[5]), &keys(fields[3], fields[6]))
    }

    pub fn from_keys(spis: (IkeSpi, IkeSpi), suite: CipherSuite, i2r: &SaKeys, r2i: &SaKeys) -> Self {
        Self::of(&RUSTCRYPTO, spis, suite, i2r, r2i)
    }

    fn of(
        crypto: &CryptoProvider,
        spis: (IkeSpi, IkeSpi),
        suite: CipherSuite,
        i2r: &SaKeys,
        r2i: &SaKeys,
    ) -> Self {
        let algorithm = crypto.cipher(suite).unwrap();
        Self {
            initiator_spi: spis.0,
            responder_spi: spis.1,
            from_initiator: algorithm.with_keys(i2r).unwrap(),
            from_responder: algorithm.with_keys(r2i).unwrap(),
            number: 1 << 40,
        }
    }

    fn cipher(&self, from: Role) -> &dyn PacketCipher {
        match from {
            Role::Initiator => &*self.from_initiator,
            Role::Responder => &*self.from_responder,
        }
    }

    pub fn head(&self, from: Role, exchange: ExchangeType, message_id: u32, response: bool) -> MessageHead {
        MessageHead {
            initiator_spi: self.initiator_spi,
            responder_spi: Some(self.responder_spi),
            exchange,
            flags: Flags::new(from == Role::Initiator, response),
            message_id,
        }
    }

    fn sender(head: &MessageHead) -> Role {
        if head.flags.is_initiator() { Role::Initiator } else { Role::Responder }
    }

    /// An authentic message with these payloads inside.
    pub fn seal(&mut self, head: &MessageHead, payloads: &[Raw]) -> Vec<u8> {
        self.seal_with(head, &[], payloads)
    }

    /// An authentic message with payloads in front of SK as well.
    pub fn seal_with(&mut self, head: &MessageHead, outside: &[Raw], inside: &[Raw]) -> Vec<u8> {
        let (first, mut text) = chain(inside, PayloadType::NONE);
        let block = self.cipher(Self::sender(head)).block_len().max(1);
        let padding = (text.len() + 1).next_multiple_of(block) - (text.len() + 1);
        text.extend(std::iter::repeat_n(0, padding));
        text.push(padding as u8);
        self.seal_text(head, outside, first, &text)
    }

    /// An authentic message whose plain text is exactly this, padding and Pad Length included.
    pub fn seal_text(
        &mut self,
        head: &MessageHead,
        outside: &[Raw],
        first_inner: PayloadType,
        text: &[u8],
    ) -> Vec<u8> {
        self.seal_piece(head, outside, None, first_inner, text)
    }

    /// An authentic fragment with this piece of a chain of payloads in it.
    pub fn seal_fragment(
        &mut self,
        head: &MessageHead,
        outside: &[Raw],
        (number, total): (u16, u16),
        first_inner: PayloadType,
        piece: &[u8],
    ) -> Vec<u8> {
        let block = self.cipher(Self::sender(head)).block_len().max(1);
        let padding = (piece.len() + 1).next_multiple_of(block) - (piece.len() + 1);
        let mut text = piece.to_vec();
        text.extend(std::iter::repeat_n(0, padding));
        text.push(padding as u8);
        self.seal_piece(head, outside, Some(FragmentHeader { number, total }), first_inner, &text)
    }

    /// An authentic fragment whose plain text is exactly this, Pad Length included.
    pub fn seal_broken_fragment(
        &mut self,
        head: &MessageHead,
        (number, total): (u16, u16),
        text: &[u8],
    ) -> Vec<u8> {
        self.seal_piece(head, &[], Some(FragmentHeader { number, total }), PayloadType::NONE, text)
    }

    /// An authentic message in as many fragments of about the same size.
    pub fn seal_fragments(&mut self, head: &MessageHead, inside: &[Raw], count: u16) -> Vec<Vec<u8>> {
        let (first, octets) = chain(inside, PayloadType::NONE);
        let size = octets.len().div_ceil(usize::from(count)).max(1);
        let mut pieces = octets.chunks(size);
        let mut fragments = Vec::new();
        for number in 1..=count {
            let first = if number == 1 { first } else { PayloadType::NONE };
            let piece = pieces.next().unwrap_or_default();
            fragments.push(self.seal_fragment(head, &[], (number, count), first, piece));
        }
        fragments
    }

    fn seal_piece(
        &mut self,
        head: &MessageHead,
        outside: &[Raw],
        fragment: Option<FragmentHeader>,
        first_inner: PayloadType,
        text: &[u8],
    ) -> Vec<u8> {
        self.number += 1;
        let cipher = self.cipher(Self::sender(head));
        let ty = if fragment.is_some() { PayloadType::SKF } else { PayloadType::SK };
        let (first, outer) = chain(outside, ty);
        let numbers = fragment.map_or(0, |_| FragmentHeader::LEN);
        let sk_length = GenericHeader::LEN + numbers + cipher.iv_len() + text.len() + cipher.icv_len();
        let length = (Header::LEN + outer.len() + sk_length) as u32;
        let mut message = Header { next_payload: first, length, ..head.header() }.to_bytes().to_vec();
        message.extend_from_slice(&outer);
        let sk = GenericHeader { next_payload: first_inner, critical: false, length: sk_length as u16 };
        sk.encode(&mut message);
        if let Some(fragment) = fragment {
            fragment.encode(&mut message);
        }
        let header_len = message.len();
        message.resize(header_len + cipher.iv_len(), 0);
        message.extend_from_slice(text);
        message.resize(message.len() + cipher.icv_len(), 0);
        cipher.seal(PacketNumber::explicit(self.number), header_len, &mut message).unwrap();
        message
    }

    /// Whether a message is one of this IKE SA, authentic and not a fragment.
    pub fn opens(&self, message: &[u8]) -> bool {
        let Ok(parsed) = Message::parse(message) else { return false };
        let Some(Protected::Sk(sk)) = parsed.protected() else { return false };
        let mut octets = message.to_vec();
        let cipher = self.cipher(Self::sender(&head_of(message)));
        cipher.open(PacketNumber::explicit(0), sk.header_len, &mut octets).is_ok()
    }

    /// The payloads inside a message.
    pub fn open(&self, message: &[u8]) -> Vec<Raw> {
        let parsed = Message::parse(message).unwrap();
        assert!(matches!(parsed.protected(), Some(Protected::Sk(_))), "no SK");
        let (first, octets) = self.open_piece(&parsed);
        raws(Payloads::parse(first, &octets, 0).unwrap())
    }

    /// The payloads inside all fragments of a message, in order.
    pub fn open_fragments<'m>(&self, messages: impl IntoIterator<Item = &'m [u8]>) -> Vec<Raw> {
        let (mut first, mut octets) = (PayloadType::NONE, Vec::new());
        for (number, message) in (1..).zip(messages) {
            let parsed = Message::parse(message).unwrap();
            let Some(Protected::Skf(skf)) = parsed.protected() else { panic!("no SKF") };
            assert_eq!(skf.number, number);
            let (inner, piece) = self.open_piece(&parsed);
            if number == 1 {
                first = inner;
            }
            octets.extend_from_slice(&piece);
        }
        raws(Payloads::parse(first, &octets, 0).unwrap())
    }

    fn open_piece(&self, message: &Message<'_>) -> (PayloadType, Vec<u8>) {
        let protected = message.protected().expect("not protected");
        let cipher = self.cipher(Self::sender(&head_of(message.as_bytes())));
        let mut octets = message.as_bytes().to_vec();
        cipher.open(PacketNumber::explicit(0), protected.header_len(), &mut octets).unwrap();
        let text = &octets[protected.header_len() + cipher.iv_len()..octets.len() - cipher.icv_len()];
        let (pad, text) = text.split_last().unwrap();
        (protected.first_inner(), text[..text.len() - usize::from(*pad)].to_vec())
    }

    /// The same packet with its payloads changed, sealed anew.
    pub fn alter(&mut self, packet: &Packet, change: impl FnOnce(&mut Vec<Raw>)) -> Packet {
        let mut payloads = self.open(packet.message());
        change(&mut payloads);
        let message = self.seal(&head_of(packet.message()), &payloads);
        packet.with_message(&message)
    }
}

pub fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
