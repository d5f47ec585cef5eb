//! The ECP groups of IKEv2 (RFC 5903): the NIST curves. A public value is x | y, the secret is x.

use super::dh::Group;
use crate::kx::KeMethod;
use crate::random::{RandomError, SecureRandom};
use alloc::vec::Vec;
use core::marker::PhantomData;
use ipsec_types::SecretBytes;
use p256::NistP256;
use p256::elliptic_curve::array::typenum::Unsigned;
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytes, FieldBytesSize, PublicKey, SecretKey};
use p384::NistP384;
use p521::NistP521;
use zeroize::Zeroizing;

/// A curve with a name in IKEv2.
pub(super) trait Curve: CurveArithmetic {
    /// Its transform ID.
    const METHOD: KeMethod;
    /// The bits that the first octet of a scalar can have.
    const SCALAR_TOP: u8;
}

impl Curve for NistP256 {
    const METHOD: KeMethod = KeMethod::ECP_256;
    const SCALAR_TOP: u8 = 0xff;
}

impl Curve for NistP384 {
    const METHOD: KeMethod = KeMethod::ECP_384;
    const SCALAR_TOP: u8 = 0xff;
}

impl Curve for NistP521 {
    const METHOD: KeMethod = KeMethod::ECP_521;
    const SCALAR_TOP: u8 = 0x01;
}

/// Tries to draw a scalar before the generator is called broken. A try fails with a chance of less than one
/// half on every curve, on P-256 of less than 2^-31.
const TRIES: usize = 128;

/// The group on the curve `C`.
pub(super) struct Ecp<C>(PhantomData<fn() -> C>);

impl<C: Curve> Group for Ecp<C> {
    const METHOD: KeMethod = C::METHOD;
    const PUBLIC_LEN: usize = 2 * <FieldBytesSize<C> as Unsigned>::USIZE;
    type Secret = SecretKey<C>;
    type Peer = PublicKey<C>;

    /// Draws octets until they are a scalar between zero and the order, so that each is as likely (NIST
    /// SP 800-56A §5.6.1.2.2).
    fn generate(random: &mut dyn SecureRandom) -> Result<SecretKey<C>, RandomError> {
        let mut octets = Zeroizing::new(FieldBytes::<C>::default());
        for _ in 0..TRIES {
            random.fill(&mut octets)?;
            if let Some(top) = octets.first_mut() {
                *top &= C::SCALAR_TOP;
            }
            if let Ok(secret) = SecretKey::from_bytes(&octets) {
                return Ok(secret);
            }
        }
        Err(RandomError)
    }

    fn public(secret: &SecretKey<C>) -> Vec<u8> {
        let point = secret.public_key();
        let point = point.as_affine();
        [point.x().as_slice(), point.y().as_slice()].concat()
    }

    /// The point must lie on the curve (RFC 6989 §2.3), and both coordinates below the prime. No x | y stands
    /// for the point at infinity.
    fn parse(octets: &[u8]) -> Option<PublicKey<C>> {
        let (x, y) = octets.split_at_checked(octets.len() / 2)?;
        let x = FieldBytes::<C>::try_from(x).ok()?;
        let y = FieldBytes::<C>::try_from(y).ok()?;
        let point = Option::<AffinePoint<C>>::from(AffinePoint::<C>::from_coordinates(&x, &y))?;
        PublicKey::from_affine(point).ok()
    }

    /// In a group of prime order the result is never the point at infinity.
    fn agree(secret: &SecretKey<C>, peer: &PublicKey<C>) -> Option<SecretBytes> {
        let scalar = Zeroizing::new(secret.to_nonzero_scalar());
        let product = Zeroizing::new(peer.to_projective() * scalar.as_ref());
        let point = Zeroizing::new(Into::<AffinePoint<C>>::into(*product));
        let x = Zeroizing::new(point.x());
        Some(SecretBytes::copy_from(&x))
    }
}
