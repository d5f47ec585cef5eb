//! Policies for the peers that one meets most: what they offer, without what we hold for weak, in our order.
//!
//! | profile | source |
//! |---|---|
//! | [`Profile::Standard`] | RFC 8247 (September 2017) and RFC 8221 (October 2017), their tables |
//! | [`Profile::Windows`], [`Profile::WindowsDefault`] | strongSwan 6.0 documentation, "Windows Clients", on Windows 7 to 11; read November 2026 |
//! | [`Profile::Apple`] | Apple's documentation of `NEVPNIKEv2SecurityAssociationParameters` (iOS 14, macOS 11 and later); read November 2026 |
//! | [`Profile::Android`] | AOSP, `VpnIkev2Utils.java` at 13629c13 (Android 12) |
//! | [`Profile::StrongSwan`] | strongSwan, `proposal.c` at 00520b3a (6.0): what its app for Android offers too, unless its profile says otherwise |
//! | [`Profile::Gpp`], [`Profile::GppLegacy`] | TS 36.508 Release 17, table 4.7G-1: the IKE_SA_INIT request of a UE under test. The tables of TS 33.210 and TS 33.402 were not compared. |
//!
//! A peer's software changes, and its configuration is its owner's: a profile is a start, not a promise.

use super::proposal::{EspProposal, IkeProposal};
use alloc::vec::Vec;
use core::fmt;

