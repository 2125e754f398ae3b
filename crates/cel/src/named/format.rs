//! Formats of texts that have names.

use base64::Engine as _;
use everynode_model::{names, time};

use super::url::Url;

/// A format.
#[derive(Debug)]
pub struct Format {
    name: &'static str,
    /// The length of the pattern by which costs are counted.
    pub pattern_size: u64,
    mistakes: fn(&str) -> Vec<String>,
}

impl PartialEq for Format {
    fn eq(&self, other: &Format) -> bool {
        self.name == other.name
    }
}

const FORMATS: &[Format] = &[
    Format { name: "dns1123Label", pattern_size: 30, mistakes: |text| told(names::dns_label(text)) },
    Format { name: "dns1123Subdomain", pattern_size: 60, mistakes: |text| told(names::dns_subdomain(text)) },
    Format { name: "dns1035Label", pattern_size: 30, mistakes: |text| told(names::dns_1035_label(text)) },
    Format { name: "qualifiedName", pattern_size: 60, mistakes: |text| told(names::qualified_name(text)) },
    Format {
        name: "dns1123LabelPrefix",
        pattern_size: 30,
        mistakes: |text| told(names::dns_label(&completed(text))),
    },
    Format {
        name: "dns1123SubdomainPrefix",
        pattern_size: 60,
        mistakes: |text| told(names::dns_subdomain(&completed(text))),
    },
    Format {
        name: "dns1035LabelPrefix",
        pattern_size: 30,
        mistakes: |text| told(names::dns_1035_label(&completed(text))),
    },
    Format { name: "labelValue", pattern_size: 40, mistakes: |text| told(names::label_value(text)) },
    Format {
        name: "uri",
        pattern_size: 1_103,
        mistakes: |text| Url::parse(text).err().into_iter().collect(),
    },
    Format {
        name: "uuid",
        pattern_size: 64,
        mistakes: |text| unless(is_uuid(text), "does not match the UUID format"),
    },
    Format {
        name: "byte",
        pattern_size: 84,
        mistakes: |text| {
            let read = base64::engine::general_purpose::STANDARD.decode(text);
            unless(read.is_ok() && !text.is_empty(), "invalid base64")
        },
    },
    Format {
        name: "date",
        pattern_size: 68,
        mistakes: |text| {
            let is_date = text.len() == 10 && time::parse(&format!("{text}T00:00:00Z")).is_ok();
            unless(is_date, "invalid date")
        },
    },
    Format {
        name: "datetime",
        pattern_size: 68,
        mistakes: |text| unless(time::parse(&text.to_uppercase()).is_ok(), "invalid datetime"),
    },
];

fn told<T: Into<String>>(messages: impl IntoIterator<Item = T>) -> Vec<String> {
    messages.into_iter().map(Into::into).collect()
}

fn unless(is_fine: bool, why: &str) -> Vec<String> {
    if is_fine { Vec::new() } else { vec![why.to_owned()] }
}

/// What the beginning of a name becomes: it may end with a dash.
fn completed(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(before) if text.len() > 1 => format!("{before}a"),
        _ => text.to_owned(),
    }
}

fn is_uuid(text: &str) -> bool {
    let plain: Vec<char> = text.chars().filter(|c| *c != '-').collect();
    plain.len() == 32 && plain.iter().all(char::is_ascii_hexdigit)
}

impl Format {
    /// The format of that name.
    pub fn named(name: &str) -> Option<&'static Format> {
        FORMATS.iter().find(|format| format.name == name)
    }

    /// What is wrong with a text.
    pub fn mistakes(&self, text: &str) -> Vec<String> {
        (self.mistakes)(text)
    }
}
