//! The key log as the two files that Wireshark looks for in its profile folder.

use ikev2_core::KeyLog;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// `ikev2_decryption_table` and `esp_sa` in a folder. Only their owner can read them.
#[derive(Debug)]
pub struct KeyFiles {
    ike: Mutex<File>,
    esp: Mutex<File>,
}

impl KeyFiles {
    /// Makes the folder and two empty files in it.
    ///
    /// # Errors
    /// The folder or a file can't be made.
    pub fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let create = |name| secret_file(&folder.join(name)).map(Mutex::new);
        Ok(Self { ike: create("ikev2_decryption_table")?, esp: create("esp_sa")? })
    }
}

fn secret_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn append(file: &Mutex<File>, line: &str) {
    // A full disk costs the key log, not the tunnel.
    let _ = writeln!(file.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
}

impl KeyLog for KeyFiles {
    fn ike(&self, line: &str) {
        append(&self.ike, line);
    }

    fn esp(&self, line: &str) {
        append(&self.esp, line);
    }
}
