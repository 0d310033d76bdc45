//! The rules as tables. A rule that has to give way is changed here, with its reason.

/// What each top-level module may import from the others. `a` allows all of module `a`, `a::b` that
/// item only.
pub const IMPORTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("logging", &["model"]),
    ("http", &["model"]),
    ("gate", &["http", "logging", "model"]),
    ("server", &["http", "gate", "logging", "model"]),
    (
        "store",
        &["model", "pipeline::seal::Cipher", "pipeline::seal::keys"],
    ),
    ("metadata", &["model"]),
    ("pipeline", &["store", "model"]),
    (
        "service",
        &["pipeline", "store", "metadata", "logging", "model"],
    ),
    (
        "api",
        &[
            "http",
            "service",
            "model",
            "metadata::LinkCursor",
            "pipeline::Output",
            "pipeline::seal::keys::random_token",
        ],
    ),
    ("tasks", &["service", "model"]),
    ("admin", &["service", "model"]),
    (
        "config",
        &[
            "model",
            "server::Limits",
            "service::Encryption",
            "service::LEASE_SECONDS_DEFAULT",
            "service::check_name",
        ],
    ),
    (
        "app",
        &[
            "admin",
            "api",
            "config",
            "logging",
            "metadata",
            "model",
            "pipeline::seal::keys",
            "server",
            "service",
            "store",
            "tasks",
        ],
    ),
    ("demo", &["app", "config", "model"]),
    (
        "setup",
        &[
            "app",
            "config",
            "model",
            "service::RecoveryPhrase",
            "service::check_password",
            "tasks",
        ],
    ),
    (
        "cli",
        &[
            "admin",
            "app",
            "config",
            "demo",
            "logging",
            "model",
            "tasks",
            "pipeline::seal::keys::random_token",
            "setup",
        ],
    ),
    ("lib", &[]),
    ("main", &[]),
];

/// Where each crate may be named. A folder stands for everything in it.
pub const HOMES: &[(&str, &[&str])] = &[
    ("tiny_http", &["server"]),
    ("smol", &["gate", "server", "tasks", "admin"]),
    ("httparse", &["gate"]),
    ("redb", &["metadata"]),
    (
        "ring",
        &[
            "pipeline",
            "metadata",
            "gate/exchange.rs",
            "server/directory.rs",
            "store/moving.rs",
            "store/s3",
        ],
    ),
    ("argon2", &["pipeline/seal"]),
    (
        "zeroize",
        &[
            "http", "app", "config", "model", "pipeline", "service", "api", "admin", "cli",
            "demo.rs", "setup", "store/s3",
        ],
    ),
    (
        "rustix",
        &[
            "admin",
            "app",
            "config",
            "gate",
            "logging",
            "metadata/room.rs",
            "model/time.rs",
            "server",
            "service/processor.rs",
            "setup",
            "store",
            "main.rs",
        ],
    ),
    ("mayfly_sys", &["app", "gate", "server", "main.rs"]),
    ("serde", &["api", "config", "admin", "store/s3"]),
    ("ureq", &["store/s3"]),
    ("rustls", &["store/s3"]),
    ("webpki_roots", &["store/s3/trust.rs"]),
    ("rust_s3", &["store/s3"]),
    ("quick_xml", &["store/s3"]),
    ("crc32fast", &["pipeline/zip", "store/s3"]),
    ("datetime", &["store/s3"]),
    ("serde_json", &["api", "admin", "cli"]),
    ("toml", &["config", "setup"]),
    ("percent_encoding", &["http", "api"]),
    (
        "data_encoding",
        &[
            "model", "http", "store", "service", "api", "server", "admin",
        ],
    ),
    ("memchr", &["http", "gate"]),
    ("unicode_normalization", &["model"]),
    ("jiff", &["http", "api", "gate/answer.rs", "cli"]),
    ("minijinja", &["api/public"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("rpassword", &["cli"]),
    ("dialoguer", &["setup/terminal.rs"]),
    ("async_signal", &["tasks"]),
    ("log", &[""]),
    ("simplelog", &["logging"]),
    ("sd_notify", &["tasks/notify.rs", "app/listening.rs"]),
];

/// Longest source file, in lines: what can be read in one sitting.
pub const LINES: usize = 400;

/// The same for tests: lists of cases, read one by one.
pub const TEST_LINES: usize = 700;

/// Files that are longer, up to which length, and why.
pub const LONG: &[(&str, usize, &str)] = &[];
