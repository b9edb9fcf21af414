//! Giving memory back when nothing goes on: pages that only the start or a run has touched.
//!
//! Linux maps 64 KiB of a program's file around each first touch, so a short start leaves most of the binary and of libc
//! resident. Dropping clean pages costs nothing that lasts: they stay in the page cache and come back, one fault each,
//! when code needs them again. Heap that was freed goes back too. Elsewhere this does nothing.

/// Drops the clean file pages of this process and the free heap. Takes some ten microseconds.
pub fn release() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the callback only reads what it is given; malloc_trim has no preconditions.
    unsafe {
        libc::dl_iterate_phdr(Some(release_object), std::ptr::null_mut());
        libc::malloc_trim(0);
    }
}

/// Drops the read-only segments of one loaded object.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" fn release_object(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut libc::c_void,
) -> libc::c_int {
    const PAGE_BYTES: usize = 4096;
    // SAFETY: the loader passes a valid description with `dlpi_phnum` headers for the length of the call.
    let (info, headers) = unsafe {
        let info = &*info;
        (info, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0) {
        // Whole pages inside the segment: what it shares with a neighbour stays.
        let (Ok(base), Ok(offset), Ok(length)) =
            (usize::try_from(info.dlpi_addr), usize::try_from(header.p_vaddr), usize::try_from(header.p_memsz))
        else {
            continue;
        };
        let start = (base + offset).next_multiple_of(PAGE_BYTES);
        let end = (base + offset + length) / PAGE_BYTES * PAGE_BYTES;
        if base != 0 && end > start {
            // SAFETY: these pages are a private mapping of a file that is never written to, so dropping them loses nothing:
            // the next touch reads them again. A refusal changes nothing.
            unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
        }
    }
    0
}
