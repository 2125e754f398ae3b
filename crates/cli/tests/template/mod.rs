//! The part of Helm's template language that the chart uses, so that tests need no Helm.

use serde_json::{Value, json};

/// One piece of a template.
enum Node {
    Text(String),
    Output(String),
    Block { keyword: String, condition: String, body: Vec<Node>, otherwise: Vec<Node> },
}

/// Renders a template with `data` as its dot.
pub fn render(template: &str, data: &Value) -> String {
    let mut tokens = tokens(template).into_iter();
    let (nodes, end) = nodes(&mut tokens);
    assert_eq!(end, None, "an end without a beginning");
    let mut out = String::new();
    write(&nodes, data, data, &mut out);
    out
}

/// Texts and actions in turn, the white space taken off that actions trim.
fn tokens(template: &str) -> Vec<(bool, String)> {
    let mut all = Vec::new();
    let mut rest = template;
    let mut trim_start = false;
    while let Some((text, behind)) = rest.split_once("{{") {
        let (action, behind) = behind.split_once("}}").expect("an action has an end");
        let text = if trim_start { text.trim_start() } else { text };
        let text = if action.starts_with('-') { text.trim_end() } else { text };
        all.push((false, text.to_owned()));
        trim_start = action.ends_with('-');
        all.push((true, action.trim_matches('-').trim().to_owned()));
        rest = behind;
    }
    all.push((false, if trim_start { rest.trim_start() } else { rest }.to_owned()));
    all
}

/// What comes up to `end` or `else`, and which of them it is.
fn nodes(tokens: &mut impl Iterator<Item = (bool, String)>) -> (Vec<Node>, Option<String>) {
    let mut all = Vec::new();
    while let Some((is_action, text)) = tokens.next() {
        if !is_action {
            all.push(Node::Text(text));
            continue;
        }
        match text.split_once(' ') {
            None if text == "end" || text == "else" => return (all, Some(text)),
            Some((keyword @ ("if" | "with" | "range"), condition)) => {
                let (keyword, condition) = (keyword.to_owned(), condition.to_owned());
                let (body, end) = nodes(tokens);
                let is_over = end.expect("a block has an end") == "end";
                let otherwise = if is_over { Vec::new() } else { nodes(tokens).0 };
                all.push(Node::Block { keyword, condition, body, otherwise });
            }
            _ => all.push(Node::Output(text)),
        }
    }
    (all, None)
}

fn write(nodes: &[Node], root: &Value, dot: &Value, out: &mut String) {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Output(expression) => out.push_str(&text_of(&evaluate(expression, root, dot))),
            Node::Block { keyword, condition, body, otherwise } => {
                let value = evaluate(condition, root, dot);
                match keyword.as_str() {
                    "range" => {
                        value.as_array().into_iter().flatten().for_each(|item| write(body, root, item, out));
                    }
                    _ if !truth(&value) => write(otherwise, root, dot, out),
                    "with" => write(body, root, &value, out),
                    _ => write(body, root, dot, out),
                }
            }
        }
    }
}

/// A pipeline of paths and functions.
fn evaluate(expression: &str, root: &Value, dot: &Value) -> Value {
    let mut stages = expression.split('|').map(str::trim);
    let first: Vec<&str> = stages.next().unwrap_or_default().split_whitespace().collect();
    let mut value = match first.as_slice() {
        ["toYaml", path] => json!(yaml(&look_up(path, root, dot))),
        ["eq", path, text] => json!(look_up(path, root, dot) == text.trim_matches('"')),
        [path] => look_up(path, root, dot),
        other => panic!("not known here: {other:?}"),
    };
    for stage in stages {
        let stage: Vec<&str> = stage.split_whitespace().collect();
        value = match stage.as_slice() {
            ["nindent", width] => {
                let start = format!("\n{}", " ".repeat(width.parse().unwrap()));
                json!(format!("{start}{}", text_of(&value).replace('\n', &start)))
            }
            ["quote"] => json!(Value::String(text_of(&value)).to_string()),
            ["default", path] if !truth(&value) => look_up(path, root, dot),
            ["default", _] => value,
            other => panic!("not known here: {other:?}"),
        };
    }
    value
}

fn look_up(path: &str, root: &Value, dot: &Value) -> Value {
    if path == "." {
        return dot.clone();
    }
    let path = path.strip_prefix('.').unwrap_or_else(|| panic!("not a path: {path}"));
    path.split('.').fold(root.clone(), |value, field| {
        value.get(field).cloned().unwrap_or_else(|| panic!("no value {path}"))
    })
}

/// The fields of an object line by line, and their values as JSON, which is YAML.
fn yaml(value: &Value) -> String {
    let Some(fields) = value.as_object() else { return value.to_string() };
    let lines: Vec<String> = fields.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    lines.join("\n")
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
