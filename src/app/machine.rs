//! What the machine and its operator say about the clock.

use crate::model::{BootId, Evidence, Timestamp, VOUCHER};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A new number at each boot (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// The same, handed in by a service that hides `/proc/sys` (systemd.exec(5), `ProcSubset=pid`, with
/// `LoadCredential=boot-id:/proc/sys/kernel/random/boot_id`).
const BOOT_CREDENTIAL: &str = "boot-id";
/// Touched by systemd-timesyncd whenever it has compared the clock with its server, and never removed.
const TIMESYNC: &str = "/run/systemd/timesync/synchronized";
/// How long that counts, in seconds: it asks every 2,048 s at the least, and may miss once.
const FRESH: i64 = 2 * 2048;
/// The kernel's clock and ours are one when they differ by no more, in seconds.
const SAME: i64 = 2;

/// This machine.
pub(super) struct Machine {
    voucher: PathBuf,
    boot: Option<BootId>,
}

impl Machine {
    /// `data_dir` is where the operator puts the voucher.
    pub(super) fn new(data_dir: &Path) -> Self {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
        let credential = credentials.map(|dir| PathBuf::from(dir).join(BOOT_CREDENTIAL));
        let places = [Some(PathBuf::from(BOOT_ID)), credential];
        let boot = places.iter().flatten().find_map(|path| boot_id(path));
        Self {
            voucher: data_dir.join(VOUCHER),
            boot,
        }
    }
}

impl Evidence for Machine {
    fn boot(&self) -> Option<BootId> {
        self.boot
    }

    /// The kernel knows, unless it may not be asked; then a file of systemd-timesyncd tells.
    fn is_synchronised(&self, wall: Timestamp) -> bool {
        is_synchronised(wall)
    }

    fn is_vouched(&self) -> bool {
        match fs::remove_file(&self.voucher) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => {
                log::error!("{} cannot be taken: {e}", self.voucher.display());
                false
            }
        }
    }
}

/// Whether somebody sets the clock that shows `wall`.
pub(super) fn is_synchronised(wall: Timestamp) -> bool {
    match mayfly_sys::synchronised_clock() {
        Ok(Some(time)) => wall.since(Timestamp(time)).abs() <= SAME,
        Ok(None) => false,
        Err(_) => is_fresh(Path::new(TIMESYNC), wall),
    }
}

/// Whether the file at `path` was touched just now, by a clock that shows `wall`: a touch says nothing
/// about what the clock was set to later.
fn is_fresh(path: &Path, wall: Timestamp) -> bool {
    let touched = fs::metadata(path).map(|about| Timestamp(about.mtime()));
    touched.is_ok_and(|touched| (-SAME..=FRESH).contains(&wall.since(touched)))
}

fn boot_id(path: &Path) -> Option<BootId> {
    let text = fs::read_to_string(path).ok()?;
    let digits: String = text.trim().split('-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32).then(|| BootId(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_of_this_machine_is_known_where_the_kernel_shows_it() {
        let dir = tempfile::tempdir().unwrap();
        let known = Path::new(BOOT_ID).exists();
        let boot = Machine::new(dir.path()).boot();
        assert_eq!(boot.is_some(), known);
        assert_eq!(boot, Machine::new(dir.path()).boot());
    }

    #[test]
    fn a_boot_id_is_128_bits_in_hex_with_dashes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boot-id");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            boot_id(&path)
        };
        let id = read("00010203-0405-0607-0809-0a0b0c0d0e0f\n");
        assert_eq!(id.unwrap().0, std::array::from_fn(|i| i as u8));
        assert_eq!(read("00010203\n"), None);
        assert_eq!(read(""), None);
        assert_eq!(boot_id(dir.path()), None);
    }

    #[test]
    fn a_voucher_is_good_for_one_time() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::new(dir.path());
        assert!(!machine.is_vouched());
        fs::write(dir.path().join(VOUCHER), "").unwrap();
        assert!(machine.is_vouched());
        assert!(!machine.is_vouched());
    }

    #[test]
    fn an_old_word_of_timesyncd_proves_nothing_about_a_clock_that_was_set_since() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("synchronized");
        assert!(!is_fresh(&path, Timestamp(0)));
        fs::write(&path, "").unwrap();
        let touched = fs::metadata(&path).unwrap().mtime();
        for (passed, fresh) in [
            (-1_000_000_000, false),
            (-SAME - 1, false),
            (-SAME, true),
            (0, true),
            (FRESH, true),
            (FRESH + 1, false),
            (1_000_000_000, false),
        ] {
            assert_eq!(is_fresh(&path, Timestamp(touched + passed)), fresh);
        }
    }

    #[test]
    fn a_clock_that_is_not_the_kernels_is_not_proved_by_it() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::new(dir.path());
        if mayfly_sys::synchronised_clock().is_ok() {
            assert!(!machine.is_synchronised(Timestamp(0)));
        }
    }
}
