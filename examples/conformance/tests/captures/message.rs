//! One IKE message: opened with the keys of its SA, and put together again from its values.

use crate::coverage::Coverage;
use ikev2_core::Role;
use ikev2_core::contents::Contents;
use ikev2_core::establish::secrets::protection;
use ikev2_core::exchange::protect::{OpenError, Plaintext};
use ikev2_core::exchange::reassembly::{Added, Reassembled, Reassembly, ReassemblyLimits};
use ikev2_core::keys::IkeKeys;
use ikev2_wire::{
    ChainEncoder, DeletePayload, FragmentHeader, GenericHeader, Header, Message, NoncePayload, Payload,
    PayloadType, Payloads, Protected, ProtocolId, RawPayload, SaPayload, TsPayload,
};
use ikev2_wire::{CpAttribute, CpPayload, EapPayload, NotifyPayload};
use ipsec_crypto::{CipherAlgorithm, CipherError, PacketCipher, PacketNumber};
use ipsec_types::Instant;
use std::cell::Cell;

/// The payloads of a message that had them in the clear, or of one that was opened: all its fragments together.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    pub(crate) header: Header,
    first: PayloadType,
    chain: Vec<u8>,
}

impl Plain {
    /// The payloads of a message without an SK or SKF payload.
    pub(crate) fn of_clear(message: &Message<'_>) -> Self {
        let chain = message.as_bytes()[Header::LEN..].to_vec();
        Self { header: *message.header(), first: message.header().next_payload, chain }
    }

    /// The payloads.
    pub(crate) fn payloads(&self) -> Payloads<'_> {
        Payloads::parse(self.first, &self.chain, 0).unwrap()
    }

    /// The payloads, sorted.
    pub(crate) fn contents(&self) -> Contents<'_> {
        Contents::read(self.payloads()).unwrap()
    }
}

/// The text of an SK or SKF payload.
pub(crate) struct Text {
    /// The type of the first payload in it.
    first: PayloadType,
    /// Where it stands among the fragments; `None` for SK.
    pub(crate) fragment: Option<FragmentHeader>,
    /// The chain of payloads, or the part of it that the fragment has.
    chain: Vec<u8>,
    /// Padding and Pad Length.
    padding: Vec<u8>,
}

/// The end that sent a message.
pub(crate) fn sender(header: &Header) -> Role {
    if header.flags.is_initiator() { Role::Initiator } else { Role::Responder }
}

/// Opens the SK or SKF payload of a message as its receiver does, and encodes and seals it again. With the last
/// fragment comes what the exchange layer put together.
pub(crate) fn open(
    message: &Message<'_>,
    cipher: &'static dyn CipherAlgorithm,
    keys: &IkeKeys,
    reassembly: &mut Reassembly,
    coverage: &mut Coverage,
) -> (Text, Option<Reassembled>) {
    let (receiver, sent_by) = match sender(message.header()) {
        Role::Initiator => (Role::Responder, keys.initiator_to_responder()),
        Role::Responder => (Role::Initiator, keys.responder_to_initiator()),
    };
    let key = cipher.with_keys(&sent_by).unwrap();
    let protection = protection(cipher, keys, receiver).unwrap();
    let mut whole = None;
    let text = match message.protected().unwrap() {
        Protected::Sk(_) => {
            let count = Cell::new(0);
            let text = open_by(message, &*key, |message, scratch| {
                protection.open(message, scratch).map(|plain| count.set(plain.payloads().unwrap().len()))
            });
            assert_eq!(Payloads::parse(text.first, &text.chain, 0).unwrap().len(), count.get());
            text
        }
        Protected::Skf(_) => open_by(message, &*key, |message, scratch| {
            let plaintext = protection.open_fragment(message, scratch)?;
            whole = add(reassembly, message, &plaintext);
            Ok(())
        }),
    };
    match text.fragment {
        None => coverage.opened += 1,
        Some(_) => coverage.fragments += 1,
    }
    // A combined-mode cipher sends the packet's number as its IV, so that the same octets come out again.
    if key.iv_len() == 8 {
        assert_eq!(seal_again(message, &*key, &text), message.as_bytes());
        coverage.sealed += 1;
    }
    (text, whole)
}

