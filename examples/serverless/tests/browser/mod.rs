//! A Chromium without a window, driven over [WebDriver](https://www.w3.org/TR/webdriver2/): as much of the protocol as the page's tests need.
//!
//! Nothing here waits by sleeping. The driver itself waits until an element is there, and a condition is looked at in the page, each time that a
//! frame is drawn. Ports and profiles are chosen by the system, so that any number of browsers may run.

mod wire;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use wire::Driver;

/// What the driver waits for an element or a condition, in milliseconds. Only a test that fails waits for so long.
const PATIENCE_MS: u32 = 60_000;

/// The name under which WebDriver passes elements on.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

const INSTALL: &str = "Install Debian's packages: apt-get install chromium chromium-driver";

/// See the module's documentation. A test that fails leaves a picture of the page in Cargo's directory for tests, `target/tmp`.
pub(crate) struct Browser {
    process: Child,
    driver: Driver,
    session: String,
    /// The browser's profile, and whatever else it and the driver leave.
    _files: TempDir,
    /// Read no further, and open as long as the driver may print.
    _stdout: BufReader<ChildStdout>,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromedriver");
        let started = command.arg("--port=0").env("TMPDIR", files.path()).stdout(Stdio::piped()).spawn();
        let mut process = started.unwrap_or_else(|error| panic!("chromedriver did not start: {error}. {INSTALL}"));
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let driver = Driver::at(port(&mut stdout));
        let session = driver.send("POST", "/session", &json!({ "capabilities": { "alwaysMatch": capabilities() } }));
        let session = session.unwrap_or_else(|error| {
            let _ = process.kill();
            panic!("Chromium did not start: {error}. {INSTALL}")
        });
        let session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        Self { process, driver, session, _files: files, _stdout: stdout }
    }

    #[track_caller]
    fn command(&self, method: &str, command: &str, parameters: &Value) -> Value {
        // No closure, which would be the place that the failure is told of.
        match self.driver.send(method, &format!("{}{command}", self.session), parameters) {
            Ok(value) => value,
            Err(error) => panic!("{command} {parameters}: {error}"),
        }
    }

    /// A command of Chromium's own protocol.
    #[track_caller]
    pub(crate) fn chromium(&self, command: &str, parameters: &Value) {
        self.command("POST", "/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }));
    }

    #[track_caller]
    pub(crate) fn open(&self, address: &str) {
        self.command("POST", "/url", &json!({ "url": address }));
    }

    /// Waits until there is an element of this `XPath`.
    #[track_caller]
    pub(crate) fn find(&self, xpath: &str) -> String {
        let found = self.command("POST", "/element", &json!({ "using": "xpath", "value": xpath }));
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn click(&self, xpath: &str) {
        self.command("POST", &format!("/element/{}/click", self.find(xpath)), &json!({}));
    }

    /// Types into an element, with all that the keys do there. A file input takes a path.
    #[track_caller]
    pub(crate) fn enter(&self, xpath: &str, text: &str) {
        self.command("POST", &format!("/element/{}/value", self.find(xpath)), &json!({ "text": text }));
    }

    /// What is to be read in an element.
    #[track_caller]
    pub(crate) fn text(&self, xpath: &str) -> String {
        let text = self.command("GET", &format!("/element/{}/text", self.find(xpath)), &Value::Null);
        text.as_str().unwrap().to_owned()
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({ "script": format!("return {expression}"), "args": [] }))
    }

    /// Waits until an expression in the page is true.
    #[track_caller]
    pub(crate) fn wait_until(&self, expression: &str) {
        let script = format!(
            "const [done] = arguments; const look = () => ({expression}) ? done() : requestAnimationFrame(look); look()"
        );
        self.command("POST", "/execute/async", &json!({ "script": script, "args": [] }));
    }

    /// What the browser's console has got since it was asked last: errors of scripts, violations of the content security policy, and requests
    /// that failed.
    #[track_caller]
    pub(crate) fn console(&self) -> Vec<String> {
        let entries = self.command("POST", "/se/log", &json!({ "type": "browser" }));
        entries.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    fn take_picture(&self) -> Option<PathBuf> {
        let picture = self.driver.send("GET", &format!("{}/screenshot", self.session), &Value::Null).ok()?;
        let test = std::thread::current().name()?.replace("::", "-");
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{test}.png"));
        std::fs::write(&path, wire::decode(picture.as_str()?)).ok()?;
        Some(path)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(path) = self.take_picture()
        {
            eprintln!("the page as it was: {}", path.display());
        }
        // Ends Chromium, which would outlive its driver otherwise. The driver then removes what is left, and ends.
        let _ = self.driver.send("DELETE", &self.session, &Value::Null);
        if self.driver.send("GET", "/shutdown", &Value::Null).is_err() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

/// The port that the driver has chosen.
fn port(stdout: &mut impl BufRead) -> u16 {
    let mut said = String::new();
    while stdout.read_line(&mut said).unwrap() > 0 {
        if let Some((_, port)) = said.split_once("started successfully on port ") {
            return port.trim_end().trim_end_matches('.').parse().unwrap();
        }
    }
    panic!("chromedriver has no port, and said: {said}")
}

fn capabilities() -> Value {
    let mut arguments = vec!["--headless=new", "--window-size=1280,1000", "--disable-dev-shm-usage"];
    // Chromium's own sandbox does not work for root, who is the user in many containers.
    if rustix::process::geteuid().is_root() {
        arguments.push("--no-sandbox");
    }
    json!({
        "browserName": "chrome",
        "timeouts": { "implicit": PATIENCE_MS, "script": PATIENCE_MS, "pageLoad": PATIENCE_MS },
        "goog:chromeOptions": { "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
    })
}
