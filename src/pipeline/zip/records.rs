//! The records of a zip archive, byte by byte. The length of each follows from name, size and place alone: so
//! an archive can be measured before there is anything to put into it.

use super::Entry;
use crate::model::Timestamp;

/// A number that stands for "see the Zip64 record".
const SEE_64: u32 = u32::MAX;
/// The same, for numbers of files.
const SEE_64_SHORT: u16 = u16::MAX;
/// Bit 3: sizes and checksum come behind the bytes; bit 11: the name is UTF-8.
const FLAGS: u16 = 1 << 3 | 1 << 11;
/// Made on Unix: what the upper half of the external attributes means.
const UNIX: u16 = 3 << 8;
/// Version 2.0: files in folders, the oldest that everybody reads.
const PLAIN: u16 = 20;
/// Version 4.5: Zip64.
const ZIP64: u16 = 45;
/// A regular file that its owner may write and everybody may read.
const MODE: u32 = 0o100_644 << 16;
/// The extended timestamp of Info-ZIP, with the time of the last change only.
const TIMESTAMP: u16 = 0x5455;
/// The Zip64 extended information.
const EXTENDED: u16 = 1;

/// Appends numbers as zip has them, the least byte first.
#[derive(Default)]
struct Record(Vec<u8>);

impl Record {
    fn short(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn long(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn huge(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// Whether the size needs Zip64.
fn is_large(entry: &Entry) -> bool {
    entry.size >= u64::from(SEE_64)
}

/// A number in its old field: itself, or where it is to be looked up.
fn old(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(SEE_64)
}

fn version(large: bool) -> u16 {
    if large { ZIP64 } else { PLAIN }
}

/// The lengths of names are bounded far below; so are those of extra fields.
fn length(bytes: &[u8]) -> u16 {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX)
}

/// The local file header (4.3.7).
pub(super) fn local(entry: &Entry) -> Vec<u8> {
    let large = is_large(entry);
    let mut extra = timestamp(entry.modified);
    if large {
        // Tells that the descriptor has eight bytes for each size.
        extra = extra.short(EXTENDED).short(16).huge(0).huge(0);
    }
    let size = if large { SEE_64 } else { 0 };
    let name = entry.name.as_bytes();
    Record::default()
        .long(0x0403_4b50)
        .short(version(large))
        .short(FLAGS)
        .short(0)
        .long(dos_time(entry.modified))
        .long(0)
        .long(size)
        .long(size)
        .short(length(name))
        .short(length(&extra.0))
        .bytes(name)
        .bytes(&extra.0)
        .0
}

/// The data descriptor (4.3.9), with its signature.
pub(super) fn descriptor(entry: &Entry, sum: u32) -> Vec<u8> {
    let record = Record::default().long(0x0807_4b50).long(sum);
    match is_large(entry) {
        true => record.huge(entry.size).huge(entry.size).0,
        false => record.long(old(entry.size)).long(old(entry.size)).0,
    }
}

/// The header in the central directory (4.3.12) of the file whose local header is at `start`.
pub(super) fn central(entry: &Entry, start: u64, sum: u32) -> Vec<u8> {
    let far = start >= u64::from(SEE_64);
    let large = is_large(entry);
    let mut extra = timestamp(entry.modified);
    if large || far {
        let mut numbers = Record::default();
        if large {
            numbers = numbers.huge(entry.size).huge(entry.size);
        }
        if far {
            numbers = numbers.huge(start);
        }
        extra = extra
            .short(EXTENDED)
            .short(length(&numbers.0))
            .bytes(&numbers.0);
    }
    let name = entry.name.as_bytes();
    Record::default()
        .long(0x0201_4b50)
        .short(UNIX | version(large || far))
        .short(version(large || far))
        .short(FLAGS)
        .short(0)
        .long(dos_time(entry.modified))
        .long(sum)
        .long(old(entry.size))
        .long(old(entry.size))
        .short(length(name))
        .short(length(&extra.0))
        .short(0)
        .short(0)
        .short(0)
        .long(MODE)
        .long(old(start))
        .bytes(name)
        .bytes(&extra.0)
        .0
}

/// The end of the central directory (4.3.16) from `start` to `end`, and before it the records of Zip64
/// (4.3.14, 4.3.15) where a number needs them.
pub(super) fn end(files: u64, start: u64, end: u64) -> Vec<u8> {
    let size = end - start;
    let short = u16::try_from(files).unwrap_or(SEE_64_SHORT);
    let large = short == SEE_64_SHORT || old(size) == SEE_64 || old(start) == SEE_64;
    let mut record = Record::default();
    if large {
        record = record
            .long(0x0606_4b50)
            .huge(44)
            .short(UNIX | ZIP64)
            .short(ZIP64)
            .long(0)
            .long(0)
            .huge(files)
            .huge(files)
            .huge(size)
            .huge(start)
            .long(0x0706_4b50)
            .long(0)
            .huge(end)
            .long(1);
    }
    record
        .long(0x0605_4b50)
        .short(0)
        .short(0)
        .short(short)
        .short(short)
        .long(old(size))
        .long(old(start))
        .short(0)
        .0
}

/// The extended timestamp, where the time fits into its four bytes.
fn timestamp(at: Timestamp) -> Record {
    match i32::try_from(at.0) {
        Ok(seconds) => Record::default()
            .short(TIMESTAMP)
            .short(5)
            .bytes(&[1])
            .bytes(&seconds.to_le_bytes()),
        Err(_) => Record::default(),
    }
}

/// Time (the lower half) and date of DOS (4.4.6), as of UTC: 1980 to 2107, in steps of two seconds.
fn dos_time(at: Timestamp) -> u32 {
    const FIRST: i64 = 315_532_800;
    const LAST: i64 = 4_354_819_198;
    let at = at.0.clamp(FIRST, LAST);
    let (days, seconds) = (at.div_euclid(86_400), at.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let date = (year - 1980) << 9 | month << 5 | day;
    let time = (seconds / 3600) << 11 | (seconds / 60 % 60) << 5 | (seconds % 60 / 2);
    // Both halves are below 2^16 by the bounds above.
    u32::try_from(date << 16 | time).unwrap_or_default()
}

/// Year, month and day of a day since 1970, in the Gregorian calendar.
fn date(days: i64) -> (i64, i64, i64) {
    // Counted from March 1st of year 0, so that the day that is there only now and then comes last.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let parts = |seconds: i64| {
            let both = dos_time(Timestamp(seconds));
            let (date, time) = (both >> 16, both & 0xffff);
            (
                (1980 + (date >> 9), date >> 5 & 15, date & 31),
                (time >> 11, time >> 5 & 63, time % 32 * 2),
            )
        };
        assert_eq!(parts(1_800_000_001), ((2027, 1, 15), (8, 0, 0)));
        assert_eq!(parts(951_827_696), ((2000, 2, 29), (12, 34, 56)));
        assert_eq!(parts(4_107_542_399), ((2100, 2, 28), (23, 59, 58)));
        assert_eq!(parts(4_107_542_400), ((2100, 3, 1), (0, 0, 0)));
        assert_eq!(parts(0), ((1980, 1, 1), (0, 0, 0)));
        assert_eq!(parts(i64::MIN), parts(0));
        assert_eq!(parts(i64::MAX), ((2107, 12, 31), (23, 59, 58)));
    }
}
