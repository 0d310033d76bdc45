//! Key files that are not what they were: refused with the remedy, never replaced silently.

use crate::seen::Seen;
use crate::support::{Launch, Server, Upload};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

pub fn broken(seen: &mut Seen) {
    let home = tempfile::tempdir().unwrap();
    let master = home.path().join("master.key");
    let settings = format!(
        "encryption = \"server\"\nmaster_key_file = \"{}\"\n",
        master.display()
    );
    let launch = Launch::with_settings(&settings);
    let mut server = Server::launched(launch.clone());
    let kept = Upload::fresh(10_000).downloads(0).to(&server);
    server.kill();
    let own = server.dir.join("server.key");
    let bytes = |n: usize| Some(vec![0x5a; n]);
    let ways = [
        (&own, bytes(0)),
        (&own, bytes(31)),
        (&own, bytes(33)),
        (&master, bytes(0)),
        (&master, bytes(31)),
        (&master, bytes(33)),
        (&master, bytes(32)),
        (&master, None),
    ];
    let (mut accepted, mut silent, mut written) = (Vec::new(), Vec::new(), Vec::new());
    for (path, bytes) in ways {
        let name = path.file_name().unwrap().to_str().unwrap();
        let name = format!("{name} of {:?} bytes", bytes.as_ref().map(Vec::len));
        let sound = fs::read(path).unwrap();
        match &bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        match server.try_restart_as(launch.clone()) {
            Ok(()) => accepted.push(name.clone()),
            Err(e) => {
                let line = e.log.lines().last().unwrap_or_default();
                let remedy = line.contains("mayfly: ") && line.contains("restore");
                if e.code != Some(78) || !remedy {
                    silent.push(format!("{name}: {:?} {line}", e.code));
                }
            }
        }
        server.kill();
        let now = fs::read(path).ok();
        if now != bytes {
            written.push(name);
        }
        fs::write(path, sound).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
    let list = accepted.join(", ");
    seen.holds("always refused with 78", accepted.is_empty(), list);
    seen.holds("with a remedy", silent.is_empty(), silent.join(", "));
    seen.holds(
        "nothing overwritten",
        written.is_empty(),
        written.join(", "),
    );
    let again = server.try_restart_as(launch).is_ok() && server.delivers(&kept);
    seen.holds("serves again when they are put back", again, server.log());
}

pub fn server_key_lost(seen: &mut Seen) {
    let mut server = Server::demo();
    let kept = Upload::fresh(10_000).downloads(0).to(&server);
    server.kill();
    let own = server.dir.join("server.key");
    fs::remove_file(&own).unwrap();
    server.restart();
    let log = server.log();
    seen.holds("warned", log.contains("server.key is missing"), &log);
    let made = fs::read(&own).is_ok_and(|k| k.len() == 32);
    seen.holds("made anew", made, "");
    seen.whole("download", &server, &kept);
    seen.upload("upload", &server, &Upload::fresh(1000));
}
