//! What two sides agree on, as pure functions: of proposals and policies, of traffic selectors and policies. No
//! state, no exchange, no key.
//!
//! | module | what it decides | from |
//! |---|---|---|
//! | `proposal` | what we are willing to negotiate, and the proposals that say it | RFC 7296 §3.3 |
//! | `choice` | which proposal is chosen, and whether the peer's choice is one of ours | RFC 7296 §2.7, §3.3.6 |
//! | `key_exchanges` | which key exchanges, none of them twice | RFC 9370 §2.2.1 |
//! | `mismatch` | why none could be chosen | |
//! | `strength` | which algorithms are weak | RFC 8247, RFC 8221 |
//! | `profile` | policies for the usual peers | |
//! | `suite_name` | proposals as text | |
//! | `narrow` | which traffic an SA carries | RFC 7296 §2.9 |
//! | `transport` | which traffic it carries in transport mode, through NATs | RFC 7296 §2.23.1 |
//! | `coverage` | whether selectors together hold another one | |
//!
//! Every function does a bounded amount of work, whatever the peer sends.
//!
//! ```
//! use ikev2_core::negotiation::{
//!     ChildExchange, EspProposal, Selection, accept_esp, choose_esp, offer_esp,
//! };
//! use ikev2_wire::{KeMethod, SaPayload};
//! use ipsec_types::EspSpi;
//!
//! let (Some(our_spi), Some(peer_spi)) = (EspSpi::new(0xc0ff_ee01), EspSpi::new(0xc0ff_ee02)) else { return };
//! let exchange = ChildExchange::CreateChildSa { ke_sent: Some(KeMethod::CURVE25519) };
//!
//! // The initiator offers all that it would accept, the responder takes the best that both have.
//! let offered = offer_esp(&EspProposal::defaults(), our_spi, exchange);
//! let policy: EspProposal = "aes128-sha256-x25519".parse().unwrap();
//! let request = SaPayload::build(&offered).unwrap();
//! let Ok(Selection::Chosen(choice)) = choose_esp(&[policy], &request, exchange) else { panic!() };
//! assert_eq!(choice.cipher.to_string(), "ENCR_AES_CBC-128/AUTH_HMAC_SHA2_256_128");
//! assert_eq!(choice.peer_spi, our_spi);
//!
//! let answer = SaPayload::build(&[choice.reply(peer_spi)]).unwrap();
//! let accepted = accept_esp(&offered, &answer, exchange).unwrap();
//! assert_eq!(accepted.ke, Some(KeMethod::CURVE25519));
//! ```

mod choice;
mod coverage;
mod key_exchanges;
mod mismatch;
mod narrow;
mod profile;
mod proposal;
mod strength;
mod suite_name;
mod transport;

pub use choice::{
    EspChoice, IkeChoice, ResponseFault, Selection, accept_esp, accept_ike, choose_esp, choose_ike,
};
pub use key_exchanges::AdditionalExchanges;
pub use mismatch::{KeMismatch, MAX_REPORTED, Mismatch, RefusalReason, Refused};
pub(crate) use narrow::TsList;
pub use narrow::{
    MAX_SELECTORS, Narrowed, SelectorLists, SelectorPair, Side, TsMismatch, TsMismatchKind, narrow,
    narrow_for_rekey, propose, verify_answer, verify_rekey_answer,
};
pub use profile::Profile;
pub use proposal::{
    ChildExchange, EspProposal, EspProposalBuilder, IkeExchange, IkeProposal, IkeProposalBuilder,
    ProposalError, offer_esp, offer_ike, offered_ke,
};
pub use suite_name::SuiteNameError;
pub use transport::{SeenSelectors, TransportEnds};
