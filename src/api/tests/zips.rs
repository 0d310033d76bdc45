//! The call that packs several files.

use super::*;

fn zip(ids: &str) -> Ask {
    get("/api/files/downloadzip").header("ids", ids)
}

/// Where the local headers of an archive are, by its end: their names and bytes.
fn unpacked(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let number = |at: usize, length: usize| {
        let field = archive[at..at + length].iter().rev();
        field.fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let end = archive.len() - 22;
    assert_eq!(number(end, 4), 0x0605_4b50);
    let mut at = number(end + 16, 4);
    let mut files = Vec::new();
    for _ in 0..number(end + 10, 2) {
        assert_eq!(number(at, 4), 0x0201_4b50);
        let (size, name, extra) = (number(at + 24, 4), number(at + 28, 2), number(at + 30, 2));
        let local = number(at + 42, 4);
        let text = String::from_utf8(archive[at + 46..at + 46 + name].to_vec()).unwrap();
        let start = local + 30 + number(local + 26, 2) + number(local + 28, 2);
        let bytes = archive[start..start + size].to_vec();
        assert_eq!(number(at + 16, 4), crc32(&bytes), "{text}");
        files.push((text, bytes));
        at += 46 + name + extra;
    }
    files
}

/// Bit by bit, as it is defined.
fn crc32(bytes: &[u8]) -> usize {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            sum >> 1 ^ if sum & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    });
    usize::try_from(!sum).unwrap()
}

#[test]
fn files_come_as_one_archive_of_a_known_length() {
    let world = World::new();
    let mut files: Vec<_> = [
        ("a.txt", &b"first"[..]),
        ("b.bin", b""),
        ("a.txt", b"second"),
    ]
    .map(|(name, bytes)| {
        let fields = [("password", "secret")];
        (id(&world.upload(name, "text/plain", bytes, &fields)), bytes)
    })
    .into();
    let ids: Vec<_> = files.iter().map(|(id, _)| id.as_str()).collect();
    let list = format!("{}, {},,{},{}", ids[2], ids[0], ids[1], ids[0]);
    let answer = world.keyed(zip(&list));
    assert!(answer.status == 200 && answer.whole, "{}", answer.text());
    assert_eq!(answer.length, Some(answer.body.len() as u64));
    assert_eq!(answer.header("Content-Type"), Some("application/zip"));
    assert_eq!(answer.header("Accept-Ranges"), Some("none"));
    assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(
        answer.header("Content-Disposition"),
        Some("attachment; filename=\"Gokapi.zip\"; filename*=UTF-8''Gokapi.zip")
    );
    let found = unpacked(&answer.body);
    files.sort();
    let bytes: Vec<_> = found.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let wanted: Vec<_> = files.iter().map(|(_, bytes)| *bytes).collect();
    assert_eq!(bytes, wanted, "in the order of their ids");
    let mut names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a (2).txt", "a.txt", "b.bin"]);
    let head = ask(Method::Head, "/api/files/downloadzip").header("ids", &list);
    let head = world.keyed(head);
    assert_eq!((head.status, head.length), (200, answer.length));
    let range = world.keyed(zip(&list).header("Range", "bytes=0-9"));
    assert_eq!((range.status, range.body.len()), (200, answer.body.len()));
}

#[test]
fn parameters_of_a_zip_come_from_wherever_scripts_put_them() {
    let world = World::new();
    let ids = [world.text(b"1", &[]), world.text(b"2", &[])].join(",");
    let name = "base64:w7xuaSDDqQ==";
    let form = "application/x-www-form-urlencoded";
    let target = "/api/files/downloadzip";
    let asks = [
        zip(&ids).header("filename", name),
        get(&format!(
            "{target}?ids={ids}&filename=base64:w7xuaSDDqQ%3D%3D"
        )),
        ask(Method::Post, target).body(
            form,
            format!("ids={ids}&filename=%C3%BCni%20%C3%A9.zip").as_bytes(),
        ),
        ask(Method::Post, &format!("{target}?filename=other"))
            .header("filename", "üni é")
            .body(form, format!("ids={}", ids.replace(',', "%2C")).as_bytes()),
    ];
    for ask in asks {
        let answer = world.keyed(ask);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(unpacked(&answer.body).len(), 2);
        let disposition = answer.header("Content-Disposition").unwrap();
        assert!(
            disposition.ends_with("filename*=UTF-8''%C3%BCni%20%C3%A9.zip"),
            "{disposition}"
        );
    }
}

