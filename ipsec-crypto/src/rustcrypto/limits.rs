//! How long one key of each algorithm may be used.
//!
//! The documents of the ciphers ask for little: a fresh key before 2^64 blocks of AES-GCM (RFC 4106 §10), and
//! nothing for AES-CBC. By then cipher text is long told from random octets, since AES is a permutation of
//! 128-bit blocks. So the limits here keep that advantage below 2^-32, whatever the sizes of the packets.

use crate::cipher::UsageLimits;

/// AES-GCM after σ blocks under one key whose nonces never repeat: 2σ² / 2^128 (RFC 9001 B.1.1).
///
/// 2^50 octets are 2^46 blocks of text. 2^45 packets add at most 2^46: each the block that masks its ICV, and
/// one that its text does not fill (RFC 4106 §10 counts the same). Together σ = 2^47 and the advantage 2^-33.
///
/// Forgeries, of packets of up to 2^16 octets, that is of l = 2^12 blocks: with 2^64 / l of them one succeeds
/// with a chance of at most 2^-57 (RFC 9001 B.1.2).
pub(super) const GCM_16: UsageLimits =
    UsageLimits { packets: 1 << 45, octets: 1 << 50, failed_opens: 1 << 52 };

/// AES-CBC with an HMAC cut to 128 bits.
///
/// CBC under unpredictable IVs has a bound of the same form, no larger than the one above (Bellare, Desai,
/// Jokipii and Rogaway, "A Concrete Security Treatment of Symmetric Encryption", 1997). A packet adds a block
/// for its IV and one of padding.
///
/// A forgery succeeds with a chance of 2^-128, and one that fails teaches nothing: even 2^64 of them leave
/// 2^-64.
pub(super) const AES_CBC_HMAC: UsageLimits =
    UsageLimits { packets: 1 << 45, octets: 1 << 50, failed_opens: u64::MAX };
