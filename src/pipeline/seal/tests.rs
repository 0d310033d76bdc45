//! Lengths, order and limits of segments. The bytes themselves are in `tests/vectors.rs`.

use super::*;
use crate::model::Secret;
use proptest::prelude::*;

const BOTH: [Cipher; 2] = [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305];

fn key() -> Secret {
    Secret::new([0x42; 32])
}

fn header(cipher: Cipher) -> Header {
    Header {
        cipher,
        prefix: [7; 7],
        salt: [9; 16],
    }
}

#[test]
fn a_header_reads_back() {
    for cipher in BOTH {
        let header = Header::draw(cipher);
        assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
        assert_ne!(header, Header::draw(cipher), "headers are random");
    }
}

#[test]
fn a_header_says_what_is_wrong_with_it() {
    let good = header(Cipher::Aes256Gcm).to_bytes();
    for (at, value, error) in [
        (0, b'm', SealError::NotSealed),
        (6, 0, SealError::Version(0)),
        (6, 2, SealError::Version(2)),
        (7, 0, SealError::Header),
        (7, 3, SealError::Header),
        (8, 13, SealError::Header),
        (9, 1, SealError::Header),
        (16, 1, SealError::Header),
    ] {
        let mut bad = good;
        bad[at] = value;
        assert_eq!(Header::parse(&bad), Err(error), "byte {at}");
    }
}

#[test]
fn the_cipher_fits_the_cpu() {
    let cipher = Cipher::for_this_cpu();
    if cfg!(target_arch = "arm") {
        assert_eq!(cipher, Cipher::ChaCha20Poly1305);
    }
    #[cfg(target_arch = "x86_64")]
    assert_eq!(
        cipher == Cipher::Aes256Gcm,
        is_x86_feature_detected!("aes") && is_x86_feature_detected!("pclmulqdq")
    );
}

#[test]
fn lengths_are_known_without_sealing() {
    for (plaintext, stored) in [
        (0, 56),
        (1, 57),
        (16_384, 40 + 16_400),
        (16_385, 40 + 16_400 + 17),
        (32_768, 40 + 2 * 16_400),
        (5 << 30, 40 + (5 << 16) * 16_400),
        (MAX_PLAINTEXT, 40 + (1 << 32) * 16_400),
    ] {
        assert_eq!(stored_len(plaintext), stored);
        assert_eq!(plaintext_len(stored), Some(plaintext));
    }
    // Lengths that nothing seals to: no room for a tag, an empty segment that is not the only one.
    for stored in [0, 39, 40, 55, 16_441, 16_455, 16_456, 32_856] {
        assert_eq!(plaintext_len(stored), None, "{stored}");
    }
    assert_eq!(plaintext_len(stored_len(MAX_PLAINTEXT) + 17), None);
    assert_eq!(plaintext_len(u64::MAX), None);
    assert_eq!(stored_len(u64::MAX), u64::MAX);
}

#[test]
fn segments_of_forbidden_lengths_do_not_seal() {
    let mut buffer = vec![0; SEGMENT + 1];
    for (length, last) in [
        (0, false),
        (1, false),
        (SEGMENT - 1, false),
        (SEGMENT + 1, false),
        (SEGMENT + 1, true),
    ] {
        let mut sealer = Sealer::new(&key(), &header(Cipher::Aes256Gcm));
        let result = sealer.seal(&mut buffer[..length], last);
        assert_eq!(result, Err(SealError::Length), "{length} {last}");
    }
    let mut sealer = Sealer::new(&key(), &header(Cipher::Aes256Gcm));
    sealer.seal(&mut buffer[..SEGMENT], false).unwrap();
    assert_eq!(sealer.seal(&mut [], true), Err(SealError::Length));
    sealer.seal(&mut buffer[..1], true).unwrap();
}

#[test]
fn nothing_seals_after_the_last_segment() {
    let mut sealer = Sealer::new(&key(), &header(Cipher::ChaCha20Poly1305));
    sealer.seal(&mut [1], true).unwrap();
    let mut segment = [2; 3];
    assert_eq!(sealer.seal(&mut segment, true), Err(SealError::TooLong));
    assert_eq!(segment, [2; 3], "left as it was");
}

