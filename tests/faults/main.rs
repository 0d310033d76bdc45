//! The fault matrix: each fault of the medium and of the system is brought about under the real
//! program, and what was seen is compared word for word with what is expected. A table at the end
//! lists fault, expectation and sight; it fails where they differ.
//!
//! `cargo test --test faults` runs the quick ones, with `MAYFLY_SLOW=1` all of them; words behind
//! `--` choose faults by parts of their names, quick or not. `MAYFLY_FAULT_ROUNDS=full` makes the
//! power cuts and kills as many as the release asks for.
//!
//! All mounts are made in a mount namespace of this process: whatever ends it, none is left.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and the table is what it is run for"
)]

mod damage;
mod every;
mod frozen;
mod interruptions;
mod keys;
mod load;
mod migration;
mod oracle;
mod quota;
mod resources;
mod runner;
mod seen;
mod space;
#[path = "../support/mod.rs"]
mod support;
mod writes;

use runner::{Fault, Needs};
use std::process::ExitCode;

/// Every fault. What is expected stands here, in the words that the tests report.
const FAULTS: &[Fault] = &[
    Fault {
        name: "space_declared",
        fault: "the disk is full: a file that says how large it is",
        expected: "upload 507; nothing staged; download whole; delete 200; upload after it 200; same process",
        needs: &[Needs::Mounts],
        quick: true,
        run: space::declared,
    },
    Fault {
        name: "space_undeclared",
        fault: "the disk fills up during uploads that do not say how large they are",
        expected: "upload 507; nothing staged; download whole; delete 200; upload after it 200; same process",
        needs: &[Needs::Mounts],
        quick: true,
        run: space::undeclared,
    },
    Fault {
        name: "space_taken_by_others",
        fault: "others fill the disk to the last byte, then what was kept aside, and free it again",
        expected: "upload 507; nothing staged; download whole; not ready; delete 200; filled again; delete 507; download whole; ready again; delete 200; upload 200; same process",
        needs: &[Needs::Mounts],
        quick: true,
        run: space::taken_by_others,
    },
    Fault {
        name: "space_at_start",
        fault: "a start when others have filled the disk, and what was kept aside",
        expected: "delete 200; download after a restart whole; delete 507; delete 200; upload 200",
        needs: &[Needs::Mounts],
        quick: true,
        run: space::at_start,
    },
    Fault {
        name: "quota",
        fault: "a quota is used up, again and again, while the disk says that it has plenty (btrfs)",
        expected: "upload 507; says so; nothing staged; download whole; each delete 200, after a restart too; what was kept aside was used; upload 507; ready again; upload 200; no start but that",
        needs: &[Needs::Mounts, Needs::Quota],
        quick: true,
        run: quota::used_up,
    },
    Fault {
        name: "quota_refuses_all",
        fault: "EDQUOT when the database is written, and whenever space is to be set aside",
        expected: "delete 200; delete 507; upload 507; says so; nothing staged; download whole; not ready; same process; after it: ready again; delete 200; upload 200",
        needs: &[Needs::Strace],
        quick: true,
        run: quota::refuses_all,
    },
    Fault {
        name: "inodes",
        fault: "the file system has no file left to give (nr_inodes)",
        expected: "upload 507; nothing staged; download whole; delete 200; upload after it 200; same process",
        needs: &[Needs::Mounts],
        quick: true,
        run: space::inodes,
    },
    Fault {
        name: "eio_write_blob",
        fault: "EIO when the bytes of a file are written",
        expected: "upload 500; nothing staged; nothing listed; download whole; upload after it 200; same process",
        needs: &[Needs::Strace],
        quick: false,
        run: writes::eio_in_blob,
    },
    Fault {
        name: "eio_sync_blob",
        fault: "EIO when the bytes of a file are synced",
        expected: "upload 500; after it: ends with 74, or nothing is listed; download whole; upload 200; nothing staged",
        needs: &[Needs::Strace],
        quick: false,
        run: writes::eio_in_sync_of_blob,
    },
    Fault {
        name: "eio_write_database",
        fault: "EIO when the database is written",
        expected: "upload 500; ends with 74; says what to do; after a restart: whole or absent; download whole; upload 200",
        needs: &[Needs::Strace],
        quick: false,
        run: writes::eio_in_database,
    },
    Fault {
        name: "eio_sync_database",
        fault: "EIO when the database is synced",
        expected: "upload 500; ends with 74; says what to do; after a restart: whole or absent; download whole; upload 200",
        needs: &[Needs::Strace],
        quick: false,
        run: writes::eio_in_sync_of_database,
    },
    Fault {
        name: "eio_everywhere",
        fault: "EIO at each write and sync of an upload and a deletion, one after the other",
        expected: "met each; an acknowledged upload is whole; none is half; an acknowledged deletion lasts; goes on, or ends with 74; starts again; the rest whole; upload 200; delete 200",
        needs: &[Needs::Strace],
        quick: false,
        run: every::write_and_sync,
    },
    Fault {
        name: "short_writes",
        fault: "every write takes a part of its bytes only",
        expected: "upload 200; download whole; whole after a restart",
        needs: &[Needs::Compiler],
        quick: true,
        run: writes::short,
    },
    Fault {
        name: "lying_writes",
        fault: "a write reports one byte and writes none (retval=1)",
        expected: "never wrong bytes; starts, or says what is damaged",
        needs: &[Needs::Strace],
        quick: false,
        run: writes::lying,
    },
    Fault {
        name: "read_only",
        fault: "the file system turns read-only (errors=remount-ro)",
        expected: "download whole; upload 503; delete 503; not ready; same process; after a remount: upload 200; delete 200; download whole",
        needs: &[Needs::Mounts, Needs::Loop],
        quick: false,
        run: writes::read_only,
    },
    Fault {
        name: "read_only_start",
        fault: "a start on a file system, then on a mount, that is read-only",
        expected: "ends with 78; names mount and remedy; ends with 78; names mount and remedy; the unit does not try it for ever; after a remount: upload 200; download whole",
        needs: &[Needs::Mounts, Needs::Loop],
        quick: true,
        run: writes::read_only_start,
    },
    Fault {
        name: "slow_disk",
        fault: "each sync takes 3 s",
        expected: "others download meanwhile; health < 1 s; upload 200; same process",
        needs: &[Needs::Strace],
        quick: false,
        run: writes::slow,
    },
    Fault {
        name: "frozen_disk",
        fault: "the disk hangs (fsfreeze): one change waits for it, then all that may be made at once",
        expected: "one: the beats go on; download whole; health 200; all: the beats stop, and it is said who is silent; after it: the beats come again; 64 deletes 200; upload 200; same process",
        needs: &[Needs::Mounts, Needs::Loop, Needs::Freeze],
        quick: false,
        run: frozen::changes,
    },
    Fault {
        name: "descriptors",
        fault: "EMFILE: 64 descriptors, 300 clients",
        expected: "answers again after it; download whole; upload 200; same process",
        needs: &[Needs::Prlimit],
        quick: true,
        run: resources::descriptors,
    },
    Fault {
        name: "threads",
        fault: "EAGAIN: no thread can be started, and 100 requests at once",
        expected: "upload 503; download 503; health 200; after it: upload 200; download whole; same process",
        needs: &[Needs::Strace],
        quick: true,
        run: resources::threads,
    },
    Fault {
        name: "threads_at_start",
        fault: "EAGAIN at the start: no thread can be started",
        expected: "ends with 74; says what to do; starts after it",
        needs: &[Needs::Strace],
        quick: true,
        run: resources::threads_at_start,
    },
    Fault {
        name: "processors",
        fault: "EPERM: nobody may choose the processors of a thread, as a password is checked",
        expected: "login 200; health 200",
        needs: &[Needs::Strace],
        quick: true,
        run: resources::processors,
    },
    Fault {
        name: "memory",
        fault: "ENOMEM: an address space that is used up by 40 uploads at once",
        expected: "answers, perhaps after a restart; download whole; upload 200",
        needs: &[Needs::Prlimit],
        quick: false,
        run: resources::memory,
    },
    Fault {
        name: "double_start",
        fault: "a second process on the same directory",
        expected: "ends with 75; at once; says who is in the way; the first goes on",
        needs: &[],
        quick: true,
        run: resources::double_start,
    },
    Fault {
        name: "sigterm_transfers",
        fault: "SIGTERM during an upload and a download that go on",
        expected: "no new connections; upload 200; download whole; ends with 0; after a restart: whole",
        needs: &[],
        quick: true,
        run: interruptions::sigterm,
    },
    Fault {
        name: "sigterm_stuck",
        fault: "SIGTERM during an upload and a download that stand still",
        expected: "ends with 0; within 22 s; nothing staged after a restart; download whole",
        needs: &[],
        quick: false,
        run: interruptions::sigterm_stuck,
    },
    Fault {
        name: "blob_bits",
        fault: "one bit of a stored file flips, in each segment and in its header",
        expected: "never a wrong byte; never whole; 12 flips noticed; download of others whole; same process",
        needs: &[],
        quick: true,
        run: damage::bits_of_blob,
    },
    Fault {
        name: "blob_shape",
        fault: "a stored file is cut, extended, its segments or the file itself swapped",
        expected: "never a wrong byte; never whole; 12 changes noticed; download of others whole; same process",
        needs: &[],
        quick: true,
        run: damage::shape_of_blob,
    },
    Fault {
        name: "blob_missing",
        fault: "a stored file is deleted behind the server's back",
        expected: "download 410; still listed; delete 200; download of others whole; same process; starts again",
        needs: &[],
        quick: true,
        run: damage::missing_blob,
    },
    Fault {
        name: "database_bits",
        fault: "one bit flips in each page of the database",
        expected: "refused with a message, or served; never wrong data; no hang; no crash",
        needs: &[],
        quick: false,
        run: damage::bits_of_database,
    },
    Fault {
        name: "database_shape",
        fault: "the database is empty, cut, overwritten or gone",
        expected: "always refused; with a remedy; nothing made anew; serves again when it is put back",
        needs: &[],
        quick: true,
        run: damage::shape_of_database,
    },
    Fault {
        name: "key_files",
        fault: "server and master key empty, short, long, missing, or another one",
        expected: "always refused with 78; with a remedy; nothing overwritten; serves again when they are put back",
        needs: &[],
        quick: true,
        run: keys::broken,
    },
    Fault {
        name: "key_file_lost",
        fault: "the server key is missing",
        expected: "warned; made anew; download whole; upload 200",
        needs: &[],
        quick: true,
        run: keys::server_key_lost,
    },
    Fault {
        name: "migration",
        fault: "SIGKILL at each write of a start on a database of schema 1",
        expected: "starts after each; download whole; nothing staged; an upload made after it is whole",
        needs: &[Needs::Strace],
        quick: false,
        run: migration::killed,
    },
    Fault {
        name: "migration_eio",
        fault: "EIO at each write of a start on a database of schema 1",
        expected: "refused with a message, or served; starts after each; download whole",
        needs: &[Needs::Strace],
        quick: false,
        run: migration::failing,
    },
    Fault {
        name: "power_cuts",
        fault: "power cuts under uploads, deletions, counted downloads, changes and expiry",
        expected: "acknowledged uploads whole; no half file; no link came back; no manual repair",
        needs: &[Needs::Mounts, Needs::Loop, Needs::Perl],
        quick: false,
        run: load::power_cuts,
    },
    Fault {
        name: "kills",
        fault: "SIGKILL under uploads, deletions, counted downloads, changes and expiry",
        expected: "acknowledged uploads whole; no half file; no link came back; no manual repair",
        needs: &[],
        quick: false,
        run: load::kills,
    },
];

fn main() -> ExitCode {
    runner::run(FAULTS)
}
