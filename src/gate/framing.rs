//! The chunked transfer coding (RFC 9112 section 7.1), decoded strictly and in constant memory.
//!
//! The decoder sees the bytes in pieces of any size and says of each piece what it is. It accepts
//! hexadecimal sizes only, CRLF line ends only, short extensions and short trailers, and drops both.

/// The longest size line, extensions included, in bytes.
const LINE: u16 = 64;
/// All trailer lines together, in bytes.
const TRAILERS: u16 = 4096;

/// The state of one chunked body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Size { size: u64, digits: u8, line: u16 },
    Extension { size: u64, line: u16 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer { seen: u16, line: u16 },
    TrailerLf { seen: u16, line: u16 },
    End,
}

/// What the first bytes of an input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// This many bytes are framing; the decoder wants to see more.
    Framing(usize),
    /// After `skip` bytes of framing, up to this many bytes are the body's (possibly more than the
    /// input holds). What was taken of them is reported by [`Chunks::took`].
    Data {
        /// Framing before the data.
        skip: usize,
        /// Bytes left in the chunk, never 0.
        left: u64,
    },
    /// The body ends after this many bytes.
    End(usize),
}

/// The framing is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Chunks {
    pub(super) fn new() -> Self {
        Self {
            state: State::Size {
                size: 0,
                digits: 0,
                line: 0,
            },
        }
    }

    /// Looks at `input`, the bytes after those already consumed.
    pub(super) fn next(&mut self, input: &[u8]) -> Result<Piece, Broken> {
        for (at, &byte) in input.iter().enumerate() {
            match self.state {
                State::Data { left } => return Ok(Piece::Data { skip: at, left }),
                State::End => return Ok(Piece::End(at)),
                _ => self.state = self.step(byte)?,
            }
        }
        Ok(match self.state {
            State::Data { left } => Piece::Data {
                skip: input.len(),
                left,
            },
            State::End => Piece::End(input.len()),
            _ => Piece::Framing(input.len()),
        })
    }

    /// `count` bytes of the current chunk were taken; never more than it had left.
    pub(super) fn took(&mut self, count: u64) {
        if let State::Data { left } = self.state {
            debug_assert!(count <= left, "a chunk gives no more than it holds");
            let left = left.saturating_sub(count);
            self.state = match left {
                0 => State::DataCr,
                _ => State::Data { left },
            };
        }
    }

    fn step(&self, byte: u8) -> Result<State, Broken> {
        Ok(match (self.state.clone(), byte) {
            (State::Size { size, digits, line }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).ok_or(Broken)?;
                State::Size {
                    size: size
                        .checked_mul(16)
                        .and_then(|s| s.checked_add(u64::from(digit)))
                        .ok_or(Broken)?,
                    digits: digits.saturating_add(1),
                    line: longer(line, LINE)?,
                }
            }
            (
                State::Size {
                    size, digits: 1.., ..
                },
                b'\r',
            ) => State::SizeLf { size },
            (
                State::Size {
                    size,
                    digits: 1..,
                    line,
                },
                b';' | b' ' | b'\t',
            ) => State::Extension {
                size,
                line: longer(line, LINE)?,
            },
            (State::Extension { size, .. }, b'\r') => State::SizeLf { size },
            (State::Extension { size, line }, b'\t' | b' '..=b'~' | 0x80..) => State::Extension {
                size,
                line: longer(line, LINE)?,
            },
            (State::SizeLf { size: 0 }, b'\n') => State::Trailer { seen: 0, line: 0 },
            (State::SizeLf { size }, b'\n') => State::Data { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => Self::new().state,
            (State::Trailer { seen, line }, b'\r') => State::TrailerLf { seen, line },
            (State::Trailer { seen, line }, b'\t' | b' '..=b'~' | 0x80..) => State::Trailer {
                seen: longer(seen, TRAILERS)?,
                line: line.saturating_add(1),
            },
            (State::TrailerLf { line: 0, .. }, b'\n') => State::End,
            (State::TrailerLf { seen, .. }, b'\n') => State::Trailer { seen, line: 0 },
            _ => return Err(Broken),
        })
    }
}

