//! Identities (RFC 7296 §3.5) as a configuration names them and as AUTH covers them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use ikev2_wire::codes::IdType;
use thiserror::Error;

/// The content of an ID payload.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// How to read [`Identity::data`].
    pub ty: IdType,
    /// The identification data, as on the wire.
    pub data: Vec<u8>,
}

/// A text that names no identity.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The text is empty.
    #[error("an identity cannot be empty")]
    Empty,
    /// A name of the DNS or of a mailbox is ASCII (§3.5).
    #[error("`{0}` is not ASCII")]
    NotAscii(String),
    /// What follows `dn:` is no distinguished name.
    #[error("`{0}` is no distinguished name")]
    NotAName(String),
    /// What follows `keyid:` is not an even number of hexadecimal digits.
    #[error("`{0}` is not hexadecimal")]
    NotHex(String),
}

impl Identity {
    /// ID_IPV4_ADDR or ID_IPV6_ADDR.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self { ty: IdType::IPV4_ADDR, data: v4.octets().to_vec() },
            IpAddr::V6(v6) => Self { ty: IdType::IPV6_ADDR, data: v6.octets().to_vec() },
        }
    }

    /// ID_FQDN, without any terminator.
    #[must_use]
    pub fn fqdn(name: &str) -> Self {
        Self { ty: IdType::FQDN, data: name.as_bytes().to_vec() }
    }

    /// ID_NULL: nobody (RFC 7619 §2.2).
    #[must_use]
    pub fn null() -> Self {
        Self { ty: IdType::NULL, data: Vec::new() }
    }

    /// ID_KEY_ID: opaque octets.
    #[must_use]
    pub fn key_id(octets: &[u8]) -> Self {
        Self { ty: IdType::KEY_ID, data: octets.to_vec() }
    }

    /// The body of an ID payload: type, three RESERVED octets, data (§3.5).
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.data.len().saturating_add(4));
        body.extend_from_slice(&[self.ty.0, 0, 0, 0]);
        body.extend_from_slice(&self.data);
        body
    }

    /// Whether both name the same: names of the DNS and of mailboxes without regard to case, everything else
    /// octet for octet.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.ty == other.ty
            && match self.ty {
                IdType::FQDN | IdType::RFC822_ADDR => self.data.eq_ignore_ascii_case(&other.data),
                _ => self.data == other.data,
            }
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    /// An address, `keyid:` and hexadecimal digits, `dn:` and a distinguished name (RFC 4514, with the feature `x509`),
    /// `null:` for nobody, `@` and a name, a mailbox, or a name.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if text == "null:" {
            return Ok(Self::null());
        }
        #[cfg(feature = "x509")]
        if let Some(name) = text.strip_prefix("dn:") {
            let found = crate::cert::x509::distinguished_name(name);
            return found.ok_or_else(|| IdentityError::NotAName(name.to_string()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::address(address));
        }
        if let Some(hex) = text.strip_prefix("keyid:") {
            return decode_hex(hex)
                .map(|data| Self { ty: IdType::KEY_ID, data })
                .ok_or_else(|| IdentityError::NotHex(hex.to_string()));
        }
        let name = text.strip_prefix('@').unwrap_or(text);
        if name.is_empty() {
            return Err(IdentityError::Empty);
        }
        if !name.is_ascii() {
            return Err(IdentityError::NotAscii(name.to_string()));
        }
        let ty = if name.contains('@') { IdType::RFC822_ADDR } else { IdType::FQDN };
        Ok(Self { ty, data: name.as_bytes().to_vec() })
    }
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "x509")]
        if let Some(name) =
            crate::cert::x509::name_text(&self.data).filter(|_| self.ty == IdType::DER_ASN1_DN)
        {
            return f.write_str(&name);
        }
        let printable = |data: &[u8]| !data.is_empty() && data.iter().all(u8::is_ascii_graphic);
        match (self.ty, self.data.as_slice()) {
            (IdType::IPV4_ADDR, &[a, b, c, d]) => write!(f, "{a}.{b}.{c}.{d}"),
            (IdType::IPV6_ADDR, data) if data.len() == 16 => {
                let octets: [u8; 16] = data.try_into().unwrap_or_default();
                write!(f, "{}", IpAddr::from(octets))
            }
            (IdType::FQDN | IdType::RFC822_ADDR, data) if printable(data) => {
                f.write_str(core::str::from_utf8(data).unwrap_or_default())
            }
            (IdType::NULL, []) => f.write_str("nobody"),
            (ty, data) => {
                write!(f, "{ty}:")?;
                data.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which identities of a peer a connection takes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum IdentityPattern {
    /// Whoever authenticates.
    Any,
    /// Those of this type that end so: names below a domain, mailboxes in it.
    Ending(Identity),
    /// This one alone.
    Exactly(Identity),
}

impl IdentityPattern {
    /// Whether the identity is one of them.
    #[must_use]
    pub fn matches(&self, identity: &Identity) -> bool {
        match self {
            Self::Any => true,
            Self::Ending(end) => {
                let longer = identity.data.len().checked_sub(end.data.len()).filter(|at| *at > 0);
                let tail = longer.and_then(|at| identity.data.get(at..));
                identity.ty == end.ty && tail.is_some_and(|tail| tail.eq_ignore_ascii_case(&end.data))
            }
            Self::Exactly(expected) => expected.is_same(identity),
        }
    }

    /// How many others it takes besides: of several that fit, the least loose is meant.
    #[must_use]
    pub fn looseness(&self) -> usize {
        match self {
            Self::Exactly(_) => 0,
            Self::Ending(end) => usize::MAX.saturating_sub(1).saturating_sub(end.data.len()),
            Self::Any => usize::MAX,
        }
    }
}

impl FromStr for IdentityPattern {
    type Err = IdentityError;

    /// `*` for anyone, `*.domain` for names below a domain, `*@domain` for mailboxes in it, or an identity.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        match text.strip_prefix('*') {
            Some("") => Ok(Self::Any),
            Some(end) if !end.is_ascii() => Err(IdentityError::NotAscii(end.to_string())),
            Some(end) => {
                let ty = if end.contains('@') { IdType::RFC822_ADDR } else { IdType::FQDN };
                Ok(Self::Ending(Identity { ty, data: end.as_bytes().to_vec() }))
            }
            None => text.parse().map(Self::Exactly),
        }
    }
}

