//! The form of lines, and what becomes of a record.

use super::*;
use log::Log as _;

fn logged(core: &Arc<Core>, level: Level, target: &str, text: &str) -> String {
    Logger(Arc::clone(core)).log(
        &Record::builder()
            .level(level)
            .target(target)
            .args(format_args!("{text}"))
            .build(),
    );
    let mut batch = Vec::new();
    core.queue.next(&mut batch, Some(Instant::now()));
    String::from_utf8(batch).unwrap()
}

/// Levels are global: what is logged here is important enough for all.
fn with_levels() -> Arc<Core> {
    set_level(LevelFilter::Debug);
    Arc::new(Core::new(true))
}

#[test]
fn the_journal_gets_a_priority_and_no_time() {
    let core = with_levels();
    let cases = [
        (Level::Error, "<3>fault: x\n"),
        (Level::Warn, "<4>warning: x\n"),
        (Level::Info, "<6>note: x\n"),
        (Level::Debug, "<7>debug: x\n"),
    ];
    for (level, expected) in cases {
        assert_eq!(logged(&core, level, "mayfly::store", "x"), expected);
    }
    let line = logged(&core, Level::Warn, event::LIMIT, "kind=x a\n<0>b");
    assert_eq!(line, "<4>limit: kind=x a\\u{a}<0>b\n");
}

#[test]
fn a_terminal_gets_time_level_and_event() {
    let core = Arc::new(Core::new(false));
    let line = core.line(Level::Warn, event::LIMIT, "kind=x");
    let line = String::from_utf8(line).unwrap();
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
    assert!(time.ends_with('Z'), "{line}");
    assert_eq!(rest, "[WARN] limit: kind=x\n");
}

#[test]
fn what_others_say_in_passing_is_not_written() {
    let core = with_levels();
    assert_eq!(logged(&core, Level::Info, "tiny_http", "x"), "");
    assert_eq!(logged(&core, Level::Debug, "async_io::driver", "x"), "");
    assert_eq!(
        logged(&core, Level::Error, "tiny_http", "x"),
        "<3>fault: x\n"
    );
}

#[test]
fn each_kind_has_its_own_limit_and_owners_have_none() {
    let core = with_levels();
    let count = |target: &str, text: &str| {
        let lines = (0..200).map(|_| logged(&core, Level::Info, target, text));
        lines.filter(|line| !line.is_empty()).count()
    };
    let limit = throttle::LINES as usize;
    assert_eq!(count(event::LIMIT, "kind=a from=x"), limit);
    assert_eq!(count(event::LIMIT, "kind=b from=x"), limit);
    assert_eq!(count("mayfly::store", "one"), limit);
    assert_eq!(count("mayfly::store", "another"), 0);
    assert_eq!(count("mayfly::metadata", "another"), limit);
    assert_eq!(count(event::UPLOAD, "x"), 200);
    let range = "result=complete counted=no link=x from=y";
    assert_eq!(count(event::DOWNLOAD, range), limit);
    let whole = range.replace("=no", "=yes");
    assert_eq!(count(event::DOWNLOAD, &whole), limit);
    let broken = whole.replace("complete", "broken-off");
    assert_eq!(count(event::DOWNLOAD, &broken), 0, "the same kind");
    let told = core.suppressed(true);
    assert_eq!(told.len(), 6);
    assert!(
        told.contains(&("download: counted=yes".to_owned(), 340)),
        "{told:?}"
    );
    assert!(
        told.contains(&("limit: kind=a".to_owned(), 140)),
        "{told:?}"
    );
    assert!(
        told.contains(&("note: mayfly::store".to_owned(), 340)),
        "{told:?}"
    );
}
