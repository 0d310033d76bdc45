//! Into which parts a blob is cut. Pure.
//!
//! S3 allows 10,000 parts; every one but the last has at least 5 MiB and at most 5 GiB. Cloudflare R2
//! also wants all but the last to have one size, so parts grow only where one size would not do.
//! A part waits on the local disk until the server has it, so it is as small as the number allows.

/// The size of a part, in bytes, unless more than [`STEADY`] of them are expected.
const COMMON: u64 = 15 << 19;
/// The size of a part, in bytes, while nobody knows how many will come.
const UNKNOWN: u64 = 32 << 20;
/// Parts of one size for a blob of known length; the rest is for one that is longer than was said.
const STEADY: u64 = 9_000;
/// Parts of one size for a blob of unknown length: 93 GiB.
const STEADY_UNKNOWN: u64 = 3_000;
/// After the steady ones, the size doubles each time so many have come.
const DOUBLING: u64 = 1_000;
/// Sizes are whole multiples of this.
const GRAIN: u64 = 1 << 19;
/// Most parts, and the largest one: the protocol's limits.
pub(super) const MOST: u64 = 10_000;
const LARGEST: u64 = 5 << 30;
/// The largest blob that a bucket takes, in bytes.
pub(super) const MAX_BLOB: u64 = 5 << 40;

/// The size of all parts but the last of a blob of `size` bytes that comes in pieces of mostly `each`: one that
/// divides those, if there is one. `None` when no bucket takes so many.
pub(super) fn grid(size: u64, each: u64) -> Option<u64> {
    let least = Plan::new(Some(size))?.size;
    let floor = size.div_ceil(STEADY).max(5 << 20);
    let most = each / floor;
    let fitting = (1..=most.min(MOST))
        .rev()
        .find(|count| each.is_multiple_of(*count));
    // Few large ones would wait on the disk as they come.
    let fitting = fitting.map(|count| each / count);
    Some(fitting.filter(|part| *part <= 4 * least).unwrap_or(least))
}

/// The parts of one blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    size: u64,
    steady: u64,
}

impl Plan {
    /// A plan for a blob of `expected` bytes, if known. `None` when no bucket takes so many.
    pub(super) fn new(expected: Option<u64>) -> Option<Self> {
        let Some(expected) = expected else {
            return Some(Self {
                size: UNKNOWN,
                steady: STEADY_UNKNOWN,
            });
        };
        let least = expected.div_ceil(STEADY).next_multiple_of(GRAIN);
        (expected <= MAX_BLOB).then_some(Self {
            size: least.max(COMMON),
            steady: STEADY,
        })
    }

    /// The size of part `number`, counted from 1, if another follows it. `None` when there can be no
    /// such part.
    pub(super) fn size(&self, number: u64) -> Option<u64> {
        if number > MOST {
            return None;
        }
        let doublings = number.saturating_sub(self.steady).div_ceil(DOUBLING);
        let size = self.size.saturating_mul(1 << doublings);
        Some(size.min(LARGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// How many parts `length` bytes make; `None` when they do not fit.
    fn count(plan: &Plan, length: u64) -> Option<u64> {
        let mut left = length;
        let mut number = 1;
        loop {
            let size = plan.size(number)?;
            assert!((5 << 20..=LARGEST).contains(&size), "part {number}: {size}");
            assert_eq!(size % GRAIN, 0);
            if left <= size {
                return Some(number);
            }
            left -= size;
            number += 1;
        }
    }

    /// Lengths around everything where something changes.
    fn lengths() -> impl Iterator<Item = u64> {
        let bases = [
            0,
            1,
            COMMON,
            COMMON * 2,
            GIB,
            COMMON * STEADY,
            100 * GIB,
            UNKNOWN * STEADY_UNKNOWN,
            1024 * GIB,
            MAX_BLOB,
        ];
        let around = |base: u64| [base.saturating_sub(1), base, base + 1];
        let mut state = 1u64;
        let random = (0..500).map(move |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 20) % MAX_BLOB
        });
        bases.into_iter().flat_map(around).chain(random)
    }

    #[test]
    fn whatever_was_expected_fits_into_the_steady_parts_and_all_of_those_are_equal() {
        for length in lengths().filter(|length| *length <= MAX_BLOB) {
            let plan = Plan::new(Some(length)).unwrap();
            let count = count(&plan, length).unwrap();
            assert!(count <= STEADY, "{length}: {count}");
            assert_eq!(plan.size(1), plan.size(STEADY), "{length}");
            // As small as it may be: a part takes room on the local disk.
            let size = plan.size(1).unwrap();
            assert!(
                size == COMMON || (size - GRAIN) * STEADY < length,
                "{length}"
            );
        }
    }

    #[test]
    fn whatever_is_not_expected_fits_too_as_far_as_the_protocol_goes() {
        let unknown = Plan::new(None).unwrap();
        for length in lengths().filter(|length| *length <= MAX_BLOB) {
            assert!(count(&unknown, length).is_some(), "{length}");
        }
        assert_eq!(unknown.size(1), unknown.size(STEADY_UNKNOWN));
        // A tenth more than was said.
        let short = Plan::new(Some(200 * GIB)).unwrap();
        assert!(count(&short, 220 * GIB).is_some());
    }

    #[test]
    fn the_grid_fits_the_pieces_where_it_can_and_the_number_of_parts_always() {
        let chunk = 2880 * 16_400;
        assert_eq!(grid(GIB, chunk), Some(chunk / 9));
        assert_eq!(grid(100, 0), Some(COMMON));
        assert_eq!(grid(GIB, 4 << 20), Some(COMMON));
        assert_eq!(grid(MAX_BLOB + 1, chunk), None);
        for size in lengths().filter(|size| *size <= MAX_BLOB) {
            for each in [1, 5 << 20, chunk, 64 << 20, 99_999_989, u64::MAX] {
                let part = grid(size, each).unwrap();
                assert!(size.div_ceil(part) <= STEADY, "{size} {each}: {part}");
                assert!((5 << 20..=LARGEST).contains(&part), "{size} {each}: {part}");
            }
        }
    }

    #[test]
    fn a_gibibyte_that_was_declared_waits_on_the_disk_in_less_than_8_mib() {
        let plan = Plan::new(Some(GIB)).unwrap();
        assert_eq!(plan.size(1), Some(7_864_320));
        assert_eq!(count(&plan, GIB), Some(137));
    }

    #[test]
    fn what_no_bucket_takes_has_no_plan_and_there_is_no_part_after_the_last() {
        assert_eq!(Plan::new(Some(MAX_BLOB + 1)), None);
        assert_eq!(Plan::new(Some(u64::MAX)), None);
        for plan in [
            Plan::new(None),
            Plan::new(Some(0)),
            Plan::new(Some(MAX_BLOB)),
        ] {
            assert!(plan.unwrap().size(MOST).is_some());
            assert_eq!(plan.unwrap().size(MOST + 1), None);
        }
    }
}
