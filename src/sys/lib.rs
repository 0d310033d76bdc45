//! The only unsafe code of Mayfly: C calls that no safe crate wraps.
//!
//! Each takes and returns plain integers; the proof of each stands beside it. Why they are
//! needed is recorded in `docs/decisions/0001-unsafe-sys-crate.md`.

#![deny(missing_docs)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Bounds what the allocator keeps for itself, in bytes and arenas, for the whole process.
///
/// `arenas` caps the number of malloc arenas; allocations of `mmap_threshold` bytes or more get
/// their own mapping and go back to the system when freed; free memory at the top of the heap
/// beyond the same figure goes back too. Setting the threshold switches off glibc's habit of
/// raising it after each large free (mallopt(3), "`M_MMAP_THRESHOLD`"). Does nothing where the C
/// library is not glibc.
pub fn bound_allocator(arenas: i32, mmap_threshold: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two integers, reads no memory of ours, and is thread-safe
    // (mallopt(3), "ATTRIBUTES": MT-Unsafe only with respect to the first initialisation of
    // malloc, which Rust's runtime has long done before any code of ours can run).
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, arenas);
        libc::mallopt(libc::M_MMAP_THRESHOLD, mmap_threshold);
        libc::mallopt(libc::M_TRIM_THRESHOLD, mmap_threshold);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = (arenas, mmap_threshold);
}

/// Gives free memory of every arena back to the system (malloc_trim(3)). Takes some milliseconds at
/// most. Does nothing where the C library is not glibc.
pub fn trim_allocator() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes an integer, touches free memory of the allocator only, and is
    // thread-safe (malloc_trim(3), "ATTRIBUTES": MT-Safe).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Takes the program's own code and constants out of the resident memory. They stay in the page cache, and
/// what is needed comes back from there, 64 KiB around each place that is touched: so what only the start
/// needed is no longer counted. Does nothing where they are not mapped from a file.
pub fn give_back_code() {
    #[cfg(target_os = "linux")]
    {
        // Named by the linkers (GNU ld, "Builtin Symbols"; lld, mold and gold define both as well).
        unsafe extern "C" {
            static __executable_start: libc::c_char;
            static etext: libc::c_char;
        }
        let start = &raw const __executable_start as usize;
        let end = &raw const etext as usize;
        // SAFETY: sysconf takes an integer.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(0);
        if !page.is_power_of_two() {
            return;
        }
        let start = start.next_multiple_of(page);
        let end = end & !(page - 1);
        if end <= start {
            return;
        }
        // SAFETY: from the start of the image to the end of its code there are only pages that are
        // mapped from the program's file for as long as the process lives, and that nobody may write:
        // what relocation changes lies behind, as Rust's code is position-independent. MADV_DONTNEED on such pages loses nothing, as the next access reads the same bytes
        // from the file (madvise(2)), and an installed program is replaced by another file, not
        // changed. An error changes nothing.
        unsafe {
            libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
        }
    }
}

/// Bytes of a connected TCP socket that its peer has not acknowledged yet, sent or not
/// (`SIOCOUTQ`, tcp(7)).
///
/// # Errors
/// What `ioctl` reports: `ENOTSOCK`, `EINVAL` for a listening socket, and so on.
pub fn unacknowledged(socket: &impl AsFd) -> io::Result<u64> {
    let mut count: libc::c_int = 0;
    // SAFETY: the descriptor is open for the whole call, because it is borrowed; SIOCOUTQ
    // (= TIOCOUTQ) writes exactly one c_int to the pointer, which is valid and aligned.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Another descriptor for what the descriptor of this number stands for, which stays as it is: for
/// descriptors that another program has left open (sd_listen_fds(3)). Closed on `exec`.
///
/// # Errors
/// What `fcntl` reports: `EBADF` when there is no such descriptor, `EMFILE`.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl takes three integers here and touches no memory of ours. A number that stands for
    // nothing is an error, and one that stands for something is neither closed nor changed.
    let new = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3 as libc::c_int) };
    if new < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for this call, so it is open, and nobody else
    // knows it or will close it.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// What the clock of the kernel shows, in seconds since 1970, if the kernel says that it is
/// synchronised (adjtimex(2): neither `TIME_ERROR` nor `STA_UNSYNC`). Changes nothing.
///
/// # Errors
/// What `adjtimex` reports: `EPERM` or `ENOSYS` where a sandbox forbids the call.
pub fn synchronised_clock() -> io::Result<Option<i64>> {
    // SAFETY: `timex` is made of integers and padding only, so all zero is a value of it; its
    // `modes` is zero then, which makes adjtimex read and set nothing. It writes one `timex` to
    // the pointer, which is valid and aligned, and keeps nothing.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        let state = libc::adjtimex(&raw mut timex);
        (state, timex)
    };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    let unsynchronised = state == libc::TIME_ERROR || timex.status & libc::STA_UNSYNC != 0;
    #[allow(clippy::useless_conversion, reason = "32 bits on some targets")]
    Ok((!unsynchronised).then(|| timex.time.tv_sec.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_queue_of_a_tcp_socket_fills_and_drains() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        assert_eq!(unacknowledged(&server).unwrap(), 0);
        server.set_nonblocking(true).unwrap();
        let chunk = vec![7u8; 65536];
        let mut sent = 0;
        while let Ok(n) = server.write(&chunk) {
            sent += n;
        }
        assert!(
            unacknowledged(&server).unwrap() > 0,
            "a full pipe holds unacknowledged bytes"
        );
        let mut buffer = vec![0u8; sent];
        client.read_exact(&mut buffer).unwrap();
        // Acknowledgements for data that was already read need no further event of ours.
        for _ in 0..10_000_000 {
            if unacknowledged(&server).unwrap() == 0 {
                return;
            }
            std::thread::yield_now();
        }
        panic!("the queue did not drain");
    }

    #[test]
    fn the_kernel_says_whether_its_clock_is_synchronised() {
        let now = std::time::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_secs()
            .cast_signed();
        match synchronised_clock() {
            // A machine that is synchronised shows the time that we read.
            Ok(Some(time)) => assert!((time - now).abs() <= 5, "{time} {now}"),
            Ok(None) => {}
            Err(e) => assert!(e.raw_os_error().is_some()),
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn code_that_was_given_back_is_resident_no_more_and_runs_as_before() {
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let program = std::env::current_exe().unwrap();
            let mut lines = text.lines();
            let is_code = |l: &&str| l.contains(" r-xp ") && l.ends_with(program.to_str().unwrap());
            lines.find(is_code).unwrap();
            let rss = lines.find_map(|l| l.strip_prefix("Rss:")).unwrap();
            let kibibytes = rss.trim().strip_suffix(" kB").unwrap();
            kibibytes.parse::<u64>().unwrap()
        };
        // What other tests run meanwhile comes back at once.
        let shrank = (0..1000).any(|_| {
            let before = resident();
            give_back_code();
            resident() < before
        });
        assert!(shrank);
    }

    #[test]
    fn a_file_has_no_send_queue() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(unacknowledged(&file).is_err());
    }

    #[test]
    fn a_duplicate_stands_for_the_same_and_is_closed_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let other = TcpListener::from(duplicate(listener.as_raw_fd()).unwrap());
        assert_ne!(other.as_raw_fd(), listener.as_raw_fd());
        assert_eq!(other.local_addr().unwrap(), address);
        drop(other);
        assert_eq!(listener.local_addr().unwrap(), address);
    }

    #[test]
    fn a_number_without_a_descriptor_has_no_duplicate() {
        assert!(duplicate(-1).is_err());
        assert!(duplicate(RawFd::MAX).is_err());
    }
}
