//! Stateless cookies (RFC 7296 §2.6): proof that the initiator can be reached where it sends from, at the
//! price of one HMAC and no memory.
//!
//! `cookie = version | HMAC-SHA2-256(secret, Ni | IPi | SPIi)`. The port is left out, since a NAT may change it
//! between the two requests.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use hmac::{Hmac, KeyInit, Mac};
use ipsec_crypto::{RandomError, SecureRandom};
use ipsec_types::{IkeSpi, Instant};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Octets of a cookie: a version and a MAC.
const COOKIE_LEN: usize = 33;

/// A cookie.
pub type Cookie = [u8; COOKIE_LEN];

struct Secret {
    version: u8,
    octets: Zeroizing<[u8; 32]>,
}

/// Makes cookies and knows its own, with a secret that changes.
pub struct CookieJar {
    current: Option<Secret>,
    previous: Option<Secret>,
    made_at: Instant,
    lifetime: Duration,
}

impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.current.as_ref().map(|s| s.version);
        write!(f, "CookieJar(version {version:?}, made at {:?})", self.made_at)
    }
}

impl CookieJar {
    /// A jar whose secret is used this long, and accepted as long again.
    #[must_use]
    pub fn new(lifetime: Duration) -> Self {
        Self { current: None, previous: None, made_at: Instant::ZERO, lifetime }
    }

    /// Changes how long a secret is used.
    pub fn set_lifetime(&mut self, lifetime: Duration) {
        self.lifetime = lifetime;
    }

    fn rotate(&mut self, now: Instant, random: &mut dyn SecureRandom) -> Result<(), RandomError> {
        let age = now.saturating_since(self.made_at);
        if self.current.is_some() && age < self.lifetime {
            return Ok(());
        }
        let mut octets = Zeroizing::new([0; 32]);
        random.fill(octets.as_mut_slice())?;
        let version = self.current.as_ref().map_or(0, |s| s.version.wrapping_add(1));
        let retired = self.current.replace(Secret { version, octets });
        // A secret that nobody asked for in time is older than its second lifetime.
        self.previous = retired.filter(|_| age < self.lifetime.saturating_mul(2));
        self.made_at = now;
        Ok(())
    }

    /// The cookie that this initiator must bring.
    ///
    /// # Errors
    /// [`RandomError`] where a new secret was due.
    pub fn make(
        &mut self,
        now: Instant,
        random: &mut dyn SecureRandom,
        initiator: &Initiator<'_>,
    ) -> Result<Cookie, RandomError> {
        self.rotate(now, random)?;
        Ok(self.current.as_ref().map_or([0; COOKIE_LEN], |secret| initiator.cookie(secret)))
    }

    /// Whether the initiator brought a cookie of ours. A wrong or stale one is like none (§2.6).
    #[must_use]
    pub fn check(&self, now: Instant, initiator: &Initiator<'_>, cookie: &[u8]) -> bool {
        let age = now.saturating_since(self.made_at);
        let current = self.current.as_ref().filter(|_| age < self.lifetime.saturating_mul(2));
        let previous = self.previous.as_ref().filter(|_| age < self.lifetime);
        [current, previous].into_iter().flatten().any(|secret| initiator.cookie(secret).ct_eq(cookie).into())
    }
}

/// What a cookie binds.
#[derive(Clone, Copy, Debug)]
pub struct Initiator<'a> {
    /// Where it sends from.
    pub address: IpAddr,
    /// Its SPI.
    pub spi: IkeSpi,
    /// Its nonce.
    pub nonce: &'a [u8],
}

impl Initiator<'_> {
    fn cookie(&self, secret: &Secret) -> Cookie {
        let (v4, v6);
        let address: &[u8] = match self.address {
            IpAddr::V4(address) => {
                v4 = address.octets();
                &v4
            }
            IpAddr::V6(address) => {
                v6 = address.octets();
                &v6
            }
        };
        let mut cookie = [0; COOKIE_LEN];
        // HMAC takes a key of any length, so that this cannot fail; a cookie of zeros would be no secret.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.octets.as_slice()) else { return cookie };
        for part in [self.nonce, address, &self.spi.to_be_bytes()] {
            mac.update(part);
        }
        if let Some((version, tag)) = cookie.split_first_mut() {
            *version = secret.version;
            tag.copy_from_slice(&mac.finalize().into_bytes());
        }
        cookie
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    const NONCE: &[u8] = &[7; 32];

    fn initiator(address: &str, spi: u64) -> Initiator<'static> {
        Initiator { address: address.parse().unwrap(), spi: IkeSpi::new(spi).unwrap(), nonce: NONCE }
    }

    #[test]
    fn a_cookie_is_good_for_its_initiator_alone() {
        let (mut jar, mut random) =
            (CookieJar::new(Duration::from_secs(60)), ChaCha20Rng::from_seed([1; 32]));
        let (now, client) = (Instant::from_millis(5), initiator("192.0.2.1", 1));
        let cookie = jar.make(now, &mut random, &client).unwrap();
        assert!(jar.check(now, &client, &cookie));
        assert!(!jar.check(now, &initiator("192.0.2.2", 1), &cookie));
        assert!(!jar.check(now, &initiator("192.0.2.1", 2), &cookie));
        assert!(!jar.check(now, &Initiator { nonce: &[8; 32], ..client }, &cookie));
        assert!(!jar.check(now, &client, &cookie[..32]));
        assert!(!jar.check(now, &client, &[]));
    }

    #[test]
    fn a_cookie_outlives_one_change_of_the_secret_and_not_two() {
        let (mut jar, mut random) =
            (CookieJar::new(Duration::from_secs(60)), ChaCha20Rng::from_seed([1; 32]));
        let client = initiator("2001:db8::1", 1);
        let at = |secs: u64| Instant::from_millis(secs * 1_000);
        let cookie = jar.make(at(0), &mut random, &client).unwrap();
        let second = jar.make(at(61), &mut random, &client).unwrap();
        assert_ne!(cookie, second);
        assert!(jar.check(at(62), &client, &cookie) && jar.check(at(62), &client, &second));
        assert!(!jar.check(at(122), &client, &cookie) && jar.check(at(122), &client, &second));
        assert!(!jar.check(at(182), &client, &second));
        jar.make(at(123), &mut random, &client).unwrap();
        assert!(!jar.check(at(123), &client, &cookie) && jar.check(at(123), &client, &second));
    }

    #[test]
    fn no_randomness_no_cookie() {
        struct Broken;
        impl SecureRandom for Broken {
            fn fill(&mut self, _: &mut [u8]) -> Result<(), RandomError> {
                Err(RandomError)
            }
        }
        let mut jar = CookieJar::new(Duration::from_secs(60));
        assert_eq!(jar.make(Instant::ZERO, &mut Broken, &initiator("192.0.2.1", 1)), Err(RandomError));
    }
}
