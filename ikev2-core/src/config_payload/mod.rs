//! The configuration that a peer far away gets with its IKE SA: an inner address, name servers, what is behind the
//! gateway (RFC 7296 §2.19, §3.15; split DNS, RFC 8598).
//!
//! Attributes are kept as they came: those that are known here can be read by [`Configuration`]'s methods, all others,
//! the 3GPP's and private ones too, pass through.
//!
//! | module | what it does |
//! |---|---|
//! | here | attributes, what an initiator asks for, what it gets |
//! | [`pool`] | where a responder takes addresses from |

pub mod pool;

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str;
use ikev2_wire::codes::{CfgAttribute, CfgType};
use ikev2_wire::{CpAttribute, CpPayload, EncodeError};
use ipsec_types::AddressRange;

/// One attribute, with its value as it is on the wire. An empty value asks for one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ConfigAttribute {
    /// The type.
    pub ty: CfgAttribute,
    /// The value; its form is the type's.
    pub value: Vec<u8>,
}

impl ConfigAttribute {
    /// An attribute with this value.
    #[must_use]
    pub fn new(ty: CfgAttribute, value: impl Into<Vec<u8>>) -> Self {
        Self { ty, value: value.into() }
    }

    /// Asks for a value of this type.
    #[must_use]
    pub fn ask(ty: CfgAttribute) -> Self {
        Self::new(ty, [])
    }

    /// INTERNAL_IP4_ADDRESS, or INTERNAL_IP6_ADDRESS with a prefix length of 128.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::new(CfgAttribute::INTERNAL_IP4_ADDRESS, v4.octets()),
            IpAddr::V6(v6) => {
                let mut value = v6.octets().to_vec();
                value.push(128);
                Self::new(CfgAttribute::INTERNAL_IP6_ADDRESS, value)
            }
        }
    }

    /// INTERNAL_IP4_DNS or INTERNAL_IP6_DNS.
    #[must_use]
    pub fn dns(server: IpAddr) -> Self {
        match server {
            IpAddr::V4(v4) => Self::new(CfgAttribute::INTERNAL_IP4_DNS, v4.octets()),
            IpAddr::V6(v6) => Self::new(CfgAttribute::INTERNAL_IP6_DNS, v6.octets()),
        }
    }

    /// INTERNAL_IP4_SUBNET or INTERNAL_IP6_SUBNET; `None` where the range is no prefix.
    #[must_use]
    pub fn subnet(range: AddressRange) -> Option<Self> {
        let length = range.prefix_len()?;
        Some(match range.start() {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length.into())).unwrap_or_default();
                let value = [v4.octets(), mask.to_be_bytes()].concat();
                Self::new(CfgAttribute::INTERNAL_IP4_SUBNET, value)
            }
            IpAddr::V6(v6) => {
                let mut value = v6.octets().to_vec();
                value.push(length);
                Self::new(CfgAttribute::INTERNAL_IP6_SUBNET, value)
            }
        })
    }

    /// INTERNAL_DNS_DOMAIN: a domain that the inner name servers know (RFC 8598 §4.1), as text without a dot at its end.
    #[must_use]
    pub fn dns_domain(domain: &str) -> Self {
        Self::new(CfgAttribute::INTERNAL_DNS_DOMAIN, domain.as_bytes())
    }

    fn wire(&self) -> CpAttribute<'_> {
        CpAttribute::new(self.ty, &self.value)
    }
}

/// What an initiator asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ConfigRequest {
    /// Inner addresses: the unspecified one of a version of IP for any, another one where that would be welcome. Where the
    /// IKE SA takes the place of another one, that one's are asked for instead.
    pub addresses: Vec<IpAddr>,
    /// Whatever else is wanted, INTERNAL_IP4_DNS for example; without a value as a rule.
    pub attributes: Vec<ConfigAttribute>,
    /// Whether a Child SA is of no use without an inner address: then it fails where none is given.
    pub required: bool,
}

