//! Structs that start with `struct_size`: older and newer callers in, and out [CABI-7].

use crate::codes::RSL_E_ABI;
use crate::guard::Fail;
use crate::types::{
    rsl_config, rsl_engine_status, rsl_exit_policy, rsl_health, rsl_init_params, rsl_member_view, rsl_spawn,
    rsl_stats,
};

/// A struct whose first four bytes are its size as the caller knows it.
///
/// # Safety
/// `repr(C)`, starts with `struct_size: u32`, valid with all bytes zero, no padding that is read, no destructor.
pub(crate) unsafe trait Sized32: Copy {
    /// Bytes that every version has.
    const LEAST: usize = 8;
}

// SAFETY: see the declarations; numbers, pointers and nullable functions only.
unsafe impl Sized32 for rsl_member_view {
    const LEAST: usize = size_of::<rsl_member_view>();
}
// SAFETY: as above.
unsafe impl Sized32 for rsl_config {}
// SAFETY: as above.
unsafe impl Sized32 for rsl_health {}
// SAFETY: as above.
unsafe impl Sized32 for rsl_stats {}
// SAFETY: as above.
unsafe impl Sized32 for rsl_engine_status {}
// SAFETY: as above.
unsafe impl Sized32 for rsl_spawn {
    const LEAST: usize = size_of::<rsl_spawn>();
}
// SAFETY: as above.
unsafe impl Sized32 for rsl_init_params {}
// SAFETY: as above.
unsafe impl Sized32 for rsl_exit_policy {
    const LEAST: usize = size_of::<rsl_exit_policy>();
}
// SAFETY: as above.
unsafe impl Sized32 for crate::callbacks::rsl_callbacks {}

/// No struct will ever be larger; keeps a wild size from being read.
const MOST: usize = 64 * 1024;

fn size_at<T: Sized32>(pointer: *const T) -> Result<usize, Fail> {
    if pointer.is_null() {
        return Err(Fail::argument("is NULL"));
    }
    // SAFETY: not NULL; every such struct starts with its size.
    let size = unsafe { pointer.cast::<u32>().read() } as usize;
    if size < T::LEAST || size > MOST {
        return Err(Fail::new(RSL_E_ABI, format!("struct_size is {size}")));
    }
    Ok(size)
}

/// Reads a struct of the caller's size: what is missing is zero, what is more has to be zero.
///
/// # Safety
/// `pointer` is NULL or valid for reading as many bytes as its first field says.
pub(crate) unsafe fn sized<T: Sized32>(pointer: *const T) -> Result<T, Fail> {
    let (size, own) = (size_at(pointer)?, size_of::<T>());
    // SAFETY: valid with all bytes zero, as the trait says.
    let mut value: T = unsafe { std::mem::zeroed() };
    // SAFETY: the source has `size` bytes as the caller promises, the target `own`; they do not overlap.
    unsafe {
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), (&raw mut value).cast::<u8>(), size.min(own));
    }
    // SAFETY: as the caller promises; the slice begins within or at the end of the struct.
    let rest = unsafe {
        std::slice::from_raw_parts(pointer.cast::<u8>().add(size.min(own)), size.saturating_sub(own))
    };
    if rest.iter().any(|byte| *byte != 0) {
        return Err(Fail::new(RSL_E_ABI, "uses a field that this library does not know"));
    }
    Ok(value)
}

/// As [`sized`], for a struct that may be missing.
///
/// # Safety
/// As [`sized`].
pub(crate) unsafe fn sized_or_null<T: Sized32>(pointer: *const T) -> Result<Option<T>, Fail> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    unsafe { sized(pointer) }.map(Some)
}

/// A struct to fill, as large as the caller knows it.
///
/// # Safety
/// `pointer` is NULL or valid for reading and writing as many bytes as its first field says until the result is dropped.
pub(crate) unsafe fn out_sized<T: Sized32>(pointer: *mut T) -> Result<OutSized<T>, Fail> {
    Ok(OutSized { size: size_at(pointer)?, pointer })
}

