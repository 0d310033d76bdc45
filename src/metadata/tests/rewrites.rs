//! Links that get other bytes, or another owner.

use super::*;

/// Link `n` with the bytes of link `donor`.
fn with_bytes_of(n: u64, donor: u64, remove: bool) -> Rewrite {
    Rewrite {
        link: Link {
            blob: blob_id(donor),
            by_link: vec![0xEE; 48],
            by_owner: vec![0xEF; 120],
            label: vec![0xED; 60],
            // Not for this: all of these stay as they are.
            created: Timestamp(9),
            allowance: limited(99),
            password: Some(password()),
            pending_delete: Some(Timestamp(9)),
            ..link(n)
        },
        seen: link(n).by_owner,
        by_hotlink: None,
        donor: Some(Donor {
            lookup: lookup(donor),
            seen: link(donor).by_owner,
            remove,
        }),
    }
}

fn references(db: &RedbMetadata, n: u64) -> Option<u32> {
    db.blob(&blob_id(n)).unwrap().map(|blob| blob.references)
}

#[test]
fn a_link_gets_other_bytes_and_its_own_go_with_their_last_link() {
    let db = fresh();
    for n in [1, 2] {
        db.publish(with_blob(link(n))).unwrap();
    }
    db.take_lease(&lease(1, 1)).unwrap();
    let Rewritten::Done(new, freed) = db.rewrite(with_bytes_of(1, 2, false)).unwrap() else {
        panic!("nothing is in the way");
    };
    let kept = Link {
        blob: blob_id(2),
        by_link: vec![0xEE; 48],
        by_owner: vec![0xEF; 120],
        label: vec![0xED; 60],
        allowance: Allowance {
            leased: 1,
            ..limited(1)
        },
        ..link(1)
    };
    assert_eq!(*new, kept);
    assert_eq!(db.link(&lookup(1)).unwrap(), Some(kept));
    let blobs: Vec<_> = freed.iter().map(|freed| (freed.link, freed.blob)).collect();
    assert_eq!(blobs, [(None, Some(blob_id(1)))]);
    assert_eq!((references(&db, 1), references(&db, 2)), (None, Some(2)));
    assert_eq!(db.garbage(None, 9).unwrap(), [blob_id(1)]);
    assert_eq!(db.leases().unwrap().len(), 1, "it settles as it would have");
    db.verify().unwrap();

    db.remove(&lookup(2)).unwrap();
    assert_eq!(references(&db, 2), Some(1));
}

#[test]
fn a_donor_goes_in_the_same_step_and_never_its_bytes() {
    let db = fresh();
    for n in [1, 2] {
        db.publish(with_blob(link(n))).unwrap();
    }
    db.publish(sharing(link(3), blob_id(1))).unwrap();
    let Rewritten::Done(_, freed) = db.rewrite(with_bytes_of(1, 2, true)).unwrap() else {
        panic!("nothing is in the way");
    };
    let gone: Vec<_> = freed.iter().filter_map(|freed| freed.blob).collect();
    assert_eq!(gone, [], "both have another link");
    assert_eq!(db.link(&lookup(2)).unwrap(), None);
    assert_eq!((references(&db, 1), references(&db, 2)), (Some(1), Some(1)));
    db.verify().unwrap();
    assert_eq!(
        db.rewrite(with_bytes_of(3, 2, true)).unwrap(),
        Rewritten::Gone
    );
    assert_eq!(
        db.rewrite(with_bytes_of(9, 1, true)).unwrap(),
        Rewritten::Gone
    );
}

#[test]
fn a_donor_of_the_same_bytes_changes_the_label_only() {
    let db = fresh();
    db.publish(with_blob(link(1))).unwrap();
    db.publish(sharing(link(2), blob_id(1))).unwrap();
    let mut change = with_bytes_of(1, 2, true);
    change.link.blob = blob_id(1);
    let Rewritten::Done(new, _) = db.rewrite(change).unwrap() else {
        panic!("nothing is in the way");
    };
    assert_eq!(new.label, vec![0xED; 60]);
    assert_eq!(references(&db, 1), Some(1));
    db.verify().unwrap();
}

