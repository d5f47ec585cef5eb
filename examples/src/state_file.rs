//! Sealed containers in a file, for a process that takes the place of another: each behind its length in four octets.
//!
//! What is inside is the containers' own to protect; the file is readable by its owner alone all the same.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Writes containers to a file that appears whole or not at all.
///
/// # Errors
/// The file can't be written.
pub fn write(path: &Path, containers: &[Vec<u8>]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    for container in containers {
        let length = u32::try_from(container.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        file.write_all(&length.to_be_bytes())?;
        file.write_all(container)?;
    }
    file.sync_all()?;
    fs::rename(part, path)
}

/// Takes the containers out of a file, which is gone then: none of them is to be used twice. Also tells how old it is.
/// `None` where there is no such file.
///
/// # Errors
/// The file can't be read or removed, or ends in the middle of a container.
pub fn take(path: &Path) -> io::Result<Option<(Vec<Vec<u8>>, Duration)>> {
    let octets = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let written = fs::metadata(path)?.modified()?;
    fs::remove_file(path)?;
    // A wall clock that went back in between tells nothing.
    let age = SystemTime::now().duration_since(written).unwrap_or_default();
    let containers = split(&octets).ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Some((containers, age)))
}

fn split(mut octets: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut containers = Vec::new();
    while !octets.is_empty() {
        let (length, rest) = octets.split_first_chunk::<4>()?;
        let (container, rest) = rest.split_at_checked(u32::from_be_bytes(*length).try_into().ok()?)?;
        containers.push(container.to_vec());
        octets = rest;
    }
    Some(containers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_taken_once() {
        let folder = std::env::temp_dir().join(format!("state-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("state");
        assert!(take(&path).unwrap().is_none());
        let containers = vec![b"one".to_vec(), Vec::new(), vec![7; 70_000]];
        write(&path, &containers).unwrap();
        let (taken, age) = take(&path).unwrap().unwrap();
        assert!(age < Duration::from_secs(3_600));
        assert_eq!(taken, containers);
        assert!(take(&path).unwrap().is_none());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_ends_early_has_nothing() {
        let whole = [0, 0, 0, 2, 8, 9, 0, 0, 0, 1, 7];
        assert_eq!(split(&whole).unwrap(), [vec![8, 9], vec![7]]);
        for len in (1..whole.len()).filter(|len| *len != 6) {
            assert_eq!(split(&whole[..len]), None, "{len}");
        }
        assert_eq!(split(&[255, 255, 255, 255, 0]), None);
    }
}
