//! The command line: everything that can be asked for. Help, completions and the man page are made
//! from what stands here.

use crate::config::{CONFIG_FILE, LISTEN};
use crate::model::{Permissions, Role};
use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Ends every help text, and is a section of the man page.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0   ended as asked
  64  wrong usage, or the command was refused (it says why)
  74  input or output failed, or a permission is missing
  75  something is in the way: try again later
  78  wrong settings, settings that exist already, no data to work on, or a read-only file system
  130 ended by Ctrl-C (serve: the second one); other signals: 128 and their number";

/// Upload a file, get a link; both vanish when they are used up.
#[derive(Parser)]
#[command(name = "mayfly", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Ask a few questions, write the settings and make the first account
    ///
    /// Settings that exist are never changed, and nothing is written before the last question is
    /// answered. The API key of the account and its recovery phrase are printed once.
    Setup {
        /// The settings to write
        #[arg(long, value_name = "FILE", default_value = CONFIG_FILE)]
        config: PathBuf,
        /// Ask nobody: the answers are in FILE. It has admin_password_file (or admin_password),
        /// data_dir, public_url, trusted_proxies, listen, default_days, default_downloads, encryption
        /// and master_key_file; for a bucket the tables storage and s3 as in the settings
        #[arg(long, value_name = "FILE")]
        answers: Option<PathBuf>,
    },
    /// Run the server; on a terminal and without settings, setup comes first
    Serve {
        /// The settings, see config/mayfly.toml
        #[arg(long, value_name = "FILE", default_value = CONFIG_FILE)]
        config: PathBuf,
    },
    /// Run a complete server at once, without settings
    Demo {
        /// Where its data is
        #[arg(long, value_name = "DIR", default_value = "mayfly-demo")]
        dir: PathBuf,
        /// Where it listens; port 0 takes any free one
        #[arg(long, value_name = "ADDR:PORT", default_value_t = LISTEN)]
        listen: SocketAddr,
    },
    /// Say what is wrong with the settings, or OK
    CheckConfig {
        /// The settings
        #[arg(long, value_name = "FILE", default_value = CONFIG_FILE)]
        config: PathBuf,
        /// Try the bucket of the settings out, too: store, read and delete a small object there
        #[arg(long)]
        online: bool,
    },
    /// Look at everything that the server needs, and say what is wrong and what to do
    ///
    /// Looks at the settings as check-config --online does, at the data directory and its free space,
    /// at the clock, at the versions, and at the server, if it runs. Changes nothing: what it stores
    /// in the bucket to try it out it deletes again. A remark is worth
    /// reading; only a problem makes the exit code another one than 0.
    Doctor {
        /// The settings
        #[arg(long, value_name = "FILE", default_value = CONFIG_FILE)]
        config: PathBuf,
    },
    /// Make, list and revoke API keys, of a running or a stopped server
    #[command(subcommand, after_help = PLACES)]
    Key(KeyCommand),
    /// Look after the accounts of a running or a stopped server
    #[command(subcommand, after_help = PLACES)]
    User(UserCommand),
    /// Move files between the disk and the bucket of a running server
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
}

/// Said by the help of both groups of commands.
const PLACES: &str = "\
The server is found by its data directory, which stands in its settings. While it runs, it is asked
over its admin socket, as root or as the user that it runs as; while it is stopped, its database is
changed directly.";

/// Which server is meant.
#[derive(Args)]
pub(super) struct Which {
    /// The settings of the server
    #[arg(long, value_name = "FILE", default_value = CONFIG_FILE, conflicts_with = "data_dir")]
    pub config: PathBuf,
    /// Its data directory, instead of settings: for a demo
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Make an API key; it is printed once
    ///
    /// Only a credential of the account opens it: its password is asked for, unless the server runs
    /// with encryption = "server" and can open accounts by itself.
    Create {
        /// The account
        #[arg(long, value_name = "NAME")]
        user: String,
        /// What the key is called in listings
        #[arg(long, value_name = "TEXT", default_value = "Made by mayfly key create")]
        name: String,
        /// What it may do, separated by commas
        #[arg(
            long,
            value_name = "LIST",
            value_delimiter = ',',
            default_value = "view,upload,delete,edit"
        )]
        permissions: Vec<Permission>,
        /// Read the password of the account from FILE, which nobody else may read
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        which: Which,
    },
    /// List API keys: ids and names, never the keys
    List {
        /// Of this account only
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Revoke an API key; the next call with it is refused
    Revoke {
        /// Its id, as listed
        id: String,
        #[command(flatten)]
        which: Which,
    },
}

