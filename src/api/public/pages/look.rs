//! How the pages look at one time: templates, style, logo and what they know of the server, made
//! together and replaced together.
//!
//! The owner's templates are tried on every page in every shape before they are used. One that
//! fails is left out, then or later, and the one that is built in shows instead. Nothing that a
//! template says can take long or much memory (see [`super::lint`]).

use super::PageSettings;
use super::assets::{Asset, Bytes, FOR_LONG, ICON, ICON_BYTES, STYLE};
use super::color::{Color, WHITE};
use super::content::{BASE, Page, Site, samples};
use super::folder::{self, Folder, Image};
use super::image;
use super::problem::Problem;
use crate::api::prefix;
use minijinja::{
    AutoEscape, Environment, ErrorKind, Output, UndefinedBehavior, Value, filters, tests,
};
use std::error::Error as _;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The largest page, in bytes: more than anyone wants to read. Everybody who takes their time has a
/// copy.
const PAGE_LIMIT: usize = 64 * 1024;
/// The most steps of the engine for one page. Ours take less than a hundred.
const FUEL: u64 = 10_000;
/// How deep templates may include each other; each takes ten.
const RECURSION: usize = 60;
/// How large a logo is drawn at most, in CSS pixels.
const LOGO: (u32, u32) = (240, 40);
/// How large ours is drawn.
const OWN_LOGO: (u32, u32) = (32, 32);
/// The card in `style.css`, in the light and in the dark: what buttons stand on.
pub const CARDS: [Color; 2] = [WHITE, Color([0x1b, 0x22, 0x29])];
/// The colour of whoever has chosen none.
const COLOR: Color = Color([0x0b, 0x6b, 0x57]);

const BUILT_IN: [(&str, &str); 5] = [
    (BASE, include_str!("../templates/base.html")),
    ("index.html", include_str!("../templates/index.html")),
    ("download.html", include_str!("../templates/download.html")),
    ("password.html", include_str!("../templates/password.html")),
    ("error.html", include_str!("../templates/error.html")),
];

/// How the pages look.
pub struct Look {
    built_in: Environment<'static>,
    /// With the owner's templates in the places of ours.
    own: Option<Environment<'static>>,
    /// Pages for which the log has that the owner's template failed.
    told: [AtomicBool; Page::ALL.len()],
    /// What pages know of the server.
    pub site: Site,
    /// What `site.style` leads to.
    pub style: Asset,
    /// What `site.logo` leads to.
    pub logo: Asset,
    /// What `site.favicon` leads to.
    pub favicon: Asset,
}

impl Look {
    /// Reads everything that the settings name. What cannot be used is a problem, and ours takes
    /// its place.
    pub fn load(base_url: &str, settings: &PageSettings) -> (Self, Vec<Problem>) {
        let mut folder = match &settings.templates {
            Some(path) => Folder::read(path),
            None => Folder::default(),
        };
        let color = match settings.color.as_deref().map(str::parse) {
            None => COLOR,
            Some(Ok(color)) => color,
            Some(Err(what)) => {
                folder.refuse("pages.color".into(), None, what);
                COLOR
            }
        };
        let mut logo = folder.logo.take();
        if let Some(path) = &settings.logo {
            match folder::logo(path) {
                Ok(image) => logo = Some(image),
                Err(what) => folder.refuse(path.clone(), None, what),
            }
        }
        let favicon = folder.favicon.take();
        let style = style(color, folder.style.take());
        let logo_size = logo.as_ref().map_or(OWN_LOGO, |logo| {
            image::fitted(logo.picture.size, LOGO.0, LOGO.1)
        });
        let (logo, favicon) = (picture(logo), picture(favicon));
        let prefix = prefix(base_url).to_owned();
        let at = |path: &str, asset: &Asset| format!("{prefix}{path}?v={}", asset.version());
        let site = Site {
            name: settings.name.clone(),
            url: base_url.to_owned(),
            style: at(super::assets::STYLE_PATH, &style),
            color: color.to_string(),
            logo: at(super::assets::LOGO_PATH, &logo),
            logo_width: logo_size.0,
            logo_height: logo_size.1,
            favicon: at(super::assets::FAVICON_PATH, &favicon),
            favicon_type: favicon.content_type.to_owned(),
            prefix,
        };
        let built_in = built_in();
        let own = match &settings.templates {
            Some(path) if !folder.templates.is_empty() => own(&mut folder, path, &site),
            _ => None,
        };
        let look = Self {
            built_in,
            own,
            told: Default::default(),
            site,
            style,
            logo,
            favicon,
        };
        (look, folder.problems)
    }

    /// Fills a page in.
    ///
    /// # Errors
    /// Only when our own template fails.
    pub fn render(&self, page: Page, content: Value) -> Result<Vec<u8>, minijinja::Error> {
        if let Some(own) = &self.own {
            match render(own, page.file(), content.clone()) {
                Ok(html) => return Ok(html),
                Err(error) => {
                    let told = Page::ALL.iter().zip(&self.told).find(|(p, _)| **p == page);
                    if told.is_some_and(|(_, told)| !told.swap(true, Ordering::Relaxed)) {
                        let (_, line, what) = explain(&error);
                        log::warn!(
                            "the template of {} failed, the built-in one is used: {what}{}",
                            page.file(),
                            line.map_or(String::new(), |line| format!(" (line {line})"))
                        );
                    }
                }
            }
        }
        render(&self.built_in, page.file(), content)
    }
}

