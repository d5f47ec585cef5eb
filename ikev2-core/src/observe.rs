//! A hook that sees every IKE message in the clear, to narrate a negotiation. Off unless an embedder sets it.

use core::fmt::{Debug, Display};
use ikev2_wire::Header;
use ipsec_types::Path;

/// Which way a message went.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MessageDirection {
    /// From the peer.
    Received,
    /// To the peer, for the first time.
    Sent,
    /// To the peer, once more.
    Repeated,
}

/// Is shown messages after they were opened and before they are sealed.
pub trait MessageObserver: Send + Sync + Debug {
    /// One message: its header, its size in octets without the non-ESP marker, and its payloads as a readable
    /// tree, those of the SK payload included. For a repeat the tree is empty.
    /// A message in fragments is shown once, with the header of one of them and the octets of all.
    ///
    /// The tree holds no keys, but identities and the addresses of traffic selectors.
    fn message(
        &self,
        direction: MessageDirection,
        path: &Path,
        header: &Header,
        octets: usize,
        payloads: &dyn Display,
    );
}
