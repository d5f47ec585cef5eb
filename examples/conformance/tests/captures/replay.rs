//! One conversation from its first packet to its last.

use crate::child::{self, ChildExchange, EspSa};
use crate::coverage::Coverage;
use crate::ike_sa::{self, IkeSa};
use crate::message::{self, Plain, Text};
use crate::{auth, esp, nat};
use ikev2_core::Role;
use ikev2_core::exchange::datagram::Datagram;
use ikev2_core::exchange::reassembly::Reassembly;
use ikev2_wire::{ExchangeType, IkeSpi, Message, ProtocolId};
use ipsec_conformance::{Carries, KeyFile, Packet};
use std::collections::HashMap;
use std::net::IpAddr;

/// An exchange whose messages were both opened.
struct Exchange {
    sa: usize,
    request: Plain,
    answer: Plain,
}

/// The direction and place of a message in its IKE SA.
type MessageKey = ((IkeSpi, IkeSpi), Role, bool, u32);

/// The first request of an IKE SA: its payloads, its octets, its sender.
type FirstRequest = (Plain, Datagram, IpAddr);

struct Conversation<'f> {
    file: &'f KeyFile,
    sas: Vec<IkeSa<'f>>,
    /// The address that began the first IKE SA.
    initiator: Option<IpAddr>,
    first_request: Option<FirstRequest>,
    fragments: HashMap<MessageKey, Vec<Text>>,
    /// The exchange layer's, for each sender.
    reassembly: HashMap<((IkeSpi, IkeSpi), Role), Reassembly>,
    requests: HashMap<MessageKey, Plain>,
    exchanges: Vec<Exchange>,
    coverage: Coverage,
}

/// Replays a conversation.
pub(crate) fn replay(packets: &[Packet], file: &KeyFile) -> Coverage {
    let mut conversation = Conversation {
        file,
        sas: Vec::new(),
        initiator: None,
        first_request: None,
        fragments: HashMap::new(),
        reassembly: HashMap::new(),
        requests: HashMap::new(),
        exchanges: Vec::new(),
        coverage: Coverage::default(),
    };
    for packet in packets {
        if let Carries::Ike(octets) = &packet.carries {
            conversation.message(packet, octets);
        }
    }
    assert_eq!(conversation.sas.len(), file.ike_sas().len(), "an IKE SA was not seen");
    conversation.finish(packets)
}

fn datagram(octets: &[u8]) -> Datagram {
    let mut buffer = Datagram::buffer(octets.len());
    buffer.extend_from_slice(octets);
    Datagram::finish(buffer)
}

impl<'f> Conversation<'f> {
    fn message(&mut self, packet: &Packet, octets: &[u8]) {
        let message =
            Message::parse(octets).unwrap_or_else(|error| panic!("frame {}: {error}", packet.frame));
        let body = message.protected().map_or(&[][..], |protected| protected.body());
        assert_eq!(message::encode_message_again(&message, body), octets, "frame {}", packet.frame);
        self.coverage.messages += 1;
        if message.protected().is_none() {
            self.first_exchange(packet, &message);
        } else if let Some(plain) = self.open(&message) {
            nat::check(packet, &plain, &mut self.coverage);
            self.pair(plain);
        }
    }

    /// IKE_SA_INIT, in the clear.
    fn first_exchange(&mut self, packet: &Packet, message: &Message<'_>) {
        let plain = Plain::of_clear(message);
        assert_eq!(plain.header.exchange, ExchangeType::IKE_SA_INIT);
        nat::check(packet, &plain, &mut self.coverage);
        let octets = datagram(message.as_bytes());
        if !plain.header.flags.is_response() {
            self.first_request = Some((plain, octets, packet.source.ip()));
            return;
        }
        let (request, request_octets, initiator) = self.first_request.take().unwrap();
        let spis = (request.header.initiator_spi, plain.header.responder_spi.unwrap());
        let lines = self.file.ike_sa(spis.0, spis.1).unwrap();
        let datagrams = [request_octets, octets];
        self.sas.push(IkeSa::initial(lines, &request, &plain, datagrams, &mut self.coverage));
        self.initiator.get_or_insert(initiator);
    }

