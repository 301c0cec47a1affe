//! What people look at: the files of `page/`, which are in the server.

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};

use super::named::Named;
use super::problem::Problem;

/// Nothing but what this server serves: whatever a guest writes into an answer, the page loads and runs nothing of it.
/// The page's own scripts cannot make markup of a text either.
const POLICY: &str = "default-src 'self'; require-trusted-types-for 'script'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const INDEX: &str = include_str!("../../page/index.html");
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file of the page: its name, what it is, and what is in it.
type PageFile = (&'static str, &'static str, &'static str);

macro_rules! file {
    ($name:literal, $kind:expr) => {
        ($name, $kind, include_str!(concat!("../../page/", $name)))
    };
}

const FILES: [PageFile; 14] = [
    file!("page.css", "text/css; charset=utf-8"),
    file!("icon.svg", "image/svg+xml"),
    file!("page.js", SCRIPT),
    file!("api.js", SCRIPT),
    file!("deploy.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("format.js", SCRIPT),
    file!("history.js", SCRIPT),
    file!("list.js", SCRIPT),
    file!("plots.js", SCRIPT),
    file!("report.js", SCRIPT),
    file!("result.js", SCRIPT),
    file!("settings.js", SCRIPT),
    file!("try.js", SCRIPT),
];

pub(crate) async fn index() -> Response {
    serve("text/html; charset=utf-8", INDEX)
}

pub(crate) async fn file(Named(name): Named) -> Result<Response, Problem> {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let (_, kind, content) =
        found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no_route", "the page has no such file"))?;
    Ok(serve(kind, content))
}

fn serve(kind: &'static str, content: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_the_page_names_is_served() {
        let all = [INDEX].into_iter().chain(FILES.iter().map(|(.., content)| *content));
        let mut names = 0;
        for content in all {
            for (start, _) in content.match_indices("from \"./").chain(content.match_indices("\"/page/")) {
                let name = content[start..].split('"').nth(1).unwrap().rsplit('/').next().unwrap();
                assert!(FILES.iter().any(|(known, ..)| *known == name), "{name}");
                names += 1;
            }
        }
        assert!(names >= FILES.len());
    }
}
