//! How long one key of each algorithm may be used.
//!
//! The documents of the ciphers ask for little: a fresh key before 2^64 blocks of AES-GCM (RFC 4106 §10), the
//! same of AES-CCM (RFC 4309 §9), and nothing for the others. By then cipher text is long told from random
//! octets, since AES is a permutation of 128-bit blocks. So the limits here keep every such advantage, and
//! every chance of a forgery, at or below 2^-32, whatever the sizes of the packets: of l = 2^12 blocks at
//! most.

use crate::cipher::UsageLimits;

/// No limit.
pub(crate) const NONE: UsageLimits =
    UsageLimits { packets: u64::MAX, octets: u64::MAX, failed_opens: u64::MAX };

/// AES in CBC and counter mode, after σ blocks under one key: 2σ² / 2^128.
///
/// That is the form of the bounds for CBC under unpredictable IVs and for counter mode (Bellare, Desai,
/// Jokipii and Rogaway, "A Concrete Security Treatment of Symmetric Encryption", 1997). 2^50 octets are 2^46
/// blocks of text. 2^45 packets add at most 2^46: the IV's and one of padding, or one that the text does not
/// fill. Together σ = 2^47 and the advantage 2^-33.
pub(crate) const AES_BLOCKS: UsageLimits =
    UsageLimits { packets: 1 << 45, octets: 1 << 50, failed_opens: u64::MAX };

/// AES-GCM with an ICV of 16 octets, whose nonces never repeat: the same 2σ² / 2^128 (RFC 9001 B.1.1), with
/// one block a packet that masks its ICV.
///
/// With 2^64 / l forgeries, one succeeds with a chance of at most 2^-57 (RFC 9001 B.1.2).
pub(crate) const GCM_16: UsageLimits =
    UsageLimits { packets: 1 << 45, octets: 1 << 50, failed_opens: 1 << 52 };

/// The same with an ICV of 12 octets, where one of v forgeries succeeds with a chance of at most l · v /
/// 2^96: the polynomial in the hash has l roots, and each may be right.
pub(crate) const GCM_12: UsageLimits = GCM_16;

/// The same with an ICV of 8 octets: l · v / 2^64.
pub(crate) const GCM_8: UsageLimits = UsageLimits { failed_opens: 1 << 20, ..GCM_16 };

/// AES-CCM, which runs AES twice a block, and for forgeries too: (2(σ + l · v))² / 2^128 (RFC 9001 B.2, after
/// Jonsson, "On the Security of CTR + CBC-MAC", 2002).
///
/// 2^48 octets are 2^44 blocks, and 2^43 packets add at most 2^45: those of lengths and header, that of the
/// ICV, and one that the text does not fill. 2^33 forgeries make 2^45 more. Together less than 2^47, which
/// doubled and squared makes 2^-32. The ICVs of 16 and 12 octets are not guessed before.
pub(crate) const CCM_16: UsageLimits =
    UsageLimits { packets: 1 << 43, octets: 1 << 48, failed_opens: 1 << 33 };

/// The same.
pub(crate) const CCM_12: UsageLimits = CCM_16;

/// The same with an ICV of 8 octets, which one of v guesses hits with a chance of v / 2^64.
pub(crate) const CCM_8: UsageLimits = UsageLimits { failed_opens: 1 << 32, ..CCM_16 };

/// ChaCha20-Poly1305. ChaCha20 is no permutation that could be told from a function, so that only its nonces
/// end it. One of v forgeries succeeds with a chance of at most l · v / 2^102 (RFC 7634 §5).
pub(crate) const CHACHA20_POLY1305: UsageLimits =
    UsageLimits { packets: u64::MAX, octets: u64::MAX, failed_opens: 1 << 52 };

/// HMAC with SHA-1 or SHA2: its states are too wide to collide, and a failed guess at 96 bits or more teaches
/// nothing. Even 2^64 of them leave a chance of 2^-32.
pub(crate) const HMAC: UsageLimits = NONE;

/// AES-XCBC-MAC and AES-CMAC, after σ blocks: 5σ² / 2^128 (Iwata and Kurosawa, "OMAC: One-Key CBC MAC", 2003;
/// that of XCBC is smaller).
///
/// 2^49 octets are 2^45 blocks, 2^44 packets add at most 2^45: of headers, IV, ICV and padding. Together σ =
/// 2^46 and the advantage 2^-33. Guesses at the 96 bits are as HMAC's.
pub(crate) const AES_MAC: UsageLimits =
    UsageLimits { packets: 1 << 44, octets: 1 << 49, failed_opens: u64::MAX };

/// The smaller of each.
pub(crate) const fn both(a: UsageLimits, b: UsageLimits) -> UsageLimits {
    const fn min(a: u64, b: u64) -> u64 {
        if a < b { a } else { b }
    }
    UsageLimits {
        packets: min(a.packets, b.packets),
        octets: min(a.octets, b.octets),
        failed_opens: min(a.failed_opens, b.failed_opens),
    }
}
