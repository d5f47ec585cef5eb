//! Layer 1: exchanges. Message IDs, the window, retransmission, and the protection of messages.
//!
//! It knows no payload beyond SK, and nothing of what the messages are about, so that another protocol with
//! IKE's message formats can stand on it.
//!
//! | module | what it does | sections |
//! |---|---|---|
//! | [`exchanges`] | the exchanges of one IKE SA: all of the below together | RFC 7296 §2.1 to §2.3 |
//! | [`datagram`] | a finished message, with or without the non-ESP marker | §2.23, §3.1 |
//! | [`protect`] | seals and opens the SK payload | §3.14, RFC 5282 |
//! | [`one_way`] | messages without answers, to many receivers | RFC 9838 §2.4.1 |
//! | [`requests`] | our requests: IDs, the peer's window, retransmission | §2.1 to §2.4 |
//! | [`responses`] | the peer's requests: our window, repeats, kept answers | §2.1 to §2.3 |
//! | [`retransmit`] | back-off | §2.4 |

pub mod datagram;
pub mod exchanges;
pub mod one_way;
pub mod protect;
pub mod requests;
pub mod responses;
pub mod retransmit;
