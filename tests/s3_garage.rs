//! What holds with s3s-fs holds with Garage: another server, which lists multipart uploads, wants its own region,
//! refuses empty parts, and does not know the condition that keeps an object from being replaced.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::model::{BlobId, Clock, SystemClock, Timestamp};
use mayfly::store::s3::{
    Client, Journal, Kind, MemoryJournal, Mend, Method, Outcome, Request, Retries, S3Settings,
    S3Store, Uploads, diagnose,
};
use mayfly::store::{BothStores, DiskStore, Place, Store, contract};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use support::Garage;
use support::s3::walk;

const MARK: &str = "0123456789abcdef0123456789abcdef";
const PART: usize = 7_864_320;

fn below(server: &Garage, prefix: String) -> S3Settings {
    let mut settings = server.settings();
    settings.prefix = prefix;
    settings
}

fn open(settings: &S3Settings) -> S3Store {
    support::s3::store(settings, MARK).with_grace(Duration::ZERO)
}

fn client(settings: &S3Settings) -> Client {
    Client::new(settings, Arc::new(SystemClock::new())).unwrap()
}

/// Bytes in which no place is like another one nearby.
fn pattern(length: usize) -> Vec<u8> {
    (0u64..)
        .flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes())
        .take(length)
        .collect()
}

fn fill(store: &dyn Store, id: &BlobId, bytes: &[u8], expected: Option<u64>) {
    let mut stage = store.stage(id, expected).unwrap();
    for piece in bytes.chunks(65_537) {
        stage.write(piece).unwrap();
    }
    stage.commit().unwrap();
}

/// How many multipart uploads the server has open.
fn open_uploads(settings: &S3Settings) -> usize {
    let request = Request {
        method: Method::Get,
        key: "",
        query: &[("uploads", ""), ("prefix", &settings.prefix)],
        headers: &[],
    };
    let answer = client(settings).call(&request, &[], 1 << 20).unwrap();
    String::from_utf8(answer.body)
        .unwrap()
        .matches("<UploadId>")
        .count()
}

#[test]
fn garage_keeps_the_contract_of_stores() {
    let Some(server) = Garage::start("the contract, kept by Garage") else {
        return;
    };
    let count = Cell::new(0);
    let prefix = || format!("store-{}/", count.replace(count.get() + 1));
    contract::check_unguarded(&|| Box::new(open(&below(&server, prefix()))));
    let home = tempfile::tempdir().unwrap();
    contract::check_unguarded(&|| {
        let prefix = prefix();
        let disk = DiskStore::open(&home.path().join(&prefix), 0).unwrap();
        let bucket: Arc<dyn Store> = Arc::new(open(&below(&server, prefix)));
        Box::new(BothStores::new(Arc::new(disk), bucket, Place::Far))
    });
}

#[test]
fn blobs_of_all_sizes_around_the_parts_come_back_from_garage_as_they_were() {
    let Some(server) = Garage::start("blobs of all sizes, in Garage") else {
        return;
    };
    let settings = below(&server, "sizes/".to_owned());
    let store = open(&settings);
    let all = pattern(2 * PART + 1);
    let sizes = [
        0,
        1,
        100_000,
        PART - 1,
        PART,
        PART + 1,
        2 * PART,
        2 * PART + 1,
    ];
    for (n, size) in (0..).zip(sizes) {
        let id = BlobId([n; 16]);
        // Known, a little less than announced, and unknown.
        let expected = [Some(size as u64), Some(size as u64 + 60_000), None];
        fill(&store, &id, &all[..size], expected[usize::from(n) % 3]);
        let blob = store.open(&id).unwrap();
        assert_eq!(blob.size(), size as u64);
        let mut back = vec![0; size];
        blob.read_exact_at(&mut back, 0).unwrap();
        assert!(back == all[..size], "{size} bytes");
        // Out of the middle, over the border of two parts.
        let start = size.saturating_sub(PART / 2 + 10);
        let mut back = vec![0; size - start];
        blob.read_exact_at(&mut back, start as u64).unwrap();
        assert!(back == all[start..size], "{size} bytes from {start}");
    }
    assert_eq!(open_uploads(&settings), 0);
}

