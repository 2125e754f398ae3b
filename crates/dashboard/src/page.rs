//! The page, as it stands in `page/`: plain modules that a browser reads as they are. They are compressed once.

use std::collections::HashMap;

use bytes::Bytes;
use flate2::Compression;

use crate::frame::gzip;

/// A file of the page.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Content-Type.
    pub content_type: &'static str,
    /// Compressed.
    pub gzipped: Bytes,
}

const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal $content_type:ident,)*) => {
        [$(($path, $content_type, include_bytes!(concat!("../page", $path)).as_slice())),*]
    };
}

/// The files by their paths.
#[derive(Debug)]
pub struct Page(HashMap<&'static str, Asset>);

/// Path, Content-Type and content of each.
const FILES: [(&str, &str, &[u8]); 19] = files![
    "/index.html" HTML,
    "/app.js" JS,
    "/data.js" JS,
    "/draw.js" JS,
    "/matrix.js" JS,
    "/charts.js" JS,
    "/parts.js" JS,
    "/screens.js" JS,
    "/node.js" JS,
    "/rollout.js" JS,
    "/plan.js" JS,
    "/time.js" JS,
    "/style.css" CSS,
    "/icon.svg" SVG,
    "/vendor/preact.js" JS,
    "/vendor/hooks.js" JS,
    "/vendor/htm.js" JS,
    "/vendor/signals-core.js" JS,
    "/vendor/signals.js" JS,
];

impl Page {
    /// Compresses all files.
    pub fn new() -> Page {
        let asset = |(path, content_type, plain): (&'static str, &'static str, &[u8])| {
            (path, Asset { content_type, gzipped: gzip(plain, Compression::best()) })
        };
        Page(FILES.into_iter().map(asset).collect())
    }

    /// The file of a path.
    pub fn get(&self, path: &str) -> Option<&Asset> {
        self.0.get(if path == "/" { "/index.html" } else { path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a browser loads for the page, compressed.
    const LIMIT_BYTES: usize = 100_000;

    #[test]
    fn the_page_with_all_its_parts_stays_below_100_kb() {
        let bytes: usize = Page::new().0.values().map(|asset| asset.gzipped.len()).sum();
        assert!(bytes < LIMIT_BYTES, "{bytes}");
    }

    #[test]
    fn nothing_of_the_page_comes_from_elsewhere_or_is_taken_for_markup() {
        let own = FILES.iter().filter(|(path, ..)| !path.starts_with("/vendor/") && *path != "/icon.svg");
        for (path, _, plain) in own {
            let text = String::from_utf8_lossy(plain);
            for word in [
                "http://",
                "https://",
                "innerHTML",
                "dangerouslySetInnerHTML",
                "eval(",
                "Function(",
                "<style",
                "onclick=",
            ] {
                assert!(!text.contains(word), "{path} has {word}");
            }
        }
    }
}
