//! The IKE_INTERMEDIATE exchanges between IKE_SA_INIT and IKE_AUTH (RFC 9242): which are still to come, and what they add
//! to authentication. The additional key exchanges are made in them, one in each (RFC 9370 §2.2.2), and change the keys
//! of the next.
//!
//! Each message enters IntAuth, and IntAuth the octets that AUTH covers (RFC 9242 §3.3.2):
//!
//! | formula | here |
//! |---|---|
//! | `IntAuth_i1 = prf(SK_pi1, A_i1 \| P_i1)` | [`IntAuth::add`], the first time |
//! | `IntAuth_in = prf(SK_pin, IntAuth_i(n-1) \| A_in \| P_in)` | [`IntAuth::add`] |
//! | `IntAuth = IntAuth_iN \| IntAuth_rN \| IKE_AUTH_MID` | [`IntAuth::octets`] |
//!
//! SK_pi and SK_pr are those of the keys that protect the exchange: what it agrees on comes after. A message counts as
//! if it had never been fragmented.

use super::secrets::Agreement;
use crate::exchange::exchanges::Exchanges;
use crate::exchange::fragment::Fragments;
use crate::exchange::protect::{MessageHead, Plaintext, too_long};
use crate::keys::{self, IkeKeys};
use crate::negotiation::AdditionalExchanges;
use alloc::vec::Vec;
use ikev2_wire::codes::{ExchangeType, KeMethod, PayloadType};
use ikev2_wire::{EncodeError, GenericHeader, Header, Message, Payload, encode_chain};
use ipsec_crypto::PrfAlgorithm;
use ipsec_types::SecretBytes;

/// Where the header has its Length (RFC 7296 §3.1).
const LENGTH_AT: usize = 24;

/// A message as IntAuth sees it: A, from the header to the generic header of the SK payload, and P, what is inside. The
/// two lengths in A count A and P, and neither IV nor padding nor ICV.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Covered {
    head: Vec<u8>,
    inner: Vec<u8>,
}

impl Covered {
    /// A message of these octets: everything in front of what is encrypted, whatever its lengths say, and what was
    /// decrypted. `None` where that is no message with an SK payload.
    #[must_use]
    pub fn of(mut head: Vec<u8>, inner: Vec<u8>) -> Option<Self> {
        let sk_length_at = head.len().checked_sub(2).filter(|at| *at >= Header::LEN + 2)?;
        let sk = u16::try_from(GenericHeader::LEN.checked_add(inner.len())?).ok()?;
        let all = u32::try_from(head.len().checked_add(inner.len())?).ok()?;
        head.get_mut(sk_length_at..)?.copy_from_slice(&sk.to_be_bytes());
        head.get_mut(LENGTH_AT..LENGTH_AT + 4)?.copy_from_slice(&all.to_be_bytes());
        Some(Self { head, inner })
    }

    /// A message that came, in fragments or not.
    #[must_use]
    pub fn received(
        message: &Message<'_>,
        fragments: Option<&Fragments>,
        plaintext: &Plaintext<'_>,
    ) -> Option<Self> {
        let head = match fragments {
            Some(fragments) => &fragments.head,
            None => message.as_bytes().get(..message.protected()?.header_len())?,
        };
        Self::of(head.to_vec(), plaintext.as_bytes().to_vec())
    }

    /// A message that we make, with all its payloads inside SK.
    ///
    /// # Errors
    /// [`EncodeError`], as for the message itself.
    pub fn sent(head: &MessageHead, payloads: &[Payload<'_>]) -> Result<Self, EncodeError> {
        let mut inner = Vec::new();
        let first = encode_chain(payloads, &mut inner)?;
        let mut octets = Header { next_payload: PayloadType::SK, ..head.header() }.to_bytes().to_vec();
        octets.extend_from_slice(&[first.0, 0, 0, 0]);
        let length = octets.len().saturating_add(inner.len());
        Self::of(octets, inner).ok_or_else(|| too_long(length))
    }
}

/// IntAuth so far, of both directions.
#[derive(Clone, Default, Debug)]
pub struct IntAuth {
    initiator: Option<SecretBytes>,
    responder: Option<SecretBytes>,
    exchanges: u32,
}

impl IntAuth {
    /// Adds an exchange, by the keys that protected it.
    pub fn add(&mut self, prf: &dyn PrfAlgorithm, keys: &IkeKeys, request: &Covered, answer: &Covered) {
        let next = |so_far: &Option<SecretBytes>, sk_p, message: &Covered| {
            let before = so_far.as_ref().map_or(&[][..], SecretBytes::as_slice);
            Some(keys::int_auth(prf, sk_p, &[before, &message.head, &message.inner]))
        };
        self.initiator = next(&self.initiator, &keys.pi, request);
        self.responder = next(&self.responder, &keys.pr, answer);
        self.exchanges = self.exchanges.saturating_add(1);
    }

