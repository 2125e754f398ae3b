use super::*;
use crate::record::Node;

fn header(format: u32) -> Header {
    Header { format, taken_at: 1_700_000_000, salt: "s".into(), writer: "everynode test".into() }
}

fn file(format: u32, nodes: usize) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), header(format)).unwrap();
    for index in 0..nodes {
        writer.write(&Record::Node(Node { name: format!("n{index}").into(), ..Node::default() })).unwrap();
    }
    writer.finish(vec![Unseen::all("resourcequotas", "forbidden")]).unwrap().0
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn unzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

fn outcome(bytes: &[u8]) -> Result<(usize, Vec<Unseen>), String> {
    let mut count = 0;
    read(bytes, |_| {}, |_| count += 1).map(|unseen| (count, unseen)).map_err(|error| error.to_string())
}

fn check(bytes: &[u8], expected: &str) {
    let error = outcome(bytes).expect_err("the file is refused");
    assert!(error.contains(expected), "{error:?} does not tell {expected:?}");
}

#[test]
fn what_is_written_is_read() {
    let (count, unseen) = outcome(&file(VERSION, 3)).unwrap();
    assert_eq!((count, unseen[0].resource.as_str()), (3, "resourcequotas"));
    assert_eq!(outcome(&file(1, 3)).map(|(count, _)| count), Ok(3), "files of the first format are read");
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let whole = file(VERSION, 50);
    for length in 0..whole.len() {
        let error = outcome(&whole[..length]).expect_err("the file is refused");
        let known = ["cut off", "is empty", "is damaged", "first line"];
        assert!(known.iter().any(|text| error.contains(text)), "{length}: {error}");
    }
    check(&whole[..whole.len() / 2], "cut off");
}

#[test]
fn files_that_are_not_ours_newer_or_changed_are_told_apart() {
    check(b"kind: DaemonSet\nmetadata: {}\nspec: {}\nmore: text\n", "no snapshot: it is not compressed");
    check(&gzip("{\"kind\":\"List\"}\n"), "no snapshot: its first line");
    check(&gzip("text\n"), "no snapshot: its first line");
    check(b"", "no snapshot: it is empty");
    check(&file(VERSION + 1, 1), "format 5, written by everynode test");
    check(&gzip("{\"everynodeSnapshot\":{\"format\":9,\"other\":1}}\n"), "format 9, written by another");
    let text = unzip(&file(VERSION, 2));
    check(&gzip(&text.replace("n1", "n7")), "checksum");
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("n1")).collect();
    check(&gzip(&(lines.join("\n") + "\n")), "should hold 2 records and holds 1");
    check(&gzip(&text.replace("{\"node\"", "{\"nude\"")), "record 1 cannot be read");
}

#[test]
fn records_of_other_versions_of_the_program_are_read() {
    let check = |line: &str, expected: (&str, bool)| {
        let record: Record = serde_json::from_str(line).expect("a record");
        let Record::Pod(pod) = record else { panic!("{record:?}") };
        assert_eq!((pod.waiting.as_str(), pod.detail.is_some()), expected);
    };
    let older = r#"{"pod":{"namespace":"n","name":"p","uid":"u","labels":{},"phase":"Running","created":1,"waiting":"x"}}"#;
    check(older, ("x", false));
    let later =
        r#"{"pod":{"namespace":"n","name":"p","detail":{"containers":[{"name":"c","later":1}]},"later":{}}}"#;
    check(later, ("", true));
}

#[test]
fn what_unpacks_to_more_than_any_cluster_fills_is_refused() {
    let whole = file(VERSION, 50);
    let read = |limit| read_within(limit, &whole[..], |_| {}, |_| {});
    assert!(matches!(read(1_000), Err(FileError::TooLarge)));
    assert!(read(100_000).is_ok());
}

#[test]
fn a_whole_file_of_what_no_cluster_holds_is_refused() {
    let node = Node { name: "n".into(), ready_since: Some(i64::MAX), ..Node::default() };
    let mut writer = Writer::new(Vec::new(), header(VERSION)).unwrap();
    writer.write(&Record::Node(node)).unwrap();
    check(&writer.finish(Vec::new()).unwrap().0, "its record 1: it has a time that no calendar has");
    let header = Header { taken_at: i64::MAX, ..header(VERSION) };
    check(&Writer::new(Vec::new(), header).unwrap().finish(Vec::new()).unwrap().0, "no calendar has");
}
