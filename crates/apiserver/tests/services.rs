//! Addresses, node ports and types of services.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod support;

use everynode_apiserver::Config;
use support::start;

const SERVICES: &str = "/api/v1/namespaces/default/services";

#[tokio::test]
async fn services_get_addresses_of_their_own_and_keep_them() {
    let (server, client) = start(Config::default()).await;
    let make = async |name: &str, spec: &str| {
        let answer =
            client.post(SERVICES, &format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{spec}}}"#)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["spec"].clone()
    };
    let a = make("a", r#"{"ports":[{"port":80}]}"#).await;
    let b = make("b", r#"{"ports":[{"port":80}],"type":"NodePort"}"#).await;
    let none = make("none", r#"{"ports":[{"port":80}],"clusterIP":"None"}"#).await;
    assert!(a["clusterIP"].as_str().unwrap().starts_with("10.96."), "{a}");
    assert_ne!(a["clusterIP"], b["clusterIP"]);
    assert_eq!(none["clusterIP"], "None");
    assert!(b["ports"][0]["nodePort"].as_u64().unwrap() >= 30_000, "{b}");
    let replaced = r#"{"metadata":{"name":"b"},"spec":{"ports":[{"port":80}],"type":"NodePort"}}"#;
    let replaced = client.put(&format!("{SERVICES}/b"), replaced).await.json();
    assert_eq!(replaced["spec"]["clusterIP"], b["clusterIP"]);
    assert_eq!(replaced["spec"]["ports"][0]["nodePort"], b["ports"][0]["nodePort"]);
    server.shutdown().await;
}

/// What a kube-apiserver 1.36.2 says of the same services, one after the other.
#[tokio::test]
async fn a_service_gets_no_address_and_no_node_port_that_another_has() {
    let (server, client) = start(Config::default()).await;
    let check = async |name: &str, spec: &str, refused: &str| {
        let body = format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{spec}}}"#);
        let answer = client.post(SERVICES, &body).await;
        if refused.is_empty() {
            assert_eq!(answer.status, 201, "{spec}: {}", answer.text());
        } else {
            let message = answer.json()["message"].clone();
            assert_eq!(message, format!("Service \"{name}\" is invalid: {refused}"), "{spec}");
        }
    };
    let taken = "provided port is already allocated";
    let range = "provided port is not in the valid range. The range of valid ports is 30000-32767";
    let closed = "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'";
    check("a", r#"{"type":"NodePort","ports":[{"port":80,"nodePort":30200}]}"#, "").await;
    for (spec, why) in [
        (r#"{"type":"NodePort","ports":[{"port":80,"nodePort":30200}]}"#, format!("spec.ports[0].nodePort: Invalid value: 30200: {taken}")),
        (r#"{"type":"NodePort","ports":[{"name":"p","port":80,"nodePort":30201},{"name":"q","port":81,"nodePort":30201}]}"#, format!("spec.ports[1].nodePort: Invalid value: 30201: {taken}")),
        (r#"{"type":"NodePort","ports":[{"port":80,"nodePort":20}]}"#, format!("spec.ports[0].nodePort: Invalid value: 20: {range}")),
        (r#"{"ports":[{"port":80,"nodePort":30205}]}"#, closed.to_owned()),
        (r#"{"clusterIP":"None","ports":[{"port":80,"nodePort":30205}]}"#, closed.to_owned()),
        (r#"{"clusterIP":"10.96.0.1","ports":[{"port":80}]}"#, r#"spec.clusterIPs: Invalid value: ["10.96.0.1"]: failed to allocate IP 10.96.0.1: provided IP is already allocated"#.to_owned()),
        (r#"{"clusterIP":"bogus","ports":[{"port":80}]}"#, r#"spec.clusterIPs[0]: Invalid value: "bogus": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#.to_owned()),
        (r#"{"type":"NodePort","clusterIP":"None","ports":[{"port":80}]}"#, r#"spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services"#.to_owned()),
        (r#"{"type":"ExternalName","externalName":"a.b","clusterIP":"10.96.3.3"}"#, "spec.clusterIPs: Forbidden: may not be set for ExternalName services".to_owned()),
        (r#"{"ports":[{"port":80}],"externalTrafficPolicy":"Local"}"#, r#"spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services"#.to_owned()),
    ] {
        check("b", spec, &why).await;
    }
    let both = r#"{"type":"NodePort","ports":[{"name":"p","port":80,"nodePort":30201},{"name":"q","port":80,"protocol":"UDP","nodePort":30201}]}"#;
    check("both", both, "").await;
    check("free", r#"{"ports":[{"port":80}],"clusterIP":"10.96.77.7"}"#, "").await;
    let moved = client.merge(&format!("{SERVICES}/free"), r#"{"spec":{"clusterIP":"10.96.77.9"}}"#).await;
    let why = r#"Service "free" is invalid: spec.clusterIPs[0]: Invalid value: ["10.96.77.9"]: may not change once set"#;
    assert_eq!(moved.json()["message"], why);
    server.shutdown().await;
}

#[tokio::test]
async fn what_came_with_a_type_of_service_goes_with_it() {
    let (server, client) = start(Config::default()).await;
    let service = "/api/v1/namespaces/default/services/s";
    let made =
        r#"{"metadata":{"name":"s"},"spec":{"type":"LoadBalancer","ports":[{"port":80,"nodePort":30302}]}}"#;
    assert_eq!(client.post(SERVICES, made).await.status, 201);
    let check = async |patch: &str, fields: &[&str], node_port: bool| {
        let answer = client.merge(service, &format!(r#"{{"spec":{patch}}}"#)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let spec = answer.json()["spec"].clone();
        let mut have: Vec<&String> = spec.as_object().unwrap().keys().collect();
        have.sort();
        assert_eq!(have, fields, "{patch}");
        assert_eq!(spec["ports"][0].get("nodePort").is_some(), node_port, "{patch}: {spec}");
    };
    let inside = [
        "clusterIP",
        "clusterIPs",
        "internalTrafficPolicy",
        "ipFamilies",
        "ipFamilyPolicy",
        "ports",
        "sessionAffinity",
        "type",
    ];
    let outside = [
        "clusterIP",
        "clusterIPs",
        "externalTrafficPolicy",
        "internalTrafficPolicy",
        "ipFamilies",
        "ipFamilyPolicy",
        "ports",
        "sessionAffinity",
        "type",
    ];
    check(r#"{"type":"NodePort"}"#, &outside, true).await;
    check(r#"{"type":"ClusterIP"}"#, &inside, false).await;
    check(
        r#"{"type":"ExternalName","externalName":"a.b"}"#,
        &["externalName", "ports", "sessionAffinity", "type"],
        false,
    )
    .await;
    check(r#"{"type":"ClusterIP","externalName":null}"#, &inside, false).await;
    server.shutdown().await;
}
