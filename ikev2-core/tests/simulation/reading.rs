//! What a datagram says, read off the wire: the toy ciphers hide nothing.

use super::toy::{ICV_LEN, IV_LEN};
use ikev2_wire::codes::{ExchangeType, NotifyType, ProtocolId};
use ikev2_wire::print::Tree;
use ikev2_wire::{Header, IkeSpi, Message, Payload, Payloads, Protected};
use ipsec_types::EspSpi;
use ipsec_types::udp::NON_ESP_MARKER;

/// Both SPIs of an IKE SA, the initiator's first.
pub type Spis = (IkeSpi, Option<IkeSpi>);

/// What a request asks for, as far as the collision rules tell it apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Asks {
    CreateChild,
    RekeyChild,
    CloseChild,
    RekeyIke,
    CloseIke,
}

impl Asks {
    pub const ALL: [Self; 5] =
        [Self::CreateChild, Self::RekeyChild, Self::CloseChild, Self::RekeyIke, Self::CloseIke];
}

/// A message in the clear.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Error notifies, with the SPI that each names.
    pub errors: Vec<(NotifyType, Option<EspSpi>)>,
    /// The SPI of REKEY_SA.
    pub rekeys: Option<EspSpi>,
    /// The protocol of the first proposal, and its SPI.
    pub proposal: Option<(ProtocolId, Vec<u8>)>,
    pub nonce: Vec<u8>,
    pub deletes_ike: bool,
    /// The SPIs of Child SAs that are deleted; `None` where there is no such Delete payload.
    pub deletes: Option<Vec<EspSpi>>,
    /// Whether it was under protection.
    pub protected: bool,
    /// How many payloads there are, readable or not.
    pub payloads: usize,
}

/// The message in a datagram, without the non-ESP marker.
pub fn message_of(octets: &[u8]) -> &[u8] {
    octets.strip_prefix(&NON_ESP_MARKER).unwrap_or(octets)
}

/// The header of the message in a datagram, and its SPIs.
pub fn header_of(octets: &[u8]) -> Option<(Header, Spis)> {
    let header = Header::parse(message_of(octets)).ok()?;
    Some((header, (header.initiator_spi, header.responder_spi)))
}

/// The payloads in the clear: those under protection, where there is any.
fn payloads<'a>(message: &Message<'a>) -> Option<Payloads<'a>> {
    match message.protected() {
        None => Some(message.payloads()),
        Some(Protected::Sk(sk)) => {
            let text = sk.body.get(IV_LEN..sk.body.len().checked_sub(ICV_LEN)?)?;
            let (pad, text) = text.split_last()?;
            let text = text.get(..text.len().checked_sub(usize::from(*pad))?)?;
            Payloads::parse(sk.first_inner, text, 0).ok()
        }
        Some(Protected::Skf(_)) => None,
    }
}

impl Reading {
    /// Reads a datagram; `None` where it cannot be read.
    pub fn of(octets: &[u8]) -> Option<Self> {
        let message = Message::parse(message_of(octets)).ok()?;
        let mut reading = Self { protected: message.protected().is_some(), ..Self::default() };
        for raw in payloads(&message)? {
            reading.payloads += 1;
            match raw.decode().ok()? {
                Payload::Sa(sa) => {
                    reading.proposal = sa.proposals().next().map(|p| (p.protocol(), p.spi().to_vec()));
                }
                Payload::Nonce(nonce) => reading.nonce = nonce.as_bytes().to_vec(),
                Payload::Delete(delete) if delete.protocol() == ProtocolId::IKE => reading.deletes_ike = true,
                Payload::Delete(delete) => {
                    reading.deletes.get_or_insert_default().extend(delete.esp_spis());
                }
                Payload::Notify(notify) => {
                    let spi = notify.spi.try_into().ok().map(u32::from_be_bytes).and_then(EspSpi::new);
                    if notify.ty == NotifyType::REKEY_SA {
                        reading.rekeys = spi;
                    } else if notify.ty.is_error() {
                        reading.errors.push((notify.ty, spi));
                    }
                }
                _ => {}
            }
        }
        Some(reading)
    }

    /// What a request of this exchange asks for.
    pub fn asks(&self, exchange: ExchangeType) -> Option<Asks> {
        match (exchange, &self.proposal) {
            (ExchangeType::CREATE_CHILD_SA, Some((ProtocolId::IKE, _))) => Some(Asks::RekeyIke),
            (ExchangeType::CREATE_CHILD_SA, Some(_)) if self.rekeys.is_some() => Some(Asks::RekeyChild),
            (ExchangeType::CREATE_CHILD_SA, Some(_)) => Some(Asks::CreateChild),
            (ExchangeType::INFORMATIONAL, _) if self.deletes_ike => Some(Asks::CloseIke),
            (ExchangeType::INFORMATIONAL, _) if self.deletes.is_some() => Some(Asks::CloseChild),
            _ => None,
        }
    }

    /// The SPI of the proposal, where it is a Child SA's.
    pub fn esp_spi(&self) -> Option<EspSpi> {
        let octets: [u8; 4] = self.proposal.as_ref()?.1.as_slice().try_into().ok()?;
        EspSpi::new(u32::from_be_bytes(octets))
    }

    /// The SPI of the proposal, where it is an IKE SA's.
    pub fn ike_spi(&self) -> Option<IkeSpi> {
        let octets: [u8; 8] = self.proposal.as_ref()?.1.as_slice().try_into().ok()?;
        IkeSpi::new(u64::from_be_bytes(octets))
    }

    pub fn says(&self, notify: NotifyType) -> bool {
        self.errors.iter().any(|(ty, _)| *ty == notify)
    }
}

/// A datagram as one line of text.
pub fn line(octets: &[u8]) -> String {
    let Some((header, _)) = header_of(octets) else { return format!("{} octets", octets.len()) };
    let kind = if header.flags.is_response() { "answer" } else { "request" };
    let inner = Message::parse(message_of(octets)).ok().and_then(|message| {
        let tree = Tree::new(payloads(&message)?).to_string();
        Some(tree.lines().map(str::trim).collect::<Vec<_>>().join("; "))
    });
    let inner = inner.unwrap_or_else(|| "not readable".to_string());
    format!("{} {kind} {} [{inner}]", header.exchange, header.message_id)
}
