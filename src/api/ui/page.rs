//! What every page has around it: head, navigation, theme.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
    response::{Html, IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{asset, form::FormKey};

/// The cookie that keeps the theme somebody chose.
const THEME_COOKIE: &str = "bosun_theme";

/// A value of a cookie of the request.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// The theme somebody chose; none: as the system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Theme(Option<&'static str>);

impl Theme {
    fn of(headers: &HeaderMap) -> Self {
        let chosen = cookie(headers, THEME_COOKIE);
        Self(["light", "dark"].into_iter().find(|known| chosen == Some(*known)))
    }
}

impl<S: Sync> FromRequestParts<S> for Theme {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

/// Which entry of the navigation a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Sessions.
    Sessions,
    /// Plan previews.
    Plan,
    /// Documents.
    Documents,
    /// None of them.
    Elsewhere,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    title: String,
    theme: Theme,
    place: Place,
    live: Option<String>,
    set_cookie: Option<String>,
    body: Markup,
}

impl Page {
    /// An empty page.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            theme: Theme::default(),
            place: Place::Elsewhere,
            live: None,
            set_cookie: None,
            body: PreEscaped(String::new()),
        }
    }

    /// In the theme somebody chose.
    pub fn theme(self, theme: Theme) -> Self {
        Self { theme, ..self }
    }

    /// Below an entry of the navigation.
    pub fn place(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Kept fresh: the path of the stream that tells when it has to be read again.
    pub fn live(self, path: impl Into<String>) -> Self {
        Self { live: Some(path.into()), ..self }
    }

    /// With forms that repeat this key.
    pub fn form_key(self, key: &FormKey) -> Self {
        Self { set_cookie: key.set_cookie(), ..self }
    }

    /// With this inside `main`.
    pub fn body(self, body: Markup) -> Self {
        Self { body, ..self }
    }

    fn entry(&self, place: Place, path: &str, name: &str) -> Markup {
        html! {
            a href=(path) aria-current=[(self.place == place).then_some("page")] { (name) }
        }
    }

    fn document(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" data-theme=[self.theme.0] {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · bosun" }
                    link rel="icon" href=(asset::url("svg")) type="image/svg+xml";
                    link rel="stylesheet" href=(asset::url("css"));
                    script src=(asset::url("js")) defer {}
                }
                body data-live-source=[self.live.as_deref()] {
                    a.skip-link href="#main" { "Skip to the content" }
                    header.top {
                        a.brand href="/ui/sessions" { (brand()) "bosun" }
                        nav aria-label="Main" {
                            (self.entry(Place::Sessions, "/ui/sessions", "Sessions"))
                            (self.entry(Place::Plan, "/ui/plan", "Plan"))
                            (self.entry(Place::Documents, "/ui/documents", "Documents"))
                        }
                        form.find role="search" action="/ui/components" method="get" {
                            label.unseen for="find" { "Find a component by its name" }
                            input #find type="search" name="name" placeholder="x1000c0s0b0n0" size="18"
                                autocomplete="off" spellcheck="false" required;
                            button type="submit" { "Find" }
                        }
                        @if self.live.is_some() {
                            span #pulse .pulse role="status" data-state="off" { "not live" }
                        }
                        button #theme .quiet type="button" hidden aria-label="Switch between light and dark" {
                            (moon())
                        }
                    }
                    main #main tabindex="-1" { (self.body) }
                    footer { "bosun " (env!("CARGO_PKG_VERSION")) " · all times are UTC" }
                }
            }
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = Html(self.document().into_string()).into_response();
        if let Some(line) = self.set_cookie.as_deref().and_then(|line| HeaderValue::from_str(line).ok()) {
            response.headers_mut().insert(header::SET_COOKIE, line);
        }
        response
    }
}

fn brand() -> Markup {
    html! {
        svg.brand-mark viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" {
            circle cx="12" cy="5" r="2.6" {}
            path d="M12 7.6V21 M5 11.5h14 M3.5 14c.6 4.2 4 7 8.5 7s7.9-2.8 8.5-7" {}
        }
    }
}

fn moon() -> Markup {
    html! {
        svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
            circle.line cx="8" cy="8" r="6.2" {}
            path.half d="M8 1.8a6.2 6.2 0 0 1 0 12.4z" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_themes_are_chosen() {
        let theme = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(text));
            Theme::of(&headers)
        };
        assert_eq!(theme("a=b; bosun_theme=dark"), Theme(Some("dark")));
        assert_eq!(theme("bosun_theme=\"><script>"), Theme(None));
        assert_eq!(theme("xbosun_theme=dark"), Theme(None));
    }

    #[test]
    fn titles_are_escaped() {
        let document = Page::new("<script>alert(1)</script>").document().into_string();
        assert!(document.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(!document.contains("<script>alert"));
    }
}
