//! The pages as the settings want them: at a start, on a wish to reload, and when somebody only asks
//! whether they are in order.

use crate::api::{self, PageProblem, PageSettings};
use crate::config::Settings;
use std::io;

/// What the settings say about the pages.
pub(super) fn page_settings(settings: &Settings) -> PageSettings {
    let pages = &settings.pages;
    PageSettings {
        templates: pages.templates.clone(),
        name: pages.name.clone(),
        color: pages.color.clone(),
        logo: pages.logo.clone(),
    }
}

/// Everything that is wrong with the templates, style sheet and pictures that the settings name:
/// with file, line and remedy. Takes nothing into use.
///
/// # Errors
/// When the system has no thread for it.
pub fn check_pages(settings: &Settings) -> io::Result<Vec<PageProblem>> {
    api::check_pages(&page_settings(settings))
}

impl super::App {
    /// Reads templates, style and pictures again, with the name and the colour of these settings,
    /// and takes them into use as a whole. What cannot be used goes to the log, and what is built
    /// in takes its place.
    ///
    /// # Errors
    /// When the system has no thread for it; everything stays as it was.
    pub fn reload_pages(&self, settings: &Settings) -> io::Result<Vec<PageProblem>> {
        self.api.reload_pages(&page_settings(settings))
    }
}
