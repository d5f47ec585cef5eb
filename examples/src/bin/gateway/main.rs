//! A VPN gateway: a TUN device on one side, UDP 500 and 4500 and raw ESP on the other, and between them the
//! IKEv2 endpoint and the ESP engine, which know nothing of either.
//!
//! | module | what it does |
//! |---|---|
//! | `gateway` | the loop: waits, hands over what came, and lets out what there is to send |
//! | `events` | what each event asks for, and the line that tells it |
//! | `net` | the sockets |
//! | `tun` | the TUN device and its routes |
//! | `upgrade` | one process takes the place of another |
//!
//! The configuration is `ipsec_examples::config`; what to start when is `ipsec_examples::starts`.

#[cfg(target_os = "linux")]
mod events;
#[cfg(target_os = "linux")]
mod gateway;
#[cfg(target_os = "linux")]
mod net;
mod train;
#[cfg(target_os = "linux")]
mod tun;
#[cfg(target_os = "linux")]
mod upgrade;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// An IPsec gateway: IKEv2 and ESP between a TUN device and the network. Needs root.
#[derive(Parser, Debug)]
#[command(version)]
struct Args {
    /// The configuration; `examples/README.md` describes it.
    #[arg(long, value_name = "FILE.toml")]
    config: PathBuf,
    /// Tell every message and every event.
    #[arg(long, short)]
    verbose: bool,
    /// Write the keys of all SAs here, for Wireshark. Whoever reads them reads the traffic.
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Go on with the SAs in this file, if it is there; on SIGUSR1 write them all there, and leave without a word.
    #[arg(long, value_name = "FILE", requires = "state_key")]
    state: Option<PathBuf>,
    /// The key that seals them: 32 octets or more that nobody can guess.
    #[arg(long, value_name = "FILE", requires = "state")]
    state_key: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "linux")]
fn run(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    use ikev2_core::event::Hooks;
    use ipsec_examples::{
        config::GatewayConfig,
        keys::KeyFiles,
        log::{Log, Narrator},
    };
    use std::sync::Arc;

    let file = |error| format!("{}: {error}", args.config.display());
    let text = std::fs::read_to_string(&args.config).map_err(|error| file(error.to_string()))?;
    let folder = args.config.parent().unwrap_or(std::path::Path::new(""));
    let mut config = GatewayConfig::parse(&text, folder).map_err(|error| file(format!("{error}")))?;
    let log = Log::stdout();
    config.endpoint.hooks = Hooks {
        key_log: match &args.keys {
            Some(folder) => Some(Arc::new(KeyFiles::create(folder)?)),
            None => None,
        },
        observer: args.verbose.then(|| -> Arc<dyn ikev2_core::MessageObserver> {
            Arc::new(Narrator { log: Arc::clone(&log), who: "" })
        }),
        ..Hooks::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let upgrade = match (&args.state, &args.state_key) {
        (Some(file), Some(key)) => Some(upgrade::Upgrade::new(config.endpoint.crypto, file.clone(), key)?),
        _ => None,
    };
    runtime.block_on(async { gateway::Gateway::new(config, log, args.verbose, upgrade)?.run().await })
}

#[cfg(not(target_os = "linux"))]
fn run(_: &Args) -> Result<(), Box<dyn std::error::Error>> {
    Err("the gateway is for Linux: its TUN device and its routes are".into())
}
