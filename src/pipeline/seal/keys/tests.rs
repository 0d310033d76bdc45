//! Every secret, label and context counts, and lists of secrets do not run together.

use super::*;
use std::collections::HashSet;

const PURPOSES: [Purpose; 12] = [
    Purpose::ContentByLink,
    Purpose::ContentByHotlink,
    Purpose::ContentByPlaintext,
    Purpose::LinkByOwner,
    Purpose::ChunksByOwner,
    Purpose::ChunkEdge,
    Purpose::Label,
    Purpose::AccountByApiKey,
    Purpose::AccountByPassword,
    Purpose::AccountByMaster,
    Purpose::AccountByRecovery,
    Purpose::Cookie,
];

const KINDS: [TokenKind; 3] = [TokenKind::Link, TokenKind::Hotlink, TokenKind::ApiKey];

fn token(text: &str) -> Token {
    Token::parse(text).unwrap()
}

#[test]
fn a_wrap_opens_with_the_same_secrets_purpose_and_context_only() {
    for purpose in PURPOSES {
        let wrapped = wrap(purpose, &[b"link id", b"password key"], b"row", b"content");
        let open = |purpose, secrets: &[&[u8]], context: &[u8]| {
            unwrap(purpose, secrets, context, &wrapped).map(|p| p.to_vec())
        };
        let right: [&[u8]; 2] = [b"link id", b"password key"];
        assert_eq!(open(purpose, &right, b"row").unwrap(), b"content");
        for other in PURPOSES.into_iter().filter(|p| *p != purpose) {
            assert_eq!(open(other, &right, b"row"), None, "{purpose:?} {other:?}");
        }
        assert_eq!(open(purpose, &right, b"another row"), None);
        assert_eq!(open(purpose, &right, b""), None);
        assert_eq!(open(purpose, &[b"link id"], b"row"), None);
        assert_eq!(open(purpose, &[b"link id", b"password"], b"row"), None);
        assert_eq!(open(purpose, &[], b"row"), None);
    }
}

#[test]
fn secrets_do_not_run_together() {
    let wrapped = wrap(Purpose::ContentByLink, &[b"ab", b"c"], b"", b"x");
    let others: [&[&[u8]]; 6] = [
        &[b"a", b"bc"],
        &[b"abc"],
        &[b"c", b"ab"],
        &[b"ab", b"c", b""],
        &[b"", b"ab", b"c"],
        &[b"ab\0\0\0\0\0\0\0\x01c"],
    ];
    for secrets in others {
        assert!(unwrap(Purpose::ContentByLink, secrets, b"", &wrapped).is_none());
    }
    assert!(unwrap(Purpose::ContentByLink, &[b"ab", b"c"], b"", &wrapped).is_some());
}

#[test]
fn a_changed_or_cut_wrap_opens_nothing() {
    let wrapped = wrap(Purpose::Label, &[b"key"], b"row", b"name.txt");
    assert_eq!(wrapped.len(), SALT + 8 + 16);
    let open = |bytes: &[u8]| unwrap(Purpose::Label, &[b"key"], b"row", bytes);
    for bit in 0..wrapped.len() * 8 {
        let mut changed = wrapped.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&changed).is_none(), "bit {bit}");
    }
    for length in 0..wrapped.len() {
        assert!(open(&wrapped[..length]).is_none(), "{length} bytes");
    }
    let mut longer = wrapped.clone();
    longer.push(0);
    assert!(open(&longer).is_none());
}

#[test]
fn equal_plaintexts_do_not_show_in_their_wraps() {
    let wraps: HashSet<_> = (0..8)
        .map(|_| wrap(Purpose::Label, &[b"key"], b"row", b"name.txt"))
        .collect();
    assert_eq!(wraps.len(), 8);
    let empty = wrap(Purpose::Label, &[b"key"], b"row", b"");
    let opened = unwrap(Purpose::Label, &[b"key"], b"row", &empty).unwrap();
    assert!(opened.is_empty());
}

#[test]
fn labels_are_distinct() {
    let labels: HashSet<_> = PURPOSES.iter().map(|p| p.label()).collect();
    assert_eq!(labels.len(), PURPOSES.len());
    // HKDF takes the label as the last input before a counter: none may continue another.
    for a in &labels {
        let longer = labels.iter().filter(|b| b.starts_with(a)).count();
        assert_eq!(longer, 1, "{}", String::from_utf8_lossy(a));
    }
}

