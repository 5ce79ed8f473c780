//! Large tables in huge pages, so that a look-up misses the cache and not the page table too.

/// Ask the kernel to back the memory that a vector has reserved with huge pages (`madvise(2)`,
/// `MADV_HUGEPAGE`). Best asked before it is touched. Where they are switched off nothing changes.
pub fn ask<T>(memory: &Vec<T>) {
    const PAGE: usize = 4096;
    let size = memory.capacity() * size_of::<T>();
    let start = memory.as_ptr() as usize;
    let (first, end) = (start.next_multiple_of(PAGE), (start + size) / PAGE * PAGE);
    if size >= 2 << 20 && first < end {
        // SAFETY: the range is inside of what the vector has allocated, and the advice changes no content.
        unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
    }
}

/// Add to a vector that grows into huge pages. What it had is copied then: it would keep its small pages.
pub fn push<T>(memory: &mut Vec<T>, value: T) {
    if memory.len() == memory.capacity() {
        let mut larger = Vec::with_capacity((memory.capacity() * 2).max(1 << 10));
        ask(&larger);
        larger.append(memory);
        *memory = larger;
    }
    memory.push(value);
}
