//! The program's memory: one static block, given out in pieces whose sizes are powers of two. Pieces that come back wait
//! in a list for the next of their size.
//!
//! This is where the program needs `unsafe` besides `machine`: an allocator hands out raw memory.

use crate::machine::exit;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;

/// Octets that there are.
pub(crate) const SIZE: usize = 256 * 1_024;
/// The smallest piece has room for a pointer and any usual alignment.
const SMALLEST: usize = 16;

#[repr(align(4096))]
struct Block([u8; SIZE]);

struct State {
    block: Block,
    used: usize,
    /// For each power of two the first free piece, in whose octets the next one is named.
    free: [*mut u8; usize::BITS as usize],
}

struct Memory(UnsafeCell<State>);

// SAFETY: the program has one thread, and no signal handler.
unsafe impl Sync for Memory {}

#[global_allocator]
static MEMORY: Memory = Memory(UnsafeCell::new(State {
    block: Block([0; SIZE]),
    used: 0,
    free: [ptr::null_mut(); usize::BITS as usize],
}));

/// Octets that were ever in use at once, those between them that were not included.
pub(crate) fn used() -> usize {
    // SAFETY: one thread; nobody else holds a reference here.
    unsafe { (*MEMORY.0.get()).used }
}

/// The size of the piece for a layout, which is its alignment too.
fn piece(layout: Layout) -> usize {
    layout.size().max(layout.align()).max(SMALLEST).next_power_of_two()
}

// SAFETY: a piece lies within the block and is aligned to its size, which is at least the layout's size and alignment; it
// is given out again only after it came back.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = piece(layout);
        // SAFETY: one thread, and no call from here comes back into the allocator.
        let state = unsafe { &mut *self.0.get() };
        let first = &mut state.free[size.trailing_zeros() as usize];
        if !first.is_null() {
            let found = *first;
            // SAFETY: a free piece names the next one in its first octets.
            *first = unsafe { found.cast::<*mut u8>().read() };
            return found;
        }
        let start = state.used.next_multiple_of(size);
        // The block is aligned to 4096, and so are larger pieces.
        if size > SIZE || start + size > SIZE || layout.align() > align_of::<Block>() {
            exit(102);
        }
        state.used = start + size;
        // SAFETY: it lies within the block.
        unsafe { state.block.0.as_mut_ptr().add(start) }
    }

    unsafe fn dealloc(&self, octets: *mut u8, layout: Layout) {
        // SAFETY: as above; the piece is the caller's no longer, and has room for a pointer.
        unsafe {
            let first = &mut (*self.0.get()).free[piece(layout).trailing_zeros() as usize];
            octets.cast::<*mut u8>().write(*first);
            *first = octets;
        }
    }
}