#[test]
fn what_a_process_that_died_had_begun_in_garage_is_ended_by_the_next_one() {
    let Some(server) = Garage::start("what a process that died had begun in Garage") else {
        return;
    };
    let settings = below(&server, "died/".to_owned());
    let uploads = |journal: &Arc<MemoryJournal>| {
        let journal: Arc<dyn Journal> = Arc::clone(journal) as _;
        let incoming = std::env::temp_dir();
        Uploads::new(client(&settings), journal, &incoming, 0, Retries::default()).unwrap()
    };
    let journal = Arc::new(MemoryJournal::default());
    let died = uploads(&journal);
    let mut stage = died.stage(&BlobId([1; 16]), Some(3 * PART as u64)).unwrap();
    for piece in pattern(2 * PART + 1).chunks(65_537) {
        stage.write(piece).unwrap();
    }
    assert!(support::within(Duration::from_secs(120), || {
        open_uploads(&settings) == 1
    }));
    std::mem::forget(stage);
    let after = Arc::new(MemoryJournal::default());
    after.begun(&journal.open(None, 10).unwrap()[0]).unwrap();
    let next = uploads(&after);
    // Too young to be abandoned, for whoever finds it by listing only.
    assert_eq!(next.sweep_old(Duration::from_secs(24 * 3600)).unwrap(), 0);
    assert_eq!(open_uploads(&settings), 1);
    assert_eq!(next.sweep().unwrap(), 1);
    assert_eq!(open_uploads(&settings), 0);
    assert_eq!(after.open(None, 10).unwrap(), []);
    // One that no journal knows is found by listing, when it is old.
    client(&settings)
        .call(
            &Request {
                method: Method::Post,
                key: &format!("died/{}", BlobId([2; 16]).to_hex()),
                query: &[("uploads", "")],
                headers: &[],
            },
            &[],
            1 << 16,
        )
        .unwrap();
    assert_eq!(open_uploads(&settings), 1);
    assert!(support::within(Duration::from_secs(120), || {
        next.sweep_old(Duration::ZERO).unwrap() == 1
    }));
    assert_eq!(open_uploads(&settings), 0);
}

#[test]
fn all_blobs_in_garage_are_listed_in_pages_with_their_sizes_and_nothing_else_is() {
    let Some(server) = Garage::start("listing Garage") else {
        return;
    };
    let settings = below(&server, "some/files/".to_owned());
    let (store, client) = (open(&settings), client(&settings));
    let put = |name: &str, length: usize| {
        let key = format!("some/files/{name}");
        let request = Request {
            method: Method::Put,
            key: &key,
            query: &[],
            headers: &[],
        };
        client.call(&request, &vec![b'x'; length], 1 << 16).unwrap();
    };
    for name in [
        "0123",
        "a photo.jpg",
        "deep/0123456789abcdef0123456789abcdef",
        "zzz",
    ] {
        put(name, 3);
    }
    assert!(store.is_empty().unwrap());
    // More than two pages of the listing.
    let mut ids: Vec<BlobId> = (0u32..600)
        .map(|n| {
            let mut id = [7; 16];
            id[..4].copy_from_slice(&n.wrapping_mul(0x9E37_79B9).to_be_bytes());
            BlobId(id)
        })
        .collect();
    ids.sort_unstable();
    for (n, id) in ids.iter().enumerate() {
        put(&id.to_hex(), n % 5);
    }
    for page in [128, 1000] {
        assert!(walk(&store, page) == ids, "in pages of {page}");
    }
    let sizes = store.sizes(&ids[100..400]).unwrap();
    for (n, size) in (100..).zip(sizes) {
        assert_eq!(size.ok(), Some(n % 5));
    }
    store.sign_off();
    let young = support::s3::store(&settings, MARK);
    assert_eq!(young.list(None, 10).unwrap(), [], "stored a moment ago");
}

