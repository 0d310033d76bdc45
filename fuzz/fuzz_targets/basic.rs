//! `Authorization: Basic`: names and passwords come back as they were, and whatever is taken
//! is Base64 of what it is taken for.
#![no_main]

use data_encoding::BASE64;
use libfuzzer_sys::fuzz_target;
use mayfly::http::basic::decode;

fuzz_target!(|input: (&str, &str, &str)| {
    let (field, name, password) = input;
    if let Some((name, password)) = decode(field) {
        let token = field.trim().split_once(' ').expect("a scheme").1.trim();
        let again = BASE64.encode(format!("{name}:{}", *password).as_bytes());
        assert_eq!(token, again, "another encoding was taken");
        assert!(!name.contains(':') && field.trim().len() >= 6);
    }
    let name = name.replace(':', "");
    let encoded = BASE64.encode(format!("{name}:{password}").as_bytes());
    for scheme in ["Basic ", "basic  ", " BASIC "] {
        let (n, p) = decode(&format!("{scheme}{encoded} ")).expect("well formed");
        assert_eq!((n.as_str(), p.as_str()), (name.as_str(), password));
    }
    assert!(decode(&format!("Bearer {encoded}")).is_none());
});
