//! PEM text (RFC 7468), for public and private keys alike.

use alloc::vec::Vec;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// The label and the octets of the first block whose label is wanted. What stands before and between blocks
/// is skipped, as are blocks with another label, for example the EC PARAMETERS before an EC PRIVATE KEY.
pub(crate) fn first(text: &str, wanted: impl Fn(&str) -> bool) -> Option<(&str, Zeroizing<Vec<u8>>)> {
    let (label, block) = blocks(text).find(|(label, _)| wanted(label))?;
    Some((label, decode(block)?))
}

/// The octets of every block with this label; `None` where one of them is malformed.
pub(crate) fn all(text: &str, wanted: &str) -> Option<Vec<Zeroizing<Vec<u8>>>> {
    blocks(text).filter(|(label, _)| *label == wanted).map(|(_, block)| decode(block)).collect()
}

/// The blocks, each with its label and its end.
fn blocks(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    core::iter::from_fn(move || {
        rest = rest.get(rest.find(BEGIN)?..)?;
        let label = rest.get(BEGIN.len()..)?.split_once("-----")?.0;
        let end = rest.find(END).unwrap_or(rest.len());
        let line = rest.get(end..)?.split_inclusive('\n').next().unwrap_or_default();
        let (block, after) = rest.split_at_checked(end.checked_add(line.len())?)?;
        rest = after;
        Some((label, block))
    })
}

fn decode(block: &str) -> Option<Zeroizing<Vec<u8>>> {
    der::pem::decode_vec(block.as_bytes()).ok().map(|(_, octets)| Zeroizing::new(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN A-----\nAQID\n-----END A-----\n";
    const TWO: &str = "-----BEGIN B-----\nBAU=\n-----END B-----";

    fn octets(found: Option<Vec<Zeroizing<Vec<u8>>>>) -> Option<Vec<Vec<u8>>> {
        found.map(|found| found.iter().map(|octets| octets.to_vec()).collect())
    }

    #[test]
    fn blocks_of_other_labels_and_text_between_are_skipped() {
        let text = ["text\n", ONE, "text\n", TWO, "\n", ONE].concat();
        assert_eq!(
            first(&text, |label| label == "B").map(|(_, octets)| octets.to_vec()),
            Some([4, 5].to_vec())
        );
        assert_eq!(octets(all(&text, "A")), Some([[1, 2, 3].to_vec(), [1, 2, 3].to_vec()].to_vec()));
        assert_eq!(octets(all(&text, "C")), Some(Vec::new()));
        assert!(first(&text, |label| label == "C").is_none());
    }

    /// None is left out without a word.
    #[test]
    fn a_malformed_block_is_told() {
        for broken in ["-----BEGIN A-----\nAQ!D\n-----END A-----\n", "-----BEGIN A-----\nAQID\n"] {
            assert_eq!(octets(all(&[ONE, broken].concat(), "A")), None, "{broken}");
            assert_eq!(octets(all(&[broken, ONE].concat(), "A")), None, "{broken}");
        }
    }
}