#[test]
fn what_was_made_from_an_old_row_changes_nothing() {
    let db = fresh();
    for n in [1, 2] {
        db.publish(with_blob(link(n))).unwrap();
    }
    let mut of_old_link = with_bytes_of(1, 2, true);
    of_old_link.seen = vec![9; 120];
    let mut of_old_donor = with_bytes_of(1, 2, true);
    if let Some(donor) = &mut of_old_donor.donor {
        donor.seen = vec![9; 120];
    }
    for outdated in [of_old_link, of_old_donor] {
        assert_eq!(db.rewrite(outdated).unwrap(), Rewritten::Outdated);
    }
    let mut of_itself = with_bytes_of(1, 1, false);
    of_itself.seen = link(1).by_owner;
    let mut no_bytes = with_bytes_of(1, 2, false);
    no_bytes.link.blob = blob_id(1);
    let mut no_key = with_bytes_of(1, 2, false);
    no_key.link.hotlink = Some(lookup(77));
    let mut other_size = with_bytes_of(1, 2, false);
    other_size.link.size = 8;
    for wrong in [of_itself, no_bytes, no_key, other_size] {
        let error = db.rewrite(wrong).unwrap_err();
        assert!(matches!(error, MetadataError::Unavailable(_)), "{error}");
    }
    assert_eq!(db.link(&lookup(1)).unwrap(), Some(link(1)));
    assert_eq!(db.link(&lookup(2)).unwrap(), Some(link(2)));
    assert_eq!((references(&db, 1), references(&db, 2)), (Some(1), Some(1)));
}

#[test]
fn hotlinks_come_stay_and_go_with_the_bytes() {
    let db = fresh();
    for n in [1, 2] {
        db.publish(with_blob(link(n))).unwrap();
    }
    let change = |from: u64, seen: u8, hotlink: Option<u64>| {
        let mut change = with_bytes_of(1, from, false);
        change.link.blob = blob_id(2);
        change.seen = vec![seen; 120];
        change.link.by_owner = vec![seen + 1; 120];
        change.link.hotlink = hotlink.map(lookup);
        change.by_hotlink = hotlink.map(|_| vec![seen; 48]);
        db.rewrite(change).unwrap()
    };
    let opens = |n| db.hotlink(&lookup(n)).unwrap().map(|h| h.by_hotlink[0]);
    assert!(matches!(change(2, 2, Some(77)), Rewritten::Done(..)));
    assert_eq!(opens(77), Some(2));
    assert!(matches!(change(2, 3, Some(77)), Rewritten::Done(..)));
    assert_eq!(opens(77), Some(3));
    assert!(matches!(change(2, 4, Some(78)), Rewritten::Done(..)));
    assert_eq!((opens(77), opens(78)), (None, Some(4)));
    assert!(matches!(change(2, 5, None), Rewritten::Done(..)));
    assert_eq!(opens(78), None);
    db.verify().unwrap();
}

#[test]
fn a_link_moves_to_another_owner_with_its_place_and_leases() {
    let db = fresh();
    let tag = [0xDD; 32];
    let mut request = with_blob(link(1));
    if let BlobSource::New { blob, by_plaintext } = &mut request.source {
        blob.tag = Some(tag);
        *by_plaintext = Some(vec![1; 48]);
    }
    db.publish(request).unwrap();
    db.take_lease(&lease(1, 1)).unwrap();
    let change = Rewrite {
        link: Link {
            owner: AccountId(7),
            by_owner: vec![0xEF; 120],
            ..link(1)
        },
        seen: link(1).by_owner,
        by_hotlink: None,
        donor: None,
    };
    let Rewritten::Done(new, freed) = db.rewrite(change.clone()).unwrap() else {
        panic!("nothing is in the way");
    };
    assert!(freed.is_empty() && new.owner == AccountId(7));
    assert_eq!(db.links_of(AccountId(1), None, 9).unwrap(), []);
    assert_eq!(db.links_of(AccountId(7), None, 9).unwrap(), [*new]);
    assert_eq!(
        db.duplicate(&tag).unwrap(),
        None,
        "the one who had it is not told whether it is still there"
    );
    db.verify().unwrap();
    assert_eq!(db.rewrite(change).unwrap(), Rewritten::Outdated);
    assert_eq!(db.settle_lease(&lease(1, 1).id).unwrap(), Freed::default());
    let link = db.link(&lookup(1)).unwrap().unwrap();
    assert_eq!(link.allowance.count, 1);
    db.verify().unwrap();
}