#[test]
fn the_counter_ends_at_64_tebibytes_and_does_not_start_again() {
    let at_the_end = || Sealer::at(&key(), &header(Cipher::ChaCha20Poly1305), SEGMENTS_MAX - 1);
    let mut segment = vec![5; SEGMENT];
    let mut sealer = at_the_end();
    sealer.seal(&mut segment, false).unwrap();
    for _ in 0..2 {
        assert_eq!(sealer.seal(&mut segment, true), Err(SealError::TooLong));
    }
    let mut buffer = vec![6; SEGMENT];
    let tag = at_the_end().seal(&mut buffer, true).unwrap();
    buffer.extend_from_slice(&tag);
    let opener = Opener::new(&key(), &header(Cipher::ChaCha20Poly1305).to_bytes()).unwrap();
    let copy = &mut buffer.clone();
    assert_eq!(
        opener.open(SEGMENTS_MAX, true, copy, 0).unwrap_err(),
        SealError::TooLong
    );
    assert_eq!(
        opener.open(0, true, copy, 0).unwrap_err(),
        SealError::Segment(0)
    );
    let plain = opener.open(SEGMENTS_MAX - 1, true, &mut buffer, 0).unwrap();
    assert!(plain.iter().all(|b| *b == 6));
}

#[test]
fn an_opener_refuses_forbidden_lengths_before_it_looks() {
    let opener = Opener::new(&key(), &header(Cipher::Aes256Gcm).to_bytes()).unwrap();
    let mut buffer = vec![0; SEGMENT + TAG + 1];
    for (number, last, length) in [
        (0, true, TAG - 1),
        (0, false, TAG),
        (1, true, TAG),
        (0, false, SEGMENT + TAG - 1),
        (0, true, SEGMENT + TAG + 1),
    ] {
        let result = opener.open(number, last, &mut buffer[..length], 0);
        assert_eq!(result.unwrap_err(), SealError::Length, "{number} {length}");
    }
    let result = opener.open(0, true, &mut buffer[..4], 5);
    assert_eq!(result.unwrap_err(), SealError::Length);
}

#[test]
fn a_failed_opening_leaves_no_plaintext_in_the_buffer() {
    for cipher in BOTH {
        let mut segment = *b"attack at dawn..................";
        let mut sealer = Sealer::new(&key(), &header(cipher));
        let tag = sealer.seal(&mut segment, true).unwrap();
        let mut buffer = segment.to_vec();
        buffer.extend_from_slice(&tag);
        buffer[segment.len()] ^= 1;
        let opener = Opener::new(&key(), &header(cipher).to_bytes()).unwrap();
        assert!(opener.open(0, true, &mut buffer, 0).is_err());
        assert!(!buffer.windows(6).any(|w| w == b"attack"));
    }
}

fn size_near_a_border() -> impl Strategy<Value = usize> {
    (0..5usize, -20..20isize).prop_map(|(n, d)| (n * SEGMENT).saturating_add_signed(d))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_opens_and_has_the_length_that_was_said(
        size in size_near_a_border(),
        aes: bool,
    ) {
        let cipher = BOTH[usize::from(aes)];
        let plaintext: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let blob = seal_all(&plaintext, &key(), &header(cipher)).unwrap();
        prop_assert_eq!(stored_len(size as u64), blob.len() as u64);
        prop_assert!(*open_all(&blob, &key()).unwrap() == plaintext);
        prop_assert!(open_all(&blob, &Secret::new([1; 32])).is_err());
    }

    #[test]
    fn one_changed_byte_opens_nothing(
        size in size_near_a_border(),
        place: prop::sample::Index,
        change in 1..=255u8,
        aes: bool,
    ) {
        let header = header(BOTH[usize::from(aes)]);
        let mut blob = seal_all(&vec![3; size], &key(), &header).unwrap();
        let at = place.index(blob.len());
        blob[at] ^= change;
        prop_assert!(open_all(&blob, &key()).is_err());
    }

    #[test]
    fn a_cut_blob_opens_nothing(size in size_near_a_border(), place: prop::sample::Index) {
        let blob = seal_all(&vec![3; size], &key(), &header(Cipher::Aes256Gcm)).unwrap();
        prop_assert!(open_all(&blob[..place.index(blob.len())], &key()).is_err());
    }

    #[test]
    fn any_bytes_are_an_error_and_never_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        with_header: bool,
    ) {
        let mut blob = Vec::new();
        if with_header {
            blob.extend(header(Cipher::ChaCha20Poly1305).to_bytes());
        }
        blob.extend(bytes);
        prop_assert!(open_all(&blob, &key()).is_err());
    }

    #[test]
    fn the_lengths_are_inverse_to_each_other(stored: u64, plaintext in 0..=MAX_PLAINTEXT) {
        prop_assert_eq!(plaintext_len(stored_len(plaintext)), Some(plaintext));
        for stored in [stored, stored >> 20, stored >> 40] {
            if let Some(plaintext) = plaintext_len(stored) {
                prop_assert_eq!(stored_len(plaintext), stored);
            }
        }
    }
}
