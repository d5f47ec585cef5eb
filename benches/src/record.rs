//! A provider that does what RustCrypto's does and remembers each call with its arguments, so that the very same calls
//! can be made again with nothing around them.

use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::signature::{
    PublicKey, SignatureAlgorithm, SignatureEncoding, SignatureError, SignatureScheme, SigningKey,
};
use ipsec_crypto::{
    CipherAlgorithm, CipherError, CryptoProvider, KeMethod, KeyExchangeMethod, KeyedPrf, KxError, KxResponse,
    PacketCipher, PacketNumber, PendingKeyExchange, PrfAlgorithm, PrfId, SecureRandom, UsageLimits,
};
use ipsec_types::SecretBytes;
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::fmt;
use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};

/// What a call is, in a table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A key pair or a shared secret.
    KeyExchange,
    /// A signature made.
    Sign,
    /// A signature checked.
    Verify,
    /// A PRF's key expanded, or a PRF computed.
    Prf,
    /// A cipher's key expanded.
    CipherKey,
    /// A message sealed or opened.
    Cipher,
}

/// A call, to be made again.
struct Call {
    kind: Kind,
    again: Box<dyn Fn() + Send>,
    /// The text of a message that was sealed, with the type of its first payload.
    text: Option<(u8, Vec<u8>)>,
}

type Calls = Arc<Mutex<Vec<Call>>>;

/// Remembers calls.
pub struct Recorder {
    calls: Calls,
    provider: &'static CryptoProvider,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

fn push(calls: &Calls, kind: Kind, again: impl Fn() + Send + 'static) {
    let call = Call { kind, again: Box::new(again), text: None };
    calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
}

fn owned(parts: &[&[u8]]) -> Vec<Vec<u8>> {
    parts.iter().map(|part| part.to_vec()).collect()
}

fn leaked<T: ?Sized>(wrapped: impl Iterator<Item = &'static T>) -> &'static [&'static T] {
    Box::leak(wrapped.collect::<Vec<_>>().into_boxed_slice())
}

impl Default for Recorder {
    /// The provider that records lives as long as the program: providers are static.
    fn default() -> Self {
        let calls = Calls::default();
        let log = || Arc::clone(&calls);
        let provider = CryptoProvider {
            name: "RustCrypto, recorded",
            ciphers: leaked(RUSTCRYPTO.ciphers.iter().map(|inner| {
                let wrapped: &'static dyn CipherAlgorithm = Box::leak(Box::new(Wrapped(*inner, log())));
                wrapped
            })),
            prfs: leaked(RUSTCRYPTO.prfs.iter().map(|inner| {
                let wrapped: &'static dyn PrfAlgorithm = Box::leak(Box::new(Wrapped(*inner, log())));
                wrapped
            })),
            key_exchanges: leaked(RUSTCRYPTO.key_exchanges.iter().map(|inner| {
                let wrapped: &'static dyn KeyExchangeMethod = Box::leak(Box::new(Wrapped(*inner, log())));
                wrapped
            })),
            signatures: leaked(RUSTCRYPTO.signatures.iter().map(|inner| {
                let wrapped: &'static dyn SignatureAlgorithm = Box::leak(Box::new(Wrapped(*inner, log())));
                wrapped
            })),
        };
        Self { calls, provider: Box::leak(Box::new(provider)) }
    }
}

impl Recorder {
    /// The provider whose calls are remembered.
    #[must_use]
    pub fn provider(&self) -> &'static CryptoProvider {
        self.provider
    }

    /// A private key whose calls are remembered.
    #[must_use]
    pub fn signing_key(&self, inner: Arc<dyn SigningKey>) -> Arc<dyn SigningKey> {
        Arc::new(Wrapped(inner, Arc::clone(&self.calls)))
    }

    /// Forgets what there is.
    pub fn clear(&self) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Makes every call again, or those of one kind.
    pub fn replay(&self, kind: Option<Kind>) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|call| kind.is_none_or(|kind| call.kind == kind)).for_each(|call| (call.again)());
    }

    /// How many calls of a kind there were.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter(|call| call.kind == kind)
            .count()
    }

    /// What was in the messages that were sealed: the type of the first payload, and the payloads.
    #[must_use]
    pub fn texts(&self) -> Vec<(u8, Vec<u8>)> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter_map(|call| call.text.clone()).collect()
    }
}

