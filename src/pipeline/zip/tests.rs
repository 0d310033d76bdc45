//! Archives, as this and as others read them.

use super::*;
use crate::model::clean_name;
use proptest::prelude::*;
use std::io::{Seek, SeekFrom, Write};
use std::process::Command;

/// Takes everything into memory, or into a file.
struct Taken<W>(W, u64);

impl<W: Write> Output for Taken<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.1 += bytes.len() as u64;
        self.0.write_all(bytes)
    }

    fn send_file(&mut self, _: &File, _: u64, _: u64) -> io::Result<()> {
        unreachable!("what is packed is looked at")
    }

    fn settle(&mut self) -> u64 {
        self.1
    }

    fn ready(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn entry(name: &str, size: u64) -> Entry {
    Entry {
        name: name.to_owned(),
        size,
        modified: Timestamp(1_800_000_001),
    }
}

/// Writes an archive of these files.
fn packed(files: &[(String, Vec<u8>)], output: &mut dyn Output) -> Archive {
    let entries = files
        .iter()
        .map(|(name, bytes)| entry(name, bytes.len() as u64));
    let archive = Archive::new(entries.collect()).unwrap();
    let mut writer = archive.writer();
    for (_, bytes) in files {
        writer
            .file(output, |output| {
                bytes
                    .chunks(7_000)
                    .try_for_each(|part| output.write_all(part))
            })
            .unwrap();
    }
    writer.finish(output).unwrap();
    archive
}

/// What Python says about the archive at `path`: it runs `script` on the open `zip`. `None` where there is no Python.
fn python(path: &std::path::Path, script: &str) -> Option<String> {
    let script = format!("import sys, zipfile\nzip = zipfile.ZipFile(sys.argv[1])\n{script}");
    let Ok(output) = Command::new("python3")
        .arg("-c")
        .arg(script)
        .arg(path)
        .output()
    else {
        eprintln!("LEFT OUT: what Python says about the archive: python3 is not installed");
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

fn little(bytes: &[u8], at: usize, length: usize) -> u64 {
    let field = bytes[at..at + length].iter().rev();
    field.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[test]
fn an_archive_is_what_others_take_for_one() {
    let files = [
        ("a.txt".to_owned(), b"hello\n".to_vec()),
        ("empty".to_owned(), Vec::new()),
        ("übung 日本.bin".to_owned(), vec![7; 100_000]),
    ];
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let archive = packed(&files, &mut Taken(file.as_file_mut(), 0));
    assert_eq!(file.as_file().metadata().unwrap().len(), archive.length());
    let script = "\
print(zip.testzip())
for i in zip.infolist():
    print(i.filename, i.file_size, i.compress_type, i.date_time, i.flag_bits, i.extract_version, oct(i.external_attr >> 16), len(zip.read(i)))";
    let Some(said) = python(file.path(), script) else {
        return;
    };
    assert_eq!(
        said,
        "None\n\
         a.txt 6 0 (2027, 1, 15, 8, 0, 0) 2056 20 0o100644 6\n\
         empty 0 0 (2027, 1, 15, 8, 0, 0) 2056 20 0o100644 0\n\
         übung 日本.bin 100000 0 (2027, 1, 15, 8, 0, 0) 2056 20 0o100644 100000"
    );
}

#[test]
fn more_files_than_sixteen_bits_can_count_are_counted() {
    let files: Vec<_> = (0..70_000)
        .map(|n| (format!("{n}"), vec![n as u8; n % 3]))
        .collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut output = Taken(io::BufWriter::new(file.as_file_mut()), 0);
    let archive = packed(&files, &mut output);
    output.0.flush().unwrap();
    assert_eq!(output.1, archive.length());
    drop(output);
    let script =
        "print(zip.testzip(), len(zip.infolist()), zip.read('69999') == b'\\x6f' * (69999 % 3))";
    if let Some(said) = python(file.path(), script) {
        assert_eq!(said, "None 70000 True");
    }
}

/// The CRC-32 of so many zeros.
fn sum_of_zeros(length: u64) -> u32 {
    let (mut sum, mut power) = (Hasher::new(), Hasher::new());
    power.update(&[0]);
    for bit in 0..u64::BITS - length.leading_zeros() {
        if length >> bit & 1 == 1 {
            sum.combine(&power);
        }
        let same = power.clone();
        power.combine(&same);
    }
    sum.finalize()
}

#[test]
fn sizes_and_places_beyond_32_bits_have_their_records() {
    const LARGE: u64 = 5 << 30;
    let sizes = [LARGE, 3, u64::from(u32::MAX), u64::from(u32::MAX) - 1];
    let entries = sizes
        .iter()
        .enumerate()
        .map(|(n, size)| entry(&format!("{n}"), *size));
    let archive = Archive::new(entries.collect()).unwrap();
    // The bytes are holes of a file; only what is around them is written.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let to = file.as_file_mut();
    let mut sums = Vec::new();
    for (n, entry) in archive.entries.iter().enumerate() {
        let place = archive.bytes_of(n);
        let local = records::local(entry);
        assert_eq!(little(&local, 4, 2), if n % 2 == 0 { 45 } else { 20 });
        to.seek(SeekFrom::Start(archive.starts[n])).unwrap();
        to.write_all(&local).unwrap();
        assert_eq!(to.stream_position().unwrap(), place.start);
        to.seek(SeekFrom::Start(place.end)).unwrap();
        sums.push(sum_of_zeros(entry.size));
        let descriptor = records::descriptor(entry, sums[n]);
        assert_eq!(descriptor.len(), if n % 2 == 0 { 24 } else { 16 });
        to.write_all(&descriptor).unwrap();
    }
    let writer = Writer {
        archive: &archive,
        sums,
    };
    writer.finish(&mut Taken(&mut *to, 0)).unwrap();
    assert_eq!(to.metadata().unwrap().len(), archive.length());
    let script = "\
print([(i.filename, i.file_size, i.header_offset, i.extract_version) for i in zip.infolist()])
print(zip.read('1'))";
    let Some(said) = python(file.path(), script) else {
        return;
    };
    let offset = |n: usize| archive.starts[n];
    assert_eq!(
        said,
        format!(
            "[('0', {LARGE}, 0, 45), ('1', 3, {}, 45), ('2', 4294967295, {}, 45), ('3', 4294967294, {}, 45)]\n{}",
            offset(1),
            offset(2),
            offset(3),
            "b'\\x00\\x00\\x00'"
        )
    );
}

#[test]
fn a_length_that_cannot_be_counted_is_no_plan() {
    let files = || vec![entry("a", u64::MAX / 2), entry("b", u64::MAX / 2)];
    assert!(Archive::new(files()).is_none());
    assert!(Archive::new(vec![entry("a", u64::MAX - 40)]).is_none());
    assert!(Archive::new(vec![entry("a", u64::MAX / 2)]).is_some());
    // A time that no field of a zip has is told as well as it can be.
    let far = Entry {
        modified: Timestamp(i64::MAX),
        ..entry("a", 1)
    };
    assert!(Archive::new(vec![far]).is_some());
}

#[test]
fn what_is_shorter_or_longer_than_it_was_breaks_the_archive_off() {
    let archive = Archive::new(vec![entry("a", 3)]).unwrap();
    for bytes in [&b"ab"[..], b"abcd", b""] {
        let mut output = Taken(Vec::new(), 0);
        let mut writer = archive.writer();
        let error = writer.file(&mut output, |output| output.write_all(bytes));
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(writer.finish(&mut output).is_err(), "a file is missing");
        assert!(output.1 < archive.length());
    }
}

#[test]
fn a_part_of_a_file_is_packed_as_its_bytes() {
    let mut file = tempfile::tempfile().unwrap();
    let bytes: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    file.write_all(&bytes).unwrap();
    let archive = Archive::new(vec![entry("a", 299_990)]).unwrap();
    let mut output = Taken(Vec::new(), 0);
    let mut writer = archive.writer();
    writer
        .file(&mut output, |output| {
            output.send_file(&file, 5, 100)?;
            output.send_file(&file, 105, 299_890)
        })
        .unwrap();
    writer.finish(&mut output).unwrap();
    let place = archive.bytes_of(0);
    let place = usize::try_from(place.start).unwrap()..usize::try_from(place.end).unwrap();
    assert!(output.0[place.clone()] == bytes[5..299_995]);
    assert_eq!(
        little(&output.0, place.end + 4, 4),
        u64::from(crc32fast::hash(&bytes[5..299_995]))
    );
    let short = archive.writer().file(&mut output, |output| {
        output.send_file(&file, 299_000, 299_990)
    });
    assert_eq!(short.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

proptest! {
    #[test]
    fn the_length_is_known_before_and_right(
        files in proptest::collection::vec(("\\PC{0,60}", 0usize..40_000), 0..20)
    ) {
        let mut names = Names::default();
        let files: Vec<_> = files
            .iter()
            .map(|(name, size)| (names.give(&clean_name(name)), vec![b'x'; *size]))
            .collect();
        let mut output = Taken(Vec::new(), 0);
        let archive = packed(&files, &mut output);
        prop_assert_eq!(archive.length(), output.1);
        for (n, (_, bytes)) in files.iter().enumerate() {
            let place = archive.bytes_of(n);
            let place = usize::try_from(place.start).unwrap()..usize::try_from(place.end).unwrap();
            prop_assert_eq!(&output.0[place], &bytes[..]);
        }
    }
}
