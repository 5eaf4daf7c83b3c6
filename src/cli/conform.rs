//! `octoq conform`: plays the documented dialogues of a door against an address.

use crate::conform::{self, Case, Outcome, Sweep};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;

/// Arguments of `octoq conform`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: octoq conform --door okq --addr 127.0.0.1:4777 --additions")]
pub struct ConformArgs {
    /// Whose dialogues
    #[arg(long)]
    door: Door,
    /// Where it listens; the original server will do as well
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    addr: SocketAddr,
    /// Also what octoq does beyond the original server
    #[arg(long)]
    additions: bool,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// A door with documented dialogues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Door {
    /// octoque, over TCP
    Otq,
    /// okQ, over RESP
    Okq,
    /// fastqueue, over HTTP
    Fastqueue,
    /// dsmq 1.0 to 1.4, on WebSocket
    Dsmq,
    /// dsmq 0.2 to 0.6, bare JSON
    DsmqRaw,
    /// dsmq 0.7, JSON with length headers
    DsmqHdr,
    /// blockqueue, over HTTP
    Blockqueue,
}

impl Door {
    fn cases(self) -> &'static [Case] {
        match self {
            Door::Otq => conform::otq::CASES,
            Door::Okq => conform::okq::CASES,
            Door::Fastqueue => conform::fastqueue::CASES,
            Door::Dsmq => conform::dsmq::CASES,
            Door::DsmqRaw => conform::dsmq::RAW_CASES,
            Door::DsmqHdr => conform::dsmq::HDR_CASES,
            Door::Blockqueue => conform::blockqueue::CASES,
        }
    }

    /// What octoq does beyond the original.
    fn additions(self) -> &'static [Case] {
        match self {
            Door::Okq => conform::okq::ADDITIONS,
            Door::Fastqueue => conform::fastqueue::ADDITIONS,
            Door::Dsmq => conform::dsmq::ADDITIONS,
            Door::Blockqueue => conform::blockqueue::ADDITIONS,
            Door::Otq | Door::DsmqRaw | Door::DsmqHdr => &[],
        }
    }
}

impl Door {
    /// Deletes what was made; the other doors know no word for it.
    fn sweep(self) -> Option<Sweep> {
        match self {
            Door::Fastqueue => Some(conform::fastqueue::sweep),
            Door::Blockqueue => Some(conform::blockqueue::sweep),
            Door::Otq | Door::Okq | Door::Dsmq | Door::DsmqRaw | Door::DsmqHdr => None,
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| error.to_string())?;
    found.next().ok_or_else(|| "no such address".to_owned())
}

/// Exit codes: 0 every case went as documented, 1 some did not.
pub fn run(arguments: ConformArgs) -> ExitCode {
    let only = arguments.only.unwrap_or_default();
    let additions = if arguments.additions { arguments.door.additions() } else { &[] };
    let all = arguments.door.cases().iter().chain(additions);
    let cases: Vec<Case> = all.filter(|case| case.name.contains(&only)).copied().collect();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("octoq: {error}");
            return ExitCode::FAILURE;
        }
    };
    let told = |outcome: &Outcome| match &outcome.mismatch {
        None => println!("ok      {}", outcome.case),
        Some(mismatch) => println!("FAILED  {}: {mismatch}", outcome.case),
    };
    let playing = conform::play(arguments.addr, &cases, arguments.door.sweep(), told);
    let failed = runtime.block_on(playing);
    println!("{} of {} as documented", cases.len() - failed, cases.len());
    ExitCode::from(u8::from(failed > 0))
}
