//! Sets of byte positions, as sorted ranges that neither touch nor overlap.

use std::ops::Range;

/// A set of byte positions of one file.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// The union of `ranges`, which may overlap and stand in any order.
    pub(super) fn of<'a>(ranges: impl IntoIterator<Item = &'a Range<u64>>) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.add(range));
        set
    }

    /// Adds the positions of `range`.
    pub(super) fn add(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let mut merged = range.clone();
        self.0.retain(|other| {
            let apart = other.end < merged.start || merged.end < other.start;
            if !apart {
                merged = merged.start.min(other.start)..merged.end.max(other.end);
            }
            apart
        });
        let place = self.0.partition_point(|other| other.end < merged.start);
        self.0.insert(place, merged);
    }

    /// Adds every position of `other`.
    pub(super) fn add_all(&mut self, other: &Self) {
        other.iter().for_each(|range| self.add(range));
    }

    /// Removes the positions of `range`.
    pub(super) fn remove(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let mut rest = Vec::with_capacity(self.0.len() + 1);
        for kept in &self.0 {
            let before = kept.start..kept.end.min(range.start);
            let after = kept.start.max(range.end)..kept.end;
            rest.extend([before, after].into_iter().filter(|r| !r.is_empty()));
        }
        self.0 = rest;
    }

    /// Removes every position of `other`.
    pub(super) fn remove_all(&mut self, other: &Self) {
        other.iter().for_each(|range| self.remove(range));
    }

    /// Whether a position is in both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.iter().any(|a| {
            other
                .iter()
                .any(|b| a.start.max(b.start) < a.end.min(b.end))
        })
    }

    /// Whether `position` is in it.
    pub(super) fn contains(&self, position: u64) -> bool {
        self.iter().any(|range| range.contains(&position))
    }

    /// Whether it is all of `0..end`.
    pub(super) fn covers(&self, end: u64) -> bool {
        self.iter()
            .any(|range| range.start == 0 && range.end >= end)
    }

    /// Whether it has no position.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many ranges it takes to write it down.
    pub(super) fn pieces(&self) -> usize {
        self.0.len()
    }

    /// The ranges, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn ranges_are_sets() {
        proptest!(|(steps in prop::collection::vec((any::<bool>(), 0u64..40, 0u64..12), 0..40))| {
            let mut ranges = Ranges::default();
            let mut model = BTreeSet::new();
            for (adds, start, length) in steps {
                let range = start..start + length;
                if adds {
                    ranges.add(&range);
                    model.extend(range);
                } else {
                    ranges.remove(&range);
                    model.retain(|p| !range.contains(p));
                }
                let flat: Vec<u64> = ranges.iter().cloned().flatten().collect();
                prop_assert_eq!(&flat, &model.iter().copied().collect::<Vec<_>>());
                let gaps = model.iter().filter(|p| !model.contains(&(*p + 1))).count();
                prop_assert_eq!(ranges.pieces(), gaps, "as few pieces as can be");
                prop_assert_eq!(ranges.is_empty(), model.is_empty());
                for end in 1..52 {
                    prop_assert_eq!(ranges.covers(end), (0..end).all(|p| model.contains(&p)));
                }
                let other = Ranges::of([&(10..20), &(30..31)]);
                let meets = model.iter().any(|p| (10..20).contains(p) || *p == 30);
                prop_assert_eq!(ranges.meets(&other), meets);
            }
        });
    }
}