#[test]
fn an_object_that_was_replaced_is_no_longer_the_one_that_was_opened() {
    let Some(server) = Garage::start("If-Match, asked of Garage") else {
        return;
    };
    let settings = below(&server, "match/".to_owned());
    let (store, client) = (open(&settings), client(&settings));
    let id = BlobId([9; 16]);
    fill(&store, &id, &pattern(6 << 20), Some(6 << 20));
    let blob = store.open(&id).unwrap();
    let key = format!("match/{}", id.to_hex());
    let request = Request {
        method: Method::Put,
        key: &key,
        query: &[],
        headers: &[],
    };
    client.call(&request, &vec![0; 6 << 20], 1 << 16).unwrap();
    let mut back = vec![0; 100];
    assert!(blob.read_exact_at(&mut back, 3 << 20).is_err());
}

/// What was found wrong first.
fn trouble(settings: &S3Settings, clock: Arc<dyn Clock>) -> (String, Option<Mend>) {
    let findings = diagnose(settings, clock);
    let trouble = findings.into_iter().find_map(|found| match found.outcome {
        Outcome::Fails(trouble) => Some((trouble.sentence, trouble.mend)),
        Outcome::Works | Outcome::Remark(_) => None,
    });
    trouble.expect("nothing is wrong")
}

/// A clock that is off by so many seconds.
struct Off(SystemClock, i64);

impl Clock for Off {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.now().0 + self.1)
    }
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[test]
fn a_trial_of_garage_goes_well_and_names_what_is_wrong() {
    let Some(server) = Garage::start("trying Garage out") else {
        return;
    };
    let settings = below(&server, "trial/".to_owned());
    let clock = || Arc::new(SystemClock::new());
    for found in diagnose(&settings, clock()) {
        let replaces = found.tried == "replace";
        assert_eq!(
            matches!(found.outcome, Outcome::Remark(_)),
            replaces,
            "{found:?}"
        );
        assert!(!matches!(found.outcome, Outcome::Fails(_)), "{found:?}");
    }
    assert_eq!(open_uploads(&settings), 0);
    // An hour off in both directions: refused, learned from the answer, and said.
    for off in [3600, -3600] {
        let findings = diagnose(&settings, Arc::new(Off(SystemClock::new(), off)));
        let clock = findings.iter().find(|found| found.tried == "clock");
        let outcome = &clock.expect("the clock is looked at").outcome;
        assert!(matches!(outcome, Outcome::Remark(_)), "{outcome:?}");
        for found in &findings {
            assert!(!matches!(found.outcome, Outcome::Fails(_)), "{found:?}");
        }
    }
    let mut wrong = settings.clone();
    wrong.region = "us-east-1".to_owned();
    let (sentence, mend) = trouble(&wrong, clock());
    assert!(sentence.contains("region"), "{sentence}");
    assert_eq!(mend, Some(Mend::Region("garage".to_owned())), "{sentence}");
    let mut wrong = settings.clone();
    wrong.bucket = "not-there".to_owned();
    let (sentence, _) = trouble(&wrong, clock());
    assert!(sentence.contains("not-there"), "{sentence}");
    let mut wrong = settings.clone();
    wrong.credentials.secret = "0".repeat(64).into();
    let (sentence, _) = trouble(&wrong, clock());
    assert!(sentence.contains("secret does not belong"), "{sentence}");
    let mut wrong = settings;
    wrong.credentials.key_id = format!("GK{}", "0".repeat(24)).into();
    let (sentence, _) = trouble(&wrong, clock());
    assert!(
        sentence.contains("does not know the access key"),
        "{sentence}"
    );
}

#[test]
fn a_missing_object_is_missing_and_a_missing_bucket_is_one() {
    let Some(server) = Garage::start("what is missing in Garage") else {
        return;
    };
    let request = |key| Request {
        method: Method::Get,
        key,
        query: &[],
        headers: &[],
    };
    let kind = |settings: &S3Settings, key| {
        let error = client(settings).fetch(&request(key)).err();
        error.expect("there is nothing").kind().clone()
    };
    let mut settings = server.settings();
    assert_eq!(kind(&settings, "nothing"), Kind::NotFound);
    settings.bucket = "not-there".to_owned();
    assert_eq!(kind(&settings, "nothing"), Kind::NoBucket);
}
