//! What becomes of the files of a user who is removed.

use super::*;
fn with_master_key() -> (tempfile::TempDir, Server) {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("master.key");
    let settings = format!("encryption = \"server\"\nmaster_key_file = {key:?}\n");
    let server = Server::launched(Launch::with_settings(&settings));
    (home, server)
}

fn upload_as(server: &Server, key: &str, n: usize) {
    let text = format!("file {n}");
    let body = format!(
        "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{n}.txt\"\r\nContent-Type: text/plain\r\n\r\n{text}\r\n--XX--\r\n"
    );
    let mut conn = support::Conn::open(server.address).unwrap();
    let lines = [
        format!("apikey: {key}"),
        "Content-Type: multipart/form-data; boundary=XX".to_owned(),
        format!("Content-Length: {}", body.len()),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    conn.ask("POST", "/api/files/add", &lines).unwrap();
    conn.send(body).unwrap();
    assert_eq!(conn.reply().unwrap().status(), 200);
}

fn names(server: &Server, key: &str) -> BTreeSet<String> {
    let files = ask(server, key, "GET", "/api/files/list", &[]).json();
    let files = files.as_array().unwrap().iter();
    files
        .map(|file| file["Name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_files_of_a_user_who_is_removed_move_even_over_a_sigkill() {
    let (_home, mut server) = with_master_key();
    let own = server.key.clone();
    let kept = new_user(&server, "kept");
    upload_as(&server, &kept.key, 9_999);
    // More than go in one step.
    let (files, rounds) = if slow() { (400, 6) } else { (140, 2) };
    for round in 0..rounds {
        let bob = new_user(&server, "bob");
        std::thread::scope(|scope| {
            for lane in 0..4 {
                let (server, key) = (&server, &bob.key);
                scope.spawn(move || {
                    (lane..files)
                        .step_by(4)
                        .for_each(|n| upload_as(server, key, n))
                });
            }
        });
        let delete = [("userid", bob.id.as_str())];
        if round + 1 < rounds {
            // Asked for, and the power goes: whatever was done by then.
            let mut conn = support::Conn::open(server.address).unwrap();
            let lines = [format!("apikey: {own}"), format!("userid: {}", bob.id)];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            conn.ask("DELETE", "/api/user/delete", &lines).unwrap();
            if round % 2 == 0 {
                let path = format!("/api/user/list/{}", bob.id);
                within(Duration::from_secs(60), || {
                    let user = ask(&server, &own, "GET", &path, &[]).json();
                    user["isDisabled"] != false
                });
            }
            server.restart();
            let path = format!("/api/user/list/{}", bob.id);
            let settled = within(Duration::from_secs(120), || {
                let user = ask(&server, &own, "GET", &path, &[]).json();
                user["ErrorCode"] == 5 || user["isDisabled"] == false
            });
            assert!(settled, "the removal does not go on: {}", server.log());
            if ask(&server, &own, "GET", &path, &[]).status() == 200 {
                assert_eq!(names(&server, &bob.key).len(), files, "it had not begun");
                is_empty(&ask(&server, &own, "DELETE", "/api/user/delete", &delete));
            }
        } else {
            is_empty(&ask(&server, &own, "DELETE", "/api/user/delete", &delete));
        }
        let list = ask(&server, &own, "GET", "/api/files/list", &[]).json();
        let list = list.as_array().unwrap();
        assert_eq!(list.len(), files * (round + 1));
        assert!(list.iter().all(|file| file["UploaderId"] == 1));
        assert_eq!(
            ask(&server, &bob.key, "GET", "/api/files/list", &[]).status(),
            401
        );
    }
    assert_eq!(names(&server, &kept.key).len(), 1);
    let list = ask(&server, &own, "GET", "/api/files/list", &[]).json();
    let id = list[3]["Id"].as_str().unwrap();
    let got = server.get(&format!("/downloadFile?id={id}"));
    let n = list[3]["Name"]
        .as_str()
        .unwrap()
        .trim_end_matches(".txt")
        .to_owned();
    assert_eq!(got.text(), format!("file {n}"));
}

#[test]
fn files_that_only_their_owner_opens_are_not_moved_and_never_lost_without_a_word() {
    let server = Server::demo();
    let bob = new_user(&server, "bob");
    upload_as(&server, &bob.key, 1);
    upload_as(&server, &server.key, 2);
    let given = [("userid", bob.id.as_str()), ("deleteFiles", "true")];
    let reply = ask(
        &server,
        &server.key,
        "DELETE",
        "/api/user/delete",
        &given[..1],
    );
    let (status, code, text) = failure(&reply);
    assert_eq!((status, code), (400, 19));
    assert!(text.contains("deleteFiles: true"), "{text}");
    assert_eq!(names(&server, &bob.key).len(), 1);
    is_empty(&ask(
        &server,
        &server.key,
        "DELETE",
        "/api/user/delete",
        &given,
    ));
    assert_eq!(
        names(&server, &server.key),
        BTreeSet::from(["2.txt".to_owned()])
    );
}