impl ConfigRequest {
    /// Any address of these versions of IP, and the name servers that go with them.
    #[must_use]
    pub fn any(ipv4: bool, ipv6: bool) -> Self {
        let mut request = Self { required: true, ..Self::default() };
        if ipv4 {
            request.addresses.push(Ipv4Addr::UNSPECIFIED.into());
            request.attributes.push(ConfigAttribute::ask(CfgAttribute::INTERNAL_IP4_DNS));
        }
        if ipv6 {
            request.addresses.push(Ipv6Addr::UNSPECIFIED.into());
            request.attributes.push(ConfigAttribute::ask(CfgAttribute::INTERNAL_IP6_DNS));
        }
        request
    }

    /// CFG_REQUEST, with these addresses in place of its own where there are any.
    pub(crate) fn payload(&self, held: &[IpAddr]) -> Result<CpPayload<'static>, EncodeError> {
        let addresses = if held.is_empty() { &self.addresses } else { held };
        let mut all: Vec<_> = addresses.iter().map(|address| asked(*address)).collect();
        all.extend(self.attributes.iter().cloned());
        let all: Vec<_> = all.iter().map(ConfigAttribute::wire).collect();
        CpPayload::build(CfgType::REQUEST, &all)
    }
}

fn asked(address: IpAddr) -> ConfigAttribute {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => ConfigAttribute::ask(CfgAttribute::INTERNAL_IP4_ADDRESS),
        IpAddr::V6(v6) if v6.is_unspecified() => ConfigAttribute::ask(CfgAttribute::INTERNAL_IP6_ADDRESS),
        address => ConfigAttribute::address(address),
    }
}

/// A trust anchor of a domain (INTERNAL_DNSSEC_TA, RFC 8598 §4.2). Whether it is believed is the embedder's policy.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TrustAnchor {
    /// The key tag of the DNSKEY.
    pub key_tag: u16,
    /// Its algorithm.
    pub algorithm: u8,
    /// How the digest was made.
    pub digest_type: u8,
    /// The digest.
    pub digest: Vec<u8>,
}

/// A domain that the inner name servers know.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DnsDomain {
    /// Its name, as text.
    pub name: String,
    /// Its trust anchors.
    pub trust_anchors: Vec<TrustAnchor>,
}

/// What was given: the attributes of a CFG_REPLY, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Configuration {
    /// All of them.
    pub attributes: Vec<ConfigAttribute>,
}

impl Configuration {
    /// These attributes.
    #[must_use]
    pub fn new(attributes: Vec<ConfigAttribute>) -> Self {
        Self { attributes }
    }

    /// What a payload holds, up to so many octets: attributes whose length is wrong for their type are left out, and what
    /// comes after the bound.
    pub(crate) fn read(payload: &CpPayload<'_>, most: usize) -> Self {
        let mut left = most;
        let mut attributes = Vec::new();
        for attribute in payload.attributes().filter(CpAttribute::has_allowed_length) {
            // Type and length count as well, so that empty ones have a bound.
            let Some(rest) = left.checked_sub(attribute.value.len().saturating_add(4)) else { break };
            left = rest;
            attributes.push(ConfigAttribute::new(attribute.ty, attribute.value));
        }
        attributes.shrink_to_fit();
        Self { attributes }
    }

