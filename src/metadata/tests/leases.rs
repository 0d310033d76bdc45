//! Leases: N downloads are N, whatever happens on the way.

use super::*;

fn with_downloads(remaining: u32) -> RedbMetadata {
    let db = fresh();
    let allowance = limited(remaining);
    db.publish(with_blob(Link {
        allowance,
        ..link(1)
    }))
    .unwrap();
    db
}

fn allowance(db: &RedbMetadata) -> Allowance {
    db.link(&lookup(1)).unwrap().unwrap().allowance
}

fn counts(db: &RedbMetadata) -> (u32, u32, u64) {
    let a = allowance(db);
    (a.remaining, a.leased, a.count)
}

fn set_downloads(db: &RedbMetadata, remaining: u32, unlimited: bool) {
    let allowance = Allowance {
        remaining,
        unlimited,
        ..allowance(db)
    };
    let edit = LinkEdit {
        allowance: Some(allowance),
        ..LinkEdit::default()
    };
    db.edit(&lookup(1), edit).unwrap().unwrap();
    db.verify().unwrap();
}

#[test]
fn leases_take_what_is_left_and_then_the_link_is_busy() {
    let db = with_downloads(2);
    assert_eq!(db.take_lease(&lease(1, 1)).unwrap(), Taken::Leased);
    assert_eq!(counts(&db), (1, 1, 0));
    assert_eq!(db.take_lease(&lease(2, 1)).unwrap(), Taken::Leased);
    assert_eq!(db.take_lease(&lease(3, 1)).unwrap(), Taken::Busy);
    assert_eq!(counts(&db), (0, 2, 0));
    assert_eq!(db.leases().unwrap(), [lease(1, 1), lease(2, 1)]);
    db.verify().unwrap();
}

#[test]
fn a_link_that_is_gone_hidden_or_over_leases_nothing() {
    let db = with_downloads(2);
    assert_eq!(db.take_lease(&lease(1, 9)).unwrap(), Taken::Gone);
    let late = Lease {
        taken: Timestamp(2_000),
        ..lease(1, 1)
    };
    assert_eq!(db.take_lease(&late).unwrap(), Taken::Gone);
    let hide = Some(Some(Timestamp(1_999)));
    db.edit(
        &lookup(1),
        LinkEdit {
            pending_delete: hide,
            ..LinkEdit::default()
        },
    )
    .unwrap();
    assert_eq!(db.take_lease(&lease(1, 1)).unwrap(), Taken::Gone);
    assert_eq!(db.leases().unwrap(), []);
    assert_eq!(counts(&db), (2, 0, 0));
}

#[test]
fn one_name_is_never_two_leases() {
    let db = with_downloads(2);
    db.take_lease(&lease(1, 1)).unwrap();
    let error = db.take_lease(&lease(1, 1)).unwrap_err();
    assert!(matches!(error, MetadataError::Unavailable(_)), "{error}");
    assert_eq!(counts(&db), (1, 1, 0));
}

#[test]
fn an_unlimited_link_has_nothing_to_lease() {
    let db = with_downloads(2);
    set_downloads(&db, 0, true);
    for n in 1..5 {
        assert_eq!(db.take_lease(&lease(n, 1)).unwrap(), Taken::Unlimited);
    }
    assert_eq!(db.leases().unwrap(), []);
    assert_eq!(counts(&db), (0, 0, 0));
}

#[test]
fn the_link_dies_with_its_last_settled_download() {
    let db = with_downloads(2);
    for n in [1, 2] {
        db.take_lease(&lease(n, 1)).unwrap();
    }
    assert_eq!(db.settle_lease(&lease(1, 1).id).unwrap(), Freed::default());
    assert_eq!(counts(&db), (0, 1, 1));
    assert_eq!(
        db.settle_lease(&lease(1, 1).id).unwrap(),
        Freed::default(),
        "once only"
    );
    assert_eq!(counts(&db), (0, 1, 1));
    let freed = db.settle_lease(&lease(2, 1).id).unwrap();
    assert_eq!(
        freed,
        Freed {
            link: Some(lookup(1)),
            blob: Some(blob_id(1))
        }
    );
    assert_eq!(db.link(&lookup(1)).unwrap(), None);
    assert_eq!(db.leases().unwrap(), []);
    assert_eq!(db.garbage(None, 9).unwrap(), [blob_id(1)]);
    assert_eq!(due(&db, Timestamp(i64::MAX), 9), []);
    db.verify().unwrap();
}

