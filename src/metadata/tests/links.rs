//! Links: publishing, listing, changing, ending.

use super::*;

#[test]
fn a_published_link_is_there_in_full_and_listed_and_due() {
    let db = fresh();
    let mut new = link(1);
    new.password = Some(password());
    new.pending_delete = Some(Timestamp(1_500));
    new.hotlink = Some(lookup(77));
    let mut request = with_blob(new.clone());
    request.by_hotlink = Some(vec![8; 48]);
    assert_eq!(db.publish(request).unwrap(), Published::Done);

    assert_eq!(db.link(&lookup(1)).unwrap(), Some(new.clone()));
    assert_eq!(db.links_of(AccountId(1), None, 10).unwrap(), [new]);
    assert_eq!(due(&db, Timestamp(1_499), 10), []);
    assert_eq!(due(&db, Timestamp(1_500), 10), [lookup(1)]);
    assert_eq!(
        db.hotlink(&lookup(77)).unwrap(),
        Some(Hotlink {
            link: lookup(1),
            by_hotlink: vec![8; 48]
        })
    );
    assert_eq!(db.blob(&blob_id(1)).unwrap().unwrap().references, 1);
    assert_eq!(db.link_count().unwrap(), 1);
    assert_eq!(db.link(&lookup(2)).unwrap(), None);
}

#[test]
fn what_is_there_is_never_published_over() {
    let db = fresh();
    let mut first = link(1);
    first.hotlink = Some(lookup(77));
    let mut request = with_blob(first);
    request.by_hotlink = Some(vec![8]);
    db.publish(request).unwrap();

    let same_link = with_blob(Link {
        blob: blob_id(2),
        ..link(1)
    });
    let same_blob = with_blob(Link {
        blob: blob_id(1),
        ..link(2)
    });
    let mut same_hotlink = with_blob(Link {
        hotlink: Some(lookup(77)),
        ..link(2)
    });
    same_hotlink.by_hotlink = Some(vec![9]);
    let no_hotlink_key = with_blob(Link {
        hotlink: Some(lookup(78)),
        ..link(2)
    });
    let mut other_blob = sharing(link(2), blob_id(1));
    other_blob.link.blob = blob_id(5);
    for request in [
        same_link,
        same_blob,
        same_hotlink,
        no_hotlink_key,
        other_blob,
    ] {
        let error = db.publish(request).unwrap_err();
        assert!(matches!(error, MetadataError::Unavailable(_)), "{error}");
    }
    assert_eq!(db.link_count().unwrap(), 1);
    assert_eq!(db.blob(&blob_id(1)).unwrap().unwrap().references, 1);
    assert_eq!(
        db.unknown_blobs(&[blob_id(1), blob_id(2)]).unwrap(),
        [blob_id(2)]
    );
}

#[test]
fn a_shared_blob_lives_until_its_last_link_goes() {
    let db = fresh();
    db.publish(with_blob(link(1))).unwrap();
    assert_eq!(
        db.publish(sharing(link(2), blob_id(1))).unwrap(),
        Published::Done
    );
    assert_eq!(db.blob(&blob_id(1)).unwrap().unwrap().references, 2);

    let freed = db.remove(&lookup(1)).unwrap().unwrap();
    assert_eq!(
        freed,
        Freed {
            link: Some(lookup(1)),
            blob: None
        }
    );
    assert_eq!(db.garbage(None, 10).unwrap(), []);
    let freed = db.remove(&lookup(2)).unwrap().unwrap();
    assert_eq!(
        freed,
        Freed {
            link: Some(lookup(2)),
            blob: Some(blob_id(1))
        }
    );
    assert_eq!(db.blob(&blob_id(1)).unwrap(), None);
    assert_eq!(db.garbage(None, 10).unwrap(), [blob_id(1)]);
    assert_eq!(db.garbage(Some(&blob_id(0)), 10).unwrap(), [blob_id(1)]);
    assert_eq!(db.garbage(Some(&blob_id(1)), 10).unwrap(), []);

    let late = db.publish(sharing(link(3), blob_id(1))).unwrap();
    assert_eq!(late, Published::SharedBlobGone);
    assert_eq!(db.link(&lookup(3)).unwrap(), None);
    assert_eq!(db.links_of(AccountId(1), None, 10).unwrap(), []);

    db.collected(&[blob_id(1), blob_id(9)]).unwrap();
    assert_eq!(db.garbage(None, 10).unwrap(), []);
}

fn tagged(n: u64, tag: [u8; 32]) -> NewLink {
    let mut request = with_blob(link(n));
    if let BlobSource::New { blob, by_plaintext } = &mut request.source {
        blob.tag = Some(tag);
        *by_plaintext = Some(vec![n as u8; 48]);
    }
    request
}

