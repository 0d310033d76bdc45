//! The form of a line, as simplelog writes it, with what the journal wants before it.

use log::{Level, LevelFilter, Record};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The form of a line is simplelog's; this takes the lines from it one by one.
pub(super) struct Formatter {
    logger: Box<simplelog::WriteLogger<Page>>,
    page: Page,
    journal: bool,
}

/// What a line is written on.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Formatter {
    pub(super) fn new(journal: bool) -> Self {
        let shown = if journal {
            LevelFilter::Off
        } else {
            LevelFilter::Error
        };
        let config = simplelog::ConfigBuilder::new()
            .set_time_format_rfc3339()
            .set_time_level(shown)
            .set_max_level(shown)
            .set_level_padding(simplelog::LevelPadding::Off)
            .set_target_level(LevelFilter::Error)
            .set_thread_level(LevelFilter::Off)
            .set_location_level(LevelFilter::Off)
            .build();
        let page = Page::default();
        Self {
            logger: simplelog::WriteLogger::new(LevelFilter::Trace, config, page.clone()),
            page,
            journal,
        }
    }

    /// One line; `text` is harmless already.
    pub(super) fn line(&self, level: Level, event: &str, text: &str) -> Vec<u8> {
        if self.journal {
            // sd-daemon(3), SD_ERR to SD_DEBUG.
            let priority = match level {
                Level::Error => "<3>",
                Level::Warn => "<4>",
                Level::Info => "<6>",
                Level::Debug | Level::Trace => "<7>",
            };
            self.page.lock().extend_from_slice(priority.as_bytes());
        }
        log::Log::log(
            &*self.logger,
            &Record::builder()
                .level(level)
                .target(event)
                .args(format_args!("{text}"))
                .build(),
        );
        std::mem::take(&mut self.page.lock())
    }
}
