//! The page, in a browser: what people see and press, against the server as it is.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that fails is a test that fails"
)]

mod browser;
mod server;

use browser::Browser;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use server::{BOTH, MISBEHAVES, PLAINLY, Server, answer, misbehaving, start};

/// What does something wherever it is taken for markup.
const MARKUP: &str = "<img src=x onerror='hacked=1'><script>hacked=1</script>";

/// The page of a server, opened.
fn open(server: &Server) -> Browser {
    let browser = Browser::start();
    browser.open(&format!("http://{}/", server.address));
    browser
}

/// The `XPath` of a function's line in the list.
fn line(name: &str) -> String {
    format!("//tr[th/button[.='{name}']]")
}

/// The `XPath` of what is below a function's line when it is opened.
fn details(name: &str) -> String {
    format!("{}/following-sibling::tr[1]", line(name))
}

/// Opens a function's details.
#[track_caller]
fn open_details(browser: &Browser, name: &str) {
    browser.click(&format!("{}//button", line(name)));
}

#[track_caller]
fn press(browser: &Browser, name: &str, button: &str) {
    browser.click(&format!("{}//button[.='{button}']", details(name)));
}

/// Fills in the form for uploads, and sends it.
#[track_caller]
fn upload(browser: &Browser, file: &str, name: &str) {
    browser.enter("//*[@id='deploy-file']", file);
    browser.value("document.getElementById('deploy-name').value = ''");
    browser.enter("//*[@id='deploy-name']", name);
    browser.click("//*[@id='deploy-send']");
}

/// Sends a text to a function.
#[track_caller]
fn send(browser: &Browser, name: &str, body: &str) {
    browser.click(&format!("//select[@id='try-function']/option[.='{name}']"));
    browser.value("document.getElementById('try-text').value = ''");
    browser.enter("//*[@id='try-text']", body);
    browser.click("//*[@id='try-send']");
}

/// Nothing went wrong in the page: no script failed, the policy was not violated, and no request failed but those that end like this.
#[track_caller]
fn assert_quiet(browser: &Browser, expected: &[&str]) {
    let is_expected = |message: &String| expected.iter().any(|&end| message.contains(end));
    let unexpected: Vec<_> = browser.console().into_iter().filter(|message| !is_expected(message)).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}

/// Nothing of `MARKUP` became part of the page.
#[track_caller]
fn assert_no_markup(browser: &Browser) {
    assert_eq!(browser.value("document.querySelectorAll('body img, body script').length"), 0);
    assert_eq!(browser.value("typeof hacked"), "undefined");
}

fn names(server: &Server) -> Vec<Value> {
    server.functions().as_array().unwrap().iter().map(|function| function["name"].clone()).collect()
}

#[test]
fn an_upload_appears_in_the_list_without_a_reload_and_deleting_removes_it() {
    let server = start(&[MISBEHAVES]);
    let browser = open(&server);
    browser.find(&line("misbehaves"));
    browser.value("window.loaded = 'once'");
    for setting in server.functions()[0]["settings"].as_object().unwrap().keys() {
        browser.find(&format!("//*[@id='setting-{setting}']"));
    }

    browser.click("//summary[.='Settings']");
    browser.enter("//*[@id='setting-concurrency']", "3");
    upload(&browser, PLAINLY, "plain");
    browser.find("//*[@id='deploy-result'][contains(., 'plain is deployed: version 1, a program of ')]");
    browser.find(&format!("{}[contains(., 'program')]", line("plain")));
    open_details(&browser, "plain");
    assert!(browser.text(&details("plain")).contains("Requests at once\n3"), "{}", browser.text(&details("plain")));

    // A new version keeps the settings, as the form is filled with them.
    press(&browser, "plain", "New version");
    browser.enter("//*[@id='deploy-file']", PLAINLY);
    browser.click("//button[.='Deploy a new version of plain']");
    browser.find("//*[@id='deploy-result'][contains(., 'plain is deployed: version 2')]");
    browser.find(&format!("{}/td[@data-label='Version'][.='2']", line("plain")));
    assert_eq!(server.functions()[1]["settings"]["concurrency"], 3);

    press(&browser, "plain", "Delete");
    browser.click("//dialog//button[.='Keep it']");
    press(&browser, "plain", "Delete");
    browser.find("//dialog[@open]//p[.='Delete the function plain?']");
    assert_eq!(names(&server), ["misbehaves", "plain"]);
    browser.click("//dialog//button[.='Delete']");
    browser.wait_until("![...document.querySelectorAll('.name')].some((name) => name.textContent === 'plain')");
    assert_eq!(names(&server), ["misbehaves"]);

    assert_eq!(browser.value("window.loaded"), "once");
    assert_quiet(&browser, &[]);
}

