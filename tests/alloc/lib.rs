//! An allocator that counts what each data-path thread asks it for, and the bytes that are held by all.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The system's allocator; counts what threads of the data path, known by their name, ask of it.
pub struct Counting;

static COUNTED: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicI64 = AtomicI64::new(0);

#[derive(Clone, Copy, PartialEq)]
enum Who {
    Unknown,
    Worker,
    Other,
}

thread_local! {
    static WHO: Cell<Who> = const { Cell::new(Who::Unknown) };
}

/// Requests of the data path's threads so far.
pub fn counted() -> u64 {
    COUNTED.load(Ordering::SeqCst)
}

/// Bytes that were asked for, by whichever thread, and not given back.
pub fn held() -> i64 {
    HELD.load(Ordering::SeqCst)
}

fn hold(bytes: usize) {
    HELD.fetch_add(bytes as i64, Ordering::Relaxed);
}

fn leave(bytes: usize) {
    HELD.fetch_sub(bytes as i64, Ordering::Relaxed);
}

/// Is this a thread of the data path? Asked of the kernel once per thread; a path this short is not put on the heap.
fn is_worker() -> bool {
    let Ok(who) = WHO.try_with(Cell::get) else { return false };
    let who = match who {
        Who::Unknown => {
            let mut name = [0_u8; 16];
            let comm = std::fs::File::open("/proc/thread-self/comm");
            let read = comm.and_then(|mut file| std::io::Read::read(&mut file, &mut name));
            let who = match read {
                Ok(_) if name.starts_with(b"strop-worker") => Who::Worker,
                Ok(_) | Err(_) => Who::Other,
            };
            let _ = WHO.try_with(|cell| cell.set(who));
            who
        }
        known => known,
    };
    who == Who::Worker
}

fn count() {
    if is_worker() {
        COUNTED.fetch_add(1, Ordering::SeqCst);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        hold(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        leave(layout.size());
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        hold(size);
        leave(layout.size());
        unsafe { System.realloc(place, layout, size) }
    }
}
