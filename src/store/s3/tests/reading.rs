//! How long a reader waits that has begun, for whom, and for which answers.

use crate::model::{BlobId, SystemClock, progress};
use crate::store::StoredBlob;
use crate::store::s3::access::PATIENCE;
use crate::store::s3::exchange::Patience;
use crate::store::s3::read::Reads;
use crate::store::s3::tests::stage::{
    Act, Hand, Server, Stage, answer, error, request, settings, stage,
};
use crate::store::s3::{Client, Method};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

const SIZE: usize = 3000;
/// What opening an object gets of it.
const HEAD: usize = 1024;

fn part(first: usize, last: usize, tag: &str) -> Act {
    let head = format!("Content-Range: bytes {first}-{last}/{SIZE}\r\nETag: {tag}\r\n");
    Act::Answer(answer(206, &head, &"x".repeat(last + 1 - first)))
}

fn first(tag: &str) -> Act {
    part(0, HEAD - 1, tag)
}

fn rest(tag: &str) -> Act {
    part(HEAD, SIZE - 1, tag)
}

/// Reads all of an object from a server that follows `script`, in a process that ends or not.
fn read_in(ending: bool, script: Vec<Act>) -> (Stage, io::Result<()>) {
    let stage = stage(script);
    let reads = Reads::new(stage.client.clone());
    let blob = reads.open(&BlobId([1; 16]), "key".to_owned()).unwrap();
    if ending {
        reads.stop();
    }
    let result = blob.read_exact_at(&mut [0; SIZE], 0);
    (stage, result)
}

fn read(script: Vec<Act>) -> (Stage, io::Result<()>) {
    read_in(false, script)
}

fn busy() -> Act {
    Act::Answer(error(503, "Retry-After: 7\r\n", "SlowDown"))
}

#[test]
fn a_server_that_is_not_back_for_more_than_a_minute_breaks_nothing_off() {
    let mut script = vec![first("\"a\"")];
    script.extend((0..10).map(|_| busy()));
    script.push(rest("\"a\""));
    let (stage, result) = read(script);
    result.unwrap();
    let waited: Duration = stage.pauses().iter().sum();
    assert!(waited > Duration::from_secs(60), "{waited:?}");
    let longest = stage.pauses().into_iter().max().unwrap();
    assert!(longest <= Duration::from_secs(1), "{longest:?}");
}

#[test]
fn a_server_that_fails_for_ever_is_given_up_in_the_end() {
    let (stage, result) = read(vec![first("\"a\"")]);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Other, "{error}");
    let passed = Duration::from_secs(stage.clock.passed.load(Ordering::SeqCst));
    assert!(passed >= PATIENCE && passed < PATIENCE * 2, "{passed:?}");
    assert!(stage.server.seen().len() > 5);
}

#[test]
fn nobody_waits_for_a_server_on_behalf_of_one_who_has_gone_or_when_the_process_ends() {
    let (stage, result) = progress::wanted_by(|| true, || read(vec![first("\"a\"")]));
    assert!(result.unwrap_err().to_string().contains("has gone"));
    assert_eq!((stage.server.seen().len(), stage.pauses().len()), (2, 0));
    let (stage, result) = read_in(true, vec![first("\"a\"")]);
    assert!(result.unwrap_err().to_string().contains("stopping"));
    assert_eq!((stage.server.seen().len(), stage.pauses().len()), (2, 0));
}

#[test]
fn a_server_that_knows_no_conditions_is_asked_without_and_its_answers_are_looked_at() {
    let unknown = || Act::Answer(error(501, "", "NotImplemented"));
    let stage = stage(vec![
        first("\"a\""),
        unknown(),
        rest("\"a\""),
        first("\"a\""),
        rest("\"b\""),
    ]);
    let reads = Reads::new(stage.client.clone());
    let open = || reads.open(&BlobId([1; 16]), "key".to_owned()).unwrap();
    open().read_exact_at(&mut [0; SIZE], 0).unwrap();
    let error = open().read_exact_at(&mut [0; SIZE], 0).unwrap_err();
    assert!(error.to_string().contains("not the one"), "{error}");
    let asked: Vec<_> = stage
        .server
        .seen()
        .iter()
        .map(|seen| seen.header("if-match").is_some())
        .collect();
    assert_eq!(asked, [false, true, false, false, false]);
}

#[test]
fn a_weak_tag_is_compared_and_is_no_condition() {
    let (stage, result) = read(vec![first("W/\"a\""), rest("W/\"a\"")]);
    result.unwrap();
    assert!(stage.server.seen()[1].header("if-match").is_none());
    let (_, result) = read(vec![first("W/\"a\""), rest("W/\"b\"")]);
    assert!(result.unwrap_err().to_string().contains("not the one"));
}

#[test]
fn a_small_request_that_waits_for_its_next_attempt_keeps_nobody_from_reading() {
    let script = vec![busy(), first("\"a\""), Act::Answer(answer(204, "", ""))];
    let server = Server::following(script);
    let reads = Arc::<OnceLock<Reads>>::default();
    let others = Arc::clone(&reads);
    let patience = Patience {
        pause: Box::new(move |_| {
            let (opened, is_open) = mpsc::channel();
            let reads = Arc::clone(&others);
            std::thread::spawn(move || {
                let blob = reads
                    .get()
                    .unwrap()
                    .open(&BlobId([1; 16]), "key".to_owned());
                opened.send(blob.is_ok())
            });
            assert_eq!(is_open.recv_timeout(Duration::from_secs(60)), Ok(true));
        }),
        ..Patience::default()
    };
    let mut settings = settings(format!("http://{}", server.address));
    settings.concurrency = 1;
    let client = Client::patient(&settings, Arc::<Hand>::default(), patience).unwrap();
    let reads = reads.get_or_init(|| Reads::new(client));
    let delete = request(Method::Delete, "other");
    reads.in_turn(|turn| turn.call(&delete, &[], 9)).unwrap();
    let methods: Vec<_> = server
        .seen()
        .iter()
        .map(|s| s.head[..3].to_owned())
        .collect();
    assert_eq!(methods, ["DEL", "GET", "DEL"]);
}

#[test]
fn a_request_with_an_end_is_over_by_then_though_the_server_says_nothing() {
    let server = Server::following(vec![Act::Hang(Vec::new())]);
    let settings = settings(format!("http://{}", server.address));
    let client = Client::new(&settings, Arc::new(SystemClock::new())).unwrap();
    let reads = Reads::new(client);
    let delete = request(Method::Delete, "key");
    let began = Instant::now();
    let ended = reads.in_turn(|turn| turn.call_within(&delete, 9, Duration::from_millis(100)));
    ended.unwrap_err();
    // Without an end it is silence that breaks off each of four attempts, after a minute.
    assert!(began.elapsed() < Duration::from_secs(50));
    assert!(server.seen().len() <= 1);
}
