//! What the tests of the state machine share: a network in virtual time, endpoints on it that are held to the
//! contract at every step, and the means to forge messages.
//!
//! | module | what it does |
//! |---|---|
//! | `chains` | the certificates of `tests/chains` |
//! | [`counting`] | counts what is decrypted |
//! | [`setup`] | configurations, and generators that are seeded or fail |
//! | [`many`] | one endpoint with many peers |
//! | [`mirror`] | follows an endpoint by its events alone, and holds the events to their order |
//! | [`stages`] | an endpoint at every stage of a life |
//! | [`tickets`] | signs and verifies for an endpoint, soon, late or never |
//! | [`told`] | what events told |
//! | [`world`] | the network: latency, loss, duplication, reordering, corruption, NATs; virtual time |
//! | [`fragments`] | messages in fragments |
//! | [`forge`] | opens and makes protected messages with keys from the key log |
//! | [`peer`] | a peer that says in a handshake whatever a test wants |

#![allow(dead_code, unreachable_pub, reason = "no test binary uses all of it")]

#[cfg(feature = "x509")]
pub mod chains;
pub mod counting;
pub mod forge;
pub mod fragments;
pub mod many;
pub mod mirror;
pub mod peer;
pub mod setup;
pub mod stages;
pub mod tickets;
pub mod told;
pub mod world;

/// A small generator for what the network and the actors do, apart from the endpoints' own randomness.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True so many times in a thousand.
    pub fn per_mille(&mut self, chance: u64) -> bool {
        self.below(1_000) < chance
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len() as u64) as usize)
    }
}
