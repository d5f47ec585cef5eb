//! The ESP packet (RFC 4303 §2): its sizes, its header and its trailer. Nothing here knows a cipher.
//!
//! ```text
//! | SPI | sequence number | IV | payload | TFC padding | padding | pad length | next header | ICV |
//! |      header: 8        |    | text: encrypted                                            |     |
//! ```

use ipsec_crypto::PacketCipher;
use thiserror::Error;

/// Octets of SPI and sequence number.
pub const ESP_HEADER: usize = 8;
/// The IP protocol of ESP.
pub const PROTOCOL_ESP: u8 = 50;
/// Next Header of a dummy packet (RFC 4303 §2.6).
pub const NEXT_HEADER_DUMMY: u8 = 59;
/// Octets of pad length and next header.
pub(crate) const TRAILER: usize = 2;

/// What all padding looks like: 1, 2, 3, … (RFC 4303 §2.4). It has at most 255 octets.
fn padding_octets() -> impl Iterator<Item = u8> {
    (1u16..).map(|octet| octet as u8)
}

/// The sizes of one SA's packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    iv_len: usize,
    icv_len: usize,
    /// A power of two, so that no packet costs a division.
    block_len: usize,
}

impl Layout {
    /// The layout for a cipher.
    #[must_use]
    pub fn of(cipher: &dyn PacketCipher) -> Self {
        Self::new(cipher.iv_len(), cipher.icv_len(), cipher.block_len())
    }

    /// The layout for octets of IV, of ICV, and of a cipher's block: a power of two, to which it is rounded up (1 for
    /// ciphers without).
    #[must_use]
    pub const fn new(iv_len: usize, icv_len: usize, block_len: usize) -> Self {
        Self { iv_len, icv_len, block_len: block_len.next_power_of_two() }
    }

    /// What the text's length is a multiple of when we send: the cipher's block, and 4 (RFC 4303 §2.4).
    #[must_use]
    pub const fn alignment(&self) -> usize {
        if self.block_len < 4 { 4 } else { self.block_len }
    }

    /// Octets of the ICV.
    #[must_use]
    pub const fn icv_len(&self) -> usize {
        self.icv_len
    }

    /// Octets from the packet's start to the payload's.
    #[must_use]
    pub const fn payload_offset(&self) -> usize {
        ESP_HEADER + self.iv_len
    }

    /// Octets of padding for a payload of this many octets, TFC padding included.
    #[must_use]
    pub const fn padding(&self, payload: usize) -> usize {
        (payload + TRAILER).wrapping_neg() & (self.alignment() - 1)
    }

    /// Octets behind a payload of this many octets: padding, trailer and ICV.
    #[must_use]
    pub const fn behind(&self, payload: usize) -> usize {
        self.padding(payload) + TRAILER + self.icv_len
    }

    /// The most octets that there can be behind a payload.
    #[must_use]
    pub const fn max_behind(&self) -> usize {
        self.alignment() - 1 + TRAILER + self.icv_len
    }

    /// Octets of the text for a payload of this many octets: what the cipher processes.
    #[must_use]
    pub const fn text_len(&self, payload: usize) -> usize {
        payload + self.padding(payload) + TRAILER
    }

    /// Octets of the ESP packet for a payload of this many octets.
    #[must_use]
    pub const fn packet_len(&self, payload: usize) -> usize {
        self.payload_offset() + payload + self.behind(payload)
    }

    /// The largest payload whose ESP packet has at most `packet_len` octets; `None` where not even an empty
    /// one fits.
    #[must_use]
    pub const fn max_payload(&self, packet_len: usize) -> Option<usize> {
        let Some(text) = packet_len.checked_sub(self.payload_offset() + self.icv_len) else { return None };
        (text / self.alignment() * self.alignment()).checked_sub(TRAILER)
    }

    /// Octets of text in a received packet of `packet_len` octets.
    ///
    /// # Errors
    /// [`LayoutError`] where it is shorter than header, IV, trailer and ICV, or its text is no whole number of
    /// blocks.
    pub const fn text_of(&self, packet_len: usize) -> Result<usize, LayoutError> {
        // The next multiple of a power of two.
        let smallest = if TRAILER < self.block_len { self.block_len } else { TRAILER };
        let minimum = self.payload_offset() + smallest + self.icv_len;
        if packet_len < minimum {
            return Err(LayoutError::TooShort { got: packet_len, minimum });
        }
        let text = packet_len - self.payload_offset() - self.icv_len;
        if text & (self.block_len - 1) != 0 {
            return Err(LayoutError::PartialBlock { text, block: self.block_len });
        }
        Ok(text)
    }
}

/// Why a packet can't be one of an SA.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// It is shorter than header, IV, smallest text and ICV.
    #[error("{got} octets where the SA's packets have at least {minimum}")]
    TooShort {
        /// Octets there are.
        got: usize,
        /// Octets of the smallest packet.
        minimum: usize,
    },
    /// Its cipher text does not end with a block.
    #[error("{text} octets of cipher text are no whole number of {block}-octet blocks")]
    PartialBlock {
        /// Octets of cipher text.
        text: usize,
        /// Octets of a block.
        block: usize,
    },
}

/// The first eight octets of an ESP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EspHeader {
    /// The SPI, 0 included.
    pub spi: u32,
    /// The sequence number, or its low half.
    pub sequence_number: u32,
}

impl EspHeader {
    /// Reads the header; `None` where there are fewer than eight octets.
    #[must_use]
    pub const fn parse(packet: &[u8]) -> Option<Self> {
        match packet.first_chunk::<ESP_HEADER>() {
            Some(&[a, b, c, d, e, f, g, h]) => Some(Self {
                spi: u32::from_be_bytes([a, b, c, d]),
                sequence_number: u32::from_be_bytes([e, f, g, h]),
            }),
            None => None,
        }
    }

