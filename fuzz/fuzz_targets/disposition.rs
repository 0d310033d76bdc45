//! Any name gives a field that cannot be split, and the form parser reads the same name back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly::http::disposition::Disposition;
use mayfly::http::multipart::Multipart;
use mayfly::model::clean_name;

fuzz_target!(|name: &str| {
    let value = Disposition::Attachment.with_name(name);
    assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)));
    let parameters = value.strip_prefix("attachment").expect("its kind");
    let body =
        format!("--b0\r\nContent-Disposition: form-data; name=f{parameters}\r\n\r\n\r\n--b0--");
    let mut input = body.as_bytes();
    let mut form = Multipart::new("multipart/form-data; boundary=b0", &mut input).expect("valid");
    // A longer name does not fit the header of a part.
    if value.len() < 8_000 {
        let part = form.next_part().expect("well formed").expect("one part");
        assert_eq!(part.file_name(), Some(name));
    }
    let clean = clean_name(name);
    assert!((1..=255).contains(&clean.len()));
    assert!(!clean.contains(['/', '\\']) && !clean.chars().any(char::is_control));
    assert_eq!(clean_name(&clean), clean);
});