#[test]
fn a_start_settles_what_was_closing_in_one_go_and_leaves_the_rest_open() {
    let db = with_downloads(3);
    for n in 2..=4 {
        db.publish(with_blob(link(n))).unwrap();
    }
    for (n, link, closing) in [(1, 1, true), (2, 1, false), (3, 1, true), (4, 2, false)] {
        let lease = Lease {
            closing,
            ..lease(n, link)
        };
        assert_eq!(db.take_lease(&lease).unwrap(), Taken::Leased);
    }
    assert_eq!(db.settle_closing().unwrap(), [Freed::default(); 2]);
    assert_eq!(counts(&db), (0, 1, 2));
    assert_eq!(db.leases().unwrap(), [lease(2, 1), lease(4, 2)]);
    assert_eq!(db.settle_closing().unwrap(), []);
    assert!(db.close_lease(&lease(2, 1).id).unwrap());
    let last = Freed {
        link: Some(lookup(1)),
        blob: Some(blob_id(1)),
    };
    assert_eq!(db.settle_closing().unwrap(), [last]);
    db.verify().unwrap();
}

#[test]
fn a_broken_download_comes_back_once() {
    let db = with_downloads(1);
    db.take_lease(&lease(1, 1)).unwrap();
    db.return_lease(&lease(1, 1).id).unwrap();
    db.return_lease(&lease(1, 1).id).unwrap();
    assert_eq!(counts(&db), (1, 0, 0));
    assert_eq!(db.leases().unwrap(), []);
    assert_eq!(db.take_lease(&lease(2, 1)).unwrap(), Taken::Leased);
}

#[test]
fn closing_is_recorded_and_refused_for_a_lease_that_is_no_more() {
    let db = with_downloads(1);
    db.take_lease(&lease(1, 1)).unwrap();
    assert!(db.close_lease(&lease(1, 1).id).unwrap());
    assert!(db.close_lease(&lease(1, 1).id).unwrap());
    assert_eq!(
        db.leases().unwrap(),
        [Lease {
            closing: true,
            ..lease(1, 1)
        }]
    );
    assert_eq!(counts(&db), (0, 1, 0));
    db.return_lease(&lease(1, 1).id).unwrap();
    assert!(!db.close_lease(&lease(1, 1).id).unwrap());
}

#[test]
fn the_number_an_owner_sets_covers_the_downloads_under_way() {
    let db = with_downloads(5);
    for n in [1, 2] {
        db.take_lease(&lease(n, 1)).unwrap();
    }
    set_downloads(&db, 3, false);
    assert_eq!(counts(&db), (1, 2, 0));
    db.return_lease(&lease(1, 1).id).unwrap();
    assert_eq!(counts(&db), (2, 1, 0));
    db.return_lease(&lease(2, 1).id).unwrap();
    assert_eq!(counts(&db), (3, 0, 0), "never more than the owner set");
}

#[test]
fn leases_beyond_a_lowered_number_are_revoked_youngest_first() {
    let db = with_downloads(3);
    for n in 1..=3 {
        let taken = Timestamp(NOW.0 + i64::try_from(n).unwrap());
        db.take_lease(&Lease {
            taken,
            ..lease(n, 1)
        })
        .unwrap();
    }
    db.close_lease(&lease(3, 1).id).unwrap();
    set_downloads(&db, 2, false);
    assert_eq!(counts(&db), (0, 2, 0));
    assert!(db.close_lease(&lease(1, 1).id).unwrap());
    assert!(!db.close_lease(&lease(2, 1).id).unwrap(), "revoked");
    assert!(
        db.close_lease(&lease(3, 1).id).unwrap(),
        "its bytes are out"
    );
    db.return_lease(&lease(2, 1).id).unwrap();
    assert_eq!(counts(&db), (0, 2, 0));

    // Two are closing: they cannot be called back, and nothing comes on top of them.
    set_downloads(&db, 1, false);
    assert_eq!(counts(&db), (0, 2, 0));
    db.settle_lease(&lease(1, 1).id).unwrap();
    assert!(db.settle_lease(&lease(3, 1).id).unwrap().link.is_some());
}

