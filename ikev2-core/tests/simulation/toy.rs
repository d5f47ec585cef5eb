//! A key exchange and packet ciphers that cost next to nothing and hide nothing, so that a million runs are cheap and
//! the simulator reads what is on the wire. Both are honest otherwise: two ends agree on a secret only where each used
//! the other's half, and a message opens only under the key that it was sealed with, as it was sealed.

use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{
    CipherAlgorithm, CipherError, CryptoProvider, KeMethod, KeyExchangeMethod, KxError, KxResponse,
    PacketCipher, PacketNumber, PendingKeyExchange, PrfAlgorithm, SecureRandom, UsageLimits,
};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, IntegId, SecretBytes};
use std::hash::{DefaultHasher, Hasher};

/// RustCrypto's PRFs and signatures with the toys.
pub static TOY: CryptoProvider = CryptoProvider {
    name: "toy",
    ciphers: &[&GCM_128, &GCM_256, &CBC_128, &CBC_256],
    key_exchanges: &[&ToyExchange(KeMethod::CURVE25519), &ToyExchange(KeMethod::ECP_256)],
    ..RUSTCRYPTO
};

/// The same without one PRF that configurations name.
pub static TOY_WITHOUT_PRF: CryptoProvider = CryptoProvider { prfs: LESS, ..TOY };
static LESS: &[&dyn PrfAlgorithm] = &[ipsec_crypto::rustcrypto::HMAC_SHA2_256];

static GCM_128: ToyAlgorithm = ToyAlgorithm::new(EncrId::AES_GCM_16, 128, IntegId::NONE, (20, 0));
static GCM_256: ToyAlgorithm = ToyAlgorithm::new(EncrId::AES_GCM_16, 256, IntegId::NONE, (36, 0));
static CBC_128: ToyAlgorithm = ToyAlgorithm::new(EncrId::AES_CBC, 128, IntegId::HMAC_SHA2_256_128, (16, 32));
static CBC_256: ToyAlgorithm = ToyAlgorithm::new(EncrId::AES_CBC, 256, IntegId::HMAC_SHA2_256_128, (32, 32));

/// A prime, 2^61 - 1, and an element of large order modulo it.
const PRIME: u128 = (1 << 61) - 1;
const BASE: u64 = 37;
/// The length of a public value, that of X25519.
const PUBLIC_LEN: usize = 32;

fn power(base: u64, mut exponent: u64) -> u64 {
    let (mut square, mut result) = (u128::from(base) % PRIME, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * square % PRIME;
        }
        square = square * square % PRIME;
        exponent >>= 1;
    }
    result as u64
}

/// Diffie-Hellman in a group that a child could break.
#[derive(Debug)]
struct ToyExchange(KeMethod);

struct ToyHalf {
    secret: u64,
    public: [u8; PUBLIC_LEN],
}

impl ToyHalf {
    fn new(random: &mut dyn SecureRandom) -> Result<Self, KxError> {
        let mut octets = [0; 8];
        random.fill(&mut octets)?;
        let secret = u64::from_be_bytes(octets) >> 4 | 2;
        let mut public = [0; PUBLIC_LEN];
        public[PUBLIC_LEN - 8..].copy_from_slice(&power(BASE, secret).to_be_bytes());
        Ok(Self { secret, public })
    }
}

impl PendingKeyExchange for ToyHalf {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn finish(&self, peer: &[u8]) -> Result<SecretBytes, KxError> {
        let peer: [u8; PUBLIC_LEN] =
            peer.try_into().map_err(|_| KxError::Length { expected: PUBLIC_LEN, got: peer.len() })?;
        let (front, number) = peer.split_at(PUBLIC_LEN - 8);
        let number = u64::from_be_bytes(number.try_into().unwrap());
        if front.iter().any(|octet| *octet != 0) || number < 2 || u128::from(number) >= PRIME - 1 {
            return Err(KxError::InvalidPublicValue);
        }
        let mut secret = [0; PUBLIC_LEN];
        secret[PUBLIC_LEN - 8..].copy_from_slice(&power(number, self.secret).to_be_bytes());
        Ok(SecretBytes::copy_from(&secret))
    }
}

impl KeyExchangeMethod for ToyExchange {
    fn method(&self) -> KeMethod {
        self.0
    }

