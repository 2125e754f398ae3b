//! Replays the exchanges that were recorded from a real Kubernetes API server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod support;

use std::collections::HashMap;

use everynode_apiserver::Config;
use everynode_model::Value;
use everynode_testkit::shared;
use support::{Answer, Client, start};

/// How many rows were equal when this was last looked at; fewer is a mistake.
const EQUAL: usize = 285;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_exchanges_replay_equal() {
    let Some(path) = shared("golden/exchanges.json") else { return };
    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let (server, client) = start(Config { service_account_admission: false, ..Config::default() }).await;
    let mut saved = HashMap::new();
    let mut unequal = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        if let Err(difference) = replay(&client, row, &mut saved).await {
            unequal.push(format!("{number} {} | {}: {difference}", text(row, "topic"), text(row, "name")));
        }
    }
    server.shutdown().await;
    for line in &unequal {
        println!("unequal: {line}");
    }
    let equal = rows.len() - unequal.len();
    println!("{equal} of {} recorded exchanges replay equal", rows.len());
    assert!(equal >= EQUAL, "{equal} rows are equal, {EQUAL} were");
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row.get(field).and_then(Value::as_str).unwrap_or("")
}

async fn replay(client: &Client, row: &Value, saved: &mut HashMap<String, String>) -> Result<(), String> {
    // The recorded watches waited longer than is needed here.
    let path = fill(text(row, "path"), saved).replace("timeoutSeconds=2", "timeoutSeconds=1");
    let body = match &row["body"] {
        Value::Null => String::new(),
        Value::String(text) if row["body_is_text"] == true => text.clone(),
        body => body.to_string(),
    };
    let body = fill(&body, saved);
    let mut headers = Vec::new();
    for (header, field) in [("Content-Type", "content_type"), ("Accept", "accept")] {
        if !text(row, field).is_empty() {
            headers.push((header, text(row, field)));
        }
    }
    let answer = client.request(text(row, "method"), &path, &headers, body).await;
    save(row, &answer, saved);
    compare(row, &answer)
}

fn fill(text: &str, saved: &HashMap<String, String>) -> String {
    saved.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
}

fn save(row: &Value, answer: &Answer, saved: &mut HashMap<String, String>) {
    let Some(wanted) = row["save"].as_object() else { return };
    let Ok(body) = serde_json::from_slice::<Value>(&answer.bytes) else { return };
    for (name, pointer) in wanted {
        if let Some(value) = body.pointer(pointer.as_str().unwrap_or("")).and_then(Value::as_str) {
            saved.insert(name.clone(), value.to_owned());
        }
    }
}

fn compare(row: &Value, answer: &Answer) -> Result<(), String> {
    let expected = row["status"].as_u64().unwrap_or(0);
    let status = u64::from(answer.status.as_u16());
    if expected != status {
        return Err(format!("status {status} for {expected}: {}", head(&answer.text())));
    }
    if let Some(headers) = row["response_headers"].as_object() {
        for (name, value) in headers {
            let found = answer.headers.get(name).and_then(|v| v.to_str().ok());
            if found != value.as_str() {
                return Err(format!("header {name} is {found:?} for {value}"));
            }
        }
    }
    if let Some(expected) = row["response_text"].as_str() {
        let (ours, theirs) = (level_text(&answer.text()), level_text(expected));
        return if ours == theirs {
            Ok(())
        } else {
            Err(format!("text {} for {}", head(&ours), head(&theirs)))
        };
    }
    if let Some(events) = row["events"].as_array() {
        let ours: Vec<Value> =
            answer.text().lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect();
        return equal("events", &Value::Array(events.clone()), &Value::Array(ours));
    }
    let body: Value = serde_json::from_slice(&answer.bytes).map_err(|error| error.to_string())?;
    if row.get("names").is_some() {
        let items = body["items"].as_array().cloned().unwrap_or_default();
        let names = items.iter().map(|item| item["metadata"]["name"].clone()).collect();
        equal("names", &row["names"], &names)?;
        return equal("metadata", &row["response_metadata"], &body["metadata"]);
    }
    equal("", &row["response"], &body)
}

