//! Encoded forms: the first value of a name is that of the first pair, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly::http::form::Form;

fuzz_target!(|encoded: &[u8]| {
    let form = Form::new(encoded);
    let pairs: Vec<_> = form.pairs().collect();
    for (name, _) in pairs.iter().take(8) {
        let first = pairs.iter().find(|(other, _)| other == name);
        assert_eq!(form.first(name).as_ref(), first.map(|(_, value)| value));
    }
    let decoded: usize = pairs.iter().map(|(n, v)| n.len() + v.len()).sum();
    // A byte that is not UTF-8 becomes three.
    assert!(decoded <= encoded.len() * 3);
});
