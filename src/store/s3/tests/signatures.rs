//! Signatures against published ones: the examples of "Authenticating Requests: Using the Authorization Header"
//! of the S3 API reference, and canonical requests of the SigV4 test suite.

use crate::store::s3::Credentials;
use crate::store::s3::sign::{Signable, Signer, canonical, path, query, stamp};
use crate::store::s3::tests::stage::settings;
use rust_s3::signing;
use ureq::http::{HeaderMap, HeaderName, HeaderValue};

/// 2013-05-24T00:00:00Z.
const THEN: i64 = 1_369_353_600;
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const HOST: (&str, &str) = ("host", "examplebucket.s3.amazonaws.com");
const DATE: (&str, &str) = ("x-amz-date", "20130524T000000Z");

fn signer(token: Option<&str>) -> Signer {
    let mut settings = settings("https://s3.amazonaws.com".to_owned());
    settings.credentials = Credentials {
        key_id: "AKIAIOSFODNN7EXAMPLE".to_owned().into(),
        secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned().into(),
        token: token.map(|token| token.to_owned().into()),
    };
    Signer::new(&settings)
}

fn signature(signable: &Signable<'_>) -> String {
    let header = signer(None).authorization(signable, THEN).unwrap();
    let names: Vec<&str> = signable.headers.iter().map(|(name, _)| *name).collect();
    let start = format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={},Signature=",
        names.join(";")
    );
    header
        .strip_prefix(&start)
        .unwrap_or_else(|| panic!("{header}"))
        .to_owned()
}

#[test]
fn a_get_of_a_range_is_signed_as_published() {
    let headers = [
        HOST,
        ("range", "bytes=0-9"),
        ("x-amz-content-sha256", EMPTY),
        DATE,
    ];
    let signable = Signable {
        method: "GET",
        path: &path("/test.txt"),
        query: "",
        headers: &headers,
        payload: EMPTY,
    };
    assert_eq!(
        signature(&signable),
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    );
}

#[test]
fn a_put_is_signed_as_published() {
    let payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    let headers = [
        ("date", "Fri, 24 May 2013 00:00:00 GMT"),
        HOST,
        ("x-amz-content-sha256", payload),
        DATE,
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    ];
    let signable = Signable {
        method: "PUT",
        path: &path("/test$file.text"),
        query: "",
        headers: &headers,
        payload,
    };
    assert_eq!(
        signature(&signable),
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    );
}