#[test]
fn a_token_of_one_kind_is_unknown_to_the_others() {
    let token = token("0123456789abcdefABCDEF");
    let lookups: HashSet<_> = KINDS.iter().map(|kind| lookup(*kind, &token)).collect();
    assert_eq!(lookups.len(), KINDS.len());
    assert!(lookup(KINDS[0], &token) == lookup(KINDS[0], &token));
}

#[test]
fn a_lookup_is_the_documented_hash_and_not_that_of_the_bare_token() {
    // echo -ne 'mayfly/1/lookup/link\0abcdefgh' | sha256sum
    let expected = "00896e99fe50a07e331019887dfbf828dbf28646a94994d16b8775dee57c2a56";
    let found = lookup(TokenKind::Link, &token("abcdefgh"));
    assert_eq!(data_encoding::HEXLOWER.encode(&found.0), expected);
}

#[test]
fn an_upload_in_chunks_is_found_by_its_credential_and_its_name_together() {
    let one = lookup(TokenKind::ApiKey, &token("0123456789abcdefABCDEF"));
    let two = lookup(TokenKind::ApiKey, &token("0123456789abcdefABCDEG"));
    let found = [
        chunks_lookup(&one, "0123456789"),
        chunks_lookup(&two, "0123456789"),
        chunks_lookup(&one, "0123456780"),
        chunks_lookup(&one, ""),
        one,
        two,
    ];
    assert_eq!(HashSet::from(found).len(), found.len());
    // (echo -ne 'mayfly/1/lookup/chunks\0'; head -c 32 /dev/zero; echo -n name) | sha256sum
    let expected = "3d91eb62996fb3d99addbd1c0434bcd0b1b5c13d611f6ec693fc470ac6051964";
    let hash = chunks_lookup(&Lookup([0; 32]), "name");
    assert_eq!(data_encoding::HEXLOWER.encode(&hash.0), expected);
}

#[test]
fn tags_depend_on_everything_they_are_made_of() {
    let (one, two) = (Secret::new([1; 32]), Secret::new([2; 32]));
    let tags = [
        dedup_tag(&one, 1, true, &[0; 32]),
        dedup_tag(&two, 1, true, &[0; 32]),
        dedup_tag(&one, 2, true, &[0; 32]),
        dedup_tag(&one, 1, false, &[0; 32]),
        dedup_tag(&one, 1, true, &[1; 32]),
    ];
    assert_eq!(HashSet::from(tags).len(), tags.len());
    assert_eq!(tags[0], dedup_tag(&one, 1, true, &[0; 32]));
    let clients = [
        client_tag(&one, &[127, 0, 0, 1]),
        client_tag(&two, &[127, 0, 0, 1]),
        client_tag(&one, &[127, 0, 0, 2]),
    ];
    assert_eq!(HashSet::from(clients).len(), clients.len());
    let marks = [
        owner_mark(&one, 1),
        owner_mark(&two, 1),
        owner_mark(&one, 2),
    ];
    assert_eq!(HashSet::from(marks.clone()).len(), marks.len());
    assert_eq!(marks[0], owner_mark(&one, 1));
    assert!(marks.iter().all(|mark| mark.len() == 32));
}

#[test]
fn a_password_key_depends_on_password_salt_and_cost() {
    let params = |memory_kib, passes, salt| PasswordParams {
        memory_kib,
        passes,
        salt: [salt; 16],
    };
    let key = |password: &str, params| *password_key(password, &params).reveal();
    let keys = [
        key("secret", params(32, 1, 1)),
        key("Secret", params(32, 1, 1)),
        key("secret", params(32, 1, 2)),
        key("secret", params(32, 2, 1)),
        key("secret", params(64, 1, 1)),
        key("", params(32, 1, 1)),
    ];
    assert_eq!(HashSet::from(keys).len(), keys.len());
    assert_eq!(keys[0], key("secret", params(32, 1, 1)));
    // Costs that argon2 does not know are raised to the least it does.
    assert_eq!(key("x", params(0, 0, 1)), key("x", params(8, 1, 1)));
}
