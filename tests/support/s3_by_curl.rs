//! The same bytes sent by `curl --aws-sigv4`: a multipart upload by hand, in parts of the same size.

use crate::support::S3Server;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What the parts of a file of known length have, in bytes.
const PART: u64 = 15 << 19;
const KEY: &str = "sent-by-curl";

/// How long it takes to store `size` bytes over so many connections. The object is removed then.
pub fn multipart(s3: &S3Server, size: u64, connections: u64) -> Duration {
    let home = tempfile::tempdir().unwrap();
    // Sealed bytes look random to the server; which ones they are is all the same to it.
    let payload = crate::support::Payload::fresh(PART);
    let parts = size.div_ceil(PART);
    let last = size - (parts - 1) * PART;
    std::fs::write(home.path().join("part"), payload.bytes()).unwrap();
    std::fs::write(home.path().join("last"), payload.part(0, last)).unwrap();
    let file_of = |number| if number == parts { "last" } else { "part" };
    let object = format!("{}/{}/{KEY}", s3.endpoint(), S3Server::BUCKET);

    let began = Instant::now();
    let begun = curl(
        s3,
        home.path(),
        &["-X", "POST", &format!("{object}?uploads=")],
    );
    let upload = between(&begun, "<UploadId>", "</UploadId>");
    let mut tags: Vec<(u64, String)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..=connections)
            .map(|first| {
                let (home, object) = (home.path(), &object);
                scope.spawn(move || {
                    let numbers = (first..=parts).step_by(usize::try_from(connections).unwrap());
                    let mut words = Vec::new();
                    for number in numbers.clone() {
                        words.extend(["-T".to_owned(), file_of(number).to_owned()]);
                        words.push(format!("{object}?partNumber={number}&uploadId={upload}"));
                    }
                    words.extend(["-w", "%header{etag}\\n"].map(str::to_owned));
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    let told = curl(s3, home, &words);
                    let tags: Vec<_> = numbers.zip(told.lines().map(str::to_owned)).collect();
                    tags
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|w| w.join().unwrap())
            .collect()
    });
    tags.sort_unstable();
    assert_eq!(tags.len() as u64, parts, "{tags:?}");
    let list: String = tags
        .iter()
        .map(|(n, tag)| format!("<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>"))
        .collect();
    let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let all = format!("{object}?uploadId={upload}");
    let done = curl(
        s3,
        home.path(),
        &[
            "-H",
            "Content-Type: application/xml",
            "--data-binary",
            &list,
            &all,
        ],
    );
    let took = began.elapsed();
    assert!(done.contains("CompleteMultipartUploadResult"), "{done}");
    curl(s3, home.path(), &["-X", "DELETE", &object]);
    took
}

/// What a signed request answers.
fn curl(s3: &S3Server, home: &Path, words: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sSf", "--aws-sigv4"])
        .arg(format!("aws:amz:{}:s3", S3Server::REGION))
        .arg("--user")
        .arg(format!("{}:{}", S3Server::KEY_ID, S3Server::SECRET))
        .args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"])
        .args(words)
        .current_dir(home)
        .env("no_proxy", "*");
    if let Some(ca_file) = s3.ca_file() {
        curl.arg("--cacert").arg(ca_file);
    }
    let output = curl.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).map_or("", |(_, rest)| rest);
    rest.split_once(after).map_or("", |(inner, _)| inner)
}