#[test]
fn queries_with_and_without_values_are_signed_as_published() {
    let headers = [HOST, ("x-amz-content-sha256", EMPTY), DATE];
    for (pairs, published) in [
        (
            &[("lifecycle", "")][..],
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            &[("prefix", "J"), ("max-keys", "2")],
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        let signable = Signable {
            method: "GET",
            path: "/",
            query: &query(pairs),
            headers: &headers,
            payload: EMPTY,
        };
        assert_eq!(signature(&signable), published);
    }
}

/// The example of "Authenticating Requests: Using Query Parameters" of the S3 API reference.
#[test]
fn an_address_is_signed_as_published() {
    let query = signer(None)
        .presigned(HOST.1, &path("/test.txt"), &[], THEN, 86_400)
        .unwrap();
    assert_eq!(
        query,
        "X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    );
}

#[test]
fn an_address_has_the_token_and_what_is_shown_under_its_signature() {
    let address = |token, shown: &[(&str, &str)]| {
        signer(token)
            .presigned(HOST.1, "/key", shown, THEN, 60)
            .unwrap()
    };
    let shown = [
        (
            "response-content-disposition",
            "attachment; filename*=UTF-8''%C3%BC",
        ),
        ("response-content-type", "text/plain; charset=utf-8"),
    ];
    let with = address(Some("to/ken=="), &shown);
    for part in [
        "&X-Amz-Expires=60&X-Amz-Security-Token=to%2Fken%3D%3D&X-Amz-SignedHeaders=host&",
        "&response-content-disposition=attachment%3B%20filename%2A%3DUTF-8%27%27%25C3%25BC&",
        "&response-content-type=text%2Fplain%3B%20charset%3Dutf-8&X-Amz-Signature=",
    ] {
        assert!(with.contains(part), "{part} in {with}");
    }
    let signed = |address: &str| address.rsplit_once('=').unwrap().1.to_owned();
    let others = [
        address(None, &shown),
        address(Some("to/ken=="), &shown[..1]),
    ];
    for other in others {
        assert_ne!(signed(&other), signed(&with), "{other}");
    }
}

/// get-header-value-trim and get-vanilla-query-order-key-case of the SigV4 test suite.
#[test]
fn values_are_trimmed_and_queries_sorted_as_in_the_published_suite() {
    let headers = [
        ("host", "example.amazonaws.com"),
        ("my-header1", " value1"),
        ("my-header2", " \"a   b   c\""),
        ("x-amz-date", "20150830T123600Z"),
    ];
    let signable = Signable {
        method: "GET",
        path: "/",
        query: &query(&[("Param2", "value2"), ("Param1", "value1")]),
        headers: &headers,
        payload: EMPTY,
    };
    let (text, names) = canonical(&signable);
    assert_eq!(names, "host;my-header1;my-header2;x-amz-date");
    assert_eq!(
        text,
        format!(
            "GET\n/\nParam1=value1&Param2=value2\nhost:example.amazonaws.com\nmy-header1:value1\n\
             my-header2:\"a b c\"\nx-amz-date:20150830T123600Z\n\n\
             host;my-header1;my-header2;x-amz-date\n{EMPTY}"
        )
    );
    assert_eq!(
        query(&[("-._~0Aa", "-._~0Aa"), ("a b", "/+=&ü")]),
        "-._~0Aa=-._~0Aa&a%20b=%2F%2B%3D%26%C3%BC",
        "unreserved characters stay, all others are encoded"
    );
    assert_eq!(path("/a b/c+d/~e"), "/a%20b/c%2Bd/~e");
}

/// Why the canonical request is not rust-s3's: it sorts lines instead of names, and a hyphen comes before a colon.
#[test]
fn a_header_whose_name_starts_another_ones_is_in_its_place() {
    let headers = [
        ("host", "h"),
        ("x-amz-copy-source", "/bucket/key"),
        ("x-amz-copy-source-range", "bytes=0-9"),
    ];
    let signable = Signable {
        method: "PUT",
        path: "/",
        query: "",
        headers: &headers,
        payload: EMPTY,
    };
    let lines = "host:h\nx-amz-copy-source:/bucket/key\nx-amz-copy-source-range:bytes=0-9";
    let (text, _) = canonical(&signable);
    assert!(text.contains(lines), "{text}");

    let map: HeaderMap = headers
        .iter()
        .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
        .collect();
    let theirs = signing::canonical_header_string(&map).unwrap();
    assert_ne!(
        theirs, lines,
        "rust-s3 does it right by now: take its function"
    );
}

#[test]
fn dates_are_stamped_in_utc() {
    assert_eq!(stamp(THEN).unwrap(), "20130524T000000Z");
    assert_eq!(stamp(0).unwrap(), "19700101T000000Z");
    assert_eq!(stamp(-1).unwrap(), "19691231T235959Z");
    assert_eq!(stamp(1_709_210_096).unwrap(), "20240229T123456Z");
    assert!(stamp(i64::MAX).is_err());
}

#[test]
fn the_key_of_the_day_changes_at_midnight() {
    let signer = Signer::new(&settings("https://s3.amazonaws.com".to_owned()));
    let fresh = |at| {
        let other = Signer::new(&settings("https://s3.amazonaws.com".to_owned()));
        other.authorization(&plain(), at).unwrap()
    };
    for at in [THEN, THEN + 86_399, THEN + 86_400, THEN - 1] {
        assert_eq!(signer.authorization(&plain(), at).unwrap(), fresh(at));
    }
    assert_ne!(fresh(THEN), fresh(THEN + 86_400));
}

fn plain() -> Signable<'static> {
    Signable {
        method: "GET",
        path: "/",
        query: "",
        headers: &[("host", "h")],
        payload: EMPTY,
    }
}
