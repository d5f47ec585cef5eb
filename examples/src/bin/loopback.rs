//! Two IKEv2 endpoints and two ESP engines in one process, over UDP on 127.0.0.1: needs no root and no
//! configuration, tells what happens, and writes a capture with its keys for Wireshark.

use clap::Parser;
use ipsec_examples::log::Log;
use ipsec_examples::loopback::{self, Suites};
use std::io::sink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Two IPsec endpoints in one process: an IKE SA, Child SAs, packets both ways, and the end of it.
#[derive(Parser, Debug)]
#[command(version)]
struct Args {
    /// Where loopback.pcapng and loopback.keys go.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Behind each key exchange by X25519 one by ML-KEM-768 (RFC 9370), and a rekey of the IKE SA.
    #[arg(long)]
    pq: bool,
    /// Tell only what everything cost.
    #[arg(long, short)]
    quiet: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loopback: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(&args.out)?;
    let log = if args.quiet { Log::to(sink()) } else { Log::buffered_stdout() };
    let suites = if args.pq { Suites::PostQuantum } else { Suites::Classic };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = runtime.block_on(loopback::run(&log, Some(&args.out), suites));
    log.flush();
    println!("\n{}", told?);
    println!("{}", how_to_look(&args.out));
    Ok(())
}

fn how_to_look(folder: &Path) -> String {
    let [capture, keys] = ["loopback.pcapng", "loopback.keys"].map(|name| folder.join(name));
    format!(
        "All of it is in {capture}, and its keys are in {keys}. To see inside:\n  \
         WIRESHARK_CONFIG_DIR={keys} tshark -r {capture} -V    (or wireshark -r {capture})",
        capture = capture.display(),
        keys = keys.display()
    )
}
