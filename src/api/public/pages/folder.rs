//! The owner's own files for the pages: read once, within limits, and only what is inside of the
//! folder.

use super::content::{BASE, Page};
use super::image::{self, Picture};
use super::lint;
use super::policy;
use super::problem::Problem;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest file, in bytes: they all stay in memory, and every visitor gets them.
pub const FILE_LIMIT: u64 = 64 * 1024;
/// The most templates, those of the pages among them.
const TEMPLATES: usize = 16;
/// The most entries that the folder may have.
const ENTRIES: usize = 256;
/// The most problems that are told of one file.
const PROBLEMS: usize = 20;

/// A picture and where it came from.
#[derive(Debug)]
pub struct Image {
    /// What it is.
    pub picture: Picture,
    /// It.
    pub bytes: Vec<u8>,
}

/// What a folder holds.
#[derive(Default)]
pub struct Folder {
    /// Templates by name. Each is readable on its own; whether they fit together is not known yet.
    pub templates: BTreeMap<String, String>,
    /// `style.css`.
    pub style: Option<String>,
    /// `logo.*`.
    pub logo: Option<Image>,
    /// `favicon.*`.
    pub favicon: Option<Image>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

impl Folder {
    /// Reads what is there; everything else is a problem.
    pub fn read(folder: &Path) -> Self {
        let mut found = Self::default();
        match entries(folder) {
            Ok((inside, names)) => {
                for name in names {
                    found.take(folder, &inside, &name);
                }
                found.check(folder);
            }
            Err(what) => found.refuse(folder.to_owned(), None, what),
        }
        found
    }

    /// Leaves a template out, and says why.
    pub fn refuse(&mut self, file: PathBuf, line: Option<usize>, what: String) {
        let refused = true;
        self.problems.push(Problem {
            file,
            line,
            what,
            refused,
        });
    }

    fn take(&mut self, folder: &Path, inside: &Path, name: &str) {
        let path = folder.join(name);
        let kind = match Kind::of(name) {
            Ok(Some(kind)) => kind,
            Ok(None) => return,
            Err(what) => {
                let (line, refused) = (None, false);
                return self.problems.push(Problem {
                    file: path,
                    line,
                    what,
                    refused,
                });
            }
        };
        let bytes = match read_inside(&path, Some(inside)) {
            Ok(bytes) => bytes,
            Err(what) => return self.refuse(path, None, what),
        };
        match kind {
            Kind::Template | Kind::Style => {
                let text = match text(bytes) {
                    Ok(text) => text,
                    Err((line, what)) => return self.refuse(path, Some(line), what),
                };
                if kind == Kind::Style {
                    let findings = policy::style(&text).into_iter().take(PROBLEMS);
                    self.problems
                        .extend(findings.map(|finding| finding.of(path.clone())));
                    self.style = Some(text);
                } else if self.templates.len() < TEMPLATES {
                    self.templates.insert(name.to_owned(), text);
                } else {
                    let what =
                        format!("there are more than {TEMPLATES} templates: join some of them");
                    self.refuse(path, None, what);
                }
            }
            Kind::Logo | Kind::Favicon => match image(bytes) {
                Ok(image) => {
                    let place = if kind == Kind::Logo {
                        &mut self.logo
                    } else {
                        &mut self.favicon
                    };
                    if place.is_some() {
                        let what = "there is another file for this: remove one of them".to_owned();
                        return self.refuse(path, None, what);
                    }
                    *place = Some(image);
                }
                Err(what) => self.refuse(path, None, what),
            },
        }
    }

