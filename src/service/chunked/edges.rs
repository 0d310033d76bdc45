//! Parts of one segment that wait for the rest of it, because the chunks that they came in end elsewhere than
//! segments do. They wait in the database, sealed under the content key.

use crate::model::{Lookup, Secret};
use crate::pipeline::Span;
use crate::pipeline::seal::keys::{self, Purpose};
use zeroize::Zeroizing;

/// What becomes of an edge when another part of its segment has come.
pub(super) enum Joined {
    /// All of the segment is here.
    Whole(Zeroizing<Vec<u8>>),
    /// This waits now.
    Waits(Vec<u8>),
}

/// The parts, in order, none of which touch.
type Parts = Vec<(usize, Zeroizing<Vec<u8>>)>;

/// Adds `span` to what `known` holds for its segment of `length` bytes, in the upload `lookup`. `None` when
/// the record does not open, or has bytes of the span already: it is damaged.
pub(super) fn join(
    content: &Secret,
    lookup: &Lookup,
    length: usize,
    known: Option<&[u8]>,
    span: &Span,
) -> Option<Joined> {
    let context = context(lookup, span.segment);
    let secrets: [&[u8]; 1] = [content.reveal()];
    let mut parts = match known {
        None => Parts::new(),
        Some(wrapped) => {
            let opened = keys::unwrap(Purpose::ChunkEdge, &secrets, &context, wrapped)?;
            decode(&opened)?
        }
    };
    let at = parts.partition_point(|(start, _)| *start < span.start);
    parts.insert(at, (span.start, span.bytes.clone()));
    let parts = touching_as_one(parts)?;
    match &parts[..] {
        [(0, all)] if all.len() == length => Some(Joined::Whole(all.clone())),
        _ => {
            let encoded = encode(&parts)?;
            let wrapped = keys::wrap(Purpose::ChunkEdge, &secrets, &context, &encoded);
            Some(Joined::Waits(wrapped))
        }
    }
}

fn context(lookup: &Lookup, segment: u64) -> Vec<u8> {
    [&lookup.0[..], &segment.to_be_bytes()].concat()
}

/// Joins parts that touch. `None` when two overlap.
fn touching_as_one(parts: Parts) -> Option<Parts> {
    let mut joined = Parts::new();
    for (start, bytes) in parts {
        match joined.last_mut() {
            Some((before, held)) if *before + held.len() > start => return None,
            Some((before, held)) if *before + held.len() == start => {
                // Room for all at once: a buffer that moves while it grows leaves an unwiped one behind.
                let mut both = Zeroizing::new(Vec::with_capacity(held.len() + bytes.len()));
                both.extend_from_slice(held);
                both.extend_from_slice(&bytes);
                *held = both;
            }
            _ => joined.push((start, bytes)),
        }
    }
    Some(joined)
}

/// Start and length of each part in two bytes, then its bytes.
fn encode(parts: &Parts) -> Option<Zeroizing<Vec<u8>>> {
    let room = parts.iter().map(|(_, bytes)| 4 + bytes.len()).sum();
    let mut encoded = Zeroizing::new(Vec::with_capacity(room));
    for (start, bytes) in parts {
        encoded.extend_from_slice(&u16::try_from(*start).ok()?.to_be_bytes());
        encoded.extend_from_slice(&u16::try_from(bytes.len()).ok()?.to_be_bytes());
        encoded.extend_from_slice(bytes);
    }
    Some(encoded)
}

fn decode(mut rest: &[u8]) -> Option<Parts> {
    let mut parts = Parts::new();
    while !rest.is_empty() {
        let (start, after) = rest.split_first_chunk::<2>()?;
        let (length, after) = after.split_first_chunk::<2>()?;
        let (bytes, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let start = usize::from(u16::from_be_bytes(*start));
        parts.push((start, Zeroizing::new(bytes.to_vec())));
        rest = after;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOOKUP: Lookup = Lookup([3; 32]);

    fn key() -> Secret {
        Secret::new([0x42; 32])
    }

    fn span(start: usize, bytes: &[u8]) -> Span {
        Span {
            segment: 7,
            start,
            bytes: Zeroizing::new(bytes.to_vec()),
        }
    }

    #[test]
    fn an_edge_opens_for_its_segment_and_its_upload_only() {
        let waits = join(&key(), &LOOKUP, 10, None, &span(2, b"cd"));
        let Some(Joined::Waits(record)) = waits else {
            panic!("a part is not the whole");
        };
        let more = span(4, b"ef");
        assert!(join(&key(), &LOOKUP, 10, Some(&record), &more).is_some());
        let other = Lookup([4; 32]);
        assert!(join(&key(), &other, 10, Some(&record), &more).is_none());
        let elsewhere = Span {
            segment: 8,
            ..span(4, b"ef")
        };
        assert!(join(&key(), &LOOKUP, 10, Some(&record), &elsewhere).is_none());
        let key = Secret::new([1; 32]);
        assert!(join(&key, &LOOKUP, 10, Some(&record), &more).is_none());
    }

    #[test]
    fn bytes_that_wait_already_are_not_taken_again() {
        let Some(Joined::Waits(record)) = join(&key(), &LOOKUP, 10, None, &span(2, b"cde")) else {
            panic!("a part is not the whole");
        };
        for start in [1, 2, 3, 4] {
            let again = join(&key(), &LOOKUP, 10, Some(&record), &span(start, b"xx"));
            assert!(again.is_none(), "{start}");
        }
        assert!(join(&key(), &LOOKUP, 10, Some(&record), &span(5, b"f")).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn parts_in_any_order_become_the_segment(
            length in 1..16_385usize,
            cuts in prop::collection::vec(0..16_384usize, 0..6),
            order in any::<prop::sample::Index>(),
        ) {
            let all: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
            let mut bounds: Vec<_> = cuts.into_iter().map(|cut| cut % length).collect();
            bounds.extend([0, length]);
            bounds.sort_unstable();
            bounds.dedup();
            let mut parts: Vec<_> = bounds.windows(2).map(|w| (w[0], &all[w[0]..w[1]])).collect();
            let turn = order.index(parts.len());
            parts.rotate_left(turn);
            let mut record = None;
            let last = parts.len() - 1;
            for (i, (start, bytes)) in parts.into_iter().enumerate() {
                match join(&key(), &LOOKUP, length, record.as_deref(), &span(start, bytes)) {
                    Some(Joined::Waits(waits)) => {
                        prop_assert!(i < last);
                        record = Some(waits);
                    }
                    Some(Joined::Whole(whole)) => {
                        prop_assert!(i == last);
                        prop_assert!(*whole == all);
                    }
                    None => prop_assert!(false, "damaged"),
                }
            }
        }
    }
}
