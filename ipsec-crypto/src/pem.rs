//! PEM text (RFC 7468), for public and private keys alike.

use alloc::vec::Vec;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// The label and the octets of the first block whose label is wanted. What stands before and between blocks
/// is skipped, as are blocks with another label, for example the EC PARAMETERS before an EC PRIVATE KEY.
pub(crate) fn first(text: &str, wanted: impl Fn(&str) -> bool) -> Option<(&str, Zeroizing<Vec<u8>>)> {
    let mut rest = text;
    loop {
        rest = rest.get(rest.find(BEGIN)?..)?;
        let label = rest.get(BEGIN.len()..)?.split_once("-----")?.0;
        let end = rest.find(END)?;
        let line = rest.get(end..)?.split_inclusive('\n').next()?;
        let after = end.checked_add(line.len())?;
        if wanted(label) {
            let (_, octets) = der::pem::decode_vec(rest.get(..after)?.as_bytes()).ok()?;
            return Some((label, Zeroizing::new(octets)));
        }
        rest = rest.get(after..)?;
    }
}