/// An engine that knows only what templates need, and cannot be made to run long.
fn engine() -> Environment<'static> {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::Html);
    engine.set_formatter(|out, _, value| escaped(out, value));
    engine.set_fuel(Some(FUEL));
    engine.set_recursion_limit(RECURSION);
    engine.add_filter("capitalize", filters::capitalize);
    engine.add_filter("default", or_else);
    engine.add_filter("e", filters::escape);
    engine.add_filter("escape", filters::escape);
    engine.add_filter("length", filters::length);
    engine.add_filter("lower", filters::lower);
    engine.add_filter("trim", filters::trim);
    engine.add_filter("upper", filters::upper);
    engine.add_test("defined", tests::is_defined);
    engine.add_test("none", tests::is_none);
    engine.add_test("undefined", tests::is_undefined);
    engine
}

/// A value, or another where it has none.
fn or_else(value: Value, other: Option<Value>) -> Value {
    if value.is_none() || value.is_undefined() {
        other.unwrap_or_else(|| Value::from(""))
    } else {
        value
    }
}

/// Writes a value into HTML: escaped unless it is so already, and nothing for `none`. The engine's
/// own way would write every slash of an address as five characters.
fn escaped(out: &mut Output, value: &Value) -> Result<(), minijinja::Error> {
    if value.is_none() {
        return Ok(());
    }
    let text = value.to_string();
    if value.is_safe() {
        return Ok(out.write_str(&text)?);
    }
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['<', '>', '&', '"', '\'']) {
        out.write_str(&rest[..at])?;
        out.write_str(match rest.as_bytes()[at] {
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'&' => "&amp;",
            b'"' => "&quot;",
            _ => "&#39;",
        })?;
        rest = &rest[at + 1..];
    }
    Ok(out.write_str(rest)?)
}

fn built_in() -> Environment<'static> {
    let mut engine = engine();
    for (name, source) in BUILT_IN {
        #[allow(
            clippy::expect_used,
            reason = "the templates are part of the program, and each is rendered in its tests"
        )]
        engine
            .add_template(name, source)
            .expect("a template of the program");
    }
    engine
}

/// Ours with the owner's in their places, as far as those can be used. Templates that fail on any
/// page are taken out one by one, so what is left works.
fn own(folder: &mut Folder, path: &Path, site: &Site) -> Option<Environment<'static>> {
    while !folder.templates.is_empty() {
        let mut engine = built_in();
        let mut failed = None;
        for (name, source) in &folder.templates {
            if let Err(error) = engine.add_template_owned(name.clone(), source.clone()) {
                failed = Some((name.clone(), error));
                break;
            }
        }
        let failed = failed.or_else(|| {
            samples(site).into_iter().find_map(|(page, content)| {
                let error = render(&engine, page.file(), content).err()?;
                Some((page.file().to_owned(), error))
            })
        });
        let Some((name, error)) = failed else {
            return Some(engine);
        };
        let (inner, line, what) = explain(&error);
        // The file that the engine names, else the page, else the frame: whichever is the owner's.
        let culprit = [inner, Some(name), Some(BASE.to_owned())]
            .into_iter()
            .flatten()
            .enumerate()
            .find(|(_, name)| folder.templates.contains_key(name));
        let Some((rank, culprit)) = culprit else {
            folder.templates.clear();
            folder.refuse(path.to_owned(), None, what);
            return None;
        };
        folder.templates.remove(&culprit);
        let line = line.filter(|_| rank == 0);
        folder.refuse(path.join(culprit), line, what);
    }
    None
}

/// Where an error comes from, and what it is: the innermost that knows its place.
fn explain(error: &minijinja::Error) -> (Option<String>, Option<usize>, String) {
    let mut inner = error;
    while let Some(source) = inner
        .source()
        .and_then(|e| e.downcast_ref::<minijinja::Error>())
    {
        inner = source;
    }
    let what = match inner.kind() {
        ErrorKind::OutOfFuel => "it takes too many steps: make it shorter".to_owned(),
        ErrorKind::WriteFailure => {
            format!(
                "the page is larger than {} KiB: make it shorter",
                PAGE_LIMIT / 1024
            )
        }
        ErrorKind::UndefinedError => {
            "a variable has no value on this page: test it with `is defined` first".to_owned()
        }
        kind => match inner.detail() {
            Some(detail) => format!("{kind}: {detail}"),
            None => kind.to_string(),
        },
    };
    (inner.name().map(str::to_owned), inner.line(), what)
}

fn render(engine: &Environment, name: &str, content: Value) -> Result<Vec<u8>, minijinja::Error> {
    let mut page = Bounded(Vec::with_capacity(4096));
    engine
        .get_template(name)?
        .render_captured_to(content, &mut page)?;
    Ok(page.0)
}

/// A page that is being written, up to [`PAGE_LIMIT`].
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > PAGE_LIMIT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The colours that follow from the chosen one, and then a style sheet that may use them.
fn style(color: Color, own: Option<String>) -> Asset {
    let [light, dark] = CARDS.map(|card| {
        let accent = color.on(card);
        format!("--accent:{accent};--accent-text:{}", accent.text())
    });
    let colors = format!(":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n");
    Asset {
        content_type: "text/css; charset=utf-8",
        bytes: Bytes::Own(
            [colors.as_str(), own.as_deref().unwrap_or(STYLE)]
                .concat()
                .into_bytes()
                .into(),
        ),
        keep: FOR_LONG,
    }
}

fn picture(own: Option<Image>) -> Asset {
    match own {
        Some(image) => Asset {
            content_type: image.picture.content_type,
            bytes: Bytes::Own(image.bytes.into()),
            keep: FOR_LONG,
        },
        None => Asset {
            bytes: Bytes::Ours(ICON_BYTES),
            ..ICON
        },
    }
}