#[test]
fn what_cannot_be_deployed_is_refused_with_the_servers_reason() {
    let server = start(&[MISBEHAVES]);
    let browser = open(&server);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let (status, detail) = answer(server.send("PUT", "/functions/manifest", &std::fs::read(file).unwrap()));
    assert_eq!(status, 422, "{detail}");
    upload(&browser, file, "manifest");
    browser.find("//*[@id='deploy-result'][contains(., 'It was not deployed (422)')]");
    let shown = browser.text("//*[@id='deploy-result']");
    assert!(shown.contains(&detail), "{shown}\n{detail}");
    assert_eq!(names(&server), ["misbehaves"]);
    assert_quiet(&browser, &["status of 422"]);
}

#[test]
fn a_server_without_functions_tells_how_to_deploy_the_first() {
    let server = start(&[MISBEHAVES]);
    let browser = open(&server);
    open_details(&browser, "misbehaves");
    press(&browser, "misbehaves", "Delete");
    browser.click("//dialog//button[.='Delete']");
    browser.wait_until("!document.getElementById('empty').hidden");
    let command = format!("curl --upload-file ./hello http://{}/functions/hello", server.address);
    assert!(browser.text("//*[@id='empty']").contains(&command));
    assert_quiet(&browser, &[]);
}

#[test]
fn try_it_shows_status_headers_and_body_of_the_answer() {
    let server = misbehaving(&[]);
    let browser = open(&server);
    open_details(&browser, "misbehaves_plainly");
    press(&browser, "misbehaves_plainly", "Try it");
    browser.enter("//*[@id='try-text']", "a body");
    browser.click("//*[@id='try-send']");
    browser.find("//*[@id='try-result'][contains(., '200 OK') and contains(., '6 B, request ')]/pre[.='a body']");
    browser.click("//summary[.='Headers']");
    browser.find("//*[@id='try-result']//dt[.='x-request-id']");

    browser.click("//input[@type='radio'][@value='file']");
    browser.enter("//*[@id='try-file']", concat!(env!("CARGO_MANIFEST_DIR"), "/functions/word-count/Cargo.toml"));
    browser.click("//*[@id='try-send']");
    browser.find("//*[@id='try-result']/pre[contains(., '[package]')]");
    browser.find("//a[.='Save the body'][@download]");
    assert_quiet(&browser, &[]);
}

#[test]
fn a_request_that_takes_too_long_can_be_cancelled() {
    let server = misbehaving(&["--wall-ms", "3600000", "--cpu-ms", "3600000"]);
    let browser = open(&server);
    let requests = |count: &str| {
        browser.find(&format!("{}/td[@data-label='Running / waiting'][.='{count}']", line("misbehaves")));
    };
    send(&browser, "misbehaves", "spin");
    requests("1 / 0");
    browser.click("//*[@id='try-cancel']");
    browser.find("//*[@id='try-result'][.='Cancelled.']");
    requests("0 / 0");
    assert_quiet(&browser, &[]);
}

#[test]
fn a_crash_shows_its_problem_and_a_link_that_opens_its_report() {
    let server = misbehaving(&[]);
    let browser = open(&server);
    for name in ["misbehaves", "misbehaves_plainly"] {
        send(&browser, name, "crash");
        browser.find(
            "//*[@id='try-result'][contains(., '502') and contains(., 'The request failed') and contains(., 'trap')]",
        );
        browser.click("//*[@id='try-result']//a[.='Open the report']");
        browser.find(&format!("//*[@id='report'][contains(., '{name}, version 1')]//pre[contains(., 'rip')]"));
        browser.wait_until("document.activeElement.id === 'report-heading'");
        browser.click("//*[@id='report-close']");
        browser.wait_until("document.getElementById('report').hidden && location.hash === ''");
    }
    assert_quiet(&browser, &["status of 502"]);
}

