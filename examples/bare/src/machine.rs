//! All that touches the machine: the first instructions, two system calls of Linux on x86-64, and the four functions on
//! memory that compilers call and a libc would have.
//!
//! This is where the program needs `unsafe`: there is no safe way to be entered from outside or to leave.

use core::arch::{asm, global_asm};
use core::fmt;

// The stack pointer at entry points to the number of arguments, then to the arguments; calls want it aligned.
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {enter}",
    "ud2",
    enter = sym enter,
);

/// # Safety
/// `stack` is what the kernel left there for the first process image: the number of arguments and as many pointers to
/// texts that end with a zero.
unsafe extern "C" fn enter(stack: *const usize) -> ! {
    // SAFETY: the first argument is the program's name, the second one ours, if there are two.
    let argument = unsafe {
        if *stack < 2 {
            None
        } else {
            let text = *stack.add(2) as *const u8;
            let mut length = 0;
            // Volatile, so that the compiler makes no call of strlen of it.
            while text.add(length).read_volatile() != 0 {
                length += 1;
            }
            Some(core::slice::from_raw_parts(text, length))
        }
    };
    crate::start(argument)
}

/// Ends the process.
pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: exit_group (231) takes a number and does not return.
    unsafe {
        asm!("syscall", in("rax") 231, in("rdi") status, options(noreturn, nostack));
    }
}

/// Where messages go.
pub(crate) struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: write (1) to file 2 reads as many octets as the text has, and changes rax, rcx and r11 alone.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") 1_isize => _,
                in("rdi") 2,
                in("rsi") text.as_ptr(),
                in("rdx") text.len(),
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        Ok(())
    }
}

/// # Safety
/// That of the C library's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller says that both have so many octets and do not overlap. An instruction and no loop, which the
    // compiler would make a call of memcpy.
    unsafe {
        asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
    to
}

/// # Safety
/// That of the C library's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= count {
        // SAFETY: no octet is written before it is read where `to` lies in front, or behind the end.
        return unsafe { memcpy(to, from, count) };
    }
    // SAFETY: from the last octet to the first, so that none is written before it is read.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") count => _,
            inout("rdi") to.add(count).wrapping_sub(1) => _,
            inout("rsi") from.add(count).wrapping_sub(1) => _, options(nostack));
    }
    to
}

/// # Safety
/// That of the C library's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, octet: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller says that there are so many octets.
    unsafe {
        asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _, in("al") octet as u8,
            options(nostack, preserves_flags));
    }
    to
}

/// # Safety
/// That of the C library's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    for at in 0..count {
        // SAFETY: the caller says that both have so many octets. Volatile, so that the compiler makes no call of memcmp
        // of it.
        let (a, b) = unsafe { (a.add(at).read_volatile(), b.add(at).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// # Safety
/// That of the C library's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    // SAFETY: the same.
    unsafe { memcmp(a, b, count) }
}

/// `core` and `alloc` as they are delivered were compiled for unwinding and name this and the next one; with
/// `panic = "abort"` nobody calls them.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    exit(101)
}