    /// The Message ID of the first IKE_AUTH request: IKE_SA_INIT was 0 (RFC 9242 §3.2).
    #[must_use]
    pub fn auth_id(&self) -> u32 {
        self.exchanges.saturating_add(1)
    }

    /// What follows in the octets that AUTH covers, at either end. Nothing where there was no IKE_INTERMEDIATE.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        match (&self.initiator, &self.responder) {
            (Some(initiator), Some(responder)) => {
                [initiator.as_slice(), responder.as_slice(), &self.auth_id().to_be_bytes()].concat()
            }
            _ => Vec::new(),
        }
    }
}

/// Where the IKE_INTERMEDIATE exchanges of an IKE SA stand.
#[derive(Clone, Debug)]
pub struct Intermediates {
    /// Whether both ends do them at all.
    agreed: bool,
    additional: AdditionalExchanges,
    /// How many of those were made.
    made: usize,
    /// Whether there was one without a key exchange.
    empty: bool,
    /// What they add to AUTH.
    pub int_auth: IntAuth,
}

impl Intermediates {
    /// Those that IKE_SA_INIT agreed on: for each additional key exchange one, and one more where both ends do them, in
    /// which an initiator asks for what did not fit into IKE_SA_INIT.
    #[must_use]
    pub fn new(agreed: bool, additional: AdditionalExchanges) -> Self {
        Self { agreed, additional, made: 0, empty: false, int_auth: IntAuth::default() }
    }

    /// The method of the additional key exchange that comes next.
    #[must_use]
    pub fn next_method(&self) -> Option<KeMethod> {
        self.additional.methods().nth(self.made)
    }

    /// Whether a request of this exchange may come next. Not more come than were agreed on, and IKE_AUTH after them.
    #[must_use]
    pub fn expects(&self, exchange: ExchangeType) -> bool {
        match exchange {
            ExchangeType::IKE_AUTH => self.next_method().is_none(),
            ExchangeType::IKE_INTERMEDIATE => self.agreed && (self.next_method().is_some() || !self.empty),
            _ => false,
        }
    }

    /// What an initiator makes next: an exchange with this key exchange or, `wanted` and none made yet, without one.
    /// `None` for IKE_AUTH.
    #[must_use]
    pub fn next(&self, wanted: bool) -> Option<Option<KeMethod>> {
        match self.next_method() {
            Some(method) => Some(Some(method)),
            None => (wanted && self.agreed && self.int_auth.exchanges == 0).then_some(None),
        }
    }

    /// Whether the next one may have no key exchange.
    #[must_use]
    pub fn may_be_empty(&self) -> bool {
        !self.empty
    }

    /// One is over: it enters IntAuth, and its secret changes the keys of everything after it. `None` where provider and
    /// algorithm disagree about lengths, which a sound provider does not.
    #[must_use]
    pub fn conclude<P>(
        &mut self,
        agreement: &Agreement,
        keys: &mut IkeKeys,
        exchanges: &mut Exchanges<P>,
        exchanged: &Exchanged<'_>,
    ) -> Option<()> {
        self.int_auth.add(agreement.algorithms.prf, keys, exchanged.request, exchanged.answer);
        let Some(secret) = exchanged.secret else {
            self.empty = true;
            return Some(());
        };
        let (next, protection) = agreement.keys_after(keys, secret)?;
        *keys = next;
        // An initiator was asked for nothing yet.
        let last = exchanges.responses().expected().checked_sub(1);
        exchanges.change_keys(protection, last);
        self.made = self.made.saturating_add(1);
        Some(())
    }
}

/// What an IKE_INTERMEDIATE exchange was, to its end.
#[derive(Clone, Copy, Debug)]
pub struct Exchanged<'a> {
    /// The request.
    pub request: &'a Covered,
    /// The answer.
    pub answer: &'a Covered,
    /// The secret of its key exchange, if there was one.
    pub secret: Option<&'a SecretBytes>,
}
