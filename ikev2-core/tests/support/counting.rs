//! RustCrypto with AES-256-GCM alone, which counts how often the thread has opened something with it.

use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{CipherAlgorithm, CipherError, CryptoProvider, PacketCipher, PacketNumber, UsageLimits};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, IntegId};
use std::cell::Cell;

thread_local! {
    static OPENED: Cell<u64> = const { Cell::new(0) };
}

/// How often anything was opened, with success or without.
pub fn opened() -> u64 {
    OPENED.get()
}

pub static COUNTING: CryptoProvider =
    CryptoProvider { name: "counting", ciphers: &[&CountingAlgorithm], ..RUSTCRYPTO };

const SUITE: CipherSuite =
    CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(256), integ: IntegId::NONE };

fn algorithm() -> &'static dyn CipherAlgorithm {
    RUSTCRYPTO.cipher(SUITE).unwrap()
}

#[derive(Debug)]
struct CountingAlgorithm;

impl CipherAlgorithm for CountingAlgorithm {
    fn suite(&self) -> CipherSuite {
        SUITE
    }

    fn library(&self) -> &'static str {
        "counting"
    }

    fn encr_key_len(&self) -> usize {
        algorithm().encr_key_len()
    }

    fn salt_len(&self) -> usize {
        algorithm().salt_len()
    }

    fn integ_key_len(&self) -> usize {
        algorithm().integ_key_len()
    }

    fn for_ike(&self) -> bool {
        true
    }

    fn with_keys(&self, keys: &SaKeys) -> Result<Box<dyn PacketCipher>, CipherError> {
        Ok(Box::new(CountingCipher(algorithm().with_keys(keys)?)))
    }
}

struct CountingCipher(Box<dyn PacketCipher>);

impl PacketCipher for CountingCipher {
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
        self.0.seal(number, header_len, packet)
    }

    fn open(&self, number: PacketNumber, header_len: usize, packet: &mut [u8]) -> Result<(), CipherError> {
        OPENED.set(OPENED.get() + 1);
        self.0.open(number, header_len, packet)
    }
}
