//! What is kept of the clock, and the births of links.

use super::schema::{BIRTHS, LINKS, Raw};
use super::*;
use crate::model::{BootId, Gap};
use redb::backends::InMemoryBackend;

fn row(mark: i64) -> ClockRow {
    ClockRow {
        mark: Timestamp(mark),
        at: moment(77),
        gaps: vec![
            Gap {
                until: Timestamp(-5),
                waited: 9,
            },
            Gap {
                until: Timestamp(6),
                waited: u64::MAX,
            },
        ],
    }
}

fn moment(seconds: u64) -> Moment {
    Moment {
        boot: Some(BootId([3; 16])),
        seconds,
    }
}

/// It is [`NOW`], at second 100 of the boot of [`moment`].
fn rebase() -> Rebase {
    Rebase::new(NOW, moment(100), 50)
}

fn born(n: u64, seconds: u64) -> NewLink {
    NewLink {
        birth: Some(moment(seconds)),
        ..with_blob(link(n))
    }
}

#[test]
fn a_mark_is_kept_and_rides_with_the_next_change_but_never_alone() {
    let db = fresh();
    assert_eq!(db.clock().unwrap(), None);
    db.offer_clock(&row(1)).unwrap();
    db.collected(&[]).unwrap();
    assert_eq!(db.clock().unwrap(), None, "nothing was changed");
    db.publish(with_blob(link(1))).unwrap();
    assert_eq!(db.clock().unwrap(), Some(row(1)));
    db.offer_clock(&row(MARK_STEP)).unwrap();
    db.publish(with_blob(link(2))).unwrap();
    assert_eq!(db.clock().unwrap(), Some(row(1)), "hardly newer");
    db.offer_clock(&row(1 + MARK_STEP)).unwrap();
    db.publish(with_blob(link(3))).unwrap();
    assert_eq!(db.clock().unwrap(), Some(row(1 + MARK_STEP)));
    db.save_clock(&row(0)).unwrap();
    assert_eq!(db.clock().unwrap(), Some(row(0)), "as it was said");
    db.verify().unwrap();
}

#[test]
fn births_move_the_ends_of_links_once() {
    let db = fresh();
    // Created at 500 by its clock, 40 s ago by the machine's: that was 960.
    let mut due = born(1, 60);
    due.link.pending_delete = Some(Timestamp(700));
    db.publish(due).unwrap();
    let mut endless = born(2, 60);
    endless.link.expiry.unlimited = true;
    db.publish(endless).unwrap();
    db.publish(with_blob(link(3))).unwrap();
    db.publish(born(4, 60)).unwrap();

    let looked: Vec<_> = (0..3).map(|_| db.rebase(&rebase(), 2).unwrap()).collect();
    assert_eq!(looked, [2, 1, 0]);
    let end = |n| db.link(&lookup(n)).unwrap().unwrap();
    assert_eq!(end(1).expiry.at, Timestamp(2_460));
    assert_eq!(end(1).pending_delete, Some(Timestamp(1_160)));
    assert_eq!(end(1).created, Timestamp(500), "its name in the listing");
    assert_eq!(end(2).expiry.at, Timestamp(2_000), "it has no end");
    assert_eq!(end(3).expiry.at, Timestamp(2_000), "it was not in doubt");
    // The index of ends has followed.
    db.verify().unwrap();
}

#[test]
fn an_end_that_was_named_since_is_not_moved() {
    let db = fresh();
    db.publish(born(1, 60)).unwrap();
    let edit = LinkEdit {
        expiry: Some(Expiry {
            at: Timestamp(1_500),
            unlimited: false,
        }),
        ..LinkEdit::default()
    };
    db.edit(&lookup(1), edit).unwrap();
    assert_eq!(db.rebase(&rebase(), 9).unwrap(), 0);
    // Another change is none of the end.
    db.publish(born(2, 60)).unwrap();
    let edit = LinkEdit {
        allowance: Some(limited(9)),
        ..LinkEdit::default()
    };
    db.edit(&lookup(2), edit).unwrap();
    assert_eq!(db.rebase(&rebase(), 9).unwrap(), 1);
    let end = |n| db.link(&lookup(n)).unwrap().unwrap().expiry.at;
    assert_eq!((end(1), end(2)), (Timestamp(1_500), Timestamp(2_460)));
    db.verify().unwrap();
}