fn longer(length: u16, limit: u16) -> Result<u16, Broken> {
    match length < limit {
        true => Ok(length + 1),
        false => Err(Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes `input` handed over in pieces of the given sizes (over and over); returns the body
    /// and how many bytes belong to it, or `None` when it does not end.
    fn decode(input: &[u8], sizes: &[usize]) -> Result<Option<(Vec<u8>, usize)>, Broken> {
        let mut chunks = Chunks::new();
        let (mut body, mut at) = (Vec::new(), 0);
        let mut ends: Vec<usize> = sizes
            .iter()
            .cycle()
            .take(input.len())
            .scan(0, |sum, size| {
                *sum += size;
                Some(*sum)
            })
            .collect();
        ends.push(input.len());
        for end in ends {
            let end = end.min(input.len());
            loop {
                match chunks.next(&input[at..end])? {
                    Piece::Framing(n) => {
                        at += n;
                        break;
                    }
                    Piece::Data { skip, left } => {
                        at += skip;
                        let take = usize::try_from(left).unwrap_or(usize::MAX).min(end - at);
                        if take == 0 {
                            break;
                        }
                        body.extend_from_slice(&input[at..at + take]);
                        chunks.took(take as u64);
                        at += take;
                    }
                    Piece::End(n) => return Ok(Some((body, at + n))),
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn good_bodies() {
        for (input, body) in [
            (&b"0\r\n\r\n"[..], &b""[..]),
            (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
            (b"00003\r\nabc\r\n000\r\n\r\n", b"abc"),
            (
                b"A;x=1\r\n0123456789\r\na ; y\r\n0123456789\r\n0\r\n\r\n",
                b"01234567890123456789",
            ),
            (b"1\r\nx\r\n0\r\nTrailer: dropped\r\nX: y\r\n\r\n", b"x"),
        ] {
            let mut followed = input.to_vec();
            followed.extend_from_slice(b"GET / HTTP/1.1\r\n");
            assert_eq!(
                decode(&followed, &[5]),
                Ok(Some((body.to_vec(), input.len())))
            );
        }
    }

    #[test]
    fn broken_bodies() {
        let long = [b"1;".as_slice(), &[b'x'; 80], b"\r\n"].concat();
        let trailers = [b"0\r\nX: ".as_slice(), &[b'x'; 5000], b"\r\n\r\n"].concat();
        for input in [
            &b"+3\r\nabc\r\n0\r\n\r\n"[..],
            b"-3\r\n",
            b"0x3\r\nabc\r\n",
            b"\n\n3\r\nabc",
            b"\r\n3\r\nabc",
            b" 3\r\nabc\r\n",
            b"3\nabc\n0\n\n",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"3\r\nabc0\r\n\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b";x\r\n",
            b"g\r\n",
            b"10000000000000000\r\n",
            b"fffffffffffffffff\r\n",
            b"3;a\nb\r\nabc\r\n",
            b"3;a\0b\r\nabc\r\n",
            b"0\r\nX: a\nb\r\n\r\n",
            b"0\r\nX: a\0b\r\n\r\n",
            b"00000000000000000000000000000000000000000000000000000000000000000000003\r\nabc",
            &long,
            &trailers,
        ] {
            assert_eq!(
                decode(input, &[7]),
                Err(Broken),
                "{:?}",
                String::from_utf8_lossy(input)
            );
        }
    }

    #[test]
    fn a_huge_chunk_needs_no_memory() {
        let mut chunks = Chunks::new();
        assert_eq!(
            chunks.next(b"ffffffffffffffff\r\n"),
            Ok(Piece::Data {
                skip: 18,
                left: u64::MAX
            })
        );
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_result(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..6),
            sizes in prop::collection::vec(1usize..50, 1..8),
        ) {
            let mut input = Vec::new();
            for part in &parts {
                input.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                input.extend_from_slice(part);
                input.extend_from_slice(b"\r\n");
            }
            input.extend_from_slice(b"0\r\n\r\n");
            let length = input.len();
            input.extend_from_slice(b"next");
            prop_assert_eq!(decode(&input, &sizes), Ok(Some((parts.concat(), length))));
        }

        #[test]
        fn any_split_of_any_bytes_gives_the_same_result(
            input in prop::collection::vec(prop::sample::select(b"0123af;x\r\n ".to_vec()), 0..80),
            sizes in prop::collection::vec(1usize..9, 1..6),
        ) {
            prop_assert_eq!(decode(&input, &sizes), decode(&input, &[1000]));
        }
    }
}
