//! What goes wrong about EAP (RFC 7296 §2.16, RFC 5998).

use ikev2_wire::EapCode;
use thiserror::Error;

/// Why EAP came to nothing.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum EapFault {
    /// The responder says Failure: a wrong password, or whatever else its method does not take.
    #[error("the responder answered EAP Failure, after {rounds} packets of ours")]
    Failed {
        /// How many packets we had sent.
        rounds: u32,
    },
    /// Our embedder does not let the peer in, or does not go on with the method.
    #[error("EAP was refused here, after {rounds} packets of ours")]
    Refused {
        /// How many packets we had sent.
        rounds: u32,
    },
    /// A packet of a code that has no place now, or with another identifier than that of our Request.
    #[error("an EAP packet out of turn: {got} with identifier {identifier}, where {wanted} is expected")]
    OutOfTurn {
        /// What came.
        got: EapCode,
        /// Its identifier.
        identifier: u8,
        /// What may come.
        wanted: &'static str,
    },
    /// What the embedder gave is no EAP packet, or none that has a place now.
    #[error("the embedder's EAP packet is none that can be sent now")]
    OwnPacket,
    /// More packets than [`EapPolicy::max_rounds`](crate::eap::EapPolicy::max_rounds).
    #[error("EAP did not come to an end within {0} packets of ours, which is max_rounds")]
    TooManyRounds(u32),
    /// The responder has not proved who it is, and we do not go by EAP alone, or not by this method (RFC 5998).
    #[error("the responder gave no proof of its own, and {}", if *.offered { "the EAP method does not stand for one" } else { "we did not offer to do without" })]
    ResponderUnproven {
        /// Whether we offered to do without.
        offered: bool,
    },
    /// The responder proved itself by a shared secret, which is not allowed beside EAP (§2.16).
    #[error("the responder's own proof is by a shared secret, where §2.16 demands a signature")]
    ResponderBySecret,
    /// The last AUTH is not by the key that the method made: somebody is between the two ends.
    #[error("AUTH is not by the key that EAP made: are both ends of one EAP conversation?")]
    WrongKey,
}
