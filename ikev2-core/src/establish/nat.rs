//! NAT detection (RFC 7296 §2.23): each side says from and to which address it sends, as hashes, and compares
//! with what it sees.

use crate::event::NatStatus;
use core::net::{IpAddr, SocketAddr};
use ipsec_crypto::{RandomError, SecureRandom};
use ipsec_types::{IkeSpi, Path};
use sha1::{Digest, Sha1};

/// The data of a NAT_DETECTION notify.
pub type NatHash = [u8; 20];

/// `SHA-1(SPIi | SPIr | address | port)`, the SPIs as in the header of the message that carries it.
#[must_use]
pub fn hash(initiator: IkeSpi, responder: Option<IkeSpi>, end: SocketAddr) -> NatHash {
    let mut sha = Sha1::new();
    sha.update(initiator.to_be_bytes());
    sha.update(responder.map_or([0; 8], IkeSpi::to_be_bytes));
    match end.ip() {
        IpAddr::V4(v4) => sha.update(v4.octets()),
        IpAddr::V6(v6) => sha.update(v6.octets()),
    }
    sha.update(end.port().to_be_bytes());
    sha.finalize().into()
}

/// What we say of the path: NAT_DETECTION_SOURCE_IP and NAT_DETECTION_DESTINATION_IP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// Of our own end.
    pub source: NatHash,
    /// Of the peer's end.
    pub destination: NatHash,
}

impl Claim {
    /// The honest claim, or one that makes both sides see a NAT in front of us.
    ///
    /// The second is for a configuration that wants UDP encapsulation, and for an address that we do not know
    /// yet: hashing the unspecified address would make one side see a NAT by accident, and an arbitrary hash
    /// makes both see one on purpose. `forced` keeps it the same when IKE_SA_INIT is repeated.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn new(
        initiator: IkeSpi,
        responder: Option<IkeSpi>,
        path: &Path,
        force: bool,
        forced: &mut Option<NatHash>,
        random: &mut dyn SecureRandom,
    ) -> Result<Self, RandomError> {
        let destination = hash(initiator, responder, path.remote);
        if !force && !path.local_ip().is_unspecified() {
            return Ok(Self { source: hash(initiator, responder, path.local), destination });
        }
        if forced.is_none() {
            let mut arbitrary = NatHash::default();
            random.fill(&mut arbitrary)?;
            *forced = Some(arbitrary);
        }
        Ok(Self { source: forced.unwrap_or_default(), destination })
    }
}

/// Compares what the peer says with what we see.
///
/// `sources` may be several, for a peer that does not know from which of its addresses it sends. Without any
/// notify the peer does no NAT traversal, and nothing is found.
#[must_use]
pub fn detect<'a>(
    initiator: IkeSpi,
    responder: Option<IkeSpi>,
    path: &Path,
    mut sources: impl Iterator<Item = &'a [u8]>,
    destination: Option<&[u8]>,
    claimed_own: bool,
) -> Option<NatStatus> {
    let destination = destination?;
    let seen = hash(initiator, responder, path.remote);
    let (mut any, mut matches) = (false, false);
    for source in sources.by_ref() {
        any = true;
        matches |= source == seen;
    }
    any.then(|| NatStatus {
        // Where we claimed to be behind a NAT, the peer believes it: act as if it were true.
        local: claimed_own || destination != hash(initiator, responder, path.local),
        remote: !matches,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    /// Computed with another program for these addresses; the formula is RFC 7296 §2.23.
    #[test]
    fn hashes_of_a_request() {
        let spi = IkeSpi::new(0x0102_0304_0506_0708).unwrap();
        assert_eq!(
            hash(spi, None, "192.0.2.1:500".parse().unwrap()),
            hex!("644b4575455bd6fcc1efe2be8162a9218e448e5f")
        );
        assert_eq!(
            hash(spi, None, "198.51.100.2:500".parse().unwrap()),
            hex!("ffb5f34c3c39a75de3d3bfacc231e5649f991d18")
        );
    }

    #[test]
    fn each_side_finds_its_own_nat() {
        let (spi, none) = (IkeSpi::new(1).unwrap(), None);
        let (inner, outer) = ("10.0.0.1:500".parse().unwrap(), "192.0.2.1:1024".parse().unwrap());
        let server = "198.51.100.2:500".parse().unwrap();
        let says_source = hash(spi, none, inner);
        let says_destination = hash(spi, none, server);
        let at_server = Path::ike(server, outer);
        let found = |source: &[u8], destination: &[u8], path: &Path| {
            detect(spi, none, path, [source].into_iter(), Some(destination), false)
        };
        assert_eq!(
            found(&says_source, &says_destination, &at_server),
            Some(NatStatus { local: false, remote: true })
        );
        let at_client = Path::ike(inner, server);
        assert_eq!(
            found(&hash(spi, none, server), &hash(spi, none, outer), &at_client),
            Some(NatStatus { local: true, remote: false })
        );
        assert_eq!(detect(spi, none, &at_client, core::iter::empty(), None, false), None);
    }
}
