//! A hint to the processor that a value will be needed soon.

/// Bring a value into the first cache level, without waiting for it. Does nothing where the processor has no
/// stable intrinsic for it.
#[inline]
pub fn prefetch<T>(value: Option<&T>) {
    if let Some(value) = value {
        hint(std::ptr::from_ref(value).cast());
    }
}

/// [`prefetch`] of a value, or else of another that is there already: which of the two it is, is no branch then.
#[inline]
pub fn prefetch_or<T, U>(value: Option<&T>, other: &U) {
    hint(value.map_or(std::ptr::from_ref(other).cast(), |value| std::ptr::from_ref(value).cast()));
}

/// [`prefetch`] of the value at a place where one is.
#[inline(always)]
pub fn prefetch_at<T>(values: &[T], at: usize) {
    hint(values.as_ptr().wrapping_add(at).cast());
}

#[inline(always)]
fn hint(address: *const i8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        // SAFETY: a hint reads nothing and writes nothing, whatever the address is.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