    /// CFG_REPLY.
    pub(crate) fn payload(&self, ty: CfgType) -> Result<CpPayload<'static>, EncodeError> {
        let all: Vec<_> = self.attributes.iter().map(ConfigAttribute::wire).collect();
        CpPayload::build(ty, &all)
    }

    fn of(&self, types: [CfgAttribute; 2]) -> impl Iterator<Item = IpAddr> + '_ {
        let found = self.attributes.iter().filter(move |attribute| types.contains(&attribute.ty));
        found.filter_map(|attribute| attribute.wire().address().map(|(address, _)| address))
    }

    /// The inner addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.of([CfgAttribute::INTERNAL_IP4_ADDRESS, CfgAttribute::INTERNAL_IP6_ADDRESS])
    }

    /// The name servers.
    pub fn dns(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.of([CfgAttribute::INTERNAL_IP4_DNS, CfgAttribute::INTERNAL_IP6_DNS])
    }

    /// The proxies of the IP multimedia subsystem (3GPP, RFC 7651).
    pub fn p_cscf(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.of([CfgAttribute::P_CSCF_IP4_ADDRESS, CfgAttribute::P_CSCF_IP6_ADDRESS])
    }

    /// What is reached through the peer, as it says (INTERNAL_IP4_SUBNET, INTERNAL_IP6_SUBNET). The traffic selectors
    /// decide.
    pub fn subnets(&self) -> impl Iterator<Item = AddressRange> + '_ {
        self.attributes.iter().filter_map(|attribute| {
            let wire = attribute.wire();
            match wire.subnet4() {
                Some((address, mask)) => {
                    let mask = u32::from(mask);
                    let length = mask.leading_ones();
                    let is_prefix = mask.checked_shl(length).unwrap_or_default() == 0;
                    let prefix = u8::try_from(length).ok().filter(|_| is_prefix)?;
                    AddressRange::prefix(address.into(), prefix).ok()
                }
                None if attribute.ty == CfgAttribute::INTERNAL_IP6_SUBNET => {
                    let (address, prefix) = wire.address()?;
                    AddressRange::prefix(address, prefix?).ok()
                }
                None => None,
            }
        })
    }

    /// The values of an attribute of any type.
    pub fn values(&self, ty: CfgAttribute) -> impl Iterator<Item = &[u8]> {
        let found = self.attributes.iter().filter(move |attribute| attribute.ty == ty);
        found.map(|attribute| &attribute.value[..]).filter(|value| !value.is_empty())
    }

    /// The domains of the inner name servers, each with its trust anchors: those that stand after it (RFC 8598 §4.2). Names
    /// that are no text, and anchors before any domain, are left out.
    #[must_use]
    pub fn dns_domains(&self) -> Vec<DnsDomain> {
        let mut domains: Vec<DnsDomain> = Vec::new();
        for attribute in &self.attributes {
            match attribute.ty {
                CfgAttribute::INTERNAL_DNS_DOMAIN => {
                    if let Some(name) = domain_name(&attribute.value) {
                        domains.push(DnsDomain { name: name.into(), trust_anchors: Vec::new() });
                    }
                }
                CfgAttribute::INTERNAL_DNSSEC_TA => {
                    if let (Some(anchor), Some(domain)) = (anchor(&attribute.value), domains.last_mut()) {
                        domain.trust_anchors.push(anchor);
                    }
                }
                _ => {}
            }
        }
        domains
    }

    /// Leaves out what was not asked for and must not be given then: split DNS (RFC 8598 §3.2).
    pub(crate) fn restrict_to(&mut self, asked: &Self) {
        let split = [CfgAttribute::INTERNAL_DNS_DOMAIN, CfgAttribute::INTERNAL_DNSSEC_TA];
        let is_asked = |ty| asked.attributes.iter().any(|attribute| attribute.ty == ty);
        self.attributes.retain(|attribute| !split.contains(&attribute.ty) || is_asked(attribute.ty));
    }
}

/// A domain in presentation format: printable, without a NUL.
fn domain_name(value: &[u8]) -> Option<&str> {
    let name = str::from_utf8(value).ok()?;
    let fits = (1..=255).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_graphic());
    fits.then_some(name)
}

fn anchor(value: &[u8]) -> Option<TrustAnchor> {
    let ([tag_high, tag_low, algorithm, digest_type], digest) = value.split_first_chunk::<4>()?;
    let key_tag = u16::from_be_bytes([*tag_high, *tag_low]);
    (!digest.is_empty()).then(|| TrustAnchor {
        key_tag,
        algorithm: *algorithm,
        digest_type: *digest_type,
        digest: digest.to_vec(),
    })
}
