//! Address ranges as the prefixes that routes are made of.

use ipsec_types::AddressRange;
use std::net::IpAddr;

/// The prefixes that make up a range. All addresses are two halves, so that the default route stays.
#[must_use]
pub fn prefixes(range: AddressRange) -> Vec<String> {
    let width = if range.is_ipv4() { 32 } else { 128 };
    let (mut at, last, mut found) = (bits(range.start()), bits(range.end()), Vec::new());
    loop {
        let end_of = |size: u32| at | ((1 << size) - 1);
        let most = at.trailing_zeros().min(width - 1);
        let size = (0..=most).rev().find(|size| end_of(*size) <= last).unwrap_or(0);
        let address = match u32::try_from(at) {
            Ok(v4) if range.is_ipv4() => IpAddr::V4(v4.into()),
            _ => IpAddr::V6(at.into()),
        };
        found.push(format!("{address}/{}", width - size));
        match end_of(size).checked_add(1).filter(|next| *next <= last) {
            Some(next) => at = next,
            None => return found,
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_become_prefixes() {
        let of = |first: &str, last: &str| {
            prefixes(AddressRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap())
        };
        assert_eq!(of("10.2.0.0", "10.2.0.255"), ["10.2.0.0/24"]);
        assert_eq!(of("10.2.0.1", "10.2.0.1"), ["10.2.0.1/32"]);
        assert_eq!(of("10.2.0.1", "10.2.0.4"), ["10.2.0.1/32", "10.2.0.2/31", "10.2.0.4/32"]);
        assert_eq!(of("255.255.255.254", "255.255.255.255"), ["255.255.255.254/31"]);
        assert_eq!(prefixes(AddressRange::ALL_V4), ["0.0.0.0/1", "128.0.0.0/1"]);
        assert_eq!(prefixes(AddressRange::ALL_V6), ["::/1", "8000::/1"]);
        assert_eq!(of("::2", "::4"), ["::2/127", "::4/128"]);
    }
}
