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
            is_complete: false,
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

    /// Where the page goes on when the last branch ends at `end`. `None` when that depends on which
    /// one is taken; instead of a block, there may be one that ends where it begins.
    pub fn end(&self, end: Place) -> Option<Place> {
        let skipped = (!self.is_complete).then_some(self.start);
        let mut others = self.ends.iter().copied().chain(skipped);
        others.try_fold(end, Place::or)
    }
}
