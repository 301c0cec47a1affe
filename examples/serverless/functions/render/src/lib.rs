//! Markdown to HTML, as a site renders its documents and comments. The load test calls it with a sandbox and without one.

use pulldown_cmark::{Options, Parser, html};

/// Renders a document, with tables, footnotes, task lists and strikethrough as GitHub has them. HTML in it is passed through, as CommonMark says.
pub fn render(markdown: &str) -> String {
    let mut page = String::new();
    html::push_html(&mut page, Parser::new_ext(markdown, EXTENSIONS));
    page
}

const EXTENSIONS: Options = Options::ENABLE_TABLES
    .union(Options::ENABLE_FOOTNOTES)
    .union(Options::ENABLE_TASKLISTS)
    .union(Options::ENABLE_STRIKETHROUGH);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_html_with_its_tables() {
        assert_eq!(render("# One\n*two*"), "<h1>One</h1>\n<p><em>two</em></p>\n");
        assert!(render("|a|\n|-|\n|1|\n").contains("<td>1</td>"));
    }
}
