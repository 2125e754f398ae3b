//! The pictures in docs/dashboard: `EVERYNODE_SCREENSHOTS=write` takes them anew, else what is drawn has to be alike.

use std::path::PathBuf;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use everynode_testkit::browser::Browser;
use everynode_testkit::repository;

/// Name, path and when it is there.
pub const SHOTS: [(&str, &str, &str); 11] = [
    ("daemons", "/", "document.querySelector('tbody tr')"),
    ("matrix", "/matrix?by2=node.kubernetes.io/instance-type", "document.querySelector('.stage canvas')"),
    ("daemon", "/daemon/logging/log-collector", "document.querySelector('.stage canvas')"),
    (
        "rollout",
        "/daemon/security/runtime-sensor?show=wave",
        "document.querySelector('.waves li:nth-child(3)')",
    ),
    (
        "list",
        "/nodes?d=logging%2Flog-collector&flag=budget",
        "document.querySelectorAll('tbody tr').length === 5",
    ),
    (
        "lacking",
        "/nodes?d=storage%2Fcache&class=missing",
        "document.querySelectorAll('tbody tr').length === 3",
    ),
    (
        "past",
        "/?at=1",
        "document.querySelector('[role=slider]').ariaValueNow === '0' && !document.body.innerText.includes('14:23:20')",
    ),
    (
        "peers",
        "/matrix?show=peers",
        "document.querySelector('.stage canvas') && document.querySelectorAll('.legend .faint')[4]?.innerText === '3'",
    ),
    (
        "evidence",
        "/daemon/security/runtime-sensor?",
        "document.querySelector('.points circle') && (document.querySelector('.columns').scrollIntoView(), true)",
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

/// Colours of the palette by their names, as the screen shows them: red, green and blue.
pub fn colours<'a>(browser: &mut Browser, names: &[&'a str]) -> Vec<(&'a str, [f64; 3])> {
    let squares = format!(
        "(() => {{
          document.querySelector('#squares')?.remove();
          const box = document.createElement('div');
          box.id = 'squares';
          Object.assign(box.style, {{ position: 'fixed', inset: '0 auto auto 0', zIndex: 99, display: 'flex' }});
          for (const name of {names:?}) {{
            const square = document.createElement('i');
            Object.assign(square.style, {{ width: '20px', height: '20px', background: `var(--${{name}})` }});
            box.append(square);
          }}
          document.body.append(box);
        }})()"
    );
    browser.eval(&squares);
    let drawn = BASE64_STANDARD.encode(browser.screenshot());
    let read = format!(
        "(async () => {{
          const bytes = Uint8Array.from(atob('{drawn}'), (one) => one.charCodeAt(0));
          const picture = await createImageBitmap(new Blob([bytes], {{ type: 'image/png' }}));
          const context = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
          context.drawImage(picture, 0, 0);
          return {names:?}.map((_, place) => [...context.getImageData(place * 20 + 10, 10, 1, 1).data].slice(0, 3));
        }})()"
    );
    let read: Vec<[f64; 3]> = serde_json::from_value(browser.eval(&read)).expect("colours");
    names.iter().copied().zip(read).collect()
}

/// How different two colours look: the distance in CIE L*a*b*. About 2 is just seen, 20 is plain.
pub fn difference(one: [f64; 3], other: [f64; 3]) -> f64 {
    let [one, other] = [one, other].map(lab);
    one.iter().zip(other).map(|(one, other)| (one - other).powi(2)).sum::<f64>().sqrt()
}

fn lab(colour: [f64; 3]) -> [f64; 3] {
    let linear = colour.map(|part| part / 255.0).map(|part| match part <= 0.04045 {
        true => part / 12.92,
        false => ((part + 0.055) / 1.055).powf(2.4),
    });
    let xyz = [
        ([0.4124, 0.3576, 0.1805], 0.9505),
        ([0.2126, 0.7152, 0.0722], 1.0),
        ([0.0193, 0.1192, 0.9505], 1.089),
    ];
    let [x, y, z] = xyz.map(|(row, white)| {
        let sum = row.iter().zip(linear).map(|(factor, part)| factor * part).sum::<f64>() / white;
        if sum > 0.008856 { sum.cbrt() } else { 7.787 * sum + 16.0 / 116.0 }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
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
