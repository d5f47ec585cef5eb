//! A provider with the packet ciphers of AWS-LC (feature `aws-lc`), which is C and assembly: AES-GCM with ICVs of 16
//! octets and ChaCha20-Poly1305, with sent and with implicit IVs. For all else it is [`RUSTCRYPTO`];
//! [`CipherAlgorithm::library`] tells for each suite.
//!
//! AWS-LC wipes what it frees, expanded keys among it (`OPENSSL_free`). It decrypts while it checks the ICV, and where
//! that is wrong writes zeros over what it decrypted before it returns (`EVP_AEAD_CTX_open_gather`).

use crate::aead::{Aead, CombinedMode, Iv, Nonce};
use crate::cipher::CipherAlgorithm;
use crate::limits;
use crate::provider::CryptoProvider;
use crate::rustcrypto::RUSTCRYPTO;
use crate::rustcrypto::suites::{Exchangeable, in_order};
use aws_lc_rs::aead;
use core::hint::black_box;
use core::marker::PhantomData;
use ipsec_types::EncrId;

const LIBRARY: &str = "AWS-LC";

/// An algorithm of the library, as a type.
trait Algorithm: Send + Sync + 'static {
    const KEY_LEN: usize;

    fn get() -> &'static aead::Algorithm;
}

/// Names algorithms: octets of key.
macro_rules! algorithms {
    ($($name:ident = $key_len:literal, $algorithm:ident;)*) => {
        $(
            struct $name;

            impl Algorithm for $name {
                const KEY_LEN: usize = $key_len;

                fn get() -> &'static aead::Algorithm {
                    &aead::$algorithm
                }
            }
        )*
    };
}

algorithms! {
    Aes128Gcm = 16, AES_128_GCM;
    Aes192Gcm = 24, AES_192_GCM;
    Aes256Gcm = 32, AES_256_GCM;
    ChaCha20Poly1305 = 32, CHACHA20_POLY1305;
}

struct AwsLc<A> {
    key: aead::LessSafeKey,
    algorithm: PhantomData<fn() -> A>,
}

/// The nonce in the type that the library wants. That none is used twice is the caller's to see to, as everywhere.
#[inline(always)]
fn nonce_of(nonce: Nonce) -> aead::Nonce {
    let (high, low) = nonce.words();
    let mut octets = [0; aead::NONCE_LEN];
    if let Some(place) = octets.first_chunk_mut() {
        *place = high.to_be_bytes();
    }
    if let Some(place) = octets.last_chunk_mut() {
        *place = low.to_be_bytes();
    }
    aead::Nonce::assume_unique_for_key(octets)
}

impl<A: Algorithm> CombinedMode for AwsLc<A> {
    const LIBRARY: &'static str = LIBRARY;
    const KEY_LEN: usize = A::KEY_LEN;
    const NONCE_LEN: usize = aead::NONCE_LEN;
    const ICV_LEN: usize = 16;

    fn new(key: &[u8]) -> Option<Self> {
        let key = aead::UnboundKey::new(A::get(), key).ok()?;
        Some(Self { key: aead::LessSafeKey::new(key), algorithm: PhantomData })
    }

    /// The library does not show its keys, but for where they lie.
    fn touch(&self) {
        black_box(self.key.algorithm());
    }

    #[inline(always)]
    fn seal(&self, nonce: Nonce, aad: &[u8], text: &mut [u8], icv: &mut [u8]) -> Option<()> {
        self.key.seal_in_place_scatter(nonce_of(nonce), aead::Aad::from(aad), text, &[], icv).ok()
    }

    #[inline(always)]
    fn open(&self, nonce: Nonce, aad: &[u8], text: &mut [u8], icv: &[u8]) -> Option<()> {
        self.key.open_in_place_separate_tag(nonce_of(nonce), aead::Aad::from(aad), icv, text).ok()?;
        Some(())
    }
}

const fn gcm<A>(encr: EncrId, bits: u16, iv: Iv) -> Aead<AwsLc<A>> {
    Aead::new(encr, Some(bits), iv, limits::GCM_16)
}

/// ChaCha20-Poly1305 has no Key Length attribute.
const fn chacha(encr: EncrId, iv: Iv) -> Aead<AwsLc<ChaCha20Poly1305>> {
    Aead::new(encr, None, iv, limits::CHACHA20_POLY1305)
}

const OWN: Exchangeable = Exchangeable {
    gcm: [
        &gcm::<Aes256Gcm>(EncrId::AES_GCM_16, 256, Iv::Sent),
        &gcm::<Aes128Gcm>(EncrId::AES_GCM_16, 128, Iv::Sent),
        &gcm::<Aes192Gcm>(EncrId::AES_GCM_16, 192, Iv::Sent),
    ],
    gcm_iiv: [
        &gcm::<Aes256Gcm>(EncrId::AES_GCM_16_IIV, 256, Iv::Implicit),
        &gcm::<Aes128Gcm>(EncrId::AES_GCM_16_IIV, 128, Iv::Implicit),
        &gcm::<Aes192Gcm>(EncrId::AES_GCM_16_IIV, 192, Iv::Implicit),
    ],
    chacha: &chacha(EncrId::CHACHA20_POLY1305, Iv::Sent),
    chacha_iiv: &chacha(EncrId::CHACHA20_POLY1305_IIV, Iv::Implicit),
};

static CIPHERS: [&dyn CipherAlgorithm; 71] = in_order(OWN);

/// See the module. The suites and their order are those of [`RUSTCRYPTO`].
pub static AWS_LC: CryptoProvider = CryptoProvider { name: LIBRARY, ciphers: &CIPHERS, ..RUSTCRYPTO };