/// Something of a provider, and where its calls go.
struct Wrapped<T>(T, Calls);

impl<T: fmt::Debug> fmt::Debug for Wrapped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl CipherAlgorithm for Wrapped<&'static dyn CipherAlgorithm> {
    fn suite(&self) -> CipherSuite {
        self.0.suite()
    }

    fn library(&self) -> &'static str {
        self.0.library()
    }

    fn encr_key_len(&self) -> usize {
        self.0.encr_key_len()
    }

    fn salt_len(&self) -> usize {
        self.0.salt_len()
    }

    fn integ_key_len(&self) -> usize {
        self.0.integ_key_len()
    }

    fn for_ike(&self) -> bool {
        self.0.for_ike()
    }

    fn with_keys(&self, keys: &SaKeys) -> Result<Box<dyn PacketCipher>, CipherError> {
        let (inner, same) = (self.0, keys.clone());
        push(&self.1, Kind::CipherKey, move || drop(black_box(inner.with_keys(&same))));
        let cipher: Arc<dyn PacketCipher> = Arc::from(inner.with_keys(keys)?);
        Ok(Box::new(Wrapped(cipher, Arc::clone(&self.1))))
    }
}

impl PacketCipher for Wrapped<Arc<dyn PacketCipher>> {
    fn iv_len(&self) -> usize {
        self.0.iv_len()
    }

    fn icv_len(&self) -> usize {
        self.0.icv_len()
    }

    fn block_len(&self) -> usize {
        self.0.block_len()
    }

    fn limits(&self) -> UsageLimits {
        self.0.limits()
    }

    fn seal(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        let (cipher, same) = (Arc::clone(&self.0), Mutex::new(packet.to_vec()));
        let again = move || {
            let mut packet = same.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = black_box(cipher.seal(number, header_len, &mut packet));
        };
        let text = packet.get(header_len + self.iv_len()..packet.len() - self.icv_len()).unwrap_or_default();
        // In IKE's messages the padding and its length come last, and the header's first octet behind the IKE
        // header is the type of the first payload.
        let payloads = text.split_last().and_then(|(pad, rest)| rest.get(..rest.len() - usize::from(*pad)));
        let text = packet.get(28).copied().zip(payloads.map(<[u8]>::to_vec));
        let call = Call { kind: Kind::Cipher, again: Box::new(again), text };
        self.1.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        self.0.seal(number, header_len, packet)
    }

    fn open(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        let (cipher, same) = (Arc::clone(&self.0), packet.to_vec());
        let scratch = Mutex::new(packet.to_vec());
        push(&self.1, Kind::Cipher, move || {
            let mut scratch = scratch.lock().unwrap_or_else(PoisonError::into_inner);
            scratch.copy_from_slice(&same);
            let _ = black_box(cipher.open(number, header_len, &mut scratch));
        });
        self.0.open(number, header_len, packet)
    }
}

impl PrfAlgorithm for Wrapped<&'static dyn PrfAlgorithm> {
    fn id(&self) -> PrfId {
        self.0.id()
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn nonce_key_octets(&self) -> Option<usize> {
        self.0.nonce_key_octets()
    }

    fn with_key(&self, key: &[u8]) -> Box<dyn KeyedPrf> {
        let (inner, same) = (self.0, key.to_vec());
        push(&self.1, Kind::Prf, move || drop(black_box(inner.with_key(&same))));
        let keyed: Arc<dyn KeyedPrf> = Arc::from(inner.with_key(key));
        Box::new(Wrapped(keyed, Arc::clone(&self.1)))
    }
}

