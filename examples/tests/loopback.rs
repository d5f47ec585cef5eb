//! The whole of `loopback`, over real sockets: what it tells, what it counts, and what it writes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use ipsec_examples::log::Log;
use ipsec_examples::loopback::{self, Suites, Summary};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl Write for Told {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run(folder: Option<&Path>) -> (Summary, String) {
    run_with(folder, Suites::Classic)
}

fn run_with(folder: Option<&Path>, suites: Suites) -> (Summary, String) {
    let told = Told::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let summary = runtime.block_on(loopback::run(&Log::to(told.clone()), folder, suites)).unwrap();
    let text = String::from_utf8(told.0.lock().unwrap().clone()).unwrap();
    (summary, text)
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

#[test]
fn goes_as_told() {
    let (summary, text) = run(None);
    let exchanges: Vec<(&str, &str)> = summary.exchanges.iter().map(|e| (e.name.as_str(), e.by)).collect();
    assert_eq!(
        exchanges,
        [
            ("IKE_SA_INIT 0", "a"),
            ("IKE_AUTH 1", "a"),
            ("CREATE_CHILD_SA 2", "a"),
            ("INFORMATIONAL 3", "a"),
            ("INFORMATIONAL 4", "a"),
            ("INFORMATIONAL 0", "b"),
        ]
    );
    // Six sizes of request and reply, by IPv4 and IPv6 in the first Child SA, by IPv4 in the second.
    let packets: Vec<(&str, u32)> = summary.packets.iter().map(|p| (p.child.as_str(), p.packets)).collect();
    assert_eq!(packets, [("net", 24), ("lab", 12)]);
    for line in &summary.packets {
        assert!(line.outer > line.inner && line.took.len() == line.packets as usize, "{line:?}");
    }

    // Each message once, as it is sent, with its payloads in the clear.
    for message in ["IKE_SA_INIT request 0", "IKE_AUTH response 1", "CREATE_CHILD_SA request 2"] {
        assert_eq!(text.matches(message).count(), 1, "{message}:\n{text}");
    }
    for inside in ["ID_FQDN \"a.example\"", "ENCR_AES_CBC-128", "10.1.7.0/24", "D, 8 octets: IKE"] {
        assert!(text.contains(inside), "{inside}:\n{text}");
    }
    assert_eq!((text.matches("ESP net #").count(), text.matches("ESP lab #").count()), (24, 12));
    assert!(!text.contains('\x1b'), "colour where there is no terminal");
}

/// Behind each key exchange another one: before IKE_AUTH, for a Child SA, and in a rekey.
#[test]
fn goes_post_quantum() {
    let (summary, text) = run_with(None, Suites::PostQuantum);
    let exchanges: Vec<&str> = summary.exchanges.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(
        exchanges[..7],
        [
            "IKE_SA_INIT 0",
            "IKE_INTERMEDIATE 1",
            "IKE_AUTH 2",
            "CREATE_CHILD_SA 3",
            "IKE_FOLLOWUP_KE 4",
            "CREATE_CHILD_SA 5",
            "IKE_FOLLOWUP_KE 6",
        ]
    );
    // An encapsulation key there, a ciphertext back (FIPS 203), each with its payload's eight octets.
    for line in summary.exchanges.iter().filter(|line| !line.name.starts_with("IKE_AUTH")) {
        let large = line.name.starts_with("IKE_INTERMEDIATE") || line.name.starts_with("IKE_FOLLOWUP_KE");
        assert_eq!((line.request > 1_192, line.response > 1_096), (large, large), "{line:?}");
    }
    assert!(text.contains("ml-kem-768"), "{text}");
}

/// The key files have as many lines as there are SAs, and the capture as many packets as datagrams were sent.
#[test]
fn writes_a_capture_and_its_keys() {
    let folder = folder("capture");
    let (summary, _) = run(Some(&folder));
    let lines =
        |name: &str| fs::read_to_string(folder.join("loopback.keys").join(name)).unwrap().lines().count();
    assert_eq!((lines("ikev2_decryption_table"), lines("esp_sa")), (1, 4));

    let capture = fs::read(folder.join("loopback.pcapng")).unwrap();
    let (mut at, mut datagrams, mut sizes) = (0, 0, 0);
    let word = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().unwrap());
    while at < capture.len() {
        let (ty, length) = (word(at), word(at + 4) as usize);
        assert_eq!(word(at + length - 4) as usize, length, "the length behind the block at {at}");
        if ty == 6 {
            datagrams += 1;
            // Without the IPv4 and the UDP header.
            sizes += word(at + 20) as usize - 28;
        }
        at += length;
    }
    assert_eq!(datagrams, 2 * summary.exchanges.len() + 36);
    let ike: usize = summary.exchanges.iter().map(|e| e.request + e.response).sum();
    let esp: usize = summary.packets.iter().map(|p| p.outer).sum();
    // All but IKE_SA_INIT went to port 4500, behind the non-ESP marker.
    let markers = 4 * 2 * (summary.exchanges.len() - 1);
    assert_eq!(sizes, ike + esp + markers);
}

/// Nothing depends on ports or addresses that only one process could have.
#[test]
fn runs_beside_itself() {
    let others: Vec<_> = (0..4).map(|_| std::thread::spawn(|| run(None).0)).collect();
    for other in others {
        assert_eq!(other.join().unwrap().exchanges.len(), 6);
    }
}