/// A struct to fill.
pub(crate) struct OutSized<T> {
    pointer: *mut T,
    size: usize,
}

impl<T: Sized32> OutSized<T> {
    /// The caller's size: the distance of the elements of an array.
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Writes what the caller has room for; `struct_size` stays.
    pub(crate) fn set(&self, value: &T) {
        // SAFETY: one element is valid as the caller of `out_sized` promised.
        unsafe { self.set_at(0, value) }
    }

    /// Writes an element of an array.
    ///
    /// # Safety
    /// The array has more than `index` elements of the caller's size.
    pub(crate) unsafe fn set_at(&self, index: usize, value: &T) {
        let size = self.size.min(size_of::<T>());
        // SAFETY: within the array as the caller promises; the source has at least `size` bytes.
        unsafe {
            let target = self.pointer.cast::<u8>().add(index * self.size);
            std::ptr::copy_nonoverlapping((&raw const *value).cast::<u8>().add(4), target.add(4), size - 4);
            target.cast::<u32>().write_unaligned(u32::try_from(self.size).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    struct Newer {
        known: rsl_stats,
        more: u64,
    }

    fn stats(size: usize) -> rsl_stats {
        // SAFETY: numbers only.
        let mut stats: rsl_stats = unsafe { std::mem::zeroed() };
        stats.struct_size = u32::try_from(size).unwrap();
        stats
    }

    fn code<T>(result: Result<T, Fail>) -> i32 {
        result.err().map_or(0, |fail| fail.code)
    }

    /// [CABI-7] [CABI-40] Sizes 0, old, own, larger with zeroes, larger with more.
    #[test]
    fn sizes_of_older_and_newer_callers() {
        let own = size_of::<rsl_stats>();
        let read = |from: &rsl_stats| {
            // SAFETY: the sizes tested are at most that of `Newer`, which surrounds `from` where they are larger.
            unsafe { sized(&raw const *from) }
        };
        assert_eq!(code(read(&stats(0))), RSL_E_ABI);
        assert_eq!(code(read(&stats(7))), RSL_E_ABI);
        assert_eq!(code(read(&stats(MOST + 1))), RSL_E_ABI);
        let mut old = stats(16);
        (old.capture_time_us, old.decrees_executed) = (5, 6);
        let seen = read(&old).unwrap();
        assert_eq!((seen.capture_time_us, seen.decrees_executed), (5, 0));
        assert_eq!(code(read(&stats(own))), 0);
        let mut newer = Newer { known: stats(size_of::<Newer>()), more: 0 };
        // SAFETY: the whole of `newer` is there.
        assert_eq!(code(unsafe { sized((&raw const newer).cast::<rsl_stats>()) }), 0);
        newer.more = 1;
        // SAFETY: as above.
        assert_eq!(code(unsafe { sized((&raw const newer).cast::<rsl_stats>()) }), RSL_E_ABI);
    }

    /// [CABI-7] [HARD-352] (decision 18) Only what the caller has room for is written, and nothing that we do not know.
    #[test]
    fn output_stays_within_the_callers_size() {
        let mut target = stats(16);
        target.decrees_executed = 77;
        let mut value = stats(0);
        (value.capture_time_us, value.decrees_executed) = (1, 2);
        // SAFETY: `target` is larger than the size it names.
        unsafe { out_sized(&raw mut target) }.unwrap().set(&value);
        assert_eq!((target.struct_size, target.capture_time_us, target.decrees_executed), (16, 1, 77));
        let mut newer = Newer { known: stats(size_of::<Newer>()), more: 9 };
        // SAFETY: `newer` is as large as it says.
        unsafe { out_sized((&raw mut newer).cast::<rsl_stats>()) }.unwrap().set(&value);
        assert_eq!((newer.known.capture_time_us, newer.known.decrees_executed, newer.more), (1, 2, 9));
    }
}