    fn initiator_len(&self) -> usize {
        PUBLIC_LEN
    }

    fn responder_len(&self) -> usize {
        PUBLIC_LEN
    }

    fn is_kem(&self) -> bool {
        false
    }

    fn start(&self, random: &mut dyn SecureRandom) -> Result<Box<dyn PendingKeyExchange>, KxError> {
        Ok(Box::new(ToyHalf::new(random)?))
    }

    fn respond(&self, random: &mut dyn SecureRandom, initiator: &[u8]) -> Result<KxResponse, KxError> {
        let half = ToyHalf::new(random)?;
        Ok(KxResponse { public: half.public.to_vec(), secret: half.finish(initiator)? })
    }
}

/// Octets of the IV and of the ICV of every toy cipher, whatever suite it stands for.
pub const IV_LEN: usize = 8;
pub const ICV_LEN: usize = 16;

/// Stands for a suite, with keys of its lengths.
#[derive(Debug)]
struct ToyAlgorithm {
    suite: CipherSuite,
    /// Of encryption key material and of the integrity key.
    key_lens: (usize, usize),
}

impl ToyAlgorithm {
    const fn new(encr: EncrId, key_bits: u16, integ: IntegId, key_lens: (usize, usize)) -> Self {
        Self { suite: CipherSuite { encr, key_bits: Some(key_bits), integ }, key_lens }
    }
}

impl CipherAlgorithm for ToyAlgorithm {
    fn suite(&self) -> CipherSuite {
        self.suite
    }

    fn library(&self) -> &'static str {
        "toy"
    }

    fn encr_key_len(&self) -> usize {
        self.key_lens.0
    }

    fn salt_len(&self) -> usize {
        self.key_lens.0 % 8
    }

    fn integ_key_len(&self) -> usize {
        self.key_lens.1
    }

    fn for_ike(&self) -> bool {
        true
    }

    fn with_keys(&self, keys: &SaKeys) -> Result<Box<dyn PacketCipher>, CipherError> {
        for (expected, got) in [(self.key_lens.0, keys.encr.len()), (self.key_lens.1, keys.integ.len())] {
            if expected != got {
                return Err(CipherError::KeyLength { expected, got });
            }
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(keys.encr.as_slice());
        hasher.write(keys.integ.as_slice());
        Ok(Box::new(ToyCipher(hasher)))
    }
}

/// Leaves the text as it is and adds a checksum under the key.
struct ToyCipher(DefaultHasher);

impl ToyCipher {
    fn checksum(&self, number: PacketNumber, covered: &[u8]) -> [u8; ICV_LEN] {
        let mut hasher = self.0.clone();
        if number.high_in_icv {
            hasher.write_u64(number.value >> 32);
        }
        hasher.write(covered);
        let first = hasher.finish();
        hasher.write_u8(1);
        let mut icv = [0; ICV_LEN];
        icv[..8].copy_from_slice(&first.to_be_bytes());
        icv[8..].copy_from_slice(&hasher.finish().to_be_bytes());
        icv
    }
}

impl PacketCipher for ToyCipher {
    fn iv_len(&self) -> usize {
        IV_LEN
    }

    fn icv_len(&self) -> usize {
        ICV_LEN
    }

    fn block_len(&self) -> usize {
        1
    }

    fn limits(&self) -> UsageLimits {
        UsageLimits { packets: 1 << 32, octets: 1 << 40, failed_opens: 1 << 32 }
    }

    fn seal(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        let got = packet.len();
        if got < header_len + IV_LEN + ICV_LEN {
            return Err(CipherError::PacketLength { got });
        }
        packet[header_len..header_len + IV_LEN].copy_from_slice(&number.value.to_be_bytes());
        let (covered, icv) = packet.split_at_mut(got - ICV_LEN);
        icv.copy_from_slice(&self.checksum(number, covered));
        Ok(())
    }

    fn open(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        let got = packet.len();
        if got < header_len + IV_LEN + ICV_LEN {
            return Err(CipherError::PacketLength { got });
        }
        let (covered, icv) = packet.split_at(got - ICV_LEN);
        if *icv == self.checksum(number, covered) { Ok(()) } else { Err(CipherError::IntegrityCheck) }
    }
}
