//! Memory that nobody uses any more goes back to the system while the process is quiet.

/// More than the allocator keeps for itself, and never touched: no page of it is ever there.
const BLOCK: usize = 32 * 1024 * 1024;

/// Has the allocator look which of its memory has been free for a while. It does so when a large block is given back, and in a
/// process that is quiet nothing else gives one back: what a burst has taken would stay until the next.
pub fn give_back() {
    let mut block = Vec::<u8>::new();
    // Where there is no room for it, there is no time to lose either.
    let _ = block.try_reserve_exact(BLOCK);
    drop(std::hint::black_box(block));
}
