//! Member sets that are handed out.

use std::ffi::c_void;

use rsl_core::types::MemberSet;

use crate::convert::c_node;
use crate::guard::dead;
use crate::types::rsl_node;

/// A member set that was handed out; does not change.
pub struct rsl_member_set {
    _opaque: (),
}

/// What is behind the handle.
pub(crate) struct MemberList {
    nodes: Vec<rsl_node>,
    cookie: Vec<u8>,
}

impl MemberList {
    pub(crate) fn new(members: &MemberSet) -> MemberList {
        MemberList { nodes: members.nodes.iter().map(c_node).collect(), cookie: members.cookie.to_vec() }
    }

    pub(crate) fn into_handle(self) -> *mut rsl_member_set {
        Box::into_raw(Box::new(self)).cast()
    }
}

/// The number of members.
///
/// # Safety
/// `set` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_member_set_count(set: *const rsl_member_set) -> usize {
    guard!(0, [set = handle(set.cast::<MemberList>())] { Ok(set.nodes.len()) })
}

/// A member, as long as the set lives; NULL past the end.
///
/// # Safety
/// `set` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_member_set_node(set: *const rsl_member_set, index: usize) -> *const rsl_node {
    guard!(std::ptr::null(), [set = handle(set.cast::<MemberList>())] {
        Ok(set.nodes.get(index).map_or(std::ptr::null(), |node| &raw const *node))
    })
}

/// The cookie, as long as the set lives, and its length; NULL and 0 when there is none. len may be NULL.
///
/// # Safety
/// `set` is NULL or a handle; `len_or_null` can be written unless it is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_member_set_cookie(
    set: *const rsl_member_set,
    len_or_null: *mut u32,
) -> *const c_void {
    guard!(std::ptr::null(), [set = handle(set.cast::<MemberList>()), len = out_or_null(len_or_null)] {
        if let Some(len) = len {
            len.set(u32::try_from(set.cookie.len()).unwrap_or(u32::MAX));
        }
        Ok(if set.cookie.is_empty() { std::ptr::null() } else { set.cookie.as_ptr().cast() })
    })
}

/// Releases a set. NULL is allowed.
///
/// # Safety
/// `set` is NULL or a handle that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_member_set_free(set: *mut rsl_member_set) {
    guard!((), [] {
        if !set.is_null() {
            // SAFETY: the caller passes a handle; this also finds one that was released before.
            unsafe { crate::guard::handle(set.cast::<MemberList>()) }?;
            dead(set);
            // SAFETY: made by `into_handle`, and released once, as the caller promises.
            drop(unsafe { Box::from_raw(set.cast::<MemberList>()) });
        }
        Ok(())
    });
}
