//! Large tables in huge pages, so that a look-up misses the cache and not the page table too; and room that is there from
//! the beginning, so that no table is copied to grow.

/// An empty vector with room for so many values, or none where the address space has none: it grows then. Room takes no
/// memory until it is filled.
pub fn reserve<T>(values: usize) -> Vec<T> {
    let mut memory = Vec::new();
    if memory.try_reserve_exact(values).is_err() {
        memory = Vec::new();
    }
    memory
}

/// Ask the kernel to back the memory that a vector has reserved, from a value on, with huge pages (`madvise(2)`,
/// `MADV_HUGEPAGE`). Best asked before it is touched. Where they are switched off nothing changes.
pub fn ask<T>(memory: &Vec<T>, from: usize) {
    const PAGE: usize = 4096;
    let start = memory.as_ptr() as usize;
    let place = |values: usize| start + values * size_of::<T>();
    let (first, end) = (place(from).next_multiple_of(PAGE), place(memory.capacity()) / PAGE * PAGE);
    if first + (2 << 20) <= end {
        // SAFETY: the range is inside of what the vector has allocated, and the advice changes no content.
        unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
    }
}
