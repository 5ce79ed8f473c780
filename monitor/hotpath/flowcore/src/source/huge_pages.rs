//! Large tables in huge pages, so that a look-up misses the cache and not the page table too; and room that is there from
//! the beginning, so that no table is copied to grow.

use std::alloc::{handle_alloc_error, Layout};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

/// Bytes of a page (`sysconf(3)`): 4 096 on most machines, up to 65 536 on those of ARM. What `madvise` is asked for that does
/// not end with one, it does to the end of one all the same.
fn page() -> usize {
    // SAFETY: the call reads a number of the kernel's, and no memory.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(HUGE)
}

/// The whole pages in the memory behind so many values of a vector: from where to where.
fn pages<T>(memory: &Vec<T>, from: usize, page: usize) -> (usize, usize) {
    let place = |values: usize| memory.as_ptr() as usize + values * size_of::<T>();
    (place(from).next_multiple_of(page), place(memory.capacity()) / page * page)
}

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
    let (first, end) = pages(memory, from, page());
    if first + HUGE <= end {
        // SAFETY: the range is inside of what the vector has allocated, and the advice changes no content.
        unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
    }
}

/// Give the memory behind the last value of a vector back to the kernel (`madvise(2)`, `MADV_DONTNEED`). The room stays.
pub fn give_back<T>(memory: &mut Vec<T>) {
    let (first, end) = pages(memory, memory.len(), page());
    if first < end {
        // SAFETY: the pages are whole and inside of what the vector has allocated, behind all of its values: nobody reads them
        // before something is written there.
        unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_DONTNEED) };
    }
}

/// Values of which one is there where all bits are zero.
///
/// # Safety
/// It is so for the type.
pub unsafe trait Zero: Copy {}

// SAFETY: all bits of a number may be zero.
unsafe impl Zero for u64 {}
// SAFETY: as above, of both.
unsafe impl Zero for (u64, i64) {}

/// A table of zeros, to be filled: in huge pages if it is as large as one. A vector would get memory that another one had
/// in small pages, or that begins in the middle of a huge one.
#[derive(Debug)]
pub struct Zeros<T> {
    start: NonNull<T>,
    length: usize,
    /// What was mapped: from where, and how many bytes.
    mapped: (NonNull<libc::c_void>, usize),
}

// SAFETY: it owns its memory alone, as a vector does.
unsafe impl<T: Send> Send for Zeros<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Zeros<T> {}

impl<T: Zero> Zeros<T> {
    /// So many of them, at least one.
    pub fn new(length: usize) -> Zeros<T> {
        let length = length.max(1);
        let Ok(layout) = Layout::array::<T>(length) else { handle_alloc_error(Layout::new::<T>()) };
        let is_huge = layout.size() >= HUGE;
        // what is too much to begin at a huge page is never touched, and takes no memory
        let bytes = layout.size().saturating_add(if is_huge { HUGE } else { 0 });
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new memory of its own, wherever the kernel puts it.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
        let Some(memory) = NonNull::new(memory).filter(|memory| memory.as_ptr() != libc::MAP_FAILED) else {
            handle_alloc_error(layout)
        };
        let before = if is_huge { memory.as_ptr().align_offset(HUGE) } else { 0 };
        // SAFETY: `before` is less than a huge page, and so much more was mapped.
        let start = unsafe { memory.byte_add(before) };
        if is_huge {
            // SAFETY: the range is inside of what was mapped just now.
            unsafe { libc::madvise(start.as_ptr(), layout.size(), libc::MADV_HUGEPAGE) };
        }
        Zeros { start: start.cast(), length, mapped: (memory, bytes) }
    }
}

impl<T> Deref for Zeros<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: so many were mapped, all of them zero at first, which is a value.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T> DerefMut for Zeros<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and nobody else has this memory.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl<T> Drop for Zeros<T> {
    fn drop(&mut self) {
        // SAFETY: it was mapped so, and nobody has a reference into it any more.
        unsafe { libc::munmap(self.mapped.0.as_ptr(), self.mapped.1) };
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::{give_back, page, pages, reserve, Zeros, HUGE};

    #[test]
    fn room_that_no_address_space_has_is_left_out() {
        assert!(reserve::<u64>(1000).capacity() >= 1000);
        let mut grows = reserve::<u64>(usize::MAX / 16);
        assert_eq!(grows.capacity(), 0);
        grows.push(1);
        assert_eq!(grows, [1]);
    }

    /// Bytes of physical memory of this process.
    fn resident() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
    }

    #[test]
    fn pages_are_whole_whatever_their_size() {
        let memory: Vec<u8> = Vec::with_capacity(1 << 20);
        let (start, end) = (memory.as_ptr() as usize, memory.as_ptr() as usize + memory.capacity());
        assert!(page().is_power_of_two());
        for size in [4 << 10, 16 << 10, 64 << 10, page()] {
            let found = pages(&memory, 100, size);
            assert!(found.0 % size == 0 && found.0 >= start + 100 && found.0 - (start + 100) < size, "{size}");
            assert!(found.1 % size == 0 && found.1 <= end && end - found.1 < size, "{size}");
        }
    }

    #[test]
    fn what_is_given_back_is_what_no_value_is_in() {
        // so much that what other tests take meanwhile is little beside it
        const BYTES: usize = 64 * HUGE;
        let mut memory = reserve::<u8>(BYTES);
        memory.resize(BYTES, 7);
        let before = resident();
        memory.truncate(1000);
        give_back(&mut memory);
        let given = before.saturating_sub(resident());
        assert!(given > BYTES / 2, "of {BYTES} bytes: {given}");
        assert!(memory.capacity() >= BYTES && memory == [7; 1000]);
        memory.resize(2000, 8);
        assert_eq!(memory.get(999..1001), Some(&[7, 8][..]));
        give_back(&mut Vec::<u64>::new());
    }

    #[test]
    fn a_table_is_as_long_as_wanted_and_begins_where_a_huge_page_can() {
        for length in [0, 1, 1000, HUGE / 8 - 1, HUGE / 8, 3 * HUGE / 8 + 1] {
            let mut table = Zeros::<u64>::new(length);
            assert_eq!(table.len(), length.max(1));
            assert!(table.iter().all(|value| *value == 0));
            assert!(length < HUGE / 8 || table.as_ptr() as usize % HUGE == 0);
            table.fill(u64::MAX);
            assert_eq!(table.last(), Some(&u64::MAX));
        }
    }
}