/// How a new password comes.
#[derive(Args)]
pub(super) struct NewPassword {
    /// Read the new password from FILE, which nobody else may read
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    pub password_file: Option<PathBuf>,
    /// Make up a new password and print it
    #[arg(long)]
    pub generate: bool,
}

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Make an account, with its first API key and a recovery phrase; both are printed once
    ///
    /// The password is asked for, or read from the first line of the input when that is no terminal.
    Add {
        /// Its name: 2 to 64 characters; case does not count
        name: String,
        /// What it is for
        #[arg(long, default_value = "user")]
        role: Role,
        #[command(flatten)]
        password: NewPassword,
        #[command(flatten)]
        which: Which,
    },
    /// Change a password; it counts at once, files and API keys stay
    ///
    /// The present password is asked for first, unless the server runs with encryption = "server"
    /// and can open accounts by itself: then this command also helps who forgot it. When the input
    /// is no terminal, the present and the new password are its first two lines.
    Passwd {
        /// The account
        name: String,
        /// The password is forgotten: ask for the recovery phrase or an API key instead
        #[arg(long)]
        recover: bool,
        /// Read the present password (with --recover: phrase or key) from FILE
        #[arg(long, value_name = "FILE")]
        present_file: Option<PathBuf>,
        /// Make another recovery phrase, too: the old one opens nothing then
        #[arg(long)]
        new_phrase: bool,
        #[command(flatten)]
        password: NewPassword,
        #[command(flatten)]
        which: Which,
    },
    /// List the accounts
    List {
        #[command(flatten)]
        which: Which,
    },
    /// Give an account another role
    Role {
        /// The account
        name: String,
        /// What it is for from now on
        role: Role,
        #[command(flatten)]
        which: Which,
    },
    /// Refuse an account's password, keys and links until it is enabled again
    Disable {
        /// The account
        name: String,
        #[command(flatten)]
        which: Which,
    },
    /// Enable a disabled account again
    Enable {
        /// The account
        name: String,
        #[command(flatten)]
        which: Which,
    },
    /// Remove an account with its keys, files and links
    Remove {
        /// The account
        name: String,
        /// Do not ask whether that is meant
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Subcommand)]
pub(super) enum StoreCommand {
    /// Move all files to the disk or to the bucket of the settings, while the server runs
    ///
    /// Each file is copied and looked at before the original is deleted, and can be downloaded all the
    /// time. When this command is interrupted, the server goes on, and running it again shows how far
    /// it is; "store stop" ends the move. A move that ended early goes on where it was when it is started
    /// again. It does not change where new files are kept: storage.kind does.
    Move {
        /// Where to
        #[arg(long)]
        to: Place,
        #[command(flatten)]
        which: Which,
    },
    /// End a move; what was moved stays so
    Stop {
        #[command(flatten)]
        which: Which,
    },
}

/// Where files are.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Place {
    /// In the data directory
    Disk,
    /// In the bucket
    S3,
}

/// One permission of an API key.
#[derive(Clone, Copy)]
pub(super) struct Permission(pub Permissions);

impl ValueEnum for Permission {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Permission; Permissions::WORDS.len()] = {
            let mut all = [Permission(Permissions::NONE); Permissions::WORDS.len()];
            let mut at = 0;
            while at < all.len() {
                all[at] = Permission(Permissions::WORDS[at].1);
                at += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        self.0.words().first().map(PossibleValue::new)
    }
}

impl ValueEnum for Role {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Admin, Self::User]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.word()))
    }
}