#[test]
fn the_first_blob_of_a_tag_keeps_it_until_it_goes() {
    let db = fresh();
    let tag = [0xDD; 32];
    assert_eq!(db.duplicate(&tag).unwrap(), None);
    db.publish(tagged(1, tag)).unwrap();
    db.publish(tagged(2, tag)).unwrap();
    let found = db.duplicate(&tag).unwrap().unwrap();
    assert_eq!(
        (found.blob.id, found.by_plaintext),
        (blob_id(1), vec![1; 48])
    );
    assert_eq!(db.blob(&blob_id(2)).unwrap().unwrap().tag, None);

    db.remove(&lookup(2)).unwrap();
    assert_eq!(db.duplicate(&tag).unwrap().unwrap().blob.id, blob_id(1));
    db.remove(&lookup(1)).unwrap();
    assert_eq!(db.duplicate(&tag).unwrap(), None);
    db.publish(tagged(3, tag)).unwrap();
    assert_eq!(db.duplicate(&tag).unwrap().unwrap().blob.id, blob_id(3));
}

#[test]
fn a_removed_link_leaves_nothing_behind() {
    let db = fresh();
    let mut new = link(1);
    new.hotlink = Some(lookup(77));
    let mut request = with_blob(new);
    request.by_hotlink = Some(vec![8]);
    db.publish(request).unwrap();
    db.take_lease(&lease(1, 1)).unwrap();

    db.remove(&lookup(1)).unwrap().unwrap();
    assert_eq!(db.remove(&lookup(1)).unwrap(), None);
    assert_eq!(db.link(&lookup(1)).unwrap(), None);
    assert_eq!(db.hotlink(&lookup(77)).unwrap(), None);
    assert_eq!(db.links_of(AccountId(1), None, 10).unwrap(), []);
    assert_eq!(due(&db, Timestamp(i64::MAX), 10), []);
    assert_eq!(db.leases().unwrap(), []);
    assert_eq!(db.link_count().unwrap(), 0);
    assert!(!db.close_lease(&lease(1, 1).id).unwrap());
    assert_eq!(db.settle_lease(&lease(1, 1).id).unwrap(), Freed::default());
    db.return_lease(&lease(1, 1).id).unwrap();
}

#[test]
fn listings_page_in_order_of_age_and_show_one_owner_only() {
    let db = fresh();
    // Ages of both signs, two links of one age, a neighbour on either side.
    let ages = [(1, -5), (2, 300), (3, -900), (4, 300), (5, 0)];
    for (n, created) in ages {
        let created = Timestamp(created);
        db.publish(with_blob(Link { created, ..link(n) })).unwrap();
    }
    for (n, owner) in [(10, 0), (11, 2), (12, u64::MAX)] {
        let owner = AccountId(owner);
        db.publish(with_blob(Link { owner, ..link(n) })).unwrap();
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = db.links_of(AccountId(1), after.as_ref(), 2).unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(LinkCursor {
            created: last.created,
            lookup: last.lookup,
        });
        seen.extend(page.iter().map(|l| l.lookup));
    }
    assert_eq!(seen, [3, 1, 5, 2, 4].map(lookup));
    let last = db.links_of(AccountId(u64::MAX), None, 9).unwrap();
    assert_eq!(last.len(), 1, "nothing comes after the last owner");

    // The cursor holds even when its link is gone.
    db.remove(&lookup(1)).unwrap();
    let after = LinkCursor {
        created: Timestamp(-5),
        lookup: lookup(1),
    };
    let rest = db.links_of(AccountId(1), Some(&after), 1).unwrap();
    assert_eq!(rest[0].lookup, lookup(5));
}

#[test]
fn due_links_come_earliest_first_and_links_without_end_never() {
    let db = fresh();
    for (n, at) in [(1, 30), (2, -10), (3, 20)] {
        let expiry = Expiry {
            at: Timestamp(at),
            unlimited: false,
        };
        db.publish(with_blob(Link { expiry, ..link(n) })).unwrap();
    }
    let expiry = Expiry {
        at: Timestamp(1),
        unlimited: true,
    };
    db.publish(with_blob(Link { expiry, ..link(4) })).unwrap();
    assert_eq!(due(&db, Timestamp(29), 9), [2, 3].map(lookup));
    assert_eq!(due(&db, Timestamp(i64::MAX), 9), [2, 3, 1].map(lookup));
    assert_eq!(due(&db, Timestamp(i64::MAX), 1), [lookup(2)]);
    let mut after = None;
    for n in [2, 3] {
        let page = db.due(Timestamp(29), after.as_ref(), 1).unwrap();
        assert_eq!(
            page[0].lookup,
            lookup(n),
            "a page begins where the last one ended"
        );
        after = page.last().copied();
    }
    assert_eq!(db.due(Timestamp(29), after.as_ref(), 1).unwrap(), []);
}

