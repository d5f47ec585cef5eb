//! One generation of an IKE SA: what each rekey makes anew (RFC 7296 §2.18), that is roles, SPIs, keys, Message
//! IDs and windows. Everything else lives on from one generation to the next.

use super::Purpose;
use crate::error::Failure;
use crate::event::Role;
use crate::exchange::datagram::Datagram;
use crate::exchange::protect::{MessageHead, Protection};
use crate::exchange::requests::RequestWindow;
use crate::exchange::responses::ResponseWindow;
use ikev2_wire::codes::ExchangeType;
use ikev2_wire::{Flags, Payload};
use ipsec_types::IkeSpi;

/// One generation.
#[derive(Debug)]
pub(crate) struct Generation {
    /// Which end began it. A rekey gives the role to who began the rekey (§2.18).
    pub role: Role,
    pub local_spi: IkeSpi,
    /// `None` before the first answer.
    pub peer_spi: Option<IkeSpi>,
    pub protection: Option<Protection>,
    pub requests: RequestWindow<Purpose>,
    pub responses: ResponseWindow,
}

impl Generation {
    /// Without keys, with all Message IDs at 0.
    pub(crate) fn new(role: Role, local_spi: IkeSpi, window: u32) -> Self {
        Self {
            role,
            local_spi,
            peer_spi: None,
            protection: None,
            requests: RequestWindow::default(),
            responses: ResponseWindow::new(window),
        }
    }

    /// The initiator's SPI and the responder's.
    pub(crate) fn spis(&self) -> (Option<IkeSpi>, Option<IkeSpi>) {
        match self.role {
            Role::Initiator => (Some(self.local_spi), self.peer_spi),
            Role::Responder => (self.peer_spi, Some(self.local_spi)),
        }
    }

    pub(super) fn head(&self, exchange: ExchangeType, message_id: u32, is_response: bool) -> MessageHead {
        let (initiator, responder) = self.spis();
        MessageHead {
            // Both are known to whoever seals anything; a responder learns the initiator's with the first message.
            initiator_spi: initiator.unwrap_or(self.local_spi),
            responder_spi: responder,
            exchange,
            flags: Flags::new(self.role == Role::Initiator, is_response),
            message_id,
        }
    }

    /// Makes the next protected request. It does not count before it is recorded as sent.
    pub(super) fn seal_request(
        &mut self,
        exchange: ExchangeType,
        payloads: &[Payload<'_>],
    ) -> Result<Datagram, Failure> {
        let head = self.head(exchange, self.requests.next_id(), false);
        let protection = self.protection.as_mut().ok_or(Failure::NoKeys)?;
        Ok(protection.seal(&head, payloads)?)
    }

    /// Makes the answer to a request.
    pub(super) fn seal_answer(
        &mut self,
        exchange: ExchangeType,
        message_id: u32,
        payloads: &[Payload<'_>],
    ) -> Result<Datagram, Failure> {
        let head = self.head(exchange, message_id, true);
        let protection = self.protection.as_mut().ok_or(Failure::NoKeys)?;
        Ok(protection.seal(&head, payloads)?)
    }
}