#[test]
fn markup_in_answers_problems_and_addresses_is_text_and_does_nothing() {
    let server = misbehaving(&[]);
    let browser = open(&server);
    send(&browser, "misbehaves_plainly", MARKUP);
    browser.wait_until("document.querySelector('#try-result a[download]')");
    assert_eq!(browser.text("//*[@id='try-result']/pre"), MARKUP);
    assert_no_markup(&browser);

    browser.value(&format!("location.hash = '#report/' + encodeURIComponent({})", json!(MARKUP)));
    browser.find("//*[@id='report-body'][contains(., 'There is no report <img')]");
    assert_no_markup(&browser);
    assert_quiet(&browser, &["status of 404"]);
}

#[test]
fn markup_in_all_that_is_told_of_a_function_is_text_and_does_nothing() {
    let server = start(&[MISBEHAVES]);
    assert_eq!(server.post(BOTH[0], b"crash").0, 502);
    let browser = Browser::start();
    let mut told = server.functions()[0].clone();
    for field in ["name", "kind", "version"] {
        told[field] = MARKUP.into();
    }
    told["settings"]["wall_ms"] = MARKUP.into();
    told["totals"]["failed"][MARKUP] = 7.into();
    forge(&browser, &json!([told]));
    browser.open(&format!("http://{}/", server.address));
    browser.click("//button[contains(@class, 'name')][contains(., '<img')]");
    browser.find("//tr[@class='details']//dt[contains(., '<img')]");
    browser.find("//tr[@class='details']//dd[contains(., '<img')]");
    browser.find("//select[@id='plotted']/option[contains(., '<img')]");
    browser.click("//button[.='Delete']");
    browser.find("//dialog[@open]//p[contains(., '<img')]");
    assert_no_markup(&browser);
    assert_quiet(&browser, &[]);
}

/// Has the page find these descriptions at `/functions`, whatever the server has.
fn forge(browser: &Browser, descriptions: &Value) {
    let source = format!(
        "const send = window.fetch;
         const forged = {};
         window.fetch = async (path, options) => path === '/functions' ? Response.json(forged) : send(path, options);",
        json!(descriptions.to_string()).as_str().unwrap(),
    );
    browser.chromium("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": source }));
}

#[test]
fn the_plots_move_with_the_requests() {
    let server = misbehaving(&[]);
    let browser = open(&server);
    // Points of a plot's area are `x,y`, and y is less where there is more.
    browser.value(
        "window.rises = (colour) => {
             const path = document.querySelector(`#plot-rate .${colour}, #plot-failures .${colour}`);
             const heights = [...path.getAttribute('d').matchAll(/,([0-9.]+)/g)].map(([, height]) => Number(height));
             return Math.max(...heights) - Math.min(...heights) > 20;
         }",
    );
    browser.wait_until("document.querySelector('#plot-rate path.answered').getAttribute('d') !== ''");
    assert_eq!(browser.value("rises('answered') || rises('failed')"), false);
    assert_eq!(browser.value("document.querySelector('#plot-latency path.p99').getAttribute('d')"), "");

    for _ in 0..5 {
        assert_eq!(server.post(BOTH[0], b"1").0, 200);
        assert_eq!(server.post(BOTH[0], b"crash").0, 502);
    }
    browser.wait_until("rises('answered') && rises('failed') && rises('kind-0')");
    browser.wait_until("document.querySelector('#plot-latency path.p99').getAttribute('d').startsWith('M')");
    browser.find("//*[@id='plot-failures']//li[contains(., 'crash (5)')]");
    browser
        .find(&format!("{}[td[@data-label='Answered'][.='5']][td[@data-label='Failed'][.='5']]", line("misbehaves")));

    // Each function by itself.
    browser.click("//select[@id='plotted']/option[.='misbehaves_plainly']");
    assert_eq!(browser.value("rises('answered') || rises('failed')"), false);
    open_details(&browser, "misbehaves");
    press(&browser, "misbehaves", "Plot it");
    assert_eq!(browser.value("rises('answered') && rises('failed')"), true);

    // The keys go back in time.
    browser.enter("//*[@id='plot-rate']//*[name()='svg']", "\u{e012}");
    browser.find("//*[@id='plot-rate']/figcaption[contains(., ' s ago')]");
    assert_quiet(&browser, &[]);
}

