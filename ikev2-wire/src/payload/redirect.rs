//! The data of REDIRECT and REDIRECTED_FROM: the identity of a gateway (RFC 5685 §9).

use crate::codes::{GatewayIdType, NotifyType};
use crate::payload::NotifyPayload;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The identity of a gateway (RFC 5685 §9.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GatewayId<'a> {
    /// Its address.
    Address(IpAddr),
    /// Its domain name, in ASCII.
    Name(&'a str),
}

/// REDIRECT: to whom the initiator should go instead (RFC 5685 §9.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Redirect<'a> {
    /// The new gateway.
    pub gateway: GatewayId<'a>,
    /// The initiator's nonce, in IKE_SA_INIT; empty elsewhere.
    pub nonce: &'a [u8],
}

impl<'a> NotifyPayload<'a> {
    /// REDIRECT. `None` for other types, for identities of other kinds, and for those that their length or their octets
    /// contradict.
    #[must_use]
    pub fn redirect(&self) -> Option<Redirect<'a>> {
        if self.ty != NotifyType::REDIRECT {
            return None;
        }
        let (gateway, nonce) = gateway_id(self.data)?;
        Some(Redirect { gateway, nonce })
    }

    /// REDIRECTED_FROM: the address of the gateway that the initiator came from (RFC 5685 §9.3). `None` as for
    /// [`NotifyPayload::redirect`].
    #[must_use]
    pub fn redirected_from(&self) -> Option<IpAddr> {
        match gateway_id(self.data)? {
            (GatewayId::Address(address), []) if self.ty == NotifyType::REDIRECTED_FROM => Some(address),
            _ => None,
        }
    }
}

fn gateway_id(data: &[u8]) -> Option<(GatewayId<'_>, &[u8])> {
    let ([ty, length], rest) = data.split_first_chunk()?;
    let (identity, rest) = rest.split_at_checked(usize::from(*length))?;
    let gateway = match GatewayIdType(*ty) {
        GatewayIdType::IPV4 => GatewayId::Address(Ipv4Addr::from(<[u8; 4]>::try_from(identity).ok()?).into()),
        GatewayIdType::IPV6 => {
            GatewayId::Address(Ipv6Addr::from(<[u8; 16]>::try_from(identity).ok()?).into())
        }
        GatewayIdType::FQDN => GatewayId::Name(name(identity)?),
        _ => return None,
    };
    Some((gateway, rest))
}

/// As an identity of type ID_FQDN has it: without a terminator (RFC 7296 §3.5).
fn name(octets: &[u8]) -> Option<&str> {
    let printable = !octets.is_empty() && octets.iter().all(u8::is_ascii_graphic);
    core::str::from_utf8(octets).ok().filter(|_| printable)
}

/// The data of REDIRECTED_FROM (RFC 5685 §9.3).
#[must_use]
pub fn redirected_from(address: IpAddr) -> Vec<u8> {
    let mut data = Vec::with_capacity(18);
    match address {
        IpAddr::V4(address) => {
            data.extend_from_slice(&[GatewayIdType::IPV4.0, 4]);
            data.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            data.extend_from_slice(&[GatewayIdType::IPV6.0, 16]);
            data.extend_from_slice(&address.octets());
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn redirect(data: &[u8]) -> Option<Redirect<'_>> {
        NotifyPayload::new(NotifyType::REDIRECT, data).redirect()
    }

    /// Octets by hand from the figures of RFC 5685 §9.2 and §9.3.
    #[test]
    fn gateways_are_read_as_the_figures_have_them() {
        let v4 = GatewayId::Address("192.0.2.9".parse().unwrap());
        let nonce = [7; 16];
        let mut data = vec![1, 4, 192, 0, 2, 9];
        assert_eq!(redirect(&data), Some(Redirect { gateway: v4, nonce: &[] }));
        data.extend_from_slice(&nonce);
        assert_eq!(redirect(&data), Some(Redirect { gateway: v4, nonce: &nonce }));
        let mut data = vec![2, 16, 0x20, 0x01, 0x0d, 0xb8];
        data.extend_from_slice(&[0; 11]);
        data.push(9);
        let v6 = GatewayId::Address("2001:db8::9".parse().unwrap());
        assert_eq!(redirect(&data), Some(Redirect { gateway: v6, nonce: &[] }));
        let name = redirect(b"\x03\x0agw.example");
        assert_eq!(name, Some(Redirect { gateway: GatewayId::Name("gw.example"), nonce: &[] }));
        assert_eq!(redirected_from("192.0.2.9".parse().unwrap()), [1, 4, 192, 0, 2, 9]);
        let from = NotifyPayload::new(NotifyType::REDIRECTED_FROM, &[1, 4, 192, 0, 2, 9]).redirected_from();
        assert_eq!(from, Some("192.0.2.9".parse().unwrap()));
    }

    #[test]
    fn what_contradicts_itself_is_no_redirect() {
        for data in [
            &[][..],
            &[1],
            &[1, 4, 192, 0, 2],
            &[1, 16, 192, 0, 2, 9],
            &[1, 3, 192, 0, 2],
            &[2, 4, 192, 0, 2, 9],
            &[3, 0],
            b"\x03\x03a\0b",
            b"\x03\x03a\xffb",
            &[0, 4, 192, 0, 2, 9],
            &[4, 4, 192, 0, 2, 9],
        ] {
            assert_eq!(redirect(data), None, "{data:?}");
        }
        assert!(NotifyPayload::new(NotifyType::COOKIE, &[1, 4, 192, 0, 2, 9]).redirect().is_none());
    }
}
