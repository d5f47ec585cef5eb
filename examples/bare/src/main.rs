//! The crates with no operating system under them: no std, no libc, no start files, an allocator and a panic handler of
//! the program's own. Two endpoints make an IKE SA with a Child SA in memory, then one ESP packet goes through it.
//!
//! Linux only starts the program and takes its exit status, by one system call each for that and for messages:
//!
//! | status | |
//! |---|---|
//! | 0 | it went as it must |
//! | 1 | it did not, and a line says where |
//! | 101 | a panic |
//! | 102 | the memory that there is does not suffice |
//!
//! With an argument it goes wrong on purpose, so that whoever runs it sees that it can: `altered` changes a bit of every
//! datagram, `panic` panics, `exhausted` asks for more memory than there is.
#![no_std]
#![no_main]

extern crate alloc;

mod machine;
mod memory;
mod tunnel;

use core::fmt::Write;
use machine::{Console, exit};
use tunnel::Fault;

/// What an argument asks for.
fn run(argument: Option<&[u8]>) -> Result<(), tunnel::Error> {
    match argument {
        None => tunnel::run(Fault::None),
        Some(b"altered") => tunnel::run(Fault::AlteredDatagrams),
        Some(b"panic") => panic!("as asked"),
        Some(b"exhausted") => {
            let octets = alloc::vec![0_u8; 2 * memory::SIZE];
            Err(tunnel::Error::MoreMemoryThanThereIs(octets.len()))
        }
        Some(_) => Err(tunnel::Error::Argument),
    }
}

/// Where the program begins, once there is a stack for Rust.
fn start(argument: Option<&[u8]>) -> ! {
    match run(argument) {
        Ok(()) => {
            let _ =
                writeln!(Console, "bare: an IKE SA, a Child SA and a packet, in {} octets", memory::used());
            exit(0)
        }
        Err(error) => {
            let _ = writeln!(Console, "bare: {error:?}");
            exit(1)
        }
    }
}

#[panic_handler]
fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Console, "bare: {info}");
    exit(101)
}
