//! Distinguished names compared as RFC 5280 §7.1 has it: text without regard to case and to how much white space
//! stands between words, everything else octet for octet.

use alloc::string::String;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::{Tag, Tagged};
use x509_cert::name::{Name, RelativeDistinguishedName};

/// Whether both names are the same.
pub(super) fn is_same(one: &Name, other: &Name) -> bool {
    one.len() == other.len() && one.iter_rdn().zip(other.iter_rdn()).all(|(one, other)| same_rdn(one, other))
}

/// Sets of the same attributes, in whatever order the different spellings put them.
fn same_rdn(one: &RelativeDistinguishedName, other: &RelativeDistinguishedName) -> bool {
    let contains =
        |set: &RelativeDistinguishedName, wanted| set.iter().any(|found| same_attribute(found, wanted));
    one.len() == other.len()
        && one.iter().all(|wanted| contains(other, wanted))
        && other.iter().all(|wanted| contains(one, wanted))
}

fn same_attribute(one: &AttributeTypeAndValue, other: &AttributeTypeAndValue) -> bool {
    let same_value = || match (folded(one), folded(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one.value == other.value,
    };
    one.oid == other.oid && same_value()
}

/// The text of a value in lower case, one space between words and none around them; `None` for what is no text.
fn folded(attribute: &AttributeTypeAndValue) -> Option<String> {
    let text = match attribute.value.tag() {
        Tag::PrintableString | Tag::Utf8String | Tag::Ia5String => {
            core::str::from_utf8(attribute.value.value()).ok()?
        }
        _ => return None,
    };
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.extend(word.chars().flat_map(char::to_lowercase));
    }
    Some(folded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::str::FromStr;

    fn same(one: &str, other: &str) -> bool {
        is_same(&Name::from_str(one).unwrap(), &Name::from_str(other).unwrap())
    }

    #[test]
    fn case_and_spaces_do_not_matter_and_order_does() {
        assert!(same("CN=A  Name,O=Example", "CN=a name,O=EXAMPLE"));
        assert!(same("CN= a name ,O=Example", "CN=a name,O=Example"));
        assert!(!same("CN=a name,O=Example", "O=Example,CN=a name"));
        assert!(!same("CN=aname", "CN=a name"));
        assert!(!same("CN=a,O=Example", "CN=a"));
        assert!(!same("CN=a", "OU=a"));
    }

    #[test]
    fn attributes_of_one_level_are_a_set() {
        assert!(same("CN=a+OU=b,O=Example", "OU=B+CN=A,O=Example"));
        assert!(!same("CN=a+OU=b", "CN=a"));
        assert!(!same("CN=a+OU=b", "CN=a+OU=c"));
    }
}