#[test]
fn the_token_is_asked_for_when_the_server_wants_one_and_is_kept_over_a_reload() {
    const TOKEN: &str = "0123456789abcdef";
    let server = start(&[MISBEHAVES, "--token", TOKEN]);
    let browser = open(&server);
    browser.wait_until("!document.getElementById('token').hidden");
    browser.enter("//*[@id='token-value']", "not this one\u{e007}");
    browser.enter("//*[@id='token-value']", "\u{e009}a\u{e000}notthisone\u{e007}");
    browser.find("//*[@id='token-says'][.='The server refused this API token.']");
    browser.enter("//*[@id='token-value']", TOKEN);
    browser.click("//button[.='Use this token']");
    browser.find(&line("misbehaves"));
    browser.wait_until("document.getElementById('token').hidden");
    send(&browser, "misbehaves", "1");
    browser.find("//*[@id='try-result']/pre[.='1']");

    browser.open(&format!("http://{}/", server.address));
    browser.find(&line("misbehaves"));
    assert_eq!(browser.value("document.getElementById('token').hidden"), true);
    assert_quiet(&browser, &["status of 401"]);
}

#[test]
fn a_server_that_goes_away_is_said_to_be_away_until_it_is_back() {
    let server = start(&[MISBEHAVES]);
    let browser = open(&server);
    browser.find("//*[@id='connection'][.='live']");
    kill_process(Pid::from_child(&server.process), Signal::STOP).unwrap();
    browser.find("//*[@id='connection'][contains(., 'the server does not answer since')]");
    kill_process(Pid::from_child(&server.process), Signal::CONT).unwrap();
    browser.find("//*[@id='connection'][.='live']");
    assert_quiet(&browser, &[]);
}

#[test]
fn hundreds_of_functions_are_listed_and_filtered() {
    let server = start(&[MISBEHAVES]);
    let browser = Browser::start();
    let told = server.functions()[0].clone();
    let many: Vec<_> = (0..500)
        .map(|number| {
            let mut told = told.clone();
            told["name"] = format!("function-{number:03}").into();
            told
        })
        .collect();
    forge(&browser, &json!(many));
    browser.open(&format!("http://{}/", server.address));
    browser.find(&line("function-499"));
    browser.enter("//*[@id='filter']", "Function-49");
    browser.wait_until("document.querySelectorAll('#functions tbody tr:not([hidden])').length === 10");
    browser.enter("//*[@id='filter']", "x");
    browser.wait_until("!document.getElementById('filter-empty').hidden");
    assert_quiet(&browser, &[]);
}

#[test]
fn a_narrow_screen_cuts_nothing_off_and_keys_are_enough() {
    let server = misbehaving(&[]);
    let browser = open(&server);
    let phone = json!({ "width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": false });
    browser.chromium("Emulation.setDeviceMetricsOverride", &phone);
    browser.enter(&format!("{}//button", line("misbehaves")), "\u{e007}");
    browser.find(&format!("{}[contains(., 'Longest reply')]", details("misbehaves")));
    browser.enter(&format!("{}//button[.='Delete']", details("misbehaves")), "\u{e007}");
    browser.wait_until("document.activeElement.textContent === 'Keep it'");
    browser.enter("//dialog//button[.='Keep it']", "\u{e00c}");
    browser.wait_until("!document.querySelector('dialog').open");
    assert_eq!(names(&server), ["misbehaves", "misbehaves_plainly"]);

    send(&browser, "misbehaves_plainly", &"a-long-word".repeat(5));
    browser.find("//*[@id='try-result']/pre[contains(., 'a-long-word')]");
    assert_eq!(browser.value("innerWidth"), 360);
    assert_eq!(browser.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), true);
    let unnamed = "[...document.querySelectorAll('input, select, textarea')].filter((field) => !field.labels?.length && !field.ariaLabel)";
    assert_eq!(browser.value(&format!("{unnamed}.length")), 0);
    assert_quiet(&browser, &[]);
}
