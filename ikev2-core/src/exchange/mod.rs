//! Layer 1: exchanges. Message IDs, the window, retransmission, fragments, and the protection of messages.
//!
//! It knows no payload beyond SK and SKF, and nothing of what the messages are about, so that another protocol with
//! IKE's message formats can stand on it.
//!
//! | module | what it does | sections |
//! |---|---|---|
//! | [`exchanges`] | the exchanges of one IKE SA: all of the below together | RFC 7296 §2.1 to §2.3 |
//! | [`datagram`] | a finished message, with or without the non-ESP marker | §2.23, §3.1 |
//! | [`outgoing`] | a message in one datagram or in fragments | RFC 7383 §2.5 |
//! | [`protect`] | seals and opens the SK and SKF payloads | RFC 7296 §3.14, RFC 5282 |
//! | [`fragment`] | how large datagrams may be, and fragments on their way in | RFC 7383 §2.5.1 to §2.6 |
//! | [`reassembly`] | what is kept of the peer's fragments until a message is whole | RFC 7383 §2.6 |
//! | [`one_way`] | messages without answers, to many receivers | RFC 9838 §2.4.1 |
//! | [`requests`] | our requests: IDs, the peer's window, retransmission | RFC 7296 §2.1 to §2.4 |
//! | [`responses`] | the peer's requests: our window, repeats, kept answers | §2.1 to §2.3 |
//! | [`retransmit`] | back-off | §2.4 |

pub mod datagram;
pub mod exchanges;
pub mod fragment;
pub mod one_way;
pub mod outgoing;
pub mod protect;
pub mod protections;
pub mod reassembly;
pub mod requests;
pub mod responses;
pub mod retransmit;
