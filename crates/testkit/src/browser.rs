//! Debian's chromium, driven by its own protocol over two pipes: no port, no driver, no library.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic anywhere, its helpers too")]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

/// The longest wait for an answer or a condition.
const LIMIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(25);

/// A browser with one page, or several of which one is looked at.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    /// Events that nobody has looked at yet.
    pub events: VecDeque<Value>,
    session: String,
    last_id: u64,
    _profile: tempfile::TempDir,
}

/// A tab that is not looked at.
#[derive(Debug)]
pub struct Tab(String);

impl Browser {
    /// Starts it with an empty page of this size.
    pub fn start(width: u32, height: u32) -> Browser {
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let mut command = Command::new("sh");
        // The protocol is spoken on the descriptors 3 and 4.
        command.args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null", "sh"]);
        command.args([
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--no-first-run",
            "--no-default-browser-check",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-extensions",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("chromium answered a moment ago");
        let input = child.stdin.take().expect("its input is a pipe");
        let output = child.stdout.take().expect("its output is a pipe");
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Ok(message) = message else { return };
                let message = serde_json::from_slice(&message).expect("JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Browser {
            child,
            input,
            messages,
            events: VecDeque::new(),
            session: String::new(),
            last_id: 0,
            _profile: profile,
        };
        browser.open_page(width, height);
        browser
    }

    fn open_page(&mut self, width: u32, height: u32) {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = self.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        self.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            self.call(domain, json!({}));
        }
        self.resize(width, height);
        let colours = json!([{"name": "prefers-color-scheme", "value": "light"}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": colours}));
    }

    /// Opens another tab of the same size, which is looked at from now on; gives the one that was.
    pub fn new_tab(&mut self, width: u32, height: u32) -> Tab {
        let before = std::mem::take(&mut self.session);
        self.open_page(width, height);
        Tab(before)
    }

    /// Looks at another tab; gives the one that was.
    pub fn switch(&mut self, tab: Tab) -> Tab {
        Tab(std::mem::replace(&mut self.session, tab.0))
    }

    /// Another size of the page.
    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Light or dark.
    pub fn scheme(&mut self, name: &str) {
        let colours = json!([{"name": "prefers-color-scheme", "value": name}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": colours}));
    }

    /// Calls a method of the protocol.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).expect("the browser reads");
        loop {
            let message =
                self.messages.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("{method}: {error}"));
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push_back(message);
        }
    }

    /// What the browser notes of these categories for so long, in the format of traces.
    pub fn trace(&mut self, categories: &str, for_so_long: Duration) -> Vec<Value> {
        self.call("Tracing.start", json!({"categories": categories, "transferMode": "ReportEvents"}));
        let end = Instant::now() + for_so_long;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if let Ok(message) = self.messages.recv_timeout(left) {
                self.events.push_back(message);
            }
        }
        self.call("Tracing.end", json!({}));
        while !self.events.iter().any(|event| event["method"] == "Tracing.tracingComplete") {
            let message = self.messages.recv_timeout(LIMIT).expect("the trace ends");
            self.events.push_back(message);
        }
        let told = std::mem::take(&mut self.events);
        let (traces, others): (VecDeque<Value>, _) =
            told.into_iter().partition(|event| event["method"] == "Tracing.dataCollected");
        self.events = others;
        self.events.retain(|event| event["method"] != "Tracing.tracingComplete");
        let events = traces.into_iter().filter_map(|mut event| match event["params"]["value"].take() {
            Value::Array(events) => Some(events),
            _ => None,
        });
        events.flatten().collect()
    }

    /// What the page complained of since the last look: exceptions, and errors of the console.
    pub fn complaints(&mut self) -> Vec<String> {
        self.take_in();
        let is_complaint = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        self.events.iter().filter(is_complaint).map(Value::to_string).collect()
    }

    /// The addresses that the page has asked for.
    pub fn requests(&mut self) -> Vec<String> {
        self.take_in();
        let asked = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        asked.filter_map(|event| event["params"]["request"]["url"].as_str().map(str::to_owned)).collect()
    }

    fn take_in(&mut self) {
        self.events.extend(self.messages.try_iter());
    }

    /// Goes to an address, and waits until the page is there.
    pub fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({"url": url}));
        self.until("document.readyState === 'complete'");
    }

    /// What an expression comes to.
    pub fn eval(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, condition: &str) {
        let deadline = Instant::now() + LIMIT;
        while self.eval(&format!("Boolean({condition})")) != true {
            if Instant::now() > deadline {
                let text = self.eval("document.body?.innerText.slice(0, 2000)");
                panic!("not within {LIMIT:?}: {condition}; the page says {text}");
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Presses a key.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        let text = match key {
            "Enter" => "\r",
            _ if key.chars().count() == 1 => key,
            _ => "",
        };
        let mut down = json!({"type": "keyDown", "key": key, "windowsVirtualKeyCode": code});
        if !text.is_empty() {
            down["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", down);
        self.call(
            "Input.dispatchKeyEvent",
            json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code}),
        );
    }

    /// Types a text.
    pub fn type_text(&mut self, text: &str) {
        text.chars().for_each(|one| self.press(&one.to_string()));
    }

    /// The page as PNG.
    pub fn screenshot(&mut self) -> Vec<u8> {
        // Two frames later everything is drawn.
        self.eval("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))");
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        BASE64_STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
