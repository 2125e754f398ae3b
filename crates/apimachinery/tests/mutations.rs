//! Real inputs, changed at random: no reader panics, none takes long.
//!
//! `EVERYNODE_MUTATIONS` sets how many inputs each reader gets (default 1,500), `EVERYNODE_SEED` the first seed. The
//! same readers are the targets of coverage-guided fuzzing in `fuzz/`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panic, and says how many inputs there were"
)]

mod bytes;

use everynode_testkit::{number, set_number, shared};
use std::time::{Duration, Instant};

/// Far more than any reader needs for an input of some kilobytes, on a busy machine too.
const LIMIT: Duration = Duration::from_secs(10);

const POD: &str = r#"{"type":"MODIFIED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"n","uid":"0f8fad5b-d9cb-469f-a165-70867728950e","resourceVersion":"12","creationTimestamp":"2026-01-02T03:04:05Z","labels":{"a":"\u0031"},"ownerReferences":[{"kind":"DaemonSet","uid":"u","controller":true}]},"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}]}}},"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":"1500m","memory":"1Gi"}}}]},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-02T03:04:06Z"}]}}}"#;
const MANIFEST: &str = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: a, labels: &l {a: b}}\nspec:\n  selector: {matchLabels: *l}\n  template:\n    metadata:\n      labels:\n        <<: *l\n    spec:\n      containers:\n      - name: c\n        image: 'i'\n        args: [\"--x\", !!str 0640, ~, 0x1F, 1e3]\n        resources: {limits: {cpu: 0.5, memory: 1Gi}}\n---\n# more\nkind: List\nitems:\n- |\n  text\n";
const PATCH: &str = r#"{"metadata":{"labels":{"a":null,"$patch":"merge"}},"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"c"},{"name":"d"}],"containers":[{"name":"c","image":"j","ports":[{"containerPort":1,"$patch":"delete"}]},{"name":"d","$patch":"replace"}],"$retainKeys":["containers"],"$deleteFromPrimitiveList/x":[1],"tolerations":null}}}}"#;
const OPERATIONS: &str = r#"[{"op":"test","path":"/metadata/labels/a","value":"b"},{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"j"},{"op":"copy","from":"/metadata","path":"/x"},{"op":"move","from":"/x","path":"/spec/~0y~1"},{"op":"remove","path":"/spec/template/spec/volumes/-"}]"#;
const REFUSAL: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"m","reason":"Invalid","details":{"name":"x","causes":[{"reason":"FieldValueInvalid","message":"m","field":"metadata.uid"}],"retryAfterSeconds":1},"code":422}"#;
const CONFIG: &str = r#"{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"a","labels":{"c":"d"},"finalizers":["x/z"]},"spec":{"template":{"spec":{"containers":[{"name":"c","image":"j","ports":[{"containerPort":2}],"env":[{"name":"B"}]},{"name":"d","resources":{"limits":{"cpu":1}}}],"tolerations":null,"nodeSelector":{}}}}}"#;
const MANAGERS: &str = r#"[{"manager":"m","operation":"Update","apiVersion":"apps/v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{}}}}}},"f:metadata":{"f:finalizers":{"v:\"x/y\"":{},"i:1":{}}}},"subresource":"status"},{"manager":"a","operation":"Apply","apiVersion":"v9","fieldsType":"FieldsV1"}]"#;
const SMALL: &[&str] = &[
    "a=b,c!=d,e in (f,g),!h,i notin (j),k>1,l<2",
    "metadata.name=a,status.phase!=Running,spec.nodeName=x\\,y",
    r#"{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"c","operator":"NotIn","values":["d"]}]}"#,
    "1500m",
    "-12.345e-6",
    "9223372036854775807Ei",
    "2026-01-02T03:04:05.123456Z",
    "9999-12-31T23:59:59+23:59",
];

/// Bytes that mean something to one of the formats.
const WORDS: &[&str] = &[
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "\\u0000",
    "\\ud800",
    "-1",
    "1e999",
    "18446744073709551616",
    "0x",
    "~",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "---\n",
    "|\n",
    "\t",
    "{\"a\":",
    "[[[[",
    "$patch",
    "\u{2028}",
    "Ki",
    "e9",
    ",",
    "(",
];

fn corpus() -> Vec<Vec<u8>> {
    let fixed = [POD, MANIFEST, PATCH, CONFIG, MANAGERS, OPERATIONS, REFUSAL]
        .into_iter()
        .chain(SMALL.iter().copied());
    let mut corpus: Vec<Vec<u8>> = fixed.map(|text| text.as_bytes().to_vec()).collect();
    // The object of the event alone is a body.
    corpus.push(POD.as_bytes()[27..POD.len() - 1].to_vec());
    let recorded = shared("manifests").map(|manifests| std::fs::read_dir(manifests).unwrap());
    for entry in recorded.into_iter().flatten().flatten().take(20) {
        let mut text = std::fs::read(entry.path()).unwrap_or_default();
        text.truncate(8_000);
        corpus.push(text);
    }
    corpus
}

/// Changes bytes here and there, takes parts out, doubles them, or puts those of another input in.
fn mutate(random: &mut fastrand::Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = corpus[random.usize(0..corpus.len())].clone();
    for _ in 0..random.usize(1..8) {
        let at = random.usize(0..=input.len());
        let end = (at + random.usize(0..40)).min(input.len());
        match random.u32(0..6) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..end)),
            2 => input.splice(at..at, input[at..end].to_vec()).for_each(drop),
            3 => input.splice(at..end, WORDS[random.usize(0..WORDS.len())].bytes()).for_each(drop),
            4 => {
                let other = &corpus[random.usize(0..corpus.len())];
                let from = random.usize(0..=other.len());
                let part = &other[from..(from + random.usize(0..200)).min(other.len())];
                input.splice(at..end, part.iter().copied()).for_each(drop);
            }
            _ => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.u8(..)),
        }
    }
    input
}

#[test]
fn changed_inputs_break_no_reader() {
    let first: u64 = set_number("EVERYNODE_SEED").unwrap_or_else(|| fastrand::u64(0..1 << 40));
    let count: u64 = number("EVERYNODE_MUTATIONS", 1_500);
    println!("EVERYNODE_SEED={first}");
    let corpus = corpus();
    for (name, read) in bytes::TARGETS {
        corpus.iter().for_each(|input| read(input));
        let start = Instant::now();
        for seed in first..first + count {
            let input = mutate(&mut fastrand::Rng::with_seed(seed), &corpus);
            let before = Instant::now();
            if std::panic::catch_unwind(|| read(&input)).is_err() || before.elapsed() > LIMIT {
                panic!(
                    "{name} with EVERYNODE_SEED={seed} after {:?}: {:?}",
                    before.elapsed(),
                    String::from_utf8_lossy(&input)
                );
            }
        }
        println!("{name}: {count} inputs in {:?}", start.elapsed());
    }
}
