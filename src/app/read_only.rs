//! A file system that takes no writes: which one it is, and what to do about it.
//!
//! A start that finds one is not tried again by itself: a disk that turned read-only stays so until
//! somebody has looked at it, and after that the machine or the service is started anyway.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What the kernel says of a mount, see proc_pid_mountinfo(5).
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    at: PathBuf,
    kind: String,
    device: String,
    /// Whether the file system itself is read-only, or only what is seen of it here.
    itself: bool,
}

/// Says why nothing can be written at `path`, and names the remedy.
pub(super) fn explain(path: &Path) -> String {
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let real = path
        .ancestors()
        .find_map(|path| fs::canonicalize(path).ok());
    let mount = real.and_then(|real| mount_of(&mounts, &real));
    match mount {
        Some(Mount {
            at,
            kind,
            device,
            itself: true,
        }) => format!(
            "the file system at {0} ({device}, {kind}) is read-only: its disk may be failing. Read what the kernel says of it \
             (dmesg), save the data, check the file system (fsck), mount it again (mount -o remount,rw {0}), and start Mayfly",
            at.display()
        ),
        Some(Mount { at, .. }) => format!(
            "{0} is mounted read-only here: mount it again (mount -o remount,rw {0}), or, if only the service may not write there, \
             add ReadWritePaths= with that directory to its unit (systemctl edit mayfly), and start Mayfly",
            at.display()
        ),
        None => {
            "its file system is read-only: mount it again (mount -o remount,rw) and start Mayfly"
                .to_owned()
        }
    }
}

/// The last mount that covers `path`.
fn mount_of(mounts: &[u8], path: &Path) -> Option<Mount> {
    let lines = mounts.split(|byte| *byte == b'\n');
    let covering = lines.filter_map(parsed).filter(|m| path.starts_with(&m.at));
    // Of two at the same place, the later one hides the other.
    covering.max_by_key(|mount| mount.at.components().count())
}

/// `36 35 98:0 /root /at rw,noatime master:1 - ext4 /dev/sda1 rw,errors=remount-ro`
fn parsed(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ');
    let at = unescaped(words.nth(4)?);
    let mut words = words.skip_while(|word| *word != b"-").skip(1);
    let text = |word: &[u8]| String::from_utf8_lossy(&unescaped(word)).into_owned();
    let (kind, device) = (text(words.next()?), text(words.next()?));
    // After an error, newer versions of ext4 do not say "ro".
    let read_only: [&[u8]; 3] = [b"ro", b"emergency_ro", b"shutdown"];
    let mut options = words.next()?.split(|byte| *byte == b',');
    let itself = options.any(|option| read_only.contains(&option));
    Some(Mount {
        at: PathBuf::from(OsString::from_vec(at)),
        kind,
        device,
        itself,
    })
}

/// Spaces and the like stand there as three octal digits.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, after @ ..] = rest {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let code = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"22 1 254:0 / / rw,relatime - ext4 /dev/root rw\n\
        30 22 8:1 / /mnt/my\\040disk rw,noatime shared:1 master:2 - ext4 /dev/sda1 ro,errors=remount-ro\n\
        31 22 254:0 /srv /srv ro,nosuid - ext4 /dev/root rw\n\
        32 22 8:2 / /over rw - ext4 /dev/sdb1 rw\n\
        33 22 8:3 / /over rw - ext4 /dev/sdc1 ro\n\
        34 22 8:4 / /failed rw - ext4 /dev/sdd1 rw,errors=remount-ro,emergency_ro\n\
        35 22 8:5 / /down rw - ext4 /dev/sde1 rw,shutdown\n\
        nonsense\n";

    fn of(path: &str) -> Mount {
        mount_of(MOUNTS, Path::new(path)).unwrap()
    }

    #[test]
    fn the_mount_is_the_innermost_and_the_last_one() {
        assert_eq!(of("/mnt/my disk/mayfly/lock").at, Path::new("/mnt/my disk"));
        assert_eq!(of("/mnt/my disk/x").device, "/dev/sda1");
        assert_eq!(of("/mnt/my").at, Path::new("/"));
        assert_eq!(of("/srvx").at, Path::new("/"));
        assert_eq!(of("/over/x").device, "/dev/sdc1");
        assert_eq!(mount_of(b"", Path::new("/")), None);
    }

    #[test]
    fn a_sandbox_is_not_taken_for_a_failing_disk() {
        assert!(of("/mnt/my disk").itself);
        assert!(of("/failed").itself && of("/down").itself);
        assert!(!of("/srv/data").itself);
        assert!(!of("/").itself);
    }

    #[test]
    fn what_is_no_escape_stays() {
        for (word, plain) in [
            ("a\\040b", "a b"),
            ("\\134", "\\"),
            ("\\", "\\"),
            ("\\99", "\\99"),
        ] {
            assert_eq!(unescaped(word.as_bytes()), plain.as_bytes());
        }
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_explained_too() {
        let dir = tempfile::tempdir().unwrap();
        let said = explain(&dir.path().join("a/b/c"));
        assert!(said.contains("mount -o remount,rw /"), "{said}");
    }
}
