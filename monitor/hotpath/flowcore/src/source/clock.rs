//! Clocks of the kernel (clock_gettime(2)).

use std::io;

fn read(clock: libc::clockid_t) -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec for the call to fill; the call keeps no pointer.
    let result = unsafe { libc::clock_gettime(clock, &mut now) };
    debug_assert_eq!(result, 0, "{}", io::Error::last_os_error());
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

/// CPU time of the calling thread in nanoseconds.
pub fn thread_cpu() -> u64 {
    u64::try_from(read(libc::CLOCK_THREAD_CPUTIME_ID)).unwrap_or(0)
}

/// Wall time in nanoseconds since 1970; may jump.
pub(crate) fn wall() -> i64 {
    read(libc::CLOCK_REALTIME)
}

/// Nanoseconds since boot, sleep included; never goes back.
pub(crate) fn boot() -> i64 {
    read(libc::CLOCK_BOOTTIME)
}
