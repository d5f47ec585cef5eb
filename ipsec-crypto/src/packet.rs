//! Where the parts of a packet lie, and what stands for them in the integrity check (RFC 4303 §2,
//! RFC 7296 §3.14).

use crate::cipher::{CipherError, PacketNumber};

/// The lengths that a cipher gives to a packet, in octets.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) iv_len: usize,
    pub(crate) icv_len: usize,
    pub(crate) block_len: usize,
}

/// A packet cut into its parts.
pub(crate) struct Parts<'a> {
    pub(crate) header: &'a [u8],
    pub(crate) iv: &'a mut [u8],
    pub(crate) text: &'a mut [u8],
    pub(crate) icv: &'a mut [u8],
}

impl Shape {
    /// Cuts the ICV off `packet` and leaves header, IV and text together. An error leaves the packet as it
    /// is.
    #[inline]
    pub(crate) fn cut_icv(
        self,
        header_len: usize,
        packet: &mut [u8],
    ) -> Result<(&mut [u8], &mut [u8]), CipherError> {
        let error = CipherError::PacketLength { got: packet.len() };
        // More than any packet has, and less than any cipher here can do under one nonce.
        if u32::try_from(packet.len()).is_err() {
            return Err(error);
        }
        let icv_at = packet.len().checked_sub(self.icv_len).ok_or(error)?;
        let text_at = header_len.checked_add(self.iv_len).ok_or(error)?;
        let text_len = icv_at.checked_sub(text_at).ok_or(error)?;
        if !text_len.is_multiple_of(self.block_len) {
            return Err(error);
        }
        packet.split_at_mut_checked(icv_at).ok_or(error)
    }

    /// Cuts `packet` into all its parts. An error leaves it as it is.
    #[inline]
    pub(crate) fn cut(self, header_len: usize, packet: &mut [u8]) -> Result<Parts<'_>, CipherError> {
        let error = CipherError::PacketLength { got: packet.len() };
        let (rest, icv) = self.cut_icv(header_len, packet)?;
        let (header, rest) = rest.split_at_mut_checked(header_len).ok_or(error)?;
        let (iv, text) = rest.split_at_mut_checked(self.iv_len).ok_or(error)?;
        Ok(Parts { header, iv, text, icv })
    }
}

/// The high half of a sequence number as it enters an integrity check (RFC 4303 §2.2.1).
pub(crate) const fn high_half(number: PacketNumber) -> [u8; 4] {
    let [a, b, c, d, ..] = number.value.to_be_bytes();
    [a, b, c, d]
}

/// Refuses a number with an implied high half where the header is not ESP's eight octets.
pub(crate) fn esn_header(header: &[u8]) -> Result<&[u8; 8], CipherError> {
    header.try_into().map_err(|_| CipherError::EsnHeaderLength { got: header.len() })
}
