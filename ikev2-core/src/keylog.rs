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
        integrity(suite.integ, "HMAC_SHA2_256_128 [RFC4868]", "NONE [RFC4306]"),
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
        integrity(suite.integ, "HMAC-SHA-256-128 [RFC4868]", "NULL"),
        if keys.integ.is_empty() { String::new() } else { format!("0x{}", hex(keys.integ.as_slice())) },
    )
}

/// Wireshark's names; an algorithm that it does not know appears by its registered name, which it refuses.
fn ike_encryption(suite: CipherSuite) -> String {
    let bits = suite.key_bits.unwrap_or(0);
    match suite.encr {
        EncrId::AES_GCM_16 => format!("AES-GCM-{bits} with 16 octet ICV [RFC5282]"),
        EncrId::AES_CBC => format!("AES-CBC-{bits} [RFC3602]"),
        other => format!("{other}"),
    }
}

fn esp_encryption(encr: EncrId) -> String {
    match encr {
        EncrId::AES_GCM_16 => String::from("AES-GCM with 16 octet ICV [RFC4106]"),
        EncrId::AES_CBC => String::from("AES-CBC [RFC3602]"),
        other => format!("{other}"),
    }
}

fn integrity(integ: IntegId, sha256: &str, none: &str) -> String {
    match integ {
        IntegId::NONE => String::from(none),
        IntegId::HMAC_SHA2_256_128 => String::from(sha256),
        other => format!("{other}"),
    }
}

fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().saturating_mul(2));
    for octet in octets {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}
