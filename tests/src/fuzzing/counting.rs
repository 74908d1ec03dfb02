//! Allocator that counts what a thread holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that the thread has taken and not given back since it began to count.
    static HELD: Cell<isize> = const { Cell::new(0) };
    /// The most that it held.
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// To be the `global_allocator` of a program that uses the oracles.
#[derive(Clone, Copy, Debug)]
pub struct Counting;

#[expect(unsafe_code, reason = "an allocator that counts is the only witness of memory held")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        holds(layout.size().cast_signed());
        // SAFETY: the caller keeps to `GlobalAlloc`'s contract, which is the system's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        holds(-layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn holds(more: isize) {
    // A thread that ends still frees.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + more);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

/// What `f` gives, and the most bytes that this thread held meanwhile beyond those it had.
pub fn most_held<T>(f: impl FnOnce() -> T) -> (T, usize) {
    HELD.set(0);
    MOST.set(0);
    let value = f();
    (value, MOST.get().cast_unsigned())
}
