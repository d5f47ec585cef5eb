//! Readers for recorded conversations and for the keys beside them. The tests of this package replay such
//! conversations: what other implementations sent must mean the same to the crates.
//!
//! The recordings, and the two formats, are described in `ikev2-core/tests/captures/README.md`.
//!
//! ```
//! use ipsec_conformance::{Carries, Label, open_recording, recordings};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     assert!(recordings()?.contains(&"psk-x25519".to_owned()));
//!     let (packets, keys) = open_recording("psk-x25519")?;
//!     let ike = packets.iter().filter(|packet| matches!(packet.carries, Carries::Ike(_))).count();
//!     let esp = packets.iter().filter(|packet| matches!(packet.carries, Carries::Esp(_))).count();
//!     assert_eq!((ike, esp), (6, 6));
//!     for sa in keys.ike_sas() {
//!         assert_eq!(sa.all(0, Label::SkD).count(), 1);
//!     }
//!     Ok(())
//! }
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod capture;
pub mod keys;

pub use capture::{CaptureError, Carries, Packet, read_capture};
pub use keys::{EspLine, IkeSaLines, KeyFile, KeyFileError, Label};

use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a recording cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// A file is not there, or cannot be read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The capture is broken.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The keys are broken.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
}

/// Where the recordings lie.
#[must_use]
pub fn recordings_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ikev2-core/tests/captures")
}

/// The names of all recordings, sorted.
///
/// # Errors
/// [`RecordingError::File`] where the folder cannot be read.
pub fn recordings() -> Result<Vec<String>, RecordingError> {
    let path = recordings_folder();
    let entries = std::fs::read_dir(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut names: Vec<String> = entries
        .map_err(|error| RecordingError::File { path, error })?
        .iter()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".pcap").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// The packets of a recording, and the keys beside it.
///
/// # Errors
/// Any [`RecordingError`].
pub fn open_recording(name: &str) -> Result<(Vec<Packet>, KeyFile), RecordingError> {
    let file = |extension: &str| {
        let path = recordings_folder().join(name).with_extension(extension);
        std::fs::read(&path).map_err(|error| RecordingError::File { path, error })
    };
    let packets = read_capture(&file("pcap")?)?;
    let keys = KeyFile::parse(&String::from_utf8_lossy(&file("keys")?))?;
    Ok((packets, keys))
}
