//! The pictures in docs/dashboard: `EVERYNODE_SCREENSHOTS=write` takes them anew, else what is drawn has to be alike.

use std::path::PathBuf;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use everynode_testkit::browser::Browser;
use everynode_testkit::repository;

/// Name, path and when it is there.
pub const SHOTS: [(&str, &str, &str); 6] = [
    ("daemons", "/", "document.querySelector('tbody tr')"),
    ("matrix", "/matrix?by2=node.kubernetes.io/instance-type", "document.querySelector('.stage canvas')"),
    ("daemon", "/daemon/logging/log-collector", "document.querySelector('.stage canvas')"),
    (
        "rollout",
        "/daemon/security/runtime-sensor?show=wave",
        "document.querySelector('.waves li:nth-child(3)')",
    ),
    ("node", "/node/worker-000009", "document.querySelector('details dl')"),
    ("outliers", "/outliers", "document.querySelectorAll('section').length > 2"),
];

/// The share of pixels that may differ: fonts are drawn a little otherwise elsewhere.
const DIFFERENT: f64 = 0.06;

fn path(name: &str) -> PathBuf {
    repository().join("docs/dashboard").join(format!("{name}.png"))
}

/// Compares what is drawn with the picture of this name, or writes it.
pub fn compare(browser: &mut Browser, name: &str) {
    // Where the pointer and the focus are is not part of it.
    browser.eval("document.activeElement.blur()");
    let drawn = browser.screenshot();
    if std::env::var("EVERYNODE_SCREENSHOTS").is_ok_and(|value| value == "write") {
        std::fs::create_dir_all(path(name).parent().expect("a folder")).expect("docs/dashboard");
        return std::fs::write(path(name), drawn).expect("a picture");
    }
    let recorded = std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let share = different(browser, &recorded, &drawn);
    assert!(share <= DIFFERENT, "{name}: {:.1} % of the pixels differ", share * 100.0);
}

/// The share of pixels that differ clearly, as the browser itself counts them.
fn different(browser: &mut Browser, one: &[u8], other: &[u8]) -> f64 {
    let [one, other] = [one, other].map(|bytes| BASE64_STANDARD.encode(bytes));
    let script = format!(
        "(async () => {{
          const pixels = async (text) => {{
            const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
            const picture = await createImageBitmap(new Blob([bytes], {{ type: 'image/png' }}));
            const canvas = new OffscreenCanvas(picture.width, picture.height);
            const context = canvas.getContext('2d');
            context.drawImage(picture, 0, 0);
            return context.getImageData(0, 0, picture.width, picture.height);
          }};
          const [a, b] = [await pixels('{one}'), await pixels('{other}')];
          if (a.width !== b.width || a.height !== b.height) return 1;
          let found = 0;
          for (let at = 0; at < a.data.length; at += 4) {{
            const far = Math.abs(a.data[at] - b.data[at]) + Math.abs(a.data[at + 1] - b.data[at + 1]) + Math.abs(a.data[at + 2] - b.data[at + 2]);
            if (far > 90) found++;
          }}
          return found / (a.data.length / 4);
        }})()"
    );
    browser.eval(&script).as_f64().expect("a number")
}
