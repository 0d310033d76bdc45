//! The way the bytes arrive changes nothing, whatever they are.

use super::*;
use proptest::prelude::*;

/// Data that is made of what the parser looks for.
fn tricky() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop::sample::select(vec![
        b"\r".as_slice(),
        b"\n",
        b"\r\n",
        b"\r\n-",
        b"\r\n--",
        b"\r\n--b",
        b"--b0",
        b"-",
        b"b0",
        b"\r\r\n--b",
        b"text",
        b"\0\xff",
    ]);
    prop::collection::vec(fragment, 0..30)
        .prop_map(|f| f.concat())
        .prop_filter("holds the delimiter", |d| {
            let line = [b"\r\n".as_slice(), d, b"\r\n--"].concat();
            memmem::find(&line, b"\r\n--b0").is_none()
        })
}

proptest! {
    #[test]
    fn any_split_into_reads_gives_what_was_sent(
        datas in prop::collection::vec(prop_oneof![tricky(), prop::collection::vec(any::<u8>(), 0..9_000)], 0..4),
        sizes in prop::collection::vec(prop_oneof![Just(0_usize), 1..8_usize, 1..200_usize, 4_000..9_000_usize], 0..20),
        room in prop_oneof![1..100_usize, 4_000..5_000_usize],
        name in "[a-z\u{e0}-\u{ff} ;=]{0,20}",
    ) {
        prop_assume!(datas.iter().all(|d| memmem::find(d, b"\r\n--b0").is_none() && !d.starts_with(b"--b0")));
        let mut body = Vec::new();
        for data in &datas {
            body.extend_from_slice(
                format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").as_bytes(),
            );
            body.extend_from_slice(data);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--b0--\r\n");
        let got = read_all(TYPE, &mut Pieces::new(&body, &sizes), room).unwrap();
        prop_assert!(got.iter().all(|w| w.name == name));
        let got: Vec<_> = got.into_iter().map(|w| w.data).collect();
        prop_assert_eq!(got, datas);
    }

    #[test]
    fn any_split_gives_the_same_answer_for_any_bytes(
        body in prop::collection::vec(prop::sample::select(vec![
            b"--b0".as_slice(), b"\r\n", b"--b0\r\n", b"\r\n--b0--", b"\r\n--b0\r\n", b"x", b" ", b":",
            b"Content-Disposition: form-data; name=a\r\n\r\n", b"--", b"\r", b"\0",
        ]), 0..14).prop_map(|f| f.concat()),
        sizes in prop::collection::vec(1..12_usize, 1..6),
        room in 1..20_usize,
    ) {
        let answer = |sizes: &[usize], room| {
            read_all(TYPE, &mut Pieces::new(&body, sizes), room).map_err(|e| match e {
                MultipartError::Input(e) => e.to_string(),
                e => e.to_string(),
            })
        };
        prop_assert_eq!(answer(&sizes, room), answer(&[], 8192));
    }
}