/// How many births there are; each has its link.
fn births(db: &RedbMetadata) -> u64 {
    db.verify().unwrap();
    db.read(|view| BIRTHS.count(view)).unwrap()
}

#[test]
fn a_birth_goes_with_its_link_however_that_ends() {
    let db = fresh();
    for n in 1..=5 {
        let mut link = link(n);
        link.owner = AccountId(if n == 5 { 2 } else { 1 });
        link.allowance = limited(1);
        let birth = Some(moment(60));
        let new = with_blob(link);
        db.publish(NewLink { birth, ..new }).unwrap();
    }
    assert_eq!(births(&db), 5);
    db.remove(&lookup(1)).unwrap();
    assert_eq!(births(&db), 4);
    db.remove_over(&[lookup(2)], Timestamp(2_000)).unwrap();
    assert_eq!(births(&db), 3);
    db.take_lease(&lease(3, 3)).unwrap();
    assert_eq!(
        db.settle_lease(&lease(3, 3).id).unwrap().link,
        Some(lookup(3))
    );
    assert_eq!(births(&db), 2);
    db.remove_links_of(AccountId(2), 9).unwrap();
    assert_eq!(births(&db), 1, "the fourth has not ended");
    assert_eq!(db.rebase(&rebase(), 9).unwrap(), 1);
    db.verify().unwrap();
}

#[test]
fn damage_of_one_link_or_birth_holds_up_no_other() {
    let backend = Arc::new(InMemoryBackend::new());
    let open = || {
        RedbMetadata::with_backend(super::damage::Shared(backend.clone()), Arc::new(|_| {}))
            .unwrap()
    };
    let db = open();
    for n in 1..=3 {
        db.publish(born(n, 60)).unwrap();
    }
    drop(db);
    let database = redb::Builder::new()
        .create_with_backend(super::damage::Shared(backend.clone()))
        .unwrap();
    let transaction = database.begin_write().unwrap();
    for (table, key) in [
        (LINKS.name, super::keys::key_of(&link(1)).to_vec()),
        (BIRTHS.name, lookup(2).0.to_vec()),
    ] {
        let mut table = transaction.open_table(Raw::new(table)).unwrap();
        table.insert(&key[..], &b"rubbish"[..]).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);

    let db = open();
    assert_eq!(db.rebase(&rebase(), 9).unwrap(), 2, "one is not readable");
    let third = db.link(&lookup(3)).unwrap().unwrap();
    assert_eq!(third.expiry.at, Timestamp(2_460));
    assert_eq!(db.rebase(&rebase(), 9).unwrap(), 0);
}

#[test]
fn the_stored_form_of_marks_and_births_does_not_change() {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    hash.update(&codec::seal("clock", b"mark", &row(1_800_000_000)));
    hash.update(&codec::seal("births", &lookup(1).0, &moment(5)));
    let nowhere = Moment {
        boot: None,
        seconds: 5,
    };
    hash.update(&codec::seal("births", &lookup(1).0, &nowhere));
    let found = data_encoding::HEXLOWER.encode(hash.finish().as_ref());
    assert_eq!(
        found,
        "b9f2ae98e542b7ae6d51fba7b5aaaf3fc3538777188d8462bfd725d3ab4892bc"
    );
}

#[test]
fn due_links_are_counted_in_a_span_of_time() {
    let db = fresh();
    for n in 1..=9 {
        let mut link = link(n);
        link.expiry.at = Timestamp(n.cast_signed() * 10);
        db.publish(with_blob(link)).unwrap();
    }
    let count = |after, until, limit| {
        db.count_due(Timestamp(after), Timestamp(until), limit)
            .unwrap()
    };
    assert_eq!(count(10, 30, 99), 2, "after one end, up to the other");
    assert_eq!(count(i64::MIN, i64::MAX, 99), 9);
    assert_eq!(count(i64::MIN, i64::MAX, 4), 4);
    assert_eq!(count(30, 30, 99), 0);
    assert_eq!(count(30, 10, 99), 0);
}