    /// The eight octets.
    #[must_use]
    pub const fn to_octets(self) -> [u8; ESP_HEADER] {
        let [a, b, c, d] = self.spi.to_be_bytes();
        let [e, f, g, h] = self.sequence_number.to_be_bytes();
        [a, b, c, d, e, f, g, h]
    }
}

/// Writes TFC padding (zero), padding, pad length and next header over `room`, of which `padding` octets are
/// padding.
#[inline]
pub(crate) fn write_trailer(room: &mut [u8], padding: u8, next_header: u8) {
    let Some((front, last)) = room.split_last_chunk_mut::<TRAILER>() else { return };
    *last = [padding, next_header];
    let tfc = front.len().saturating_sub(usize::from(padding));
    let (tfc, pad) = front.split_at_mut(tfc);
    if !tfc.is_empty() {
        tfc.fill(0);
    }
    for (octet, value) in pad.iter_mut().zip(padding_octets()) {
        *octet = value;
    }
}

/// What the end of a decrypted text says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Trailer {
    /// Octets of the payload with its TFC padding.
    pub(crate) payload_len: usize,
    /// The next header.
    pub(crate) next_header: u8,
}

/// Why the end of a decrypted text is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum TrailerError {
    /// The pad length is larger than the text (RFC 4303 §2.5).
    #[error("{padding} octets of padding in a text of {text}")]
    PadLength {
        /// The pad length field.
        padding: usize,
        /// Octets of text, trailer included.
        text: usize,
    },
    /// The padding is not 1, 2, 3, … (RFC 4303 §2.4).
    #[error("the padding is not 1, 2, 3, …")]
    PaddingContent,
}

/// Reads the trailer of a decrypted text; `check_content` says whether the padding's octets matter.
#[inline]
pub(crate) fn read_trailer(text: &[u8], check_content: bool) -> Result<Trailer, TrailerError> {
    let too_long = |padding| TrailerError::PadLength { padding, text: text.len() };
    let (front, &[padding, next_header]) = text.split_last_chunk::<TRAILER>().ok_or(too_long(0))?;
    let padding = usize::from(padding);
    let payload_len = front.len().checked_sub(padding).ok_or(too_long(padding))?;
    let pad = front.get(payload_len..).unwrap_or_default();
    if check_content && !pad.iter().zip(padding_octets()).all(|(octet, value)| *octet == value) {
        return Err(TrailerError::PaddingContent);
    }
    Ok(Trailer { payload_len, next_header })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const GCM: Layout = Layout::new(8, 16, 1);
    const CBC: Layout = Layout::new(16, 16, 16);

    /// RFC 4303 §2.4 with the sizes of RFC 9347 Appendix C: 54 octets of IPv4 tunnel overhead for AES-GCM.
    #[test]
    fn sizes_add_up() {
        assert_eq!(GCM.packet_len(1446) + 20, 1500);
        assert_eq!(GCM.max_payload(1480), Some(1446));
        for (layout, align) in [(GCM, 4), (CBC, 16)] {
            for payload in 0..2000 {
                assert_eq!((payload + layout.padding(payload) + 2) % align, 0);
                assert!(layout.padding(payload) < align && layout.behind(payload) <= layout.max_behind());
                assert_eq!(layout.text_of(layout.packet_len(payload)), Ok(layout.text_len(payload)));
                let largest = layout.max_payload(layout.packet_len(payload)).unwrap();
                assert!(largest >= payload && layout.packet_len(largest) == layout.packet_len(payload));
                assert!(layout.packet_len(largest + 1) > layout.packet_len(payload));
            }
        }
        assert_eq!(GCM.max_payload(8 + 8 + 16 + 3), None);
        assert_eq!(GCM.max_payload(8 + 8 + 16 + 4), Some(2));
        assert_eq!(GCM.max_payload(0), None);
    }

    #[test]
    fn smallest_packets() {
        assert_eq!(GCM.text_of(34), Ok(2));
        assert_eq!(GCM.text_of(33), Err(LayoutError::TooShort { got: 33, minimum: 34 }));
        assert_eq!(CBC.text_of(56), Ok(16));
        assert_eq!(CBC.text_of(55), Err(LayoutError::TooShort { got: 55, minimum: 56 }));
        assert_eq!(CBC.text_of(57), Err(LayoutError::PartialBlock { text: 17, block: 16 }));
    }

    #[test]
    fn trailers_are_written_and_read() {
        let mut text = vec![0xEE; 5 + 3 + 10 + 2];
        write_trailer(&mut text[5..], 10, 41);
        assert_eq!(text[5..], [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 41]);
        assert_eq!(read_trailer(&text, true), Ok(Trailer { payload_len: 8, next_header: 41 }));
        text[12] = 0;
        assert_eq!(read_trailer(&text, true), Err(TrailerError::PaddingContent));
        assert_eq!(read_trailer(&text, false), Ok(Trailer { payload_len: 8, next_header: 41 }));
        // Padding that is everything, and one more.
        text[18] = 18;
        assert_eq!(read_trailer(&text, false), Ok(Trailer { payload_len: 0, next_header: 41 }));
        text[18] = 19;
        assert_eq!(read_trailer(&text, false), Err(TrailerError::PadLength { padding: 19, text: 20 }));
        let mut longest = vec![0; 257];
        write_trailer(&mut longest, 255, 4);
        assert_eq!(read_trailer(&longest, true), Ok(Trailer { payload_len: 0, next_header: 4 }));
    }
}