fn head(text: &str) -> String {
    text.chars().take(600).collect()
}

/// Compares two values; the error names the first difference.
fn equal(path: &str, theirs: &Value, ours: &Value) -> Result<(), String> {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let skip = |key: &str| key == "managedFields";
            for (key, value) in a.iter().filter(|(key, _)| !skip(key)) {
                match b.get(key) {
                    Some(found) if is_blank(value) && !found.is_null() => {}
                    Some(found) => equal(&format!("{path}.{key}"), value, found)?,
                    None => {
                        return Err(format!(
                            "{path}.{key} is missing, should be {}",
                            head(&value.to_string())
                        ));
                    }
                }
            }
            match b.iter().find(|(key, _)| !skip(key) && !a.contains_key(*key)) {
                Some((key, value)) => {
                    Err(format!("{path}.{key} should not be there: {}", head(&value.to_string())))
                }
                None => Ok(()),
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for (index, (x, y)) in a.iter().zip(b).enumerate() {
                equal(&format!("{path}[{index}]"), x, y)?;
            }
            if a.len() == b.len() {
                Ok(())
            } else {
                Err(format!("{path} has {} items for {}", b.len(), a.len()))
            }
        }
        (Value::String(a), Value::String(b)) if level(a) == level(b) => Ok(()),
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => Ok(()),
        (a, b) if a == b => Ok(()),
        (a, b) => Err(format!("{path} is {} for {}", head(&b.to_string()), head(&a.to_string()))),
    }
}

/// `<uid>` and its like: what differs from run to run.
fn is_blank(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        text.starts_with('<') && text.ends_with('>') && text != "<none>" && text != "<unknown>"
    })
}

/// A text with everything that differs from run to run made the same.
fn level(text: &str) -> String {
    let words: Vec<String> = text.split(' ').map(level_word).collect();
    words.join(" ")
}

fn level_word(word: &str) -> String {
    let core = word.trim_end_matches([',', '.', ';']);
    let inner = core.trim_matches(['(', ')']);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_uid = inner.len() == 36 && inner.bytes().filter(|&b| b == b'-').count() == 4;
    let is_time = core.len() == 20 && core.ends_with('Z') && core.as_bytes()[10] == b'T';
    let is_age = is_age(core);
    let is_address =
        core.rsplit_once(':').is_some_and(|(ip, port)| digits(port) && ip.split('.').count() == 4);
    let is_generated =
        ["g-", "gen-"].iter().any(|base| core.strip_prefix(base).is_some_and(|s| s.len() == 5));
    if is_uid || is_time || is_age || is_address || is_generated || digits(inner) && inner.len() > 1 {
        return word.replace(inner, "*");
    }
    word.to_owned()
}

/// `5s`, `3m10s`, `326d`: it grows from day to day.
fn is_age(text: &str) -> bool {
    let mut parts = text.split_inclusive(['s', 'm', 'h', 'd', 'y']);
    !text.is_empty()
        && parts.all(|part| {
            let digits = part.strip_suffix(['s', 'm', 'h', 'd', 'y']).unwrap_or("");
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
        })
}

/// An object as text, without who manages its fields: the recording has that taken out.
fn without_managers(text: &str) -> String {
    const FIELD: &str = ",\"managedFields\":";
    let Some((before, rest)) = text.split_once(FIELD) else { return text.to_owned() };
    let mut depth = 0;
    let end = rest.char_indices().find(|(_, c)| {
        depth += i32::from(*c == '[') - i32::from(*c == ']');
        depth == 0
    });
    let end = end.map_or(rest.len(), |(at, _)| at + 1);
    format!("{before}{}", &rest[end..])
}

/// The same for a whole body as text.
fn level_text(text: &str) -> String {
    let mut out = without_managers(text);
    for field in ["uid", "resourceVersion", "creationTimestamp"] {
        let start = format!("\"{field}\":\"");
        if let Some(at) = out.find(&start) {
            let from = at + start.len();
            if let Some(len) = out[from..].find('"') {
                out.replace_range(from..from + len, "*");
            }
        }
    }
    out
}
