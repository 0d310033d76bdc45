//! The branches of a condition: whichever is taken, the page has to go on in the same place. Only then
//! is what [`super::lint`] finds about the rest true for every page.

use super::place::Place;

/// A condition or a block that is open.
pub struct Open {
    /// Where in the source.
    pub at: usize,
    /// `if` or `block`.
    pub tag: &'static str,
    /// How many branches it has, but for `else`: each is inside of the one before.
    pub branches: usize,
    /// Whether one of them is taken in any case.
    is_complete: bool,
    /// Where in the page it begins.
    start: Place,
    /// Where in the page its branches have ended so far.
    ends: Vec<Place>,
}

impl Open {
    /// It begins `at` in the source and at `start` in the page.
    pub fn new(at: usize, tag: &'static str, start: Place) -> Self {
        Self {
            at,
            tag,
            branches: 1,
            is_complete: tag == "block",
            start,
            ends: Vec::new(),
        }
    }

    /// One branch ends at `end`, and the next one begins at the place that is returned. `is_last` for
    /// an `else`.
    pub fn branch(&mut self, end: Place, is_last: bool) -> Place {
        self.branches += usize::from(!is_last);
        self.is_complete |= is_last;
        self.ends.push(end);
        self.start
    }

    /// Whether all branches, of which the last ends at `end`, leave the page in the same place.
    pub fn is_even(&self, end: Place) -> bool {
        let skipped = (!self.is_complete).then_some(self.start);
        let others = self.ends.iter().copied().chain(skipped);
        others.into_iter().all(|other| other == end)
    }
}
