use proptest::prelude::*;
use serde_json::json;

use super::*;

fn labels(text: &str) -> LabelSelector {
    LabelSelector::parse(text).expect("a selector")
}

#[test]
fn label_selectors_select_as_recorded() {
    let objects: Vec<_> = (0..5)
        .map(|n| {
            let mut labels = json!({"n": n.to_string(), "parity": if n % 2 == 0 { "even" } else { "odd" }});
            if n == 4 {
                labels["extra"] = "yes".into();
            }
            labels
        })
        .collect();
    let check = |text: &str, expected: &[usize]| {
        let selector = labels(text);
        let found: Vec<usize> = (0..5).filter(|&n| selector.matches_labels(&objects[n])).collect();
        assert_eq!(found, expected, "{text}");
    };
    check("", &[0, 1, 2, 3, 4]);
    check("parity=even", &[0, 2, 4]);
    check("parity==odd", &[1, 3]);
    check("parity!=even", &[1, 3]);
    check("n in (1,2)", &[1, 2]);
    check("n notin (1,2)", &[0, 3, 4]);
    check("extra", &[4]);
    check("!extra", &[0, 1, 2, 3]);
    check("parity=even,n!=0", &[2, 4]);
    check("n>2", &[3, 4]);
    check("n<1", &[0]);
    check("parity=", &[]);
    check("n in ()", &[]);
    check("in in (in), notin", &[]);
    check("none notin (,)", &[0, 1, 2, 3, 4]);
}

#[test]
fn what_is_no_label_selector_is_refused_in_the_words_of_the_api() {
    let check = |text: &str, expected: &str| {
        assert_eq!(LabelSelector::parse(text).map_err(|error| error.0), Err(expected.into()), "{text}");
    };
    check("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
    check("=x", "found '=', expected: !, identifier, or 'end of string'");
    check("a,,b", "found ',', expected: identifier after ','");
    check("a,", "found '', expected: identifier after ','");
    check("a in b", "unable to parse requirement: found 'b' expected: '('");
    check("a=b c", "found 'c', expected: ',' or 'end of string'");
    check(
        "a>b",
        "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value \
         must be an integer",
    );
}

#[test]
fn selector_objects_select_and_null_selects_nothing() {
    let selector = LabelSelector::from_object(&json!({
        "matchLabels": {"a": "1"},
        "matchExpressions": [{"key": "b", "operator": "In", "values": ["x", "y"]}, {"key": "c", "operator": "DoesNotExist"}],
    }))
    .expect("a selector");
    assert!(selector.matches_labels(&json!({"a": "1", "b": "y"})));
    assert!(!selector.matches_labels(&json!({"a": "1", "b": "y", "c": ""})));
    assert!(!selector.matches_labels(&json!({"a": "1"})));
    assert!(LabelSelector::from_object(&json!({})).expect("a selector").matches_labels(&json!(null)));
    assert!(
        !LabelSelector::from_object(&json!(null)).expect("a selector").matches_labels(&json!({"a": "1"}))
    );
    let error = LabelSelector::from_object(&json!({"matchExpressions": [{"key": "a", "operator": "Like"}]}));
    assert_eq!(error, Err(SelectorError("\"Like\" is not a valid label selector operator".into())));
}

#[test]
fn field_selectors_compare_fields_as_text() {
    let node = json!({"metadata": {"name": "n1"}, "spec": {"unschedulable": true}});
    let check = |text: &str, expected: bool| {
        assert_eq!(FieldSelector::parse(text).expect("a selector").matches(&node), expected, "{text}");
    };
    check("metadata.name=n1", true);
    check("metadata.name==n1,spec.unschedulable=true", true);
    check("metadata.name!=n1", false);
    check("spec.none=", true);
    check("spec.none!=x", true);
    let absent = json!({"metadata": {}});
    assert!(FieldSelector::parse("spec.unschedulable=false").expect("a selector").matches(&absent));
    let event = json!({"source": {"component": "kubelet"}});
    assert!(FieldSelector::parse("source=kubelet").expect("a selector").matches(&event));
    assert_eq!(
        FieldSelector::parse("a=b,spec.nodeName=x").expect("a selector").exact("spec.nodeName"),
        Some("x")
    );
}

#[test]
fn what_is_no_field_selector_is_refused_in_the_words_of_the_api() {
    let check = |text: &str, expected: &str| {
        assert_eq!(FieldSelector::parse(text).map_err(|error| error.0), Err(expected.into()), "{text}");
    };
    check("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'");
    check("a=b=c", "invalid field selector: unescaped character in value: 61");
    check("a=b\\c", "invalid field selector: invalid escape sequence: \\c");
    check("a=b\\", "invalid field selector: invalid escape sequence: \\");
    let refusal = |text: &str, known: &[&str]| {
        FieldSelector::parse(text).expect("a selector").check_fields(known).expect_err("refused").message
    };
    assert_eq!(
        refusal("data.k=1", &[]),
        "\"data.k\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
    );
    assert_eq!(refusal("spec.color=red", &["spec.nodeName"]), "field label not supported: spec.color");
}

proptest! {
    #[test]
    fn a_printed_label_selector_reads_back(text in "[ab]{0,1}(=|!=| in \\([ab,]{1,4}\\)|>1|<2)?(,!?[cd])?") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
        }
    }

    #[test]
    fn a_printed_field_selector_reads_back(field in "[a-z.]{1,8}", value in "[a-z,=\\\\]{0,8}", equals: bool) {
        let operator = if equals { "=" } else { "!=" };
        let escaped = value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
        let selector = FieldSelector::parse(&format!("{field}{operator}{escaped}")).expect("a selector");
        prop_assert_eq!(&selector.terms()[0].value, &value);
        prop_assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
    }

    #[test]
    fn no_text_breaks_the_readers(text in "[a-c(),=!<>\\\\ iné]{0,20}") {
        let _ = LabelSelector::parse(&text);
        let _ = FieldSelector::parse(&text);
    }
}