#[test]
fn faults_of_a_zip_are_told_before_its_first_byte() {
    let world = World::new();
    let one = world.text(b"one", &[]);
    let target = "/api/files/downloadzip";
    for missing in [get(target), zip(""), zip(" , ,")] {
        let text = "header ids is required".to_owned();
        assert_eq!(world.keyed(missing).failure(), (400, 4, text));
    }
    for (name, value) in [
        ("increaseCounter", "some"),
        ("presignUrl", "2"),
        ("filename", "base64:!"),
    ] {
        let text = format!("invalid value in header {name} supplied");
        assert_eq!(
            world.keyed(zip(&one).header(name, value)).failure(),
            (400, 4, text)
        );
    }
    let presigned = world.keyed(zip(&one).header("presignUrl", "true"));
    assert_eq!(presigned.failure().1, 10);
    for unknown in ["abcdefghabcdefgh", "../x", "%2e"] {
        let answer = world.keyed(zip(&format!("{one},{unknown}")));
        assert_eq!(answer.failure(), (404, 5, "file not found".to_owned()));
    }
    let many: Vec<_> = (0..1_025).map(|n| format!("abcdefghabcdefgh{n}")).collect();
    let form = format!("ids={}", many.join(","));
    let many = ask(Method::Post, target).body("application/x-www-form-urlencoded", form.as_bytes());
    let (status, code, text) = world.keyed(many).failure();
    assert_eq!((status, code), (400, 10));
    assert!(text.contains("1024") && text.contains("1025"), "{text}");
    let left = world.keyed(get(&format!("/api/files/list/{one}"))).json();
    assert_eq!(left["DownloadsRemaining"], 1);
}

#[test]
fn a_zip_counts_each_file_when_it_is_asked_to() {
    let world = World::new();
    let limited = world.text(b"limited", &[("allowedDownloads", "2")]);
    let last = world.text(b"last", &[]);
    let free = world.text(b"free", &[("allowedDownloads", "0")]);
    let left = |id: &str| {
        let file = world.keyed(get(&format!("/api/files/list/{id}")));
        let file = (file.status == 200).then(|| file.json());
        file.map(|f| (f["DownloadsRemaining"].clone(), f["DownloadCount"].clone()))
    };
    let pair = |remaining: u64, count: u64| Some((remaining.into(), count.into()));
    let ids = [&limited[..], &last, &free].join(",");
    assert_eq!(world.keyed(zip(&ids)).status, 200);
    let uncounted = zip(&ids).header("increaseCounter", "false");
    assert_eq!(world.keyed(uncounted).status, 200);
    assert_eq!(
        (left(&limited), left(&last), left(&free)),
        (pair(2, 0), pair(1, 0), pair(0, 0))
    );
    let head = ask(Method::Head, "/api/files/downloadzip")
        .header("ids", &ids)
        .header("increaseCounter", "true");
    assert_eq!(world.keyed(head).status, 200);
    let counted = || zip(&ids).header("increaseCounter", "true");
    let broken = world.keyed(counted().takes(20));
    assert!(!broken.whole);
    assert_eq!(
        (left(&limited), left(&last), left(&free)),
        (pair(2, 0), pair(1, 0), pair(0, 0))
    );
    let answer = world.keyed(counted());
    assert!(answer.status == 200 && answer.whole);
    assert_eq!(
        (left(&limited), left(&last), left(&free)),
        (pair(1, 1), None, pair(0, 1))
    );
    let again = world.keyed(counted());
    assert_eq!(again.failure(), (404, 5, "file not found".to_owned()));
    assert_eq!(
        left(&limited),
        pair(1, 1),
        "nothing is taken where not all is to be had"
    );
}