    /// Reads every template for mistakes; drops those with some.
    fn check(&mut self, folder: &Path) {
        let names: Vec<String> = self.templates.keys().cloned().collect();
        let mut named = Vec::new();
        for name in &names {
            let page = Page::ALL.into_iter().find(|page| page.file() == name);
            let exists = |other: &str| is_built_in(other) || names.iter().any(|n| n == other);
            let Some(source) = self.templates.get(name) else {
                continue;
            };
            let mut template = lint::template(source, page, &exists);
            if name == BASE && !template.blocks.iter().any(|block| block == "content") {
                let what = "the frame has no place for the pages: write {% block content %}{% endblock %} where they belong";
                template
                    .findings
                    .push(super::problem::Finding::error(1, what));
            }
            named.append(&mut template.names);
            // Those that have it refused come first.
            template.findings.sort_by_key(|finding| !finding.is_error);
            template.findings.dedup();
            if template.findings.iter().any(|finding| finding.is_error) {
                self.templates.remove(name);
            }
            let findings = template.findings.into_iter().take(PROBLEMS);
            self.problems
                .extend(findings.map(|finding| finding.of(folder.join(name))));
        }
        for name in names {
            if !is_built_in(&name) && !named.contains(&name) {
                let pages = Page::ALL.map(Page::file).join(", ");
                let what = format!(
                    "no page uses it: name it {BASE}, {pages}, or include it in one of them"
                );
                let (line, refused) = (None, false);
                let file = folder.join(name);
                self.problems.push(Problem {
                    file,
                    line,
                    what,
                    refused,
                });
            }
        }
    }
}

/// Whether the program has a template of that name.
pub fn is_built_in(name: &str) -> bool {
    name == BASE || Page::ALL.iter().any(|page| page.file() == name)
}

/// The logo that the settings name.
pub fn logo(path: &Path) -> Result<Image, String> {
    image(read_inside(path, None)?)
}

/// What a file is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Template,
    Style,
    Logo,
    Favicon,
}

impl Kind {
    /// By its name; `None` when nobody could expect the pages to use it.
    fn of(name: &str) -> Result<Option<Self>, String> {
        let Some((stem, extension)) = name.rsplit_once('.') else {
            return Ok(None);
        };
        let plain =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        match (stem, extension) {
            _ if name.starts_with('.') => Ok(None),
            (_, "html") if stem.chars().all(plain) => Ok(Some(Self::Template)),
            (_, "html" | "htm") => Err(
                "templates have names of small letters, digits, - and _, and end in .html: rename it"
                    .to_owned(),
            ),
            ("style", "css") => Ok(Some(Self::Style)),
            ("logo", "svg" | "png" | "webp" | "jpg" | "jpeg") => Ok(Some(Self::Logo)),
            ("favicon", "svg" | "png" | "ico") => Ok(Some(Self::Favicon)),
            (_, "css" | "js" | "svg" | "png" | "webp" | "jpg" | "jpeg" | "ico" | "gif" | "woff" | "woff2") => Err(
                "the pages have no use for it: only style.css, logo.svg, logo.png, logo.webp, logo.jpg, favicon.svg, favicon.png and favicon.ico are served"
                    .to_owned(),
            ),
            _ => Ok(None),
        }
    }
}

/// The folder without detours, and the names of what is in it, sorted.
fn entries(folder: &Path) -> Result<(PathBuf, Vec<String>), String> {
    let cannot = |e: io::Error| {
        format!("the folder cannot be read: {e}; check the path and who may read it")
    };
    let inside = folder.canonicalize().map_err(cannot)?;
    let mut names = Vec::new();
    for (count, entry) in fs::read_dir(&inside).map_err(cannot)?.enumerate() {
        if count == ENTRIES {
            return Err(format!(
                "the folder has more than {ENTRIES} entries: give the templates a folder of their own"
            ));
        }
        if let Ok(name) = entry.map_err(cannot)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok((inside, names))
}

/// A small regular file; its place has to be below `inside`, wherever a link to it stands.
fn read_inside(path: &Path, inside: Option<&Path>) -> Result<Vec<u8>, String> {
    let cannot =
        |e: io::Error| format!("it cannot be read: {e}; check the path and who may read it");
    let real = path.canonicalize().map_err(cannot)?;
    if inside.is_some_and(|inside| !real.starts_with(inside)) {
        return Err("it is a link that leads out of the folder: put a copy here".to_owned());
    }
    let too_large = || {
        format!(
            "it is larger than {} KiB: make it smaller",
            FILE_LIMIT / 1024
        )
    };
    // Asked before it is opened: opening a pipe waits for somebody to write.
    let about = fs::metadata(&real).map_err(cannot)?;
    if !about.is_file() {
        return Err("it is no file: remove it".to_owned());
    }
    if about.len() > FILE_LIMIT {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let file = File::open(&real).map_err(cannot)?;
    file.take(FILE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(too_large());
    }
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> Result<String, (usize, String)> {
    let text = String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        (line, "it is not UTF-8: save it in this encoding".to_owned())
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_owned(),
        None => text,
    })
}

fn image(bytes: Vec<u8>) -> Result<Image, String> {
    let picture = image::look(&bytes)
        .ok_or("it is no picture that pages show: use SVG, PNG, WebP or JPEG")?;
    Ok(Image { picture, bytes })
}
