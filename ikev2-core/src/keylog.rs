//! The only way keys leave: a hook for whoever debugs with a packet analyser. Off unless an embedder sets it.
//!
//! Lines have the formats of Wireshark's tables `ikev2_decryption_table` and `esp_sa`, so that they can be
//! written to those files as they are.

use crate::keys::IkeKeys;
use alloc::format;
use alloc::string::String;
use core::fmt::{Debug, Write};
use core::net::IpAddr;
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, EspSpi, IkeSpi, IntegId, SequenceNumbers};

/// Receives keys. Whatever it does with them is the embedder's responsibility.
pub trait KeyLog: Send + Sync + Debug {
    /// One line of Wireshark's `ikev2_decryption_table`.
    fn ike(&self, line: &str);
    /// One line of Wireshark's `esp_sa`.
    fn esp(&self, line: &str);
}

/// `SPIi,SPIr,SK_ei,SK_er,"encryption",SK_ai,SK_ar,"integrity"`.
pub(crate) fn ike_line(initiator: IkeSpi, responder: IkeSpi, suite: CipherSuite, keys: &IkeKeys) -> String {
    format!(
        "{initiator},{responder},{},{},\"{}\",{},{},\"{}\"",
        hex(keys.ei.as_slice()),
        hex(keys.er.as_slice()),
        ike_encryption(suite),
        hex(keys.ai.as_slice()),
        hex(keys.ar.as_slice()),
        ike_integrity(suite.integ),
    )
}

/// `"IPv4","source","destination","SPI","encryption","key","integrity","key"` and the kind of sequence numbers.
pub(crate) fn esp_line(
    source: IpAddr,
    destination: IpAddr,
    spi: EspSpi,
    suite: CipherSuite,
    keys: &SaKeys,
    numbers: SequenceNumbers,
) -> String {
    let family = if source.is_ipv4() { "IPv4" } else { "IPv6" };
    let esn = if numbers == SequenceNumbers::Sequential64 { ",\"64-bit\",\"0\"" } else { "" };
    format!(
        "\"{family}\",\"{source}\",\"{destination}\",\"0x{spi}\",\"{}\",\"0x{}\",\"{}\",\"{}\"{esn}",
        esp_encryption(suite.encr),
        hex(keys.encr.as_slice()),
        esp_integrity(suite.integ),
        if keys.integ.is_empty() { String::new() } else { format!("0x{}", hex(keys.integ.as_slice())) },
    )
}

/// Wireshark's names; an algorithm that it does not know appears by its registered name, which it refuses.
fn ike_encryption(suite: CipherSuite) -> String {
    let bits = suite.key_bits.unwrap_or(0);
    match suite.encr {
        EncrId::AES_GCM_16 => format!("AES-GCM-{bits} with 16 octet ICV [RFC5282]"),
        EncrId::AES_GCM_12 => format!("AES-GCM-{bits} with 12 octet ICV [RFC5282]"),
        EncrId::AES_GCM_8 => format!("AES-GCM-{bits} with 8 octet ICV [RFC5282]"),
        EncrId::AES_CCM_16 => format!("AES-CCM-{bits} with 16 octet ICV [RFC5282]"),
        EncrId::AES_CCM_12 => format!("AES-CCM-{bits} with 12 octet ICV [RFC5282]"),
        EncrId::AES_CCM_8 => format!("AES-CCM-{bits} with 8 octet ICV [RFC5282]"),
        EncrId::AES_CBC => format!("AES-CBC-{bits} [RFC3602]"),
        EncrId::AES_CTR => format!("AES-CTR-{bits} [RFC5930]"),
        other => format!("{other}"),
    }
}

fn esp_encryption(encr: EncrId) -> String {
    String::from(match encr {
        EncrId::AES_GCM_16 => "AES-GCM with 16 octet ICV [RFC4106]",
        EncrId::AES_GCM_12 => "AES-GCM with 12 octet ICV [RFC4106]",
        EncrId::AES_GCM_8 => "AES-GCM with 8 octet ICV [RFC4106]",
        EncrId::AES_CBC => "AES-CBC [RFC3602]",
        EncrId::AES_CTR => "AES-CTR [RFC3686]",
        EncrId::CHACHA20_POLY1305 => "ChaCha20 with Poly1305 [RFC7634]",
        EncrId::NULL => "NULL",
        other => return format!("{other}"),
    })
}

fn ike_integrity(integ: IntegId) -> String {
    String::from(match integ {
        IntegId::NONE => "NONE [RFC4306]",
        IntegId::HMAC_SHA1_96 => "HMAC_SHA1_96 [RFC2404]",
        IntegId::HMAC_SHA2_256_128 => "HMAC_SHA2_256_128 [RFC4868]",
        IntegId::HMAC_SHA2_384_192 => "HMAC_SHA2_384_192 [RFC4868]",
        IntegId::HMAC_SHA2_512_256 => "HMAC_SHA2_512_256 [RFC4868]",
        other => return format!("{other}"),
    })
}

fn esp_integrity(integ: IntegId) -> String {
    String::from(match integ {
        IntegId::NONE => "NULL",
        IntegId::HMAC_SHA1_96 => "HMAC-SHA-1-96 [RFC2404]",
        IntegId::HMAC_SHA2_256_128 => "HMAC-SHA-256-128 [RFC4868]",
        IntegId::HMAC_SHA2_384_192 => "HMAC-SHA-384-192 [RFC4868]",
        IntegId::HMAC_SHA2_512_256 => "HMAC-SHA-512-256 [RFC4868]",
        other => return format!("{other}"),
    })
}

fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().saturating_mul(2));
    for octet in octets {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}
