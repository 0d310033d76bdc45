//! File systems of their own: small ones in memory, ext4 in a file whose power can be cut, and btrfs
//! in a file, with a quota.
//!
//! Each is unmounted when it is dropped; the loop device goes with its mount.

use super::within;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Runs a command quietly; whether it succeeded.
fn done<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// A file system in memory with limits: `size=24m`, `nr_inodes=20`.
pub struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    pub fn mount(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().as_os_str();
        let words = ["-t", "tmpfs", "-o", options, "tmpfs"].map(OsStr::new);
        let mounted = done("mount", &[&words[..], &[path]].concat());
        mounted.then_some(Self { dir })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        done("umount", &[OsStr::new("-l"), self.dir.path().as_os_str()]);
    }
}

/// ext4 in a file, mounted over a loop device.
pub struct LoopDisk {
    /// Holds the image, in memory where there is room for it.
    home: tempfile::TempDir,
    at: PathBuf,
}

/// `FS_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: from now on nothing reaches the device,
/// and what the journal had not written is lost.
const SHUTDOWN: &str = r#"
    open(my $dir, "<", $ARGV[0]) or die "open: $!";
    my $flags = pack("L", 2);
    ioctl($dir, 0x8004587d, $flags) or die "ioctl: $!";
"#;

/// A directory with an empty image of that size, in memory where there is room for it, and a place
/// to mount it at.
fn image(mebibytes: u32) -> (tempfile::TempDir, PathBuf) {
    let memory = Path::new("/dev/shm");
    let home = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let home = home.unwrap();
    let at = home.path().join("mount");
    std::fs::create_dir(&at).unwrap();
    let image = std::fs::File::create(home.path().join("image")).unwrap();
    image.set_len(u64::from(mebibytes) << 20).unwrap();
    (home, at)
}

impl LoopDisk {
    /// Makes and mounts one. `None` when that is not possible here.
    pub fn mount(mebibytes: u32) -> Option<Self> {
        let (home, at) = image(mebibytes);
        let disk = Self { home, at };
        let made = ["mkfs.ext4", "/usr/sbin/mkfs.ext4"].iter().any(|program| {
            let words = ["-q", "-F", "-m", "0"].map(OsStr::new);
            done(program, &[&words[..], &[disk.image().as_os_str()]].concat())
        });
        (made && disk.mount_again()).then_some(disk)
    }

    fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }

    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Mounts it after [`LoopDisk::unmount`]; what the journal knows is replayed.
    pub fn mount_again(&self) -> bool {
        let words = ["-t", "ext4", "-o", "loop,errors=remount-ro"].map(OsStr::new);
        let image = self.image();
        let places = [image.as_os_str(), self.at.as_os_str()];
        within(Duration::from_secs(10), || {
            done("mount", &[&words[..], &places].concat())
        })
    }

    /// Mounts it with other options, as soon as nobody has a file open in the way of it.
    pub fn remount(&self, options: &str) -> bool {
        let options = format!("remount,{options}");
        let words = [OsStr::new("-o"), OsStr::new(&options), self.at.as_os_str()];
        within(Duration::from_secs(20), || done("mount", &words))
    }

    /// Lets nobody write there until the answer is dropped: whoever tries hangs, and cannot be
    /// killed. `None` when that is not possible here.
    pub fn freeze(&self) -> Option<Frozen> {
        // It thaws when this process is gone, too, however that ended.
        let script = "trap '' INT TERM; PATH=$PATH:/usr/sbin:/sbin; \
            fsfreeze -f \"$1\" || exit; echo frozen; read end; fsfreeze -u \"$1\"";
        let child = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(&self.at)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.ok()?;
        let mut said = String::new();
        let out = child.stdout.take()?;
        let _ended = BufReader::new(out).read_line(&mut said);
        let frozen = Frozen(child);
        (said == "frozen\n").then_some(frozen)
    }

    /// Takes it away as soon as nobody has a file open there.
    pub fn unmount(&self) -> bool {
        within(Duration::from_secs(20), || done("umount", &[&self.at]))
    }

    /// Cuts the power: nothing more is written, and what was not synced is lost. Whoever writes has
    /// to be stopped before: a sync that is under way would report success.
    pub fn cut(&self) -> bool {
        let words = [OsStr::new("-e"), OsStr::new(SHUTDOWN), self.at.as_os_str()];
        done("perl", &words)
    }

    /// The error that makes ext4 refuse all writes from now on, as a dying card does.
    pub fn fail(&self) -> bool {
        let Some(device) = self.device() else {
            return false;
        };
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        std::fs::write(trigger, "failing on purpose").is_ok()
    }

    /// Bytes that were written to the device so far.
    pub fn written(&self) -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/sys/block/{}/stat", self.device()?)).ok()?;
        // Kernel documentation, "Block layer statistics": sectors of 512 bytes, whatever the device has.
        let sectors: u64 = stat.split_whitespace().nth(6)?.parse().ok()?;
        Some(sectors * 512)
    }

    /// The name of the loop device below `/dev`.
    fn device(&self) -> Option<String> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
        let at = self.at.to_str()?;
        let line = mounts.lines().find(|l| l.split(' ').nth(1) == Some(at))?;
        Some(line.split(' ').next()?.strip_prefix("/dev/")?.to_owned())
    }
}

/// A file system that hangs.
pub struct Frozen(Child);

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        done("umount", &[OsStr::new("-l"), self.at.as_os_str()]);
    }
}

/// btrfs in a file, mounted over a loop device: half a gibibyte that is free, and a quota that gives
/// less of it.
pub struct QuotaDisk {
    _home: tempfile::TempDir,
    at: PathBuf,
}

impl QuotaDisk {
    /// Makes and mounts one, whose directory [`QuotaDisk::path`] may hold `mebibytes`. `None` when
    /// that is not possible here.
    pub fn mount(mebibytes: u32) -> Option<Self> {
        let (home, at) = image(600);
        let disk = Self { _home: home, at };
        let image = disk.at.with_file_name("image");
        let (image, at) = (image.as_os_str(), disk.at.as_os_str());
        let (limited, limit) = (disk.path(), format!("{mebibytes}M"));
        let words = |words: &[&str], path: &OsStr| {
            let words: Vec<_> = words.iter().map(OsStr::new).chain([path]).collect();
            done("btrfs", &words)
        };
        let mounted = done("mkfs.btrfs", &[OsStr::new("-q"), image])
            && done("mount", &[OsStr::new("-o"), OsStr::new("loop"), image, at])
            && words(&["quota", "enable"], at)
            && words(&["subvolume", "create"], limited.as_os_str())
            && words(&["qgroup", "limit", &limit], limited.as_os_str());
        mounted.then_some(disk)
    }

    /// The directory that the quota holds for.
    pub fn path(&self) -> PathBuf {
        self.at.join("limited")
    }
}

impl Drop for QuotaDisk {
    fn drop(&mut self) {
        done("umount", &[OsStr::new("-l"), self.at.as_os_str()]);
    }
}
