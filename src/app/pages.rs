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
