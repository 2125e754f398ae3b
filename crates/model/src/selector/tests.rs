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
        let found: Vec<usize> = (0..5).filter(|&n| selector.selects_labels(&objects[n])).collect();
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
    assert!(selector.selects_labels(&json!({"a": "1", "b": "y"})));
    assert!(!selector.selects_labels(&json!({"a": "1", "b": "y", "c": ""})));
    assert!(!selector.selects_labels(&json!({"a": "1"})));
    assert!(LabelSelector::from_object(&json!({})).expect("a selector").selects_labels(&json!(null)));
    assert!(
        !LabelSelector::from_object(&json!(null)).expect("a selector").selects_labels(&json!({"a": "1"}))
    );
    let error = LabelSelector::from_object(&json!({"matchExpressions": [{"key": "a", "operator": "Like"}]}));
    assert_eq!(error, Err(SelectorError("\"Like\" is not a valid label selector operator".into())));
}

proptest! {
    #[test]
    fn a_printed_label_selector_reads_back(text in "[ab]{0,1}(=|!=| in \\([ab,]{1,4}\\)|>1|<2)?(,!?[cd])?") {
        if let Ok(selector @ LabelSelector::All(_)) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
        }
    }

    #[test]
    fn no_text_breaks_the_reader(text in "[a-c(),=!<>\\\\ iné]{0,20}") {
        let _ = LabelSelector::parse(&text);
    }
}