#[test]
fn leases_survive_a_spell_without_limit_and_give_nothing_back_in_it() {
    let db = with_downloads(2);
    for n in [1, 2] {
        db.take_lease(&lease(n, 1)).unwrap();
    }
    set_downloads(&db, 1, true);
    assert_eq!(counts(&db), (1, 2, 0));
    db.return_lease(&lease(1, 1).id).unwrap();
    assert_eq!(counts(&db), (1, 1, 0));
    db.settle_lease(&lease(2, 1).id).unwrap();
    assert_eq!(counts(&db), (1, 0, 1));
    set_downloads(&db, 1, false);
    assert_eq!(counts(&db), (1, 0, 1));
}

#[test]
fn racing_clients_never_lease_more_than_there_is() {
    let db = with_downloads(3);
    let leased: usize = std::thread::scope(|scope| {
        let db = &db;
        let clients: Vec<_> = (0..16)
            .map(|n| scope.spawn(move || db.take_lease(&lease(n, 1)).unwrap()))
            .collect();
        clients
            .into_iter()
            .map(|client| usize::from(client.join().unwrap() == Taken::Leased))
            .sum()
    });
    assert_eq!(leased, 3);
    assert_eq!(counts(&db), (0, 3, 0));
}

#[test]
fn downloads_of_several_links_are_taken_together_or_not_at_all() {
    let db = fresh();
    for n in 1..=3 {
        db.publish(with_blob(link(n))).unwrap();
    }
    let free = Allowance {
        unlimited: true,
        ..limited(0)
    };
    db.publish(with_blob(Link {
        allowance: free,
        ..link(4)
    }))
    .unwrap();
    for n in [11, 12] {
        db.take_lease(&lease(n, 3)).unwrap();
    }
    let all = [lease(1, 1), lease(2, 2), lease(4, 4)];
    let with = |more: Lease| [&all[..], &[more]].concat();
    for (lease, answer) in [(lease(3, 3), Taken::Busy), (lease(9, 9), Taken::Gone)] {
        let answers = db.take_leases(&with(lease)).unwrap();
        assert_eq!(
            answers,
            [Taken::Leased, Taken::Leased, Taken::Unlimited, answer]
        );
        assert_eq!(db.link(&lookup(1)).unwrap(), Some(link(1)));
        assert_eq!(db.leases().unwrap().len(), 2);
    }
    let twice = db.take_leases(&with(lease(5, 1))).unwrap_err();
    assert!(matches!(twice, MetadataError::Unavailable(_)), "{twice}");
    let answers = db.take_leases(&all).unwrap();
    assert_eq!(answers, [Taken::Leased, Taken::Leased, Taken::Unlimited]);
    let ids = [lease(1, 1).id, lease(2, 2).id, lease(9, 9).id];
    assert_eq!(db.close_leases(&ids).unwrap(), [true, true, false]);
    db.verify().unwrap();

    let freed = db.end_leases(&ids[..1], &ids[1..]).unwrap();
    assert!(freed.iter().all(|freed| *freed == Freed::default()));
    let left = |n| {
        let link = db.link(&lookup(n)).unwrap().unwrap().allowance;
        (link.remaining, link.leased, link.count)
    };
    assert_eq!((left(1), left(2)), ((1, 0, 1), (2, 0, 0)));
    db.take_leases(&[lease(1, 1)]).unwrap();
    let freed = db.end_leases(&ids[..1], &[]).unwrap();
    assert_eq!(freed[0].blob, Some(blob_id(1)), "that was the last one");
    db.verify().unwrap();
}