/// Hands a fragment to the exchange layer (RFC 7383 §2.6).
fn add(reassembly: &mut Reassembly, message: &Message<'_>, plaintext: &Plaintext<'_>) -> Option<Reassembled> {
    let Some(Protected::Skf(fragment)) = message.protected() else { panic!("no fragment") };
    let limits = ReassemblyLimits::default();
    reassembly.judge(message, &fragment, &limits, None).unwrap();
    match reassembly.add(Instant::ZERO, message, &fragment, plaintext, &limits) {
        Added::Part => None,
        Added::Whole(whole) => Some(*whole),
        Added::TooLarge => panic!("too large"),
    }
}

/// Opens a payload by the exchange layer, which must refuse it with one bit changed.
fn open_by(
    message: &Message<'_>,
    key: &dyn PacketCipher,
    mut open: impl FnMut(&Message<'_>, &mut Vec<u8>) -> Result<(), OpenError>,
) -> Text {
    let mut scratch = Vec::new();
    open(message, &mut scratch).unwrap();
    let text = cut(message, key, &scratch);

    let mut forged = message.as_bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let refused = open(&Message::parse(&forged).unwrap(), &mut scratch);
    assert!(matches!(refused, Err(OpenError::Cipher(CipherError::IntegrityCheck))), "{refused:?}");
    text
}

/// Cuts the text out of an opened message (RFC 7296 §3.14).
fn cut(message: &Message<'_>, key: &dyn PacketCipher, opened: &[u8]) -> Text {
    let protected = message.protected().unwrap();
    let text = &opened[protected.header_len() + key.iv_len()..opened.len() - key.icv_len()];
    let chain_len = text.len() - 1 - usize::from(*text.last().unwrap());
    let fragment = match protected {
        Protected::Sk(_) => None,
        Protected::Skf(skf) => Some(FragmentHeader { number: skf.number, total: skf.total }),
    };
    let (chain, padding) = text.split_at(chain_len);
    Text { first: protected.first_inner(), fragment, chain: chain.to_vec(), padding: padding.to_vec() }
}

/// Makes a message out of its text or texts, in the order of their fragments (RFC 7383 §2.6).
pub(crate) fn reassemble(header: Header, mut texts: Vec<Text>) -> Plain {
    texts.sort_by_key(|text| text.fragment.map(|fragment| fragment.number));
    for (index, text) in (1..).zip(&texts) {
        assert!(text.fragment.is_none_or(|fragment| fragment.number == index));
        assert!(index == 1 || text.first == PayloadType::NONE);
    }
    let plain = Plain {
        header,
        first: texts[0].first,
        chain: texts.iter().flat_map(|text| text.chain.iter().copied()).collect(),
    };
    let mut again = Vec::new();
    assert_eq!(encode_again(plain.payloads(), PayloadType::NONE, &mut again), plain.first);
    assert_eq!(again, plain.chain);
    plain
}

/// What the exchange layer put together is what the fragments hold in their order, behind the header of a message
/// that was never fragmented.
pub(crate) fn assert_reassembled(plain: &Plain, whole: &Reassembled) {
    let bodies = |payloads: Payloads<'_>| payloads.map(|raw| (raw.ty, raw.body.to_vec())).collect::<Vec<_>>();
    assert_eq!(bodies(whole.plaintext.payloads().unwrap()), bodies(plain.payloads()));
    let head = Message::parse(&whole.head).unwrap();
    let (header, length) = (*head.header(), head.header().length);
    assert_eq!(header, Header { next_payload: PayloadType::SK, length, ..plain.header });
    assert_eq!(head.protected().unwrap().first_inner(), plain.first);
}

/// Makes the message again: header and outer payloads from their values, text, IV and ICV by the cipher.
fn seal_again(message: &Message<'_>, key: &dyn PacketCipher, text: &Text) -> Vec<u8> {
    let protected = message.protected().unwrap();
    let iv: [u8; 8] = protected.body()[..8].try_into().unwrap();
    let mut body = vec![0; key.iv_len()];
    body.extend_from_slice(&text.chain);
    body.extend_from_slice(&text.padding);
    body.resize(body.len() + key.icv_len(), 0);
    let mut octets = encode_message_again(message, &body);
    key.seal(PacketNumber::explicit(u64::from_be_bytes(iv)), protected.header_len(), &mut octets).unwrap();
    octets
}

/// Encodes a message from its values, with this body in its SK or SKF payload, if it has one.
pub(crate) fn encode_message_again(message: &Message<'_>, body: &[u8]) -> Vec<u8> {
    let mut octets = vec![0; Header::LEN];
    let after = message.protected().map_or(PayloadType::NONE, |protected| protected.ty());
    let next_payload = encode_again(message.payloads(), after, &mut octets);
    if let Some(protected) = message.protected() {
        let length = u16::try_from(message.as_bytes().len() - octets.len()).unwrap();
        GenericHeader { next_payload: protected.first_inner(), critical: false, length }.encode(&mut octets);
        if let Protected::Skf(skf) = protected {
            FragmentHeader { number: skf.number, total: skf.total }.encode(&mut octets);
        }
        octets.extend_from_slice(body);
    }
    let length = u32::try_from(octets.len()).unwrap();
    let header = Header { next_payload, length, ..*message.header() };
    octets[..Header::LEN].copy_from_slice(&header.to_bytes());
    octets
}

/// Encodes a chain from its values; the last payload leads to `after`. Gives the type of the first.
fn encode_again(payloads: Payloads<'_>, after: PayloadType, octets: &mut Vec<u8>) -> PayloadType {
    let mut chain = ChainEncoder::new(octets);
    for raw in payloads {
        let decoded = raw.decode().unwrap();
        let mut body = Vec::new();
        built_again(&decoded).encode_body(&mut body).unwrap();
        // What a receiver is told to ignore is not kept: the Protocol ID of a notify about no SA.
        if matches!(decoded, Payload::Notify(NotifyPayload { spi: [], .. })) {
            body[0] = raw.body[0];
        }
        assert_eq!(body, raw.body, "{decoded:?}");
        chain.push_raw(&RawPayload { body: &body, ..raw }).unwrap();
    }
    chain.finish(after)
}

/// The payload made anew from the values in it.
fn built_again<'a>(payload: &'a Payload<'a>) -> Payload<'a> {
    match payload {
        Payload::Sa(sa) => {
            let proposals: Vec<_> = sa.proposals().map(|proposal| proposal.to_owned()).collect();
            Payload::Sa(SaPayload::build(&proposals).unwrap())
        }
        Payload::TsI(ts) => Payload::TsI(TsPayload::from_selectors(ts.selectors()).unwrap()),
        Payload::TsR(ts) => Payload::TsR(TsPayload::from_selectors(ts.selectors()).unwrap()),
        Payload::Cp(cp) => {
            let attributes: Vec<CpAttribute<'_>> = cp.attributes().collect();
            Payload::Cp(CpPayload::build(cp.ty(), &attributes).unwrap())
        }
        Payload::Delete(delete) if delete.protocol() == ProtocolId::IKE => {
            Payload::Delete(DeletePayload::ike())
        }
        Payload::Delete(delete) => {
            Payload::Delete(DeletePayload::esp(&delete.esp_spis().collect::<Vec<_>>()).unwrap())
        }
        Payload::Nonce(nonce) => Payload::Nonce(NoncePayload::new(nonce.as_bytes()).unwrap()),
        Payload::Eap(eap) => Payload::Eap(EapPayload::new(eap.message()).unwrap()),
        other => other.clone(),
    }
}