impl fmt::Display for IdentityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anyone"),
            Self::Ending(end) => write!(f, "*{end}"),
            Self::Exactly(identity) => fmt::Display::fmt(identity, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_the_types_of_section_3_5() {
        for (text, ty, data) in [
            ("10.9.0.1", IdType::IPV4_ADDR, &[10, 9, 0, 1][..]),
            ("@a.example", IdType::FQDN, b"a.example"),
            ("a.example", IdType::FQDN, b"a.example"),
            ("carol@a.example", IdType::RFC822_ADDR, b"carol@a.example"),
            ("keyid:00fF", IdType::KEY_ID, &[0, 0xFF]),
        ] {
            assert_eq!(text.parse(), Ok(Identity { ty, data: data.to_vec() }), "{text}");
        }
        assert_eq!("fd09::1".parse::<Identity>().unwrap().data.len(), 16);
        assert_eq!("@".parse::<Identity>(), Err(IdentityError::Empty));
        assert_eq!("keyid:0".parse::<Identity>(), Err(IdentityError::NotHex("0".into())));
        assert_eq!("bücher".parse::<Identity>(), Err(IdentityError::NotAscii("bücher".into())));
    }

    #[test]
    fn display_hides_no_octet_that_is_not_printable() {
        let odd = Identity { ty: IdType::FQDN, data: b"a\0b".to_vec() };
        assert!(odd.to_string().ends_with(":610062"));
        let short = Identity { ty: IdType::IPV4_ADDR, data: [1, 2].to_vec() };
        assert!(short.to_string().ends_with(":0102"));
    }

    #[test]
    fn patterns_take_what_their_text_says() {
        let takes = |pattern: &str, identity: &str| {
            pattern.parse::<IdentityPattern>().unwrap().matches(&identity.parse().unwrap())
        };
        assert!(takes("*", "10.0.0.1") && takes("a.example", "A.example"));
        assert!(takes("*.a.example", "x.A.example") && takes("*.a.example", "x.y.a.example"));
        assert!(!takes("*.a.example", "a.example") && !takes("*.a.example", "xa.example"));
        assert!(!takes("*.a.example", ".a.example") && !takes("*.a.example", "carol@x.a.example"));
        assert!(takes("*@a.example", "carol@a.example") && !takes("*@a.example", "carol@b.example"));
        let loose = |pattern: &str| pattern.parse::<IdentityPattern>().unwrap().looseness();
        assert!(loose("a.example") < loose("*.a.example") && loose("*.a.example") < loose("*.example"));
        assert!(loose("*.example") < loose("*"));
    }

    #[test]
    fn names_are_compared_without_case_and_keys_with_it() {
        assert!(Identity::fqdn("A.example").is_same(&Identity::fqdn("a.EXAMPLE")));
        assert!(!Identity::key_id(b"a").is_same(&Identity::key_id(b"A")));
    }
}