#[test]
fn an_edit_changes_what_it_names_and_moves_the_end() {
    let db = fresh();
    db.publish(with_blob(link(1))).unwrap();
    assert_eq!(db.edit(&lookup(9), LinkEdit::default()).unwrap(), None);
    assert_eq!(
        db.edit(&lookup(1), LinkEdit::default()).unwrap(),
        Some(link(1))
    );

    let later = Expiry {
        at: Timestamp(5_000),
        unlimited: false,
    };
    let edit = LinkEdit {
        expiry: Some(later),
        ..LinkEdit::default()
    };
    let new = db.edit(&lookup(1), edit).unwrap().unwrap();
    assert_eq!(
        new,
        Link {
            expiry: later,
            ..link(1)
        }
    );
    assert_eq!(due(&db, Timestamp(4_999), 9), []);
    assert_eq!(due(&db, Timestamp(5_000), 9), [lookup(1)]);

    let edit = |pending_delete| LinkEdit {
        pending_delete: Some(pending_delete),
        ..LinkEdit::default()
    };
    db.edit(&lookup(1), edit(Some(Timestamp(1_200)))).unwrap();
    assert_eq!(due(&db, Timestamp(1_200), 9), [lookup(1)]);
    db.edit(&lookup(1), edit(None)).unwrap();
    assert_eq!(due(&db, Timestamp(1_200), 9), []);

    let edit = LinkEdit {
        password: Some(PasswordEdit {
            params: Some(password()),
            by_link: vec![0xEE; 48],
            by_owner: vec![0xEF; 120],
            seen: link(1).by_owner,
        }),
        ..LinkEdit::default()
    };
    let new = db.edit(&lookup(1), edit.clone()).unwrap().unwrap();
    let late = LinkEdit {
        allowance: Some(limited(9)),
        ..edit
    };
    let kept = db.edit(&lookup(1), late).unwrap().unwrap();
    assert_eq!(kept, new, "made from what is no more");
    assert_eq!(
        (new.password, new.by_link.clone()),
        (Some(password()), vec![0xEE; 48])
    );
    assert_eq!(db.link(&lookup(1)).unwrap(), Some(new));
}

#[test]
fn only_links_that_are_still_over_are_swept() {
    let db = fresh();
    for n in 1..=3 {
        db.publish(with_blob(link(n))).unwrap();
    }
    let due = due(&db, Timestamp(2_000), 9);
    assert_eq!(due.len(), 3);
    // Between the look and the sweep, one got more time and one was removed.
    let expiry = Some(Expiry {
        at: Timestamp(3_000),
        unlimited: false,
    });
    db.edit(
        &lookup(1),
        LinkEdit {
            expiry,
            ..LinkEdit::default()
        },
    )
    .unwrap();
    db.remove(&lookup(2)).unwrap();
    let freed = db.remove_over(&due, Timestamp(2_000)).unwrap();
    assert_eq!(
        freed,
        [Freed {
            link: Some(lookup(3)),
            blob: Some(blob_id(3))
        }]
    );
    assert!(db.link(&lookup(1)).unwrap().is_some());
    assert_eq!(db.remove_over(&due, Timestamp(2_000)).unwrap(), []);
}

#[test]
fn a_link_whose_downloads_are_taken_away_is_due_at_once() {
    let db = fresh();
    let expiry = Expiry {
        at: Timestamp(0),
        unlimited: true,
    };
    db.publish(with_blob(Link { expiry, ..link(1) })).unwrap();
    let allowance = Some(limited(0));
    db.edit(
        &lookup(1),
        LinkEdit {
            allowance,
            ..LinkEdit::default()
        },
    )
    .unwrap();
    assert_eq!(due(&db, NOW, 9), [lookup(1)]);
    assert_eq!(db.remove_over(&[lookup(1)], NOW).unwrap().len(), 1);
    assert_eq!(due(&db, NOW, 9), []);
}

#[test]
fn downloads_without_a_limit_are_added_up() {
    let db = fresh();
    db.publish(with_blob(link(1))).unwrap();
    db.add_downloads(&[(lookup(1), 2), (lookup(9), 5), (lookup(1), 3)])
        .unwrap();
    let found = db.link(&lookup(1)).unwrap().unwrap();
    assert_eq!(
        found.allowance,
        Allowance {
            count: 5,
            ..limited(2)
        }
    );
    assert_eq!(db.link(&lookup(9)).unwrap(), None);
}
