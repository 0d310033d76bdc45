//! Settings: taken whole, or refused with a remedy for each problem; always the same, and never
//! with a key passed over that nobody knows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly::config::{Environment, Problems, Settings, parse};

fn said(result: &Result<Settings, Problems>) -> String {
    match result {
        Ok(settings) => format!("{settings:?}"),
        Err(problems) => problems.to_string(),
    }
}

fuzz_target!(|input: (&[u8], &str)| {
    let (text, value) = input;
    let nothing = Environment::default();
    let first = parse(text, &nothing);
    assert_eq!(said(&first), said(&parse(text, &nothing)));
    match &first {
        Ok(settings) => {
            assert!(!settings.data_dir.as_os_str().is_empty());
            let more = [&b"no_such_key = 1\n"[..], text].concat();
            let problems = parse(&more, &nothing).expect_err("an unknown key is passed over");
            assert!(problems.to_string().contains("no_such_key"), "{problems}");
        }
        Err(problems) => {
            assert!(!problems.list.is_empty());
            assert!(problems.list.iter().all(|p| !p.remedy.is_empty()));
        }
    }
    // The environment is read by the same rules.
    let with = |name: &str| Environment::from_iter([(name, value)]);
    let problems = parse(b"", &with("MAYFLY_NO_SUCH_KEY"));
    assert!(problems.is_err(), "an unknown variable is passed over");
    if let Ok(settings) = parse(b"", &with("MAYFLY_MAX_FILE_SIZE")) {
        let quoted = format!("max_file_size = {}", settings.max_file_size);
        let same = parse(quoted.as_bytes(), &nothing);
        assert_eq!(same.map(|s| s.max_file_size), Ok(settings.max_file_size));
    }
});