impl KeyedPrf for Wrapped<Arc<dyn KeyedPrf>> {
    fn compute(&self, parts: &[&[u8]], output: &mut [u8]) {
        let (prf, same, length) = (Arc::clone(&self.0), owned(parts), output.len());
        push(&self.1, Kind::Prf, move || {
            let mut output = [0; 64];
            let mut parts: [&[u8]; 8] = [&[]; 8];
            for (to, from) in parts.iter_mut().zip(&same) {
                *to = from;
            }
            let parts = parts.get(..same.len()).unwrap_or_default();
            prf.compute(parts, output.get_mut(..length).unwrap_or_default());
            black_box(output);
        });
        self.0.compute(parts, output);
    }
}

/// Randomness for calls that are made again.
fn random() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(0)
}

impl KeyExchangeMethod for Wrapped<&'static dyn KeyExchangeMethod> {
    fn method(&self) -> KeMethod {
        self.0.method()
    }

    fn initiator_len(&self) -> usize {
        self.0.initiator_len()
    }

    fn responder_len(&self) -> usize {
        self.0.responder_len()
    }

    fn is_kem(&self) -> bool {
        self.0.is_kem()
    }

    fn start(&self, random_source: &mut dyn SecureRandom) -> Result<Box<dyn PendingKeyExchange>, KxError> {
        let (inner, same) = (self.0, Mutex::new(random()));
        push(&self.1, Kind::KeyExchange, move || {
            let mut random = same.lock().unwrap_or_else(PoisonError::into_inner);
            drop(black_box(inner.start(&mut *random)));
        });
        let pending: Arc<dyn PendingKeyExchange> = Arc::from(self.0.start(random_source)?);
        Ok(Box::new(Wrapped(pending, Arc::clone(&self.1))))
    }

    fn respond(&self, random_source: &mut dyn SecureRandom, initiator: &[u8]) -> Result<KxResponse, KxError> {
        let (inner, same, peer) = (self.0, Mutex::new(random()), initiator.to_vec());
        push(&self.1, Kind::KeyExchange, move || {
            let mut random = same.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = black_box(inner.respond(&mut *random, &peer));
        });
        self.0.respond(random_source, initiator)
    }
}

impl PendingKeyExchange for Wrapped<Arc<dyn PendingKeyExchange>> {
    fn public(&self) -> &[u8] {
        self.0.public()
    }

    fn finish(&self, peer: &[u8]) -> Result<SecretBytes, KxError> {
        let (pending, same) = (Arc::clone(&self.0), peer.to_vec());
        push(&self.1, Kind::KeyExchange, move || drop(black_box(pending.finish(&same))));
        self.0.finish(peer)
    }
}

impl SignatureAlgorithm for Wrapped<&'static dyn SignatureAlgorithm> {
    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }

    fn verify(
        &self,
        public_key: &PublicKey,
        encoding: SignatureEncoding,
        message: &[&[u8]],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let (inner, key, parts, same) = (self.0, public_key.clone(), owned(message), signature.to_vec());
        push(&self.1, Kind::Verify, move || {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let _ = black_box(inner.verify(&key, encoding, &parts, &same));
        });
        self.0.verify(public_key, encoding, message, signature)
    }
}

impl SigningKey for Wrapped<Arc<dyn SigningKey>> {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn schemes(&self) -> &[SignatureScheme] {
        self.0.schemes()
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        encoding: SignatureEncoding,
        message: &[&[u8]],
        random_source: &mut dyn SecureRandom,
    ) -> Result<Vec<u8>, SignatureError> {
        let (key, parts) = (Arc::clone(&self.0), owned(message));
        push(&self.1, Kind::Sign, move || {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let _ = black_box(key.sign(scheme, encoding, &parts, &mut random()));
        });
        self.0.sign(scheme, encoding, message, random_source)
    }
}
