use everynode_model::{Value, encode};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::json;
use crate::schema::{Type, type_named};

fn ty(name: &str) -> &'static Type {
    type_named(name).expect("a type of the schema")
}

/// Decodes and compares the text that the API would write.
fn check(name: &str, input: &str, expected: &str) {
    let decoded = decode(ty(name), input.as_bytes()).expect("decodes");
    assert_eq!(encode::to_text(&decoded.value), expected);
}

fn check_refused(name: &str, input: &str, expected: &str) {
    match decode(ty(name), input.as_bytes()) {
        Err(error) => assert_eq!(error.to_string(), expected, "{input}"),
        Ok(decoded) => panic!("{input} decoded to {}", decoded.value),
    }
}

#[test]
fn fields_take_the_order_of_their_type_and_empty_ones_go() {
    check(
        "core.v1.Container",
        r#"{"image":"i","name":"c","env":[],"tty":false,"command":null,"securityContext":{},"stdin":true}"#,
        r#"{"name":"c","image":"i","resources":{},"securityContext":{},"stdin":true}"#,
    );
    check("core.v1.ContainerPort", r#"{"protocol":"","hostPort":0}"#, r#"{"containerPort":0}"#);
    check(
        "meta.v1.ObjectMeta",
        r#"{"labels":{"b":"2","a":"1","c":null},"creationTimestamp":null,"annotations":{}}"#,
        r#"{"labels":{"a":"1","b":"2","c":""}}"#,
    );
    check(
        "core.v1.ConfigMapKeySelector",
        r#"{"optional":false,"key":"k"}"#,
        r#"{"key":"k","optional":false}"#,
    );
}

#[test]
fn structs_are_always_there_and_absent_times_are_null() {
    check(
        "core.v1.Event",
        r#"{"kind":"Event","metadata":{"name":"e"}}"#,
        concat!(
            r#"{"kind":"Event","metadata":{"name":"e"},"involvedObject":{},"source":{},"firstTimestamp":null,"#,
            r#""lastTimestamp":null,"eventTime":null,"reportingComponent":"","reportingInstance":""}"#
        ),
    );
    check("rbac.v1.ClusterRole", r#"{"rules":[]}"#, r#"{"metadata":{},"rules":null}"#);
}

#[test]
fn quantities_times_and_bytes_are_canonical() {
    check(
        "core.v1.ResourceRequirements",
        r#"{"limits":{"memory":"1024Mi","cpu":0.5},"requests":{"cpu":"1000m"}}"#,
        r#"{"limits":{"cpu":"500m","memory":"1Gi"},"requests":{"cpu":"1"}}"#,
    );
    check(
        "meta.v1.ObjectMeta",
        r#"{"creationTimestamp":"2026-01-02T03:04:05.6+01:00"}"#,
        r#"{"creationTimestamp":"2026-01-02T02:04:05Z"}"#,
    );
    check(
        "core.v1.Secret",
        r#"{"data":{"b":"YQ==","a":null}}"#,
        r#"{"metadata":{},"data":{"a":"","b":"YQ=="}}"#,
    );
}

#[test]
fn null_is_an_object_without_fields() {
    check("core.v1.ConfigMap", "null", r#"{"metadata":{}}"#);
    check("core.v1.ConfigMap", r#"{"metadata":null,"data":null}"#, r#"{"metadata":{}}"#);
}

#[test]
fn any_data_is_kept_as_it_came() {
    check(
        "apps.v1.ControllerRevision",
        r#"{"revision":1,"data":{"b":1, "a":{"f":1.50,"n":12345678901234567890},"e":null}}"#,
        r#"{"metadata":{},"data":{"b":1,"a":{"f":1.50,"n":12345678901234567890},"e":null},"revision":1}"#,
    );
}

#[test]
fn unknown_and_duplicate_fields_are_reported_with_their_paths() {
    let input = br#"{"metadata":{"name":"a","name":"b","labels":{"x":"1","x":"2"}},"extra":{"a":{"a":1}},
        "spec":{"template":{"spec":{"containers":[{"name":"c","imagee":"i"}],"Volumes":[]}}},"extra":2}"#;
    let decoded = decode(ty("apps.v1.DaemonSet"), input).expect("decodes");
    assert_eq!(
        decoded.problems,
        [
            r#"duplicate field "metadata.name""#,
            r#"duplicate field "metadata.labels.x""#,
            r#"unknown field "extra""#,
            r#"unknown field "spec.template.spec.containers[0].imagee""#,
            r#"unknown field "spec.template.spec.Volumes""#,
        ]
    );
    assert_eq!(decoded.value["metadata"]["labels"], json!({"x": "2"}));
}

#[test]
fn wrong_types_are_refused_in_the_words_of_the_api() {
    let set = "apps.v1.DaemonSet";
    check_refused(
        set,
        r#"{"spec":{"minReadySeconds":"ten"}}"#,
        "json: cannot unmarshal string into Go struct field DaemonSetSpec.spec.minReadySeconds of type int32",
    );
    check_refused(
        set,
        r#"{"spec":{"minReadySeconds":1.5}}"#,
        "json: cannot unmarshal number 1.5 into Go struct field DaemonSetSpec.spec.minReadySeconds of type int32",
    );
    check_refused(
        set,
        r#"{"spec":{"template":{"spec":{"containers":[{"name":1}]}}}}"#,
        "json: cannot unmarshal number into Go struct field \
         Container.spec.template.spec.containers.name of type string",
    );
    check_refused(
        set,
        r#"{"metadata":{"labels":{"a":true}}}"#,
        "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
    );
    check_refused(
        set,
        r#"{"spec":{"template":{"spec":{"containers":{}}}}}"#,
        "json: cannot unmarshal object into Go struct field \
         PodSpec.spec.template.spec.containers of type []v1.Container",
    );
    check_refused(
        set,
        r#"{"spec":{"template":{"spec":{"volumes":[{"configMap":{"name":5}}]}}}}"#,
        "json: cannot unmarshal number into Go struct field ConfigMapVolumeSource.spec.template.spec\
         .volumes.VolumeSource.configMap.LocalObjectReference.name of type string",
    );
    check_refused(
        set,
        r#"{"spec":{"template":{"spec":{"containers":[{"livenessProbe":{"tcpSocket":"a"}}]}}}}"#,
        "json: cannot unmarshal string into Go struct field Probe.spec.template.spec.containers\
         .livenessProbe.ProbeHandler.tcpSocket of type v1.TCPSocketAction",
    );
    check_refused("core.v1.Secret", r#"{"data":{"k":"%%"}}"#, "illegal base64 data at input byte 0");
    check_refused("core.v1.Secret", r#"{"data":{"k":"YWI"}}"#, "illegal base64 data at input byte 0");
}

#[test]
fn malformed_json_is_refused_before_anything_else() {
    for (input, expected) in [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        (r#"{"spec":{"minReadySeconds":"x"}"#, "unexpected end of JSON input"),
        (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
        (r#"{"a" 1}"#, "invalid character '1' after object key"),
        (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("tru", "unexpected end of JSON input"),
        ("trux", "invalid character 'x' in literal true (expecting 'e')"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ("\"a\nb\"", "invalid character '\\n' in string literal"),
        (r#""\x""#, "invalid character 'x' in string escape code"),
        (r#""\u12x4""#, "invalid character 'x' in \\u hexadecimal character escape"),
        ("'a'", "invalid character '\\'' looking for beginning of value"),
    ] {
        check_refused("apps.v1.DaemonSet", input, expected);
        assert_eq!(json::parse(input.as_bytes()).expect_err("malformed").to_string(), expected);
    }
}

#[test]
fn strings_are_unescaped_and_broken_text_is_replaced() {
    let input = b"{\"name\":\"\\u00e9\\ud83d\\ude00\\ud800x\\n\\/\xff\"}";
    let decoded = decode(ty("meta.v1.ObjectMeta"), input).expect("decodes");
    assert_eq!(decoded.value["name"], "é😀\u{fffd}x\n/\u{fffd}");
}

#[test]
fn deep_nesting_is_refused_before_it_exhausts_the_stack() {
    let deep = "[".repeat(100_000);
    check_refused("apps.v1.ControllerRevision", &format!("{{\"data\":{deep}"), "exceeded max depth");
    check_refused("apps.v1.ControllerRevision", &format!("{{\"none\":{deep}"), "exceeded max depth");
}

fn body(group: &'static str, kind: &'static str, name: &str) -> Body<'static> {
    Body { group, version: "v1", kind, ty: ty(name) }
}

#[test]
fn a_body_states_the_kind_that_the_path_asks_for() {
    let set = body("apps", "DaemonSet", "apps.v1.DaemonSet");
    let message = |text: &str| decode_body(&set, text.as_bytes(), false).map_err(|status| status.message);
    let decoded = message(r#"{"metadata":{"name":"a"}}"#).expect("kind and apiVersion may be left out");
    assert!(
        encode::to_text(&decoded.value)
            .starts_with(r#"{"kind":"DaemonSet","apiVersion":"apps/v1","metadata""#)
    );
    assert_eq!(
        message(r#"{"apiVersion":"apps/v1","kind":"Nothing"}"#).expect_err("unknown"),
        "Nothing in version \"v1\" cannot be handled as a DaemonSet: no kind \"Nothing\" is registered for \
         version \"apps/v1\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
    );
}

#[test]
fn a_yaml_body_is_read_by_yaml_1_1_and_keys_that_stand_twice_are_a_problem() {
    let map = body("", "ConfigMap", "core.v1.ConfigMap");
    let text = b"metadata:\n  name: a\n  name: b\ndata: {k: 'on'}\nextra: 0640\n";
    let decoded = decode_body(&map, text, true).expect("decodes");
    assert_eq!(decoded.value["data"], json!({"k": "on"}));
    assert_eq!(
        decoded.problems,
        ["yaml: unmarshal errors:\n  line 3: key \"name\" already set in map", "unknown field \"extra\""]
    );
    assert!(map.strict(decoded).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from),
        Just(Value::from("100m")),
    ];
    let names = prop_oneof![
        Just("metadata"),
        Just("spec"),
        Just("template"),
        Just("containers"),
        Just("name"),
        Just("labels"),
        Just("image"),
        Just("resources"),
        Just("limits"),
        Just("selector"),
        Just("tolerations"),
        Just("data"),
    ];
    leaf.prop_recursive(6, 64, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..4).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(k, v)| (k.to_string(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_break_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(ty("core.v1.Pod"), &bytes);
        let _ = json::parse(&bytes);
    }

    #[test]
    fn no_text_of_json_marks_breaks_the_decoder(text in "[{}\\[\\]\",:a-f0-9\\\\tnu. -]{0,60}") {
        let _ = decode(ty("core.v1.Pod"), text.as_bytes());
    }

    #[test]
    fn a_normal_value_is_its_own_normal_form(value in any_json()) {
        if let Ok(once) = normalize(ty("apps.v1.DaemonSet"), &value) {
            let twice = normalize(ty("apps.v1.DaemonSet"), &once).expect("a normal value decodes");
            prop_assert_eq!(encode::to_text(&once), encode::to_text(&twice));
        }
    }
}