/// A policy by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Profile {
    /// What RFC 8247 and RFC 8221 say MUST or SHOULD of for everybody: the defaults.
    Standard,
    /// Windows 10 and 11 after `Set-VpnConnectionIPsecConfiguration`, or with `NegotiateDH2048_AES256` set; the
    /// latter alone does not help ESP, which then has HMAC-SHA1-96 only.
    Windows,
    /// The same, and Windows as it comes: 1024-bit MODP, and HMAC-SHA1-96 in ESP. **Weak.**
    WindowsDefault,
    /// iOS 14, macOS 11 and later: AES-CBC-256, HMAC-SHA2-256 and the 2048-bit MODP group by default, and what a
    /// configuration profile can choose beside.
    Apple,
    /// Android's built-in client since Android 12. It has 32-bit sequence numbers and no key exchange in its Child
    /// SAs.
    Android,
    /// strongSwan's defaults, on which its app for Android stands.
    StrongSwan,
    /// An ePDG or a security gateway of 3GPP, without what is weak.
    Gpp,
    /// The same, with the HMAC-SHA1 of older UEs. **Weak.**
    GppLegacy,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Standard,
        Self::Windows,
        Self::WindowsDefault,
        Self::Apple,
        Self::Android,
        Self::StrongSwan,
        Self::Gpp,
        Self::GppLegacy,
    ];

    /// What it is called in configuration files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Windows => "windows",
            Self::WindowsDefault => "windows-default",
            Self::Apple => "apple",
            Self::Android => "android",
            Self::StrongSwan => "strongswan",
            Self::Gpp => "3gpp",
            Self::GppLegacy => "3gpp-legacy",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// Whether weak algorithms are in it.
    #[must_use]
    pub const fn is_weak(self) -> bool {
        matches!(self, Self::WindowsDefault | Self::GppLegacy)
    }

    /// The policy for IKE SAs.
    #[must_use]
    pub fn ike(self) -> Vec<IkeProposal> {
        match self.ike_texts() {
            [] => IkeProposal::defaults(),
            texts => texts.iter().filter_map(|text| text.parse().ok()).collect(),
        }
    }

    /// The policy for Child SAs.
    #[must_use]
    pub fn esp(self) -> Vec<EspProposal> {
        match self.esp_texts() {
            [] => EspProposal::defaults(),
            texts => texts.iter().filter_map(|text| text.parse().ok()).collect(),
        }
    }

    const fn ike_texts(self) -> &'static [&'static str] {
        match self {
            Self::Standard => &[],
            Self::Windows => &[
                "aes256gcm16-aes128gcm16-prfsha384-prfsha256-ecp384-ecp256-modp2048",
                "aes256-aes128-sha384-sha256-ecp384-ecp256-modp2048",
            ],
            Self::WindowsDefault => &[
                "aes256gcm16-aes128gcm16-prfsha384-prfsha256-ecp384-ecp256-modp2048-weak:modp1024",
                "aes256-aes128-sha384-sha256-ecp384-ecp256-modp2048-weak:modp1024",
            ],
            Self::Apple => &[
                "aes256gcm16-aes128gcm16-prfsha256-prfsha384-prfsha512-x25519-ecp256-ecp384-ecp521-modp2048",
                "aes256-aes128-sha256-sha384-sha512-x25519-ecp256-ecp384-ecp521-modp2048-modp3072-modp4096",
            ],
            Self::Android => &[
                "aes256gcm16-chacha20poly1305-aes128gcm16-prfsha512-prfsha384-prfsha256-x25519-modp2048-modp3072-modp4096",
                "aes256-aes128-aes256ctr-aes128ctr-sha512-sha384-sha256-x25519-modp2048-modp3072-modp4096",
            ],
            Self::StrongSwan => &[
                "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512-x25519-ecp256-ecp384-ecp521-modp3072-modp2048",
                "aes256-aes128-sha256-sha384-sha512-x25519-ecp256-ecp384-ecp521-modp3072-modp2048",
            ],
            Self::Gpp => &[
                "aes256gcm16-aes128gcm16-prfsha256-prfsha384-ecp256-ecp384-modp2048",
                "aes256-aes128-sha256-aesxcbc-prfsha256-prfsha384-prfaesxcbc-ecp256-ecp384-modp2048",
            ],
            Self::GppLegacy => &[
                "aes256gcm16-aes128gcm16-prfsha256-prfsha384-ecp256-ecp384-modp2048",
                "aes256-aes128-sha256-aesxcbc-weak:sha1-prfsha256-prfsha384-prfaesxcbc-weak:prfsha1-ecp256-ecp384-modp2048-weak:modp1024",
            ],
        }
    }

    const fn esp_texts(self) -> &'static [&'static str] {
        match self {
            Self::Standard => &[],
            Self::Windows => &[
                "aes256gcm16-aes128gcm16-ecp384-ecp256-modp2048-none",
                "aes256-aes128-sha256-ecp384-ecp256-modp2048-none",
            ],
            Self::WindowsDefault => &[
                "aes256gcm16-aes128gcm16-ecp384-ecp256-modp2048-none",
                "aes256-aes128-sha256-weak:sha1-ecp384-ecp256-modp2048-none",
            ],
            Self::Apple => &[
                "aes256gcm16-aes128gcm16-x25519-ecp256-ecp384-ecp521-modp2048-none",
                "aes256-aes128-sha512-sha384-sha256-x25519-ecp256-ecp384-ecp521-modp2048-none",
            ],
            Self::Android => &[
                "aes256gcm16-chacha20poly1305-aes128gcm16-noesn",
                "aes256-aes128-aes256ctr-aes128ctr-sha512-sha384-sha256-noesn",
            ],
            Self::StrongSwan => &[
                "aes256gcm16-aes128gcm16-chacha20poly1305-x25519-ecp256-ecp384-modp3072-none",
                "aes256-aes128-sha512-sha384-sha256-x25519-ecp256-ecp384-modp3072-none",
            ],
            Self::Gpp => &[
                "aes256gcm16-aes128gcm16-ecp256-ecp384-modp2048-none",
                "aes256-aes128-sha256-aesxcbc-ecp256-ecp384-modp2048-none",
            ],
            Self::GppLegacy => &[
                "aes256gcm16-aes128gcm16-ecp256-ecp384-modp2048-none",
                "aes256-aes128-sha256-aesxcbc-weak:sha1-ecp256-ecp384-modp2048-none",
            ],
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::negotiation::strength::strength;
    use ipsec_crypto::rustcrypto::RUSTCRYPTO;

    #[test]
    fn each_text_parses_and_each_profile_is_known_by_its_name() {
        for profile in Profile::ALL {
            assert_eq!(Profile::named(profile.name()), Some(profile));
            let (ike, esp) = (profile.ike(), profile.esp());
            assert!(ike.len() >= 2 && esp.len() >= 2, "{profile}");
            for text in profile.ike_texts() {
                let parsed = text.parse::<IkeProposal>().unwrap();
                assert!(ike.contains(&parsed), "{text}");
            }
            for text in profile.esp_texts() {
                let parsed = text.parse::<EspProposal>().unwrap();
                assert!(esp.contains(&parsed), "{text}");
            }
        }
        assert_eq!(Profile::named("Windows"), None);
    }

    #[test]
    fn only_those_that_say_so_are_weak() {
        for profile in Profile::ALL {
            let (ike, esp) = (profile.ike(), profile.esp());
            let mut all = ike.iter().flat_map(IkeProposal::transforms);
            let mut more = esp.iter().flat_map(EspProposal::transforms);
            let weak = |t: &ikev2_wire::Transform| strength(t).needs_opt_in();
            assert_eq!(all.any(weak) | more.any(weak), profile.is_weak(), "{profile}");
        }
    }

    /// The default provider has every algorithm but those that stand there for the opted-in alone.
    #[test]
    fn what_the_profiles_offer_can_be_done() {
        for profile in Profile::ALL.into_iter().filter(|profile| !profile.is_weak()) {
            for method in crate::negotiation::offered_ke(&crate::negotiation::offer_ike(&profile.ike(), None))
            {
                assert!(RUSTCRYPTO.key_exchange(method).is_some(), "{profile}: {method}");
            }
        }
    }
}