    /// Opens a message. `None` where more fragments are to come, or where the cipher is not covered.
    fn open(&mut self, message: &Message<'_>) -> Option<Plain> {
        let header = *message.header();
        let spis = (header.initiator_spi, header.responder_spi.unwrap());
        let sa = &self.sas[self.sa_of(spis)];
        if !ike_sa::is_covered(sa.suite()) {
            self.coverage.closed += 1;
            return None;
        }
        let intermediate = (header.exchange == ExchangeType::IKE_INTERMEDIATE).then_some(header.message_id);
        let cipher = sa.agreement.algorithms.cipher;
        let sender = message::sender(&header);
        let reassembly = self.reassembly.entry((spis, sender)).or_default();
        let keys = sa.message_keys(intermediate);
        let (text, whole) = message::open(message, cipher, keys, reassembly, &mut self.coverage);
        let Some(fragment) = text.fragment else { return Some(message::reassemble(header, vec![text])) };
        let key = (spis, sender, header.flags.is_response(), header.message_id);
        let fragments = self.fragments.entry(key).or_default();
        fragments.push(text);
        if fragments.len() < usize::from(fragment.total) {
            assert!(whole.is_none());
            return None;
        }
        let plain = message::reassemble(header, self.fragments.remove(&key).unwrap_or_default());
        message::assert_reassembled(&plain, &whole.unwrap());
        Some(plain)
    }

    fn sa_of(&self, spis: (IkeSpi, IkeSpi)) -> usize {
        let is_it = |sa: &IkeSa<'_>| (sa.lines.initiator, sa.lines.responder) == spis;
        self.sas.iter().position(is_it).unwrap_or_else(|| panic!("no IKE SA {spis:?}"))
    }

    /// Puts an answer beside its request. What was sent again is not looked at again.
    fn pair(&mut self, plain: Plain) {
        let header = plain.header;
        let spis = (header.initiator_spi, header.responder_spi.unwrap());
        let sa = self.sa_of(spis);
        let key = |role| (spis, role, false, header.message_id);
        if !header.flags.is_response() {
            self.requests.entry(key(message::sender(&header))).or_insert(plain);
            return;
        }
        let beginner = match message::sender(&header) {
            Role::Initiator => Role::Responder,
            Role::Responder => Role::Initiator,
        };
        let request = self.requests.get(&key(beginner)).expect("an answer without request").clone();
        assert_eq!(request.header.exchange, header.exchange);
        let again = |known: &&Exchange| {
            known.sa == sa
                && child::beginner(&known.request) == beginner
                && known.answer.header.message_id == header.message_id
        };
        if self.exchanges.iter().any(|known| again(&known)) {
            return;
        }
        let exchange = Exchange { sa, request, answer: plain };
        if exchange.makes_ike_sa() {
            let known = self.sas.len();
            let lines = &self.file.ike_sas()[known];
            let (request, answer) = (&exchange.request, &exchange.answer);
            let rekeyed = self.sas[sa].rekeyed(lines, request, answer, &mut self.coverage);
            self.sas.push(rekeyed);
        }
        self.exchanges.push(exchange);
    }

    fn finish(mut self, packets: &[Packet]) -> Coverage {
        let mut made: Vec<EspSa> = Vec::new();
        for (index, sa) in self.sas.iter().enumerate() {
            let of_sa: Vec<&Exchange> = self.exchanges.iter().filter(|x| x.sa == index).collect();
            let auth: Vec<&Exchange> =
                of_sa.iter().copied().filter(|x| x.is(ExchangeType::IKE_AUTH)).collect();
            let messages: Vec<(Role, &Plain)> = auth
                .iter()
                .flat_map(|x| [(Role::Initiator, &x.request), (Role::Responder, &x.answer)])
                .collect();
            auth::check(sa, &messages, &mut self.coverage);
            if let (Some(first), Some(last)) = (auth.first(), auth.last()) {
                let whole = ChildExchange { request: &first.request, answer: &last.answer, shared: None };
                made.extend(child::made_by(sa, &whole, &mut self.coverage).into_iter().flatten());
            }
            let mut secrets = child::shared_secrets(sa);
            for x in of_sa.iter().filter(|x| x.is(ExchangeType::CREATE_CHILD_SA) && !x.makes_ike_sa()) {
                let shared = x.answer.contents().ke.map(|_| secrets.next().unwrap());
                let later = ChildExchange { request: &x.request, answer: &x.answer, shared };
                made.extend(child::made_by(sa, &later, &mut self.coverage).into_iter().flatten());
            }
            assert_eq!(secrets.count(), 0, "a key exchange was not seen");
        }
        let closed = self.sas.first().filter(|sa| !ike_sa::is_covered(sa.suite())).zip(self.initiator);
        let sas = child::esp_sas(self.file, made, closed, &mut self.coverage);
        esp::replay(packets, &sas, &mut self.coverage);
        self.coverage
    }
}

impl Exchange {
    fn is(&self, ty: ExchangeType) -> bool {
        self.request.header.exchange == ty
    }

    /// Whether it replaces the IKE SA.
    fn makes_ike_sa(&self) -> bool {
        let contents = self.answer.contents();
        let protocol = contents.sa.as_ref().and_then(|sa| sa.proposals().next()).map(|p| p.protocol());
        protocol == Some(ProtocolId::IKE)
    }
}
